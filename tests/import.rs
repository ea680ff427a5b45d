//! Importing checkpoints that PyTorch itself wrote (`data/import/make_fixtures.py`), and what becomes
//! of damaged and malicious ones.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use casm::import::{self, Architecture, Limits, Problem, StateDict, Tensor};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data/import")
        .join(name)
}

fn state_dict(name: &str) -> StateDict {
    import::read_state_dict(&fixture(name)).unwrap()
}

fn message(name: &str) -> String {
    import::read_state_dict(&fixture(name))
        .unwrap_err()
        .to_string()
}

/// `value` of make_fixtures.py.
fn expected(name: &str, shape: &[usize]) -> Tensor {
    let seed: usize = name.bytes().map(usize::from).sum();
    let length: usize = shape.iter().product();
    let value = |j| (((seed + 7 * j) % 509) as f32 - 254.0) / 16.0;
    Tensor {
        shape: shape.to_vec(),
        values: (0..length).map(value).collect(),
    }
}

/// Checks that every tensor has the values that follow from its name in the file it was made from.
fn check_values(tensors: &BTreeMap<String, Tensor>, original: impl Fn(&str) -> String) {
    for (name, tensor) in tensors {
        assert_eq!(*tensor, expected(&original(name), &tensor.shape), "{name}");
    }
}

const RESNET: Architecture = Architecture::Resnet {
    blocks: [2, 1, 1, 1],
    bottleneck: true,
};

fn strip(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

#[test]
fn a_resnet_is_recognised_and_read_in_both_formats() {
    for (name, format) in [
        ("resnet_zip.pth", "PyTorch zip"),
        ("resnet_legacy.pth", "PyTorch legacy"),
        ("deflated_zip.pth", "PyTorch zip"),
    ] {
        let imported = import::read(&fixture(name)).unwrap();
        assert_eq!(imported.architecture, RESNET, "{name}");
        assert_eq!((imported.classes, imported.has_decoder), (10, false));
        assert_eq!(imported.source_format, format);
        assert_eq!(imported.tensors.len(), 14);
        assert_eq!(
            imported.tensors["classifier.conv1.weight"].shape,
            [4, 3, 7, 7]
        );
        check_values(&imported.tensors, |name| strip(name, "classifier."));
        assert_eq!(
            imported.ignored,
            ["bn1.num_batches_tracked: no floating-point tensor"]
        );
    }
}

#[test]
fn the_authors_checkpoint_gives_classifier_and_decoder() {
    for name in ["casme_zip.chk", "casme_legacy.chk"] {
        let imported = import::read(&fixture(name)).unwrap();
        assert_eq!(imported.architecture, RESNET, "{name}");
        assert!(imported.has_decoder);
        assert_eq!(
            imported.tensors["decoder.conv1x1_4.0.weight"].shape,
            [2, 8, 1, 1]
        );
        assert_eq!(imported.tensors["decoder.final.0.bias"].shape, [1]);
        assert_eq!(imported.tensors.len(), 14 + 10);
        check_values(&imported.tensors, |name| {
            strip(&strip(name, "classifier."), "decoder.")
        });
        let ignored = imported.ignored.join("\n");
        assert!(
            ignored.contains("args: an object of argparse.Namespace"),
            "{ignored}"
        );
        assert!(
            ignored.contains("optimizer_decoder: the optimiser's state"),
            "{ignored}"
        );
    }
}

#[test]
fn data_parallel_prefixes_are_removed() {
    for name in ["data_parallel_zip.pth", "data_parallel_legacy.pth"] {
        let imported = import::read(&fixture(name)).unwrap();
        assert_eq!(imported.architecture, RESNET, "{name}");
        check_values(&imported.tensors, |name| strip(name, "classifier."));
        assert_eq!(imported.tensors.len(), 14);
        // Another reader sees the names as they are.
        let raw = state_dict(name);
        assert!(raw.groups["state_dict"].contains_key("module.fc.bias"));
        assert_eq!(raw.groups[""]["best_acc1"].values, [76.0]);
    }
}

#[test]
fn mobilenet_v2_is_recognised_with_and_without_batch_normalisation() {
    let imported = import::read(&fixture("mobilenet_v2_zip.pth")).unwrap();
    assert_eq!(
        imported.architecture,
        Architecture::MobilenetV2 { batch_norm: true }
    );
    assert_eq!((imported.classes, imported.has_decoder), (7, false));
    check_values(&imported.tensors, |name| strip(name, "classifier."));
    assert!(
        imported
            .tensors
            .contains_key("classifier.classifier.1.weight")
    );

    let imported = import::read(&fixture("prototype.safetensors")).unwrap();
    assert_eq!(
        imported.architecture,
        Architecture::MobilenetV2 { batch_norm: false }
    );
    assert_eq!((imported.classes, imported.has_decoder), (7, true));
    assert_eq!(imported.source_format, "safetensors");
    check_values(&imported.tensors, |name| {
        name.replace("conv1x1_1.0", "side1.conv")
            .replace("conv1x1_1.1", "side1.norm")
            .replace("final.0", "final")
    });
    assert!(
        imported
            .tensors
            .contains_key("decoder.conv1x1_1.1.running_var")
    );
    assert!(imported.ignored.is_empty());
}

#[test]
fn every_float_type_is_converted_and_others_are_named() {
    for name in ["dtypes_zip.pth", "dtypes_legacy.pth"] {
        let read = state_dict(name);
        let tensors = &read.groups[""];
        for name in ["float32", "float16"] {
            assert_eq!(tensors[name], expected(name, &[5]));
        }
        assert_eq!(tensors["parameter"], expected("parameter", &[2, 2]));
        assert_eq!(tensors["float64"].values, [1.0 / 3.0; 2]);
        // 3e38 in bfloat16: its f32 pattern 0x7f61b1e6 rounded to 16 bits.
        assert_eq!(
            tensors["bfloat16"].values,
            [1.5, -0.0078125, f32::from_bits(0x7f62_0000)]
        );
        assert_eq!(
            (tensors["scalar"].shape.len(), tensors["scalar"].values[0]),
            (0, 2.5)
        );
        assert_eq!(
            (&tensors["empty"].shape[..], tensors["empty"].values.len()),
            (&[0, 3][..], 0)
        );
        assert_eq!(tensors.len(), 7);
        assert_eq!(
            read.ignored,
            [
                "bool: no floating-point tensor",
                "complex64: no floating-point tensor",
                "int64: no floating-point tensor",
                "quantised: a tensor of the kind qtensor",
                "sparse: a tensor of the kind sparse_tensor",
                "uint16: a tensor of the kind tensor_v3",
                "uint8: no floating-point tensor",
            ]
        );
    }
}

#[test]
fn views_that_share_a_storage_become_tensors_of_their_own() {
    for name in ["views_zip.pth", "views_legacy.pth"] {
        let read = state_dict(name);
        let tensors = &read.groups[""];
        // What PyTorch prints for arange(24).reshape(2, 3, 4) and its views.
        assert_eq!(tensors["transposed"].shape, [4, 2, 3]);
        assert_eq!(
            tensors["transposed"].values[..7],
            [0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 1.0]
        );
        assert_eq!(tensors["offset"].values, [5.0, 6.0, 7.0, 8.0]);
        assert_eq!(
            tensors["stepped"].values,
            [4.0, 6.0, 8.0, 10.0, 16.0, 18.0, 20.0, 22.0]
        );
        assert_eq!(
            tensors["channels_last"],
            expected("channels_last", &[2, 3, 2, 2])
        );
        assert_eq!(tensors["base"].values.len(), 24);
    }
    assert!(message("expanded_zip.pth").contains("tensor 'weight' that has more elements"));
}

#[test]
fn pickle_protocols_1_to_5_and_python_2_are_read() {
    for protocol in [1, 3, 4, 5] {
        let read = state_dict(&format!("protocol_{protocol}_legacy.pth"));
        assert_eq!(
            read.groups[""]["weight"],
            expected("weight", &[2, 3]),
            "{protocol}"
        );
        assert_eq!(read.ignored, ["flag: a number", "long: a number"]);
    }
    let read = state_dict("python2_legacy.pth");
    assert_eq!(read.groups[""]["weight"], expected("weight", &[2, 3]));
    assert_eq!(
        read.groups[""]["running_mean"],
        expected("running_mean", &[3])
    );
}

#[test]
fn malicious_pickles_stay_data() {
    for name in ["evil_inside_zip.pth", "evil_inside_legacy.pth"] {
        let read = state_dict(name);
        assert_eq!(read.ignored, ["evil: an object of posix.system"]);
        assert_eq!(read.groups[""]["weight"], expected("weight", &[2]));
    }
    for name in ["evil_root_zip.pth", "evil_root_legacy.pth"] {
        assert!(message(name).contains("is an object of posix.system instead of a dict"));
    }
    assert!(!Path::new("casm-pickle-was-executed").exists());
}

#[test]
fn files_of_other_kinds_are_named_with_the_remedy() {
    let remedy = "save it as torch.save(model.state_dict(), path)";
    let module = message("module_zip.pth");
    assert!(
        module.contains("an object of torch.nn.modules.linear.Linear"),
        "{module}"
    );
    assert!(module.ends_with(remedy));
    assert!(message("script_zip.pt").contains("is a TorchScript module"));
    assert!(message("make_fixtures.py").contains("its first bytes belong to no known format"));
    let other = import::read(&fixture("views_zip.pth"))
        .unwrap_err()
        .to_string();
    assert!(other.contains("is not a ResNet or MobileNetV2"), "{other}");
    assert!(
        other.ends_with("its first names are base, channels_last, offset, stepped, transposed")
    );
}

#[test]
fn limits_are_errors() {
    // Four mebibytes of zeros, deflated to four kilobytes.
    assert!(message("bomb_zip.pth").contains("bytes of tensors"));
    let trusting = Limits {
        expansion: 2000,
        ..Limits::default()
    };
    assert!(import::read_state_dict_with(&fixture("bomb_zip.pth"), &trusting).is_ok());
    let read = |limits: Limits| {
        let read = import::read_state_dict_with(&fixture("resnet_zip.pth"), &limits);
        matches!(read.unwrap_err().problem, Problem::TooLarge { .. })
    };
    assert!(read(Limits {
        tensor_bytes: 2000,
        ..Limits::default()
    }));
    assert!(read(Limits {
        pickle_bytes: 1000,
        ..Limits::default()
    }));
    assert!(read(Limits {
        pickle_values: 100,
        ..Limits::default()
    }));
}

#[test]
fn a_changed_weight_in_a_zip_file_is_noticed_by_its_checksum() {
    let mut bytes = fs::read(fixture("resnet_zip.pth")).unwrap();
    let value = expected("conv1.weight", &[4, 3, 7, 7]).values[300].to_le_bytes();
    let next = expected("conv1.weight", &[4, 3, 7, 7]).values[301].to_le_bytes();
    let place = bytes
        .windows(8)
        .position(|bytes| bytes == [value, next].concat())
        .unwrap();
    bytes[place] ^= 1;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let error = import::read(file.path()).unwrap_err();
    assert!(matches!(error.problem, Problem::Damaged(_)), "{error}");
}

/// Peak memory of this process in KiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

/// Reads `bytes` in both ways; whatever they are, that must neither panic nor take much memory.
fn survive(path: &Path, bytes: &[u8]) -> bool {
    // Overwritten in place, since ext4 brings a truncated and rewritten file to disk at once.
    let options = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let mut file = options.unwrap();
    file.write_all(bytes).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    let imported = import::read(path).is_ok();
    import::read_state_dict(path).is_ok() || imported
}

fn for_every_fixture(test: impl Fn(&Path, &[u8])) {
    let directory = tempfile::tempdir().unwrap();
    let before = peak_memory();
    for entry in fs::read_dir(fixture("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension != "py") {
            test(&directory.path().join("damaged"), &fs::read(path).unwrap());
        }
    }
    // The largest fixture has 15 kB; the slack is for the other tests of this binary.
    assert!(peak_memory() - before < 100 * 1024);
}

#[test]
fn a_truncated_file_is_an_error() {
    for_every_fixture(|path, bytes| {
        let step = bytes.len() / 300 + 1;
        for length in (0..bytes.len()).step_by(step) {
            assert!(
                !survive(path, &bytes[..length]),
                "cut at {length} of {}",
                bytes.len()
            );
        }
    });
}

#[test]
fn a_damaged_file_does_no_harm() {
    for_every_fixture(|path, bytes| {
        // xorshift64, Marsaglia 2003; every run damages the same bytes.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for _ in 0..500 {
            let mut damaged = bytes.to_vec();
            for _ in 0..=random(3) {
                let byte = random(damaged.len());
                damaged[byte] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
            }
            survive(path, &damaged);
        }
    });
    assert!(!Path::new("casm-pickle-was-executed").exists());
}
