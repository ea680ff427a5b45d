//! What is measured, and for which network.

use casm::network::Upsample;
use casm::{Header, Resize};

use super::Rule;

/// What is measured, and for which network.
#[derive(Debug, Clone)]
pub struct Options {
    /// Side of the network's input in pixels.
    pub input_size: u32,
    /// How its mask is brought to that size.
    pub upsample: Upsample,
    /// Whether the mask is then brought to 0 … 1 by its least and largest value.
    pub min_max: bool,
    /// How pictures become square; one or both.
    pub resizes: Vec<Resize>,
    /// How masks are made binary; each gives a localization error.
    pub rules: Vec<Rule>,
    /// Whether annotations count only with the area inside the input. The released code counts all of it.
    pub clipped: bool,
    /// Whether wsolevaluation's protocol is run, too.
    pub max_box: bool,
    /// Whether [`Toy`](super::Toy) boxes are scored, too.
    pub toys: bool,
    /// For each of the set's classes the network's logit ([`AnnotatedSet::match_classes`](super::AnnotatedSet::match_classes)); `None` if they
    /// do not match, then there are no class scores.
    pub logits: Option<Vec<usize>>,
    /// Pictures that the network sees at once.
    pub batch: usize,
    /// Threads that decode, and as many that score.
    pub workers: usize,
}

impl Options {
    /// For the network of `header`: its input, its own rule, stretched pictures, nothing else; no class
    /// scores until [`Options::logits`] is set.
    pub fn new(header: &Header) -> Options {
        let decoder = header.network.decoder.as_ref();
        Options {
            input_size: header.input.size,
            upsample: decoder.map(|decoder| decoder.upsample).unwrap_or_default(),
            min_max: false,
            resizes: vec![Resize::Stretch],
            rules: vec![Rule::Binarization(header.binarization)],
            clipped: false,
            max_box: false,
            toys: false,
            logits: None,
            batch: 16,
            workers: std::thread::available_parallelism().map_or(1, |cores| cores.get().min(16)),
        }
    }
}
