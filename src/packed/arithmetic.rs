//! In which number format a network is computed, and by which of libtorch's operations.

use casm_core::engine::cpu_has_bf16;
use tch::{Device, Kind, TchError, Tensor};

use super::native::{self, Functions};

/// How the steps of a network are computed.
#[derive(Clone, Copy)]
pub struct Arithmetic {
    /// Number format of weights and results where nothing else is needed.
    pub kind: Kind,
    /// The one that they are computed in: the same, or f32.
    pub computed: Kind,
    /// Fused convolutions; without them, steps are ordinary operations.
    pub functions: Option<&'static Functions>,
}

impl Arithmetic {
    /// In this number format itself; `None` on a CPU for f16, and for bf16 without its instructions or without the fused
    /// convolutions, which libtorch then refuses or is slower at than in f32.
    pub fn native(kind: Kind, device: Device) -> Option<Arithmetic> {
        let functions = match (device, kind) {
            (Device::Cpu, Kind::Float) => native::functions(),
            (Device::Cpu, Kind::BFloat16) if cpu_has_bf16() => Some(native::functions()?),
            (Device::Cpu, _) => return None,
            _ => None,
        };
        Some(Arithmetic {
            kind,
            computed: kind,
            functions,
        })
    }

    /// On the CPU in f32, with weights and results rounded to this number format: what others give, at two thirds of the
    /// speed of f32.
    pub fn rounding(kind: Kind) -> Arithmetic {
        Arithmetic {
            kind,
            computed: Kind::Float,
            functions: native::functions(),
        }
    }

    /// Whether results are to be rounded after they are computed.
    pub fn rounds(&self) -> bool {
        self.computed != self.kind
    }
}

/// What the values of a network are computed in.
pub struct Formats {
    /// All but the wide ones.
    pub arithmetic: Arithmetic,
    /// Values that are in f32 in any case.
    pub wide: Vec<bool>,
    /// Where they are.
    pub device: Device,
}

impl Formats {
    /// What a value is computed in.
    pub fn kind_of(&self, value: usize) -> Kind {
        match self.wide[value] {
            true => Kind::Float,
            false => self.arithmetic.computed,
        }
    }

    /// `tensor` with the digits of this value's number format, if its own has more.
    pub fn rounded(&self, tensor: Tensor, value: usize) -> Result<Tensor, TchError> {
        let Arithmetic { kind, computed, .. } = self.arithmetic;
        match self.arithmetic.rounds() && !self.wide[value] {
            true => tensor.f_to_kind(kind)?.f_to_kind(computed),
            false => Ok(tensor),
        }
    }

    /// The value `input` as `layer` reads it.
    pub fn operand(&self, tensor: &Tensor, input: usize, layer: usize) -> Result<Tensor, TchError> {
        let tensor = tensor.f_to_kind(self.kind_of(layer))?;
        match self.wide[input] {
            true => self.rounded(tensor, layer),
            // Rounded when it was computed.
            false => Ok(tensor),
        }
    }
}
