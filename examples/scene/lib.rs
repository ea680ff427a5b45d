//! The demo clip: a little film that the project draws itself, with the object's exact box.
//!
//! An object of a kind that ImageNet knows moves and turns over a busy ground. Nothing is read
//! from disk, nothing is random between runs. In the order of the work:
//!
//! | module | part |
//! |---|---|
//! | `stage` | which object, ground, light and camera; where everything is in frame *i* |
//! | `solid` | the objects: signed distances and materials |
//! | `ground` | gravel, leaf, wooden boards |
//! | `tracer` | one ray: sphere tracing, soft shadow, ambient occlusion, haze |
//! | `film` | all rays: threads, depth of field, anti-aliasing, gamma |
//! | `noise`, `distance`, `vector` | the mathematics below |

#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod distance;
mod film;
mod ground;
mod noise;
mod solid;
mod stage;
mod tracer;
mod vector;

use casm_core::mask::BoundingBox;

pub use stage::Subject;

/// A clip to render: on one machine, equal scenes give equal pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scene {
    /// Columns of a picture.
    pub width: u32,
    /// Rows of a picture.
    pub height: u32,
    /// Length of the clip; after the last picture the first may follow without a jump.
    pub frames: u32,
    /// Pictures per second.
    pub rate: u32,
    /// The object that is shown.
    pub subject: Subject,
    /// Varies colours, light, direction and the ground's pattern; 0 is the plain version.
    pub seed: u32,
}

/// The goldfish, 480×270, 4.8 seconds at 25 pictures a second.
impl Default for Scene {
    fn default() -> Self {
        Self {
            width: 480,
            height: 270,
            frames: 120,
            rate: 25,
            subject: Subject::Goldfish,
            seed: 0,
        }
    }
}

/// One picture of a clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 8-bit RGB, packed, row by row.
    pub pixels: Vec<u8>,
    /// Which pixels show the object (not its shadow), row by row.
    pub on_object: Vec<bool>,
    /// The tightest box around the pixels of `on_object`.
    pub truth: BoundingBox,
}

impl Scene {
    /// Another clip for each seed, the three subjects in turn; the seed 0 is the default.
    pub fn with_seed(seed: u32) -> Self {
        Self {
            subject: Subject::ALL[seed as usize % Subject::ALL.len()],
            seed,
            ..Self::default()
        }
    }

    /// Renders picture `index`, on all cores; past the end the clip starts again.
    ///
    /// # Panics
    ///
    /// If the width or the height is 0.
    pub fn render(&self, index: u32) -> Picture {
        let index = index % self.frames.max(1);
        let (width, height) = (self.width as usize, self.height as usize);
        let exposure = film::expose(&stage::stage(self, index), width, height, index);
        Picture {
            width: self.width,
            height: self.height,
            truth: tight_box(&exposure.on_object, width),
            pixels: exposure.pixels,
            on_object: exposure.on_object,
        }
    }
}

/// The smallest rectangle with all marked cells; empty if there is none.
fn tight_box(marked: &[bool], columns: usize) -> BoundingBox {
    let cells = || {
        let marks = marked.iter().enumerate().filter(|(_, marked)| **marked);
        marks.map(|(cell, _)| ((cell % columns) as u32, (cell / columns) as u32))
    };
    let span = |axis: fn((u32, u32)) -> u32| {
        let first = cells().map(axis).min().unwrap_or(0);
        (
            first,
            cells().map(|cell| axis(cell) + 1).max().unwrap_or(0) - first,
        )
    };
    let ((x, width), (y, height)) = (span(|cell| cell.0), span(|cell| cell.1));
    BoundingBox {
        x,
        y,
        width,
        height,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(seed: u32) -> Scene {
        Scene {
            width: 96,
            height: 54,
            ..Scene::with_seed(seed)
        }
    }

    #[test]
    fn the_same_picture_comes_out_twice() {
        for seed in 0..3 {
            assert!(small(seed).render(17) == small(seed).render(17));
        }
    }

    #[test]
    fn seeds_and_moments_differ() {
        let first = small(0).render(0);
        assert!(first.pixels != small(0).render(30).pixels);
        assert!(first.pixels != small(3).render(0).pixels);
        assert_eq!(
            small(0),
            Scene {
                seed: 0,
                ..small(3)
            }
        );
    }

    #[test]
    fn the_clip_is_a_loop() {
        assert!(small(0).render(0) == small(0).render(120));
    }

    #[test]
    fn every_edge_of_the_box_touches_the_object_and_nothing_lies_outside() {
        for seed in 0..3 {
            let picture = small(seed).render(40);
            let marked = |x: u32, y: u32| picture.on_object[(y * picture.width + x) as usize];
            let BoundingBox {
                x,
                y,
                width,
                height,
            } = picture.truth;
            let (right, bottom) = (x + width, y + height);
            assert!((x..right).any(|column| marked(column, y)));
            assert!((x..right).any(|column| marked(column, bottom - 1)));
            assert!((y..bottom).any(|row| marked(x, row)));
            assert!((y..bottom).any(|row| marked(right - 1, row)));
            let inside = |column, row| (x..right).contains(&column) && (y..bottom).contains(&row);
            for row in 0..picture.height {
                for column in 0..picture.width {
                    assert!(!marked(column, row) || inside(column, row));
                }
            }
        }
    }

    #[test]
    fn the_object_is_always_whole_and_covers_a_tenth_to_almost_half_of_the_frame() {
        for seed in 0..9 {
            let scene = small(seed);
            for index in (0..scene.frames).step_by(6) {
                let picture = scene.render(index);
                let BoundingBox {
                    x,
                    y,
                    width,
                    height,
                } = picture.truth;
                let whole =
                    x > 0 && y > 0 && x + width < picture.width && y + height < picture.height;
                assert!(whole, "seed {seed}, picture {index}: {:?}", picture.truth);
                let covered = picture.on_object.iter().filter(|&&on| on).count();
                let share = covered as f64 / picture.on_object.len() as f64;
                assert!(
                    (0.10..0.45).contains(&share),
                    "seed {seed}, picture {index}: {share:.3}"
                );
            }
        }
    }

    #[test]
    fn the_object_moves_sideways_and_in_depth() {
        for seed in 0..3 {
            let boxes: Vec<_> = (0..8).map(|i| small(seed).render(15 * i).truth).collect();
            let spread = |of: fn(&BoundingBox) -> u32| {
                boxes.iter().map(of).max().unwrap() - boxes.iter().map(of).min().unwrap()
            };
            assert!(spread(|b| b.x + b.width / 2) > 6, "seed {seed}");
            assert!(spread(|b| b.width * b.height) > 300, "seed {seed}");
        }
    }

    #[test]
    fn the_ground_is_busy() {
        const SQUARE: usize = 12;
        for seed in 0..3 {
            let scene = Scene {
                width: 192,
                height: 108,
                ..small(seed)
            };
            let picture = scene.render(0);
            let mut ranges = Vec::new();
            for corner in 0..16 * 9 {
                let (left, top) = (corner % 16 * SQUARE, corner / 16 * SQUARE);
                let cells = || {
                    let row = |y| (left..left + SQUARE).map(move |x| y * 192 + x);
                    (top..top + SQUARE).flat_map(row)
                };
                if !cells().any(|cell| picture.on_object[cell]) {
                    let greens = || cells().map(|cell| picture.pixels[3 * cell + 1]);
                    let least = greens().min().expect("a square has cells");
                    ranges.push(greens().map(|green| u32::from(green - least)).max());
                }
            }
            let sum: u32 = ranges.iter().flatten().sum();
            // The sensor's noise alone makes a range of 3.
            let mean = sum as usize / ranges.len();
            assert!(mean > 20, "seed {seed}: a range of {mean} in a square");
        }
    }
}
