//! The network at work on a device: what the engine's thread does.

use std::collections::BTreeMap;

use casm_core::checkpoint::NamedTensor;
use casm_core::engine::{EngineDescription, EngineOptions, Output, Precision};
use casm_core::{Header, Result};
use tch::Kind;

use crate::device;
use crate::module::Mode;
use crate::parameters::Parameters;
use crate::pixels::{Normalisation, copy_values};
use crate::saliency_network::SaliencyNetwork;
use crate::torch_engine::NAME;

/// A network with its weights on a device.
pub(crate) struct Computation {
    network: SaliencyNetwork,
    kind: Kind,
    normalisation: Normalisation,
}

impl Computation {
    /// Puts the weights on the device; also says what was opened.
    pub(crate) fn open(
        header: &Header,
        tensors: BTreeMap<String, NamedTensor>,
        options: &EngineOptions,
    ) -> Result<(Computation, EngineDescription)> {
        let device = device::resolve(options.device)?;
        let (precision, kind) = match options.precision {
            Precision::Auto | Precision::F32 => (Precision::F32, Kind::Float),
            Precision::Bf16 => (Precision::Bf16, Kind::BFloat16),
            Precision::F16 => (Precision::F16, Kind::Half),
        };
        let parameters = Parameters::from_named(tensors, device)?.to_kind(kind)?;
        let computation = Computation {
            network: SaliencyNetwork::new(&header.network, &parameters)?,
            kind,
            normalisation: Normalisation::new(&header.input, device)?,
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
        let pictures = self.normalisation.pictures(batch, pixels, self.kind)?;
        let saliency = self.network.forward(&pictures, Mode::Evaluate)?;
        match &saliency.mask {
            Some(mask) => copy_values(mask, &mut output.masks)?,
            None => output.masks.clear(),
        }
        copy_values(&saliency.logits, &mut output.logits)
    }
}
