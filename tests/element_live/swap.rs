//! Another model while playing.

use std::path::Path;
use std::time::{Duration, Instant};

use casm::Checkpoint;
use casm_tests::engine::register;
use casm_tests::gst::{buffer, centred_ball, harness, info, mask, occupied, stats};
use casm_tests::machine::{alone, beside};
use casm_tests::soak::heap;
use gst::prelude::*;
use gst_check::Harness;

use crate::eventually;

const SIZE: (u32, u32) = (160, 120);

fn model_file(folder: &Path, name: &str) -> String {
    let path = folder.join(name);
    let checkpoint = Checkpoint::built_in().expect("the built-in model is valid");
    std::fs::write(&path, checkpoint.bytes()).expect("a temporary file");
    path.to_str().expect("UTF-8").to_owned()
}

fn playing(properties: &[(&str, &str)]) -> (Harness, gst::Bus) {
    let info = info(casm::PixelFormat::Rgb, SIZE.0, SIZE.1);
    let harness = harness(properties, &info);
    let bus = gst::Bus::new();
    harness.element().expect("it has one").set_bus(Some(&bus));
    (harness, bus)
}

/// What the element has said of a change of model.
struct Told {
    structure: gst::Structure,
    /// Frames that went through meanwhile.
    frames: u64,
    warnings: Vec<gst::Message>,
}

/// Plays on until the message on a change of model comes.
fn until_told(harness: &mut Harness, bus: &gst::Bus, number: &mut u64) -> Told {
    let begin = (Instant::now(), *number);
    let mut warnings = Vec::new();
    loop {
        assert!(
            begin.0.elapsed() < Duration::from_secs(60),
            "nothing is told"
        );
        let input = buffer(&centred_ball(SIZE.0, SIZE.1), SIZE.0, SIZE.1, *number);
        let result = harness.push_and_pull(input).expect("no frame is lost");
        assert_eq!(mask(&result).age, 0);
        *number += 1;
        while let Some(message) = bus.pop() {
            let structure = message.structure();
            let structure = structure.filter(|found| found.name() == gstcasm::MODEL_UPDATED);
            if let Some(structure) = structure {
                return Told {
                    structure: structure.to_owned(),
                    frames: *number - begin.1,
                    warnings,
                };
            }
            assert_ne!(message.type_(), gst::MessageType::Error, "{message:?}");
            if message.type_() == gst::MessageType::Warning {
                warnings.push(message);
            }
        }
    }
}

#[test]
fn a_model_is_loaded_aside_and_frames_have_it_when_that_is_told() {
    let _machine = beside();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut harness, bus) = playing(&[]);
    let element = harness.element().expect("it has one");
    let mut number = 0;
    let path = model_file(folder.path(), "next.safetensors");
    element.set_property("model", &path);
    let Told {
        structure, frames, ..
    } = until_told(&mut harness, &bus, &mut number);
    assert_eq!(structure.get("path"), Ok(path.as_str()));
    assert_eq!(structure.get("ok"), Ok(true));
    assert!(frames >= 1, "frames went on meanwhile");
    let model = || stats(&element).get::<String>("model").expect("a text");
    let origin = format!("model file '{path}'");
    assert_eq!(model(), origin);

    // A bad one: the old one runs on, and a warning names file and remedy.
    let bad = folder.path().join("bad.safetensors");
    std::fs::write(&bad, b"PK\x03\x04 as torch.save writes it").expect("a temporary file");
    for (bad, kind, remedy) in [
        (
            bad.to_str().expect("UTF-8"),
            gst::ResourceError::Read,
            "casm import",
        ),
        (
            "/nowhere/model",
            gst::ResourceError::NotFound,
            "built-in model",
        ),
    ] {
        element.set_property("model", bad);
        let told = until_told(&mut harness, &bus, &mut number);
        let field = |name| told.structure.get::<bool>(name);
        assert_eq!(
            (told.structure.get("path"), field("ok")),
            (Ok(bad), Ok(false))
        );
        let [warning] = &told.warnings[..] else {
            panic!("one warning, not {:?}", told.warnings)
        };
        let gst::MessageView::Warning(warning) = warning.view() else {
            unreachable!("filtered")
        };
        let error = warning.error();
        assert!(error.matches(kind), "{error:?}");
        assert!(
            error.message().contains(bad) && error.message().contains(remedy),
            "{error}"
        );
        assert!(error.message().contains("runs on"), "{error}");
        assert_eq!(model(), origin);
    }
    // And back.
    element.set_property("model", "");
    let structure = until_told(&mut harness, &bus, &mut number).structure;
    assert_eq!(structure.get("path"), Ok(""));
    assert_eq!(structure.get("ok"), Ok(true));
    assert_eq!(model(), "the built-in model");
}

/// An engine takes its time to close, for which no frame is to wait.
#[test]
fn the_old_model_is_closed_by_the_worker() {
    let _machine = beside();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (_shared, behaviour) = register("closing", 0, 1, Duration::ZERO);
    let (mut harness, bus) = playing(&[("model-instance-id", "closing")]);
    let element = harness.element().expect("it has one");
    element.set_property("model", model_file(folder.path(), "next.safetensors"));
    let mut number = 0;
    let told = until_told(&mut harness, &bus, &mut number);
    assert_eq!(told.structure.get("ok"), Ok(true));
    assert!(told.frames >= 1, "some had the old one");
    // This one has the new one, so nobody needs the old one any more.
    let input = buffer(&centred_ball(SIZE.0, SIZE.1), SIZE.0, SIZE.1, number);
    harness.push_and_pull(input).expect("a frame");
    eventually("the end of the engine", || behaviour.is_dropped());
    assert_eq!(behaviour.closed_by().as_deref(), Some("casm-worker"));
}

#[test]
fn of_several_models_set_in_a_row_the_last_one_wins() {
    let _machine = beside();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut harness, bus) = playing(&[]);
    let element = harness.element().expect("it has one");
    let paths = ["1", "2", "3"].map(|name| model_file(folder.path(), name));
    for path in &paths {
        element.set_property("model", path);
    }
    let mut number = 0;
    let told = [0; 3].map(|_| {
        let structure = until_told(&mut harness, &bus, &mut number).structure;
        let path: String = structure.get("path").expect("a text");
        (path, structure.get::<bool>("ok").expect("a boolean"))
    });
    assert!(told.contains(&(paths[2].clone(), true)), "{told:?}");
    let origin = format!("model file '{}'", paths[2]);
    assert_eq!(stats(&element).get("model"), Ok(origin));
}

#[test]
fn fifty_swaps_leave_no_memory_behind() {
    let _machine = alone();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let paths = ["1", "2"].map(|name| model_file(folder.path(), name));
    let (mut harness, bus) = playing(&[]);
    let element = harness.element().expect("it has one");
    let mut number = 0;
    let mut swap = |count: usize| {
        for index in 0..count {
            element.set_property("model", &paths[index % 2]);
            let structure = until_told(&mut harness, &bus, &mut number).structure;
            assert_eq!(structure.get("ok"), Ok(true), "{structure}");
        }
    };
    // Until the allocator has what it keeps.
    swap(10);
    // The worker closes a model soon after the next one's first frame.
    std::thread::sleep(Duration::from_millis(500));
    let (used, before) = (heap(), occupied());
    swap(50);
    // 2 to 41 KiB more were measured.
    eventually("what 50 models had in use is given back", || {
        heap() < used + (1 << 20)
    });
    let grown = occupied().saturating_sub(before);
    println!("after 50 swaps {grown} KiB more than {before} KiB are occupied");
    // A model has 10 MB: losing each would be 500 MB.
    assert!(grown < 50 * 1024, "{grown} KiB more");
}
