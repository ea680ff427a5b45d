//! Any bytes as a file of PyTorch's or a foreign safetensors file: an error, or whole tensors.

#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;

// By its files rather than as a crate, which would link libtorch.
#[allow(dead_code, unused_imports)]
#[path = "../../src/import/mod.rs"]
mod import;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a temporary file");
    let limits = import::Limits {
        tensor_bytes: 64 << 20,
        pickle_bytes: 4 << 20,
        pickle_values: 200_000,
        ..import::Limits::default()
    };
    if let Ok(found) = import::read_state_dict_with(file.path(), &limits) {
        for tensor in found.groups.values().flat_map(|group| group.values()) {
            assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>());
        }
    }
    let _ = import::read_with(file.path(), &limits);
});
