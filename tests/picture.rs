//! Decoding of pictures as other programs write them: `tests/data/picture`, made by Pillow.

use std::path::Path;

use casm_training::picture;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

/// The four fields of the pictures, from left to right; see `make_pictures.py`.
const COLOURS: [[u8; 3]; 4] = [[200, 40, 40], [40, 200, 40], [40, 40, 200], [230, 230, 230]];
/// The same in Pillow's grey: (299 R + 587 G + 114 B) / 1000.
const GREYS: [[u8; 3]; 4] = [[88; 3], [134; 3], [58; 3], [230; 3]];

fn file(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/picture");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn error(bytes: &[u8]) -> String {
    format!("{:#}", picture::decode(bytes).expect_err("it is damaged"))
}

#[test]
fn all_kinds_of_pictures_become_rgb() {
    for (name, expected, tolerance) in [
        ("plain.jpg", COLOURS, 1),
        ("progressive.jpg", COLOURS, 1),
        ("restart.jpg", COLOURS, 1),
        ("turned.jpg", COLOURS, 1),
        ("cmyk.jpg", COLOURS, 2),
        ("palette.png", COLOURS, 0),
        ("lossy.webp", COLOURS, 3),
        ("grey_alpha.png", GREYS, 0),
        // 0x4080 and 0xC0FF of 0xFFFF: 64.25 and 192.2 of 255.
        ("grey16.png", [[64; 3], [64; 3], [192; 3], [192; 3]], 0),
    ] {
        let decoded =
            picture::decode(&file(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(decoded.dimensions(), (64, 16), "{name}");
        for (field, expected) in expected.iter().enumerate() {
            let found = decoded.get_pixel(16 * field as u32 + 8, 8).0;
            let near = |(one, other): (&u8, &u8)| one.abs_diff(*other) <= tolerance;
            assert!(
                found.iter().zip(expected).all(near),
                "{name} {field}: {found:?}"
            );
        }
    }
}

#[test]
fn a_truncated_picture_is_an_error_wherever_it_ends() {
    for name in [
        "plain.jpg",
        "progressive.jpg",
        "restart.jpg",
        "turned.jpg",
        "cmyk.jpg",
    ] {
        let bytes = file(name);
        for length in 3..bytes.len() {
            let message = error(&bytes[..length]);
            assert!(message.contains("truncated"), "{name} {length}: {message}");
        }
        // As a download that broke off after the file's length was reserved.
        let mut padded = bytes[..bytes.len() * 3 / 4].to_vec();
        padded.resize(bytes.len(), 0);
        assert!(error(&padded).contains("truncated"), "{name}");
        // What follows the end does no harm.
        let longer = [&bytes[..], b"more"].concat();
        assert!(picture::decode(&longer).is_ok(), "{name}");
    }
    for name in ["palette.png", "lossy.webp"] {
        let bytes = file(name);
        for length in 0..bytes.len() - 16 {
            assert!(
                picture::decode(&bytes[..length]).is_err(),
                "{name} {length}"
            );
        }
    }
}

#[test]
fn what_is_no_picture_is_told() {
    assert!(error(b"").contains("empty"));
    assert!(error(b"<html>404</html>").contains("neither JPEG nor PNG nor WebP"));
    assert!(error(b"GIF89a\x01\x00\x01\x00\x00\x00\x00;").contains("neither"));
}

#[test]
fn damaged_bytes_never_panic() {
    for name in [
        "plain.jpg",
        "progressive.jpg",
        "turned.jpg",
        "cmyk.jpg",
        "palette.png",
        "lossy.webp",
    ] {
        let bytes = file(name);
        for place in 0..bytes.len() {
            for value in [0x00, 0x7f, 0xff, bytes[place] ^ 0x10] {
                let mut damaged = bytes.clone();
                damaged[place] = value;
                let _ = picture::decode(&damaged);
            }
        }
    }
}

#[test]
fn sizes_from_one_pixel_to_the_limit() {
    let png = |width, height| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = DynamicImage::ImageRgb8(RgbImage::from_pixel(width, height, Rgb([5, 6, 7])));
        picture
            .write_to(&mut bytes, ImageFormat::Png)
            .expect("memory");
        bytes.into_inner()
    };
    for (width, height) in [(1, 1), (20_000, 1), (1, 20_000)] {
        let decoded = picture::decode(&png(width, height)).expect("a good picture");
        assert_eq!(decoded.dimensions(), (width, height));
    }
    // Only the header says so: 20,000 x 20,000 pixels, which would take 1.2 GB.
    let mut bytes = png(1, 1);
    bytes[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    let message = error(&bytes);
    assert!(message.contains("20000x20000 pixels"), "{message}");

    let mut bytes = file("plain.jpg");
    let frame = bytes
        .windows(2)
        .position(|pair| pair == [0xff, 0xc0])
        .expect("a frame header");
    bytes[frame + 5..frame + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
    let message = error(&bytes);
    assert!(message.contains("20000x20000 pixels"), "{message}");
}

/// The checksum of PNG's chunks.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}
