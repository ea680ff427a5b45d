use image::Rgb;

use super::*;
use crate::random::{Stream, generator};

const SCALE: (f64, f64) = (0.08, 1.0);
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);

#[test]
fn crops_have_the_area_and_shape_they_should() {
    let (width, height) = (600, 500);
    let full = f64::from(width * height);
    let (mut area, mut log_ratio, mut left) = (0.0, 0.0, 0.0);
    let count = 4000;
    for index in 0..count {
        let mut random = generator(1, Stream::Augment, 0, index);
        let region = random_region((width, height), (0.1, 0.3), RATIO, &mut random);
        let (part_width, part_height) = (f64::from(region.width), f64::from(region.height));
        let share = part_width * part_height / full;
        // A pixel of rounding on sides of at least 150.
        assert!((0.098..0.303).contains(&share), "{region:?}");
        let ratio = part_width / part_height;
        assert!((0.74..1.35).contains(&ratio), "{region:?}");
        assert!(region.x + region.width <= width && region.y + region.height <= height);
        area += share / count as f64;
        log_ratio += ratio.ln() / count as f64;
        left += f64::from(region.x) / f64::from(width - region.width) / count as f64;
    }
    // Uniform in [0.1, 0.3], [-0.288, 0.288], [0, 1]: means 0.2, 0, 0.5, of which one standard error is
    // (range / sqrt 12) / sqrt 4000 = 0.0009, 0.0026, 0.0046; four are allowed.
    assert!((area - 0.2).abs() < 0.004, "{area}");
    assert!(log_ratio.abs() < 0.011, "{log_ratio}");
    assert!((left - 0.5).abs() < 0.019, "{left}");
}

#[test]
fn pictures_too_narrow_for_any_crop_give_their_centre() {
    // By torchvision's rule: 20,000 / (4/3) is over 10 rows, so 10 * 4/3 = 13.33 columns at the centre;
    // upright 10 / (3/4) = 13.33 rows.
    let mut random = generator(1, Stream::Augment, 0, 0);
    let whole = (1.0, 1.0);
    let wide = random_region((20_000, 10), whole, RATIO, &mut random);
    assert_eq!((wide.x, wide.y, wide.width, wide.height), (9993, 0, 13, 10));
    let high = random_region((10, 20_000), whole, RATIO, &mut random);
    assert_eq!((high.x, high.y, high.width, high.height), (0, 9993, 10, 13));
    for index in 0..100 {
        let mut random = generator(1, Stream::Augment, 0, index);
        let pixel = random_region((1, 1), SCALE, RATIO, &mut random);
        assert_eq!((pixel.x, pixel.y, pixel.width, pixel.height), (0, 0, 1, 1));
    }
}

#[test]
fn half_of_the_pictures_are_mirrored() {
    // Left half black, right half white; the crop is the whole picture.
    let picture = RgbImage::from_fn(8, 8, |x, _| Rgb([if x < 4 { 0 } else { 255 }; 3]));
    let transform = |flip| Transform::Train {
        scale: (1.0, 1.0),
        ratio: (1.0, 1.0),
        whole: 0.0,
        squash: None,
        flip,
        jitter: 0.0,
    };
    let mirrored = |flip| {
        let inputs = (0..400).map(|index| {
            transform(flip)
                .apply(&picture, 8, &mut generator(1, Stream::Augment, 0, index))
                .0
        });
        inputs
            .filter(|input| input.get_pixel(0, 0).0 == [255; 3])
            .count()
    };
    assert_eq!(mirrored(false), 0);
    // Binomial: 200 with a standard deviation of 10.
    assert!((160..=240).contains(&mirrored(true)), "{}", mirrored(true));
}

#[test]
fn some_pictures_are_taken_whole() {
    let picture = RgbImage::new(40, 20);
    let transform = Transform::Train {
        scale: (0.08, 0.5),
        ratio: (1.0, 1.0),
        whole: 0.4,
        squash: None,
        flip: false,
        jitter: 0.0,
    };
    let whole = (0..400).filter(|&index| {
        let mut random = generator(1, Stream::Augment, 0, index);
        transform.apply(&picture, 8, &mut random).1 == View::WHOLE
    });
    // Binomial: 160 with a standard deviation of 10.
    let whole = whole.count();
    assert!((120..=200).contains(&whole), "{whole}");
}

#[test]
fn crops_of_squashed_pictures_are_squashed_too() {
    // Left third black, right two thirds white, 6:1. In the squashed square a crop of a quarter of the area
    // and as wide as high is half as wide as the picture and half as high; of the picture as it is, no square
    // is that large.
    let picture = RgbImage::from_fn(120, 20, |x, _| Rgb([if x < 40 { 0 } else { 255 }; 3]));
    let transform = Transform::Train {
        scale: (0.25, 0.25),
        ratio: (1.0, 1.0),
        whole: 0.0,
        squash: Some(60),
        flip: false,
        jitter: 0.0,
    };
    for index in 0..20 {
        let mut random = generator(1, Stream::Augment, 0, index);
        let (input, view) = transform.apply(&picture, 30, &mut random);
        assert_eq!((view.width, view.height), (0.5, 0.5));
        // Black where the view shows the first third; the pixel at the border is mixed.
        let black = input.pixels().filter(|pixel| pixel.0 == [0; 3]).count() as f32 / 900.0;
        let expected = (1.0_f32 / 3.0 - view.left).clamp(0.0, 0.5) / 0.5;
        assert!((black - expected).abs() < 0.05, "{black} of {view:?}");
    }
}

#[test]
fn light_changes_around_the_mean_and_within_bytes() {
    let mut picture = RgbImage::from_fn(2, 1, |x, _| {
        Rgb([[100, 110, 90], [120, 80, 100]][x as usize])
    });
    // By hand: the mean is 100, 120 after brightness 1.2; 110 becomes (132 - 120) / 2 + 120.
    change_light(&mut picture, 1.2, 0.5);
    assert_eq!(picture.into_raw(), [120, 126, 114, 132, 108, 120]);
    let mut extremes = RgbImage::from_fn(2, 1, |x, _| Rgb([255 * x as u8; 3]));
    change_light(&mut extremes, 1.3, 1.3);
    assert_eq!(extremes.into_raw(), [0, 0, 0, 255, 255, 255]);
}

#[test]
fn extreme_pictures_have_an_input_too() {
    for (width, height) in [(1, 1), (20_000, 1), (1, 20_000), (3, 2)] {
        let picture = RgbImage::from_pixel(width, height, Rgb([9, 8, 7]));
        for transform in [
            Transform::TRAIN,
            Transform::Crop { short: 256 },
            Transform::Stretch,
        ] {
            let mut random = generator(1, Stream::Augment, 0, 0);
            let (input, _) = transform.apply(&picture, 224, &mut random);
            assert_eq!(input.dimensions(), (224, 224));
            assert!(
                input.pixels().all(|pixel| pixel.0 == [9, 8, 7]),
                "{width}x{height}"
            );
        }
    }
}
