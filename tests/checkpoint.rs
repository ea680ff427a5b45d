//! Checkpoints: strict loading, and errors that say what is wrong and what to do.

use std::collections::HashMap;
use std::path::Path;

use casm::checkpoint::{NamedTensor, Storage, serialize};
use casm::network::{EncoderConfig, MobilenetV2Config, NetworkConfig};
use casm::{Checkpoint, Error, Header};
use serde_json::{Value, json};

/// The smallest network that there is: a MobileNetV2 of two classes.
fn header() -> Header {
    let config = MobilenetV2Config {
        classes: 2,
        ..MobilenetV2Config::default()
    };
    Header::new(NetworkConfig::new(EncoderConfig::MobilenetV2(config)))
}

/// Every tensor filled with a number of its own.
fn tensors(header: &Header) -> Vec<NamedTensor> {
    let parameters = header.network.network().parameters();
    let numbered = parameters.into_iter().enumerate();
    numbered
        .map(|(number, parameter)| NamedTensor {
            values: vec![number as f32 / 7.0; parameter.shape.iter().product()],
            name: parameter.name,
            shape: parameter.shape,
        })
        .collect()
}

fn read(bytes: Vec<u8>) -> Result<Checkpoint, Error> {
    Checkpoint::from_bytes(bytes, "the test's file".to_owned())
}

/// A whole file with `edit` done to its header.
fn with_header(edit: impl Fn(&mut Value)) -> Vec<u8> {
    let header = header();
    let bytes = serialize(&header, &tensors(&header), Storage::F16).expect("complete");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("just written");
    let mut value = serde_json::to_value(&header).expect("plain data");
    edit(&mut value);
    let metadata = HashMap::from([("casm".to_owned(), value.to_string())]);
    safetensors::serialize(tensors.iter(), Some(metadata)).expect("plain data")
}

#[test]
fn single_precision_survives_exactly_and_half_precision_to_its_rounding() {
    let header = header();
    let tensors = tensors(&header);
    for (storage, relative) in [(Storage::F32, 0.0), (Storage::F16, 2f32.powi(-11))] {
        let bytes = serialize(&header, &tensors, storage).expect("complete");
        let checkpoint = read(bytes).expect("just written");
        assert_eq!(checkpoint.header(), &header);
        assert_eq!(checkpoint.number_formats(), format!("{storage:?}"));
        let read = checkpoint.tensors().expect("valid");
        for tensor in &tensors {
            let found = &read[&tensor.name];
            assert_eq!(found.shape, tensor.shape);
            let (a, b) = (found.values[0], tensor.values[0]);
            assert!(
                (a - b).abs() <= relative * b.abs(),
                "{}: {a} {b}",
                tensor.name
            );
        }
    }
}

#[test]
fn missing_surplus_and_misshapen_tensors_are_all_named() {
    let header = header();
    let mut tensors = tensors(&header);
    let missing = tensors.remove(3).name;
    tensors[5].shape = vec![tensors[5].values.len(), 1, 1, 1, 1];
    let misshapen = tensors[5].name.clone();
    tensors.push(NamedTensor {
        name: "decoder.extra".to_owned(),
        shape: vec![1],
        values: vec![0.0],
    });
    let error = serialize(&header, &tensors, Storage::F32).expect_err("does not fit");
    let Error::Weights { problem, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(problem.missing, [missing.as_str()]);
    assert_eq!(problem.surplus, ["decoder.extra"]);
    assert_eq!(problem.misshapen[0].0, misshapen);
    let text = error.to_string();
    for name in [missing.as_str(), "decoder.extra", misshapen.as_str()] {
        assert!(text.contains(name), "{name} is not in: {text}");
    }
}

#[test]
fn values_that_cannot_be_stored_are_refused_with_the_tensors_name() {
    let header = header();
    for (value, storage) in [
        (f32::NAN, Storage::F32),
        (f32::INFINITY, Storage::F32),
        (65_536.0, Storage::F16),
    ] {
        let mut tensors = tensors(&header);
        tensors[4].values[0] = value;
        let text = serialize(&header, &tensors, storage)
            .expect_err("not a number")
            .to_string();
        assert!(text.contains(&tensors[4].name), "{text}");
    }
}

#[test]
fn a_newer_format_asks_for_a_newer_program_whatever_else_is_in_it() {
    let bytes = with_header(|header| {
        header["format_version"] = json!(2);
        header["from_the_future"] = json!(true);
    });
    let text = read(bytes).expect_err("too new").to_string();
    assert!(
        text.contains("version 2") && text.contains("update casm"),
        "{text}"
    );
}

#[test]
fn unknown_fields_and_values_out_of_range_are_named() {
    type Edit = (&'static str, fn(&mut Value));
    let edits: [Edit; 5] = [
        ("surprise", |header| header["surprise"] = json!(1)),
        ("input.size", |header| header["input"]["size"] = json!(225)),
        ("input.std", |header| {
            header["input"]["std"] = json!([0.2, 0.0, 0.2])
        }),
        ("alpha", |header| {
            header["binarization"]["alpha"] = json!(-1.0)
        }),
        ("classes", |header| {
            header["classes"] = json!(["a", "b", "c"])
        }),
    ];
    for (name, edit) in edits {
        let text = read(with_header(edit)).expect_err(name).to_string();
        assert!(
            text.contains(name) && text.contains("the test's file"),
            "{text}"
        );
    }
}

#[test]
fn a_header_that_asks_for_the_impossible_is_refused_without_building_it() {
    let bytes = with_header(|header| header["network"]["encoder"]["classes"] = json!(u64::MAX));
    let text = read(bytes).expect_err("absurd").to_string();
    assert!(text.contains("classes"), "{text}");
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = with_header(|_| ());
    for length in (0..bytes.len()).step_by(bytes.len() / 97 + 1) {
        let text = read(bytes[..length].to_vec()).expect_err("cut").to_string();
        assert!(text.contains("the test's file"), "{text}");
    }
    assert!(read(bytes).is_ok());
}

#[test]
fn a_safetensors_file_of_others_is_sent_to_import() {
    let values = [0u8; 4];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &values);
    let bytes = safetensors::serialize([("x", view.expect("fits"))], None).expect("plain data");
    let text = read(bytes).expect_err("foreign").to_string();
    assert!(text.contains("casm import"), "{text}");
}

#[test]
fn what_is_no_regular_file_is_told_apart_from_what_is_missing() {
    let missing = Checkpoint::open("/nowhere/model.safetensors").expect_err("missing");
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    let folder = Checkpoint::open("/tmp").expect_err("a folder");
    assert!(folder.to_string().contains("directory"), "{folder}");
    let device = Checkpoint::open(Path::new("/dev/zero")).expect_err("endless");
    assert!(device.to_string().contains("regular file"), "{device}");
}

#[test]
fn a_classifier_alone_is_a_checkpoint_but_makes_no_masks() {
    let mut header = header();
    header.network.decoder = None;
    let bytes = serialize(&header, &tensors(&header), Storage::F16).expect("complete");
    let checkpoint = read(bytes).expect("valid");
    let text = casm::open_engine(&checkpoint, &casm::EngineOptions::default())
        .err()
        .expect("no decoder")
        .to_string();
    assert!(text.contains("without a decoder"), "{text}");
}
