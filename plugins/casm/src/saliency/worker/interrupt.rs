//! Waking who waits for the network, when its answer is not wanted any more.

use std::convert::Infallible;
use std::sync::Mutex;

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::saliency::imp::lock;

/// A channel that nothing is ever sent through: its end is the signal.
pub type Signal = Receiver<Infallible>;

/// Raised by a flush or a stop, lowered by what begins after it.
pub struct Interrupt(Mutex<(Option<Sender<Infallible>>, Signal)>);

impl Default for Interrupt {
    fn default() -> Self {
        let (sender, signal) = bounded(0);
        Interrupt(Mutex::new((Some(sender), signal)))
    }
}

impl Interrupt {
    /// Whoever waits with a signal stops waiting, now and until [`lower`](Self::lower).
    pub fn raise(&self) {
        lock(&self.0).0 = None;
    }

    /// From here on one may wait again; older signals stay raised.
    pub fn lower(&self) {
        let mut inner = lock(&self.0);
        if inner.0.is_none() {
            let (sender, signal) = bounded(0);
            *inner = (Some(sender), signal);
        }
    }

    /// Ends when interrupted.
    pub fn signal(&self) -> Signal {
        lock(&self.0).1.clone()
    }
}
