//! Batch → one update of a student, which learns at one look what its teacher sees in close-ups.
//!
//! A trained mapping marks an object with a margin around it that is about as wide for small objects
//! as for large ones. Shown the marked part enlarged, it marks the object more tightly. Here a student,
//! encoder included, learns the mask that the teacher gives of such close-ups, put back into the whole
//! picture; with the whole encoder learning it gets nearer to the objects than the teacher's own
//! decoder could. No label and no box is used.
//!
//! This is not in the paper. Learning from one's own masks is known from pseudo supervised localization
//! (C.-L. Zhang et al., *Rethinking the Route Towards Weakly Supervised Object Localization*, CVPR 2020),
//! and consistency under zooming from Y. Wang et al., *Self-supervised Equivariant Attention Mechanism*,
//! CVPR 2020.
//!
//! | stage | item |
//! |---|---|
//! | box → close-up | [`close_up`] |
//! | pictures → targets | [`Teacher`] |
//! | pictures and targets → gradients → weights | [`Student`] |

mod close_up;
mod student;
mod teacher;

pub use close_up::close_up;
pub use student::{Lesson, Student, StudentRates};
pub use teacher::{Targets, Teacher};
