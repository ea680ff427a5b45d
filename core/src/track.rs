//! Boxes of one frame after the other → boxes that hold still, with numbers that stay.
//!
//! The paper looks at single pictures; this is ours, and off unless asked for. A mask's edge wavers by a
//! pixel from frame to frame, and a box with it, four times a pixel of the network's input. Two
//! means against that: [`MaskAverage`] on the masks, hysteresis in [`Tracker`] on the boxes.

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

/// Follows the boxes of a stream by their overlap.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    tracks: Vec<Track>,
    last_id: u64,
    /// Overlap, track and box of the pairs that fit, kept for its memory, as are the next two.
    pairs: Vec<(f64, usize, usize)>,
    boxes: Vec<BoundingBox>,
    found: Vec<Option<Tracked>>,
}

#[derive(Debug, Clone)]
struct Track {
    tracked: Tracked,
    /// Its last box before hysteresis: what the next one must overlap.
    seen: BoundingBox,
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
        self.boxes.extend_from_slice(boxes);
        self.match_boxes(options);
        self.found.iter().flatten().copied().collect()
    }

    /// [`update`](Tracker::update) with the boxes of `objects`, which get the numbers and the held boxes.
    pub fn follow(&mut self, objects: &mut [Object], options: &TrackOptions) {
        self.boxes.clear();
        let boxes = objects.iter().map(|object| object.bounding_box);
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
                let overlap = known.seen.iou(found);
                if overlap >= Tracker::LEAST_OVERLAP {
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
            if track.tracked.bounding_box.iou(&track.seen) < options.hysteresis {
                track.tracked.bounding_box = track.seen;
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

    fn begin(&mut self, bounding_box: BoundingBox) -> Tracked {
        self.last_id += 1;
        let tracked = Tracked {
            id: self.last_id,
            bounding_box,
        };
        self.tracks.push(Track {
            tracked,
            seen: bounding_box,
            unseen: 0,
        });
        tracked
    }

    /// What comes next does not continue what came last; numbers go on, so that none is given twice.
    pub fn forget(&mut self) {
        self.tracks.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: TrackOptions = TrackOptions {
        hysteresis: 0.8,
        patience: 2,
    };

    fn square(x: u32, side: u32) -> BoundingBox {
        BoundingBox {
            x,
            y: 0,
            width: side,
            height: side,
        }
    }

    fn mask(values: &[f32]) -> Mask {
        Mask {
            width: values.len(),
            height: 1,
            values: values.to_vec(),
        }
    }

    /// By hand: 0.75 · 0.4 + 0.25 · 0.8.
    #[test]
    fn an_average_follows_slowly_and_begins_anew_after_a_cut() {
        let mut average = MaskAverage::default();
        assert_eq!(average.add(mask(&[0.4, 0.4]), 0.75).values, [0.4, 0.4]);
        let second = average.add(mask(&[0.8, 0.4]), 0.75).values;
        assert!((second[0] - 0.5).abs() < 1e-6 && second[1] == 0.4);
        assert!(!average.was_cut());
        // The average is 0.5, 0.4: 0.9 of 1.9 is no cut, 0.8 of 1.0 is one.
        let (fits, other) = (mask(&[1.0, 0.0]), mask(&[0.0, 0.1]));
        assert!(average.clone().add(fits, 0.75).values[0] < 0.7);
        assert_eq!(average.add(other, 0.75).values, [0.0, 0.1]);
        assert!(average.was_cut());
        assert_eq!(average.add(mask(&[0.9]), 0.75).values, [0.9]);
        assert_eq!(average.add(mask(&[0.8]), 0.0).values, [0.8]);
        average.forget();
        assert_eq!(average.add(mask(&[0.7]), 0.75).values, [0.7]);
    }

    /// By hand: shifted by 1 of 20 the overlap is 19 / 21 = 0.905, by 3 it is 17 / 23 = 0.739.
    #[test]
    fn a_box_is_held_until_it_has_moved_enough() {
        let mut tracker = Tracker::default();
        let mut step = |x| tracker.update(&[square(x, 20)], &OPTIONS)[0];
        let first = step(10);
        assert_eq!(step(11), first);
        let moved = step(13);
        assert_eq!((moved.id, moved.bounding_box), (first.id, square(13, 20)));
    }

    #[test]
    fn a_slow_object_keeps_its_number_however_far_it_goes() {
        let mut tracker = Tracker::default();
        let options = TrackOptions {
            hysteresis: 0.1,
            ..OPTIONS
        };
        for x in 0..60 {
            let found = tracker.update(&[square(x, 20)], &options)[0];
            assert_eq!(found.id, 1, "{x}");
            assert!(found.bounding_box.iou(&square(x, 20)) >= 0.1, "{x}");
        }
    }

    #[test]
    fn numbers_stay_with_their_boxes_whatever_the_order() {
        let mut tracker = Tracker::default();
        let first = tracker.update(&[square(0, 20), square(100, 20)], &OPTIONS);
        let second = tracker.update(&[square(101, 20), square(1, 20)], &OPTIONS);
        assert_eq!((second[0].id, second[1].id), (first[1].id, first[0].id));
        // One object cannot be both of two boxes.
        let third = tracker.update(&[square(0, 20), square(0, 19)], &OPTIONS);
        assert_eq!(third[0].id, first[0].id);
        assert!(third[1].id > 2);
    }

    #[test]
    fn an_object_is_missed_for_a_while_and_then_forgotten() {
        let mut tracker = Tracker::default();
        let id = |found: Vec<Tracked>| found.first().map(|tracked| tracked.id);
        assert_eq!(id(tracker.update(&[square(0, 20)], &OPTIONS)), Some(1));
        assert_eq!(id(tracker.update(&[], &OPTIONS)), None);
        assert_eq!(id(tracker.update(&[], &OPTIONS)), None);
        assert_eq!(id(tracker.update(&[square(0, 20)], &OPTIONS)), Some(1));
        for _ in 0..3 {
            tracker.update(&[], &OPTIONS);
        }
        assert_eq!(id(tracker.update(&[square(0, 20)], &OPTIONS)), Some(2));
        tracker.forget();
        assert_eq!(id(tracker.update(&[square(0, 20)], &OPTIONS)), Some(3));
    }
}
