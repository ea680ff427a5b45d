//! The way from planes to the network's input as matrices, for devices that multiply those.
//!
//! [`InputBuilder`](super::InputBuilder) is this as loops. Weights are the same whole numbers, and their sums with
//! bytes stay below 2^24, so that a product of matrices in f32 is exact, and gives the same bytes.

use super::filter::{Filter, WEIGHT_BITS};
use super::source::{Source, sources};
use super::{axes, check_square};
use crate::error::Result;
use crate::frame::PixelFormat;
use crate::geometry::Geometry;

/// What the weights of one resized sample add up to. After each of the two products, a sum s becomes the whole level
/// floor((s + `WEIGHT_ONE` / 2) / `WEIGHT_ONE`).
pub const WEIGHT_ONE: u32 = 1 << WEIGHT_BITS;

/// What is read of one plane, and the weights by which it becomes S by S samples.
///
/// The rows are summed up first: `[S, rows] · [rows, row_bytes]`, rounded; then the columns, for each byte of a sample
/// that is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Which plane.
    pub plane: usize,
    /// Rows of the plane.
    pub rows: usize,
    /// Bytes of a row that carry the picture.
    pub row_bytes: usize,
    /// Samples of a row that are read.
    pub columns: usize,
    /// Bytes from one sample to the next; `columns * sample_bytes` is at most `row_bytes`.
    pub sample_bytes: usize,
    /// Bytes of a sample that are used. Those of all readings one after the other are R, G, B; or Y, U, V; or grey.
    pub channels: &'static [usize],
    /// `[S, rows]`, whole numbers in units of 1 / [`WEIGHT_ONE`].
    pub row_weights: Vec<f32>,
    /// `[S, columns]`, likewise.
    pub column_weights: Vec<f32>,
}

/// What is read of the planes of a frame of this format, laid out by `geometry`, S = `geometry.input_size`.
///
/// # Errors
/// [`crate::Error::Config`] if the square of `geometry` is not inside of the resized frame.
pub fn readings(format: PixelFormat, geometry: &Geometry) -> Result<Vec<Reading>> {
    check_square(geometry)?;
    let reading = |source| Reading::new(source, format, geometry);
    Ok(sources(format).iter().map(reading).collect())
}

impl Reading {
    fn new(source: &Source, format: PixelFormat, geometry: &Geometry) -> Reading {
        let (width, height) = (geometry.frame_width, geometry.frame_height);
        let stored = format.plane_size(source.plane, width, height);
        let read = source.size(format, width, height);
        let (columns, rows) = axes(read, geometry);
        let weights = |axis| {
            let mut filter = Filter::default();
            filter.prepare(axis);
            dense(&filter, axis.samples as usize)
        };
        Reading {
            plane: source.plane,
            rows: read.rows as usize,
            row_bytes: stored.row_bytes(),
            columns: read.columns as usize,
            sample_bytes: read.sample_bytes,
            channels: source.channels,
            row_weights: weights(rows),
            column_weights: weights(columns),
        }
    }
}

/// `[resized, samples]`, with zeros where there is no weight.
fn dense(filter: &Filter, samples: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; filter.len() * samples];
    for (at, row) in matrix.chunks_exact_mut(samples.max(1)).enumerate() {
        let (first, weights) = filter.tap(at);
        for (value, &weight) in row[first..].iter_mut().zip(weights) {
            *value = f32::from(weight);
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Resize;

    #[test]
    fn weights_of_each_resized_sample_add_up_to_one() {
        for format in PixelFormat::ALL {
            for resize in [Resize::Stretch, Resize::Crop] {
                let geometry = Geometry::new(resize, 61, 33, 24);
                let readings = readings(format, &geometry).expect("fits");
                let channels: usize = readings.iter().map(|reading| reading.channels.len()).sum();
                let expected = if format == PixelFormat::Gray8 { 1 } else { 3 };
                assert_eq!(channels, expected, "{format}");
                for reading in readings {
                    for (weights, samples) in [
                        (&reading.row_weights, reading.rows),
                        (&reading.column_weights, reading.columns),
                    ] {
                        assert_eq!(weights.len(), 24 * samples);
                        for row in weights.chunks_exact(samples) {
                            assert_eq!(row.iter().sum::<f32>(), WEIGHT_ONE as f32);
                        }
                    }
                }
            }
        }
    }

    /// By hand: 17 pixels of YUY2 are 9 fours, 36 bytes a row, of which luma reads 17 pairs.
    #[test]
    fn yuy2_is_read_twice() {
        let geometry = Geometry::new(Resize::Stretch, 17, 4, 8);
        let readings = readings(PixelFormat::Yuy2, &geometry).expect("fits");
        let sizes = readings
            .iter()
            .map(|reading| (reading.row_bytes, reading.columns, reading.sample_bytes));
        assert_eq!(sizes.collect::<Vec<_>>(), [(36, 17, 2), (36, 9, 4)]);
    }

    #[test]
    fn a_square_outside_of_the_frame_is_refused() {
        let geometry = Geometry {
            offset: (1, 0),
            ..Geometry::new(Resize::Stretch, 8, 8, 4)
        };
        assert!(readings(PixelFormat::Rgb, &geometry).is_err());
    }
}
