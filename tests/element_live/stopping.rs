//! The asynchronous task from start to stop, and what may come at a bad moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use casm_tests::engine::register;
use casm_tests::gst::mask;
use casm_tests::machine::{alone, beside};
use gst::prelude::*;
use gst_check::Harness;

use crate::{eventually, grey, small};

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
    // Elsewhere, so that a stop that hangs ends the test.
    let stopped = std::thread::spawn({
        let element = element.clone();
        move || element.set_state(gst::State::Null)
    });
    eventually("the stop", || stopped.is_finished());
    stopped.join().expect("no panic").expect("it stops");
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

/// A streaming thread waits in the application, which it tells that its frame is late, while the task is stopped.
#[test]
fn a_streaming_thread_that_goes_on_after_the_stop_finds_the_way_out() {
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

/// A streaming thread is about to start the task when it is stopped: it is held where it says so in the log.
#[test]
fn a_task_that_is_started_after_the_stop_ends_with_it() {
    let _machine = alone();
    let (_shared, _) = register("after", 0, 1, Duration::ZERO);
    let (said, go_on) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(())));
    let waits = go_on.lock().expect("no panic");
    gst::log::set_threshold_for_name("casmesaliency", gst::DebugLevel::Debug);
    let logging = gst::log::add_log_function({
        let (said, go_on) = (said.clone(), go_on.clone());
        move |category, _, _, _, _, _, message| {
            let text = message.get();
            if category.name() == "casmesaliency"
                && text.is_some_and(|text| text.contains("Starting the task"))
            {
                said.store(true, Ordering::SeqCst);
                drop(go_on.lock().expect("no panic"));
            }
        }
    });
    let mut harness = inside("after", "4");
    let (element, source) = (element(&harness), pad(&harness, "src"));
    std::thread::scope(|scope| {
        let pushed = scope.spawn(|| harness.push(grey(0, 50)));
        eventually("the start of the task", || said.load(Ordering::SeqCst));
        let stopped = scope.spawn(|| element.set_state(gst::State::Ready));
        eventually("the stop", || !source.is_active());
        std::thread::sleep(Duration::from_millis(50));
        drop(waits);
        stopped.join().expect("no panic").expect("it stops");
        assert_eq!(
            pushed.join().expect("no panic"),
            Err(gst::FlowError::Flushing)
        );
    });
    gst::log::remove_log_function(logging);
    gst::log::unset_threshold_for_name("casmesaliency");
    assert_eq!(source.task_state(), gst::TaskState::Stopped);
    element.set_state(gst::State::Null).expect("it stops");
}
