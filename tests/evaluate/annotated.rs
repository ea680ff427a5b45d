//! Pictures with boxes in every layout → a set.

use std::process::Command;

use casm_training::evaluation::annotated::{Layout, Split};
use casm_training::evaluation::{AnnotatedSet, Location};

use crate::*;

#[test]
fn wsolevaluations_metadata_is_read_from_folders_and_archives() {
    let folder = metadata();
    let packed = tempfile::tempdir().expect("a temporary folder");
    let mut places = vec![folder.path().to_owned()];
    for (ending, option) in [("tar", "-cf"), ("tar.gz", "-czf")] {
        let archive = packed.path().join(format!("set.{ending}"));
        let status = Command::new("tar")
            .arg(option)
            .arg(&archive)
            .arg("-C")
            .arg(folder.path())
            .arg(".")
            .status();
        assert!(status.expect("tar is there").success());
        places.push(archive);
    }
    for place in places {
        let set = open(&place);
        assert_eq!(set.layout, Layout::Metadata);
        assert_eq!(set.problems, Vec::<String>::new());
        assert_eq!(
            set.pictures,
            [
                picture("images/a.png", Some((100, 100)), &[[0, 0, 50, 100]], 0),
                picture(
                    "images/b, c.png",
                    Some((80, 40)),
                    &[[0, 0, 80, 40], [60, 0, 80, 40]],
                    1
                ),
            ]
        );
        let labels: Vec<_> = set.classes.iter().map(|class| class.label).collect();
        assert_eq!(labels, [Some(1), Some(0)]);
        assert_eq!(
            (set.boxes(), set.match_classes(&[], 2)),
            (3, Ok(vec![1, 0]))
        );
    }
}

#[test]
fn metadata_may_lie_beside_the_pictures_and_have_names_of_classes() {
    let pictures = folder(&[], &[("val/a.png", 10, 10), ("val/b.png", 10, 10)]);
    let lists = folder(
        &[
            ("val/image_ids.txt", "val/a.png\nval/b.png\n"),
            ("val/class_labels.txt", "val/a.png,1\nval/b.png,0\n"),
            ("val/image_sizes.txt", "val/a.png,10,10\nval/b.png,10,10\n"),
            (
                "val/localization.txt",
                "val/a.png,0,0,5,5\nval/b.png,0,0,5,5\n",
            ),
            ("val/synset_words.txt", "n00000007 x, y\nn00000003 z\n"),
            ("test/image_ids.txt", "test/a.png\n"),
        ],
        &[],
    );
    let mut location = Location {
        annotations: Some(lists.path().to_owned()),
        ..location(pictures.path())
    };
    let several = refusal(&location);
    assert!(several.contains("test/, val/"), "{several}");
    location.split = Some(Split::Val);
    let set = AnnotatedSet::open(&location).expect("usable");
    assert_eq!(set.pictures[0].name, "val/a.png");
    let names: Vec<_> = set
        .classes
        .iter()
        .map(|class| class.name.as_str())
        .collect();
    assert_eq!(names, ["n00000003", "n00000007"]);
    let model = ["n00000003 z", "n00000005", "n00000007 x, y"].map(str::to_owned);
    assert_eq!(set.match_classes(&model, 3), Ok(vec![0, 2]));
}

#[test]
fn tiny_imagenet_is_read_as_shipped() {
    let folder = folder(
        &[
            (
                "tiny/val/val_annotations.txt",
                "v.png\tn00000002\t0\t32\t44\t62\n",
            ),
            (
                "tiny/train/n00000001/n00000001_boxes.txt",
                "t.png\t0\t10\t63\t58\nabsent.png\t0\t0\t1\t1\n",
            ),
        ],
        &[
            ("tiny/val/images/v.png", 64, 64),
            ("tiny/train/n00000001/images/t.png", 64, 64),
        ],
    );
    let set = open(folder.path());
    assert_eq!(set.layout, Layout::TinyImagenet);
    assert_eq!(
        set.pictures,
        [picture(
            "tiny/val/images/v.png",
            None,
            &[[0, 32, 44, 62]],
            0
        )]
    );
    assert_eq!(set.classes[0].name, "n00000002");
    let train = Location {
        split: Some(Split::Train),
        ..location(folder.path())
    };
    let set = AnnotatedSet::open(&train).expect("usable");
    let name = "tiny/train/n00000001/images/t.png";
    assert_eq!(set.pictures, [picture(name, None, &[[0, 10, 63, 58]], 0)]);
    assert!(
        set.problems[0].contains("n00000001_boxes.txt line 2")
            && set.problems[0].contains("absent.png"),
        "{:?}",
        set.problems
    );
}

fn xml(size: &str, objects: &[(&str, [i32; 4])]) -> String {
    let objects: String = objects
        .iter()
        .map(|(name, [xmin, ymin, xmax, ymax])| {
            format!(
                "<object><name>{name}</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>\
                 <xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>"
            )
        })
        .collect();
    format!("<annotation>{size}{objects}</annotation>")
}

#[test]
fn xml_files_belong_to_pictures_of_their_name() {
    let size = "<size><width>20</width><height>10</height><depth>3</depth></size>";
    let first = xml(
        size,
        &[
            ("n00000001", [1, 2, 3, 4]),
            ("n00000002", [0, 0, 9, 9]),
            ("n00000001", [5, 6, 7, 8]),
        ],
    );
    let second = xml("", &[("n00000002", [0, 0, 5, 5])]);
    let annotations = folder(
        &[
            ("Annotation/n00000001/p_1.xml", &first),
            ("Annotation/n00000002/p_2.xml", &second),
            ("Annotation/n00000002/p_3.xml", "<annotation><object>"),
            ("Annotation/n00000002/p_4.xml", &first),
            ("Annotation/n00000002/p_5.xml", "<annotation/>"),
        ],
        &[],
    );
    let pictures = folder(
        &[],
        &[
            ("train/n00000001/p_1.png", 20, 10),
            ("train/n00000002/p_2.png", 8, 8),
            ("train/n00000002/p_3.png", 8, 8),
            ("train/n00000003/p_4.png", 8, 8),
            ("train/n00000002/p_5.png", 8, 8),
            ("train/n00000002/p_6.png", 8, 8),
        ],
    );
    let location = Location {
        annotations: Some(annotations.path().to_owned()),
        ..location(pictures.path())
    };
    let set = AnnotatedSet::open(&location).expect("usable");
    assert_eq!(set.layout, Layout::Ilsvrc);
    assert_eq!(
        set.pictures,
        [
            picture(
                "train/n00000001/p_1.png",
                Some((20, 10)),
                &[[1, 2, 3, 4], [5, 6, 7, 8]],
                0
            ),
            picture("train/n00000002/p_2.png", None, &[[0, 0, 5, 5]], 1),
        ]
    );
    let problems = set.problems.join("\n");
    for part in ["p_3.xml", "no XML", "n00000003", "p_5.xml", "no object"] {
        assert!(problems.contains(part), "{part} is not in {problems}");
    }
    assert!(set.notes[0].contains("p_6.png"), "{:?}", set.notes);
}

#[test]
fn flat_folders_take_the_class_from_the_objects() {
    let text = xml(
        "",
        &[("n00000009", [0, 0, 4, 4]), ("n00000004", [1, 1, 2, 2])],
    );
    let folder = folder(&[("v_1.xml", &text)], &[("v_1.png", 8, 8)]);
    let set = open(folder.path());
    assert_eq!(set.pictures, [picture("v_1.png", None, &[[0, 0, 4, 4]], 0)]);
    assert_eq!(set.classes[0].name, "n00000009");
}

#[test]
fn what_is_wrong_with_a_set_is_named_with_its_line() {
    let wrong = folder(
        &[
            ("image_ids.txt", "a.png\nb.png\nc.png\na.png\nd.png\n"),
            ("class_labels.txt", "a.png,0\nb.png,x\nd.png,0\n"),
            ("image_sizes.txt", "a.png,10,10\nb.png,10,0\nd.png,4,4\n"),
            (
                "localization.txt",
                "a.png,0,0,5,5\nb.png,5,0,2,5\nz.png,0,0,1,1\na.png,1,2\n",
            ),
        ],
        &[
            ("images/a.png", 10, 10),
            ("images/b.png", 10, 10),
            ("images/d.png", 4, 4),
        ],
    );
    let set = open(wrong.path());
    assert_eq!(set.pictures.len(), 1);
    let problems = set.problems.join("\n");
    for part in [
        "class_labels.txt line 2: 'x'",
        "image_sizes.txt line 2: '10,0'",
        "localization.txt line 2: the box 5, 0, 2, 5",
        "localization.txt line 3: 'z.png' is not in image_ids.txt",
        "localization.txt line 4: 'a.png,1,2' has too few parts",
        "image_ids.txt line 2: 'b.png' has no box",
        "image_ids.txt line 3: picture 'c.png' is missing",
        "image_ids.txt line 4: 'a.png' is there twice",
        "image_ids.txt line 5: 'd.png' has no box",
    ] {
        assert!(problems.contains(part), "{part} is not in {problems}");
    }

    let no_sizes = folder(&[("image_ids.txt", "a.png\n")], &[("images/a.png", 1, 1)]);
    let message = refusal(&location(no_sizes.path()));
    assert!(message.contains("image_sizes.txt"), "{message}");
    let nothing = folder(&[], &[("x/a.png", 1, 1)]);
    let message = refusal(&location(nothing.path()));
    assert!(
        message.contains("image_ids.txt") && message.contains("--annotations"),
        "{message}"
    );
    let empty = folder(&[("val/val_annotations.txt", "")], &[]);
    let message = refusal(&location(empty.path()));
    assert!(message.contains("no picture with a box"), "{message}");
}

#[test]
fn a_limit_takes_pictures_evenly() {
    let folder = folder(
        &[(
            "val/val_annotations.txt",
            "0.png c 0 0 1 1\n1.png c 0 0 1 1\n2.png c 0 0 1 1\n3.png c 0 0 1 1\n4.png c 0 0 1 1\n",
        )],
        &["0", "1", "2", "3", "4"].map(|name| match name {
            "0" => ("val/images/0.png", 4, 4),
            "1" => ("val/images/1.png", 4, 4),
            "2" => ("val/images/2.png", 4, 4),
            "3" => ("val/images/3.png", 4, 4),
            _ => ("val/images/4.png", 4, 4),
        }),
    );
    let mut set = open(folder.path());
    set.limit(9);
    assert_eq!(set.pictures.len(), 5);
    set.limit(2);
    let names: Vec<_> = set
        .pictures
        .iter()
        .map(|picture| picture.name.as_str())
        .collect();
    assert_eq!(names, ["val/images/0.png", "val/images/2.png"]);
}
