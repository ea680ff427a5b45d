//! A mask scaled to the frame, one row of pixels at a time.
//!
//! Bilinear, in two steps: a row of the mask is spread over the frame's columns once, and every row
//! of the frame then mixes two such rows. Only the second step costs per pixel of the frame.

use crate::geometry::Geometry;

use super::area::Area;

/// Where one pixel of the frame lies between two of the mask.
#[derive(Debug, Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    /// Share of the second, 0 to 256.
    weight: u16,
}

/// Columns of the frame between the same two of the mask.
#[derive(Debug)]
struct Stretch {
    begin: usize,
    end: usize,
    first: usize,
    second: usize,
}

/// A row of the mask, spread over the columns, with [`LANES`] values of no meaning behind it.
#[derive(Debug, Default)]
struct Spread {
    row: Option<usize>,
    /// In 16 bits, as they are mixed.
    levels: Vec<u16>,
}

/// Columns that are computed at once; more than a stretch has are overwritten by the next.
const LANES: usize = 16;

/// A mask of levels 0 to 255, laid over an area of a frame.
#[derive(Debug, Default)]
pub(super) struct Field {
    /// `[mask height, mask width]`.
    mask: Vec<u8>,
    mask_width: usize,
    /// First row of the area.
    top: usize,
    stretches: Vec<Stretch>,
    /// Of every column, and [`LANES`] more.
    weights: Vec<u16>,
    rows: Vec<Tap>,
    spread: [Spread; 2],
}

impl Field {
    /// Lays a mask of `size` (width, height), not empty and with as many levels, over `area`.
    pub(super) fn lay(
        &mut self,
        levels: impl Iterator<Item = u8>,
        (width, height): (usize, usize),
        geometry: &Geometry,
        area: &Area,
    ) {
        self.mask.clear();
        self.mask.extend(levels);
        self.mask_width = width;
        self.top = area.rows.start;
        let input = f64::from(geometry.input_size);
        self.stretches.clear();
        self.weights.clear();
        for (column, x) in area.columns.clone().enumerate() {
            let (x, _) = geometry.point_to_input(x as f64 + 0.5, 0.0);
            let Tap {
                first,
                second,
                weight,
            } = Tap::new(x / input, width);
            self.weights.push(weight);
            match self.stretches.last_mut() {
                Some(last) if last.first == first => last.end = column + 1,
                _ => self.stretches.push(Stretch {
                    begin: column,
                    end: column + 1,
                    first,
                    second,
                }),
            }
        }
        let padded = area.columns.len() + LANES;
        self.weights.resize(padded, 0);
        self.rows.clear();
        self.rows.extend(area.rows.clone().map(|y| {
            let (_, y) = geometry.point_to_input(0.0, y as f64 + 0.5);
            Tap::new(y / input, height)
        }));
        for spread in &mut self.spread {
            spread.row = None;
            spread.levels.resize(padded, 0);
        }
    }

    /// Writes the levels of the area's pixels in row `y` of the frame, a row of the area. Rows are
    /// cheapest from top to bottom.
    pub(super) fn row(&mut self, y: usize, levels: &mut [u8]) {
        #[cfg(target_arch = "x86_64")]
        if crate::vector::Avx2::new().is_some() {
            #[allow(unsafe_code)]
            // SAFETY: the CPU has AVX2.
            return unsafe { self.row_avx2(y, levels) };
        }
        self.row_plain(y, levels);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn row_avx2(&mut self, y: usize, levels: &mut [u8]) {
        self.row_plain(y, levels);
    }

    #[inline(always)]
    fn row_plain(&mut self, y: usize, levels: &mut [u8]) {
        let Tap {
            first,
            second,
            weight,
        } = self.rows[y - self.top];
        if self.spread[1].row == Some(first) {
            self.spread.swap(0, 1);
        }
        self.spread_row(0, first);
        self.spread_row(1, second);
        let [upper, lower] = &self.spread;
        for ((level, &upper), &lower) in levels.iter_mut().zip(&upper.levels).zip(&lower.levels) {
            *level = mix(upper, lower, weight) as u8;
        }
    }

    #[inline(always)]
    fn spread_row(&mut self, index: usize, row: usize) {
        let spread = &mut self.spread[index];
        if spread.row == Some(row) {
            return;
        }
        spread.row = Some(row);
        let mask = &self.mask[row * self.mask_width..][..self.mask_width];
        for stretch in &self.stretches {
            let (first, second) = (mask[stretch.first], mask[stretch.second]);
            let (first, second) = (u16::from(first), u16::from(second));
            let mut begin = stretch.begin;
            while begin < stretch.end {
                // Arrays of a fixed size become one vector; there are always so many, see `lay`.
                let levels = spread.levels[begin..].first_chunk_mut::<LANES>();
                let weights = self.weights[begin..].first_chunk::<LANES>();
                let (Some(levels), Some(weights)) = (levels, weights) else {
                    return;
                };
                *levels = weights.map(|weight| mix(first, second, weight));
                begin += LANES;
            }
        }
    }
}

impl Tap {
    /// The place `position`, 0 to 1 over all of `size` pixels; outside, the nearest pixel.
    fn new(position: f64, size: usize) -> Tap {
        let last = size - 1;
        let position = (position * size as f64 - 0.5).clamp(0.0, last as f64);
        let first = position as usize;
        let weight = ((position - first as f64) * 256.0).round() as u16;
        Tap {
            first,
            second: (first + 1).min(last),
            weight,
        }
    }
}

/// `weight` / 256 of the level `second`, the rest of `first`. Fits 16 bits: 255 * 256 + 128. What is taken twice, the
/// first level's share, is taken off again by a difference that wraps.
#[inline(always)]
fn mix(first: u16, second: u16, weight: u16) -> u16 {
    let difference = second.wrapping_sub(first).wrapping_mul(weight);
    (first * 256 + 128).wrapping_add(difference) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Resize;

    fn rows_of(
        mask: &[u8],
        size: (usize, usize),
        geometry: &Geometry,
        area: &Area,
    ) -> Vec<Vec<u8>> {
        let mut field = Field::default();
        field.lay(mask.iter().copied(), size, geometry, area);
        let mut row = vec![0; area.columns.len()];
        area.rows
            .clone()
            .map(|y| {
                field.row(y, &mut row);
                row.clone()
            })
            .collect()
    }

    #[test]
    fn doubling_puts_pixels_at_quarters() {
        // Pixel centres of the frame lie at 0.25 and 0.75 between those of the mask; beyond the
        // outer ones the mask continues with its last value.
        let geometry = Geometry::new(Resize::Stretch, 4, 4, 2);
        let area = Area {
            columns: 0..4,
            rows: 0..4,
        };
        let rows = rows_of(&[0, 200, 0, 200], (2, 2), &geometry, &area);
        assert_eq!(rows, vec![vec![0, 50, 150, 200]; 4]);
        let rows = rows_of(&[0, 0, 200, 200], (2, 2), &geometry, &area);
        assert_eq!(rows, [[0; 4], [50; 4], [150; 4], [200; 4]]);
    }

    #[test]
    fn a_cropped_frame_has_the_mask_over_its_centre() {
        // 8x4 with a square of 4 at column 2, which the mask of the same size covers.
        let geometry = Geometry::new(Resize::Crop, 8, 4, 4);
        let area = Area {
            columns: 2..6,
            rows: 0..4,
        };
        let mask: Vec<u8> = (0..16).collect();
        let rows = rows_of(&mask, (4, 4), &geometry, &area);
        assert_eq!(rows.concat(), mask);
    }

    #[test]
    fn a_mask_of_one_pixel_covers_everything() {
        let geometry = Geometry::new(Resize::Stretch, 17, 3, 224);
        let area = Area {
            columns: 0..17,
            rows: 0..3,
        };
        assert_eq!(
            rows_of(&[99], (1, 1), &geometry, &area),
            vec![vec![99; 17]; 3]
        );
    }
}
