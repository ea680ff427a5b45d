//! After warm-up, the element allocates next to nothing for a frame: of its own, the few bytes through which GStreamer
//! gives back a mask's memory, and what the bindings need for names. What GStreamer itself allocates for metadata is C's and
//! not counted here, and the network is a stand-in.
//!
//! A program of its own, because it counts what all threads ask for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use casm::engine::{EngineDescription, LaidFrame, Output};
use casm::{Checkpoint, Engine, PixelFormat, Result};
use casm_tests::composition::show_overlays;
use casm_tests::gst::{harness, info, mask, named, pipeline, stamp};
use casm_tests::machine::alone;
use casm_tests::soak::{heap, report, slope};
use gst::prelude::*;
use gst_video::VideoRegionOfInterestMeta;
use gstcasm::SharedEngine;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, which counts while it is asked to.
struct Counting;

fn count(size: usize) {
    if COUNTS.load(SeqCst) {
        ALLOCATIONS.fetch_add(1, SeqCst);
        BYTES.fetch_add(size, SeqCst);
        LARGEST.fetch_max(size, SeqCst);
    }
}

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Finds blobs that move from run to run.
struct Blobs {
    description: EngineDescription,
    classes: usize,
    runs: usize,
}

impl Engine for Blobs {
    fn description(&self) -> &EngineDescription {
        &self.description
    }

    fn run(&mut self, batch: usize, _pixels: &[u8], output: &mut Output) -> Result<()> {
        self.runs += 1;
        output.masks.clear();
        output.masks.extend((0..batch * 56 * 56).map(|index| {
            let (x, y) = ((index % 56 + self.runs % 7) % 28, index / 56 % 28);
            let apart = x.abs_diff(14).pow(2) + y.abs_diff(14).pow(2);
            if apart < 40 + index / 56 % 56 {
                0.9
            } else {
                0.1
            }
        }));
        output.logits.clear();
        output.logits.resize(batch * self.classes, 0.5);
        Ok(())
    }

    fn run_frames(&mut self, frames: &[LaidFrame<'_>], output: &mut Output) -> Result<()> {
        self.run(frames.len(), &[], output)
    }
}

const SIZE: (u32, u32) = (320, 240);

/// The engine under this name; if it prepares its input, it is given frames as they are.
fn blobs(name: &str, prepares_input: bool) -> SharedEngine {
    casm_tests::gst::init();
    let checkpoint = Checkpoint::built_in().expect("there is a built-in model");
    let header = checkpoint.header().clone();
    let engine = Blobs {
        description: EngineDescription {
            prepares_input,
            ..EngineDescription::default()
        },
        classes: header.network.classes(),
        runs: 0,
    };
    SharedEngine::register(name, header, Box::new(engine), 4, Duration::ZERO).expect("it computes")
}

/// A frame with two regions of interest.
fn frame(number: u64) -> gst::Buffer {
    let bytes = info(PixelFormat::Nv12, SIZE.0, SIZE.1).size();
    let mut buffer = gst::Buffer::from_mut_slice(vec![(number % 200) as u8; bytes]);
    stamp(&mut buffer, number);
    for x in [20, 180] {
        VideoRegionOfInterestMeta::add(buffer.make_mut(), "thing", (x, 40, 100, 120))
            .set_id(1 + x as i32);
    }
    buffer
}

#[test]
fn a_frame_allocates_next_to_nothing_after_warm_up() {
    const FRAMES: u64 = 64;
    let _machine = alone();
    let _shared = [blobs("blobs", false), blobs("frames", true)];
    for properties in [
        &[][..],
        &[("overlay", "contour"), ("max-objects", "4")],
        &[
            ("overlay", "heatmap"),
            ("tracking", "true"),
            ("mask-smoothing", "0.5"),
            ("max-objects", "4"),
        ],
        &[("async-depth", "4"), ("inference-interval", "2")],
        &[
            ("roi-mode", "upstream"),
            ("max-objects", "4"),
            ("overlay", "box"),
        ],
        &[("model-instance-id", "frames"), ("overlay", "box")],
        // Beside the pixels: see below. A rectangle has 200 bytes of the bindings' own, a box four rectangles.
        &[("overlay", "heatmap"), ("overlay-opacity", "0.5")],
        &[("overlay", "box"), ("overlay-opacity", "0.5")],
        &[("model-instance-id", "frames"), ("async-depth", "4")],
    ] {
        let mut all = vec![("model-instance-id", "blobs")];
        // The last value is the one that holds.
        all.extend_from_slice(properties);
        let mut harness = harness(&all, &info(PixelFormat::Nv12, SIZE.0, SIZE.1));
        if properties.contains(&("overlay-opacity", "0.5")) {
            show_overlays(&harness);
        }
        let mut frames = (0..2 * FRAMES).map(frame).collect::<Vec<_>>().into_iter();
        let mut objects = 0;
        for input in frames.by_ref().take(FRAMES as usize) {
            let result = harness.push_and_pull(input).expect("a frame");
            objects = mask(&result).objects.len();
        }
        for counter in [&ALLOCATIONS, &BYTES, &LARGEST] {
            counter.store(0, SeqCst);
        }
        COUNTS.store(true, SeqCst);
        for input in frames {
            drop(harness.push_and_pull(input).expect("a frame"));
        }
        COUNTS.store(false, SeqCst);
        let each = |counter: &AtomicUsize| counter.load(SeqCst) as f64 / FRAMES as f64;
        let (allocations, bytes) = (each(&ALLOCATIONS), each(&BYTES));
        let largest = LARGEST.load(SeqCst);
        println!(
            "{properties:?}, {objects} objects: {allocations:.1} allocations of {bytes:.0} bytes a frame, the largest {largest}"
        );
        // A mask alone would be 200,704 bytes, a picture 150,528.
        assert!(largest <= 1024 && bytes < 2048.0, "{properties:?}");
    }
}

/// What is asked of the C library's allocator by all of GStreamer and the element, and not given back.
#[test]
fn the_heap_in_use_does_not_grow() {
    let _machine = alone();
    let _shared = blobs("blobs", false);
    let frames = casm_tests::soak::count("CASM_SOAK_STAND_IN_FRAMES", 4_000);
    for (name, properties) in [
        ("contour", "overlay=contour"),
        (
            "asynchronous, tracking",
            "async-depth=4 tracking=true max-objects=4 mask-smoothing=0.5",
        ),
    ] {
        let playing = pipeline(&format!(
            "videotestsrc pattern=ball num-buffers={frames} ! video/x-raw,format=NV12,width=64,height=48 \
             ! casmesaliency name=c model-instance-id=blobs {properties} ! fakesink"
        ));
        let points = Arc::new(Mutex::new(Vec::with_capacity(1_000)));
        let pad = named(&playing, "c").static_pad("src").expect("it has one");
        let (measured, passed) = (points.clone(), AtomicUsize::new(0));
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let number = passed.fetch_add(1, SeqCst) as u64 + 1;
            if number.is_multiple_of((frames / 500).max(1)) && number > frames / 4 {
                let mut points = measured.lock().expect("no panic");
                points.push((number as f64, heap() as f64));
            }
            gst::PadProbeReturn::Ok
        });
        playing.set_state(gst::State::Playing).expect("it starts");
        let bus = playing.bus().expect("a pipeline has a bus");
        // As long as it takes.
        let end = [gst::MessageType::Eos, gst::MessageType::Error];
        let end = bus.timed_pop_filtered(gst::ClockTime::NONE, &end);
        playing.set_state(gst::State::Null).expect("it stops");
        assert!(end.is_some_and(|end| end.type_() == gst::MessageType::Eos));
        let points = points.lock().expect("no panic");
        let (slope, error) = slope(&points);
        report(
            &format!("frames with a stand-in for the network: {name}"),
            frames,
            &format!("heap in use {slope:+.3} ± {error:.3} bytes a frame"),
        );
        // The smallest thing that could be lost takes 24 bytes; once in ten frames would be seen.
        assert!(slope < 2.4, "{name}: {slope} ± {error}");
    }
}
