//! Drawing on frames of every format.

mod patches;

use super::*;
use crate::frame::{ColorMatrix, ColorSpace, Picture, PixelFormat};
use crate::geometry::Resize;
use crate::localizer::Object;
use crate::mask::{BinaryMask, BoundingBox, Component};

const SPACE: ColorSpace = ColorSpace {
    matrix: ColorMatrix::Bt709,
    full_range: false,
};
const MODES: [OverlayMode; 5] = [
    OverlayMode::Grey,
    OverlayMode::Box,
    OverlayMode::Mask,
    OverlayMode::Heatmap,
    OverlayMode::Contour,
];

fn background(x: u32, y: u32) -> [u8; 3] {
    [40 + x as u8 % 64, 90, 60 + y as u8 % 64]
}

/// A mask of 32x32 that is 1 in columns 8 to 24 and rows 4 to 28, with its box in the frame.
fn localization(geometry: &Geometry) -> Localization {
    let inside = |index: usize| (8..24).contains(&(index % 32)) && (4..28).contains(&(index / 32));
    let values: Vec<bool> = (0..32 * 32).map(inside).collect();
    let mask = values
        .iter()
        .map(|&inside| f32::from(u8::from(inside)))
        .collect();
    let bounding_box = BoundingBox {
        x: 8,
        y: 4,
        width: 16,
        height: 24,
    };
    Localization {
        mask: Mask {
            width: 32,
            height: 32,
            values: mask,
        },
        mask_mean: 0.375,
        objects: vec![Object {
            component: Component {
                pixels: BinaryMask {
                    width: 32,
                    height: 32,
                    values,
                },
                area: 16 * 24,
                bounding_box,
            },
            bounding_box: geometry.box_to_frame(bounding_box, 32, 32),
            confidence: 1.0,
            id: None,
            region: None,
        }],
        top_class: None,
    }
}

fn drawn(
    format: PixelFormat,
    (width, height): (u32, u32),
    resize: Resize,
    style: OverlayStyle,
) -> (Picture, Picture) {
    let before = Picture::new(format, (width, height), SPACE, background);
    let mut after = before.clone();
    let geometry = Geometry::new(resize, width, height, 32);
    let localization = localization(&geometry);
    Overlay::default()
        .draw(&mut after.frame_mut(), &localization, &geometry, &style)
        .unwrap();
    (before, after)
}

fn style(mode: OverlayMode, opacity: f32) -> OverlayStyle {
    OverlayStyle {
        mode,
        color: [220, 40, 90],
        opacity,
    }
}

#[track_caller]
fn assert_near(found: [u8; 3], expected: [u8; 3], place: &str) {
    // 2 levels: a colour that goes to YUV and back (frame/color.rs).
    let near = found
        .iter()
        .zip(expected)
        .all(|(found, expected)| found.abs_diff(expected) <= 2);
    assert!(near, "{place}: {found:?}, expected {expected:?}");
}

/// The colour of `style` as the format can show it.
fn shown(format: PixelFormat) -> [u8; 3] {
    if format != PixelFormat::Gray8 {
        return [220, 40, 90];
    }
    let [luma, ..] = SPACE.yuv_from_rgb([220, 40, 90]);
    SPACE.rgb_from_yuv([luma, 128, 128])
}

#[test]
fn the_rim_of_a_box_has_the_colour_and_the_rest_is_untouched() {
    // 64x64 doubles the mask: the box is columns 16 to 48, rows 8 to 56; lines are 2 wide.
    for format in PixelFormat::ALL {
        let (before, after) = drawn(
            format,
            (64, 64),
            Resize::Stretch,
            style(OverlayMode::Box, 1.0),
        );
        for (x, y) in (0..64).flat_map(|y| (0..64).map(move |x| (x, y))) {
            let inside = (16..48).contains(&x) && (8..56).contains(&y);
            let rim = inside && !((18..46).contains(&x) && (10..54).contains(&y));
            let place = format!("{format} {x} {y}");
            if rim {
                assert_near(after.rgb(x, y), shown(format), &place);
            } else {
                assert_eq!(after.rgb(x, y), before.rgb(x, y), "{place}");
            }
        }
    }
}

#[test]
fn a_mask_tints_its_inside_and_a_heat_map_everything() {
    for format in PixelFormat::ALL {
        let (before, after) = drawn(
            format,
            (64, 64),
            Resize::Stretch,
            style(OverlayMode::Mask, 1.0),
        );
        assert_near(after.rgb(32, 32), shown(format), format.name());
        assert_eq!(after.rgb(3, 3), before.rgb(3, 3), "{format}");
        let (before, after) = drawn(
            format,
            (64, 64),
            Resize::Stretch,
            style(OverlayMode::Heatmap, 0.5),
        );
        assert_ne!(after.rgb(3, 3), before.rgb(3, 3), "{format}");
        let sum = |[red, green, blue]: [u8; 3]| u32::from(red) + u32::from(green) + u32::from(blue);
        assert!(
            sum(after.rgb(32, 32)) > sum(after.rgb(3, 3)) + 60,
            "{format}"
        );
    }
}

#[test]
fn grey_at_full_opacity_is_the_mask_in_place_of_the_picture() {
    for format in PixelFormat::ALL {
        let (_, after) = drawn(
            format,
            (64, 64),
            Resize::Stretch,
            style(OverlayMode::Grey, 1.0),
        );
        assert_near(after.rgb(32, 32), [255; 3], format.name());
        assert_near(after.rgb(3, 3), [0; 3], format.name());
    }
}

#[test]
fn a_contour_follows_the_inside_of_the_edge() {
    for format in PixelFormat::ALL {
        let (before, after) = drawn(
            format,
            (64, 64),
            Resize::Stretch,
            style(OverlayMode::Contour, 1.0),
        );
        // The edge is at column 16 and rows 8 and 56, as the box's above.
        for (x, y) in [(16, 32), (17, 32), (46, 32), (47, 32), (32, 8), (32, 55)] {
            assert_near(after.rgb(x, y), shown(format), &format!("{format} {x} {y}"));
        }
        for (x, y) in [
            (15, 32),
            (18, 32),
            (48, 32),
            (32, 7),
            (32, 10),
            (32, 32),
            (32, 56),
        ] {
            assert_eq!(after.rgb(x, y), before.rgb(x, y), "{format} {x} {y}");
        }
    }
}

#[test]
fn padding_alpha_and_what_the_network_did_not_see_stay() {
    // 71x33 cropped: the network sees columns 19 to 52.
    for format in PixelFormat::ALL {
        for mode in MODES {
            for size in [(71, 33), (33, 71), (17, 33), (1, 1), (3, 1), (2, 64)] {
                for resize in [Resize::Stretch, Resize::Crop] {
                    let (before, after) = drawn(format, size, resize, style(mode, 1.0));
                    let place = format!("{format} {mode:?} {size:?} {resize:?}");
                    assert_eq!(after.other_bytes(), before.other_bytes(), "{place}");
                    let seen = Geometry::new(resize, size.0, size.1, 32).seen_area();
                    for (x, y) in (0..size.1).flat_map(|y| (0..size.0).map(move |x| (x, y))) {
                        let unseen = x < seen.x
                            || x >= seen.x + seen.width
                            || y < seen.y
                            || y >= seen.y + seen.height;
                        if unseen {
                            assert_eq!(after.rgb(x, y), before.rgb(x, y), "{place} {x} {y}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn any_box_can_be_drawn() {
    for format in PixelFormat::ALL {
        let mut picture = Picture::new(format, (17, 33), SPACE, background);
        let geometry = Geometry::new(Resize::Stretch, 17, 33, 32);
        let mut localization = localization(&geometry);
        for start in [0, 1, 15, 16, 17, 4000, u32::MAX] {
            for length in [0, 1, 3, 4, 5, 17, 4000, u32::MAX] {
                let shape = BoundingBox {
                    x: start,
                    y: start,
                    width: length,
                    height: length,
                };
                for object in &mut localization.objects {
                    (object.bounding_box, object.component.bounding_box) = (shape, shape);
                }
                for mode in MODES {
                    let mut frame = picture.frame_mut();
                    let style = style(mode, 0.5);
                    Overlay::default()
                        .draw(&mut frame, &localization, &geometry, &style)
                        .unwrap();
                }
            }
        }
    }
}

#[test]
fn without_objects_box_and_contour_draw_nothing() {
    for mode in [OverlayMode::Box, OverlayMode::Contour, OverlayMode::None] {
        let before = Picture::new(PixelFormat::Nv12, (16, 16), SPACE, background);
        let mut after = before.clone();
        let geometry = Geometry::new(Resize::Stretch, 16, 16, 32);
        let mut nothing = localization(&geometry);
        nothing.objects.clear();
        let mut frame = after.frame_mut();
        Overlay::default()
            .draw(&mut frame, &nothing, &geometry, &style(mode, 1.0))
            .unwrap();
        for (x, y) in (0..16).flat_map(|y| (0..16).map(move |x| (x, y))) {
            assert_eq!(after.rgb(x, y), before.rgb(x, y), "{mode:?}");
        }
    }
}

#[test]
fn a_mask_that_lacks_values_and_a_foreign_geometry_are_refused() {
    let mut picture = Picture::new(PixelFormat::I420, (16, 16), SPACE, background);
    let geometry = Geometry::new(Resize::Stretch, 16, 16, 32);
    let mut short = localization(&geometry);
    short.mask.values.pop();
    let mut draw = |geometry: &Geometry, mode| {
        let mut frame = picture.frame_mut();
        Overlay::default().draw(&mut frame, &short, geometry, &style(mode, 1.0))
    };
    assert!(draw(&geometry, OverlayMode::Box).is_ok());
    assert!(draw(&geometry, OverlayMode::Mask).is_err());
    let foreign = Geometry::new(Resize::Stretch, 32, 16, 32);
    assert!(draw(&foreign, OverlayMode::Box).is_err());
}
