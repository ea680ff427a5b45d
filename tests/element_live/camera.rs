//! Sources with few buffers, as cameras have: the element must not keep them.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use casm_tests::engine::{register, register_for_frames};
use casm_tests::gst::{count, named, pipeline, stamp, wait};
use casm_tests::machine::{alone, beside};
use gst::prelude::*;

use crate::{Playing, SIZE, eventually, small};

/// As many as V4L2 drivers are usually asked for.
const BUFFERS: u32 = 4;

/// Memory of a camera's, and how much of it is away.
struct Lent(Vec<u8>, Arc<AtomicUsize>);

impl AsMut<[u8]> for Lent {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.1.fetch_sub(1, SeqCst);
    }
}

/// By hand: with `async-depth=N`, N frames inside and one at the door; without, the one that is being looked at.
#[test]
fn no_more_frames_are_held_than_the_documentation_says() {
    let _machine = beside();
    let _shared = [
        register("pixels held", 2, 1, Duration::ZERO),
        register_for_frames("frames held", 2, 1, Duration::ZERO),
    ];
    for (id, depth) in ["pixels held", "frames held"]
        .into_iter()
        .flat_map(|id| [0, 1, 4].map(|depth| (id, depth)))
    {
        let mut harness = small(&[
            ("model-instance-id", id),
            ("async-depth", &depth.to_string()),
            ("overlay", "box"),
        ]);
        harness.set_drop_buffers(true);
        let (away, mut most) = (Arc::new(AtomicUsize::new(0)), 0);
        for number in 0..40 {
            most = most.max(away.fetch_add(1, SeqCst) + 1);
            let memory = vec![200; (SIZE.0 * SIZE.1) as usize];
            let mut frame = gst::Buffer::from_mut_slice(Lent(memory, away.clone()));
            stamp(&mut frame, number);
            harness.push(frame).expect("it is taken");
        }
        println!("{id}, async-depth={depth}: {most} held");
        assert_eq!(most, depth + 1, "{id}, async-depth={depth}");
        // None is kept, however long nothing comes.
        eventually("the last frame's end", || away.load(SeqCst) == 0);
    }
}

/// Leaves a source no more than [`BUFFERS`] buffers; what it was asked for.
fn limit(source: &gst::Element) -> Arc<AtomicUsize> {
    let asked = Arc::new(AtomicUsize::new(0));
    let pad = source.static_pad("src").expect("it has one");
    let answer = gst::PadProbeType::QUERY_DOWNSTREAM | gst::PadProbeType::PULL;
    let wanted = asked.clone();
    pad.add_probe(answer, move |_, info| {
        if let Some(query) = info.query_mut()
            && let gst::QueryViewMut::Allocation(query) = query.view_mut()
        {
            let pools: Vec<_> = query.allocation_pools().collect();
            for (_, _, min, _) in &pools {
                wanted.fetch_max(*min as usize, SeqCst);
                query.remove_nth_allocation_pool(0);
            }
            let size = SIZE.0 * SIZE.1;
            query.add_allocation_pool(gst::BufferPool::NONE, size, BUFFERS, BUFFERS);
        }
        gst::PadProbeReturn::Ok
    });
    asked
}

/// The places in memory where frames on a pad have been.
fn places(element: &gst::Element) -> Arc<Mutex<BTreeSet<usize>>> {
    let places: Arc<Mutex<BTreeSet<usize>>> = Arc::default();
    let seen = places.clone();
    let pad = element.static_pad("src").expect("it has one");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(map) = info.buffer().and_then(|buffer| buffer.map_readable().ok()) {
            seen.lock().expect("no panic").insert(map.as_ptr() as usize);
        }
        gst::PadProbeReturn::Ok
    });
    places
}

/// Frames of 20 ms before an inference of 5: nothing else can make the source wait than buffers that do not come back.
/// Before one of 30, with every frame wanted, all buffers are inside, and frames come at that pace.
#[test]
fn a_live_source_with_four_buffers_is_never_starved() {
    const FRAMES: u64 = 60;
    let _machine = alone();
    let (_shared, behaviour) = register("driver", 5, 2, Duration::ZERO);
    // Deeper than there are buffers, too: a frame does not wait for those behind it.
    for (depth, inference) in [(0, 5), (2, 5), (8, 5), (8, 30)] {
        behaviour.take(inference);
        let playing = Playing(pipeline(&format!(
            "videotestsrc name=s is-live=true num-buffers={FRAMES} \
             ! video/x-raw,format=GRAY8,width=32,height=32,framerate=50/1 \
             ! casmesaliency name=c model-instance-id=driver async-depth={depth} overlay=box late-policy=block \
             ! queue max-size-buffers=1 ! fakesink sync=true"
        )));
        let source = named(&playing, "s");
        let (asked, places) = (limit(&source), places(&source));
        let begin = Instant::now();
        playing.set_state(gst::State::Playing).expect("it starts");
        wait(&playing, |_| ()).expect("it ends");
        let (took, element) = (begin.elapsed(), named(&playing, "c"));
        let counts = ["frames", "inferred"].map(|field| count(&element, field));
        let places = places.lock().expect("no panic").len() as u32;
        let what = format!(
            "async-depth={depth}, {inference} ms: {counts:?} frames and inferences in {took:?}"
        );
        println!("{what}, {places} buffers");
        assert_eq!(counts, [FRAMES; 2], "{what}");
        assert!(places <= BUFFERS, "{what}: {places} buffers");
        if inference == 30 {
            assert_eq!(places, BUFFERS, "{what}");
        }
        // 1.2 s of frames or 1.8 of inferences, and the start; a machine that does other things as well.
        assert!(took < Duration::from_secs(5), "{what}");
        // Sources that can have more hear how many.
        let asks = if depth == 0 { 0 } else { depth + 1 };
        assert!(asked.load(SeqCst) >= asks, "{what}: {asked:?}");
        playing.set_state(gst::State::Null).expect("it stops");
    }
}

/// The camera that `CASM_V4L2_DEVICE` names, or the kernel's virtual one (`modprobe vivid`), if there is either.
fn camera() -> Option<String> {
    if let Ok(device) = std::env::var("CASM_V4L2_DEVICE") {
        return Some(device);
    }
    for entry in fs::read_dir("/sys/class/video4linux").ok()?.flatten() {
        let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        let device = format!("/dev/{}", entry.file_name().to_string_lossy());
        if name.contains("vivid") && name.contains("vid-cap") && fs::metadata(&device).is_ok() {
            return Some(device);
        }
    }
    None
}

#[test]
fn a_v4l2_camera_is_never_starved() {
    const FRAMES: u64 = 60;
    casm_tests::gst::init();
    let Some(device) = camera() else {
        eprintln!(
            "skipped: no camera; set CASM_V4L2_DEVICE, or see docs/reliability.md for a virtual one"
        );
        return;
    };
    if gst::ElementFactory::find("v4l2src").is_none() {
        eprintln!("skipped: GStreamer has no v4l2src here (gstreamer1.0-plugins-good)");
        return;
    }
    let _machine = alone();
    let (_shared, _) = register("camera", 5, 2, Duration::ZERO);
    for depth in [0, 2, 8] {
        let playing = Playing(pipeline(&format!(
            "v4l2src device={device} num-buffers={FRAMES} ! video/x-raw ! videoconvert \
             ! casmesaliency name=c model-instance-id=camera async-depth={depth} \
             ! queue max-size-buffers=1 ! fakesink sync=true"
        )));
        let begin = Instant::now();
        playing.set_state(gst::State::Playing).expect("it starts");
        wait(&playing, |_| ()).unwrap_or_else(|error| panic!("{device}: {error}"));
        let element = named(&playing, "c");
        let counts = ["frames", "inferred"].map(|field| count(&element, field));
        println!(
            "{device}, async-depth={depth}: {counts:?} in {:?}",
            begin.elapsed()
        );
        assert_eq!(counts[0], FRAMES, "{device}, async-depth={depth}");
        assert!(counts[1] > 0);
        playing.set_state(gst::State::Null).expect("it stops");
    }
}
