//! Many frames, and the memory meanwhile; `CASM_SOAK_POINTS` names a file for the last pipeline's points.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use casm_tests::gst::{named, pipeline, resident};
use casm_tests::machine::alone;
use casm_tests::soak::{count, heap, report, slope};
use gst::prelude::*;

/// Name and pipeline; `FRAMES` becomes the number.
const PIPELINES: [(&str, &str); 3] = [
    (
        "NV12, contour",
        "videotestsrc pattern=ball num-buffers=FRAMES ! video/x-raw,format=NV12,width=320,height=240 ! \
         casmesaliency name=c overlay=contour ! fakesink",
    ),
    (
        "RGB, every second frame, objects with numbers, messages, heat map, two threads",
        "videotestsrc pattern=ball num-buffers=FRAMES ! video/x-raw,format=RGB,width=322,height=181 ! queue ! \
         casmesaliency name=c overlay=heatmap inference-interval=2 max-objects=4 tracking=true mask-smoothing=0.5 \
         post-messages=true ! queue ! fakesink",
    ),
    (
        "I420 through a tee, thresholded at the mean, converted, two branches",
        "videotestsrc pattern=smpte num-buffers=FRAMES ! video/x-raw,format=I420,width=480,height=270 ! tee name=t \
         t. ! queue ! casmesaliency name=c binarization=mean overlay=box ! videoconvert ! video/x-raw,format=BGRx ! fakesink \
         t. ! queue ! fakesink",
    ),
];

/// Frames that count as warm-up, when allocators and thread pools get what they keep: a quarter, and at least these.
const WARM_UP: u64 = 60;

/// Most that memory may grow in all frames after warm-up, as the slope tells. A leak of 50 bytes a frame makes more
/// in 100,000 frames.
const TOLERANCE_KIB: f64 = 4096.0;

/// Longest time without a frame.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn memory_does_not_grow_with_frames() {
    let _machine = alone();
    let frames = count("CASM_SOAK_FRAMES", 160);
    assert!(
        frames >= 2 * WARM_UP,
        "CASM_SOAK_FRAMES={frames}, but must be {} or more: the first {WARM_UP} are not measured",
        2 * WARM_UP
    );
    for (name, description) in PIPELINES {
        let playing = pipeline(&description.replace("FRAMES", &frames.to_string()));
        let warm_up = (frames / 4).max(WARM_UP);
        let step = (frames / 200).max(1);
        // Room for all, or it would grow in the heap that is measured; written once, so that its pages are resident before.
        let mut points = vec![(1.0, 1.0, 1.0); 512];
        points.clear();
        let (done, points) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(points)));
        let (counted, measured) = (Arc::clone(&done), Arc::clone(&points));
        let pad = named(&playing, "c").static_pad("src").expect("it has one");
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let number = counted.fetch_add(1, Ordering::SeqCst);
            if number.is_multiple_of(step) && number >= warm_up {
                let mut points = measured.lock().expect("nobody panics with it");
                points.push((number as f64, resident() as f64, heap() as f64));
            }
            gst::PadProbeReturn::Ok
        });
        playing.set_state(gst::State::Playing).expect("it starts");
        let bus = playing.bus().expect("a pipeline has a bus");
        let patience = gst::ClockTime::try_from(PATIENCE).expect("short");
        let mut last = 0;
        loop {
            // Element messages are read as an application would, or they would pile up on the bus.
            match bus.timed_pop(patience) {
                Some(message) => match message.view() {
                    gst::MessageView::Eos(_) => break,
                    gst::MessageView::Error(error) => panic!("{name}: {error:?}"),
                    _ => {}
                },
                None => {
                    let now = done.load(Ordering::SeqCst);
                    assert!(
                        now > last,
                        "{name}: nothing after frame {now} for {PATIENCE:?}"
                    );
                    last = now;
                }
            }
        }
        playing.set_state(gst::State::Null).expect("it stops");
        assert_eq!(done.load(Ordering::SeqCst), frames, "{name}: frames lost");
        let points = points.lock().expect("nobody panics with it");
        // To see whether memory drifts or has taken a step.
        if let Ok(path) = std::env::var("CASM_SOAK_POINTS") {
            let lines = points.iter().map(|point| format!("{name}; {point:?}\n"));
            std::fs::write(&path, lines.collect::<String>()).expect("the points can be written");
        }
        let of = |value: fn(&(f64, f64, f64)) -> f64| -> Vec<(f64, f64)> {
            points.iter().map(|point| (point.0, value(point))).collect()
        };
        let (resident, error) = slope(&of(|point| point.1));
        let (used, used_error) = slope(&of(|point| point.2));
        let grown = resident * frames.saturating_sub(warm_up) as f64;
        report(
            &format!("frames: {name}"),
            frames,
            &format!(
                "resident memory {:.0} MiB, slope {:+.1} ± {:.1} bytes a frame; heap in use {used:+.2} ± {used_error:.2}",
                points.last().map_or(0.0, |point| point.1) / 1024.0,
                resident * 1024.0,
                error * 1024.0
            ),
        );
        assert!(grown < TOLERANCE_KIB, "{name}: {grown:.0} KiB more");
    }
}
