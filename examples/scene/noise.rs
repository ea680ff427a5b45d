//! Deterministic noise: everything irregular in a picture comes from these functions of position.

/// Scrambles a lattice point into 32 bits.
pub(crate) fn hash(x: i32, y: i32, salt: u32) -> u32 {
    let mut h = (x as u32).wrapping_mul(0x9E37_79B1)
        ^ (y as u32).wrapping_mul(0x85EB_CA77)
        ^ salt.wrapping_mul(0xC2B2_AE3D);
    h = (h ^ (h >> 15)).wrapping_mul(0x2C1B_3C6D);
    h = (h ^ (h >> 12)).wrapping_mul(0x297A_2D39);
    h ^ (h >> 15)
}

/// A lattice point's number in [0, 1).
pub(crate) fn random(x: i32, y: i32, salt: u32) -> f32 {
    (hash(x, y, salt) >> 8) as f32 / (1 << 24) as f32
}

/// Smoothly interpolated lattice noise in [0, 1], features of size one.
pub(crate) fn value(x: f32, y: f32, salt: u32) -> f32 {
    let (column, row) = (x.floor(), y.floor());
    let (fx, fy) = (x - column, y - row);
    let (wx, wy) = (fx * fx * (3.0 - 2.0 * fx), fy * fy * (3.0 - 2.0 * fy));
    let (i, j) = (column as i32, row as i32);
    let top = random(i, j, salt) * (1.0 - wx) + random(i + 1, j, salt) * wx;
    let bottom = random(i, j + 1, salt) * (1.0 - wx) + random(i + 1, j + 1, salt) * wx;
    top * (1.0 - wy) + bottom * wy
}

/// Octaves of [`value`] from size one down to `finest`, in [0, 1] about 0.5.
///
/// The lower limit is the pixel's footprint: detail below it would only flicker.
pub(crate) fn fractal(mut x: f32, mut y: f32, finest: f32, salt: u32) -> f32 {
    let (mut sum, mut weight, mut size) = (0.5, 0.5, 1.0);
    for octave in 0..6 {
        if size < finest {
            break;
        }
        // The finest octave comes in gradually, or bands would show where the count changes.
        let fade = (size / finest - 1.0).min(1.0);
        sum += weight * fade * (value(x, y, salt + octave) - 0.5);
        // Turned as well as scaled, so that the lattices of the octaves never line up.
        (x, y) = (1.6 * x - 1.2 * y + 3.7, 1.2 * x + 1.6 * y + 9.1);
        weight *= 0.5;
        size *= 0.5;
    }
    sum
}

/// The cell that a point falls into when every unit square holds one random seed point.
pub(crate) struct Cell {
    /// Distance to the seed point.
    pub distance: f32,
    /// Distance to the second-nearest seed point, less `distance`: 0 on the border.
    pub border: f32,
    /// The cell's own random number in [0, 1).
    pub tone: f32,
    /// A second random number, independent of `tone`.
    pub size: f32,
}

/// Cells of random seed points (a Voronoi diagram), about one per unit square.
pub(crate) fn cell(x: f32, y: f32, salt: u32) -> Cell {
    let (column, row) = (x.floor() as i32, y.floor() as i32);
    let (mut first, mut second, mut nearest) = (f32::MAX, f32::MAX, 0);
    for j in row - 1..=row + 1 {
        for i in column - 1..=column + 1 {
            let h = hash(i, j, salt);
            let dx = i as f32 + 0.02 + 0.96 * (h & 0xFFFF) as f32 / 65536.0 - x;
            let dy = j as f32 + 0.02 + 0.96 * (h >> 16) as f32 / 65536.0 - y;
            let squared = dx * dx + dy * dy;
            if squared < first {
                (second, first, nearest) = (first, squared, h);
            } else if squared < second {
                second = squared;
            }
        }
    }
    let distance = first.sqrt();
    let own = |salt| random(nearest as i32, 0, salt);
    Cell {
        distance,
        border: second.sqrt() - distance,
        tone: own(1),
        size: own(2),
    }
}
