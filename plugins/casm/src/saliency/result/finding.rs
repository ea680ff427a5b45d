//! What one inference found, as it goes with its frame and with those that re-use it.

use std::sync::{Arc, Mutex, Weak};

use casm_core::{Geometry, Localization, Object};

use crate::saliency::frame::regions::Region;
use crate::saliency::imp::lock;
use crate::saliency::worker::model::Model;

/// A localization with all that its metadata says.
pub struct Finding {
    /// Mask and objects.
    pub localization: Localization,
    /// Of the frame that was looked at.
    pub geometry: Geometry,
    /// The mask's values, shared by all buffers that carry them.
    pub values: glib::Bytes,
    /// The regions of interest that were looked into, by the objects' numbers of them; none if it was the whole frame.
    pub regions: Vec<Region>,
    /// The model, for the names of its classes.
    pub model: Arc<Model>,
    /// Time stamp of the frame that was looked at.
    pub inference_pts: Option<gst::ClockTime>,
    /// Frames since that one.
    pub age: u32,
}

impl Finding {
    /// Share of the mask that an object covers, in [0, 1]; 0 without one.
    pub fn area(&self, object: Option<&Object>) -> f64 {
        let pixels = (self.localization.mask.width * self.localization.mask.height).max(1);
        object.map_or(0.0, |object| object.component.area as f64 / pixels as f64)
    }

    /// Name of the most probable class, if the checkpoint names classes.
    pub fn class_name(&self) -> Option<&str> {
        let (class, _) = self.localization.top_class?;
        let name = self.model.header().classes.get(class)?;
        Some(name)
    }

    /// The region of interest that an object was found in.
    pub fn region(&self, object: &Object) -> Option<&Region> {
        self.regions.get(object.region?)
    }
}

/// Bytes that buffers share, with memory that is used again when the last of them is gone.
#[derive(Default)]
pub struct SharedBytes(Arc<Mutex<Home>>);

/// Where the memory comes back to.
struct Home {
    spare: Vec<Vec<u8>>,
    most: usize,
}

impl Default for Home {
    fn default() -> Home {
        Home {
            spare: Vec::new(),
            // More than are let go of between two frames.
            most: 8,
        }
    }
}

/// Bytes whose memory comes back.
pub struct Lent {
    bytes: Vec<u8>,
    home: Weak<Mutex<Home>>,
}

impl SharedBytes {
    /// The same bytes, to be shared.
    pub fn share(&self, bytes: &[u8]) -> glib::Bytes {
        let mut copy = self.spare();
        copy.clear();
        copy.extend_from_slice(bytes);
        glib::Bytes::from_owned(self.lend(copy))
    }

    /// Memory with some content.
    pub fn spare(&self) -> Vec<u8> {
        lock(&self.0).spare.pop().unwrap_or_default()
    }

    /// Bytes to be shared, in memory of [`spare`](Self::spare).
    pub fn lend(&self, bytes: Vec<u8>) -> Lent {
        Lent {
            bytes,
            home: Arc::downgrade(&self.0),
        }
    }

    /// Keeps memory for at most so many; 8 unless told otherwise.
    pub fn keep(&self, most: usize) {
        let mut home = lock(&self.0);
        home.most = most;
        home.spare.truncate(most);
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            let mut home = lock(&home);
            if home.spare.len() < home.most {
                home.spare.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_when_the_last_reader_is_gone() {
        let shared = SharedBytes::default();
        let first = shared.share(&[1; 64]);
        let place = first[..].as_ptr();
        let copy = first.clone();
        drop(first);
        let second = shared.share(&[2; 64]);
        assert_eq!((&copy[..], &second[..]), (&[1; 64][..], &[2; 64][..]));
        assert_ne!(second[..].as_ptr(), place, "still read");
        drop(copy);
        assert_eq!(shared.share(&[3; 64])[..].as_ptr(), place);
        shared.keep(0);
        assert_eq!(shared.spare().capacity(), 0, "nothing is kept any more");
        // Those that outlive the stream are freed.
        drop(shared);
        drop(second);
    }
}
