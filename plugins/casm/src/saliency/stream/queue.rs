//! Frames that wait for their results, in order.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::ThreadId;

use gst::{FlowError, FlowSuccess};

use crate::saliency::imp::lock;

/// A bounded queue between the thread that brings frames and the one that pushes them on.
///
/// Neither waits longer than until [`close`](Self::close).
pub struct FrameQueue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    frames: VecDeque<T>,
    /// The thread that is finishing and pushing a frame.
    busy: Option<ThreadId>,
    /// Between the beginning and the end of a flush.
    closed: bool,
    /// The pushing thread is to end.
    ended: bool,
    /// What pushing has come to.
    flow: Result<FlowSuccess, FlowError>,
}

impl<T> Default for FrameQueue<T> {
    fn default() -> Self {
        FrameQueue {
            state: Mutex::new(State {
                frames: VecDeque::new(),
                busy: None,
                closed: false,
                ended: false,
                flow: Ok(FlowSuccess::Ok),
            }),
            changed: Condvar::new(),
        }
    }
}

impl<T> State<T> {
    fn idle(&self) -> bool {
        // A thread that waits for itself would wait for ever: an application may seek from a probe downstream.
        let busy = self
            .busy
            .is_some_and(|thread| thread != std::thread::current().id());
        self.frames.is_empty() && !busy
    }

    fn inside(&self) -> usize {
        self.frames.len() + usize::from(self.busy.is_some())
    }
}

impl<T> FrameQueue<T> {
    /// Adds a frame as soon as fewer than `depth` are inside.
    ///
    /// # Errors
    /// What pushing an earlier frame has come to; [`FlowError::Flushing`].
    pub fn push(&self, frame: T, depth: usize) -> Result<FlowSuccess, FlowError> {
        let mut state =
            self.wait(|state| state.closed || state.flow.is_err() || state.inside() < depth.max(1));
        if state.closed {
            return Err(FlowError::Flushing);
        }
        state.flow?;
        state.frames.push_back(frame);
        drop(state);
        self.changed.notify_all();
        Ok(FlowSuccess::Ok)
    }

    /// The next frame, for the pushing thread, which then calls [`done`](Self::done). `None`: it is to end.
    pub fn take(&self) -> Option<T> {
        let mut state = self.wait(|state| state.ended || !state.frames.is_empty());
        if state.ended {
            return None;
        }
        state.busy = Some(std::thread::current().id());
        state.frames.pop_front()
    }

    /// The frame that was taken has left, or could not. After an error nothing more is pushed.
    pub fn done(&self, flow: Result<FlowSuccess, FlowError>) {
        let mut state = lock(&self.state);
        state.busy = None;
        let discarded = match flow {
            // A flush has its own end.
            Err(_) if state.closed => VecDeque::new(),
            Err(error) => {
                state.flow = Err(error);
                std::mem::take(&mut state.frames)
            }
            Ok(_) => VecDeque::new(),
        };
        drop(state);
        drop(discarded);
        self.changed.notify_all();
    }

    /// Waits until every frame has left.
    ///
    /// # Errors
    /// What pushing has come to; [`FlowError::Flushing`].
    pub fn drain(&self) -> Result<FlowSuccess, FlowError> {
        let state = self.wait(|state| state.closed || state.flow.is_err() || state.idle());
        if state.closed {
            return Err(FlowError::Flushing);
        }
        state.flow
    }

    /// How many frames are inside.
    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.state).inside()
    }

    /// Discards what waits and takes nothing until [`open`](Self::open).
    pub fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        let discarded = std::mem::take(&mut state.frames);
        drop(state);
        drop(discarded);
        self.changed.notify_all();
    }

    /// After a flush: waits until the pushing thread has let go of its last frame, and begins anew.
    pub fn open(&self) {
        let mut state = self.wait(State::idle);
        state.closed = false;
        state.flow = Ok(FlowSuccess::Ok);
    }

    /// A new stream or segment after the end of one: frames are taken again.
    pub fn restart(&self) {
        let mut state = lock(&self.state);
        if state.flow == Err(FlowError::Eos) {
            state.flow = Ok(FlowSuccess::Ok);
        }
    }

    /// Downstream may be linked where it was not: frames are taken again.
    pub fn relinked(&self) {
        let mut state = lock(&self.state);
        if state.flow == Err(FlowError::NotLinked) {
            state.flow = Ok(FlowSuccess::Ok);
        }
    }

    /// Lets the pushing thread end; with `false`, another may begin.
    pub fn end(&self, ended: bool) {
        lock(&self.state).ended = ended;
        self.changed.notify_all();
    }

    /// Whether it is to end, or has.
    pub fn is_ended(&self) -> bool {
        lock(&self.state).ended
    }

    fn wait(&self, until: impl Fn(&State<T>) -> bool) -> MutexGuard<'_, State<T>> {
        self.changed
            .wait_while(lock(&self.state), |state| !until(state))
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    /// Runs `work` elsewhere; its result, if it comes soon.
    fn elsewhere<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Receiver<R> {
        let (sender, receiver) = channel();
        std::thread::spawn(move || sender.send(work()));
        receiver
    }

    fn waits<R>(receiver: &Receiver<R>) -> bool {
        receiver.recv_timeout(Duration::from_millis(50)).is_err()
    }

    fn comes<R>(receiver: &Receiver<R>) -> R {
        receiver
            .recv_timeout(Duration::from_secs(10))
            .expect("it does not wait any longer")
    }

    #[test]
    fn a_full_queue_waits_and_a_drain_waits_for_the_last_to_leave() {
        let queue = Arc::new(FrameQueue::default());
        for frame in 0..2 {
            assert!(queue.push(frame, 2).is_ok());
        }
        let pushed = elsewhere({
            let queue = queue.clone();
            move || queue.push(2, 2)
        });
        assert!(waits(&pushed));
        assert_eq!(queue.take(), Some(0));
        assert!(waits(&pushed), "one is still being pushed");
        queue.done(Ok(FlowSuccess::Ok));
        assert!(comes(&pushed).is_ok());
        let drained = elsewhere({
            let queue = queue.clone();
            move || queue.drain()
        });
        assert_eq!(queue.take(), Some(1));
        queue.done(Ok(FlowSuccess::Ok));
        assert_eq!(queue.take(), Some(2));
        assert!(waits(&drained));
        queue.done(Ok(FlowSuccess::Ok));
        assert!(comes(&drained).is_ok());
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_flush_discards_at_once_and_waits_for_the_frame_at_the_door() {
        let queue = Arc::new(FrameQueue::default());
        for frame in 0..3 {
            assert!(queue.push(frame, 3).is_ok());
        }
        let taker = elsewhere({
            let queue = queue.clone();
            move || queue.take()
        });
        assert_eq!(comes(&taker), Some(0));
        let pushed = elsewhere({
            let queue = queue.clone();
            move || queue.push(3, 3)
        });
        assert!(waits(&pushed));
        queue.close();
        assert_eq!(comes(&pushed), Err(FlowError::Flushing));
        assert_eq!(queue.drain(), Err(FlowError::Flushing));
        let opened = elsewhere({
            let queue = queue.clone();
            move || queue.open()
        });
        assert!(waits(&opened));
        queue.done(Err(FlowError::Flushing));
        comes(&opened);
        assert_eq!(queue.len(), 0);
        assert!(queue.push(4, 3).is_ok());
        assert_eq!(queue.take(), Some(4));
        // A drain in the thread that pushes has only the others to wait for.
        assert!(queue.drain().is_ok());
    }

    #[test]
    fn an_error_discards_what_waits_and_stays_until_a_flush() {
        let queue = FrameQueue::default();
        for frame in 0..3 {
            assert!(queue.push(frame, 3).is_ok());
        }
        assert_eq!(queue.take(), Some(0));
        queue.done(Err(FlowError::Eos));
        assert_eq!(queue.push(3, 3), Err(FlowError::Eos));
        assert_eq!(queue.drain(), Err(FlowError::Eos));
        queue.relinked();
        assert_eq!(
            queue.push(3, 3),
            Err(FlowError::Eos),
            "that is another matter"
        );
        queue.close();
        queue.open();
        assert!(queue.push(4, 3).is_ok());
        assert_eq!(queue.take(), Some(4));
        queue.done(Err(FlowError::NotLinked));
        assert_eq!(queue.push(5, 3), Err(FlowError::NotLinked));
        queue.relinked();
        assert!(queue.push(5, 3).is_ok());
        queue.end(true);
        assert_eq!(queue.take(), None);
    }
}
