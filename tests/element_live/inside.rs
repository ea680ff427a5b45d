//! What frames inside keep others from: buffers that are not wanted any more, locks while a frame is prepared.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use casm_tests::engine::{register, register_for_frames};
use casm_tests::machine::beside;
use gst::glib;
use gst_video::ffi::GstVideoMeta;
use gst_video::{VideoFormat, VideoFrameFlags, VideoMeta};

use crate::{SIZE, eventually, grey, record, small};

fn inside(id: &str) -> gst_check::Harness {
    small(&[("model-instance-id", id), ("async-depth", "8")])
}

/// A pool has its buffers back although the device hangs: all but the one that the device reads.
#[test]
fn frames_that_are_given_up_are_let_go_of_at_once() {
    let _machine = beside();
    let (_shared, behaviour) = register_for_frames("given up", 0, 1, Duration::ZERO);
    let mut harness = inside("given up");
    harness.push(grey(0, 50)).expect("it is taken in");
    harness.pull().expect("it comes out");
    behaviour.hang(true);
    let mut frames: Vec<gst::Buffer> = (1..6).map(|number| grey(number, 50)).collect();
    for frame in &frames {
        harness.push(frame.clone()).expect("it is taken in");
    }
    eventually("the first at work", || behaviour.frames() == 2);
    let mut free = || -> Vec<bool> {
        let frames = frames.iter_mut();
        // Nobody else has it.
        frames.map(|frame| frame.get_mut().is_some()).collect()
    };
    assert_eq!(free(), [false; 5]);
    assert!(harness.push_event(gst::event::FlushStart::new()));
    assert_eq!(free()[1..], [true; 4]);
    assert!(!free()[0], "the device reads it");
    behaviour.hang(false);
    eventually("the end of the inference", || free()[0]);
    assert_eq!(behaviour.frames(), 2, "the others are not computed");
}

/// A frame that is mapped only when the gate opens: a resize that takes its time.
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
    /// Somebody waits before it.
    reached: AtomicBool,
    /// How frames are mapped otherwise.
    usual: Mutex<Option<Map>>,
}

type Map = unsafe extern "C" fn(
    *mut GstVideoMeta,
    u32,
    *mut gst::ffi::GstMapInfo,
    *mut glib::ffi::gpointer,
    *mut i32,
    gst::ffi::GstMapFlags,
) -> glib::ffi::gboolean;

static GATE: Gate = Gate {
    open: Mutex::new(false),
    changed: Condvar::new(),
    reached: AtomicBool::new(false),
    usual: Mutex::new(None),
};

unsafe extern "C" fn map_later(
    meta: *mut GstVideoMeta,
    plane: u32,
    info: *mut gst::ffi::GstMapInfo,
    data: *mut glib::ffi::gpointer,
    stride: *mut i32,
    flags: gst::ffi::GstMapFlags,
) -> glib::ffi::gboolean {
    GATE.reached.store(true, Ordering::SeqCst);
    let open = GATE.open.lock().expect("no panic");
    drop(
        GATE.changed
            .wait_while(open, |open| !*open)
            .expect("no panic"),
    );
    let usual = *GATE.usual.lock().expect("no panic");
    // SAFETY: the arguments are those of GStreamer's call, for the function that it would have called.
    usual.map_or(0, |usual| unsafe {
        usual(meta, plane, info, data, stride, flags)
    })
}

/// Opens the gate, also where the test fails.
struct Opening;

impl Drop for Opening {
    fn drop(&mut self) {
        *GATE.open.lock().expect("no panic") = true;
        GATE.changed.notify_all();
    }
}

#[test]
fn a_frame_leaves_while_the_next_one_is_resized() {
    let _machine = beside();
    let (_shared, behaviour) = register("resizing", 0, 1, Duration::ZERO);
    let mut harness = inside("resizing");
    let left = record(&harness.element().expect("it has one"), "src");
    harness.push(grey(0, 50)).expect("it is taken in");
    harness.pull().expect("it comes out");
    behaviour.hang(true);
    harness.push(grey(1, 50)).expect("it is taken in");
    let mut slow = grey(2, 50);
    {
        let format = VideoFormat::Gray8;
        let mut meta = VideoMeta::add(
            slow.make_mut(),
            VideoFrameFlags::empty(),
            format,
            SIZE.0,
            SIZE.1,
        )
        .expect("it fits");
        let meta: *mut VideoMeta = &mut *meta;
        // SAFETY: the wrapper is transparent over the C structure, which nobody else has yet.
        let meta = unsafe { &mut *meta.cast::<GstVideoMeta>() };
        *GATE.usual.lock().expect("no panic") = meta.map.replace(map_later);
    }
    std::thread::scope(|scope| {
        let opening = Opening;
        let pushed = scope.spawn(|| harness.push(slow));
        eventually("the resize", || GATE.reached.load(Ordering::SeqCst));
        behaviour.hang(false);
        eventually("frame 1 outside", || {
            left.lock().expect("no panic").len() == 2
        });
        assert!(!pushed.is_finished());
        drop(opening);
        pushed.join().expect("no panic").expect("it is taken in");
    });
    for number in 1..=2 {
        let frame = harness.pull().expect("it comes out");
        assert_eq!(frame.pts(), grey(number, 0).pts());
    }
}
