//! The paper's figures: what they show, wherever the pictures come from.
//!
//! | stage | module | from → to |
//! |---|---|---|
//! | model | [`Model`] | checkpoint → masks and logits of pictures |
//! | composite | [`masked_in`], [`masked_out`] | picture, binary mask → picture with the rest filled |
//! | inpainting | [`inpaint`] | masked-out picture → picture with the hole filled from around it |
//! | toy mask | [`ToyMask`] | nothing → masks to compare with |
//! | confusion | [`Tally`] | scores of single pictures → means (Figure 3) |
//! | plot | [`plot`] | means → SVG |
//! | grid | [`grid`] | pictures → one sheet (Figure 2) |
//! | gallery | [`gallery`] | pictures and facts → HTML |

mod composite;
mod confusion;
mod front;
pub mod gallery;
mod grid;
mod inpaint;
mod model;
mod plot;
mod toy;

pub use composite::{Fill, INPAINT_RADIUS, masked_in, masked_out, masked_versions};
pub use confusion::{Condition, Confusion, Tally};
pub use grid::grid;
pub use inpaint::inpaint;
pub use model::{Model, View};
pub use plot::plot;
pub use toy::ToyMask;
