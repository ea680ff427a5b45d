//! The network's tensors by name: from a checkpoint, from an initialiser, back to a checkpoint.

use std::collections::BTreeMap;

use casm_core::checkpoint::NamedTensor;
use casm_core::network::{Parameter, Role};
use casm_core::{Error, Result};
use tch::{Device, Kind, Tensor};

use crate::torch_error;

/// Named tensors on one device.
#[derive(Debug, Default)]
pub struct Parameters {
    tensors: BTreeMap<String, Tensor>,
}

impl Parameters {
    /// The tensors of a checkpoint ([`Checkpoint::tensors`](casm_core::Checkpoint::tensors)), in f32.
    ///
    /// # Errors
    /// [`Error::Engine`] if the device has no room.
    pub fn from_named(named: BTreeMap<String, NamedTensor>, device: Device) -> Result<Parameters> {
        let mut tensors = BTreeMap::new();
        for (name, tensor) in named {
            tensors.insert(name, to_tensor(&tensor, device)?);
        }
        Ok(Parameters { tensors })
    }

    /// The tensors of `parameters`, each with the values that `values` gives for it.
    ///
    /// # Errors
    /// [`Error::Engine`] if the number of values does not fit the shape.
    pub fn from_values(
        parameters: &[Parameter],
        device: Device,
        values: impl Fn(&Parameter) -> Vec<f32>,
    ) -> Result<Parameters> {
        let mut tensors = BTreeMap::new();
        for parameter in parameters {
            let tensor = NamedTensor {
                name: parameter.name.clone(),
                shape: parameter.shape.clone(),
                values: values(parameter),
            };
            tensors.insert(tensor.name.clone(), to_tensor(&tensor, device)?);
        }
        Ok(Parameters { tensors })
    }

    /// Random initial values as the released code draws them (spec A.2): convolutions normal with
    /// deviation `sqrt(2 / (k^2 * out_channels))`, batch norm 1 and 0, biases and linear layers uniform
    /// within `1 / sqrt(inputs)`.
    ///
    /// Seed with [`tch::manual_seed`].
    ///
    /// # Errors
    /// [`Error::Engine`] if the device has no room.
    pub fn initialise(parameters: &[Parameter], device: Device) -> Result<Parameters> {
        let mut tensors = BTreeMap::new();
        // A bias is bounded by the inputs of its weight, which comes just before it.
        let mut inputs = 1.0;
        for parameter in parameters {
            let shape: Vec<i64> = parameter.shape.iter().map(|&size| size as i64).collect();
            let mut tensor = Tensor::f_zeros(&shape, (Kind::Float, device)).map_err(torch_error)?;
            let bound = |inputs: f64| 1.0 / inputs.sqrt();
            let filled = match parameter.role {
                Role::Weight => {
                    inputs = parameter.shape[1..].iter().product::<usize>() as f64;
                    match parameter.shape[..] {
                        [out_channels, _, height, width] => {
                            let deviation = (2.0 / (height * width * out_channels) as f64).sqrt();
                            tensor.f_normal_(0.0, deviation)
                        }
                        _ => tensor.f_uniform_(-bound(inputs), bound(inputs)),
                    }
                }
                Role::Bias => tensor.f_uniform_(-bound(inputs), bound(inputs)),
                Role::Scale | Role::RunningVariance => tensor.f_fill_(1.0),
                Role::Shift | Role::RunningMean => tensor.f_fill_(0.0),
            };
            tensors.insert(parameter.name.clone(), filled.map_err(torch_error)?);
        }
        Ok(Parameters { tensors })
    }

    /// Draws the decoder's convolutions anew, uniform within `1 / sqrt(inputs)`: masks then begin grey. As
    /// the released code draws them they begin as nearly binary noise, of which a short training leaves some.
    ///
    /// Seed with [`tch::manual_seed`].
    ///
    /// # Errors
    /// [`Error::Engine`] if libtorch fails.
    pub fn soften_decoder(&mut self) -> Result<()> {
        for (name, tensor) in &mut self.tensors {
            let size = tensor.size();
            let [_, inputs, height, width] = size[..] else {
                continue;
            };
            if name.starts_with("decoder.") {
                let bound = 1.0 / ((inputs * height * width) as f64).sqrt();
                let _ = tensor.f_uniform_(-bound, bound).map_err(torch_error)?;
            }
        }
        Ok(())
    }

    /// The same tensors in another number format.
    ///
    /// # Errors
    /// [`Error::Engine`] if the device has no room.
    pub fn to_kind(&self, kind: Kind) -> Result<Parameters> {
        let mut tensors = BTreeMap::new();
        for (name, tensor) in self.iter() {
            tensors.insert(
                name.to_owned(),
                tensor.f_to_kind(kind).map_err(torch_error)?,
            );
        }
        Ok(Parameters { tensors })
    }

    /// Copies with memory of their own, on `device`.
    ///
    /// # Errors
    /// [`Error::Engine`] if the device has no room.
    pub fn copied(&self, device: Device) -> Result<Parameters> {
        let copy = |tensor: &Tensor| {
            let (size, kind) = (tensor.size(), tensor.f_kind()?);
            let mut copy = Tensor::f_empty(&size, (kind, device))?;
            tch::no_grad(|| copy.f_copy_(tensor))?;
            Ok(copy)
        };
        let mut tensors = BTreeMap::new();
        for (name, tensor) in self.iter() {
            tensors.insert(name.to_owned(), copy(tensor).map_err(torch_error)?);
        }
        Ok(Parameters { tensors })
    }

    /// The tensors whose name `keep` accepts; they share their memory with these.
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Parameters {
        let kept = self.iter().filter(|(name, _)| keep(name));
        Parameters {
            tensors: kept
                .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
                .collect(),
        }
    }

    /// Adds a tensor, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.tensors.insert(name.into(), tensor);
    }

    /// The tensor with this name; it shares its memory with the one kept here.
    ///
    /// # Errors
    /// [`Error::Engine`] if there is none.
    pub fn get(&self, name: &str) -> Result<Tensor> {
        let tensor = self.tensors.get(name).ok_or_else(|| Error::Engine {
            engine: "torch".to_owned(),
            reason: format!("there is no parameter {name}"),
        })?;
        Ok(tensor.shallow_clone())
    }

    /// Names and tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The values, for [`casm_core::checkpoint::serialize`].
    ///
    /// # Errors
    /// [`Error::Engine`] if they cannot be copied from the device.
    pub fn to_named(&self) -> Result<Vec<NamedTensor>> {
        self.iter()
            .map(|(name, tensor)| {
                let flat = tensor
                    .f_to_kind(Kind::Float)
                    .and_then(|tensor| tensor.f_to_device(Device::Cpu))
                    .and_then(|tensor| tensor.f_contiguous())
                    .and_then(|tensor| tensor.f_reshape([-1]))
                    .map_err(torch_error)?;
                let shape = tensor.size().iter().map(|&size| size as usize).collect();
                let values = Vec::<f32>::try_from(&flat).map_err(torch_error)?;
                Ok(NamedTensor {
                    name: name.to_owned(),
                    shape,
                    values,
                })
            })
            .collect()
    }
}

fn to_tensor(tensor: &NamedTensor, device: Device) -> Result<Tensor> {
    let shape: Vec<i64> = tensor.shape.iter().map(|&size| size as i64).collect();
    Tensor::f_from_slice(&tensor.values)
        .and_then(|flat| flat.f_reshape(&shape))
        .and_then(|tensor| tensor.f_to_device(device))
        .map_err(torch_error)
}
