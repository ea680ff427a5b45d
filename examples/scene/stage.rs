//! Who plays where, and how: the three productions, frame by frame.
//!
//! Paths, cameras and zooms are chosen by eye so that the object stays whole and covers between a
//! tenth and a quarter of the frame; the tests of the crate hold them to it.

use std::f32::consts::{PI, TAU};

use crate::Scene;
use crate::ground::{Ground, GroundKind};
use crate::noise;
use crate::solid::{Goldfish, Ladybug, Pose, Teapot};
use crate::tracer::{Camera, Light, Stage};
use crate::vector::vec3;

/// The object of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A goldfish swimming over gravel.
    Goldfish,
    /// A ladybug walking on a leaf.
    Ladybug,
    /// A painted teapot turning on a wooden floor.
    Teapot,
}

impl Subject {
    /// Every subject.
    pub const ALL: [Self; 3] = [Self::Goldfish, Self::Ladybug, Self::Teapot];
}

/// Sets up frame `index` of `scene`.
pub(crate) fn stage(scene: &Scene, index: u32) -> Stage {
    // The clip is a closed loop: all motion is periodic in this angle.
    let turn = TAU * (index as f32 / scene.frames.max(1) as f32 + variety(scene, 0));
    match scene.subject {
        Subject::Goldfish => goldfish(scene, turn),
        Subject::Ladybug => ladybug(scene, turn),
        Subject::Teapot => teapot(scene, turn),
    }
}

/// The variety of a scene: a number in [0, 1) per trait, 0 for the seed 0.
fn variety(scene: &Scene, which: u32) -> f32 {
    if scene.seed == 0 {
        0.0
    } else {
        noise::random(scene.seed as i32, which as i32, 97)
    }
}

/// Which side the object looks to: -1 is left, 1 is right.
fn side(scene: &Scene) -> f32 {
    if variety(scene, 1) < 0.5 { -1.0 } else { 1.0 }
}

/// The heading that looks to that side.
fn towards(side: f32) -> f32 {
    if side < 0.0 { PI } else { 0.0 }
}

fn ground(scene: &Scene, kind: GroundKind) -> Ground {
    Ground {
        kind,
        // Short of the integer's range, since each use adds a number of its own.
        salt: scene.seed.wrapping_mul(131) & 0xF_FFFF,
    }
}

fn pixel_angle(scene: &Scene, zoom: f32) -> f32 {
    2.0 / (scene.height as f32 * zoom)
}

fn goldfish(scene: &Scene, turn: f32) -> Stage {
    let zoom = 4.2;
    let side = side(scene);
    let heading = towards(side) - 0.5 * (turn + 0.6).sin() - 0.08 * (3.0 * turn).sin();
    let position = vec3(
        side * (0.38 - 0.30 * turn.cos()),
        1.02 + 0.06 * (2.0 * turn).sin(),
        -0.10 + 0.65 * turn.sin(),
    );
    Stage {
        camera: Camera::new(
            vec3(0.4 * turn.sin(), 2.9, 4.5),
            vec3(0.3 * position.x, 0.90, 0.6 * position.z),
            zoom,
        ),
        light: Light {
            sun: vec3(-0.45 + 0.9 * variety(scene, 2), 0.85, 0.35).normalized(),
            sun_colour: vec3(2.2, 2.1, 1.8),
            sky_colour: vec3(0.36, 0.55, 0.62),
            bounce_colour: vec3(0.22, 0.21, 0.17),
            fog_colour: vec3(0.03, 0.16, 0.17),
            fog_density: 0.05,
            ripple: Some(turn),
        },
        ground: ground(scene, GroundKind::Gravel),
        solid: Box::new(Goldfish::new(5.0 * turn, 0.15 + 0.5 * variety(scene, 3))),
        pose: Pose::new(position, heading, 0.08 * turn.sin()),
        defocus: 0.008,
        pixel_angle: pixel_angle(scene, zoom),
    }
}

fn ladybug(scene: &Scene, turn: f32) -> Stage {
    let zoom = 4.0;
    let side = side(scene);
    let heading = towards(side) + side * (0.1 + 0.5 * turn.sin());
    let position = vec3(-0.38 * side * turn.cos(), 0.50, -0.10 + 0.60 * turn.sin());
    Stage {
        camera: Camera::new(
            vec3(0.3 * turn.sin(), 3.6, 4.3),
            vec3(0.3 * position.x, 0.13, 0.1 + 0.75 * position.z),
            zoom,
        ),
        light: Light {
            sun: vec3(-0.45 + 0.9 * variety(scene, 2), 0.85, 0.25).normalized(),
            sun_colour: vec3(2.0, 1.85, 1.55),
            sky_colour: vec3(0.42, 0.52, 0.62),
            bounce_colour: vec3(0.10, 0.18, 0.05),
            fog_colour: vec3(0.10, 0.16, 0.05),
            fog_density: 0.01,
            ripple: None,
        },
        ground: ground(scene, GroundKind::Leaf),
        solid: Box::new(Ladybug {
            gait: 8.0 * turn,
            paleness: 0.8 * variety(scene, 3),
        }),
        pose: Pose::new(position, heading, 0.0),
        defocus: 0.006,
        pixel_angle: pixel_angle(scene, zoom),
    }
}

fn teapot(scene: &Scene, turn: f32) -> Stage {
    let zoom = 4.6;
    let cobalt = vec3(0.015, 0.045, 0.30);
    let red = vec3(0.40, 0.02, 0.03);
    let side = side(scene);
    let heading = towards(-side) - side * (0.15 + 0.65 * turn.sin());
    let position = vec3(0.42 * side * turn.cos(), 0.64, 0.60 * turn.sin());
    Stage {
        camera: Camera::new(
            vec3(0.5 * turn.sin(), 2.9, 5.0),
            vec3(0.3 * position.x, 0.58, 0.6 * position.z),
            zoom,
        ),
        light: Light {
            sun: vec3(-0.55 + 1.1 * variety(scene, 2), 0.8, 0.45).normalized(),
            sun_colour: vec3(1.8, 1.65, 1.35),
            sky_colour: vec3(0.38, 0.44, 0.52),
            bounce_colour: vec3(0.22, 0.14, 0.08),
            fog_colour: vec3(0.10, 0.07, 0.05),
            fog_density: 0.02,
            ripple: None,
        },
        ground: ground(scene, GroundKind::Boards),
        solid: Box::new(Teapot {
            paint: cobalt.mix(red, variety(scene, 3)),
        }),
        pose: Pose::new(position, heading, 0.0),
        defocus: 0.004,
        pixel_angle: pixel_angle(scene, zoom),
    }
}
