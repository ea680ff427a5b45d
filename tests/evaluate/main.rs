//! `casm evaluate` and its library: hand-made sets in each layout, scores by hand, bad input, and the
//! sample of ILSVRC's validation pictures where it is at hand.

mod annotated;
mod command;
mod scores;

use std::path::Path;

use casm_training::evaluation::{AnnotatedPicture, AnnotatedSet, Annotation, Location};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// A folder with these text files and pictures (name, width, height).
pub fn folder(texts: &[(&str, &str)], pictures: &[(&str, u32, u32)]) -> TempDir {
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
pub fn metadata() -> TempDir {
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

/// Where a set is, with nothing else said.
pub fn location(data: &Path) -> Location {
    Location {
        data: data.to_owned(),
        ..Location::default()
    }
}

/// The set, which is in order.
pub fn open(data: &Path) -> AnnotatedSet {
    AnnotatedSet::open(&location(data)).unwrap_or_else(|error| panic!("{error:#}"))
}

/// What is said of one that is not.
pub fn refusal(location: &Location) -> String {
    let refused = AnnotatedSet::open(location).expect_err("not usable");
    format!("{refused:#}")
}

/// A box by its corners, inclusive.
pub fn annotation([xmin, ymin, xmax, ymax]: [i32; 4]) -> Annotation {
    Annotation {
        xmin,
        ymin,
        xmax,
        ymax,
    }
}

/// A picture as it is to be read.
pub fn picture(
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
