//! A picture that two threads make: the one that brings the frame, and the worker, which would only wait for it.
//!
//! Each takes strips that the other has not taken, so neither waits for the other as long as there are any, and the work
//! is shared however late the worker wakes up. A strip's lock is the claim to it.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, TryLockError};

use casm_core::input::InputBuilder;
use casm_core::{Frame, Geometry, Result};

use crate::saliency::imp::lock;

/// Of an input of 224 rows each has [`InputBuilder::ROWS`]: the last one that somebody waits for is short.
const STRIPS: usize = 28;

/// The rows of one picture.
#[derive(Default)]
pub struct Strips([Mutex<Strip>; STRIPS]);

#[derive(Default)]
struct Strip {
    made: bool,
    /// `[rows, S, 3]`.
    pixels: Vec<u8>,
}

impl Strips {
    /// For another picture: nothing of it is made.
    pub fn begin(&self) {
        self.0.iter().for_each(|strip| lock(strip).made = false);
    }

    /// Makes strips of the picture, from the first on, until there is none that nobody makes. The last is always left to
    /// the worker, so that it has its memory from the first picture on.
    ///
    /// # Errors
    /// Those of [`InputBuilder::build`].
    pub fn make(
        &self,
        input: &mut InputBuilder,
        frame: &Frame<'_>,
        geometry: &Geometry,
    ) -> Result<()> {
        let mut strips = self.0.iter().enumerate().take(STRIPS - 1);
        strips.try_for_each(|(at, strip)| match free(strip) {
            Some(mut strip) => strip.make(input, frame, geometry, rows(at, geometry)),
            None => Ok(()),
        })
    }

    /// Makes strips from the last on, waits for those that are being made, and puts all into `pixels`, `[S, S, 3]`.
    ///
    /// # Errors
    /// Those of [`InputBuilder::build`].
    pub fn complete(
        &self,
        input: &mut InputBuilder,
        frame: &Frame<'_>,
        geometry: &Geometry,
        pixels: &mut Vec<u8>,
    ) -> Result<()> {
        for (at, strip) in self.0.iter().enumerate().rev() {
            if let Some(mut strip) = free(strip) {
                strip.make(input, frame, geometry, rows(at, geometry))?;
            }
        }
        pixels.clear();
        for (at, strip) in self.0.iter().enumerate() {
            let mut strip = lock(strip);
            // The stream may have failed in it.
            strip.make(input, frame, geometry, rows(at, geometry))?;
            pixels.extend_from_slice(&strip.pixels);
        }
        Ok(())
    }
}

impl Strip {
    fn make(
        &mut self,
        input: &mut InputBuilder,
        frame: &Frame<'_>,
        geometry: &Geometry,
        rows: Range<usize>,
    ) -> Result<()> {
        if !self.made {
            input.build_rows(frame, geometry, rows, &mut self.pixels)?;
            self.made = true;
        }
        Ok(())
    }
}

/// The strip, if nobody is at it.
fn free(strip: &Mutex<Strip>) -> Option<MutexGuard<'_, Strip>> {
    match strip.try_lock() {
        Ok(strip) => Some(strip),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Rows of the input in the strip of this number; in the last ones there may be fewer, or none.
fn rows(at: usize, geometry: &Geometry) -> Range<usize> {
    let side = geometry.input_size as usize;
    let each = side.div_ceil(STRIPS).next_multiple_of(InputBuilder::ROWS);
    (at * each).min(side)..((at + 1) * each).min(side)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use casm_core::frame::{ColorSpace, Plane};
    use casm_core::{PixelFormat, Resize};

    use super::*;

    const SIZE: (u32, u32) = (70, 50);

    /// Lets `work` look at a frame of noise.
    fn with_frame<T>(work: impl FnOnce(&Frame<'_>) -> T) -> T {
        let bytes = SIZE.0 as usize * 3 * SIZE.1 as usize;
        let noise = (0..bytes as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8);
        let (noise, stride) = (noise.collect::<Vec<_>>(), SIZE.0 as usize * 3);
        let plane = Plane {
            data: &noise,
            stride,
        };
        let color = ColorSpace::default();
        let frame = Frame::new(PixelFormat::Rgb, SIZE.0, SIZE.1, color, [plane]);
        work(&frame.expect("its sizes fit"))
    }

    fn geometry(side: u32) -> Geometry {
        Geometry::new(Resize::Stretch, SIZE.0, SIZE.1, side)
    }

    /// Sizes whose last strips are as long as the others, shorter, and empty.
    #[test]
    fn however_they_share_it_the_picture_is_the_same() {
        for side in [224, 225, 31] {
            let (geometry, strips) = (geometry(side), Strips::default());
            with_frame(|frame| {
                let (mut ours, mut theirs) = (InputBuilder::default(), InputBuilder::default());
                let (mut expected, mut pixels) = (Vec::new(), vec![7; 5]);
                ours.build(frame, &geometry, &mut expected).expect("whole");
                for alone in [true, false, false, true] {
                    strips.begin();
                    std::thread::scope(|scope| {
                        if !alone {
                            scope.spawn(|| strips.make(&mut theirs, frame, &geometry));
                        }
                        strips.complete(&mut ours, frame, &geometry, &mut pixels)
                    })
                    .expect("it fits");
                    assert!(pixels == expected, "side {side}, alone: {alone}");
                }
            });
        }
    }

    #[test]
    fn what_one_is_at_the_other_leaves_alone_and_waits_for() {
        let (geometry, strips) = (geometry(224), Strips::default());
        with_frame(|frame| {
            let (mut input, mut expected) = (InputBuilder::default(), Vec::new());
            input.build(frame, &geometry, &mut expected).expect("whole");
            let mut slow = lock(&strips.0[3]);
            std::thread::scope(|scope| {
                let worker = scope.spawn(|| {
                    let (mut input, mut pixels) = (InputBuilder::default(), Vec::new());
                    let made = strips.complete(&mut input, frame, &geometry, &mut pixels);
                    made.map(|()| pixels)
                });
                strips.make(&mut input, frame, &geometry).expect("the rest");
                std::thread::sleep(Duration::from_millis(20));
                assert!(!worker.is_finished());
                let rows = rows(3, &geometry);
                slow.make(&mut input, frame, &geometry, rows).expect("last");
                drop(slow);
                let pixels = worker.join().expect("no panic").expect("it fits");
                assert!(pixels == expected);
            });
        });
    }

    #[test]
    fn a_stream_that_fails_leaves_its_strips_to_the_worker() {
        let (right, wrong) = (geometry(224), Geometry::new(Resize::Stretch, 8, 8, 224));
        let (mut input, mut pixels) = (InputBuilder::default(), Vec::new());
        let strips = Strips::default();
        with_frame(|frame| {
            assert!(strips.make(&mut input, frame, &wrong).is_err());
            strips
                .complete(&mut input, frame, &right, &mut pixels)
                .expect("it fits");
            assert_eq!(pixels.len(), 224 * 224 * 3);
            strips.begin();
            let failed = strips.complete(&mut input, frame, &wrong, &mut pixels);
            assert!(failed.is_err());
        });
    }
}
