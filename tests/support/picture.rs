//! Pictures with one salient object at a known place.

/// A striped orange ball on a dim, grainy background, as `width * height` RGB pixels.
///
/// `at` is the ball's centre in shares of the frame; its radius is a fifth of the shorter side.
pub fn ball(width: u32, height: u32, at: (f64, f64)) -> Vec<u8> {
    let (width, height) = (f64::from(width), f64::from(height));
    let radius = 0.2 * width.min(height);
    let mut pixels = Vec::with_capacity((width * height) as usize * 3);
    for y in 0..height as u32 {
        for x in 0..width as u32 {
            let (dx, dy) = (
                f64::from(x) + 0.5 - at.0 * width,
                f64::from(y) + 0.5 - at.1 * height,
            );
            let distance = (dx * dx + dy * dy).sqrt() / radius;
            // A cheap hash makes the grain; broad, so that scaling and chroma subsampling keep it.
            let grain = ((x / 4).wrapping_mul(73) ^ (y / 4).wrapping_mul(151))
                .wrapping_mul(2_654_435_761)
                >> 28;
            if distance < 1.0 {
                let light = 1.0 - 0.5 * distance * distance;
                let stripe = if ((dx + dy) / radius * 4.0).rem_euclid(2.0) < 0.6 {
                    0.4
                } else {
                    1.0
                };
                pixels.extend([230.0, 120.0, 30.0].map(|value| (value * light * stripe) as u8));
            } else {
                pixels.extend([70_u32, 80, 90].map(|value| (value + grain) as u8));
            }
        }
    }
    pixels
}

/// A ball in the middle.
pub fn centred_ball(width: u32, height: u32) -> Vec<u8> {
    ball(width, height, (0.5, 0.5))
}
