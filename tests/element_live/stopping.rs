//! The asynchronous task from start to stop, and what may come at a bad moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use casm_tests::engine::register;
use casm_tests::gst::mask;
use gst::prelude::*;
use gst_check::Harness;

use crate::{beside, eventually, grey, small};

fn inside(id: &str, depth: &str) -> Harness {
    small(&[("model-instance-id", id), ("async-depth", depth)])
}

/// The element of a harness, and one of its pads.
fn element(harness: &Harness) -> gst::Element {
    harness.element().expect("it has one")
}

fn pad(harness: &Harness, name: &str) -> gst::Pad {
    element(harness).static_pad(name).expect("it has both")
}

#[test]
fn a_stop_ends_a_task_that_a_probe_holds() {
    let _machine = beside();
    let (_shared, _) = register("held task", 0, 1, Duration::ZERO);
    let mut harness = inside("held task", "4");
    harness.push(grey(0, 50)).expect("it is taken in");
    harness.pull().expect("it comes out");
    let (element, source) = (element(&harness), pad(&harness, "src"));
    let held = Arc::new(AtomicBool::new(false));
    // As an application that blocks a pad to change what is behind it.
    let mask = gst::PadProbeType::BLOCK | gst::PadProbeType::BUFFER;
    let probe = source.add_probe(mask, {
        let held = held.clone();
        move |_, _| {
            held.store(true, Ordering::SeqCst);
            gst::PadProbeReturn::Ok
        }
    });
    for number in 1..4 {
        harness.push(grey(number, 50)).expect("it is taken in");
    }
    eventually("the probe", || held.load(Ordering::SeqCst));
    let begin = Instant::now();
    element.set_state(gst::State::Null).expect("it stops");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(source.task_state(), gst::TaskState::Stopped);
    // And starts again, without what was inside.
    source.remove_probe(probe.expect("it was added"));
    element.set_state(gst::State::Paused).expect("it starts");
    harness.play();
    harness.push_event(gst::event::StreamStart::new("again"));
    harness.set_src_caps(casm_tests::gst::caps(&casm_tests::gst::info(
        casm::PixelFormat::Gray8,
        crate::SIZE.0,
        crate::SIZE.1,
    )));
    harness.push(grey(9, 50)).expect("it is taken in");
    let frame = harness.pull().expect("it comes out");
    assert_eq!(frame.pts(), grey(9, 50).pts());
}

/// A streaming thread that is inside when the task is stopped starts it again: it waits in the application, which it
/// tells that its frame is late, and finds no task when it goes on.
#[test]
fn a_task_that_is_started_during_the_stop_ends_with_it() {
    let _machine = beside();
    let (_shared, _) = register("late task", 0, 1, Duration::ZERO);
    let mut harness = inside("late task", "4");
    let (element, source) = (element(&harness), pad(&harness, "src"));
    harness.push(grey(0, 50)).expect("it is taken in");
    harness.pull().expect("it comes out");
    let (told, go_on) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(())));
    let bus = gst::Bus::new();
    bus.set_sync_handler({
        let (told, go_on) = (told.clone(), go_on.clone());
        move |_, message| {
            if message.type_() == gst::MessageType::Qos {
                told.store(true, Ordering::SeqCst);
                drop(go_on.lock().expect("no panic"));
            }
            gst::BusSyncReply::Drop
        }
    });
    element.set_bus(Some(&bus));
    let ms = gst::ClockTime::from_mseconds;
    harness.push_upstream_event(gst::event::Qos::new(
        gst::QOSType::Underflow,
        2.0,
        1_000_000_000,
        ms(40),
    ));
    let waits = go_on.lock().expect("no panic");
    std::thread::scope(|scope| {
        let pushed = scope.spawn(|| harness.push(grey(1, 50)));
        eventually("a message on the late frame", || {
            told.load(Ordering::SeqCst)
        });
        let stopped = scope.spawn(|| element.set_state(gst::State::Ready));
        eventually("the end of the task", || !source.is_active());
        std::thread::sleep(Duration::from_millis(50));
        drop(waits);
        stopped.join().expect("no panic").expect("it stops");
        assert_eq!(
            pushed.join().expect("no panic"),
            Err(gst::FlowError::Flushing)
        );
    });
    assert_eq!(source.task_state(), gst::TaskState::Stopped);
    element.set_state(gst::State::Null).expect("it stops");
}

#[test]
fn async_depth_is_that_of_the_start() {
    let _machine = beside();
    let (_shared, behaviour) = register("fixed depth", 0, 1, Duration::ZERO);
    for (depth, later) in [("0", 4_u32), ("2", 0)] {
        let mut harness = inside("fixed depth", depth);
        harness.push(grey(0, 50)).expect("it is taken in");
        harness.pull().expect("it comes out");
        let element = element(&harness);
        element.set_property("async-depth", later);
        assert_eq!(element.property::<u32>("async-depth"), later);
        behaviour.hang(true);
        let allowed: u64 = depth.parse().expect("a number");
        for number in 1..=allowed {
            harness.push(grey(number, 50)).expect("it is taken in");
        }
        std::thread::scope(|scope| {
            let next = scope.spawn(|| harness.push(grey(allowed + 1, 50)));
            std::thread::sleep(Duration::from_millis(100));
            assert!(!next.is_finished(), "depth {depth}: the next has to wait");
            behaviour.hang(false);
            next.join().expect("no panic").expect("then it is taken in");
        });
        for number in 1..=allowed + 1 {
            let frame = harness.pull().expect("it comes out");
            assert_eq!((frame.pts(), mask(&frame).age), (grey(number, 0).pts(), 0));
        }
    }
    // After a restart it is the new one: a frame is taken in although nothing is answered.
    let restarted = casm_tests::gst::element(&[("model-instance-id", "fixed depth")]);
    restarted.set_state(gst::State::Paused).expect("it starts");
    restarted.set_property("async-depth", 4_u32);
    restarted.set_state(gst::State::Null).expect("it stops");
    let mut harness = Harness::with_element(&restarted, Some("sink"), Some("src"));
    harness.set_src_caps(casm_tests::gst::caps(&casm_tests::gst::info(
        casm::PixelFormat::Gray8,
        crate::SIZE.0,
        crate::SIZE.1,
    )));
    behaviour.hang(true);
    harness.push(grey(0, 50)).expect("it is taken in");
    behaviour.hang(false);
    harness.pull().expect("it comes out");
}
