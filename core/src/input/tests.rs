//! Frames of every format → input pixels.

use super::*;
use crate::frame::{ColorMatrix, ColorSpace, Picture};
use crate::geometry::Resize;

const BT709_FULL: ColorSpace = ColorSpace {
    matrix: ColorMatrix::Bt709,
    full_range: true,
};
const BT709: ColorSpace = ColorSpace {
    matrix: ColorMatrix::Bt709,
    full_range: false,
};

fn input(picture: &Picture, resize: Resize, size: u32) -> Vec<u8> {
    let frame = picture.frame();
    let geometry = Geometry::new(resize, frame.width(), frame.height(), size);
    let mut pixels = Vec::new();
    InputBuilder::default()
        .build(&frame, &geometry, &mut pixels)
        .unwrap();
    pixels
}

/// Slow ramps of colour, with a grey value for formats that have no other.
fn ramp(x: u32, y: u32, grey: bool) -> [u8; 3] {
    let (x, y) = ((x * 3) as u8, (y * 2) as u8);
    if grey {
        [x + y; 3]
    } else {
        [x, 200 - y, 60 + x / 2 + y]
    }
}

fn largest_difference(first: &[u8], second: &[u8]) -> u8 {
    assert_eq!(first.len(), second.len());
    first
        .iter()
        .zip(second)
        .map(|(first, second)| first.abs_diff(*second))
        .max()
        .unwrap_or(0)
}

#[test]
fn every_format_gives_the_same_pixels() {
    // Packed RGB is the same to the bit. YUV of 8 bits costs 2 levels, as for a colour that goes
    // there and back (frame/color.rs), and as much again because chroma at half the size does not
    // follow the ramp up to the edges of the frame. Measured: 4 at 17x33.
    for size in [(17, 33), (40, 24)] {
        for resize in [Resize::Stretch, Resize::Crop] {
            for format in PixelFormat::ALL {
                let grey = format == PixelFormat::Gray8;
                let rgb = |x, y| ramp(x, y, grey);
                let expected = Picture::new(PixelFormat::Rgb, size, BT709_FULL, rgb);
                let expected = input(&expected, resize, 32);
                let tolerance = if format.packed_rgb().is_some() { 0 } else { 4 };
                for space in [BT709, BT709_FULL] {
                    let found = input(&Picture::new(format, size, space, rgb), resize, 32);
                    let off = largest_difference(&found, &expected);
                    assert!(
                        off <= tolerance,
                        "{format} {size:?} {resize:?} {space:?}: {off}"
                    );
                }
            }
        }
    }
}

#[test]
fn parts_are_rows_of_the_whole() {
    for format in PixelFormat::ALL {
        let picture = Picture::new(format, (50, 41), BT709, |x, y| ramp(x, y, false));
        let frame = picture.frame();
        for resize in [Resize::Stretch, Resize::Crop] {
            let geometry = Geometry::new(resize, 50, 41, 33);
            let whole = input(&picture, resize, 33);
            let (mut builder, mut part) = (InputBuilder::default(), Vec::new());
            // Blocks of rows that begin elsewhere, the last row, and beyond it.
            for rows in [0..33, 8..24, 5..22, 32..40, 40..48] {
                let built = builder.build_rows(&frame, &geometry, rows.clone(), &mut part);
                built.unwrap();
                let expected = &whole[rows.start.min(33) * 99..rows.end.min(33) * 99];
                assert!(part == expected, "{format} {resize:?} {rows:?}");
            }
        }
    }
}

#[test]
fn a_single_pixel_fills_the_input() {
    for format in PixelFormat::ALL {
        let color = if format == PixelFormat::Gray8 {
            [90; 3]
        } else {
            [200, 90, 30]
        };
        let picture = Picture::new(format, (1, 1), BT709, |_, _| color);
        for resize in [Resize::Stretch, Resize::Crop] {
            let pixels = input(&picture, resize, 32);
            // 2 levels: a colour that goes to YUV and back (frame/color.rs).
            let off = largest_difference(&pixels, &color.repeat(32 * 32));
            assert!(off <= 2, "{format} {resize:?}: {off}");
        }
    }
}

#[test]
fn a_frame_of_the_input_size_is_copied() {
    let picture = Picture::new(PixelFormat::Rgb, (32, 32), BT709, |x, y| {
        [x as u8, y as u8, 7]
    });
    let pixels = input(&picture, Resize::Stretch, 32);
    let expected: Vec<u8> = (0..32)
        .flat_map(|y| (0..32).flat_map(move |x| [x, y, 7]))
        .collect();
    assert_eq!(pixels, expected);
}

#[test]
fn limited_range_is_stretched_and_full_range_is_not() {
    // Luma 16 and 235 are black and white of limited range; 126 is (126 - 16) * 255 / 219.
    let bytes = [16, 235, 126, 126];
    for (full_range, expected) in [(false, [0, 255, 128, 128]), (true, bytes)] {
        let color = ColorSpace {
            matrix: ColorMatrix::Bt601,
            full_range,
        };
        let planes = vec![crate::frame::Plane {
            data: &bytes,
            stride: 2,
        }];
        let frame = Frame::new(PixelFormat::Gray8, 2, 2, color, planes).unwrap();
        let geometry = Geometry::new(Resize::Stretch, 2, 2, 2);
        let mut pixels = Vec::new();
        InputBuilder::default()
            .build(&frame, &geometry, &mut pixels)
            .unwrap();
        assert_eq!(pixels, expected.map(|value| [value; 3]).as_flattened());
    }
}

#[test]
fn the_crop_is_the_window_of_the_resized_frame() {
    // 60x30 to 32: resized 64x32, of which columns 16 to 48 are the input. The same pixels come
    // out of a resize of the whole frame, here as two squares of 32 side by side.
    let picture = Picture::new(PixelFormat::Rgb, (60, 30), BT709, |x, y| ramp(x, y, false));
    let frame = picture.frame();
    let mut builder = InputBuilder::default();
    let crop = Geometry::new(Resize::Crop, 60, 30, 32);
    assert_eq!((crop.resized, crop.offset), ((64, 32), (16, 0)));
    let [mut cropped, mut left, mut right] = [Vec::new(), Vec::new(), Vec::new()];
    builder.build(&frame, &crop, &mut cropped).unwrap();
    builder
        .build(
            &frame,
            &Geometry {
                offset: (0, 0),
                ..crop
            },
            &mut left,
        )
        .unwrap();
    builder
        .build(
            &frame,
            &Geometry {
                offset: (32, 0),
                ..crop
            },
            &mut right,
        )
        .unwrap();
    let rows = left.chunks_exact(96).zip(right.chunks_exact(96));
    let expected: Vec<u8> = rows
        .flat_map(|(left, right)| [&left[48..], &right[..48]].concat())
        .collect();
    assert_eq!(cropped, expected);
}

#[test]
fn a_foreign_geometry_is_refused() {
    let picture = Picture::new(PixelFormat::Rgb, (8, 8), BT709, |_, _| [0; 3]);
    let good = Geometry::new(Resize::Stretch, 8, 8, 4);
    let build =
        |geometry| InputBuilder::default().build(&picture.frame(), &geometry, &mut Vec::new());
    assert!(build(good).is_ok());
    assert!(
        build(Geometry {
            frame_width: 9,
            ..good
        })
        .is_err()
    );
    assert!(
        build(Geometry {
            offset: (1, 0),
            ..good
        })
        .is_err()
    );
    assert!(
        build(Geometry {
            offset: (u32::MAX, 0),
            ..good
        })
        .is_err()
    );
    assert!(
        build(Geometry {
            input_size: 0,
            ..good
        })
        .is_err()
    );
}

/// Noise, which shows every rounding.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..bytes).map(next).collect()
}

/// `fast_image_resize` has Pillow's filter, too, and rounds to bytes between width and height, as Pillow does.
#[test]
fn noise_is_resized_as_by_another_resizer_within_a_level() {
    use fast_image_resize::images::{Image, ImageRef};
    use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

    for (width, height) in [(640, 360), (225, 500), (100, 90), (31, 7)] {
        let bytes = noise((width * height * 3) as usize);
        let plane = crate::frame::Plane {
            data: &bytes,
            stride: width as usize * 3,
        };
        let frame = Frame::new(PixelFormat::Rgb, width, height, BT709, [plane]).unwrap();
        let geometry = Geometry::new(Resize::Stretch, width, height, 224);
        let mut pixels = Vec::new();
        InputBuilder::default()
            .build(&frame, &geometry, &mut pixels)
            .unwrap();

        let source = ImageRef::new(width, height, &bytes, PixelType::U8x3).unwrap();
        let mut expected = Image::new(224, 224, PixelType::U8x3);
        let bilinear = ResizeAlg::Convolution(FilterType::Bilinear);
        Resizer::new()
            .resize(
                &source,
                &mut expected,
                &ResizeOptions::new().resize_alg(bilinear),
            )
            .unwrap();
        let expected = expected.buffer();
        assert!(
            largest_difference(&pixels, expected) <= 1,
            "{width}x{height}"
        );
        // A systematic error would hide within a level.
        let sum = |pixels: &[u8]| pixels.iter().map(|&value| f64::from(value)).sum::<f64>();
        let off = (sum(&pixels) - sum(expected)) / pixels.len() as f64;
        assert!(off.abs() < 0.003, "{width}x{height}: {off}");
    }
}

#[test]
fn every_kernel_gives_the_same_bytes_whatever_was_built_before() {
    let mut kernels = vec![Kernel::Plain, Kernel::default()];
    #[cfg(target_arch = "x86_64")]
    kernels.extend(crate::vector::Avx2::new().map(Kernel::Avx2));
    let with = |kernel| InputBuilder {
        kernel,
        ..InputBuilder::default()
    };
    let mut used: Vec<InputBuilder> = kernels.into_iter().map(with).collect();
    for format in PixelFormat::ALL {
        // The wide ones: taps of the last column end at the edge, long before those of the others.
        for (width, height) in [
            (301, 97),
            (64, 64),
            (63, 40),
            (16, 16),
            (1, 1),
            (2000, 9),
            (8192, 5),
        ] {
            let planes = (0..format.plane_count()).map(|plane| {
                let size = format.plane_size(plane, width, height);
                (
                    noise(size.row_bytes() * size.rows as usize),
                    size.row_bytes(),
                )
            });
            let planes: Vec<_> = planes.collect();
            let planes = planes.iter().map(|(data, stride)| crate::frame::Plane {
                data,
                stride: *stride,
            });
            let frame = Frame::new(format, width, height, BT709, planes).unwrap();
            for resize in [Resize::Stretch, Resize::Crop] {
                let geometry = Geometry::new(resize, width, height, 48);
                let mut new = with(Kernel::Plain);
                let results = used.iter_mut().chain([&mut new]).map(|builder| {
                    let mut pixels = Vec::new();
                    builder.build(&frame, &geometry, &mut pixels).unwrap();
                    pixels
                });
                let results: Vec<Vec<u8>> = results.collect();
                let same = results.iter().all(|pixels| *pixels == results[0]);
                assert!(same, "{format} {width}x{height} {resize:?}");
            }
        }
    }
}
