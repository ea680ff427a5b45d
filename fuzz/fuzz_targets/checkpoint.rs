//! Any bytes as a checkpoint: an error, or a checkpoint whose tensors are those that its network needs.

#![no_main]

use casm_core::Checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(checkpoint) = Checkpoint::from_bytes(bytes.to_vec(), "fuzz".to_owned()) else {
        return;
    };
    let found = checkpoint.tensors().expect("it was validated");
    for parameter in checkpoint.header().network.network().parameters() {
        assert_eq!(found[&parameter.name].shape, parameter.shape);
    }
});
