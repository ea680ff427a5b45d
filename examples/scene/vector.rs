//! Three-component vectors: points, directions and linear-light colours alike.

use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// A point, a direction or a linear-light colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Vec3 {
    pub x: f32,
    pub y: f32,
    pub z: f32,
}

/// Shorthand constructor; scenes are full of literals.
pub(crate) const fn vec3(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

impl Vec3 {
    pub const ZERO: Self = vec3(0.0, 0.0, 0.0);

    pub fn dot(self, other: Self) -> f32 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub fn cross(self, other: Self) -> Self {
        vec3(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    pub fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    pub fn normalized(self) -> Self {
        self * (1.0 / self.length())
    }

    /// Linear blend: `self` at 0, `other` at 1.
    pub fn mix(self, other: Self, t: f32) -> Self {
        self + (other - self) * t
    }

    /// Applies `f` to each component.
    pub fn map(self, f: impl Fn(f32) -> f32) -> Self {
        vec3(f(self.x), f(self.y), f(self.z))
    }

    /// Mirror image of this direction at a surface of normal `normal`.
    pub fn reflected(self, normal: Self) -> Self {
        self - normal * (2.0 * self.dot(normal))
    }

    /// Rotation in the plane of x and z (about the vertical axis), by an angle's sine and cosine.
    pub fn turned(self, (sin, cos): (f32, f32)) -> Self {
        vec3(
            cos * self.x + sin * self.z,
            self.y,
            cos * self.z - sin * self.x,
        )
    }

    /// Rotation in the plane of x and y (a nod, for something that looks along x).
    pub fn pitched(self, (sin, cos): (f32, f32)) -> Self {
        vec3(
            cos * self.x + sin * self.y,
            cos * self.y - sin * self.x,
            self.z,
        )
    }
}

impl Add for Vec3 {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        vec3(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl AddAssign for Vec3 {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Vec3 {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        vec3(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f32> for Vec3 {
    type Output = Self;
    fn mul(self, factor: f32) -> Self {
        vec3(self.x * factor, self.y * factor, self.z * factor)
    }
}

/// Component by component: a colour seen through a filter.
impl Mul for Vec3 {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        vec3(self.x * other.x, self.y * other.y, self.z * other.z)
    }
}

impl Neg for Vec3 {
    type Output = Self;
    fn neg(self) -> Self {
        vec3(-self.x, -self.y, -self.z)
    }
}
