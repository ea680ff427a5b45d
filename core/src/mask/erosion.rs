//! Binary mask → the same without its rim.
//!
//! Masks reach a little beyond the object, whose outline tells classifiers much: the rim that they add is as wide
//! on small objects as on large ones, and thin bridges of it join things that are apart. Erosion takes it off.

use super::BinaryMask;
use crate::vector::wide;

/// Erodes masks; keeps its buffers.
#[derive(Debug, Default)]
pub(crate) struct Erosion {
    kept: Vec<bool>,
}

impl Erosion {
    /// Keeps the pixels from which `reach` steps left, right, up and down lead over marked pixels only; what lies
    /// outside of the mask is not marked. A mask of which nothing would be left stays as it is.
    pub fn erode(&mut self, binary_mask: &mut BinaryMask, reach: u32) {
        let (width, height) = (binary_mask.width, binary_mask.height);
        let reach = reach as usize;
        if reach == 0 || binary_mask.values.is_empty() || 2 * reach >= width.min(height) {
            return;
        }
        let marked = &mut binary_mask.values;
        self.kept.clear();
        self.kept.resize(marked.len(), false);
        if keep(marked, (width, height), reach, &mut self.kept) {
            std::mem::swap(marked, &mut self.kept);
        }
    }
}

wide! {
    /// Writes what is kept of what is marked, and tells whether that is anything; `kept` is false everywhere.
    fn keep(marked: &[bool], size: (usize, usize), reach: usize, kept: &mut [bool]) -> bool {
        let (width, height) = size;
        let mut any = false;
        for y in reach..height - reach {
            let inner = y * width + reach..(y + 1) * width - reach;
            let kept = &mut kept[inner.clone()];
            kept.copy_from_slice(&marked[inner.clone()]);
            // Whole rows at a time, which fill vectors, for each step anew.
            for distance in (1..=reach).flat_map(|step| [step, step * width]) {
                let before = &marked[inner.start - distance..inner.end - distance];
                let after = &marked[inner.start + distance..inner.end + distance];
                for (kept, (before, after)) in kept.iter_mut().zip(before.iter().zip(after)) {
                    *kept &= before & after;
                }
            }
            any |= kept.contains(&true);
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: &[&str]) -> BinaryMask {
        BinaryMask {
            width: rows[0].len(),
            height: rows.len(),
            values: rows
                .iter()
                .flat_map(|row| row.bytes().map(|byte| byte == b'#'))
                .collect(),
        }
    }

    fn eroded(rows: &[&str], reach: u32) -> BinaryMask {
        let mut mask = drawn(rows);
        Erosion::default().erode(&mut mask, reach);
        mask
    }

    /// By hand: corners do not count, the border and the bridge go.
    #[test]
    fn the_rim_and_thin_bridges_go() {
        let found = eroded(
            &["##...###", ".###.###", ".#######", ".###.###", "........"],
            1,
        );
        assert_eq!(
            found,
            drawn(&["........", "......#.", "..##.##.", "........", "........"])
        );
        assert_eq!(
            eroded(&["###", "###", "###"], 1),
            drawn(&["...", ".#.", "..."])
        );
    }

    #[test]
    fn a_mask_is_never_eroded_to_nothing() {
        let thin = ["....", "####", "...."];
        assert_eq!(eroded(&thin, 1), drawn(&thin));
        assert_eq!(eroded(&["###", "###", "###"], 2), drawn(&["###"; 3]));
        assert_eq!(eroded(&thin, 0), drawn(&thin));
    }

    /// Against the definition, on masks of many shapes.
    #[test]
    fn it_keeps_what_the_definition_says() {
        let mut state = 7u32;
        for (width, height, reach) in [(1, 1, 1), (7, 5, 1), (9, 12, 2), (16, 3, 1), (13, 13, 3)] {
            let values: Vec<bool> = (0..width * height)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    !(state >> 16).is_multiple_of(12)
                })
                .collect();
            let at = |x: i64, y: i64| {
                (0..width as i64).contains(&x)
                    && (0..height as i64).contains(&y)
                    && values[y as usize * width + x as usize]
            };
            let expected: Vec<bool> = (0..width * height)
                .map(|index| {
                    let (x, y) = ((index % width) as i64, (index / width) as i64);
                    let reach = i64::from(reach);
                    (-reach..=reach).all(|step| at(x + step, y) && at(x, y + step))
                })
                .collect();
            let expected = if expected.contains(&true) {
                expected
            } else {
                values.clone()
            };
            let mut mask = BinaryMask {
                width,
                height,
                values,
            };
            Erosion::default().erode(&mut mask, reach);
            assert_eq!(mask.values, expected, "{width}x{height}, {reach}");
        }
    }
}
