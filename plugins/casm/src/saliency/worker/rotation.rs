//! Whose turn it is.

use std::collections::VecDeque;

/// More streams than run at once.
const MOST: usize = 256;

/// Waiting work of several streams, of which each gets its turn: a stream with much to do does not keep others waiting.
#[derive(Debug)]
pub struct Rotation<T> {
    /// In the order of their turns. Those with nothing waiting keep their place, or one that brings its next piece
    /// only after the last one is done would come after those that have many.
    streams: VecDeque<(u64, VecDeque<T>)>,
    len: usize,
}

impl<T> Default for Rotation<T> {
    fn default() -> Self {
        Rotation {
            streams: VecDeque::new(),
            len: 0,
        }
    }
}

impl<T> Rotation<T> {
    /// Adds work of a stream behind what it has waiting.
    pub fn add(&mut self, stream: u64, item: T) {
        self.len += 1;
        match self.streams.iter_mut().find(|(other, _)| *other == stream) {
            Some((_, waiting)) => waiting.push_back(item),
            None => {
                if self.streams.len() >= MOST {
                    // Streams that have ended long ago among them.
                    self.streams.retain(|(_, waiting)| !waiting.is_empty());
                }
                self.streams.push_front((stream, VecDeque::from([item])));
            }
        }
    }

    /// How much waits.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Moves the next at most `limit` pieces to `taken`, which is empty: one of each stream and then the next of each,
    /// as long as each is `alike` to the first.
    pub fn take(&mut self, limit: usize, taken: &mut Vec<T>, alike: impl Fn(&T, &T) -> bool) {
        while taken.len() < limit {
            let waits = |(_, waiting): &(u64, VecDeque<T>)| !waiting.is_empty();
            let Some(turn) = self.streams.iter().position(waits) else {
                break;
            };
            let fits = match (taken.first(), self.streams[turn].1.front()) {
                (Some(first), Some(next)) => alike(first, next),
                _ => true,
            };
            if !fits {
                break;
            }
            if let Some(mut stream) = self.streams.remove(turn) {
                taken.extend(stream.1.pop_front());
                self.streams.push_back(stream);
            }
        }
        self.len -= taken.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken<T>(
        rotation: &mut Rotation<T>,
        limit: usize,
        alike: impl Fn(&T, &T) -> bool,
    ) -> Vec<T> {
        let mut taken = Vec::new();
        rotation.take(limit, &mut taken, alike);
        taken
    }

    fn filled() -> Rotation<(u64, u32)> {
        let mut rotation = Rotation::default();
        // The first stream has been quicker than the two others.
        for (stream, number) in [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (3, 0), (2, 1)] {
            rotation.add(stream, (stream, number));
        }
        rotation
    }

    #[test]
    fn streams_take_turns_and_keep_their_order() {
        let mut rotation = filled();
        let mut order = Vec::new();
        while !rotation.is_empty() {
            order.extend(taken(&mut rotation, 1, |_, _| true));
        }
        assert_eq!(
            order,
            [(3, 0), (2, 0), (1, 0), (2, 1), (1, 1), (1, 2), (1, 3)]
        );
        assert_eq!(taken(&mut rotation, 5, |_, _| true), []);
    }

    #[test]
    fn a_stream_that_waits_for_its_answer_has_every_other_turn() {
        let mut rotation = Rotation::default();
        for number in 0..10 {
            rotation.add(1, (1, number));
        }
        rotation.add(2, (2, 0));
        let mut order = Vec::new();
        for _ in 0..6 {
            let done = taken(&mut rotation, 1, |_, _| true);
            // The second stream brings its next piece while the worker is at the one after.
            if order.last() == Some(&2) {
                rotation.add(2, (2, 0));
            }
            order.extend(done.iter().map(|(stream, _)| *stream));
        }
        assert_eq!(order, [2, 1, 2, 1, 2, 1]);
    }

    #[test]
    fn a_batch_has_one_of_each_stream_before_a_second_of_any() {
        let mut rotation = filled();
        assert_eq!(
            taken(&mut rotation, 4, |_, _| true),
            [(3, 0), (2, 0), (1, 0), (2, 1)]
        );
        assert_eq!(rotation.len(), 3);
        // The turn goes on where it was.
        assert_eq!(
            taken(&mut rotation, 9, |_, _| true),
            [(1, 1), (1, 2), (1, 3)]
        );
    }

    #[test]
    fn a_batch_ends_before_what_does_not_fit() {
        let mut rotation = filled();
        let same_number = |a: &(u64, u32), b: &(u64, u32)| a.1 == b.1;
        assert_eq!(
            taken(&mut rotation, 9, same_number),
            [(3, 0), (2, 0), (1, 0)]
        );
        assert_eq!(taken(&mut rotation, 9, same_number), [(2, 1), (1, 1)]);
        assert_eq!(taken(&mut rotation, 9, same_number), [(1, 2)]);
    }
}
