//! The engines that there are, and the choice between them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::machine::{bounded_threads, has_nvidia_driver};
use super::{Device, ENGINES, Engine, EngineDescription, EngineOptions, LaidFrame, Output};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};

/// A row of the table of engines: what can be said and done before an engine is opened.
pub(super) trait Backend: Sync {
    /// The word by which it is chosen.
    fn name(&self) -> &'static str;

    /// Its library's file, and version where that is soon known.
    ///
    /// # Errors
    /// [`Error::EngineLibrary`] saying what is missing and how to get it.
    fn find(&self) -> Result<String>;

    /// Whether `auto` may take it for these options; if not, why not.
    fn suits(&self, options: &EngineOptions) -> std::result::Result<(), String>;

    /// Opens it, whether it suits or not.
    fn open(&self, checkpoint: &Checkpoint, options: &EngineOptions) -> Result<Box<dyn Engine>>;
}

/// Which engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(into = "String")]
pub enum EngineKind {
    /// The fastest that is there and suits device and precision.
    #[default]
    Auto,
    /// The one of this name, one of [`names`]; made by parsing.
    Named(&'static str),
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EngineKind::Auto => "auto",
            EngineKind::Named(name) => name,
        })
    }
}

impl From<EngineKind> for String {
    fn from(kind: EngineKind) -> String {
        kind.to_string()
    }
}

// By hand: derived, it would want to borrow the name from what is read.
impl<'de> Deserialize<'de> for EngineKind {
    fn deserialize<D: Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<EngineKind, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for EngineKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<EngineKind> {
        if text == "auto" {
            return Ok(EngineKind::Auto);
        }
        let known = names().find(|name| *name == text);
        known.map(EngineKind::Named).ok_or_else(|| unknown(text))
    }
}

/// The engines' names, in the order in which `auto` prefers them.
pub fn names() -> impl Iterator<Item = &'static str> {
    ENGINES.iter().map(|backend| backend.name())
}

/// Every engine's name, and its library's file and version; or why it cannot be used, and the remedy.
pub fn survey() -> Vec<(&'static str, Result<String>)> {
    let rows = ENGINES
        .iter()
        .map(|backend| (backend.name(), backend.find()));
    rows.collect()
}

/// The engine that [`super::open`] would take for these options, or "none", and why, in words; as far as can be told
/// without opening one, which only shows whether a GPU whose driver is loaded can be used.
pub fn choose(options: &EngineOptions) -> (&'static str, String) {
    if let EngineKind::Named(name) = options.engine {
        return (name, "it was asked for".to_owned());
    }
    let mut passed_over = Vec::new();
    for backend in ENGINES {
        match backend.suits(options) {
            Ok(()) => return (backend.name(), because(&passed_over)),
            Err(reason) => passed_over.push((backend.name(), reason)),
        }
    }
    // As in `open_linked`: the CPU, where a GPU was looked for in vain.
    if options.device == Device::Auto {
        let on_cpu = EngineOptions {
            device: Device::Cpu,
            ..options.clone()
        };
        if let Some(backend) = ENGINES
            .iter()
            .find(|backend| backend.suits(&on_cpu).is_ok())
        {
            return (backend.name(), because(&passed_over));
        }
    }
    ("none", because(&passed_over))
}

/// An engine's name, and how to open it.
pub type Linked<'a> = (
    &'a str,
    &'a dyn Fn(&Checkpoint, &EngineOptions) -> Result<Box<dyn Engine>>,
);

/// [`super::open`] for a program that has an engine linked in: `linked` is how that one is opened instead.
///
/// # Errors
/// Those of [`super::open`].
pub fn open_linked(
    checkpoint: &Checkpoint,
    options: &EngineOptions,
    linked: Option<Linked<'_>>,
) -> Result<Box<dyn Engine>> {
    checkpoint.header().require_decoder(checkpoint.origin())?;
    let options = &EngineOptions {
        threads: bounded_threads(options.threads),
        ..options.clone()
    };
    let open = |backend: &dyn Backend, options: &EngineOptions| match linked {
        Some((name, open)) if name == backend.name() => open(checkpoint, options),
        _ => backend.open(checkpoint, options),
    };
    if let EngineKind::Named(name) = options.engine {
        let named = ENGINES.iter().find(|backend| backend.name() == name);
        let backend = named.ok_or_else(|| unknown(name))?;
        let engine = open(*backend, options)?;
        return Ok(Chosen::new(engine, "it was asked for".to_owned()));
    }
    let mut passed_over = Vec::new();
    let mut failed = None;
    for backend in ENGINES {
        if let Err(reason) = backend.suits(options) {
            passed_over.push((backend.name(), reason));
            continue;
        }
        match open(*backend, options) {
            // A driver without a GPU, or a libtorch without CUDA: then the CPU's engines are as good.
            Ok(engine) if lands_on_cpu(options, engine.as_ref()) => {
                let on_cpu = EngineOptions {
                    device: Device::Cpu,
                    ..options.clone()
                };
                let first = ENGINES
                    .iter()
                    .find(|backend| backend.suits(&on_cpu).is_ok());
                let other = first.filter(|first| first.name() != backend.name());
                return Ok(match other.map(|other| open(*other, &on_cpu)) {
                    Some(Ok(other)) => Chosen::new(
                        other,
                        "there is an NVIDIA driver, but no GPU that can be used".to_owned(),
                    ),
                    _ => Chosen::new(engine, because(&passed_over)),
                });
            }
            Ok(engine) => return Ok(Chosen::new(engine, because(&passed_over))),
            // Damaged, or not made for this machine: the next one may do.
            Err(error @ (Error::EngineLibrary { .. } | Error::Engine { .. })) => {
                passed_over.push((backend.name(), error.to_string()));
                failed = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    let failed = failed.unwrap_or_else(|| Error::Engine {
        engine: EngineKind::Auto.to_string(),
        reason: because(&passed_over),
    });
    fall_back(ENGINES, options, &passed_over, open).ok_or(failed)
}

/// What computes on the CPU, where a GPU was looked for and the engine for that cannot be loaded.
fn fall_back(
    engines: &[&dyn Backend],
    options: &EngineOptions,
    passed_over: &[(&'static str, String)],
    open: impl Fn(&dyn Backend, &EngineOptions) -> Result<Box<dyn Engine>>,
) -> Option<Box<dyn Engine>> {
    if options.device != Device::Auto {
        return None;
    }
    let on_cpu = EngineOptions {
        device: Device::Cpu,
        ..options.clone()
    };
    let left = engines
        .iter()
        .filter(|backend| backend.suits(options).is_err() && backend.suits(&on_cpu).is_ok());
    let mut opened = left.filter_map(|backend| open(*backend, &on_cpu).ok());
    let engine = opened.next()?;
    Some(Chosen::new(engine, because(passed_over)))
}

fn lands_on_cpu(options: &EngineOptions, engine: &dyn Engine) -> bool {
    options.device == Device::Auto
        && engine.description().device == Device::Cpu.to_string()
        && has_nvidia_driver()
}

fn because(passed_over: &[(&str, String)]) -> String {
    let reasons = passed_over
        .iter()
        .map(|(name, reason)| format!("not {name}: {reason}"));
    match passed_over {
        [] => "it is the fastest that is here".to_owned(),
        _ => reasons.collect::<Vec<_>>().join("; "),
    }
}

fn unknown(name: &str) -> Error {
    Error::UnknownEngine {
        name: name.to_owned(),
        known: names().collect::<Vec<_>>().join(" or "),
    }
}

/// An engine with the reason why it was taken in its description.
struct Chosen {
    engine: Box<dyn Engine>,
    description: EngineDescription,
}

impl Chosen {
    #[allow(clippy::new_ret_no_self)] // What leaves this file is an engine.
    fn new(engine: Box<dyn Engine>, choice: String) -> Box<dyn Engine> {
        let description = EngineDescription {
            choice,
            ..engine.description().clone()
        };
        Box::new(Chosen {
            engine,
            description,
        })
    }
}

impl Engine for Chosen {
    fn description(&self) -> &EngineDescription {
        &self.description
    }

    fn run(&mut self, batch: usize, pixels: &[u8], output: &mut Output) -> Result<()> {
        self.engine.run(batch, pixels, output)
    }

    fn run_frames(&mut self, frames: &[LaidFrame<'_>], output: &mut Output) -> Result<()> {
        self.engine.run_frames(frames, output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Precision;

    #[test]
    fn words_for_engines_survive_json_and_others_are_refused() {
        for word in ["auto", "torch", "openvino"] {
            let kind: EngineKind = word.parse().expect("known");
            let json = serde_json::to_string(&kind).expect("a text");
            assert_eq!(json, format!("\"{word}\""));
            assert_eq!(
                serde_json::from_str::<EngineKind>(&json).expect("known"),
                kind
            );
        }
        for word in ["", "Auto", "openvino "] {
            assert!(word.parse::<EngineKind>().is_err(), "{word:?}");
        }
        // As options that were written before there was a choice.
        let options = r#"{"device":"cpu","precision":"f32","threads":2}"#;
        let options: EngineOptions = serde_json::from_str(options).expect("complete");
        assert_eq!(options.engine, EngineKind::Auto);
    }

    /// A machine with an NVIDIA driver: one row leaves `auto` to the other, which cannot be loaded.
    #[test]
    fn an_engine_for_the_cpu_takes_the_place_of_one_that_cannot_be_loaded() {
        struct Row {
            name: &'static str,
            cpu_only: bool,
        }
        struct Idle(EngineDescription);

        impl Engine for Idle {
            fn description(&self) -> &EngineDescription {
                &self.0
            }

            fn run(&mut self, _: usize, _: &[u8], _: &mut Output) -> Result<()> {
                Ok(())
            }
        }

        impl Backend for Row {
            fn name(&self) -> &'static str {
                self.name
            }

            fn find(&self) -> Result<String> {
                Err(unknown(self.name))
            }

            fn suits(&self, options: &EngineOptions) -> std::result::Result<(), String> {
                match options.device {
                    Device::Auto if self.cpu_only => Err("there may be a GPU".to_owned()),
                    _ => Ok(()),
                }
            }

            fn open(&self, _: &Checkpoint, _: &EngineOptions) -> Result<Box<dyn Engine>> {
                Err(unknown(self.name))
            }
        }

        let row = |name, cpu_only| Row { name, cpu_only };
        let (cpu, gpu) = (row("cpu-engine", true), row("gpu-engine", false));
        let open = |backend: &dyn Backend, _: &EngineOptions| -> Result<Box<dyn Engine>> {
            assert_eq!(backend.name(), "cpu-engine", "the other has been tried");
            Ok(Box::new(Idle(EngineDescription::default())))
        };
        let passed_over = [("gpu-engine", "its library is missing".to_owned())];
        let mut options = EngineOptions::default();
        let engine = fall_back(&[&cpu, &gpu], &options, &passed_over, open);
        let engine = engine.expect("the one for the CPU");
        assert!(
            engine
                .description()
                .choice
                .contains("not gpu-engine: its library")
        );
        assert!(fall_back(&[&gpu], &options, &passed_over, open).is_none());
        options.device = Device::Cuda(0);
        assert!(fall_back(&[&cpu, &gpu], &options, &passed_over, open).is_none());
    }

    /// On every machine: OpenVINO, there or not, does neither.
    #[test]
    fn auto_leaves_gpus_and_f16_to_torch_and_says_why() {
        let choice = |device, precision| {
            choose(&EngineOptions {
                device,
                precision,
                ..EngineOptions::default()
            })
        };
        let (name, reason) = choice(Device::Cuda(1), Precision::Auto);
        assert_eq!(name, "torch");
        assert!(reason.contains("not openvino: it computes on the CPU only"));
        let (name, reason) = choice(Device::Cuda(0), Precision::Int8);
        assert_eq!(name, "none");
        assert!(reason.contains("not torch: it does not compute in int8"));
        let (name, reason) = choice(Device::Cpu, Precision::F16);
        assert_eq!(name, "torch");
        assert!(reason.contains("not openvino: it does not compute in f16"));
    }
}
