//! Which picture comes when.

use std::sync::Arc;

use rand::seq::SliceRandom;

use super::Mixture;
use crate::random::{Stream, generator};

/// A picture of a [`Mixture`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of the source.
    pub source: usize,
    /// Index into the samples of its data set.
    pub sample: usize,
}

/// The pictures of a training run by number: a function of the seed alone, so that a run may begin
/// anywhere.
///
/// Sources take turns by their weights as evenly as can be. Within a source every picture comes once
/// before any comes again, in a new order each time, across the ends of epochs.
#[derive(Debug)]
pub struct Order {
    mixture: Arc<Mixture>,
    seed: u64,
    /// Of each source the order last used: its number and the samples in it.
    passes: Vec<Option<(u64, Vec<u32>)>>,
}

impl Order {
    /// The order of `mixture` for `seed`.
    pub fn new(mixture: Arc<Mixture>, seed: u64) -> Order {
        let passes = vec![None; mixture.sources().len()];
        Order {
            mixture,
            seed,
            passes,
        }
    }

    /// The picture with `number`, from 0 on, over all epochs.
    pub fn at(&mut self, number: u64) -> Place {
        let (source, count) = self.mixture.turn(number);
        let length = self.mixture.sources()[source].dataset.samples().len();
        let (pass, place) = (count / length as u64, (count % length as u64) as usize);
        let order = match &mut self.passes[source] {
            Some((known, order)) if *known == pass => order,
            other => {
                let mut order: Vec<u32> = (0..length as u32).collect();
                order.shuffle(&mut generator(
                    self.seed,
                    Stream::Order,
                    pass,
                    source as u64,
                ));
                &mut other.insert((pass, order)).1
            }
        };
        Place {
            source,
            sample: order[place] as usize,
        }
    }
}

#[cfg(test)]
mod tests;
