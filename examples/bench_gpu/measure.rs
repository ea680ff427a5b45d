//! One network in one way: times and rates.

use std::fmt;
use std::time::Instant;

use anyhow::{Context, Result};
use casm::engine::{Engine, LaidFrame, Output};
use casm::frame::{ColorSpace, Plane};
use casm::{
    Checkpoint, Device, EngineOptions, Frame, Geometry, GpuOptions, PixelFormat, Precision, Resize,
    TorchEngine,
};

/// Distinct pictures and frames, in turn.
const DISTINCT: usize = 4;
/// Batches before anything is measured: a graph is recorded with the third.
const WARM_UP: usize = 5;

/// A way to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Number format.
    pub precision: Precision,
    /// Whether batches are recorded as CUDA graphs.
    pub graphs: bool,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precision = format!("{:?}", self.precision).to_lowercase();
        let graphs = if self.graphs { "graph" } else { "eager" };
        write!(f, "{precision}, {graphs}")
    }
}

impl Case {
    /// All of a device.
    pub fn all(device: Device) -> Vec<Case> {
        let graphs: &[bool] = match device {
            Device::Cpu => &[false],
            _ => &[true, false],
        };
        let precisions = [Precision::Bf16, Precision::F32];
        let cases = precisions.into_iter().flat_map(|precision| {
            let case = move |&graphs| Case { precision, graphs };
            graphs.iter().map(case)
        });
        cases.collect()
    }
}

/// How much is measured.
pub struct Effort {
    /// Of each number.
    seconds: f64,
    batches: Vec<usize>,
    /// Of the frames.
    size: (u32, u32),
}

impl Effort {
    /// For numbers.
    pub fn full(seconds: f64) -> Effort {
        Effort {
            seconds,
            batches: vec![1, 8, 32, 64],
            size: (1920, 1080),
        }
    }

    /// For tests.
    pub fn smoke() -> Effort {
        Effort {
            seconds: 0.001,
            batches: vec![1, 2],
            size: (64, 48),
        }
    }
}

/// Milliseconds of single calls.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// The middle one.
    pub p50: f64,
    /// Nine of ten are below.
    pub p90: f64,
    /// 99 of a hundred are below.
    pub p99: f64,
}

/// What was measured.
pub struct Measured {
    /// In which way.
    pub case: Case,
    /// From a frame in the CPU's memory to its mask there.
    pub frame: Latency,
    /// From a picture at the network's size to its mask.
    pub picture: Latency,
    /// Frames a second, by batch size.
    pub rates: Vec<(usize, f64)>,
    /// Frames a second of two engines at the largest batch, in two threads.
    pub pair: f64,
    /// Whether batches did run as graphs.
    pub replayed: bool,
}

/// Measures one way.
pub fn measure(
    checkpoint: &Checkpoint,
    device: Device,
    case: Case,
    effort: &Effort,
) -> Result<Measured> {
    let open = || -> Result<TorchEngine> {
        let options = EngineOptions {
            device,
            precision: case.precision,
            ..EngineOptions::default()
        };
        let gpu = GpuOptions {
            graphs: case.graphs,
            device_input: Some(true),
        };
        Ok(TorchEngine::open_with(checkpoint, &options, gpu)?)
    };
    let side = checkpoint.header().input.size;
    let picture_bytes = (side * side * 3) as usize;
    let mut engine = open()?;
    let mut output = Output::default();

    let frames: Vec<Vec<u8>> = (0..DISTINCT)
        .map(|index| pattern(frame_bytes(effort.size), index))
        .collect();
    let laid = frames
        .iter()
        .map(|bytes| lay(bytes, effort.size, side))
        .collect::<Result<Vec<_>>>()?;
    let frame = latency(effort, |index| {
        let frame = std::slice::from_ref(&laid[index % DISTINCT]);
        Ok(engine.run_frames(frame, &mut output)?)
    })?;
    let pictures: Vec<Vec<u8>> = (0..DISTINCT)
        .map(|index| pattern(picture_bytes, index))
        .collect();
    let picture = latency(effort, |index| {
        Ok(engine.run(1, &pictures[index % DISTINCT], &mut output)?)
    })?;
    let mut rates = Vec::new();
    for &batch in &effort.batches {
        let pixels = pattern(batch * picture_bytes, batch);
        let rate = rate(effort, batch, &mut engine, &pixels)?;
        rates.push((batch, rate));
    }
    let replayed = engine.replays() > 0;
    let batch = effort.batches.last().copied().unwrap_or(1);
    let pair = pair(effort, batch, [engine, open()?], picture_bytes)?;
    Ok(Measured {
        case,
        frame,
        picture,
        rates,
        pair,
        replayed,
    })
}

/// Times of single calls, one after the other.
fn latency(effort: &Effort, mut call: impl FnMut(usize) -> Result<()>) -> Result<Latency> {
    for index in 0..WARM_UP {
        call(index)?;
    }
    let mut times = Vec::new();
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < effort.seconds || times.is_empty() {
        let begin = Instant::now();
        call(times.len())?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    // The nearest rank.
    let at = |share: f64| times[(share * times.len() as f64).ceil() as usize - 1];
    Ok(Latency {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
    })
}

/// Frames a second of batches one after the other.
fn rate(effort: &Effort, batch: usize, engine: &mut TorchEngine, pixels: &[u8]) -> Result<f64> {
    let mut output = Output::default();
    for _ in 0..WARM_UP {
        engine.run(batch, pixels, &mut output)?;
    }
    let (begin, mut frames) = (Instant::now(), 0);
    while frames == 0 || begin.elapsed().as_secs_f64() < effort.seconds {
        engine.run(batch, pixels, &mut output)?;
        frames += batch;
    }
    Ok(frames as f64 / begin.elapsed().as_secs_f64())
}

/// Frames a second of two engines together: while one copies, the other may compute.
fn pair(
    effort: &Effort,
    batch: usize,
    engines: [TorchEngine; 2],
    picture_bytes: usize,
) -> Result<f64> {
    let pixels = pattern(batch * picture_bytes, 1);
    let rates = std::thread::scope(|scope| {
        let threads = engines.map(|mut engine| {
            let pixels = &pixels;
            scope.spawn(move || rate(effort, batch, &mut engine, pixels))
        });
        threads.map(|thread| thread.join().ok())
    });
    let mut sum = 0.0;
    for rate in rates {
        sum += rate.context("a measurement panicked")??;
    }
    Ok(sum)
}

fn frame_bytes((width, height): (u32, u32)) -> usize {
    let planes = (0..2).map(|plane| PixelFormat::Nv12.plane_size(plane, width, height));
    planes
        .map(|size| size.row_bytes() * size.rows as usize)
        .sum()
}

fn lay(bytes: &[u8], (width, height): (u32, u32), side: u32) -> Result<LaidFrame<'_>> {
    let stride = width as usize;
    let (luma, chroma) = bytes.split_at(stride * height as usize);
    let planes = [luma, chroma].map(|data| Plane { data, stride });
    Ok(LaidFrame {
        frame: Frame::new(
            PixelFormat::Nv12,
            width,
            height,
            ColorSpace::default(),
            planes,
        )?,
        geometry: Geometry::new(Resize::Stretch, width, height, side),
    })
}

fn pattern(length: usize, index: usize) -> Vec<u8> {
    (0..length)
        .map(|at| ((at / 7 + at / 1280 * 3 + 31 * index) % 223) as u8)
        .collect()
}
