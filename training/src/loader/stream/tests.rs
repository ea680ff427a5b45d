use std::collections::BTreeSet;

use super::*;
use crate::dataset::fixture::{png, write_tar};
use crate::dataset::{Dataset, Split};
use crate::loader::Transform;

/// A mixture of one source: pictures of `count` colours, of which those in `corrupt` are no pictures.
fn mixture(count: u8, corrupt: &[u8]) -> Arc<Mixture> {
    let home = tempfile::tempdir().unwrap();
    let name = |number: u8| format!("{}/{number:03}.png", number % 3);
    let files: Vec<_> = (0..count)
        .map(|number| match corrupt.contains(&number) {
            true => (name(number), b"junk".to_vec()),
            false => (name(number), png(12, 9, [number, 255 - number, 7])),
        })
        .collect();
    let files = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()));
    let path = write_tar(home.path(), "set.tar", files);
    let dataset = Dataset::open(&path, Split::Train).unwrap();
    Arc::new(Mixture::single(dataset).unwrap())
}

fn config(batch: usize, workers: usize) -> LoaderConfig {
    LoaderConfig {
        batch,
        size: 8,
        transform: Transform::TRAIN,
        workers,
        prefetch: 2,
        seed: 5,
        epoch_iterations: 6,
    }
}

/// The batches of a loader that has no error.
fn batches(loader: anyhow::Result<Loader>) -> Vec<Batch> {
    loader.unwrap().collect::<Result<_, _>>().unwrap()
}

/// The first error of a loader.
fn error(loader: anyhow::Result<Loader>) -> String {
    let error = loader.and_then(|mut loader| loader.find_map(Result::err).context("no error"));
    format!("{:#}", error.unwrap_or_else(|error| error))
}

#[test]
fn batches_depend_on_seed_and_iteration_alone() {
    let data = mixture(20, &[3]);
    let stream = batches(Loader::start(data.clone(), config(4, 1), 0, 0..14));
    let places: Vec<_> = stream
        .iter()
        .map(|batch| (batch.epoch, batch.iteration))
        .collect();
    let expected = (0..14).map(|number| (number / 6, number % 6));
    assert_eq!(places, expected.collect::<Vec<_>>());
    let first = &stream[0];
    assert_eq!(first.pixels.len(), first.classes.len() * 8 * 8 * 3);
    for (sample, class) in first.samples.iter().zip(&first.classes) {
        assert!(
            sample.contains(&format!("set.tar/{class}/")),
            "{sample} {class}"
        );
    }

    for workers in [2, 7] {
        let same = batches(Loader::start(data.clone(), config(4, workers), 0, 0..14));
        assert!(same == stream, "{workers} workers");
    }
    let tail = batches(Loader::start(data.clone(), config(4, 3), 0, 5..14));
    assert!(tail == stream[5..]);
    // The same as iteration 2 of epoch 1.
    let tail = batches(Loader::start(data.clone(), config(4, 3), 1, 2..8));
    assert!(tail == stream[8..14]);
    let other = LoaderConfig {
        seed: 6,
        ..config(4, 1)
    };
    assert!(batches(Loader::start(data, other, 0, 0..14)) != stream);
}

#[test]
fn every_picture_comes_once_a_pass() {
    let stream = batches(Loader::start(mixture(20, &[]), config(4, 3), 0, 0..10));
    for pass in stream.chunks_exact(5) {
        let names: BTreeSet<_> = pass.iter().flat_map(|batch| &batch.samples).collect();
        assert_eq!(names.len(), 20);
    }
    // A solid colour survives crop and flip; crops of the two passes are drawn anew, which it hides.
    let red: BTreeSet<_> = stream[..5]
        .iter()
        .flat_map(|batch| {
            batch
                .pixels
                .chunks_exact(8 * 8 * 3)
                .map(|picture| picture[0])
        })
        .collect();
    assert_eq!(red, (0..20).collect());
}

#[test]
fn in_turn_is_sorted_and_ends() {
    let mut loader = Loader::in_turn(mixture(10, &[4]), config(4, 3)).unwrap();
    let stream: Vec<_> = loader.by_ref().collect::<Result<_, _>>().unwrap();
    let sizes: Vec<_> = stream.iter().map(|batch| batch.classes.len()).collect();
    // Sorted by class: 0 3 6 9 | 1 4 7 2 | 5 8, and 4 is junk.
    assert_eq!(sizes, [4, 3, 2]);
    let classes: Vec<_> = stream
        .iter()
        .flat_map(|batch| batch.classes.clone())
        .collect();
    assert_eq!(classes, [0, 0, 0, 0, 1, 1, 2, 2, 2]);
    assert!(stream[2].samples[1].ends_with("set.tar/2/008.png"));
    assert_eq!((stream[2].epoch, stream[2].iteration), (0, 2));

    let rejected = loader.rejected();
    assert_eq!(rejected.len(), 1);
    assert!(rejected[0].0.ends_with("set.tar/1/004.png"), "{rejected:?}");
    assert!(rejected[0].1.contains("neither JPEG"), "{rejected:?}");
    assert!(loader.next().is_none());
}

#[test]
fn a_batch_without_any_picture_is_left_out() {
    let data = mixture(6, &[0, 1]);
    let loader = Loader::start(data, config(1, 2), 0, 0..12);
    let iterations: Vec<_> = batches(loader)
        .iter()
        .map(|batch| batch.iteration)
        .collect();
    // Two passes of six, each with two unreadable; what is left keeps its number.
    assert_eq!(iterations.len(), 8);
    assert!(iterations.iter().all(|&iteration| iteration < 6));
}

#[test]
fn where_nothing_can_be_read_there_is_an_error() {
    let all: Vec<_> = (0..60).collect();
    let endless = Loader::start(mixture(3, &all), config(4, 2), 0, 0..u64::MAX);
    assert!(error(endless).contains("50 pictures in a row"));
    let short = Loader::in_turn(mixture(3, &all), config(4, 2));
    assert!(error(short).contains("no picture could be read"));
    let long = Loader::in_turn(mixture(60, &all), config(4, 2));
    assert!(error(long).contains("50 pictures in a row"));
    // A bad folder in the middle of a long list is no reason to stop.
    let folder: Vec<_> = (1..=200).filter(|number| number % 3 == 1).collect();
    let list = Loader::in_turn(mixture(200, &folder), config(4, 2));
    assert_eq!(
        batches(list)
            .iter()
            .map(|batch| batch.classes.len())
            .sum::<usize>(),
        133
    );
}

#[test]
fn a_panic_is_an_error_at_the_consumer() {
    let data = mixture(6, &[]);
    let order = Pictures::Shuffled(Order::new(data.clone(), 1));
    let work: Arc<Work> = Arc::new(|task| panic!("no {}", task.place));
    let loader = Loader::new(data, config(2, 2), order, 0..9, work);
    let message = error(loader);
    assert!(
        message.contains("set.tar/") && message.contains(": no "),
        "{message}"
    );
}

#[test]
fn dropping_ends_the_threads_soon() {
    let data = mixture(6, &[]);
    let alive = Arc::new(());
    let work: Arc<Work> = {
        let (data, alive) = (data.clone(), alive.clone());
        Arc::new(move |task| {
            let _alive = &alive;
            std::thread::sleep(Duration::from_millis(20));
            prepare(&data, Transform::Stretch, 8, 0, task)
        })
    };
    let order = Pictures::Shuffled(Order::new(data.clone(), 1));
    // 300 pictures of 20 ms under way.
    let loader = Loader::new(data, config(100, 2), order, 0..u64::MAX, work).unwrap();
    let started = Instant::now();
    drop(loader);
    assert!(
        started.elapsed() < Duration::from_millis(500),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn waiting_is_measured() {
    let data = mixture(6, &[]);
    let slow: Arc<Work> = {
        let data = data.clone();
        Arc::new(move |task| {
            std::thread::sleep(Duration::from_millis(30));
            prepare(&data, Transform::Stretch, 8, 0, task)
        })
    };
    let order = Pictures::Shuffled(Order::new(data.clone(), 1));
    let mut loader = Loader::new(data, config(2, 1), order, 0..3, slow).unwrap();
    assert_eq!(loader.waited(), Duration::ZERO);
    // One thread, two pictures.
    loader.next().unwrap().unwrap();
    assert!(
        loader.waited() > Duration::from_millis(30),
        "{:?}",
        loader.waited()
    );
    // The other four are made meanwhile.
    std::thread::sleep(Duration::from_millis(400));
    let before = loader.waited();
    loader.next().unwrap().unwrap();
    assert!(loader.waited() - before < Duration::from_millis(30));
}

#[test]
fn numbers_out_of_range_are_refused() {
    let start = |change: fn(&mut LoaderConfig)| {
        let mut config = config(4, 1);
        change(&mut config);
        error(Loader::start(mixture(3, &[]), config, 0, 0..1))
    };
    assert!(start(|config| config.batch = 0).contains("batch"));
    assert!(start(|config| config.size = 0).contains("input size"));
    assert!(start(|config| config.epoch_iterations = 0).contains("epoch"));
    assert!(start(|config| config.prefetch = usize::MAX).contains("ahead"));
    assert!(start(|config| config.transform = Transform::Crop { short: 7 }).contains("short"));
    let train = |scale, ratio| Transform::Train {
        scale,
        ratio,
        whole: 0.0,
        squash: None,
        flip: false,
        jitter: 0.0,
    };
    for transform in [
        train((0.0, 1.0), (1.0, 1.0)),
        train((0.5, 1.1), (1.0, 1.0)),
        train((f64::NAN, 1.0), (1.0, 1.0)),
        train((0.5, 1.0), (2.0, 1.0)),
        train((0.5, 1.0), (1.0, f64::INFINITY)),
    ] {
        assert!(transform.check(8).is_err(), "{transform:?}");
    }
    let late = Loader::start(mixture(3, &[]), config(4, 1), u64::MAX, 0..1);
    assert!(error(late).contains("too large"));
}
