//! Numbers of a step for people: progress bar, CSV, TensorBoard; and what people tell a run: stop.
//!
//! | module | what |
//! |---|---|
//! | [`record`] | the numbers of a training step and of an evaluation |
//! | [`csv`] | one line a record, continued when a run is resumed |
//! | [`tensorboard`] | the same as event files |
//! | [`progress`] | a bar on the terminal, or a line now and then |
//! | [`stopwatch`] | images a second, and how long the trainer waits for data |
//! | [`interrupt`] | Ctrl-C and SIGTERM |

pub mod csv;
pub mod interrupt;
pub mod progress;
pub mod record;
pub mod stopwatch;
pub mod tensorboard;

pub use csv::{CsvLog, LogError};
pub use interrupt::Interrupt;
pub use progress::Progress;
pub use record::{Scalars, ScoreRecord, StepRecord};
pub use stopwatch::Stopwatch;
pub use tensorboard::EventFile;
