//! `casm evaluate` and its library: hand-made sets in each layout, scores by hand, bad input, and the
//! sample of ILSVRC's validation pictures where it is at hand.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use casm::mask::Binarization;
use casm::{Checkpoint, Resize};
use casm_tests::program;
use casm_training::evaluation::annotated::{Layout, Split};
use casm_training::evaluation::{
    AnnotatedPicture, AnnotatedSet, Annotation, Location, Options, Predict, Rule, Scores, evaluate,
};
use image::{Rgb, RgbImage};
use serde_json::Value;
use tempfile::TempDir;

/// A folder with these text files and pictures (name, width, height).
fn folder(texts: &[(&str, &str)], pictures: &[(&str, u32, u32)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("in the folder")).expect("writable");
        path
    };
    for (name, text) in texts {
        std::fs::write(place(name), text).expect("writable");
    }
    for (index, (name, width, height)) in pictures.iter().enumerate() {
        let picture = RgbImage::from_pixel(*width, *height, Rgb([40 * index as u8, 90, 200]));
        picture.save(place(name)).expect("writable");
    }
    folder
}

/// Two pictures of wsolevaluation's kind: one as annotated, one at half of its size, with two boxes.
fn metadata() -> TempDir {
    folder(
        &[
            ("image_ids.txt", "a.png\nb, c.png\n"),
            ("class_labels.txt", "a.png,1\nb, c.png,0\n"),
            ("image_sizes.txt", "a.png,100,100\r\nb, c.png,80,40\r\n"),
            (
                "localization.txt",
                "a.png,0,0,50,100\nb, c.png,0,0,80,40\nb, c.png,60,0,80,40\n",
            ),
        ],
        &[("images/a.png", 50, 50), ("images/b, c.png", 80, 40)],
    )
}

fn location(data: &Path) -> Location {
    Location {
        data: data.to_owned(),
        ..Location::default()
    }
}

fn open(data: &Path) -> AnnotatedSet {
    AnnotatedSet::open(&location(data)).unwrap_or_else(|error| panic!("{error:#}"))
}

fn refusal(location: &Location) -> String {
    let refused = AnnotatedSet::open(location).expect_err("not usable");
    format!("{refused:#}")
}

fn annotation([xmin, ymin, xmax, ymax]: [i32; 4]) -> Annotation {
    Annotation {
        xmin,
        ymin,
        xmax,
        ymax,
    }
}

fn picture(
    name: &str,
    original: Option<(u32, u32)>,
    boxes: &[[i32; 4]],
    class: usize,
) -> AnnotatedPicture {
    AnnotatedPicture {
        name: name.to_owned(),
        original,
        annotations: boxes.iter().copied().map(annotation).collect(),
        class: Some(class),
    }
}

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

const SIZE: u32 = 32;

fn options(set: &AnnotatedSet) -> Options {
    let built_in = Checkpoint::built_in().expect("valid");
    Options {
        input_size: SIZE,
        logits: Some(set.match_classes(&[], 2).expect("two classes")),
        batch: 2,
        ..Options::new(built_in.header())
    }
}

/// The left half is marked, the second class is the guess.
fn left_half(batch: usize, pixels: &[u8], output: &mut casm::engine::Output) -> casm::Result<()> {
    assert_eq!(pixels.len(), batch * (SIZE * SIZE * 3) as usize);
    let mask = (0..64).map(|index| if index % 8 < 4 { 1.0 } else { 0.0 });
    output.masks = mask.collect::<Vec<f32>>().repeat(batch);
    output.logits = [0.0, 1.0].repeat(batch);
    Ok(())
}

/// Scores the set with [`left_half`].
fn scores(set: &AnnotatedSet, options: &Options) -> Scores {
    evaluate(set, options, &mut left_half, &|_| ()).unwrap_or_else(|error| panic!("{error:#}"))
}

/// By hand. Stretched to 32 x 32 the first picture's box is the left half: IoU 1, F1 1. The second's boxes
/// are everything, IoU ½, which is not more than a half, P = 1, R = ½, F1 = ⅔, and the right quarter, F1 0.
/// Labels are 1 and 0, the guess is 1.
#[test]
fn scores_are_those_computed_by_hand() {
    let folder = metadata();
    let set = open(folder.path());
    let scores = scores(&set, &options(&set));
    assert_eq!(scores.pictures, [0, 1]);
    let [first, second] = &scores.by_resize[0][..] else {
        panic!("two pictures");
    };
    assert_eq!(
        (&first.found[..], &second.found[..]),
        (&[true][..], &[false][..])
    );
    let close = |value: f64, expected: f64| {
        assert!((value - expected).abs() < 1e-5, "{value}, not {expected}");
    };
    close(first.f1, 1.0);
    close(second.f1, 2.0 / 3.0);
    close(second.f1_average, 1.0 / 3.0);
    close(first.mask.mean, 0.5);
    let summary = scores.summary();
    close(summary.localization_error, 0.5);
    assert_eq!(
        (summary.official_metric, summary.top1, summary.top5),
        (Some(0.5), Some(0.5), Some(1.0))
    );
    assert!(!scores.square);
}

/// By hand. Cropped, 80 x 40 becomes 64 x 32 with 16 columns off each side: the first box is -16 … 48 and
/// 32 high, area 2048, the mask covers 512 of it; clipped it is the whole input, as stretched. The second box
/// is 32 … 48: out of sight. The square picture's inputs are the same, so the network sees three.
#[test]
fn cropping_loses_what_is_cut_off_unless_it_is_clipped() {
    let folder = metadata();
    let set = open(folder.path());
    let both = Options {
        resizes: vec![Resize::Crop, Resize::Stretch],
        ..options(&set)
    };
    let seen = RefCell::new(0);
    let mut predict = |batch: usize, pixels: &[u8], output: &mut casm::engine::Output| {
        *seen.borrow_mut() += batch;
        left_half(batch, pixels, output)
    };
    let scores = evaluate(&set, &both, &mut predict, &|_| ()).expect("usable");
    assert_eq!(*seen.borrow(), 3);
    let [crop, stretch] = &scores.by_resize[..] else {
        panic!("two ways");
    };
    assert_eq!(crop[0], stretch[0]);
    // P = 1, R = ¼: F1 = 0.4.
    assert!((crop[1].f1 - 0.4).abs() < 1e-5, "{}", crop[1].f1);
    assert!((crop[1].f1_average - 0.2).abs() < 1e-5);
    let clipped = Options {
        clipped: true,
        ..both
    };
    let clipped = evaluate(&set, &clipped, &mut left_half, &|_| ()).expect("usable");
    assert!((clipped.by_resize[0][1].f1 - 2.0 / 3.0).abs() < 1e-5);
}

/// By hand: the full image has IoU ½ with the left half and 1 with the whole picture; the centre box, 4 … 27,
/// meets neither: 12 · 23 / (512 + 529 - 276) = 0.36 and 529 / 1024 = 0.52, which is a hit.
#[test]
fn boxes_without_a_network_are_scored_beside_it() {
    let folder = metadata();
    let set = open(folder.path());
    let toys = Options {
        toys: true,
        max_box: true,
        ..options(&set)
    };
    let scores = scores(&set, &toys);
    let errors = |picture: usize| {
        let toys = &scores.by_resize[0][picture].toys;
        [0, 1].map(|toy| toys[toy].localization.localization_error)
    };
    assert_eq!((errors(0), errors(1)), ([1.0, 1.0], [0.0, 0.0]));
    // The left half's contour is 0 … 15 wide; its box ends a column late, at 16, which the annotation's
    // last column is: IoU 1 where it counts in.
    let found = scores.by_resize[0][0].max_box.expect("asked for");
    assert!(found.largest.contains(0) && found.any[2].contains(254));
}

/// The network sees the same pictures in the same order, whatever the workers.
#[test]
fn the_number_of_workers_makes_no_difference() {
    let lines: String = (0..23)
        .map(|index| format!("{index}.png c 0 0 9 9\n"))
        .collect();
    let names: Vec<String> = (0..23)
        .map(|index| format!("val/images/{index}.png"))
        .collect();
    // Of all sizes, so that they are not ready in order.
    let pictures: Vec<(&str, u32, u32)> = names
        .iter()
        .enumerate()
        .map(|(index, name)| (name.as_str(), 10 + (index as u32 * 137) % 300, 20))
        .collect();
    let folder = folder(&[("val/val_annotations.txt", &lines)], &pictures);
    let set = open(folder.path());
    let run = |workers: usize| {
        let options = Options {
            workers,
            logits: None,
            batch: 4,
            rules: vec![Rule::Binarization(Binarization::default())],
            ..Options {
                input_size: SIZE,
                ..Options::new(Checkpoint::built_in().expect("valid").header())
            }
        };
        let mut seen = Vec::new();
        let watched = RefCell::new(0);
        let mut predict = |batch: usize, pixels: &[u8], output: &mut casm::engine::Output| {
            seen.push((batch, pixels.to_vec()));
            left_half(batch, pixels, output)
        };
        let watch = |pictures: usize| *watched.borrow_mut() += pictures;
        let scores = evaluate(&set, &options, &mut predict, &watch).expect("usable");
        assert_eq!(*watched.borrow(), 23);
        (seen, scores)
    };
    let alone = run(1);
    assert_eq!(alone.0.iter().map(|(batch, _)| batch).sum::<usize>(), 23);
    assert!(alone == run(5));
}

#[test]
fn broken_pictures_are_named_and_left_out_and_broken_networks_refused() {
    let folder = metadata();
    std::fs::write(folder.path().join("images/a.png"), b"\x89PNG").expect("writable");
    let set = open(folder.path());
    let options = options(&set);
    let left = scores(&set, &options);
    assert_eq!((&left.pictures[..], left.by_resize[0].len()), (&[1][..], 1));
    assert!(
        left.problems.len() == 1 && left.problems[0].contains("images/a.png"),
        "{:?}",
        left.problems
    );

    let refused = |predict: &mut Predict<'_>| {
        let refused = evaluate(&set, &options, predict, &|_| ()).expect_err("unusable");
        format!("{refused:#}")
    };
    let nan = refused(&mut |_, _, output| {
        output.masks = vec![f32::NAN; 64];
        Ok(())
    });
    assert!(nan.contains("not numbers"), "{nan}");
    let short = refused(&mut |_, _, output| {
        output.masks = vec![0.5; 63];
        Ok(())
    });
    assert!(short.contains("63 values"), "{short}");
    let failed = refused(&mut |_, _, _| {
        Err(casm::Error::Engine {
            engine: "toy".to_owned(),
            reason: "out of order".to_owned(),
        })
    });
    assert!(failed.contains("out of order"), "{failed}");

    std::fs::write(folder.path().join("images/b, c.png"), b"").expect("writable");
    let nothing = refused(&mut left_half);
    assert!(nothing.contains("no picture can be used"), "{nothing}");
}

fn casm(arguments: &[&str]) -> Output {
    Command::new(program("casm"))
        .arg("evaluate")
        .args(["--device", "cpu"])
        .args(arguments)
        .output()
        .expect("casm is built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("written")).expect("JSON")
}

/// The built-in model's encoder alone, which makes no masks.
fn classifier(folder: &Path) -> PathBuf {
    let path = folder.join("classifier.safetensors");
    let built_in = Checkpoint::built_in().expect("valid");
    let mut header = built_in.header().clone();
    header.network.decoder = None;
    let tensors = built_in.tensors().expect("valid");
    let tensors: Vec<_> = tensors
        .into_values()
        .filter(|tensor| tensor.name.starts_with("classifier."))
        .collect();
    let bytes = casm::checkpoint::serialize(&header, &tensors, casm::checkpoint::Storage::F16);
    std::fs::write(&path, bytes.expect("valid")).expect("writable");
    path
}

/// Labels 0 and 1 are among ImageNet's 1000 classes.
#[test]
fn the_command_writes_tables_json_and_csv_and_names_broken_pictures() {
    let folder = metadata();
    let broken = "a.png\nb, c.png\nbroken.jpg\n";
    let add =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("writable");
    add("image_ids.txt", broken);
    add("class_labels.txt", "a.png,1\nb, c.png,0\nbroken.jpg,0\n");
    add(
        "image_sizes.txt",
        "a.png,100,100\nb, c.png,80,40\nbroken.jpg,9,9\n",
    );
    add(
        "localization.txt",
        "a.png,0,0,50,100\nb, c.png,0,0,80,40\nbroken.jpg,0,0,9,9\n",
    );
    add("images/broken.jpg", "\u{ff}\u{d8} no picture");
    add(
        "split.json",
        "{\"A\": [\"n01440764\"], \"B\": [\"n01443537 goldfish\"], \"C\": [\"n99999999\"]}",
    );
    let at = |name: &str| folder.path().join(name);
    let (json, csv, split) = (at("out.json"), at("classes.csv"), at("split.json"));
    let output = casm(&[
        "--data",
        path(folder.path()),
        "--baselines",
        "--activation-model",
        path(&classifier(folder.path())),
        "--protocol",
        "wsoleval",
        "--binarize",
        "quantile",
        "--binarize",
        "mean:1.2",
        "--threshold-sweep",
        &format!("--per-class={}", path(&csv)),
        "--per-subset",
        path(&split),
        "--resamples",
        "50",
        "--json",
        path(&json),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("broken.jpg"),
        "{}",
        text(&output.stderr)
    );
    let table = text(&output.stdout);
    for part in [
        "3 pictures, 3 boxes",
        "crop, quantile",
        "stretch, mean:1.2",
        "stretch, value>0.9",
        "crop, full image",
        "stretch, centre box",
        "stretch, CAM, value>0.35",
        "stretch, CAM, best",
        "MaxBoxAccV2",
        "top-5",
        "std_batch128",
        "worst",
        "subset",
    ] {
        assert!(table.contains(part), "{part} is not in {table}");
    }

    let json = read_json(&json);
    assert_eq!(json["data"]["layout"], "metadata");
    assert_eq!(json["data"]["problems"].as_array().map(Vec::len), Some(1));
    let model = &json["models"][0];
    assert_eq!(model["pictures_evaluated"], 2);
    assert_eq!(model["classes_matched"], true);
    let numbers = model["numbers"].as_array().expect("numbers");
    // By hand: of the whole input 2 pictures' boxes are a half and all, so one is found.
    let full = numbers
        .iter()
        .find(|number| number["method"] == "full_image" && number["resize"] == "stretch")
        .expect("asked for");
    assert_eq!(full["value"], 0.5);
    let subsets: Vec<_> = model["per_subset"]
        .as_array()
        .expect("asked for")
        .iter()
        .map(|part| (part["name"].as_str(), part["pictures"].as_u64()))
        .collect();
    assert_eq!(
        subsets,
        [
            (Some("A"), Some(1)),
            (Some("B"), Some(1)),
            (Some("C"), Some(0))
        ]
    );

    let csv = std::fs::read_to_string(csv).expect("written");
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 3, "{csv}");
    assert!(
        lines[0].starts_with("model,class,pictures,localization_error,official_metric")
            && csv.contains("n01443537 goldfish")
    );
}

#[test]
fn two_models_are_compared_and_summed_up() {
    let folder = metadata();
    let model = folder.path().join("run");
    std::fs::create_dir(&model).expect("writable");
    let built_in = Checkpoint::built_in().expect("valid");
    let file = model.join("model.safetensors");
    std::fs::write(&file, built_in.bytes()).expect("writable");
    let json = folder.path().join("out.json");
    let output = casm(&[
        "--data",
        path(folder.path()),
        "--resize",
        "stretch",
        "--summary",
        "--model",
        path(&model),
        "--model",
        path(&file),
        "--json",
        path(&json),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(
        table.contains("largest") && table.contains("Second model less first"),
        "{table}"
    );
    let json = read_json(&json);
    let summary = &json["summary"][0];
    assert_eq!(summary["mean"], summary["max"]);
    let difference = json["difference"].as_array().expect("two models");
    assert!(difference.iter().all(|number| number["value"] == 0.0));
}

#[test]
fn what_cannot_be_evaluated_is_refused_with_exit_code_two() {
    let folder = metadata();
    let data = path(folder.path());
    let refused = |arguments: &[&str], part: &str| {
        let output = casm(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(part), "{part} is not in {message}");
    };
    refused(&["--data", "/nowhere"], "/nowhere");
    refused(
        &["--data", data, "--model", "/nowhere/m.safetensors"],
        "/nowhere/m.safetensors",
    );
    refused(&["--data", data, "--model", data], "no .safetensors");
    refused(&["--data", data, "--binarize", "median"], "quantile");
    refused(&["--data", data, "--limit", "0"], "--limit");
    refused(
        &["--data", data, "--protocol", "wsoleval", "--resize", "crop"],
        "wsoleval",
    );
    refused(
        &["--data", data, "--per-subset", "/nowhere.json"],
        "/nowhere.json",
    );
    let split = folder.path().join("split.json");
    std::fs::write(&split, "{\"A\": [\"n00000000\"]}").expect("writable");
    refused(
        &["--data", data, "--per-subset", path(&split)],
        "--per-subset",
    );

    let source = classifier(folder.path());
    refused(
        &["--data", data, "--model", path(&source)],
        "without a decoder",
    );
}

/// On all 650 pictures the built-in model has LE 32.6 and top-1 70.5 (its provenance), the full image 52.2
/// and the centre box 37.7 on the 1300 that they are half of. Of 65 the standard error is 5.8 points;
/// bounds are three of these.
#[test]
fn the_built_in_model_does_on_real_pictures_what_its_provenance_says() {
    let Some(sample) = casm_tests::data::file("ilsvrc-val-650-dev.tar") else {
        return;
    };
    let out = tempfile::tempdir().expect("a temporary folder");
    let json = out.path().join("out.json");
    let output = casm(&[
        "--data",
        path(&sample),
        "--limit",
        "65",
        "--baselines",
        "--resamples",
        "100",
        "--json",
        path(&json),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json = read_json(&json);
    let numbers = json["models"][0]["numbers"].as_array().expect("numbers");
    let value = |method: &str, measure: &str| {
        let number = numbers
            .iter()
            .find(|number| number["method"] == method && number["measure"] == measure);
        let number = number.expect("measured")["value"].as_f64();
        number.expect("a number")
    };
    for (method, measure, expected) in [
        ("model", "localization_error", 0.326),
        ("model", "top1", 0.705),
        ("full_image", "localization_error", 0.522),
        ("centre_box", "localization_error", 0.377),
    ] {
        let value = value(method, measure);
        assert!(
            (value - expected).abs() < 0.174,
            "{method} {measure}: {value}"
        );
    }
    let best = numbers
        .iter()
        .find(|number| {
            number["method"] == "class_activation_map" && !number["chosen_threshold"].is_null()
        })
        .expect("measured");
    let best = best["value"].as_f64().expect("a number");
    assert!((best - 0.336).abs() < 0.174, "{best}");
}
