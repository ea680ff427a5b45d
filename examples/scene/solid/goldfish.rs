//! A goldfish, swimming: the body bends in a wave that grows towards the tail.

use std::f32::consts::PI;

use super::{Material, Solid};
use crate::distance::{ellipsoid, mix, smooth_intersection, smooth_union, smoothstep, tapered_rod};
use crate::noise;
use crate::vector::{Vec3, vec3};

const EYE: Vec3 = vec3(0.56, 0.09, 0.165);
const EYE_RADIUS: f32 = 0.078;
/// Where the tail fin grows out of the body.
const TAIL_ROOT: f32 = -0.72;
/// Half of a fin's thickness.
const FIN_HALF: f32 = 0.010;

/// A goldfish at one moment of its stroke.
pub(crate) struct Goldfish {
    stroke: f32,
    redness: f32,
    /// Sine and cosine of the angle of the rowing fins.
    rowing: (f32, f32),
}

impl Goldfish {
    /// A goldfish at a phase of its swimming wave, in radians; `redness` goes from orange to red.
    pub fn new(stroke: f32, redness: f32) -> Self {
        Self {
            stroke,
            redness,
            rowing: (0.75 + 0.30 * (0.8 * stroke).sin()).sin_cos(),
        }
    }

    /// Takes the swimming wave out of a point.
    fn straightened(&self, p: Vec3) -> Vec3 {
        let growth = smoothstep(0.6, -1.5, p.x);
        let sway = 0.26 * growth * (2.4 * p.x + self.stroke).sin();
        vec3(p.x, p.y, p.z - sway)
    }

    fn body(p: Vec3) -> f32 {
        let trunk = ellipsoid(p - vec3(0.08, 0.0, 0.0), vec3(0.66, 0.40, 0.27));
        let head = ellipsoid(p - vec3(0.50, -0.03, 0.0), vec3(0.30, 0.24, 0.20));
        let stalk = tapered_rod(
            vec3(p.x, p.y, p.z * 1.4),
            vec3(-0.40, 0.03, 0.0),
            vec3(-0.80, 0.05, 0.0),
            0.20,
            0.095,
        );
        let body = smooth_union(smooth_union(trunk, head, 0.16), stalk * 0.8, 0.22);
        // Lips: a small bulge with a hollow in front.
        let lips = ellipsoid(p - vec3(0.785, -0.07, 0.0), vec3(0.06, 0.055, 0.06));
        smooth_union(body, lips, 0.05)
    }

    fn eyes(p: Vec3) -> f32 {
        (vec3(p.x, p.y, p.z.abs()) - EYE).length() - EYE_RADIUS
    }

    fn fins(&self, p: Vec3) -> f32 {
        self.tail(p)
            .min(dorsal(p))
            .min(self.pectorals(p))
            .min(ventrals(p))
    }

    fn tail(&self, p: Vec3) -> f32 {
        let (back, up) = (TAIL_ROOT - p.x, p.y - 0.05);
        if back < -0.15 {
            // Far in front of the fan: the distance to its plane will do.
            return -back;
        }
        let (radius, angle) = (back.hypot(up), up.atan2(back));
        let spread = angle.abs() / 0.98;
        // Two lobes, with a notch between them.
        let reach =
            0.50 + 0.40 * smoothstep(0.0, 0.75, spread) - 0.10 * smoothstep(0.75, 1.0, spread);
        let sides = (spread - 1.0) * 0.98 * radius;
        let outline = smooth_intersection((radius - reach) * 0.8, sides, 0.16);
        let ripple = 0.035 * radius * (angle * 7.0 + 0.6 * self.stroke).sin();
        let sheet = (p.z - ripple).abs() - FIN_HALF;
        smooth_intersection(outline, sheet, 0.02) * 0.9
    }

    /// The paired fins behind the gills; they row.
    fn pectorals(&self, p: Vec3) -> f32 {
        let root = vec3(p.x - 0.30, p.y + 0.17, p.z.abs() - 0.20);
        let q = root.turned(self.rowing).pitched((-0.45_f32).sin_cos());
        ellipsoid(q - vec3(-0.20, 0.0, 0.0), vec3(0.24, 0.115, 0.018))
    }
}

/// The sail along the back.
fn dorsal(p: Vec3) -> f32 {
    if p.y < 0.05 {
        // Well below the sail: the distance to its root will do.
        return 0.75 * (0.2 - p.y);
    }
    let along = (0.36 - p.x) / 0.84;
    let inside = along.clamp(0.0, 1.0);
    let height = 0.26 + 0.44 * (PI * inside.powf(0.55)).sin().max(0.0) * (1.0 - 0.35 * inside);
    let outline = (p.y - height).max(0.2 - p.y) * 0.75;
    let ends = (along - 1.0).max(-along) * 0.84;
    let outline = smooth_intersection(outline, ends, 0.10);
    smooth_intersection(outline, p.z.abs() - FIN_HALF, 0.02)
}

/// The pair under the belly and the single one behind it.
fn ventrals(p: Vec3) -> f32 {
    let pair = vec3(p.x - 0.06, p.y + 0.36, p.z.abs() - 0.10).pitched(0.75_f32.sin_cos());
    let pair = ellipsoid(pair - vec3(-0.12, 0.0, 0.0), vec3(0.21, 0.09, 0.018));
    let anal = vec3(p.x + 0.42, p.y + 0.22, p.z).pitched(0.8_f32.sin_cos());
    pair.min(ellipsoid(
        anal - vec3(-0.10, 0.0, 0.0),
        vec3(0.20, 0.09, 0.015),
    ))
}

impl Solid for Goldfish {
    fn corners(&self) -> [Vec3; 2] {
        [vec3(-1.62, -0.72, -0.52), vec3(0.88, 0.86, 0.52)]
    }

    fn distance(&self, p: Vec3) -> f32 {
        let p = self.straightened(p);
        let body = Self::body(p).min(Self::eyes(p));
        // The bend and the flattened rods stretch space: hence less than the full step.
        0.8 * smooth_union(body, self.fins(p), 0.03)
    }

    fn material(&self, p: Vec3) -> Material {
        let p = self.straightened(p);
        let eye = Self::eyes(p);
        if eye < 0.012 {
            return eye_material(p);
        }
        let orange = vec3(0.90, 0.27, 0.015).mix(vec3(0.80, 0.08, 0.01), self.redness);
        let gold = vec3(0.98, 0.58, 0.14).mix(vec3(0.95, 0.40, 0.16), self.redness);
        if self.fins(p) < Self::body(p) {
            let rays = ray_pattern(p);
            return Material {
                albedo: orange.mix(gold, 0.35 + 0.4 * rays) * (0.75 + 0.35 * rays),
                gloss: 0.15,
                sharpness: 20.0,
                translucency: 0.75,
            };
        }
        let mottle = noise::fractal(3.0 * p.x, 4.0 * p.y, 0.1, 7);
        let mut albedo = gold.mix(orange, smoothstep(-0.38, 0.02, p.y + 0.25 * (mottle - 0.5)));
        albedo = albedo.mix(orange * vec3(0.75, 0.45, 0.6), smoothstep(0.12, 0.42, p.y));
        // Scales end where the gill cover begins.
        let scaled = smoothstep(0.34, 0.24, p.x) * smoothstep(-0.85, -0.7, p.x);
        albedo = albedo * mix(1.0, scale_pattern(p), scaled);
        let gill = ((p.x - 0.62).hypot(p.y + 0.03) - 0.34).abs();
        if p.x < 0.5 {
            albedo = albedo * mix(0.5, 1.0, smoothstep(0.0, 0.035, gill));
        }
        let mouth = (p.y + 0.075).abs() + (0.74 - p.x).max(0.0);
        albedo = albedo * mix(0.3, 1.0, smoothstep(0.0, 0.02, mouth));
        Material {
            albedo,
            gloss: 0.55,
            sharpness: 45.0,
            translucency: 0.05,
        }
    }
}

fn eye_material(p: Vec3) -> Material {
    let seen = vec3(p.x, p.y, p.z.abs()) - EYE;
    let off_axis = seen.x.hypot(seen.y);
    let iris = vec3(0.85, 0.62, 0.18);
    Material {
        albedo: iris.mix(vec3(0.01, 0.01, 0.012), smoothstep(0.050, 0.044, off_axis)),
        gloss: 1.0,
        sharpness: 180.0,
        translucency: 0.0,
    }
}

/// Brightness of overlapping scales: bright at the free edge, dark beneath the next one.
fn scale_pattern(p: Vec3) -> f32 {
    let (along, around) = (p.x * 15.0, p.y * 13.0);
    let row = around.round();
    let shift = if row.rem_euclid(2.0) < 1.0 { 0.0 } else { 0.5 };
    let x = (along + shift).rem_euclid(1.0) - 0.5;
    let rim = (x * 1.1).hypot((around - row) * 0.9);
    1.12 - 0.45 * smoothstep(0.30, 0.56, rim) + 0.25 * x
}

/// The spines that spread a fin, 0 between and 1 on them.
fn ray_pattern(p: Vec3) -> f32 {
    let (back, up) = if p.x < TAIL_ROOT + 0.1 {
        (TAIL_ROOT + 0.05 - p.x, p.y - 0.05)
    } else if p.y > 0.2 {
        (0.9 - p.x, p.y + 0.5)
    } else {
        (p.x - 0.45, p.y - 0.1)
    };
    0.5 + 0.5 * (up.atan2(back) * 46.0).sin()
}
