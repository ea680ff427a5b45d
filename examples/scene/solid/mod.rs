//! The objects: shape and surface of each, in its own coordinates.
//!
//! Each looks along +x, with y up, and is about two units long.

mod goldfish;
mod ladybug;
mod teapot;

pub(crate) use goldfish::Goldfish;
pub(crate) use ladybug::Ladybug;
pub(crate) use teapot::Teapot;

use crate::vector::{Vec3, vec3};

/// How a surface answers light.
#[derive(Clone, Copy)]
pub(crate) struct Material {
    /// Share of the light that is scattered, per colour channel.
    pub albedo: Vec3,
    /// Strength of the highlight and of the mirrored surroundings, 0 to 1.
    pub gloss: f32,
    /// Exponent of the highlight: the larger, the smaller and crisper.
    pub sharpness: f32,
    /// Share of the light from behind that comes through.
    pub translucency: f32,
}

/// A solid bounded by a signed distance.
pub(crate) trait Solid: Sync {
    /// Two opposite corners of a box that holds the whole solid: least and greatest coordinates.
    fn corners(&self) -> [Vec3; 2];

    /// Distance to the surface, negative inside, never more than the true one by much.
    fn distance(&self, p: Vec3) -> f32;

    /// Material at a point of the surface.
    fn material(&self, p: Vec3) -> Material;
}

/// Where a solid is and how it is turned.
pub(crate) struct Pose {
    origin: Vec3,
    /// The solid's axes x, y and z, as directions in the world.
    axes: [Vec3; 3],
}

impl Pose {
    /// A solid at `origin`, turned by `heading` about the vertical (0 looks along +x, and the
    /// camera's side is at a quarter turn backwards) and then nose up by `pitch`, in radians.
    pub fn new(origin: Vec3, heading: f32, pitch: f32) -> Self {
        let ((sin_h, cos_h), (sin_p, cos_p)) = (heading.sin_cos(), pitch.sin_cos());
        Self {
            origin,
            axes: [
                vec3(cos_h * cos_p, sin_p, sin_h * cos_p),
                vec3(-cos_h * sin_p, cos_p, -sin_h * sin_p),
                vec3(-sin_h, 0.0, cos_h),
            ],
        }
    }

    /// A direction of the world in the solid's coordinates.
    pub fn local_direction(&self, direction: Vec3) -> Vec3 {
        let [x, y, z] = self.axes;
        vec3(direction.dot(x), direction.dot(y), direction.dot(z))
    }

    /// A point of the world in the solid's coordinates.
    pub fn local(&self, p: Vec3) -> Vec3 {
        self.local_direction(p - self.origin)
    }

    /// A direction in the solid's coordinates as one of the world.
    pub fn world_direction(&self, direction: Vec3) -> Vec3 {
        let [x, y, z] = self.axes;
        x * direction.x + y * direction.y + z * direction.z
    }
}

/// The direction in which `field` grows fastest, from four samples on a tetrahedron.
pub(crate) fn gradient(p: Vec3, step: f32, field: impl Fn(Vec3) -> f32) -> Vec3 {
    const CORNERS: [Vec3; 4] = [
        vec3(1.0, -1.0, -1.0),
        vec3(-1.0, -1.0, 1.0),
        vec3(-1.0, 1.0, -1.0),
        vec3(1.0, 1.0, 1.0),
    ];
    let sum = CORNERS.iter().fold(Vec3::ZERO, |sum, &corner| {
        sum + corner * field(p + corner * step)
    });
    sum.normalized()
}
