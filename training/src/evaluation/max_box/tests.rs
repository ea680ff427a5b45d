use super::*;

fn annotation([xmin, ymin, xmax, ymax]: [i32; 4]) -> Annotation {
    Annotation {
        xmin,
        ymin,
        xmax,
        ymax,
    }
}

/// One string a row, a digit a pixel.
fn drawn(rows: &[&str]) -> Mask {
    let values = rows
        .iter()
        .flat_map(|row| row.bytes().map(|byte| f32::from(byte - b'0')))
        .collect();
    Mask {
        width: rows[0].len(),
        height: rows.len(),
        values,
    }
}

fn all_boxes(rows: &[&str], level: u8) -> (Corners, Vec<Corners>) {
    let boxes = boxes(&grey_levels(&drawn(rows)), level);
    let mut all = boxes.all;
    all.sort_unstable();
    (boxes.largest[0], all)
}

/// By hand: x + width is one beyond the last column, but not beyond the picture's last.
#[test]
fn a_box_ends_one_pixel_late_but_in_the_picture() {
    let rows = ["00000", "01100", "01100", "00000", "00000"];
    assert_eq!(all_boxes(&rows, 0), ([1, 1, 3, 3], vec![[1, 1, 3, 3]]));
    // Touching all four borders.
    let rows = ["111", "110", "111"];
    assert_eq!(all_boxes(&rows, 0), ([0, 0, 2, 2], vec![[0, 0, 2, 2]]));
}

/// By hand: corners join, so this is one contour and not two.
#[test]
fn pixels_that_touch_at_a_corner_are_one_contour() {
    let rows = ["0000", "1000", "0100", "0000"];
    assert_eq!(all_boxes(&rows, 0), ([0, 1, 2, 3], vec![[0, 1, 2, 3]]));
}

/// By hand: a ring of 5 x 5 around a hole of 3 x 3 and a dot within. The hole's contour runs through
/// the ring's pixels, also in the corners' neighbours, so its box is the ring's.
#[test]
fn holes_have_contours_too_and_islands_in_them() {
    let rows = [
        "0000000", "0111110", "0100010", "0101010", "0100010", "0111110", "0000000",
    ];
    let (largest, all) = all_boxes(&rows, 0);
    assert_eq!(largest, [1, 1, 6, 6]);
    assert_eq!(all, [[1, 1, 6, 6], [1, 1, 6, 6], [3, 3, 4, 4]]);
}

/// By hand, through centres: a line of 1 x 6 has no area, a square of 2 x 2 has 1; pixels would say 6 and 4.
#[test]
fn the_largest_contour_is_that_with_the_largest_polygon() {
    let rows = ["111111", "000000", "110000", "110000"];
    assert_eq!(all_boxes(&rows, 0).0, [0, 2, 2, 3]);
}

/// By hand: values 0, 1, 3, 5 of 0 … 5 are levels 0, 51, 153, 255; marked is what is above.
#[test]
fn levels_run_from_the_least_value_to_the_largest() {
    let rows = ["2222", "2357", "2222"];
    for (level, left) in [(50, 1), (51, 2), (152, 2), (153, 3), (254, 3)] {
        assert_eq!(all_boxes(&rows, level).0[0], left, "{level}");
    }
}

#[test]
fn a_constant_mask_gives_the_first_pixel() {
    let score = MaxBoxScore::new(&drawn(&["11", "11"]), &[annotation([0, 0, 0, 0])]);
    assert!(score.largest.contains(0) && score.largest.contains(254));
    let broken = Mask {
        width: 2,
        height: 1,
        values: vec![f32::NAN, 1.0],
    };
    assert_eq!(boxes(&grey_levels(&broken), 0).all, [[0; 4]]);
}

/// By hand: 2 x 2 and 2 x 4 pixels share 2 x 2: a half, which is enough.
#[test]
fn the_last_column_and_row_count_and_a_half_is_enough() {
    assert_eq!(iou([0, 0, 1, 1], annotation([0, 0, 1, 3])), 0.5);
    assert_eq!(iou([0, 0, 1, 1], annotation([2, 0, 3, 1])), 0.0);
    let score = MaxBoxScore::new(
        &drawn(&["1000", "0000", "0000", "0000"]),
        &[annotation([0, 0, 1, 3])],
    );
    // The single pixel's box is 0, 0, 1, 1.
    assert!(score.largest.contains(0));
    assert_eq!(score.any.map(|set| set.contains(0)), [true, true, false]);
}

/// By hand: the object is the small bright spot; the large dim one hides it from V1 at low thresholds.
#[test]
fn any_contour_may_find_what_the_largest_misses() {
    let rows = ["222000", "222000", "222000", "000044", "000044"];
    let score = MaxBoxScore::new(&drawn(&rows), &[annotation([4, 3, 5, 4])]);
    assert!(!score.largest.contains(0) && score.any[2].contains(0));
    assert!(score.largest.contains(200) && score.any[2].contains(200));
}

#[test]
fn the_best_threshold_is_one_for_all_pictures() {
    let set = |levels: &[usize]| {
        let mut set = LevelSet::default();
        levels.iter().for_each(|&level| set.insert(level));
        set
    };
    let sets = [set(&[3, 70, 254]), set(&[70, 254]), set(&[3, 200])];
    assert_eq!(best_level(&sets), Some((3, vec![true, false, true])));
    let sets = [set(&[3, 254]), set(&[254])];
    assert_eq!(best_level(&sets), Some((254, vec![true, true])));
    assert_eq!(best_level(&[]), None);
}

/// By hand: 375 · 224 / 500 = 168.
#[test]
fn annotations_are_multiplied_before_they_are_divided() {
    assert_eq!(
        to_stretched(annotation([375, 0, 500, 250]), 500, 500, 224),
        annotation([168, 0, 224, 112])
    );
}

/// By hand: the full image's box is 0, 0, 3, 3, 16 pixels with its last column and row; the object has 6
/// of them: 0.375.
#[test]
fn a_box_is_found_at_all_thresholds_or_none() {
    let full = BoundingBox {
        x: 0,
        y: 0,
        width: 4,
        height: 4,
    };
    let score = MaxBoxScore::of_box(&full, 4, &[annotation([1, 0, 2, 2])]);
    assert!(score.any[0].contains(0) && score.any[0].contains(254));
    assert!(!score.any[1].contains(0) && !score.largest.contains(254));
}
