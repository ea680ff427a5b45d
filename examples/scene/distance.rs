//! Signed distances to simple solids, and the ways of joining them.

use crate::vector::Vec3;

/// A ramp from 0 at `from` to 1 at `to` without corners; `from` may be the larger.
pub(crate) fn smoothstep(from: f32, to: f32, x: f32) -> f32 {
    let t = ((x - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Linear blend: `a` at 0, `b` at 1.
pub(crate) fn mix(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

/// An ellipsoid at the origin: the first-order estimate f / |grad f|, good near the surface.
#[inline]
pub(crate) fn ellipsoid(p: Vec3, radii: Vec3) -> f32 {
    // Inlined, the reciprocals of literal radii are literals too: six divisions less.
    let inverse = radii.map(|radius| 1.0 / radius);
    let scaled = p * inverse;
    let level = scaled.length();
    // At the centre both lengths vanish; any inside distance does.
    level * (level - 1.0) / (scaled * inverse).length().max(1e-4)
}

/// A rod from `a` to `b` whose radius goes from `radius_a` to `radius_b`.
#[inline]
pub(crate) fn tapered_rod(p: Vec3, a: Vec3, b: Vec3, radius_a: f32, radius_b: f32) -> f32 {
    let (along, offset) = (b - a, p - a);
    let t = (offset.dot(along) * (1.0 / along.dot(along))).clamp(0.0, 1.0);
    (offset - along * t).length() - mix(radius_a, radius_b, t)
}

/// A ring around the vertical axis.
pub(crate) fn ring(p: Vec3, radius: f32, thickness: f32) -> f32 {
    (p.x.hypot(p.z) - radius).hypot(p.y) - thickness
}

/// The union of two solids with a fillet about as wide as `width`.
pub(crate) fn smooth_union(a: f32, b: f32, width: f32) -> f32 {
    let overlap = (width - (a - b).abs()).max(0.0);
    a.min(b) - overlap * overlap / (4.0 * width)
}

/// The intersection of two solids with its edge rounded.
pub(crate) fn smooth_intersection(a: f32, b: f32, width: f32) -> f32 {
    -smooth_union(-a, -b, width)
}
