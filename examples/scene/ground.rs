//! What the object is seen against: three grounds, each busy all over and an object nowhere.

use crate::distance::{mix, smoothstep};
use crate::noise;
use crate::solid::Material;
use crate::vector::{Vec3, vec3};

/// A ground that fills the plane y = 0, with relief up to [`Ground::relief`] above it.
#[derive(Clone, Copy)]
pub(crate) struct Ground {
    /// What it is made of.
    pub kind: GroundKind,
    /// Selects the random pattern.
    pub salt: u32,
}

#[derive(Clone, Copy)]
pub(crate) enum GroundKind {
    /// Stones of two sizes under water.
    Gravel,
    /// A large leaf with its veins.
    Leaf,
    /// Wooden boards.
    Boards,
}

impl Ground {
    /// Height of the highest point.
    pub fn relief(&self) -> f32 {
        match self.kind {
            GroundKind::Gravel => 0.30,
            GroundKind::Leaf => 0.10,
            GroundKind::Boards => 0.0,
        }
    }

    /// Height above the plane at (x, z).
    pub fn height(&self, x: f32, z: f32) -> f32 {
        match self.kind {
            GroundKind::Gravel => self.gravel(x, z).0,
            GroundKind::Leaf => self.leaf(x, z).0,
            GroundKind::Boards => 0.0,
        }
    }

    /// Where a ray meets the ground; `None` if it goes to the sky.
    pub fn meet(&self, origin: Vec3, direction: Vec3) -> Option<f32> {
        if direction.y > -1e-3 {
            return None;
        }
        let bottom = -origin.y / direction.y;
        let relief = self.relief();
        if relief == 0.0 {
            return Some(bottom);
        }
        let top = (relief - origin.y) / direction.y;
        let above = |t: f32| {
            let p = origin + direction * t;
            p.y - self.height(p.x, p.z)
        };
        const STEPS: u32 = 6;
        let step = (bottom - top) / STEPS as f32;
        let (mut outside, mut gap) = (top, above(top));
        for _ in 0..STEPS {
            let t = outside + step;
            let next = above(t);
            if next <= 0.0 {
                // Between two samples the surface is taken as straight.
                return Some(outside + step * gap / (gap - next).max(1e-6));
            }
            (outside, gap) = (t, next);
        }
        Some(bottom)
    }

    /// Normal at a point of the ground.
    pub fn normal(&self, p: Vec3, footprint: f32) -> Vec3 {
        if self.relief() == 0.0 {
            return vec3(0.0, 1.0, 0.0);
        }
        let step = footprint.max(0.008);
        let here = self.height(p.x, p.z);
        let rise_x = self.height(p.x + step, p.z) - here;
        let rise_z = self.height(p.x, p.z + step) - here;
        vec3(-rise_x, step, -rise_z).normalized()
    }

    /// Material and openness to the sky (1 in the open, less in a gap) at a point.
    pub fn material(&self, p: Vec3, footprint: f32) -> (Material, f32) {
        match self.kind {
            GroundKind::Gravel => self.gravel_material(p, footprint),
            GroundKind::Leaf => self.leaf_material(p, footprint),
            GroundKind::Boards => self.board_material(p, footprint),
        }
    }

    /// Height, the stone's tone and its second random number.
    fn gravel(&self, x: f32, z: f32) -> (f32, f32, f32) {
        let bent = 0.35 * (noise::value(x * 3.1, z * 3.1, self.salt + 5) - 0.5);
        let stone = |scale: f32, tall: f32, salt: u32| {
            let cell = noise::cell((x + bent) * scale, (z - bent) * scale, self.salt + salt);
            let dome = smoothstep(0.0, 0.55, cell.border).sqrt();
            (
                dome * tall * (0.55 + 0.45 * cell.size),
                cell.tone,
                cell.size,
            )
        };
        let small = stone(4.6, 0.13, 11);
        let large = stone(1.9, 0.30, 23);
        // Only some of the large cells hold a stone.
        if large.2 > 0.55 && large.0 > small.0 {
            large
        } else {
            small
        }
    }

    fn gravel_material(&self, p: Vec3, footprint: f32) -> (Material, f32) {
        let (height, tone, other) = self.gravel(p.x, p.z);
        const TINTS: [Vec3; 5] = [
            vec3(0.36, 0.31, 0.25),
            vec3(0.22, 0.21, 0.20),
            vec3(0.46, 0.41, 0.33),
            vec3(0.30, 0.22, 0.15),
            vec3(0.26, 0.28, 0.26),
        ];
        let tint = TINTS[((tone * 5.0) as usize).min(4)];
        let grain = noise::fractal(p.x * 9.0, p.z * 9.0, footprint * 9.0, self.salt + 31);
        let material = Material {
            albedo: tint * (0.55 + 0.9 * grain) * (0.75 + 0.5 * other),
            gloss: 0.08,
            sharpness: 14.0,
            translucency: 0.0,
        };
        (material, mix(0.25, 1.0, smoothstep(0.0, 0.10, height)))
    }

    /// Height and how much of a vein there is, 0 to 1.
    fn leaf(&self, x: f32, z: f32) -> (f32, f32) {
        let warp = noise::value(x * 0.9, z * 0.9, self.salt + 41) - 0.5;
        // The rib runs aslant, behind the object.
        let own = 0.9 + 0.5 * noise::random(0, 0, self.salt);
        let along = 0.92 * x + 0.39 * z + 0.2 * warp;
        let across = 0.92 * z - 0.39 * x + own + 0.25 * warp;
        let branch = (along - 0.75 * across.abs()) * 1.25 + 0.2 * warp;
        let to_branch = (branch - branch.round()).abs() / 1.25;
        let rib = smoothstep(0.13, 0.03, across.abs());
        let side = smoothstep(0.055, 0.015, to_branch);
        let mesh = noise::cell(x * 4.2 + warp, z * 4.2, self.salt + 43).border;
        let fine = 0.6 * smoothstep(0.14, 0.02, mesh);
        let vein = rib.max(side).max(fine);
        let bulge = smoothstep(0.0, 0.3, to_branch) * 0.05 + smoothstep(0.0, 0.4, mesh) * 0.02;
        (0.02 + bulge * (1.0 - rib), vein)
    }

    fn leaf_material(&self, p: Vec3, footprint: f32) -> (Material, f32) {
        let (_, vein) = self.leaf(p.x, p.z);
        let tone = noise::fractal(p.x * 1.3, p.z * 1.3, footprint * 1.3, self.salt + 45);
        let speck = noise::cell(p.x * 2.3, p.z * 2.3, self.salt + 47);
        let blade = vec3(0.035, 0.13, 0.018).mix(vec3(0.13, 0.30, 0.035), 1.6 * tone - 0.3);
        let mut albedo = blade.mix(vec3(0.30, 0.42, 0.13), 0.75 * vein);
        // Some cells carry a rust spot.
        let rust = smoothstep(0.14, 0.06, speck.distance) * f32::from(speck.tone > 0.6);
        albedo = albedo.mix(vec3(0.20, 0.11, 0.035), 0.8 * rust);
        let material = Material {
            albedo,
            gloss: 0.25,
            sharpness: 16.0,
            translucency: 0.2,
        };
        (material, 1.0)
    }

    fn board_material(&self, p: Vec3, footprint: f32) -> (Material, f32) {
        const WIDTH: f32 = 0.62;
        let board = (p.z / WIDTH).floor();
        let across = p.z / WIDTH - board;
        let own = |salt| noise::random(board as i32, 0, self.salt + salt);
        let along = p.x + 7.0 * own(71);
        // Boards end now and then.
        let length = 3.1;
        let end = (along / length - (along / length).round()).abs() * length;
        let tint = vec3(0.32, 0.15, 0.06).mix(vec3(0.50, 0.29, 0.13), own(72));
        let bend = noise::value(along * 0.7, p.z * 1.6, self.salt + 73);
        let rings = noise::fractal(
            along * 0.8,
            p.z * 13.0 + 7.0 * bend,
            footprint * 13.0,
            self.salt + 74,
        );
        let fibre = noise::fractal(along * 3.0, p.z * 24.0, footprint * 24.0, self.salt + 79);
        let knot = noise::cell(along * 0.5, p.z * 1.1, self.salt + 85);
        let dark = smoothstep(0.14, 0.02, knot.distance) * f32::from(knot.tone > 0.85);
        let mut albedo = tint * (0.35 + 1.0 * rings) * (0.6 + 0.8 * fibre);
        albedo = albedo.mix(vec3(0.07, 0.03, 0.015), 0.8 * dark);
        let gap = across.min(1.0 - across) * WIDTH;
        // A gap finer than a sample gets wider and paler instead of breaking up into dashes.
        let width = 0.012 + 0.7 * footprint;
        let shade = (1.0 - smoothstep(0.0, width, gap.min(end))) * 0.014 / width;
        let open = 1.0 - shade.min(1.0);
        let material = Material {
            albedo: albedo * mix(0.12, 1.0, open),
            gloss: 0.30 * open,
            sharpness: 30.0,
            translucency: 0.0,
        };
        (material, open)
    }
}
