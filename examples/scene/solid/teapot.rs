//! A porcelain teapot painted in blue; the table is at y = -0.64.

use std::f32::consts::TAU;

use super::{Material, Solid};
use crate::distance::{ellipsoid, mix, ring, smooth_union, smoothstep, tapered_rod};
use crate::noise;
use crate::vector::{Vec3, vec3};

const SPOUT_TIP: Vec3 = vec3(1.12, 0.42, 0.0);

/// A teapot.
pub(crate) struct Teapot {
    /// Colour of the painting.
    pub paint: Vec3,
}

impl Teapot {
    fn pot(p: Vec3) -> f32 {
        let belly = ellipsoid(p - vec3(0.0, -0.06, 0.0), vec3(0.74, 0.60, 0.74));
        let foot = ring(p - vec3(0.0, -0.58, 0.0), 0.42, 0.055);
        let collar = ring(p - vec3(0.0, 0.45, 0.0), 0.40, 0.045);
        let pot = smooth_union(smooth_union(belly, foot, 0.08), collar, 0.06);
        smooth_union(
            smooth_union(pot, Self::spout(p), 0.10),
            Self::handle(p),
            0.06,
        )
    }

    fn spout(p: Vec3) -> f32 {
        let (root, bend) = (vec3(0.52, -0.22, 0.0), vec3(0.90, 0.06, 0.0));
        let lower = tapered_rod(p, root, bend, 0.20, 0.105);
        let upper = tapered_rod(p, bend, SPOUT_TIP, 0.105, 0.075);
        let mouth = tapered_rod(p, vec3(1.02, 0.27, 0.0), vec3(1.22, 0.58, 0.0), 0.04, 0.06);
        smooth_union(lower, upper, 0.08).max(-mouth)
    }

    /// An ear, taller than wide, on the side away from the spout.
    fn handle(p: Vec3) -> f32 {
        let q = vec3((p.x + 0.74) * 1.05, p.z, (p.y - 0.04) * 0.88);
        ring(q, 0.34, 0.062) * 0.95
    }

    fn lid(p: Vec3) -> f32 {
        let dome = ellipsoid(p - vec3(0.0, 0.48, 0.0), vec3(0.385, 0.15, 0.385));
        let neck = tapered_rod(p, vec3(0.0, 0.60, 0.0), vec3(0.0, 0.68, 0.0), 0.06, 0.045);
        let knob = ellipsoid(p - vec3(0.0, 0.735, 0.0), vec3(0.105, 0.085, 0.105));
        smooth_union(smooth_union(dome, neck, 0.05), knob, 0.03)
    }
}

impl Solid for Teapot {
    fn corners(&self) -> [Vec3; 2] {
        [vec3(-1.20, -0.68, -0.80), vec3(1.24, 0.86, 0.80)]
    }

    fn distance(&self, p: Vec3) -> f32 {
        0.9 * Self::pot(p).min(Self::lid(p))
    }

    fn material(&self, p: Vec3) -> Material {
        let glaze = vec3(0.80, 0.79, 0.74);
        let cloud = 0.94 + 0.12 * noise::fractal(2.0 * p.x + p.z, 2.0 * p.y, 0.1, 5);
        let on_belly = ellipsoid(p - vec3(0.0, -0.06, 0.0), vec3(0.74, 0.60, 0.74)) < 0.02;
        let lid = p.y > 0.50 && p.x.hypot(p.z) < 0.42;
        let painted = if on_belly && !lid {
            belly_painting(p)
        } else if lid {
            let around = 0.5 + 0.5 * (p.z.atan2(p.x) * 10.0).cos();
            let radius = p.x.hypot(p.z);
            line(radius, 0.34, 0.018)
                .max(line(radius, 0.23, 0.05) * smoothstep(0.4, 0.6, around))
                .max(smoothstep(0.70, 0.72, p.y))
        } else if p.x > 0.6 {
            line((p - SPOUT_TIP).length(), 0.10, 0.03)
        } else {
            smoothstep(-0.99, -1.03, p.x)
        };
        Material {
            albedo: (glaze * cloud).mix(self.paint, painted),
            gloss: 0.9,
            sharpness: 110.0,
            translucency: 0.0,
        }
    }
}

/// 1 within `half_width` of `at`, 0 outside.
fn line(x: f32, at: f32, half_width: f32) -> f32 {
    smoothstep(half_width, 0.6 * half_width, (x - at).abs())
}

/// Two bands and, between them, a wreath of flowers with leaves.
fn belly_painting(p: Vec3) -> f32 {
    let bands = line(p.y, 0.30, 0.035)
        .max(line(p.y, 0.22, 0.012))
        .max(line(p.y, -0.40, 0.03));
    const FLOWERS: f32 = 7.0;
    let turn = p.z.atan2(p.x) / TAU * FLOWERS;
    let place = turn - turn.round();
    // In units of length on the belly's widest circle.
    let (x, y) = (place * TAU * 0.72 / FLOWERS, p.y + 0.07);
    let (radius, angle) = (x.hypot(y), y.atan2(x));
    let petals = 0.075 + 0.085 * (2.5 * angle + 0.4).cos().abs();
    let flower = smoothstep(petals, petals - 0.02, radius);
    let shade = mix(1.0, 0.45, smoothstep(0.10, 0.03, radius));
    let heart = smoothstep(0.035, 0.025, radius);
    let stem_y = y - 0.17 * (place * TAU).cos() + 0.02;
    let leaf = 0.035 * (place * 4.0 * TAU).sin().abs();
    let stem = smoothstep(leaf + 0.014, leaf, stem_y.abs()) * 0.75;
    bands.max(flower * shade).max(stem).max(heart)
}
