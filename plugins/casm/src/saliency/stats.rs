//! Counters behind the property `stats`.

use std::time::Duration;

use casm_core::engine::EngineDescription;

use crate::saliency::settings::precision_nick;

/// What the element has done since it was last started.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    frames: u64,
    inferred: u64,
    without_region: u64,
    skipped: u64,
    dropped: u64,
    gaps: u64,
    drawn: u64,
    regions: u64,
    last: Duration,
    inference: Mean,
    input: Mean,
    network: Mean,
    postprocessing: Mean,
    overlay: Mean,
    metadata: Mean,
    model: String,
    engine: EngineDescription,
}

/// Where a frame's result comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The network.
    Inference,
    /// A frame before it.
    Earlier,
    /// Nowhere: there was no region of interest to look into.
    NoRegion,
}

/// How long the stages of one frame took; `None` where there was none.
#[derive(Debug, Clone, Copy, Default)]
pub struct StageTimes {
    /// Resizing and converting, of each picture that the network had. Where the worker helps, until it is done: if another
    /// stream's picture came before, with that one's time in the network.
    pub input: Option<Duration>,
    /// The network's runs, with those pictures of other frames and streams that were beside this one's.
    pub network: Option<Duration>,
    /// From the network's numbers to boxes.
    pub postprocessing: Option<Duration>,
    /// Attaching it all to the buffer.
    pub metadata: Option<Duration>,
    /// Drawing.
    pub overlay: Option<Duration>,
}

impl StageTimes {
    /// Input, network and post-processing together; `None` if the network did not run.
    pub fn inference(&self) -> Option<Duration> {
        let around = self.input.unwrap_or_default() + self.postprocessing.unwrap_or_default();
        self.network.map(|network| network + around)
    }
}

/// A mean of durations.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    total: Duration,
    count: u32,
}

impl Mean {
    fn add(&mut self, duration: Option<Duration>) {
        if let Some(duration) = duration {
            self.total += duration;
            self.count = self.count.saturating_add(1);
        }
    }

    fn milliseconds(&self) -> f64 {
        milliseconds(self.total) / f64::from(self.count.max(1))
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl Stats {
    /// Nothing done yet with this model on this engine.
    pub fn new(model: &str, engine: &EngineDescription) -> Stats {
        Stats {
            model: model.to_owned(),
            engine: engine.clone(),
            ..Stats::default()
        }
    }

    /// Counts a frame with a result; `regions` is in how many regions of interest it was looked for.
    pub fn count_frame(&mut self, source: Source, regions: usize, times: &StageTimes) {
        self.frames += 1;
        self.inferred += u64::from(source == Source::Inference);
        self.without_region += u64::from(source == Source::NoRegion);
        self.regions += regions as u64;
        self.drawn += u64::from(times.overlay.is_some());
        if let Some(inference) = times.inference() {
            self.last = inference;
            self.inference.add(Some(inference));
        }
        self.input.add(times.input);
        self.network.add(times.network);
        self.postprocessing.add(times.postprocessing);
        self.overlay.add(times.overlay);
        self.metadata.add(times.metadata);
    }

    /// Counts a frame whose inference was skipped because it was late.
    pub fn count_skipped(&mut self) {
        self.skipped += 1;
    }

    /// Counts a frame that was dropped because it was late.
    pub fn count_dropped(&mut self) {
        self.dropped += 1;
    }

    /// Inferences made, inferences skipped, frames dropped: what a QoS message tells.
    pub fn qos(&self) -> (u64, u64, u64) {
        (self.inferred, self.skipped, self.dropped)
    }

    /// From now on with this model on this engine.
    pub fn set_model(&mut self, model: &str, engine: &EngineDescription) {
        self.model = model.to_owned();
        self.engine = engine.clone();
    }

    /// Counts a buffer that was passed on without a look.
    pub fn count_gap(&mut self) {
        self.gaps += 1;
    }

    /// The value of the property.
    ///
    /// | field | type | meaning |
    /// |---|---|---|
    /// | `frames` | guint64 | frames with a result: `inferred` + `reused` + `without-region` |
    /// | `inferred` | guint64 | of these, with a result of the network of their own |
    /// | `reused` | guint64 | of these, with the last result |
    /// | `without-region` | guint64 | of these, without a region of interest, in which nothing is found (`roi-mode=upstream`) |
    /// | `skipped` | guint64 | of the reused, because they were late (`late-policy=skip-inference`) |
    /// | `dropped` | guint64 | frames that are not there any more because they were late |
    /// | `gaps` | guint64 | GAP and empty buffers, passed on without a result |
    /// | `drawn` | guint64 | frames with an overlay |
    /// | `regions` | guint64 | regions of interest that were looked into (`roi-mode=upstream`) |
    /// | `last-inference-ms`, `mean-inference-ms` | gdouble | resize, network and mask of one frame |
    /// | `mean-input-ms`, `mean-network-ms`, `mean-postprocessing-ms` | gdouble | the three parts of that |
    /// | `mean-overlay-ms` | gdouble | drawing, of a frame with an overlay |
    /// | `mean-metadata-ms` | gdouble | attaching the metadata, of a frame with a result |
    /// | `latency-ms` | gdouble | what the LATENCY query is answered, live |
    /// | `model` | string | the model file, or "the built-in model" |
    /// | `engine`, `device`, `precision` | string | what was opened |
    /// | `threads` | guint | CPU threads of the engine |
    pub fn to_structure(&self, latency: Duration) -> gst::Structure {
        gst::Structure::builder("casm-stats")
            .field("frames", self.frames)
            .field("inferred", self.inferred)
            .field("reused", self.frames - self.inferred - self.without_region)
            .field("without-region", self.without_region)
            .field("skipped", self.skipped)
            .field("dropped", self.dropped)
            .field("gaps", self.gaps)
            .field("drawn", self.drawn)
            .field("regions", self.regions)
            .field("last-inference-ms", milliseconds(self.last))
            .field("mean-inference-ms", self.inference.milliseconds())
            .field("mean-input-ms", self.input.milliseconds())
            .field("mean-network-ms", self.network.milliseconds())
            .field("mean-postprocessing-ms", self.postprocessing.milliseconds())
            .field("mean-overlay-ms", self.overlay.milliseconds())
            .field("mean-metadata-ms", self.metadata.milliseconds())
            .field("latency-ms", milliseconds(latency))
            .field("model", &self.model)
            .field("engine", &self.engine.engine)
            .field("device", &self.engine.device)
            .field("precision", precision_nick(self.engine.precision))
            .field(
                "threads",
                u32::try_from(self.engine.threads).unwrap_or(u32::MAX),
            )
            .build()
    }
}
