//! When frames come and how long they take: late ones, the answer to LATENCY, QoS.

pub mod late;
pub mod latency;
mod qos;
