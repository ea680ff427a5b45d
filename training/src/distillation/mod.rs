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
//! | pictures → target masks, classes | [`Teacher`] |
//! | target masks of all pictures, once → those of a batch's crops | [`TargetSet`] |
//! | pictures and targets → gradients → weights | [`Student`] |

mod close_up;
mod student;
mod target_set;
mod teacher;

pub use close_up::close_up;
pub use student::{Lesson, Student, StudentRates, Targets};
pub use target_set::TargetSet;
pub use teacher::Teacher;
