//! The network at work on a device: what the engine's thread does.

use casm_core::engine::{EngineDescription, EngineOptions, Output, Precision};
use casm_core::network::Folded;
use casm_core::{Error, Header, Result};
use tch::Kind;

use crate::device;
use crate::packed::Packed;
use crate::pixels::copy_values;
use crate::torch_engine::NAME;

/// A network with its weights on a device.
pub(crate) struct Computation {
    network: Packed,
}

impl Computation {
    /// Puts the weights on the device; also says what was opened.
    pub(crate) fn open(
        header: &Header,
        folded: &Folded,
        options: &EngineOptions,
    ) -> Result<(Computation, EngineDescription)> {
        let device = device::resolve(options.device)?;
        let (precision, kind) = match options.precision {
            Precision::Auto | Precision::F32 => (Precision::F32, Kind::Float),
            Precision::Bf16 => (Precision::Bf16, Kind::BFloat16),
            Precision::F16 => (Precision::F16, Kind::Half),
            Precision::Int8 => {
                return Err(Error::Engine {
                    engine: NAME.to_owned(),
                    reason:
                        "it does not compute in int8; use engine=openvino (`make setup-openvino` \
                             fetches it), or precision=bf16"
                            .to_owned(),
                });
            }
        };
        let side = header.input.size as usize;
        let computation = Computation {
            network: Packed::new(folded, side, kind, device)?,
        };
        let description = EngineDescription {
            engine: NAME.to_owned(),
            device: device::name(device),
            precision,
            threads: usize::try_from(tch::get_num_threads()).unwrap_or(1),
            choice: String::new(),
        };
        Ok((computation, description))
    }

    /// Pixels `[batch, S, S, 3]` → masks and logits. The caller has checked the number of bytes.
    pub(crate) fn run(&self, batch: usize, pixels: &[u8], output: &mut Output) -> Result<()> {
        let _no_gradients = tch::no_grad_guard();
        let mut outputs = self.network.run(batch, pixels)?;
        // The logits come last, after the mask of a network that makes one.
        if let Some(logits) = outputs.pop() {
            copy_values(&logits, &mut output.logits)?;
        }
        match outputs.pop() {
            Some(mask) => copy_values(&mask, &mut output.masks)?,
            None => output.masks.clear(),
        }
        Ok(())
    }
}
