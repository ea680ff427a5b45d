//! Models that several elements share, by the property `model-instance-id`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use casm_core::{Engine, EngineOptions, Header, Result};

use crate::saliency::imp::lock;
use crate::saliency::settings::Settings;
use crate::saliency::worker::lane::{Job, Lane};
use crate::saliency::worker::model::Model;
use crate::saliency::worker::{Batching, Worker};

/// How long a stop waits for the device.
pub const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A model and the worker that runs it, for one element or for all of one name.
pub struct Instance {
    worker: Worker,
    model: Mutex<Arc<Model>>,
    options: EngineOptions,
    streams: AtomicU64,
    /// Number of the last swap that was asked for.
    pub(in crate::saliency) swaps: AtomicU64,
    /// Held while a model is loaded aside.
    pub(in crate::saliency) loading: Arc<Mutex<()>>,
}

/// The place of a name. Who holds it loads the model of this name, and those who want the same wait.
#[derive(Default)]
struct Place(Mutex<Weak<Instance>>);

/// The places by their names. An instance lives as long as someone uses it.
static NAMED: Mutex<Option<HashMap<String, Arc<Place>>>> = Mutex::new(None);

impl Place {
    fn of(name: &str) -> Arc<Place> {
        let mut named = lock(&NAMED);
        let named = named.get_or_insert_default();
        // Places come from here alone, so nobody holds one that is only in the table.
        named.retain(|_, place| Arc::strong_count(place) > 1 || lock(&place.0).strong_count() > 0);
        named.entry(name.to_owned()).or_default().clone()
    }
}

impl Instance {
    /// The instance that these settings ask for, and whether it was there already.
    ///
    /// With a name, the first element loads the model and settles how it runs; others of this name meanwhile wait for
    /// it, and those of other names do not.
    ///
    /// # Errors
    /// Those of [`Model::open`], and [`casm_core::Error::Device`] if the device is not understood.
    pub fn join(settings: &Settings) -> Result<(Arc<Instance>, bool)> {
        // Before the model, which takes longer to find fault with.
        let options = settings.engine_options()?;
        let open = || {
            let model = Model::open(&settings.model, &options)?;
            Instance::new(model, options.clone(), settings.batching())
        };
        if settings.model_instance_id.is_empty() {
            return Ok((Arc::new(open()?), false));
        }
        Instance::named(&settings.model_instance_id, open)
    }

    /// The instance of this name, and whether it was there already; if not, what `open` makes.
    fn named(name: &str, open: impl FnOnce() -> Result<Instance>) -> Result<(Arc<Instance>, bool)> {
        let place = Place::of(name);
        let mut known = lock(&place.0);
        if let Some(instance) = known.upgrade() {
            return Ok((instance, true));
        }
        let instance = Arc::new(open()?);
        *known = Arc::downgrade(&instance);
        Ok((instance, false))
    }

    fn new(mut model: Model, options: EngineOptions, batching: Batching) -> Result<Instance> {
        let worker = Worker::start(batching)?;
        model.close_in(worker.closing());
        Ok(Instance {
            worker,
            model: Mutex::new(Arc::new(model)),
            options,
            streams: AtomicU64::new(0),
            swaps: AtomicU64::new(0),
            loading: Arc::default(),
        })
    }

    /// A new stream's way to the worker.
    pub fn add_stream(&self) -> Lane {
        Lane::new(self.streams.fetch_add(1, Ordering::Relaxed))
    }

    /// The model that frames have from now on.
    pub fn model(&self) -> Arc<Model> {
        lock(&self.model).clone()
    }

    /// Frames have this model from now on; those that are under way keep theirs.
    pub fn set_model(&self, mut model: Model) -> Arc<Model> {
        model.close_in(self.worker.closing());
        let model = Arc::new(model);
        *lock(&self.model) = model.clone();
        model
    }

    /// How models are opened.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// See [`Worker::claim_help`].
    pub fn claim_help(&self) -> bool {
        self.worker.claim_help()
    }

    /// Gives the worker these jobs, to be seen together; takes them out of `jobs`.
    pub fn submit(&self, jobs: &mut Vec<Job>) {
        self.worker.submit(jobs);
    }

    /// Leaves the instance; the last who does ends the worker and closes the model. False if that hangs.
    pub fn leave(instance: Arc<Instance>) -> bool {
        Arc::into_inner(instance).is_none_or(|last| {
            // First, so that the worker closes it, and whoever stops waits for that no longer than for the worker.
            drop(last.model);
            last.worker.stop(STOP_PATIENCE)
        })
    }
}

/// An engine of the application's own, under a name that elements use as `model-instance-id`.
///
/// Elements of that name take it instead of loading `model`, until this value is dropped and the last of them has
/// stopped; whoever is the last waits for the engine, at most five seconds, and closes it. It is how an application brings an accelerator that casm does not know, or shares an engine that it has
/// open already.
///
/// ```no_run
/// # fn example(engine: Box<dyn casm_core::Engine>) -> Result<(), casm_core::Error> {
/// # let header = casm_core::Checkpoint::built_in()?.header().clone();
/// let shared = gstcasm::SharedEngine::register("mine", header, engine, 4, std::time::Duration::ZERO)?;
/// // casmesaliency model-instance-id=mine
/// # Ok(())
/// # }
/// ```
pub struct SharedEngine {
    /// Until it is dropped.
    instance: Option<Arc<Instance>>,
}

impl Drop for SharedEngine {
    fn drop(&mut self) {
        // So that the engine is closed here, and not by a thread that outlives `main`.
        if let Some(instance) = self.instance.take() {
            Instance::leave(instance);
        }
    }
}

impl SharedEngine {
    /// Puts `engine`, open for a checkpoint with this `header`, under a name. `max_batch` and `batch_timeout` mean the
    /// same as the properties. What had the name before stays with the elements that run it.
    ///
    /// # Errors
    /// Those of the engine, which computes two pictures of zeros here, or one and two frames of them if it prepares its
    /// input.
    pub fn register(
        name: &str,
        header: Header,
        engine: Box<dyn Engine>,
        max_batch: usize,
        batch_timeout: Duration,
    ) -> Result<SharedEngine> {
        let model = Model::new(
            header,
            &format!("the application's engine '{name}'"),
            engine,
        )?;
        let batching = Batching {
            most: max_batch,
            patience: batch_timeout,
        };
        let instance = Arc::new(Instance::new(model, EngineOptions::default(), batching)?);
        *lock(&Place::of(name).0) = Arc::downgrade(&instance);
        Ok(SharedEngine {
            instance: Some(instance),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use casm_core::Error;
    use casm_core::engine::{EngineDescription, Output};

    use super::*;

    /// Computes nothing.
    struct Idle(EngineDescription);

    impl Engine for Idle {
        fn description(&self) -> &EngineDescription {
            &self.0
        }

        fn run(&mut self, _batch: usize, _pixels: &[u8], _output: &mut Output) -> Result<()> {
            Ok(())
        }
    }

    fn instance() -> Result<Instance> {
        let header = casm_core::Checkpoint::built_in()?.header().clone();
        let model = Model::new(
            header,
            "a test",
            Box::new(Idle(EngineDescription::default())),
        )?;
        Instance::new(model, EngineOptions::default(), Batching::default())
    }

    fn refused() -> Result<Instance> {
        Err(Error::Engine {
            engine: "test".to_owned(),
            reason: "refused".to_owned(),
        })
    }

    #[test]
    fn a_load_holds_up_its_own_name_and_no_other() {
        let (loading, begun) = channel();
        let (go_on, goes_on) = channel::<()>();
        let slow = std::thread::spawn(move || {
            Instance::named("slow", || {
                loading.send(()).expect("the test waits");
                goes_on.recv().expect("the test goes on");
                instance()
            })
        });
        begun.recv().expect("it loads");
        let (first, known) = Instance::named("other", instance).expect("it does not wait");
        assert!(!known);
        let (second, known) = Instance::named("other", refused).expect("it is there");
        assert!(known && Arc::ptr_eq(&first, &second));
        let same = std::thread::spawn(|| Instance::named("slow", refused));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!slow.is_finished() && !same.is_finished());
        go_on.send(()).expect("it waits");
        let (slow, known) = slow.join().expect("no panic").expect("it is loaded");
        assert!(!known);
        let (same, known) = same.join().expect("no panic").expect("it is there now");
        assert!(known && Arc::ptr_eq(&slow, &same));
        // Once nobody uses it, it is loaded anew; a load that fails leaves the name free.
        drop((slow, same));
        assert!(Instance::named("slow", refused).is_err());
        assert!(Instance::named("slow", instance).is_ok_and(|(_, known)| !known));
    }
}
