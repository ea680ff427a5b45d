//! What cannot start says why: domain, code, file and remedy, at READY to PAUSED.
//!
//! Missing read permission is in `shared_library.rs`, since it takes another user to lack it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use casm::Checkpoint;
use casm_tests::gst::{element, init, named, pipeline, play};
use gst::prelude::*;
use tempfile::TempDir;

/// Starts an element that must refuse; the error that it has put on the bus.
fn refused(properties: &[(&str, &str)]) -> gst::glib::Error {
    let element = element(properties);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    element
        .set_state(gst::State::Ready)
        .expect("nothing is loaded yet");
    assert_eq!(
        element.set_state(gst::State::Paused),
        Err(gst::StateChangeError),
        "{properties:?}"
    );
    assert_eq!(element.current_state(), gst::State::Ready);
    let message = bus
        .pop_filtered(&[gst::MessageType::Error])
        .expect("an error on the bus");
    assert_eq!(message.src(), Some(element.upcast_ref()));
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!("filtered")
    };
    assert!(
        bus.pop_filtered(&[gst::MessageType::Error]).is_none(),
        "one error, not several"
    );
    // It can be put right and started.
    element.set_property("model", "");
    element.set_property("device", "cpu");
    element.set_property_from_str("precision", "auto");
    element
        .set_state(gst::State::Paused)
        .expect("it starts with what is built in");
    element.set_state(gst::State::Null).expect("it stops");
    error.error()
}

/// As [`refused`], for a model file: the error must be of this kind, name the file and say `remedy`.
fn refused_model(path: &Path, kind: gst::ResourceError, remedy: &str) {
    let path = path.to_str().expect("UTF-8");
    let error = refused(&[("model", path)]);
    assert!(error.matches(kind), "{path}: {error:?}");
    assert!(error.message().contains(path), "{path}: {error}");
    assert!(
        error.message().contains(remedy),
        "{path}: no {remedy:?} in {error}"
    );
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for temporary files")
}

fn file(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a temporary file");
    path
}

/// A safetensors file with this metadata and no tensors.
fn safetensors(metadata: &str) -> Vec<u8> {
    let header = format!("{{\"__metadata__\":{metadata}}}");
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

#[test]
fn a_missing_file_is_not_found() {
    let folder = folder();
    refused_model(
        &folder.path().join("no such model.safetensors"),
        gst::ResourceError::NotFound,
        "built-in model",
    );
}

#[test]
fn a_directory_cannot_be_opened() {
    refused_model(folder().path(), gst::ResourceError::OpenRead, "directory");
}

#[test]
fn a_file_used_as_a_directory_cannot_be_opened() {
    let folder = folder();
    let path = file(&folder, "model", b"").join("model.safetensors");
    refused_model(&path, gst::ResourceError::OpenRead, "check");
}

#[test]
fn a_fifo_does_not_hang() {
    let folder = folder();
    let path = folder.path().join("fifo");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    refused_model(&path, gst::ResourceError::OpenRead, "regular file");
}

#[test]
fn truncated_checkpoints_are_refused_wherever_they_end() {
    let folder = folder();
    let whole = Checkpoint::built_in().expect("the built-in model is valid");
    let whole = whole.bytes();
    for length in [0, 1, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        let path = file(
            &folder,
            &format!("first {length} bytes.safetensors"),
            &whole[..length],
        );
        refused_model(&path, gst::ResourceError::Read, "truncated");
    }
    let longer = file(&folder, "longer.safetensors", &[whole, b"more"].concat());
    refused_model(&longer, gst::ResourceError::Read, "truncated");
}

#[test]
fn foreign_files_are_refused() {
    let folder = folder();
    let foreign = file(
        &folder,
        "foreign.safetensors",
        &safetensors("{\"format\":\"pt\"}"),
    );
    refused_model(&foreign, gst::ResourceError::Read, "casm import");
    let text = file(
        &folder,
        "notes.txt",
        b"not a model at all, but long enough to have a header",
    );
    refused_model(&text, gst::ResourceError::Read, "casm import");
    let zip = file(
        &folder,
        "model.pth",
        b"PK\x03\x04 and so on, as torch.save writes it",
    );
    refused_model(&zip, gst::ResourceError::Read, "casm import");
}

#[test]
fn a_newer_format_asks_for_an_update() {
    let folder = folder();
    let newer = safetensors(r#"{"casm":"{\"format_version\":99,\"what\":\"is to come\"}"}"#);
    refused_model(
        &file(&folder, "newer.safetensors", &newer),
        gst::ResourceError::Read,
        "update casm",
    );
}

#[test]
fn weights_of_another_network_are_named() {
    // The built-in model's own header without its tensors.
    let folder = folder();
    let header =
        serde_json::to_string(Checkpoint::built_in().expect("valid").header()).expect("it is data");
    let metadata =
        serde_json::to_string(&std::collections::BTreeMap::from([("casm", header)])).expect("text");
    let path = file(&folder, "empty.safetensors", &safetensors(&metadata));
    refused_model(&path, gst::ResourceError::Read, "missing tensors: ");
}

#[test]
fn unknown_devices_are_named() {
    for device in ["tpu", "cuda:", "cuda:x", "CPU ", "cuda:-1"] {
        let error = refused(&[("device", device)]);
        assert!(
            error.matches(gst::LibraryError::Init),
            "{device}: {error:?}"
        );
        assert!(error.message().contains(&format!("'{device}'")), "{error}");
        assert!(
            error.message().contains("auto, cpu, cuda, cuda:N"),
            "{error}"
        );
    }
}

#[test]
fn an_unknown_engine_is_not_a_value_of_the_property() {
    init();
    let launch = |engine: &str| gst::parse::launch(&format!("casmesaliency engine=\"{engine}\""));
    let refused = |engine: &str| {
        let error = launch(engine).expect_err("GStreamer refuses it");
        assert!(error.message().contains("engine"), "{engine}: {error}");
    };
    refused("onnx");
    refused("torch ");
    // Since 1.28 GStreamer's parser takes the words of any enumeration in capitals as well (videotestsrc pattern=Smpte).
    let (_, minor, ..) = gst::version();
    if minor < 27 {
        refused("Torch");
    } else {
        let element = launch("Torch").expect("GStreamer takes it");
        let engine = element.property_value("engine").serialize();
        assert_eq!(engine.expect("an enumeration is text as well"), "torch");
    }
}

#[test]
fn a_gpu_that_is_not_there_is_named() {
    // More than any machine has, so this holds with GPUs too.
    for device in ["cuda:63", "cuda"] {
        if device == "cuda" && tch::Cuda::is_available() {
            println!("skipped: {device} exists here");
            continue;
        }
        let error = refused(&[("device", device)]);
        assert!(
            error.matches(gst::LibraryError::Init),
            "{device}: {error:?}"
        );
        assert!(error.message().contains("cuda"), "{error}");
    }
}

#[test]
fn the_device_auto_and_an_empty_one_always_start() {
    for device in ["auto", "cpu", ""] {
        let element = element(&[("device", device)]);
        element
            .set_state(gst::State::Paused)
            .unwrap_or_else(|error| panic!("{device}: {error}"));
        element.set_state(gst::State::Null).expect("it stops");
    }
}

#[test]
fn a_pipeline_with_a_bad_model_ends_with_that_error() {
    let playing = pipeline(
        "videotestsrc num-buffers=1 ! casmesaliency name=c model=/nowhere/model ! fakesink name=f",
    );
    let error = play(&playing).expect_err("it cannot start");
    assert!(error.matches(gst::ResourceError::NotFound), "{error:?}");
    assert!(error.message().contains("/nowhere/model"));
    assert_eq!(
        named(&playing, "c")
            .property::<gst::Structure>("stats")
            .get("frames"),
        Ok(0_u64)
    );
}

#[test]
fn settings_that_are_read_at_the_start_take_effect_at_the_next() {
    init();
    let element = element(&[("device", "cpu")]);
    element.set_state(gst::State::Paused).expect("it starts");
    // Bad ones are not looked at while it runs.
    element.set_property("model", "/nowhere/model");
    assert_eq!(element.property::<String>("model"), "/nowhere/model");
    element.set_state(gst::State::Ready).expect("it stops");
    assert!(element.set_state(gst::State::Paused).is_err());
    element.set_state(gst::State::Null).expect("it stops");
}
