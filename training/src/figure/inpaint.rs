//! Inpainting: marked pixels filled in from those around them.
//!
//! The method is A. Telea's, *An image inpainting technique based on the fast marching method*, Journal
//! of Graphics Tools 9(1), 2004: a front moves from the rim of the unknown pixels inwards, and each
//! pixel that it reaches becomes a weighted mean of the reached pixels around it. The paper's Figure 3
//! was made with OpenCV's version of it, radius 3, which differs from Telea's text; so does this one:
//!
//! - what the slopes of the colours add, Telea's ∇I (p - q), is taken off instead, and only its
//!   direction counts: it is scaled to length 1 and moves a pixel by at most √2 levels;
//! - a slope between two neighbours counts four times, one towards a single neighbour once;
//! - half a level is added before rounding;
//! - the front never comes from outside of the picture, as if it were infinitely late there.
//!
//! Compared with OpenCV 5.0 (`tests/golden_inpaint.rs`) all values are equal if the marked area stays
//! clear of the picture's edge. Where it touches it, OpenCV takes colour slopes from the row or column
//! beside, which is not copied: 0.01 to 0.1 levels of mean difference, 6 at most.

use casm::mask::BinaryMask;
use image::RgbImage;

use super::front::{Front, Grid, NEVER};

/// `picture` with its `unknown` pixels filled in; the others stay as they are.
///
/// `radius`, in pixels and at least 1, says from how far away a pixel is filled. The colours that
/// unknown pixels have do not matter, unless all are unknown: then the picture stays as it is.
///
/// # Panics
/// If the mask has another size than the picture.
pub fn inpaint(picture: &RgbImage, unknown: &BinaryMask, radius: u32) -> RgbImage {
    let grid = Grid {
        width: unknown.width,
        height: unknown.height,
    };
    let (width, height) = picture.dimensions();
    assert_eq!(
        (width as usize, height as usize),
        (grid.width, grid.height),
        "size of picture and mask"
    );
    let radius = radius.max(1);
    let marked = &unknown.values;
    let rim: Vec<usize> = (0..marked.len())
        .filter(|&pixel| !marked[pixel])
        .filter(|&pixel| {
            let neighbours = grid.neighbours(pixel);
            neighbours.iter().flatten().any(|&pixel| marked[pixel])
        })
        .collect();

    // Outwards first, as far as the weights look: around the rim arrivals are negative.
    let known: Vec<bool> = marked.iter().map(|marked| !marked).collect();
    let mut outward = Front::new(grid, marked.clone(), &rim);
    outward.march(radius as f32, |_, _| ());
    let mut inward = Front::new(grid, known, &rim);
    for (pixel, arrival) in inward.arrivals.iter_mut().enumerate() {
        if !marked[pixel] {
            *arrival = -outward.arrivals[pixel];
        }
    }
    let mut filled = picture.clone();
    let pixels: &mut [u8] = &mut filled;
    inward.march(NEVER, |front, pixel| {
        let color = extrapolate(front, pixels, pixel, radius as isize);
        pixels[3 * pixel..][..3].copy_from_slice(&color);
    });
    filled
}

/// Colour of `pixel` from the reached ones around it; Telea's section 2.1 and 2.2, with the
/// differences that the module names.
fn extrapolate(front: &Front, pixels: &[u8], pixel: usize, radius: isize) -> [u8; 3] {
    let (grid, here) = (front.grid, front.arrivals[pixel]);
    let (x, y) = grid.position(pixel);
    let reached = |x, y| grid.at(x, y).filter(|&pixel| front.reached[pixel]);
    // The direction in which the front moves.
    let arrival = |x, y| match grid.at(x, y) {
        Some(pixel) => front.reached[pixel].then(|| front.arrivals[pixel]),
        None => Some(NEVER),
    };
    let normal = (
        slope(arrival(x - 1, y), here, arrival(x + 1, y), 0.5),
        slope(arrival(x, y - 1), here, arrival(x, y + 1), 0.5),
    );

    let mut weights = 0.0;
    let (mut colors, mut across, mut down) = ([0.0; 3], [0.0; 3], [0.0; 3]);
    for (dx, dy) in disc(radius) {
        let (near_x, near_y) = (x + dx, y + dy);
        let Some(near) = reached(near_x, near_y) else {
            continue;
        };
        let (to_x, to_y) = (-dx as f32, -dy as f32);
        let square = (dx * dx + dy * dy) as f32;
        // Telea's dir (with the 1 / |p - q| that belongs to it in the second line), dst and lev.
        let along = to_x * normal.0 + to_y * normal.1;
        let along = if along.abs() > 0.01 { along } else { 1e-6 };
        let distance = 1.0 / (square * square.sqrt());
        let level = 1.0 / (1.0 + (front.arrivals[near] - here).abs());
        let weight = (distance * level * along).abs();

        // Beyond the edge the picture goes on as at the edge.
        let inside = |position: isize, length: usize| position.clamp(0, length as isize - 1);
        let column = |x| reached(inside(x, grid.width), near_y);
        let row = |y| reached(near_x, inside(y, grid.height));
        let (left, right) = (column(near_x - 1), column(near_x + 1));
        let (above, below) = (row(near_y - 1), row(near_y + 1));
        weights += weight;
        for channel in 0..3 {
            let color = |pixel: usize| f32::from(pixels[3 * pixel + channel]);
            let slope = |before: Option<usize>, after: Option<usize>| {
                slope(before.map(color), color(near), after.map(color), 2.0)
            };
            colors[channel] += weight * color(near);
            across[channel] -= weight * slope(left, right) * to_x;
            down[channel] -= weight * slope(above, below) * to_y;
        }
    }
    [0, 1, 2].map(|channel| {
        let (across, down) = (across[channel], down[channel]);
        let length = (across * across + down * down).sqrt() + 1e-20;
        let color = colors[channel] / weights + (across + down) / length;
        // Saturates at 0 and 255.
        (color + 0.5).round_ties_even() as u8
    })
}

/// Change per pixel towards the neighbours that there are; `central` times the change over both.
fn slope(before: Option<f32>, here: f32, after: Option<f32>, central: f32) -> f32 {
    match (before, after) {
        (Some(before), Some(after)) => (after - before) * central,
        (None, Some(after)) => after - here,
        (Some(before), None) => here - before,
        (None, None) => 0.0,
    }
}

/// Steps to all pixels around one that are at most `radius` away, row by row.
fn disc(radius: isize) -> impl Iterator<Item = (isize, isize)> {
    let square = (-radius..=radius).flat_map(move |dy| (-radius..=radius).map(move |dx| (dx, dy)));
    square.filter(move |&(dx, dy)| (dx, dy) != (0, 0) && dx * dx + dy * dy <= radius * radius)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn mask(width: usize, height: usize, marked: &[usize]) -> BinaryMask {
        let values = (0..width * height).map(|pixel| marked.contains(&pixel));
        BinaryMask {
            width,
            height,
            values: values.collect(),
        }
    }

    #[test]
    fn without_known_or_without_unknown_pixels_nothing_changes() {
        for (width, height) in [(1, 1), (1, 5), (4, 3)] {
            let picture = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 9]));
            let (columns, rows) = (width as usize, height as usize);
            let all: Vec<usize> = (0..columns * rows).collect();
            assert_eq!(inpaint(&picture, &mask(columns, rows, &all), 3), picture);
            assert_eq!(inpaint(&picture, &mask(columns, rows, &[]), 3), picture);
        }
        let nothing = RgbImage::new(0, 0);
        assert_eq!(inpaint(&nothing, &mask(0, 0, &[]), 3), nothing);
    }

    /// Half a level up to an even number or down to it: there is no colour but one, and √2 around it.
    #[test]
    fn one_colour_is_filled_with_about_itself() {
        let picture = RgbImage::from_pixel(9, 7, Rgb([80, 0, 254]));
        let mut holed = picture.clone();
        let marked = [30, 31, 32, 39, 40];
        for pixel in marked {
            holed.put_pixel(pixel % 9, pixel / 9, Rgb([1, 2, 3]));
        }
        let marked = marked.map(|pixel| pixel as usize);
        let filled = inpaint(&holed, &mask(9, 7, &marked), 3);
        let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) <= 2;
        assert!(filled.iter().zip(picture.iter()).all(near), "{filled:?}");
    }

    #[test]
    #[should_panic(expected = "size of picture and mask")]
    fn picture_and_mask_must_have_one_size() {
        inpaint(&RgbImage::new(2, 2), &mask(2, 1, &[]), 3);
    }
}
