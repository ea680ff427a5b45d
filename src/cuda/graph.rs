//! CUDA graphs: what a batch launches, recorded once and launched again as one.
//!
//! At batch 1 some hundred kernels of microseconds each wait for the CPU to launch them; a graph is one launch.
//! It runs on the memory that it was recorded with, so bytes are copied into a tensor of its own first, and its
//! results are read before it runs again. A graph belongs to a batch of one kind: its size, and how its frames lie in memory.
//! The first batches of a kind run without, which prepares cuDNN and the allocator; a graph's first results are compared
//! with those of single launches. What cannot be recorded, or gives something else, runs without for good, and
//! one line on standard error says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tch::{Device, Kind, TchError, Tensor};

use crate::cuda::{CapturedGraph, Stream};
use crate::host_memory::HostMemory;

/// Batches of a kind before its graph is recorded.
const WARM_UP: usize = 2;
/// Mean difference that other algorithms of cuDNN may make, in 16 bits.
const TOLERANCE: f64 = 1e-2;
/// Kinds that are kept, the last used first; each has the memory of all its activations.
const KEPT: usize = 8;

/// The graphs of a network, by the kind `K` of batches.
pub struct Graphs<K> {
    entries: Vec<Entry<K>>,
    /// Why nothing is recorded any more.
    failed: Option<String>,
    replays: Arc<AtomicU64>,
}

struct Entry<K> {
    kind: K,
    runs: usize,
    recorded: Option<Recorded>,
}

/// Fields are dropped in this order: the graph before what it works on.
struct Recorded {
    graph: CapturedGraph,
    bytes: Tensor,
    outputs: Vec<Tensor>,
}

impl<K: PartialEq> Graphs<K> {
    /// None yet; `replays` counts the batches that ran as a graph.
    pub fn new(replays: Arc<AtomicU64>) -> Graphs<K> {
        Graphs {
            entries: Vec::new(),
            failed: None,
            replays,
        }
    }

    /// Forgets all: memory that they work on is going to be freed. Nothing may be under way.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Computes `compute` of the bytes in `host`, on the stream's device. The results are valid when the stream has been
    /// waited for, and until the next call. `compute` must launch the same for every batch of the kind.
    ///
    /// # Errors
    /// Those of `compute`; CUDA's.
    pub fn run(
        &mut self,
        kind: K,
        stream: &Stream,
        device: Device,
        host: &HostMemory,
        compute: impl Fn(&Tensor) -> Result<Vec<Tensor>, TchError>,
    ) -> Result<Vec<Tensor>, TchError> {
        if self.failed.is_some() {
            return compute(&host.to_device(device)?);
        }
        let entry = self.entry(kind);
        if entry.recorded.is_none() {
            entry.runs += 1;
            if entry.runs <= WARM_UP {
                return compute(&host.to_device(device)?);
            }
            let recorded = record(stream, device, host.bytes().len(), &compute);
            let expected = compute(&host.to_device(device)?)?;
            match recorded.and_then(|recorded| recorded.checked(host, &expected)) {
                Ok(recorded) => entry.recorded = Some(recorded),
                Err(error) => {
                    let reason = crate::torch_error(error).to_string();
                    eprintln!("casm: computing without CUDA graphs, more slowly: {reason}");
                    self.failed = Some(reason);
                }
            }
            return Ok(expected);
        }
        let Some(recorded) = &mut entry.recorded else {
            return compute(&host.to_device(device)?);
        };
        let outputs = recorded.replay(host)?;
        self.replays.fetch_add(1, Ordering::Relaxed);
        Ok(outputs)
    }

    /// The entry of this kind, moved to the front; made if it is new.
    fn entry(&mut self, kind: K) -> &mut Entry<K> {
        match self.entries.iter().position(|entry| entry.kind == kind) {
            Some(place) => self.entries[..=place].rotate_right(1),
            None => {
                self.entries.truncate(KEPT - 1);
                let entry = Entry {
                    kind,
                    runs: 0,
                    recorded: None,
                };
                self.entries.insert(0, entry);
            }
        }
        &mut self.entries[0]
    }
}

impl Recorded {
    /// Launches it on the bytes in `host`.
    fn replay(&mut self, host: &HostMemory) -> Result<Vec<Tensor>, TchError> {
        host.copy_to(&mut self.bytes)?;
        self.graph.replay()?;
        Ok(self.outputs.iter().map(Tensor::shallow_clone).collect())
    }

    /// Itself, if it gives what single launches gave. A graph that works on the wrong memory is far from that.
    fn checked(mut self, host: &HostMemory, expected: &[Tensor]) -> Result<Recorded, TchError> {
        for (found, expected) in self.replay(host)?.iter().zip(expected) {
            let expected = expected.f_to_kind(Kind::Float)?;
            let difference = found.f_to_kind(Kind::Float)?.f_sub(&expected)?;
            let mean = |values: Tensor| values.f_abs()?.f_mean(Kind::Float)?.f_double_value(&[]);
            let (off, scale) = (mean(difference)?, mean(expected)?);
            // Numbers that are none are not near either.
            let near = off <= TOLERANCE * (1.0 + scale);
            if !near {
                let reason = format!("its results differ from those of single launches by {off}");
                return Err(TchError::Torch(reason));
            }
        }
        Ok(self)
    }
}

fn record(
    stream: &Stream,
    device: Device,
    bytes: usize,
    compute: impl Fn(&Tensor) -> Result<Vec<Tensor>, TchError>,
) -> Result<Recorded, TchError> {
    // Outside of the graph's own memory, which its work may overwrite.
    let bytes = Tensor::f_zeros([bytes as i64], (Kind::Uint8, device))?;
    stream.wait()?;
    let (graph, outputs) = stream.capture(|| compute(&bytes))?;
    Ok(Recorded {
        graph,
        bytes,
        outputs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Runs batches of one kind with functions that record, or do not; what came out, how often it was computed, and
    /// how often replayed. The false graph's results are those of its record, unless they are its bytes themselves.
    fn run(records: bool, stale: bool, batches: u8) -> (Vec<u8>, usize, u64) {
        let shim = crate::cuda::fake::shim(records);
        let stream = Stream::open(shim, 0).expect("opens");
        let replays = Arc::new(AtomicU64::new(0));
        let mut graphs = Graphs::new(replays.clone());
        let mut host = HostMemory::new(Some(shim)).expect("memory");
        let computed = Cell::new(0);
        let results = (0..batches).map(|value| {
            host.room(5).expect("memory").fill(value);
            let compute = |bytes: &Tensor| {
                computed.set(computed.get() + 1);
                Ok(vec![match stale {
                    true => bytes.f_mul_scalar(1)?,
                    false => bytes.shallow_clone(),
                }])
            };
            let outputs = graphs.run("kind", &stream, Device::Cpu, &host, compute);
            let outputs = outputs.expect("computes");
            assert_eq!(outputs[0].size(), [5]);
            outputs[0].int64_value(&[4]) as u8
        });
        let results = results.collect();
        (results, computed.get(), replays.load(Ordering::Relaxed))
    }

    #[test]
    fn the_third_batch_is_recorded_and_later_ones_are_replayed() {
        // Computed twice, for the record, and for what it is compared with.
        assert_eq!(run(true, false, 6), ((0..6).collect(), 4, 3));
    }

    #[test]
    fn what_cannot_be_recorded_runs_without() {
        assert_eq!(run(false, false, 6), ((0..6).collect(), 6, 0));
    }

    #[test]
    fn what_replays_something_else_runs_without() {
        // The record itself is a seventh.
        assert_eq!(run(true, true, 6), ((0..6).collect(), 7, 0));
    }

    #[test]
    fn the_kinds_used_last_are_kept() {
        let mut graphs: Graphs<usize> = Graphs::new(Arc::default());
        for kind in 0..KEPT {
            graphs.entry(kind).runs = kind + 1;
        }
        // 0 is used again, so that 1 is the one that goes.
        assert_eq!(graphs.entry(0).runs, 1);
        assert_eq!(graphs.entry(100).runs, 0);
        let kinds: Vec<usize> = graphs.entries.iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [100, 0, 7, 6, 5, 4, 3, 2]);
        graphs.clear();
        assert!(graphs.entries.is_empty());
    }
}
