//! What happens to frames, events and the element's states, in order.

mod events;
mod flow;
mod life;
mod queue;
mod task;

pub use flow::Waiting;
pub use queue::FrameQueue;
