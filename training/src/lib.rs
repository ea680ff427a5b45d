//! Training and evaluation of classifier-agnostic saliency maps, and the `casm` command.
//!
//! | stage | module | from → to |
//! |---|---|---|
//! | picture | [`picture`] | JPEG, PNG, WebP bytes → upright RGB → square input |
//! | dataset | [`dataset`] | folders and archives → pictures with classes |
//! | loader | [`loader`] | pictures → augmented batches, in worker threads |
//! | alternating step | [`alternating`] | batch → one update of classifier and mapping (Algorithm 1) |
//! | distillation | [`distillation`] | batch → one update of a student that learns from a teacher's close-ups |
//! | sharpening | [`sharpening`] | a trained network's masks → a last layer that gives them more contrast |
//! | thinning set | [`thinning`] | classifier iterates → the set F that judges are drawn from |
//! | optimizer | [`optimizer`] | gradients → parameters |
//! | snapshot | [`snapshot`] | all of a run's state ↔ disk |
//! | log | [`log`] | numbers of a step → progress bar, CSV, TensorBoard |
//! | run | [`run`] | configuration → a trained checkpoint |
//! | evaluation | [`evaluation`] | masks and boxes against ground truth → LE, OM, F1, statistics |
//! | figure | [`figure`] | pictures and masks → the paper's figures |

pub mod alternating;
pub mod dataset;
pub mod distillation;
pub mod evaluation;
pub mod figure;
pub mod loader;
pub mod log;
pub mod optimizer;
pub mod picture;
pub mod random;
pub mod run;
pub mod sharpening;
pub mod snapshot;
pub mod thinning;
