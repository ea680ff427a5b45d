//! Another model for a stream that plays.

use std::panic::catch_unwind;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use casm_core::{Error, Result};

use crate::saliency::imp::lock;
use crate::saliency::worker::model::Model;
use crate::saliency::worker::shared::Instance;

/// Name of the element message after a change of model.
///
/// | field | type | meaning |
/// |---|---|---|
/// | `path` | string | the model file; empty = the built-in model |
/// | `ok` | gboolean | whether frames have the new model from now on |
/// | `reason` | string | if not, why |
pub const MODEL_UPDATED: &str = "casm-model-updated";

/// What has become of a swap.
pub enum Swap {
    /// Frames have this model from now on.
    Done(Arc<Model>),
    /// The old one runs on.
    Failed(Error),
    /// A later one has taken its place before it was loaded.
    Superseded,
}

/// Loads the model at `path` in a thread of its own, puts it into `instance`, and calls `tell` there.
///
/// Nothing waits: frames go on with the old model until the new one has computed its first picture. Of several swaps
/// the last one wins. If the instance has been left meanwhile, nothing is told.
///
/// # Errors
/// [`Error::Engine`] if the system has no thread left.
pub fn begin(
    instance: &Arc<Instance>,
    path: String,
    tell: impl FnOnce(Swap) + Send + 'static,
) -> Result<()> {
    let number = instance.swaps.fetch_add(1, Ordering::SeqCst) + 1;
    let instance = Arc::downgrade(instance);
    std::thread::Builder::new()
        .name("casm-swap".to_owned())
        .spawn(move || {
            if let Some(swap) = load(&instance, &path, number) {
                tell(swap);
            }
        })
        .map(drop)
        .map_err(|error| Error::Engine {
            engine: "casm".to_owned(),
            reason: format!("the model cannot be changed: {error}"),
        })
}

/// `None` if nobody is there any more.
fn load(instance: &Weak<Instance>, path: &str, number: u64) -> Option<Swap> {
    // A stop does not wait for a file, so the instance is not held while there is one to be read.
    let (options, loading) = {
        let instance = instance.upgrade()?;
        (instance.options().clone(), instance.loading.clone())
    };
    // One after the other, or several models would be in memory beside the old one.
    let _turn = lock(&loading);
    if instance.upgrade()?.swaps.load(Ordering::SeqCst) != number {
        return Some(Swap::Superseded);
    }
    // Nobody joins this thread: a panic in it would leave the application waiting for an answer.
    let opened = catch_unwind(|| Model::open(path, &options)).unwrap_or_else(|_| {
        Err(Error::Engine {
            engine: "casm".to_owned(),
            reason: format!(
                "opening the model '{path}' has panicked; please report this with the model"
            ),
        })
    });
    let instance = instance.upgrade()?;
    let swap = match opened {
        Ok(model) => Swap::Done(instance.set_model(model)),
        Err(error) => Swap::Failed(error),
    };
    // All others may have left meanwhile.
    Instance::leave(instance);
    Some(swap)
}
