//! Boxes of one frame after the other → boxes that hold still, with numbers that stay.
//!
//! The paper looks at single pictures; this is ours, and off unless asked for. A mask's edge wavers by a
//! pixel from frame to frame, and a box with it, four times a pixel of the network's input. Two
//! means against that: [`MaskAverage`] on the masks, hysteresis in [`Tracker`] on the boxes.

#[cfg(test)]
mod tests;

use crate::localizer::Object;
use crate::mask::{BoundingBox, Mask};

/// A moving average of the masks of a stream.
#[derive(Debug, Clone, Default)]
pub struct MaskAverage {
    /// Keeps its memory.
    average: Mask,
    /// Whether that is one.
    known: bool,
    was_cut: bool,
}

impl MaskAverage {
    /// A mask whose difference from the average is more than this share of both together, which is 0 for equal
    /// and 1 for disjoint ones, shows something else: the average begins anew.
    const CUT: f64 = 0.6;

    /// Adds a mask; `smoothing` is the share of the average that stays, 0 to below 1, where 0 gives back the
    /// mask itself.
    pub fn add(&mut self, mut mask: Mask, smoothing: f64) -> Mask {
        let known = self.known && smoothing > 0.0;
        let average = &self.average;
        let goes_on = known
            && (average.width, average.height) == (mask.width, mask.height)
            && difference(average, &mask) <= MaskAverage::CUT;
        self.was_cut = known && !goes_on;
        if goes_on {
            let keep = smoothing as f32;
            for (value, old) in mask.values.iter_mut().zip(&average.values) {
                *value += keep * (old - *value);
            }
        }
        self.known = smoothing > 0.0;
        if self.known {
            (self.average.width, self.average.height) = (mask.width, mask.height);
            self.average.values.clone_from(&mask.values);
        }
        mask
    }

    /// Whether the last mask began the average anew.
    pub fn was_cut(&self) -> bool {
        self.was_cut
    }

    /// What comes next does not continue what came last.
    pub fn forget(&mut self) {
        self.known = false;
    }
}

/// Difference of two masks of one size as a share of their sum; 0 for two empty ones.
fn difference(left: &Mask, right: &Mask) -> f64 {
    let pairs = || left.values.iter().zip(&right.values);
    let apart: f64 = pairs().map(|(a, b)| f64::from((a - b).abs())).sum();
    let together: f64 = pairs().map(|(a, b)| f64::from(a + b)).sum();
    apart / together.max(1e-6)
}

/// How boxes are followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrackOptions {
    /// A box that overlaps the held one at least so much (IoU, 0 to 1) leaves it where it is; 1 moves it always.
    pub hysteresis: f64,
    /// Updates for which an object that is not seen keeps its number.
    pub patience: u32,
}

/// A box with the number of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracked {
    /// The object's number in this stream, from 1.
    pub id: u64,
    /// The box, held by hysteresis.
    pub bounding_box: BoundingBox,
}

/// A box as it was found.
#[derive(Debug, Clone, Copy)]
struct Seen {
    bounding_box: BoundingBox,
    /// What the object is said to be.
    kind: u32,
}

/// Follows the boxes of a stream by their overlap.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    tracks: Vec<Track>,
    last_id: u64,
    /// Overlap, track and box of the pairs that fit, kept for its memory, as are the next two.
    pairs: Vec<(f64, usize, usize)>,
    boxes: Vec<Seen>,
    found: Vec<Option<Tracked>>,
}

#[derive(Debug, Clone)]
struct Track {
    tracked: Tracked,
    /// Its last box before hysteresis: what the next one must overlap.
    seen: Seen,
    /// Updates since it was seen.
    unseen: u32,
}

impl Tracker {
    /// Least overlap (IoU) of one object's boxes in two frames. Short-term trackers take 0.3 to 0.5; the
    /// lower one suits boxes that grow and shrink with a mask.
    const LEAST_OVERLAP: f64 = 0.3;

    /// The boxes of the next frame, in their order, with numbers and held still. Boxes are matched with the
    /// objects known so far pair by pair, the largest overlap first.
    pub fn update(&mut self, boxes: &[BoundingBox], options: &TrackOptions) -> Vec<Tracked> {
        self.boxes.clear();
        let boxes = boxes.iter().map(|&bounding_box| Seen {
            bounding_box,
            kind: 0,
        });
        self.boxes.extend(boxes);
        self.match_boxes(options);
        self.found.iter().flatten().copied().collect()
    }

    /// [`update`](Tracker::update) with the boxes of `objects`, which get the numbers and the held boxes.
    ///
    /// `kind` numbers what somebody says that an object is: a box of another kind is another object, however much
    /// they overlap.
    pub fn follow(
        &mut self,
        objects: &mut [Object],
        kind: impl Fn(&Object) -> u32,
        options: &TrackOptions,
    ) {
        self.boxes.clear();
        let boxes = objects.iter().map(|object| Seen {
            bounding_box: object.bounding_box,
            kind: kind(object),
        });
        self.boxes.extend(boxes);
        self.match_boxes(options);
        for (object, tracked) in objects.iter_mut().zip(self.found.iter().flatten()) {
            object.id = Some(tracked.id);
            object.bounding_box = tracked.bounding_box;
        }
    }

    /// Gives each of `boxes` its place in `found`.
    fn match_boxes(&mut self, options: &TrackOptions) {
        let Tracker {
            tracks,
            pairs,
            boxes,
            found,
            ..
        } = self;
        pairs.clear();
        for (track, known) in tracks.iter().enumerate() {
            for (index, found) in boxes.iter().enumerate() {
                let overlap = known.seen.bounding_box.iou(&found.bounding_box);
                if known.seen.kind == found.kind && overlap >= Tracker::LEAST_OVERLAP {
                    pairs.push((overlap, track, index));
                }
            }
        }
        // Of equal overlaps the first one, as a stable order would have it, which needs memory.
        pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        for track in tracks.iter_mut() {
            track.unseen += 1;
        }
        found.clear();
        found.resize(boxes.len(), None);
        for &(_, track, index) in pairs.iter() {
            let track = &mut tracks[track];
            if track.unseen == 0 || found[index].is_some() {
                continue;
            }
            track.unseen = 0;
            track.seen = boxes[index];
            let now = track.seen.bounding_box;
            if track.tracked.bounding_box.iou(&now) < options.hysteresis {
                track.tracked.bounding_box = now;
            }
            found[index] = Some(track.tracked);
        }
        tracks.retain(|track| track.unseen <= options.patience);
        for index in 0..self.found.len() {
            if self.found[index].is_none() {
                self.found[index] = Some(self.begin(self.boxes[index]));
            }
        }
    }

    fn begin(&mut self, seen: Seen) -> Tracked {
        self.last_id += 1;
        let tracked = Tracked {
            id: self.last_id,
            bounding_box: seen.bounding_box,
        };
        self.tracks.push(Track {
            tracked,
            seen,
            unseen: 0,
        });
        tracked
    }

    /// What comes next does not continue what came last; numbers go on, so that none is given twice.
    pub fn forget(&mut self) {
        self.tracks.clear();
    }
}
