//! Which frames come too late for an inference.

/// What is known of a frame when it arrives. All times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// The frame's own time on the pipeline's clock.
    pub running_time: u64,
    /// The clock's; `None` in a pipeline that is not live, where no frame has to be anywhere at a certain time.
    pub now: Option<u64>,
    /// From frame to frame.
    pub frame_time: u64,
    /// What an inference takes, the wait for its turn among other streams included.
    pub inference: u64,
    /// Inferences of this stream that come first.
    pub ahead: u64,
}

/// Tells late frames from others, without a clock of its own.
///
/// A live frame has an age when it arrives: the clock's time less its own. The least age that was seen is what the
/// source and its buffers take; what a frame is older, it has waited for this element or for something after it. It
/// may leave the element two frame times behind the least age, or one and an inference where that takes longer. So with
/// a source of any rate no frame leaves later than that, and nothing queues up. Where an age does not fall again for a
/// second although nothing is inferred, it is not this element that frames wait for (a sink at its place in time, an
/// encoder): that age then counts as the least.
///
/// In any pipeline, a sink that shows frames at their time tells with QoS events up to where it is late.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lateness {
    least: Option<i64>,
    backlog: Option<Backlog>,
    earliest: Option<u64>,
}

/// While late frames come.
#[derive(Debug, Clone, Copy)]
struct Backlog {
    lowest: i64,
    since: u64,
}

/// How long ages must stay before they count as unavoidable.
const STUCK: u64 = 1_000_000_000;

impl Lateness {
    /// Downstream has said that frames up to this running time come too late.
    pub fn heed(&mut self, earliest: Option<u64>) {
        self.earliest = earliest;
    }

    /// A new stream begins.
    pub fn forget(&mut self) {
        *self = Lateness::default();
    }

    /// By how much this frame would be late after an inference; `None` if it is in time.
    pub fn of(&mut self, arrival: &Arrival) -> Option<u64> {
        let live = arrival.now.and_then(|now| self.behind(arrival, now));
        let shown = self
            .earliest
            .and_then(|earliest| earliest.checked_sub(arrival.running_time));
        live.max(shown)
    }

    fn behind(&mut self, arrival: &Arrival, now: u64) -> Option<u64> {
        let signed = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        let age = signed(now).saturating_sub(signed(arrival.running_time));
        let mut least = *self.least.get_or_insert(age);
        if age < least {
            least = age;
            self.least = Some(age);
        }
        let allowed = arrival
            .frame_time
            .saturating_add(arrival.inference.max(arrival.frame_time));
        let waited = age.saturating_sub(least) as u64;
        let late = |inferences: u64| {
            let leaves = waited.saturating_add(arrival.inference.saturating_mul(inferences));
            leaves.checked_sub(allowed).filter(|late| *late > 0)
        };
        if late(1).is_none() {
            self.backlog = None;
            return late(arrival.ahead.saturating_add(1));
        }
        let tolerance = signed(arrival.frame_time / 16);
        match &mut self.backlog {
            Some(backlog) if age >= backlog.lowest.saturating_sub(tolerance) => {
                if now.saturating_sub(backlog.since) >= STUCK {
                    self.least = Some(age);
                    self.backlog = None;
                    return None;
                }
            }
            backlog => {
                *backlog = Some(Backlog {
                    lowest: age,
                    since: now,
                })
            }
        }
        late(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A live source of one frame every `frame_time` into a synchronous element: ages of the frames when they leave,
    /// and how many had an inference. `others` is what each frame costs without one.
    fn simulate(frames: u64, frame_time: u64, inference: u64, others: u64) -> (Vec<u64>, usize) {
        let mut lateness = Lateness::default();
        let (mut clock, mut inferred, mut ages) = (0, 0, Vec::new());
        for number in 0..frames {
            let running_time = number * frame_time;
            clock = clock.max(running_time);
            let arrival = Arrival {
                running_time,
                now: Some(clock),
                frame_time,
                inference,
                ahead: 0,
            };
            if lateness.of(&arrival).is_none() {
                clock += inference;
                inferred += 1;
            }
            clock += others;
            ages.push(clock - running_time);
        }
        (ages, inferred)
    }

    #[test]
    fn at_four_times_overload_ages_stay_below_two_frames_and_an_inference() {
        // 60 frames a second for ten minutes; an inference takes four frame times.
        let (frame, inference) = (16_666_667, 66_666_667);
        let (ages, inferred) = simulate(36_000, frame, inference, MS / 10);
        assert!(ages.iter().all(|age| *age < 2 * frame + inference));
        // At most 15 a second; at least three of four of these.
        assert!((6_750..=9_000).contains(&inferred), "{inferred}");
        let later = ages[30_000..].iter().max();
        assert!(later <= ages[..6_000].iter().max(), "nothing grows");
    }

    #[test]
    fn with_time_to_spare_every_frame_has_its_inference() {
        for inference in [MS, 10 * MS, 32 * MS] {
            let (_, inferred) = simulate(1_000, 33 * MS, inference, MS / 10);
            assert_eq!(inferred, 1_000);
        }
        // Nearly all of the time: frames wait for one another, but never long enough.
        let (ages, inferred) = simulate(1_000, 33 * MS, 33 * MS, MS / 100);
        assert!(inferred > 990 && ages.iter().all(|age| *age < 99 * MS));
    }

    #[test]
    fn a_burst_is_taken_as_far_as_two_frame_times_go() {
        let mut lateness = Lateness::default();
        let mut at = |running_time: u64, now: u64| {
            lateness
                .of(&Arrival {
                    running_time: running_time * MS,
                    now: Some(now * MS),
                    frame_time: 40 * MS,
                    inference: 10 * MS,
                    ahead: 0,
                })
                .is_none()
        };
        assert!(at(1_000, 1_100), "the first, whatever the source takes");
        assert!(at(1_040, 1_140));
        // The source held back: 70 ms late is as much as may be, with 10 of inference.
        assert!(!at(1_080, 1_251));
        assert!(at(1_120, 1_251));
        assert!(at(1_160, 1_260));
    }

    #[test]
    fn a_wait_that_skipping_does_not_shorten_is_taken_as_given() {
        // The sink holds each frame back for 100 ms: the next arrives when it is let go.
        let mut lateness = Lateness::default();
        let mut inferred = Vec::new();
        for number in 0..300 {
            let running_time = number * 20 * MS;
            let age = if number == 0 { 0 } else { 80 * MS };
            let arrival = Arrival {
                running_time,
                now: Some(running_time + age),
                frame_time: 20 * MS,
                inference: 15 * MS,
                ahead: 0,
            };
            if lateness.of(&arrival).is_none() {
                inferred.push(number);
            }
        }
        assert_eq!(inferred[..2], [0, 51], "a second of 50 frames later");
        assert_eq!(inferred.len(), 1 + 249, "and from then on all");
    }

    #[test]
    fn a_backlog_that_shrinks_slowly_is_waited_for() {
        // Downstream takes 98 % of the time, so what an inference costs is caught up slowly.
        let frame = 20 * MS;
        let (ages, inferred) = simulate(20_000, frame, 60 * MS, 19_600_000);
        assert!(
            ages.iter().all(|age| *age < 2 * frame + 80 * MS),
            "{:?}",
            ages.iter().max()
        );
        assert!(inferred > 50, "{inferred}");
    }

    #[test]
    fn inferences_ahead_count() {
        let arrival = |ahead| Arrival {
            running_time: 0,
            now: Some(0),
            frame_time: 16 * MS,
            inference: 66 * MS,
            ahead,
        };
        let mut lateness = Lateness::default();
        assert_eq!(lateness.of(&arrival(0)), None);
        // Two of 66 ms, where one and a frame time are allowed.
        assert_eq!(lateness.of(&arrival(1)), Some(50 * MS));
        let quick = Arrival {
            inference: 8 * MS,
            ..arrival(3)
        };
        assert_eq!(lateness.of(&quick), None);
    }

    #[test]
    fn without_a_live_source_only_what_downstream_says_counts() {
        let at = |running_time| Arrival {
            running_time,
            now: None,
            frame_time: 33 * MS,
            inference: 500 * MS,
            ahead: 9,
        };
        let mut lateness = Lateness::default();
        assert_eq!(lateness.of(&at(0)), None);
        lateness.heed(Some(100 * MS));
        assert_eq!(lateness.of(&at(70 * MS)), Some(30 * MS));
        assert_eq!(lateness.of(&at(101 * MS)), None);
        lateness.forget();
        assert_eq!(lateness.of(&at(0)), None);
    }
}
