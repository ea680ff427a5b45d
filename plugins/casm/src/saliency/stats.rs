//! Counters behind the property `stats`.

use std::time::Duration;

use casm_core::engine::EngineDescription;

use super::settings::precision_nick;

/// What the element has done since it was last started.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    frames: u64,
    inferred: u64,
    skipped: u64,
    dropped: u64,
    gaps: u64,
    drawn: u64,
    last: Duration,
    total: Duration,
    model: String,
    engine: EngineDescription,
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

    /// Counts a frame; `inference` is how long its inference took, if there was one.
    pub fn count_frame(&mut self, inference: Option<Duration>, drawn: bool) {
        self.frames += 1;
        self.drawn += u64::from(drawn);
        if let Some(duration) = inference {
            self.inferred += 1;
            self.last = duration;
            self.total += duration;
        }
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
    /// | `frames` | guint64 | frames with a result: `inferred` + `reused` |
    /// | `inferred` | guint64 | of these, with an inference of their own |
    /// | `reused` | guint64 | of these, with the last result |
    /// | `skipped` | guint64 | of these, because they were late (`late-policy=skip-inference`) |
    /// | `dropped` | guint64 | frames that are not there any more because they were late |
    /// | `gaps` | guint64 | GAP and empty buffers, passed on without a result |
    /// | `drawn` | guint64 | frames with an overlay |
    /// | `last-inference-ms`, `mean-inference-ms` | gdouble | resize, network and mask of one frame |
    /// | `latency-ms` | gdouble | what the LATENCY query is answered, live |
    /// | `model` | string | the model file, or "the built-in model" |
    /// | `engine`, `device`, `precision` | string | what was opened |
    /// | `threads` | guint | CPU threads of the engine |
    pub fn to_structure(&self, latency: Duration) -> gst::Structure {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        let mean = milliseconds(self.total) / self.inferred.max(1) as f64;
        gst::Structure::builder("casm-stats")
            .field("frames", self.frames)
            .field("inferred", self.inferred)
            .field("reused", self.frames - self.inferred)
            .field("skipped", self.skipped)
            .field("dropped", self.dropped)
            .field("gaps", self.gaps)
            .field("drawn", self.drawn)
            .field("last-inference-ms", milliseconds(self.last))
            .field("mean-inference-ms", mean)
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
