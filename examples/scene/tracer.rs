//! One ray from the camera: what it meets, and the light that comes back along it.

use crate::distance::{mix, smoothstep};
use crate::ground::Ground;
use crate::noise;
use crate::solid::{Material, Pose, Solid, gradient};
use crate::vector::{Vec3, vec3};

/// Sphere-tracing steps before a grazing ray is given up.
const STEPS: u32 = 72;

/// A pinhole camera.
pub(crate) struct Camera {
    position: Vec3,
    right: Vec3,
    up: Vec3,
    forward: Vec3,
}

impl Camera {
    /// Looks from `position` at `target`; `zoom` is the focal length over half the frame's height.
    pub fn new(position: Vec3, target: Vec3, zoom: f32) -> Self {
        let forward = (target - position).normalized();
        let right = forward.cross(vec3(0.0, 1.0, 0.0)).normalized();
        Self {
            position,
            right,
            up: right.cross(forward),
            forward: forward * zoom,
        }
    }

    /// Direction through a point of the picture: y up, -1 to 1; x likewise times the aspect ratio.
    fn direction(&self, x: f32, y: f32) -> Vec3 {
        (self.right * x + self.up * y + self.forward).normalized()
    }
}

/// Sun, sky and the medium between.
pub(crate) struct Light {
    /// Direction to the sun.
    pub sun: Vec3,
    pub sun_colour: Vec3,
    pub sky_colour: Vec3,
    /// Light thrown back by the ground.
    pub bounce_colour: Vec3,
    pub fog_colour: Vec3,
    /// Share of the light lost per unit of length.
    pub fog_density: f32,
    /// Phase of the water's ripples, in radians; `None` in air.
    pub ripple: Option<f32>,
}

/// Everything that one frame shows.
pub(crate) struct Stage {
    pub camera: Camera,
    pub light: Light,
    pub ground: Ground,
    pub solid: Box<dyn Solid>,
    pub pose: Pose,
    /// How far out of focus the ground is: radius of a point's image over the frame's height.
    pub defocus: f32,
    /// Half the angle of a pixel, roughly: its footprint at distance one.
    pub pixel_angle: f32,
}

impl Stage {
    /// Light from the ground, as though the object cast a shadow but were itself not in the way.
    ///
    /// `spacing` is the distance to the next sample in pixels: finer detail is left out.
    pub fn ground_sample(&self, x: f32, y: f32, spacing: f32) -> Vec3 {
        let (origin, direction) = (self.camera.position, self.camera.direction(x, y));
        let Some(t) = self.ground.meet(origin, direction) else {
            return film_response(self.light.fog_colour);
        };
        let footprint = spacing * self.pixel_angle * t / direction.y.abs().max(0.2);
        let light = self.ground_light(origin + direction * t, direction, footprint);
        film_response(self.through_medium(light, t))
    }

    /// Light from the object; `None` where the ray passes it by.
    pub fn object_sample(&self, x: f32, y: f32) -> Option<Vec3> {
        let (origin, direction) = (self.camera.position, self.camera.direction(x, y));
        let t = self.meet_object(origin, direction)?;
        let p = origin + direction * t;
        // Below the ground's plane the ground would have been met first.
        (p.y > 0.0).then(|| {
            let light = self.object_light(p, direction);
            film_response(self.through_medium(light, t))
        })
    }

    fn through_medium(&self, light: Vec3, t: f32) -> Vec3 {
        let clear = (-self.light.fog_density * t).exp();
        self.light.fog_colour.mix(light, clear)
    }

    fn distance(&self, p: Vec3) -> f32 {
        self.solid.distance(self.pose.local(p))
    }

    /// Sphere tracing, in the object's coordinates.
    fn meet_object(&self, origin: Vec3, direction: Vec3) -> Option<f32> {
        let origin = self.pose.local(origin);
        let direction = self.pose.local_direction(direction);
        let (mut t, end) = crossing(self.solid.corners(), origin, direction)?;
        for _ in 0..STEPS {
            let distance = self.solid.distance(origin + direction * t);
            if distance < 0.25 * self.pixel_angle * t {
                return Some(t);
            }
            t += distance;
            if t > end {
                return None;
            }
        }
        None
    }

    /// Share of the sun that reaches `p`: 0 behind the object, soft towards the edge.
    fn sunshine(&self, p: Vec3, start: f32) -> f32 {
        const SOFTNESS: f32 = 9.0;
        /// How far the penumbra reaches out of the object's box.
        const MARGIN: f32 = 0.15;
        let origin = self.pose.local(p);
        let sun = self.pose.local_direction(self.light.sun);
        let [least, greatest] = self.solid.corners();
        let wider = [
            least.map(|corner| corner - MARGIN),
            greatest.map(|corner| corner + MARGIN),
        ];
        let Some((enter, end)) = crossing(wider, origin, sun) else {
            return 1.0;
        };
        let (mut t, mut open) = (enter.max(start), 1.0_f32);
        for _ in 0..22 {
            let distance = self.solid.distance(origin + sun * t);
            open = open.min(0.5 + 0.5 * SOFTNESS * distance / t);
            if open <= 0.0 {
                return 0.0;
            }
            t += distance.clamp(0.03, 0.3);
            if t > end {
                break;
            }
        }
        open * open * (3.0 - 2.0 * open)
    }

    /// Share of the sky that the object leaves open above `p`.
    fn openness(&self, p: Vec3, normal: Vec3) -> f32 {
        const REACH: f32 = 0.6;
        let local = self.pose.local(p);
        let [least, greatest] = self.solid.corners();
        let outside = |x: f32, low: f32, high: f32| x < low - REACH || x > high + REACH;
        if outside(local.x, least.x, greatest.x)
            || outside(local.y, least.y, greatest.y)
            || outside(local.z, least.z, greatest.z)
        {
            return 1.0;
        }
        let (mut blocked, mut weight) = (0.0, 1.0);
        for step in [0.08, 0.25, REACH] {
            blocked += weight * (step - self.distance(p + normal * step)).max(0.0) / step;
            weight *= 0.65;
        }
        (1.0 - 0.5 * blocked).clamp(0.15, 1.0)
    }

    fn object_light(&self, p: Vec3, direction: Vec3) -> Vec3 {
        let local = self.pose.local(p);
        let steepest = gradient(local, 0.0025, |q| self.solid.distance(q));
        let normal = self.pose.world_direction(steepest);
        let material = self.solid.material(local);
        let sunshine = self.sunshine(p + normal * 0.01, 0.03) * self.ripples(p);
        // Near the ground, less of the light from below and from the sides arrives.
        let lifted = smoothstep(-0.1, 1.0, p.y + 0.5 * normal.y);
        let openness = self.openness(p, normal) * mix(0.45, 1.0, lifted);
        self.shade(normal, direction, &material, sunshine, openness)
    }

    fn ground_light(&self, p: Vec3, direction: Vec3, footprint: f32) -> Vec3 {
        let normal = self.ground.normal(p, footprint);
        let (material, crevice) = self.ground.material(p, footprint);
        let sunshine = self.sunshine(p, 0.02) * self.ripples(p) * mix(0.4, 1.0, crevice);
        let openness = self.openness(p, normal) * crevice;
        self.shade(normal, direction, &material, sunshine, openness)
    }

    fn shade(
        &self,
        normal: Vec3,
        direction: Vec3,
        material: &Material,
        sunshine: f32,
        openness: f32,
    ) -> Vec3 {
        let light = &self.light;
        let facing = normal.dot(light.sun);
        let through = material.translucency * (0.35 * (-facing).max(0.0) + 0.15);
        let sun = light.sun_colour * (sunshine * (facing.max(0.0) + through));
        let sky = light.sky_colour * ((0.5 + 0.5 * normal.y) * openness);
        let bounce = light.bounce_colour * ((0.5 - 0.5 * normal.y) * openness);
        let diffuse = material.albedo * (sun + sky + bounce);

        let half = (light.sun - direction).normalized();
        let highlight =
            normal.dot(half).max(0.0).powf(material.sharpness) * (material.sharpness + 8.0) / 30.0;
        let grazing = (1.0 + direction.dot(normal)).clamp(0.0, 1.0).powi(4);
        let mirrored = self.surroundings(direction.reflected(normal));
        let sheen = light.sun_colour * (highlight * sunshine * facing.max(0.0) * 0.35)
            + mirrored * ((0.05 + 0.6 * grazing) * openness);
        diffuse + sheen * material.gloss
    }

    /// What a polished surface mirrors: the ground below, the sky above, brighter to one side.
    fn surroundings(&self, direction: Vec3) -> Vec3 {
        let light = &self.light;
        let window = smoothstep(0.45, 0.75, direction.y) * smoothstep(0.6, -0.2, direction.x);
        light
            .bounce_colour
            .mix(light.sky_colour, smoothstep(-0.15, 0.35, direction.y))
            + light.sky_colour * window
    }

    /// The net of light that a water surface throws down; 1 on average, 1 everywhere in air.
    fn ripples(&self, p: Vec3) -> f32 {
        let Some(phase) = self.light.ripple else {
            return 1.0;
        };
        let (x, z) = (p.x - 0.6 * p.y, p.z + 0.3 * p.y);
        let net = |scale: f32, drift: f32, salt: u32| {
            let warp = 1.3 * noise::value(x * scale + drift, z * scale, salt);
            let wave = noise::value(x * scale + warp, z * scale - drift + warp, salt + 1);
            1.0 - (2.0 * wave - 1.0).abs()
        };
        let bright = net(1.7, 0.9 * phase.sin(), 51) * net(2.6, 1.1 * phase.cos(), 61);
        0.72 + 1.5 * bright.powi(3)
    }
}

/// Where a ray enters and leaves a box between two corners.
fn crossing([least, greatest]: [Vec3; 2], origin: Vec3, direction: Vec3) -> Option<(f32, f32)> {
    let (mut enter, mut leave) = (0.0_f32, f32::MAX);
    let mut between = |low: f32, high: f32, at: f32, along: f32| {
        let (a, b) = ((low - at) / along, (high - at) / along);
        enter = enter.max(a.min(b));
        leave = leave.min(a.max(b));
    };
    between(least.x, greatest.x, origin.x, direction.x);
    between(least.y, greatest.y, origin.y, direction.y);
    between(least.z, greatest.z, origin.z, direction.z);
    (enter < leave).then_some((enter, leave))
}

/// Film's S-shaped answer to light: deep shadows, highlights that roll off instead of clipping.
fn film_response(light: Vec3) -> Vec3 {
    light.map(|x| {
        let exposed = 1.0 - (-1.15 * x.max(0.0)).exp();
        mix(exposed, exposed * exposed * (3.0 - 2.0 * exposed), 0.6)
    })
}
