//! Models that several elements share, by the property `model-instance-id`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use casm_core::{Engine, EngineOptions, Header, Result};

use super::imp::lock;
use super::model::Model;
use super::settings::Settings;
use super::worker::{Batching, Picture, Ticket, Worker};

/// How long a stop waits for the device.
pub const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A model and the worker that runs it, for one element or for all of one name.
pub struct Instance {
    worker: Worker,
    model: Mutex<Arc<Model>>,
    options: EngineOptions,
    streams: AtomicU64,
    /// Number of the last swap that was asked for.
    pub(super) swaps: AtomicU64,
    /// Held while a model is loaded aside.
    pub(super) loading: Arc<Mutex<()>>,
}

/// The instances with a name. They live as long as someone uses them.
static NAMED: Mutex<Option<HashMap<String, Weak<Instance>>>> = Mutex::new(None);

impl Instance {
    /// The instance that these settings ask for, and whether it was there already.
    ///
    /// With a name, the first element loads the model and settles how it runs; others meanwhile wait for it.
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
        let mut named = lock(&NAMED);
        let named = named.get_or_insert_default();
        let existing = named.get(&settings.model_instance_id);
        if let Some(instance) = existing.and_then(Weak::upgrade) {
            return Ok((instance, true));
        }
        let instance = Arc::new(open()?);
        named.retain(|_, instance| instance.strong_count() > 0);
        named.insert(
            settings.model_instance_id.clone(),
            Arc::downgrade(&instance),
        );
        Ok((instance, false))
    }

    fn new(model: Model, options: EngineOptions, batching: Batching) -> Result<Instance> {
        Ok(Instance {
            worker: Worker::start(batching)?,
            model: Mutex::new(Arc::new(model)),
            options,
            streams: AtomicU64::new(0),
            swaps: AtomicU64::new(0),
            loading: Arc::default(),
        })
    }

    /// A number for a stream.
    pub fn add_stream(&self) -> u64 {
        self.streams.fetch_add(1, Ordering::Relaxed)
    }

    /// The model that frames have from now on.
    pub fn model(&self) -> Arc<Model> {
        lock(&self.model).clone()
    }

    /// Frames have this model from now on; those that are under way keep theirs.
    pub fn set_model(&self, model: Model) -> Arc<Model> {
        let model = Arc::new(model);
        let former = std::mem::replace(&mut *lock(&self.model), model.clone());
        // Outside of the lock, because an engine takes its time to close.
        drop(former);
        model
    }

    /// How models are opened.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Gives the worker a picture of `stream`, prepared for `model`.
    pub fn submit(&self, stream: u64, model: Arc<Model>, picture: Picture) -> Ticket {
        self.worker.submit(stream, model, picture)
    }

    /// Leaves the instance; the last who does ends the worker. False if that hangs.
    pub fn leave(instance: Arc<Instance>) -> bool {
        Arc::into_inner(instance).is_none_or(|last| last.worker.stop(STOP_PATIENCE))
    }
}

/// An engine of the application's own, under a name that elements use as `model-instance-id`.
///
/// Elements of that name take it instead of loading `model`, until this value is dropped and the last of them has
/// stopped. It is how an application brings an accelerator that casm does not know, or shares an engine that it has
/// open already.
///
/// ```no_run
/// # fn engine() -> Box<dyn casm_core::Engine> { unimplemented!() }
/// # let header = casm_core::Checkpoint::built_in()?.header().clone();
/// let shared = gstcasm::SharedEngine::register("mine", header, engine(), 4, std::time::Duration::ZERO)?;
/// // casmesaliency model-instance-id=mine
/// # Ok::<(), casm_core::Error>(())
/// ```
pub struct SharedEngine {
    _instance: Arc<Instance>,
}

impl SharedEngine {
    /// Puts `engine`, open for a checkpoint with this `header`, under a name. `max_batch` and `batch_timeout` mean the
    /// same as the properties. What had the name before stays with the elements that run it.
    ///
    /// # Errors
    /// Those of the engine, which computes two pictures of zeros here.
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
        let mut named = lock(&NAMED);
        named
            .get_or_insert_default()
            .insert(name.to_owned(), Arc::downgrade(&instance));
        Ok(SharedEngine {
            _instance: instance,
        })
    }
}
