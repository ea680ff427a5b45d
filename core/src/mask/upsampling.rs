//! The decoder's mask → a mask as large as the network's input.

use crate::network::Upsample;

use super::Mask;

/// Enlarges masks; keeps its buffers and weights from mask to mask.
#[derive(Debug, Default)]
pub(crate) struct Upsampling {
    columns: Blends,
    rows: Blends,
    /// The mask with all of its columns but few rows.
    wide: Vec<f32>,
}

impl Upsampling {
    /// See [`Mask::upsample`]; `values` are those of a mask of `size` (width, height).
    pub(crate) fn upsample(
        &mut self,
        values: &[f32],
        size: (usize, usize),
        factor: usize,
        mode: Upsample,
        mask: &mut Mask,
    ) {
        let (width, height) = (size.0 * factor, size.1 * factor);
        mask.width = width;
        mask.height = height;
        mask.values.clear();
        // `max`: a mask without columns has no rows, and chunks of nothing would panic.
        let rows = values.chunks_exact(size.0.max(1));
        match mode {
            Upsample::Nearest => {
                for row in rows {
                    let first = mask.values.len();
                    let repeated = row
                        .iter()
                        .flat_map(|&value| std::iter::repeat_n(value, factor));
                    mask.values.extend(repeated);
                    for _ in 1..factor {
                        mask.values.extend_from_within(first..first + width);
                    }
                }
            }
            Upsample::Bilinear => {
                // Columns first, while there are few rows.
                self.columns.prepare(size.0, factor);
                self.rows.prepare(size.1, factor);
                self.wide.clear();
                for row in rows {
                    let blends = self.columns.blends.iter();
                    self.wide
                        .extend(blends.map(|blend| blend.of(row[blend.low], row[blend.high])));
                }
                let row = |index: usize| &self.wide[index * width..][..width];
                for blend in &self.rows.blends {
                    let pairs = row(blend.low).iter().zip(row(blend.high));
                    mask.values
                        .extend(pairs.map(|(&low, &high)| blend.of(low, high)));
                }
            }
        }
    }
}

/// The blends of an axis, and for which axis they were made.
#[derive(Debug, Default)]
struct Blends {
    length: usize,
    factor: usize,
    blends: Vec<Blend>,
}

/// How one output row or column is blended from two neighbours in the input.
#[derive(Debug)]
struct Blend {
    low: usize,
    high: usize,
    /// Weight of `high`, in [0, 1).
    weight: f32,
}

impl Blends {
    /// Those of all `length * factor` output rows or columns.
    fn prepare(&mut self, length: usize, factor: usize) {
        if (self.length, self.factor) == (length, factor) {
            return;
        }
        (self.length, self.factor) = (length, factor);
        let position = |index| ((index as f32 + 0.5) / factor as f32 - 0.5).max(0.0);
        let blend = |position: f32| {
            let low = position as usize;
            Blend {
                low,
                high: (low + 1).min(length - 1),
                weight: position - low as f32,
            }
        };
        self.blends.clear();
        self.blends
            .extend((0..length * factor).map(|index| blend(position(index))));
    }
}

impl Blend {
    fn of(&self, low: f32, high: f32) -> f32 {
        (1.0 - self.weight) * low + self.weight * high
    }
}
