//! What an error on the bus means and what to do about it.

use anyhow::{Error, anyhow};
use gst::prelude::*;
use gst::{CoreError, MessageView, StreamError};

const MORE_DECODERS: &str = "on Debian and Ubuntu: apt install gstreamer1.0-libav \
                             gstreamer1.0-plugins-good gstreamer1.0-plugins-bad";

/// Reads the bus; remembers what decoders were asked for in vain.
pub struct Explainer {
    input: String,
    missing: Vec<String>,
}

impl Explainer {
    /// For the input of this name.
    pub fn new(input: &str) -> Explainer {
        Explainer {
            input: input.to_owned(),
            missing: Vec::new(),
        }
    }

    /// The error that `message` reports, if it does, in words for the user.
    pub fn read(&mut self, message: &gst::Message) -> Option<Error> {
        match message.view() {
            MessageView::Element(element) => {
                let missing = element
                    .structure()
                    .filter(|structure| structure.name() == "missing-plugin");
                self.missing
                    .extend(missing.and_then(|missing| missing.get::<String>("name").ok()));
                None
            }
            MessageView::Error(error) => Some(self.explain(error)),
            _ => None,
        }
    }

    fn explain(&self, report: &gst::message::Error) -> Error {
        let (input, error) = (&self.input, report.error());
        if !self.missing.is_empty() {
            let missing = self.missing.join(", ");
            return anyhow!("{input} needs what this GStreamer lacks: {missing}; {MORE_DECODERS}");
        }
        let text = error.message();
        match (error.kind::<StreamError>(), error.kind::<CoreError>()) {
            (Some(StreamError::TypeNotFound | StreamError::WrongType), _) => {
                return anyhow!("{input} is not a video ({text})");
            }
            (Some(StreamError::CodecNotFound), _) | (_, Some(CoreError::MissingPlugin)) => {
                return anyhow!(
                    "{input} needs a decoder that is missing ({text}); {MORE_DECODERS}"
                );
            }
            _ => {}
        }
        let element = report
            .src()
            .map_or_else(String::new, |source| source.name().into());
        // The first line says where in the element's code it arose.
        let details = report.debug().unwrap_or_default();
        let details: Vec<&str> = details.lines().skip(1).collect();
        let details = match details.join(" ").trim() {
            "" => String::new(),
            details => format!(" ({details})"),
        };
        // What happens before the frames are there is the input's doing.
        let is_input = report
            .src()
            .is_some_and(|source| source.path_string().contains("uridecodebin"));
        if is_input {
            return anyhow!("{input} cannot be played: {text}{details}");
        }
        anyhow!("{element}: {text}{details}")
    }
}
