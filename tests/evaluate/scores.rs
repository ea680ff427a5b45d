//! A set and a network → numbers, by hand.

use std::cell::RefCell;

use casm::mask::Binarization;
use casm::{Checkpoint, Resize};
use casm_training::evaluation::{AnnotatedSet, Options, Predict, Rule, Scores, evaluate};

use crate::*;

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
