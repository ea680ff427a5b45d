//! Pictures side by side (Figure 2).

use image::{Rgb, RgbImage, imageops};

/// Pixels between pictures, and between blocks of them.
const GAP: u32 = 4;
const BLOCK_GAP: u32 = 20;

/// Blocks from left to right, each a list of columns, each a list of pictures from top to bottom, on
/// white. Pictures are put on a lattice as wide and high as the largest of them.
pub fn grid(blocks: &[Vec<Vec<RgbImage>>]) -> RgbImage {
    let pictures = || blocks.iter().flatten().flatten();
    let width = pictures().map(RgbImage::width).max().unwrap_or(0);
    let height = pictures().map(RgbImage::height).max().unwrap_or(0);
    let rows = blocks.iter().flatten().map(Vec::len).max().unwrap_or(0) as u32;
    let columns: u32 = blocks.iter().map(|block| block.len() as u32).sum();
    let blocks_between = (blocks.len() as u32).saturating_sub(1);

    let mut sheet = RgbImage::from_pixel(
        columns * (width + GAP) + GAP + blocks_between * (BLOCK_GAP - GAP),
        rows * (height + GAP) + GAP,
        Rgb([255; 3]),
    );
    let mut x = GAP;
    for block in blocks {
        for column in block {
            for (row, picture) in column.iter().enumerate() {
                let y = GAP + row as u32 * (height + GAP);
                imageops::replace(&mut sheet, picture, i64::from(x), i64::from(y));
            }
            x += width + GAP;
        }
        x += BLOCK_GAP - GAP;
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: three columns of 2 pixels, 4 before, between and after, 20 between the blocks.
    #[test]
    fn every_picture_is_at_its_place() {
        let picture = |shade| RgbImage::from_pixel(2, 3, Rgb([shade; 3]));
        let blocks = [
            vec![vec![picture(1), picture(2)], vec![picture(3), picture(4)]],
            vec![vec![picture(5), picture(6)]],
        ];
        let sheet = grid(&blocks);
        assert_eq!(
            sheet.dimensions(),
            (4 + 2 + 4 + 2 + 20 + 2 + 4, 4 + 3 + 4 + 3 + 4)
        );
        let at = |x, y| sheet.get_pixel(x, y).0[0];
        assert_eq!([at(4, 4), at(10, 4), at(32, 4)], [1, 3, 5]);
        assert_eq!([at(5, 13), at(11, 13), at(33, 13)], [2, 4, 6]);
        assert_eq!([at(3, 4), at(6, 4), at(31, 4), at(4, 7)], [255; 4]);
        assert_eq!(sheet.pixels().filter(|pixel| pixel.0[0] != 255).count(), 36);
    }

    #[test]
    fn nothing_is_a_sheet_too() {
        assert_eq!(grid(&[]).dimensions(), (4, 4));
    }
}
