//! Boxes and masks that a person can follow by hand.

use super::*;

const OPTIONS: TrackOptions = TrackOptions {
    hysteresis: 0.8,
    patience: 2,
};

fn square(x: u32, side: u32) -> BoundingBox {
    BoundingBox {
        x,
        y: 0,
        width: side,
        height: side,
    }
}

fn mask(values: &[f32]) -> Mask {
    Mask {
        width: values.len(),
        height: 1,
        values: values.to_vec(),
    }
}

/// By hand: 0.75 · 0.4 + 0.25 · 0.8.
#[test]
fn an_average_follows_slowly_and_begins_anew_after_a_cut() {
    let mut average = MaskAverage::default();
    assert_eq!(average.add(mask(&[0.4, 0.4]), 0.75).values, [0.4, 0.4]);
    let second = average.add(mask(&[0.8, 0.4]), 0.75).values;
    assert!((second[0] - 0.5).abs() < 1e-6 && second[1] == 0.4);
    assert!(!average.was_cut());
    // The average is 0.5, 0.4: 0.9 of 1.9 is no cut, 0.8 of 1.0 is one.
    let (fits, other) = (mask(&[1.0, 0.0]), mask(&[0.0, 0.1]));
    assert!(average.clone().add(fits, 0.75).values[0] < 0.7);
    assert_eq!(average.add(other, 0.75).values, [0.0, 0.1]);
    assert!(average.was_cut());
    assert_eq!(average.add(mask(&[0.9]), 0.75).values, [0.9]);
    assert_eq!(average.add(mask(&[0.8]), 0.0).values, [0.8]);
    average.forget();
    assert_eq!(average.add(mask(&[0.7]), 0.75).values, [0.7]);
}

/// By hand: shifted by 1 of 20 the overlap is 19 / 21 = 0.905, by 3 it is 17 / 23 = 0.739.
#[test]
fn a_box_is_held_until_it_has_moved_enough() {
    let mut tracker = Tracker::default();
    let mut step = |x| tracker.update(&[square(x, 20)], &OPTIONS)[0];
    let first = step(10);
    assert_eq!(step(11), first);
    let moved = step(13);
    assert_eq!((moved.id, moved.bounding_box), (first.id, square(13, 20)));
}

#[test]
fn a_slow_object_keeps_its_number_however_far_it_goes() {
    let mut tracker = Tracker::default();
    let options = TrackOptions {
        hysteresis: 0.1,
        ..OPTIONS
    };
    for x in 0..60 {
        let found = tracker.update(&[square(x, 20)], &options)[0];
        assert_eq!(found.id, 1, "{x}");
        assert!(found.bounding_box.iou(&square(x, 20)) >= 0.1, "{x}");
    }
}

#[test]
fn numbers_stay_with_their_boxes_whatever_the_order() {
    let mut tracker = Tracker::default();
    let first = tracker.update(&[square(0, 20), square(100, 20)], &OPTIONS);
    let second = tracker.update(&[square(101, 20), square(1, 20)], &OPTIONS);
    assert_eq!((second[0].id, second[1].id), (first[1].id, first[0].id));
    // One object cannot be both of two boxes.
    let third = tracker.update(&[square(0, 20), square(0, 19)], &OPTIONS);
    assert_eq!(third[0].id, first[0].id);
    assert!(third[1].id > 2);
}

#[test]
fn an_object_is_missed_for_a_while_and_then_forgotten() {
    let mut tracker = Tracker::default();
    let id = |found: Vec<Tracked>| found.first().map(|tracked| tracked.id);
    assert_eq!(id(tracker.update(&[square(0, 20)], &OPTIONS)), Some(1));
    assert_eq!(id(tracker.update(&[], &OPTIONS)), None);
    assert_eq!(id(tracker.update(&[], &OPTIONS)), None);
    assert_eq!(id(tracker.update(&[square(0, 20)], &OPTIONS)), Some(1));
    for _ in 0..3 {
        tracker.update(&[], &OPTIONS);
    }
    assert_eq!(id(tracker.update(&[square(0, 20)], &OPTIONS)), Some(2));
    tracker.forget();
    assert_eq!(id(tracker.update(&[square(0, 20)], &OPTIONS)), Some(3));
}

/// By hand: the boxes overlap wholly, or by 19 / 21 = 0.905.
#[test]
fn a_number_does_not_pass_to_a_box_of_another_kind() {
    let mut tracker = Tracker::default();
    let mut step = |found: &[(u32, u32)]| -> Vec<(u64, BoundingBox)> {
        let objects = found.iter().map(|&(x, kind)| Object {
            bounding_box: square(x, 20),
            // Where this test keeps what the object is.
            region: Some(kind as usize),
            ..Object::default()
        });
        let mut objects: Vec<Object> = objects.collect();
        let kind = |object: &Object| object.region.map_or(0, |kind| kind as u32);
        tracker.follow(&mut objects, kind, &OPTIONS);
        let numbered = objects.iter().map(|object| {
            let id = object.id.expect("every object has a number");
            (id, object.bounding_box)
        });
        numbered.collect()
    };
    assert_eq!(step(&[(0, 7)]), [(1, square(0, 20))]);
    // At the same place, and not held where the other one was.
    assert_eq!(step(&[(1, 8)]), [(2, square(1, 20))]);
    let both = step(&[(1, 7), (1, 8)]);
    assert_eq!([both[0].0, both[1].0], [1, 2]);
    let turned = step(&[(0, 8), (0, 7)]);
    assert_eq!([turned[0].0, turned[1].0], [2, 1]);
}
