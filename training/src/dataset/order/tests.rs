use std::collections::BTreeSet;

use super::*;
use crate::dataset::fixture::write_tar;
use crate::dataset::{Selection, SourceOptions, Split};

/// Two sources of 5 and 3 pictures with weights 0.25 and 0.75.
fn mixture() -> Arc<Mixture> {
    let home = tempfile::tempdir().unwrap();
    let sources = [(5, 0.25), (3, 0.75)].map(|(count, weight)| {
        let names: Vec<_> = (0..count).map(|number| format!("a/{number}.png")).collect();
        let files = names.iter().map(|name| (name.as_str(), Vec::new()));
        SourceOptions {
            path: write_tar(home.path(), &format!("{count}.tar"), files),
            weight: Some(weight),
            scale: None,
        }
    });
    let mixture = Mixture::open(&sources, Split::Train, &Selection::default(), &[]);
    Arc::new(mixture.unwrap())
}

#[test]
fn each_pass_has_every_picture_once_and_another_order() {
    let mut order = Order::new(mixture(), 7);
    let places: Vec<_> = (0..4000).map(|number| order.at(number)).collect();
    for (source, length) in [(0, 5), (1, 3)] {
        let samples = places.iter().filter(|place| place.source == source);
        let samples: Vec<_> = samples.map(|place| place.sample).collect();
        // 4000 numbers by the weights: 1000 and 3000.
        assert_eq!(samples.len(), if source == 0 { 1000 } else { 3000 });
        let mut orders = BTreeSet::new();
        for pass in samples.chunks_exact(length) {
            let distinct: BTreeSet<_> = pass.iter().copied().collect();
            assert_eq!(distinct, (0..length).collect());
            orders.insert(pass.to_vec());
        }
        // 200 passes draw nearly all 120 orders of 5, 1000 all 6 of 3.
        let expected = if source == 0 { 80 } else { 6 };
        assert!(orders.len() >= expected, "{}", orders.len());
    }
}

#[test]
fn a_place_depends_on_seed_and_number_alone() {
    let mixture = mixture();
    let places = |seed: u64, numbers: &[u64]| -> Vec<Place> {
        let mut order = Order::new(mixture.clone(), seed);
        numbers.iter().map(|&number| order.at(number)).collect()
    };
    let ahead = places(7, &[3, 50, 51, 1_000_000]);
    let mut back = places(7, &[1_000_000, 51, 50, 3]);
    back.reverse();
    assert_eq!(ahead, back);
    let numbers: Vec<_> = (0..50).collect();
    assert_ne!(places(7, &numbers), places(8, &numbers));
}
