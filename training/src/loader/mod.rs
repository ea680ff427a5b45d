//! Pictures → augmented batches, in worker threads.
//!
//! [`Loader`] hands pictures out to workers and puts what comes back in order; [`Transform`] makes a
//! picture the network's size. Which picture is where, how it is cropped and whether it is flipped
//! follow from the seed and the place in the run alone.

mod batch;
mod config;
mod stream;
mod transform;
mod view;
mod worker;

pub use batch::Batch;
pub use config::{LARGEST, LoaderConfig};
pub use stream::Loader;
pub use transform::Transform;
pub use view::{Origin, View};
