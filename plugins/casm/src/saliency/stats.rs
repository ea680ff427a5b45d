//! Counters behind the property `stats`.

use std::time::Duration;

use casm_core::engine::EngineDescription;

use super::settings::precision_nick;

/// What the element has done since it was last started.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    frames: u64,
    inferred: u64,
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
    /// | `gaps` | guint64 | GAP and empty buffers, passed on without a result |
    /// | `drawn` | guint64 | frames with an overlay |
    /// | `last-inference-ms`, `mean-inference-ms` | gdouble | resize, network and mask of one frame |
    /// | `model` | string | the model file, or "the built-in model" |
    /// | `engine`, `device`, `precision` | string | what was opened |
    /// | `threads` | guint | CPU threads of the engine |
    pub fn to_structure(&self) -> gst::Structure {
        let milliseconds = |duration: Duration| duration.as_secs_f64() * 1e3;
        let mean = milliseconds(self.total) / self.inferred.max(1) as f64;
        gst::Structure::builder("casm-stats")
            .field("frames", self.frames)
            .field("inferred", self.inferred)
            .field("reused", self.frames - self.inferred)
            .field("gaps", self.gaps)
            .field("drawn", self.drawn)
            .field("last-inference-ms", milliseconds(self.last))
            .field("mean-inference-ms", mean)
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
