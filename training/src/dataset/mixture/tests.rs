use std::path::Path;

use super::*;
use crate::dataset::fixture::write_tar;

/// A tar of `counts` pictures of the classes.
fn tar(folder: &Path, name: &str, counts: &[(&str, usize)]) -> PathBuf {
    let names = counts
        .iter()
        .flat_map(|(class, count)| (0..*count).map(move |number| format!("{class}/{number}.png")));
    let names: Vec<_> = names.collect();
    write_tar(
        folder,
        name,
        names.iter().map(|name| (name.as_str(), Vec::new())),
    )
}

fn source(path: PathBuf, weight: Option<f64>) -> SourceOptions {
    SourceOptions {
        path,
        weight,
        scale: None,
    }
}

fn open(
    sources: &[SourceOptions],
    choice: Option<&str>,
    model: &[&str],
) -> Result<Mixture, String> {
    let selection = Selection::read(None, choice).map_err(|error| format!("{error:#}"))?;
    let model: Vec<_> = model.iter().map(|&class| class.to_owned()).collect();
    Mixture::open(sources, Split::Train, &selection, &model).map_err(|error| format!("{error:#}"))
}

#[test]
fn every_stretch_of_the_run_has_the_shares() {
    let home = tempfile::tempdir().unwrap();
    let sources = [0.1, 0.2, 0.7].map(|weight| {
        let path = tar(home.path(), &format!("{weight}.tar"), &[("a", 5), ("b", 3)]);
        source(path, Some(weight))
    });
    let mixture = open(&sources, None, &[]).unwrap();
    let mut counts = [0; 3];
    for number in 0..10_000 {
        let (source, count) = mixture.turn(number);
        assert_eq!(count, counts[source], "{number}");
        counts[source] += 1;
        for (count, source) in counts.iter().zip(mixture.sources()) {
            let wanted = source.share * (number + 1) as f64;
            assert!(
                (*count as f64 - wanted).abs() <= 2.0,
                "{number}: {counts:?}"
            );
        }
    }
    // Far into a run nothing overflows.
    let (_, count) = mixture.turn(1 << 50);
    assert!(count <= 1 << 50);
}

#[test]
fn shares_are_picture_counts_unless_said_otherwise() {
    let home = tempfile::tempdir().unwrap();
    let one = tar(home.path(), "1.tar", &[("a", 1)]);
    let two = tar(home.path(), "2.tar", &[("b", 3)]);
    let mixture = open(
        &[source(one.clone(), None), source(two.clone(), None)],
        None,
        &[],
    )
    .unwrap();
    assert_eq!(mixture.pictures(), 4);
    assert_eq!(mixture.classes(), ["a", "b"]);
    assert_eq!(mixture.sources()[1].share, 0.75);
    let error = open(
        &[source(one.clone(), Some(1.0)), source(two, None)],
        None,
        &[],
    )
    .unwrap_err();
    assert!(error.contains("all sources"), "{error}");
    for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = open(&[source(one.clone(), Some(weight))], None, &[]).unwrap_err();
        assert!(
            error.contains("1.tar") && error.contains("above zero"),
            "{error}"
        );
    }
    let mut wide = source(one, None);
    wide.scale = Some((0.5, 1.5));
    let error = open(&[wide], None, &[]).unwrap_err();
    assert!(error.contains("scale") && error.contains("1.5"), "{error}");
    assert!(open(&[], None, &[]).unwrap_err().contains("no data"));
}

#[test]
fn only_chosen_classes_are_kept_and_absent_ones_named() {
    let home = tempfile::tempdir().unwrap();
    let one = tar(home.path(), "1.tar", &[("a", 1), ("b", 2)]);
    let two = tar(home.path(), "2.tar", &[("b", 1), ("c", 4)]);
    let sources = [source(one, None), source(two, None)];
    let mixture = open(&sources, Some("c,a"), &[]).unwrap();
    assert_eq!(mixture.classes(), ["a", "c"]);
    assert_eq!(mixture.pictures(), 5);
    let mixture = open(&sources, Some("c,a"), &["c", "x", "a"]).unwrap();
    let class = |source: usize| mixture.sources()[source].dataset.samples()[0].class;
    assert_eq!((class(0), class(1)), (2, 0));
    let error = open(&sources, Some("a,x,b,y"), &[]).unwrap_err();
    assert!(error.contains("'x', 'y'"), "{error}");
    let error = open(&sources, Some("a"), &[]).unwrap_err();
    assert!(error.contains("2.tar' has no pictures"), "{error}");
    let error = open(&sources, None, &["a", "b"]).unwrap_err();
    assert!(error.contains("'c'"), "{error}");
}

#[test]
fn a_class_list_orders_the_classes() {
    let home = tempfile::tempdir().unwrap();
    let path = tar(home.path(), "1.tar", &[("a", 1), ("b", 2), ("c", 1)]);
    let list = home.path().join("list");
    std::fs::write(&list, "c\na\n").unwrap();
    let selection = Selection::read(Some(&list), Some("a")).unwrap();
    let mixture = Mixture::open(&[source(path, None)], Split::Train, &selection, &[]).unwrap();
    assert_eq!(mixture.classes(), ["c", "a"]);
    assert_eq!(mixture.sources()[0].dataset.samples()[0].class, 1);
    assert_eq!(mixture.pictures(), 1);
}
