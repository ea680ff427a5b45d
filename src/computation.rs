//! The network at work on a device: what the engine's thread does.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use casm_core::engine::{EngineDescription, EngineOptions, Output, Precision};
use casm_core::network::Folded;
use casm_core::{Error, Header, Result};
use tch::{Device, Kind, TchError, Tensor};

use crate::cuda::graph::Graphs;
use crate::cuda::{Shim, Stream, shim};
use crate::device;
use crate::device_input::{DeviceInput, Layout};
use crate::host_memory::HostMemory;
use crate::packed::Packed;
use crate::pixels::append_values;
use crate::team::Team;
use crate::torch_engine::{GpuOptions, NAME};
use crate::torch_error;

/// What the bytes of a batch are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Pictures {
    /// So many `[S, S, 3]`.
    Pixels(usize),
    /// Frames laid out so.
    Frames(Vec<Layout>),
}

/// A network with its weights on a device.
pub(crate) struct Computation {
    network: Packed,
    input: DeviceInput,
    device: Device,
    side: i64,
    /// Where the number of CPU threads may be chosen.
    team: Option<Team>,
    // Before the stream that they are used on.
    gpu: Option<Gpu>,
}

/// What only a GPU has, and only with the shim. Fields are dropped in this order.
struct Gpu {
    graphs: Option<Graphs<Pictures>>,
    results: HostMemory,
    stream: Stream,
}

impl Computation {
    /// Puts the weights on the device; also says what was opened. With 0 threads in `options`, as many compute as is fastest
    /// at the moment, at most those that compute in this thread now. `replays` counts the batches that ran as a CUDA graph.
    pub(crate) fn open(
        header: &Header,
        folded: &Arc<Folded>,
        options: &EngineOptions,
        gpu: GpuOptions,
        replays: Arc<AtomicU64>,
    ) -> Result<(Computation, EngineDescription)> {
        let device = device::resolve(options.device)?;
        let (precision, kind) = match options.precision {
            Precision::Auto | Precision::F32 => (Precision::F32, Kind::Float),
            Precision::Bf16 => (Precision::Bf16, Kind::BFloat16),
            Precision::F16 => (Precision::F16, Kind::Half),
            Precision::Int8 => {
                return Err(Error::Engine {
                    engine: NAME.to_owned(),
                    reason:
                        "it does not compute in int8; use engine=openvino (`make setup-openvino` \
                             fetches it), or precision=bf16"
                            .to_owned(),
                });
            }
        };
        // First, because everything on the device belongs to the stream that it was made on.
        let on_gpu = match device {
            Device::Cuda(index) => Gpu::open(index, gpu.graphs, replays)?,
            _ => None,
        };
        let side = header.input.size as usize;
        let mut network = Packed::new(folded, side, kind, device)?;
        let threads = usize::try_from(tch::get_num_threads()).unwrap_or(1);
        let chosen = options.threads == 0 && device == Device::Cpu && threads > 1;
        if !chosen {
            network.settle();
        }
        let computation = Computation {
            network,
            input: DeviceInput::new(device),
            device,
            side: side as i64,
            team: chosen.then(|| Team::new(threads)),
            gpu: on_gpu,
        };
        let description = EngineDescription {
            engine: NAME.to_owned(),
            device: device::name(device),
            precision,
            threads,
            choice: String::new(),
            prepares_input: gpu.device_input.unwrap_or(device.is_cuda()),
        };
        Ok((computation, description))
    }

    /// What gives pinned memory, where that helps.
    pub(crate) fn shim(&self) -> Option<&'static Shim> {
        self.gpu.as_ref().map(|gpu| gpu.stream.shim())
    }

    /// Prepares the next run, if another number of threads is to compute it; better done while nobody waits.
    pub(crate) fn choose_threads(&mut self) {
        let Some(team) = &self.team else { return };
        let (before, threads) = (tch::get_num_threads(), team.size());
        // No memory for other weights: it stays as it is.
        if i32::try_from(threads) != Ok(before) && self.network.use_threads(threads).is_err() {
            tch::set_num_threads(before);
            self.network.settle();
            self.team = None;
        }
    }

    /// The bytes in `host` → masks and logits. The caller has checked their number.
    pub(crate) fn run(
        &mut self,
        pictures: &Pictures,
        host: &HostMemory,
        output: &mut Output,
    ) -> Result<()> {
        let _no_gradients = tch::no_grad_guard();
        let on_cpu = self.device == Device::Cpu && self.gpu.is_none();
        if let Pictures::Pixels(count) = pictures
            && on_cpu
        {
            let begin = Instant::now();
            let done = self.run_pixels(*count, host.bytes(), output);
            if let Some(team) = &mut self.team {
                match done {
                    Ok(()) => team.ran(*count, begin.elapsed().as_secs_f64()),
                    Err(_) => team.failed(),
                }
            }
            return done;
        }
        if let Pictures::Frames(layouts) = pictures
            && self.input.prepare(layouts)?
            && let Some(Gpu {
                graphs: Some(graphs),
                ..
            }) = &mut self.gpu
        {
            graphs.clear();
        }
        let Computation {
            network,
            input,
            device,
            side,
            gpu,
            ..
        } = self;
        let compute = |bytes: &Tensor| -> std::result::Result<Vec<Tensor>, TchError> {
            let bytes = match pictures {
                Pictures::Pixels(count) => bytes.f_reshape([*count as i64, *side, *side, 3])?,
                Pictures::Frames(layouts) => input.pictures(bytes, layouts)?,
            };
            let outputs = network.run_tensor(&bytes)?;
            let wide = |output: Tensor| output.f_to_kind(Kind::Float)?.f_contiguous();
            outputs.into_iter().map(wide).collect()
        };
        let Some(gpu) = gpu else {
            let outputs = host.to_device(*device).and_then(|bytes| compute(&bytes));
            return copy_out(outputs.map_err(torch_error)?, output);
        };
        let outputs = match &mut gpu.graphs {
            Some(graphs) => graphs.run(pictures.clone(), &gpu.stream, *device, host, compute),
            None => host.to_device(*device).and_then(|bytes| compute(&bytes)),
        };
        gpu.copy_out(&outputs.map_err(torch_error)?, output)
    }
}

impl Computation {
    /// `count` pictures, as many at once as is fastest.
    fn run_pixels(&self, count: usize, pixels: &[u8], output: &mut Output) -> Result<()> {
        output.masks.clear();
        output.logits.clear();
        let picture = (pixels.len() / count.max(1)).max(1);
        for part in pixels.chunks(picture.saturating_mul(self.network.at_once())) {
            append(self.network.run(part.len() / picture, part)?, output)?;
        }
        Ok(())
    }
}

impl Gpu {
    /// `None` without the shim, and then a line on standard error says once what is missed.
    fn open(index: usize, graphs: bool, replays: Arc<AtomicU64>) -> Result<Option<Gpu>> {
        static SAID: std::sync::Once = std::sync::Once::new();
        let shim = match shim() {
            Ok(shim) => shim,
            Err(reason) => {
                SAID.call_once(|| {
                    eprintln!("casm: the GPU is used without graphs and pinned memory, more slowly: {reason}");
                });
                return Ok(None);
            }
        };
        let stream = Stream::open(shim, index).map_err(torch_error)?;
        Ok(Some(Gpu {
            graphs: graphs.then(|| Graphs::new(replays)),
            results: HostMemory::new(Some(shim))?,
            stream,
        }))
    }

    fn copy_out(&mut self, outputs: &[Tensor], output: &mut Output) -> Result<()> {
        let values = self.results.read_back(outputs, &self.stream)?;
        let (masks, logits) = match outputs {
            [mask, _] => values.split_at(mask.numel()),
            _ => (&[][..], values),
        };
        for (from, to) in [(masks, &mut output.masks), (logits, &mut output.logits)] {
            to.clear();
            to.extend_from_slice(from);
        }
        Ok(())
    }
}

fn copy_out(outputs: Vec<Tensor>, output: &mut Output) -> Result<()> {
    output.masks.clear();
    output.logits.clear();
    append(outputs, output)
}

/// The logits come last, after the mask of a network that makes one.
fn append(mut outputs: Vec<Tensor>, output: &mut Output) -> Result<()> {
    if let Some(logits) = outputs.pop() {
        append_values(&logits, &mut output.logits)?;
    }
    if let Some(mask) = outputs.pop() {
        append_values(&mask, &mut output.masks)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
