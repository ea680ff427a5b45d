//! What a training step works on, and how it comes together.

use super::Origin;

/// Pictures of one iteration, ready for the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// `[N, S, S, 3]` RGB bytes; N is below the batch size where pictures were unreadable.
    pub pixels: Vec<u8>,
    /// `[N]` class indices.
    pub classes: Vec<i64>,
    /// `[N]` where the pictures are.
    pub samples: Vec<String>,
    /// `[N]` which pictures they are, and what is shown of them.
    pub origins: Vec<Origin>,
    /// Which epoch, from 0 on.
    pub epoch: u64,
    /// Which iteration of the epoch, from 0 on.
    pub iteration: u64,
}

/// A picture that is ready.
#[derive(Debug)]
pub struct Ready {
    /// `[S, S, 3]`.
    pub pixels: Vec<u8>,
    /// Which picture it is, and what is shown of it.
    pub origin: Origin,
    /// Class index.
    pub class: usize,
    /// Where it is.
    pub name: String,
}

/// A batch that waits for its last pictures.
#[derive(Debug)]
pub struct Pending {
    /// Of each place its picture, once it is there and was readable.
    pictures: Vec<Option<Ready>>,
    /// How many places nothing was heard from.
    missing: usize,
}

impl Pending {
    /// A batch of `places` pictures.
    pub fn new(places: usize) -> Pending {
        let mut pictures = Vec::new();
        pictures.resize_with(places, || None);
        Pending {
            pictures,
            missing: places,
        }
    }

    /// Notes what became of the picture for `place`: `None` if it was unreadable.
    pub fn settle(&mut self, place: usize, ready: Option<Ready>) {
        if let Some(slot) = self.pictures.get_mut(place) {
            *slot = ready;
            self.missing = self.missing.saturating_sub(1);
        }
    }

    /// Whether all places are settled.
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The batch, in the order of places.
    pub fn into_batch(self, epoch: u64, iteration: u64) -> Batch {
        let ready: Vec<_> = self.pictures.into_iter().flatten().collect();
        let length = ready.first().map_or(0, |ready| ready.pixels.len());
        let mut batch = Batch {
            pixels: Vec::with_capacity(ready.len() * length),
            classes: Vec::with_capacity(ready.len()),
            samples: Vec::with_capacity(ready.len()),
            origins: Vec::with_capacity(ready.len()),
            epoch,
            iteration,
        };
        for ready in ready {
            batch.pixels.extend_from_slice(&ready.pixels);
            batch.classes.push(ready.class as i64);
            batch.samples.push(ready.name);
            batch.origins.push(ready.origin);
        }
        batch
    }
}
