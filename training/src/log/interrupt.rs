//! Ctrl-C and SIGTERM: the first asks the run to save and leave, the second ends it at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Watches for signals from its making until the end of the process.
#[derive(Debug)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
}

impl Interrupt {
    /// What to tell the user when the first signal has been noticed.
    pub const MESSAGE: &str = "casm: saving and leaving; once more to leave at once";

    /// Starts to watch. A second signal ends the process at once, with the exit code of the signal: 130
    /// for Ctrl-C, 143 for SIGTERM. That is safe at any moment, as is SIGKILL.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn watch() -> io::Result<Interrupt> {
        let requested = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal must find the flag unset.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&requested))?;
            flag::register(signal, Arc::clone(&requested))?;
        }
        Ok(Interrupt { requested })
    }

    /// True once somebody wants the run to end; to be asked after each step.
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }
}
