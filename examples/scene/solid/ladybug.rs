//! A seven-spotted ladybug on its way; the ground is at y = -0.45.

use super::{Material, Solid};
use crate::distance::{ellipsoid, mix, smooth_intersection, smooth_union, smoothstep, tapered_rod};
use crate::noise;
use crate::vector::{Vec3, vec3};

/// Height of the lower rim of the wing cases.
const RIM: f32 = -0.30;

/// Spots of one side, as seen from above: x, z and radius. The first lies across the seam.
const SPOTS: [(f32, f32, f32); 4] = [
    (0.40, 0.0, 0.15),
    (0.16, 0.42, 0.15),
    (-0.28, 0.24, 0.16),
    (-0.52, 0.50, 0.12),
];

/// A ladybug at one moment of its walk.
pub(crate) struct Ladybug {
    /// Phase of the gait, in radians.
    pub gait: f32,
    /// Shifts the wing cases from red (0) to orange (1).
    pub paleness: f32,
}

impl Ladybug {
    fn wing_cases(p: Vec3) -> f32 {
        let dome = ellipsoid(p - vec3(-0.12, RIM, 0.0), vec3(0.86, 0.72, 0.74));
        // A shallow groove where the two cases meet.
        let groove = 0.018 * smoothstep(0.035, 0.0, p.z.abs());
        smooth_intersection(dome + groove, RIM - p.y, 0.06)
    }

    fn neck_shield(p: Vec3) -> f32 {
        ellipsoid(p - vec3(0.66, -0.20, 0.0), vec3(0.27, 0.30, 0.47))
    }

    fn head(p: Vec3) -> f32 {
        let skull = ellipsoid(p - vec3(0.90, -0.26, 0.0), vec3(0.19, 0.17, 0.26));
        let side = vec3(p.x, p.y, p.z.abs());
        let feeler = tapered_rod(
            side,
            vec3(1.00, -0.22, 0.12),
            vec3(1.20, -0.10, 0.33),
            0.020,
            0.028,
        );
        smooth_union(skull, feeler, 0.03)
    }

    fn legs(&self, p: Vec3) -> f32 {
        // The tripod gait: neighbours, and the two of a pair, are in opposite phase.
        let side = if p.z < 0.0 { 0.0 } else { std::f32::consts::PI };
        let q = vec3(p.x, p.y, p.z.abs());
        let mut nearest = f32::MAX;
        for (index, hip) in [0.52_f32, 0.10, -0.34].into_iter().enumerate() {
            let phase = self.gait + side + std::f32::consts::PI * index as f32;
            let (swing, lift) = (0.10 * phase.cos(), 0.06 * phase.sin().max(0.0));
            let reach = 0.9 * (hip - 0.12) + swing;
            let knee = vec3(hip + 0.35 * reach, -0.22 + lift, 0.80);
            let foot = vec3(hip + reach, -0.44 + lift, 1.02);
            let thigh = tapered_rod(q, vec3(hip, -0.36, 0.40), knee, 0.060, 0.042);
            let shin = tapered_rod(q, knee, foot, 0.042, 0.022);
            nearest = nearest.min(thigh).min(shin);
        }
        nearest
    }

    fn belly(p: Vec3) -> f32 {
        ellipsoid(p - vec3(0.02, -0.33, 0.0), vec3(0.84, 0.10, 0.62))
    }
}

impl Solid for Ladybug {
    fn corners(&self) -> [Vec3; 2] {
        [vec3(-1.0, -0.52, -1.08), vec3(1.26, 0.46, 1.08)]
    }

    fn distance(&self, p: Vec3) -> f32 {
        let front = Self::neck_shield(p).min(Self::head(p));
        let body = Self::wing_cases(p).min(front).min(Self::belly(p));
        0.85 * body.min(self.legs(p))
    }

    fn material(&self, p: Vec3) -> Material {
        let black = vec3(0.012, 0.011, 0.012);
        let white = vec3(0.80, 0.78, 0.68);
        let chitin = |albedo| Material {
            albedo,
            gloss: 0.75,
            sharpness: 70.0,
            translucency: 0.0,
        };
        let cases = Self::wing_cases(p);
        let shield = Self::neck_shield(p);
        let head = Self::head(p);
        let others = shield.min(head).min(self.legs(p)).min(Self::belly(p));
        if cases <= others {
            let red = vec3(0.72, 0.035, 0.010).mix(vec3(0.85, 0.22, 0.01), self.paleness);
            let mottle = noise::fractal(5.0 * p.x, 5.0 * p.z, 0.1, 3);
            let mut albedo = red * (0.8 + 0.4 * mottle);
            // Pale patches next to the seam, in front.
            let patch = (p.x - 0.62).hypot(p.z.abs() - 0.18);
            albedo = albedo.mix(white, smoothstep(0.12, 0.09, patch));
            for (x, z, radius) in SPOTS {
                let away = (p.x - x).hypot(p.z.abs() - z);
                albedo = albedo.mix(black, smoothstep(radius, radius - 0.025, away));
            }
            let seam = smoothstep(0.022, 0.010, p.z.abs());
            return chitin(albedo * mix(1.0, 0.15, seam));
        }
        if shield <= others {
            let corner = (p.x - 0.78).hypot(p.z.abs() - 0.37);
            return chitin(black.mix(white, smoothstep(0.17, 0.14, corner)));
        }
        if head <= others {
            let cheek = (p.x - 1.0).hypot(p.z.abs() - 0.13);
            return chitin(black.mix(white, smoothstep(0.07, 0.05, cheek)));
        }
        chitin(black)
    }
}
