//! Training and evaluation of classifier-agnostic saliency maps, and the `casm` command.
//!
//! | stage | module | from → to |
//! |---|---|---|
//! | evaluation | [`evaluation`] | masks and boxes against ground truth → LE, OM, F1, statistics |

pub mod evaluation;
