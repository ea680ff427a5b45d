//! ResNet-50, the paper's network, is two commands away: torchvision's file → `casm import` → `casm train`, with
//! generated weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use casm::Checkpoint;
use casm::network::{EncoderConfig, NetworkConfig, ResnetConfig};
use casm::parameters::Parameters;
use casm_tests::run::{casm, pictures, succeeded, text};
use safetensors::tensor::{Dtype, TensorView};

/// A file as torchvision's `resnet50().state_dict()` would be stored: its names, shapes and buffers.
fn torchvision_file(folder: &Path) -> PathBuf {
    let network = NetworkConfig::classifier(EncoderConfig::Resnet(ResnetConfig::resnet50(1000)));
    let parameters = network.network().parameters();
    let tensors = Parameters::initialise(&parameters, tch::Device::Cpu).expect("memory");
    let bytes: BTreeMap<String, (Vec<usize>, Vec<u8>)> = tensors
        .to_named()
        .expect("numbers")
        .into_iter()
        .map(|tensor| {
            let name = tensor
                .name
                .strip_prefix("classifier.")
                .expect("all have it");
            let values = tensor.values.iter().flat_map(|value| value.to_le_bytes());
            (name.to_owned(), (tensor.shape, values.collect()))
        })
        .collect();
    assert_eq!(bytes["fc.weight"].0, [1000, 2048]);
    assert!(bytes.contains_key("layer4.2.bn3.running_var"));
    let views = bytes.iter().map(|(name, (shape, values))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), values).expect("they fit");
        (name, view)
    });
    let path = folder.join("resnet50.safetensors");
    let file = safetensors::serialize(views, None).expect("a file");
    std::fs::write(&path, file).expect("a temporary file");
    path
}

#[test]
fn torchvisions_file_is_imported_trained_and_used() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let (data, source) = (pictures(folder.path()), torchvision_file(folder.path()));
    let output = casm(&["import"])
        .arg(&source)
        .arg("-o")
        .arg(at("f0.safetensors"))
        .output();
    succeeded(&output.expect("it starts"));

    let mut train = casm(&["train"]);
    train.arg(&data).arg("--init").arg(at("f0.safetensors"));
    train.args([
        "--preset",
        "casm",
        "--replace-head",
        "--input-size",
        "64",
        "--batch",
        "4",
    ]);
    train.args([
        "--epoch-share",
        "1",
        "--max-steps",
        "2",
        "--threads",
        "1",
        "--workers",
        "1",
    ]);
    succeeded(
        &train
            .arg("--out")
            .arg(at("run"))
            .output()
            .expect("it starts"),
    );
    let model = Checkpoint::open(at("run/model.safetensors")).expect("a checkpoint");
    assert_eq!(model.header().network.encoder.name(), "ResNet-50");
    assert_eq!(model.header().classes, ["blue", "green", "red"]);
    assert!(model.header().network.decoder.is_some());

    let picture = data.join("train/red/0.png");
    let output = casm(&["localize", "--threads", "1", "--model"])
        .arg(at("run"))
        .arg(picture)
        .output();
    let output = output.expect("it starts");
    succeeded(&output);
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a JSON object");
    assert!(
        line["mask_mean"]
            .as_f64()
            .is_some_and(|mean| (0.0..=1.0).contains(&mean)),
        "{line}"
    );
    assert_eq!(text(&output), "");
}
