//! How long frames stay in the element: what it answers to the LATENCY query.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Inferences that the estimate looks back at.
const WINDOW: usize = 64;
/// Fewer say less than what was measured at the start.
const ENOUGH: usize = 8;
/// At least so many inferences lie between two announcements.
const PAUSE: u32 = 16;
/// Share by which the estimate must have grown to be announced anew; NNStreamer's.
const GROWN: f64 = 0.25;
/// And fallen: with this, what was announced stays within 20 % of what is measured, headroom included.
const FALLEN: f64 = 0.125;
/// Changes below this matter to nobody.
const LEAST: Duration = Duration::from_millis(1);
/// So much more than measured is claimed.
const HEADROOM: f64 = 1.05;

/// A running estimate of the time from a frame's arrival to its departure, when it has an inference of its own.
///
/// The estimate is the 95th percentile of the last [`WINDOW`] times: a mean would make half of the frames late, a
/// maximum would follow every hiccup of the machine.
#[derive(Debug, Clone, Default)]
pub struct LatencyEstimate {
    /// How long frames were inside.
    inside: Recent,
    /// What their inferences alone took.
    inference: Recent,
    /// How long they waited for other streams' inferences, and for others to share a batch with.
    turn: Recent,
    /// When this stream's last inference ended.
    ended: Option<Instant>,
    /// Measured before the first frame.
    first: Duration,
    /// What the last query was answered.
    answered: Option<Duration>,
    /// What the pipeline reckons with, or has been told that it should.
    announced: Duration,
    /// Inferences since then.
    since: u32,
}

impl LatencyEstimate {
    /// With what was measured before the first frame.
    pub fn new(first: Duration) -> LatencyEstimate {
        LatencyEstimate {
            first,
            announced: first.mul_f64(HEADROOM),
            ..LatencyEstimate::default()
        }
    }

    /// What a query is answered.
    pub fn answer(&mut self) -> Duration {
        let current = self.current();
        self.answered = Some(current);
        current
    }

    /// The pipeline has taken over what the last query was answered, which since then may have become another.
    pub fn claim(&mut self) {
        if let Some(answered) = self.answered {
            self.announced = answered;
        }
    }

    /// What a query would be answered.
    pub fn current(&self) -> Duration {
        let measured = self.inside.percentile(95);
        measured.map_or(self.announced, |inside| inside.mul_f64(HEADROOM))
    }

    /// What an inference usually takes, the wait for its turn among other streams included, but not that for earlier
    /// frames of this one.
    pub fn inference(&self) -> Duration {
        let inference = self.inference.percentile(50).unwrap_or(self.first);
        inference + self.turn.percentile(50).unwrap_or_default()
    }

    /// A picture was complete and with the worker from `submitted` on, and in the network from `begun` to `ended`.
    pub fn add_turn(&mut self, submitted: Instant, begun: Instant, ended: Instant) {
        let from = self.ended.map_or(submitted, |ended| submitted.max(ended));
        self.turn.add(begun.saturating_duration_since(from));
        self.ended = Some(ended);
    }

    /// A frame was inside for so long, and its inference took so much of that. True if the pipeline must be told that
    /// its latency is another.
    pub fn add(&mut self, inside: Duration, inference: Duration) -> bool {
        self.inside.add(inside);
        self.inference.add(inference);
        self.since = self.since.saturating_add(1);
        if self.since < PAUSE {
            return false;
        }
        let current = self.current();
        // A fall is believed when all that is remembered agrees.
        if current < self.announced && self.inside.0.len() < WINDOW {
            return false;
        }
        let change = current.abs_diff(self.announced);
        let share = if current > self.announced {
            GROWN
        } else {
            FALLEN
        };
        let material = change >= LEAST && change > self.announced.mul_f64(share);
        if material {
            // Said once, whether or not anybody asks then.
            self.announced = current;
            self.since = 0;
        }
        material
    }
}

/// The last [`WINDOW`] durations.
#[derive(Debug, Clone, Default)]
struct Recent(VecDeque<Duration>);

impl Recent {
    fn add(&mut self, duration: Duration) {
        if self.0.len() == WINDOW {
            self.0.pop_front();
        }
        self.0.push_back(duration);
    }

    /// `None` as long as there are not enough.
    fn percentile(&self, percent: usize) -> Option<Duration> {
        if self.0.len() < ENOUGH {
            return None;
        }
        let mut sorted = [Duration::ZERO; WINDOW];
        let sorted = sorted.get_mut(..self.0.len())?;
        for (place, duration) in sorted.iter_mut().zip(&self.0) {
            *place = *duration;
        }
        sorted.sort_unstable();
        sorted.get((sorted.len() - 1) * percent / 100).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// The first number of which an announcement is made, if there is one.
    fn announced(
        estimate: &mut LatencyEstimate,
        durations: impl IntoIterator<Item = Duration>,
    ) -> Option<usize> {
        durations
            .into_iter()
            .enumerate()
            .find_map(|(number, duration)| estimate.add(duration, duration / 2).then_some(number))
    }

    /// By hand: eight streams share a network of 15 ms, and each picture waits for the seven others'.
    #[test]
    fn an_inference_includes_the_wait_for_other_streams() {
        let (mut estimate, start) = (LatencyEstimate::new(ms(15)), Instant::now());
        assert_eq!(estimate.inference(), ms(15));
        for number in 0..20 {
            let submitted = start + ms(120 * number);
            let begun = submitted + ms(105);
            estimate.add_turn(submitted, begun, begun + ms(15));
            estimate.add(ms(120), ms(15));
        }
        assert_eq!(estimate.inference(), ms(120));
    }

    /// Frames of one stream that queue up are counted by the policy itself.
    #[test]
    fn the_wait_for_earlier_frames_of_the_stream_is_none_for_a_turn() {
        let (mut estimate, start) = (LatencyEstimate::new(ms(15)), Instant::now());
        for number in 0..20 {
            let begun = start + ms(15 * number);
            estimate.add_turn(start, begun, begun + ms(15));
            estimate.add(ms(120), ms(15));
        }
        assert_eq!(estimate.inference(), ms(15));
    }

    #[test]
    fn the_first_measurement_holds_until_there_are_enough() {
        let mut estimate = LatencyEstimate::new(ms(40));
        assert_eq!(estimate.answer(), ms(42), "5 % headroom");
        for _ in 0..ENOUGH - 1 {
            assert!(!estimate.add(ms(100), ms(90)));
        }
        assert_eq!(estimate.answer(), ms(42));
        assert_eq!(estimate.inference(), ms(40));
        estimate.add(ms(100), ms(90));
        assert_eq!(estimate.inference(), ms(90));
        assert_eq!(estimate.answer(), ms(105));
    }

    /// The pipeline asks all elements first, and then sends the result to all.
    #[test]
    fn what_has_changed_since_the_question_is_not_what_the_pipeline_knows() {
        let mut estimate = LatencyEstimate::new(ms(40));
        // The pipeline has not asked, whatever it says.
        estimate.claim();
        assert_eq!(estimate.answer(), ms(42));
        assert_eq!(announced(&mut estimate, [ms(100); ENOUGH]), None);
        assert_eq!(estimate.current(), ms(105));
        estimate.claim();
        // It reckons with 42 ms, so it is told as soon as it may be told anything.
        let at = announced(&mut estimate, [ms(100); 64]);
        assert_eq!(at, Some(PAUSE as usize - ENOUGH - 1));
        // And asks, and knows.
        assert_eq!(estimate.answer(), ms(105));
        estimate.claim();
        assert_eq!(announced(&mut estimate, [ms(100); 200]), None);
    }

    #[test]
    fn only_material_changes_are_announced_and_each_once() {
        let mut estimate = LatencyEstimate::new(ms(40));
        // 24 % more, 25 % of 42 ms being 10.5: not material.
        assert_eq!(announced(&mut estimate, [ms(49); 200]), None);
        // Up to four of 64 are the hiccups that the percentile leaves out.
        assert_eq!(announced(&mut estimate, [ms(90); 3]), None);
        assert_eq!(announced(&mut estimate, [ms(49); 64]), None);
        assert_eq!(announced(&mut estimate, [ms(60); 64]), Some(4));
        assert_eq!(announced(&mut estimate, [ms(60); 200]), None);
        // Down again: when no more than 4 slow ones are remembered.
        let at = announced(&mut estimate, [ms(20); 200]).expect("it has fallen");
        assert!((WINDOW - 5..WINDOW).contains(&at), "{at}");
        assert_eq!(estimate.current(), ms(21));
        // 11 % less is not material, 14 % less is: 21 ms less an eighth are 18.4.
        assert_eq!(announced(&mut estimate, [ms(18); 200]), None);
        assert!(announced(&mut estimate, [ms(17); 200]).is_some());
    }

    #[test]
    fn fractions_of_a_millisecond_are_not_announced() {
        let mut estimate = LatencyEstimate::new(Duration::from_micros(100));
        assert_eq!(
            announced(&mut estimate, [Duration::from_micros(900); 200]),
            None
        );
    }

    #[test]
    fn the_claim_covers_nearly_all_and_is_not_far_above() {
        // 100 to 119 ms, mean 109.5: the 95th percentile is 118 and the claim 124.
        let mut estimate = LatencyEstimate::new(ms(10));
        for number in 0..WINDOW as u64 {
            let inside = ms(100 + number * 7 % 20);
            estimate.add(inside, inside - ms(50));
        }
        let claim = estimate.answer();
        assert!(claim >= ms(118) && claim <= ms(125), "{claim:?}");
        let usual = estimate.inference();
        assert!(usual >= ms(57) && usual <= ms(61), "{usual:?}");
    }
}
