//! What a frame costs beside the network, at 1080p: `cargo bench --workspace --bench frame`.
//!
//! Every number is CPU time of one thread, so that busy neighbours cost little more than cache. `input` is frame → RGB pixels of 224x224, `postprocessing` is what the decoder
//! gives (56x56) → objects with their boxes, `overlay` draws them into the frame.

use std::hint::black_box;
use std::time::Duration;

use casm_core::frame::{ColorSpace, Plane, PlaneMut};
use casm_core::input::InputBuilder;
use casm_core::localizer::{LocalizeOptions, Postprocessing};
use casm_core::mask::{Binarization, Mask};
use casm_core::network::Upsample;
use casm_core::overlay::{Overlay, OverlayMode, OverlayStyle, Patch};
use casm_core::{Frame, FrameMut, Geometry, Localization, PixelFormat, Resize};
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const WIDTH: u32 = 1920;
const HEIGHT: u32 = 1080;
const SIZE: u32 = 224;

/// Formats that differ in work; the others only order bytes differently.
const FORMATS: [PixelFormat; 6] = [
    PixelFormat::Nv12,
    PixelFormat::I420,
    PixelFormat::Yuy2,
    PixelFormat::Rgb,
    PixelFormat::Bgrx,
    PixelFormat::Gray8,
];

/// CPU time of this thread.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the call writes a time to where the pointer leads.
        let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
        assert_eq!(failed, 0, "this system counts no thread's time");
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, first: &Duration, second: &Duration) -> Duration {
        *first + *second
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// A frame's memory: neither constant nor noise.
struct Memory {
    format: PixelFormat,
    planes: Vec<(Vec<u8>, usize)>,
}

impl Memory {
    fn new(format: PixelFormat) -> Memory {
        let planes = (0..format.plane_count()).map(|plane| {
            let size = format.plane_size(plane, WIDTH, HEIGHT);
            let stride = size.row_bytes().next_multiple_of(4);
            let byte = |at: usize| ((at / 7 + at / stride * 3 + 31 * plane) % 223) as u8;
            let bytes = (0..stride * size.rows as usize).map(byte).collect();
            (bytes, stride)
        });
        Memory {
            format,
            planes: planes.collect(),
        }
    }

    fn frame(&self) -> Frame<'_> {
        let planes = self.planes.iter().map(|(data, stride)| Plane {
            data,
            stride: *stride,
        });
        Frame::new(self.format, WIDTH, HEIGHT, ColorSpace::default(), planes).expect("whole planes")
    }

    fn frame_mut(&mut self) -> FrameMut<'_> {
        let planes = self.planes.iter_mut().map(|(data, stride)| PlaneMut {
            data,
            stride: *stride,
        });
        FrameMut::new(self.format, WIDTH, HEIGHT, ColorSpace::default(), planes)
            .expect("whole planes")
    }
}

/// A decoder's mask: a bright ellipse with a soft rim, a small second one, a wavy ground.
fn coarse_mask() -> Mask {
    let side = SIZE as usize / 4;
    let value = |index: usize| {
        let (x, y) = ((index % side) as f32, (index / side) as f32);
        let ellipse = |cx: f32, cy: f32, radius: f32| {
            let distance = ((x - cx) / 1.4).hypot(y - cy) / radius;
            1.0 / (1.0 + (8.0 * (distance - 1.0)).exp())
        };
        let ground = 0.05 + 0.04 * (x * 0.7).sin() * (y * 0.9).cos();
        (ground + ellipse(20.0, 26.0, 11.0) + 0.8 * ellipse(46.0, 10.0, 4.0)).min(1.0)
    };
    Mask {
        width: side,
        height: side,
        values: (0..side * side).map(value).collect(),
    }
}

fn options(max_objects: usize) -> LocalizeOptions {
    LocalizeOptions {
        resize: Resize::Stretch,
        binarization: Binarization::default(),
        min_area: 0.0,
        max_objects,
    }
}

fn input(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("input");
    let geometry = Geometry::new(Resize::Stretch, WIDTH, HEIGHT, SIZE);
    for format in FORMATS {
        let memory = Memory::new(format);
        let frame = memory.frame();
        let (mut builder, mut pixels) = (InputBuilder::default(), Vec::new());
        // As after a network's pass: neither the frame nor the stage's own memory is in a cache.
        let mut other = vec![0_u8; 64 << 20];
        group.bench_function(format!("{format}, out of the caches"), |bencher| {
            bencher.iter_batched(
                || {
                    other
                        .iter_mut()
                        .for_each(|byte| *byte = byte.wrapping_add(1))
                },
                |()| {
                    builder
                        .build(black_box(&frame), &geometry, &mut pixels)
                        .expect("its own geometry");
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format.name(), |bencher| {
            bencher.iter(|| {
                builder
                    .build(black_box(&frame), &geometry, &mut pixels)
                    .expect("its own geometry");
            });
        });
    }
}

fn postprocessing(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("postprocessing");
    let geometry = Geometry::new(Resize::Stretch, WIDTH, HEIGHT, SIZE);
    let coarse = coarse_mask();
    let logits: Vec<f32> = (0..1000).map(|class| (class as f32).sin()).collect();
    for objects in [1, 5] {
        let options = options(objects);
        let mut stage = Postprocessing::default();
        let mut localization = Localization::default();
        group.bench_function(format!("{objects} objects"), |bencher| {
            bencher.iter(|| {
                let values = &black_box(&coarse).values;
                let (size, mask) = ((coarse.width, coarse.height), &mut localization.mask);
                stage.upsample(values, size, 4, Upsample::Bilinear, mask);
                stage.localize(&logits, &geometry, &options, &mut localization);
            });
        });
    }
}

fn overlay(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("overlay");
    let geometry = Geometry::new(Resize::Stretch, WIDTH, HEIGHT, SIZE);
    let mask = coarse_mask().upsample(4, Upsample::Bilinear);
    let localization = Localization::from_mask(mask, &[], &geometry, &options(1));
    for format in FORMATS {
        let mut memory = Memory::new(format);
        let mut frame = memory.frame_mut();
        for mode in [OverlayMode::Heatmap, OverlayMode::Contour, OverlayMode::Box] {
            let style = OverlayStyle {
                mode,
                ..OverlayStyle::default()
            };
            let mut overlay = Overlay::default();
            group.bench_function(format!("{mode:?} {format}"), |bencher| {
                bencher.iter(|| {
                    overlay
                        .draw(&mut frame, black_box(&localization), &geometry, &style)
                        .expect("its own geometry");
                });
            });
        }
    }
}

fn overlay_beside(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("overlay beside");
    let geometry = Geometry::new(Resize::Stretch, WIDTH, HEIGHT, SIZE);
    let mask = coarse_mask().upsample(4, Upsample::Bilinear);
    let localization = Localization::from_mask(mask, &[], &geometry, &options(1));
    for mode in [OverlayMode::Heatmap, OverlayMode::Contour, OverlayMode::Box] {
        let style = OverlayStyle {
            mode,
            ..OverlayStyle::default()
        };
        let (mut overlay, mut patches, mut memory) = (Overlay::default(), Vec::new(), Vec::new());
        group.bench_function(format!("{mode:?}"), |bencher| {
            bencher.iter(|| {
                memory.extend(patches.drain(..).map(|patch: Patch| patch.pixels));
                let spare = || memory.pop().unwrap_or_default();
                overlay
                    .render(
                        black_box(&localization),
                        &geometry,
                        &style,
                        spare,
                        &mut patches,
                    )
                    .expect("a frame");
            });
        });
    }
}

criterion_group! {
    name = frame;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200))
        .sample_size(30)
        .without_plots();
    targets = input, postprocessing, overlay, overlay_beside
}
criterion_main!(frame);
