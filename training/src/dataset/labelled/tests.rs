use super::*;
use crate::dataset::fixture::{gzip, png, write_folder, write_tar};

const FILES: [&str; 6] = [
    "set/train/b/1.png",
    "set/train/a/2.png",
    "set/train/b/0.png",
    "set/train/b/notes.txt",
    "set/train/notes.txt",
    "set/val/b/9.png",
];

fn files() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    FILES
        .into_iter()
        .map(|name| (name, name.as_bytes().to_vec()))
}

fn names(dataset: &Dataset) -> Vec<(&str, usize)> {
    let samples = dataset.samples().iter();
    samples
        .map(|sample| (sample.name.as_str(), sample.class))
        .collect()
}

#[test]
fn folder_and_archives_give_the_same_pictures_sorted_by_class() {
    let home = tempfile::tempdir().unwrap();
    write_folder(home.path(), files());
    let tar = write_tar(home.path(), "set.tar", files());
    let packed = home.path().join("set.tar.gz");
    std::fs::write(&packed, gzip(&std::fs::read(&tar).unwrap())).unwrap();
    for (path, prefix) in [
        (home.path().join("set"), ""),
        (tar, "set/"),
        (packed, "set/"),
    ] {
        let dataset = Dataset::open(&path, Split::Train).unwrap();
        assert_eq!(dataset.classes(), ["a", "b"]);
        let expected = [
            ("train/a/2.png", 0),
            ("train/b/0.png", 1),
            ("train/b/1.png", 1),
        ];
        let expected = expected.map(|(name, class)| (format!("{prefix}{name}"), class));
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, class)| (&**name, *class))
            .collect();
        assert_eq!(names(&dataset), expected);
        assert_eq!(
            dataset.read(&dataset.samples()[0]).unwrap(),
            b"set/train/a/2.png"
        );
        let name = dataset.name(&dataset.samples()[0]);
        assert_eq!(name, format!("{}/{prefix}train/a/2.png", path.display()));

        let validation = dataset.split(Split::Validation).unwrap().unwrap();
        assert_eq!(validation.classes(), ["b"]);
        assert_eq!(validation.samples().len(), 1);
    }
}

#[test]
fn archives_of_a_folder_are_taken_together() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &'static str| [(name, Vec::new())];
    write_tar(home.path(), "0.tar", file("s/train/b/1.png"));
    write_tar(home.path(), "1.tar", file("s/train/a/2.png"));
    write_tar(home.path(), "2.tar", file("s/val/a/3.png"));
    let dataset = Dataset::open(home.path(), Split::Train).unwrap();
    assert_eq!(
        names(&dataset),
        [("s/train/a/2.png", 0), ("s/train/b/1.png", 1)]
    );

    // ILSVRC's training set once its outer tar is unpacked.
    let home = tempfile::tempdir().unwrap();
    write_tar(home.path(), "n00000002.tar", file("n00000002_1.JPEG"));
    write_tar(home.path(), "n00000001.tar", file("n00000001_7.JPEG"));
    let dataset = Dataset::open(home.path(), Split::Train).unwrap();
    assert_eq!(dataset.classes(), ["n00000001", "n00000002"]);
    assert!(dataset.split(Split::Validation).unwrap().is_none());

    write_folder(home.path(), [("cats/1.png", png(1, 1, [0; 3]))]);
    let error = format!(
        "{:#}",
        Dataset::open(home.path(), Split::Train).unwrap_err()
    );
    assert!(error.contains("archives beside pictures"), "{error}");
}

#[test]
fn a_missing_part_and_an_empty_folder_are_named() {
    let home = tempfile::tempdir().unwrap();
    let path = write_tar(home.path(), "v.tar", [("val/a/1.png", Vec::new())]);
    let error = format!("{:#}", Dataset::open(&path, Split::Train).unwrap_err());
    assert!(error.contains("v.tar' has no folder 'train'"), "{error}");
    let empty = home.path().join("empty");
    write_folder(&empty, [("a/notes.txt", Vec::new())]);
    let error = format!("{:#}", Dataset::open(&empty, Split::Train).unwrap_err());
    assert!(error.contains("no pictures"), "{error}");
}

#[test]
fn labels_are_the_models_indices() {
    let home = tempfile::tempdir().unwrap();
    let files = ["n00000002/x.png", "n00000001/y.png"].map(|name| (name, Vec::new()));
    let path = write_tar(home.path(), "set.tar", files);
    let mut dataset = Dataset::open(&path, Split::Train).unwrap();
    let model = ["n00000009 z", "n00000002 two", "n00000001 one"].map(str::to_owned);
    dataset.label(&model).unwrap();
    assert_eq!(
        names(&dataset),
        [("n00000001/y.png", 2), ("n00000002/x.png", 1)]
    );
    assert_eq!(dataset.classes(), model);
    let mut dataset = Dataset::open(&path, Split::Train).unwrap();
    let error = format!("{:#}", dataset.label(&model[..2]).unwrap_err());
    assert!(
        error.contains("set.tar") && error.contains("'n00000001'"),
        "{error}"
    );
}

#[test]
fn a_class_folder_without_pictures_is_an_error_that_names_it() {
    let home = tempfile::tempdir().unwrap();
    write_folder(home.path(), files());
    write_folder(home.path(), [("set/train/c/notes.txt", Vec::new())]);
    let error = Dataset::open(&home.path().join("set"), Split::Train).unwrap_err();
    assert!(
        error.to_string().contains("without pictures: c;"),
        "{error}"
    );
}
