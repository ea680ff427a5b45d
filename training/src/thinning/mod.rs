//! The set F of classifier iterates that judges are drawn from (the paper, section 3 and Table 2).
//!
//! [`ThinningPolicy`] decides, without any tensors, when the classifier is kept, which slot it takes,
//! and who judges a step. [`History`] holds the kept classifiers.

mod history;
mod policy;

pub use history::History;
pub use policy::{HistoryStart, Judge, Place, ThinningPolicy};
