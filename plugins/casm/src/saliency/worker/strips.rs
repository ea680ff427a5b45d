//! A picture that two threads make: the one that brings the frame, and the worker, which would only wait for it.
//!
//! Each takes strips that the other has not taken, so the work is shared however late the worker wakes up. A strip's lock
//! is the claim to it. Neither waits for the other: a thread that holds a lock may not be running.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, TryLockError};

use casm_core::engine::LaidFrame;
use casm_core::input::InputBuilder;
use casm_core::{Geometry, Result};

use crate::saliency::imp::lock;

/// At most so many: of an input of 224 rows each has [`InputBuilder::ROWS`].
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

/// What the worker completes pictures with, kept for its memory.
#[derive(Default)]
pub struct Assembly {
    input: InputBuilder,
    /// Of a strip that the stream is at.
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
    pub fn make(&self, input: &mut InputBuilder, laid: &LaidFrame<'_>) -> Result<()> {
        let count = count(&laid.geometry);
        let mut strips = self.0.iter().enumerate().take(count.saturating_sub(1));
        strips.try_for_each(|(at, strip)| match free(strip) {
            Some(mut strip) => strip.make(input, laid, at),
            None => Ok(()),
        })
    }
}

impl Assembly {
    /// Makes strips from the last on, and puts all into `pixels`, `[S, S, 3]`.
    ///
    /// # Errors
    /// Those of [`InputBuilder::build`].
    pub fn complete(
        &mut self,
        strips: &Strips,
        laid: &LaidFrame<'_>,
        pixels: &mut Vec<u8>,
    ) -> Result<()> {
        let side = laid.geometry.input_size as usize;
        let strips = &strips.0[..count(&laid.geometry)];
        for (at, strip) in strips.iter().enumerate().rev() {
            if let Some(mut strip) = free(strip) {
                strip.make(&mut self.input, laid, at)?;
            }
        }
        pixels.resize(side * side * 3, 0);
        let mut missing = [false; STRIPS];
        for (at, strip) in strips.iter().enumerate() {
            missing[at] = !self.copy(strip, at, laid, pixels)?;
        }
        // Once more, for what the stream was at. If it still is, that is made anew: it may not be running.
        for (at, strip) in strips.iter().enumerate() {
            if missing[at] && !self.copy(strip, at, laid, pixels)? {
                let rows = rows(at, &laid.geometry);
                let LaidFrame { frame, geometry } = laid;
                self.input
                    .build_rows(frame, geometry, rows.clone(), &mut self.pixels)?;
                pixels[rows.start * side * 3..rows.end * side * 3].copy_from_slice(&self.pixels);
            }
        }
        Ok(())
    }

    /// Copies a strip to its place in `pixels`, if nobody is at it. One that the stream has left, because it could not be
    /// made, is tried again.
    fn copy(
        &mut self,
        strip: &Mutex<Strip>,
        at: usize,
        laid: &LaidFrame<'_>,
        pixels: &mut [u8],
    ) -> Result<bool> {
        let Some(mut strip) = free(strip) else {
            return Ok(false);
        };
        strip.make(&mut self.input, laid, at)?;
        let row = laid.geometry.input_size as usize * 3;
        let rows = rows(at, &laid.geometry);
        pixels[rows.start * row..rows.end * row].copy_from_slice(&strip.pixels);
        Ok(true)
    }
}

impl Strip {
    fn make(&mut self, input: &mut InputBuilder, laid: &LaidFrame<'_>, at: usize) -> Result<()> {
        if !self.made {
            let LaidFrame { frame, geometry } = laid;
            input.build_rows(frame, geometry, rows(at, geometry), &mut self.pixels)?;
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

/// Rows of a strip; the last one may have fewer.
fn height(geometry: &Geometry) -> usize {
    let side = geometry.input_size as usize;
    side.div_ceil(STRIPS).next_multiple_of(InputBuilder::ROWS)
}

/// Strips of the input.
fn count(geometry: &Geometry) -> usize {
    (geometry.input_size as usize).div_ceil(height(geometry).max(1))
}

/// Rows of the input in the strip of this number.
fn rows(at: usize, geometry: &Geometry) -> Range<usize> {
    let (side, height) = (geometry.input_size as usize, height(geometry));
    at * height..((at + 1) * height).min(side)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use casm_core::frame::{ColorSpace, Plane};
    use casm_core::{Frame, PixelFormat, Resize};

    use super::*;

    const SIZE: (u32, u32) = (70, 50);

    /// Lets `work` look at a frame of noise, for an input of this `side`, and at that input.
    fn with_frame(side: u32, work: impl FnOnce(LaidFrame<'_>, Vec<u8>)) {
        let bytes = SIZE.0 as usize * 3 * SIZE.1 as usize;
        let noise = (0..bytes as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8);
        let (noise, stride) = (noise.collect::<Vec<_>>(), SIZE.0 as usize * 3);
        let plane = Plane {
            data: &noise,
            stride,
        };
        let color = ColorSpace::default();
        let frame = Frame::new(PixelFormat::Rgb, SIZE.0, SIZE.1, color, [plane]);
        let frame = frame.expect("its sizes fit");
        let geometry = Geometry::new(Resize::Stretch, SIZE.0, SIZE.1, side);
        let mut expected = Vec::new();
        InputBuilder::default()
            .build(&frame, &geometry, &mut expected)
            .expect("it fits");
        work(LaidFrame { frame, geometry }, expected);
    }

    fn made(strips: &Strips) -> Vec<bool> {
        strips.0.iter().map(|strip| lock(strip).made).collect()
    }

    /// Sizes with strips of equal rows, with a shorter last one, with fewer strips, and with one.
    #[test]
    fn a_stream_makes_all_but_the_last_and_the_worker_the_rest() {
        let (strips, mut assembly) = (Strips::default(), Assembly::default());
        let (mut input, mut pixels) = (InputBuilder::default(), vec![7; 5]);
        for (side, count) in [(224, 28), (225, 15), (100, 13), (8, 1)] {
            with_frame(side, |laid, expected| {
                for helped in [true, false] {
                    strips.begin();
                    if helped {
                        strips.make(&mut input, &laid).expect("it fits");
                        let expected = (0..STRIPS).map(|at| at + 1 < count);
                        assert_eq!(made(&strips), expected.collect::<Vec<_>>(), "side {side}");
                    }
                    let done = assembly.complete(&strips, &laid, &mut pixels);
                    done.expect("it fits");
                    assert!(pixels == expected, "side {side}, helped: {helped}");
                }
            });
        }
    }

    #[test]
    fn two_at_a_time_make_the_same_picture() {
        with_frame(224, |laid, expected| {
            let (strips, both) = (Strips::default(), Barrier::new(2));
            let (mut assembly, mut input) = (Assembly::default(), InputBuilder::default());
            for _ in 0..50 {
                let mut pixels = Vec::new();
                strips.begin();
                let (stream, worker) = std::thread::scope(|scope| {
                    let stream = scope.spawn(|| {
                        both.wait();
                        strips.make(&mut input, &laid)
                    });
                    both.wait();
                    let worker = assembly.complete(&strips, &laid, &mut pixels);
                    (stream.join().expect("no panic"), worker)
                });
                stream.and(worker).expect("it fits");
                assert!(pixels == expected);
            }
        });
    }

    /// As if it were not running any more.
    #[test]
    fn a_strip_that_the_stream_does_not_let_go_of_is_made_anew() {
        with_frame(224, |laid, expected| {
            let (strips, mut pixels) = (Strips::default(), Vec::new());
            let held = lock(&strips.0[3]);
            let done = Assembly::default().complete(&strips, &laid, &mut pixels);
            done.expect("it fits");
            assert!(pixels == expected && !held.made);
        });
    }

    #[test]
    fn what_cannot_be_made_is_an_error_of_both() {
        let (strips, mut pixels) = (Strips::default(), Vec::new());
        with_frame(224, |mut laid, _| {
            laid.geometry.frame_width += 1;
            let failed = strips.make(&mut InputBuilder::default(), &laid);
            assert!(failed.is_err() && made(&strips) == [false; STRIPS]);
            let failed = Assembly::default().complete(&strips, &laid, &mut pixels);
            assert!(failed.is_err());
        });
    }
}
