//! The paper's figures: what they show, without the pictures' origin and the networks.
//!
//! | stage | module | from → to |
//! |---|---|---|
//! | composite | [`masked_in`], [`masked_out`] | picture, binary mask → picture with the rest filled |
//! | inpainting | [`inpaint`] | masked-out picture → picture with the hole filled from around it |
//! | toy mask | [`ToyMask`] | nothing → masks to compare with |
//! | confusion | [`Tally`] | scores of single pictures → means (Figure 3) |
//! | plot | [`plot`] | means → SVG |
//! | grid | [`grid`] | pictures → one sheet (Figure 2) |
//! | gallery | [`gallery`] | pictures and facts → HTML |

mod composite;
mod confusion;
pub mod gallery;
mod grid;
mod inpaint;
mod plot;
mod toy;

pub use composite::{Fill, masked_in, masked_out};
pub use confusion::{Condition, Confusion, Tally};
pub use grid::grid;
pub use inpaint::inpaint;
pub use plot::plot;
pub use toy::ToyMask;
