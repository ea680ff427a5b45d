//! Number formats of training.

use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

/// Number format of the forward and backward passes. Weights, their updates, batch norm's statistics
/// and losses stay in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum TrainingPrecision {
    /// 32 bits.
    #[default]
    F32,
    /// bfloat16: the range of f32 with 8 bits of precision.
    Bf16,
    /// IEEE half precision; losses are scaled so that small gradients do not vanish.
    F16,
}

impl TrainingPrecision {
    /// libtorch's name.
    pub fn kind(self) -> Kind {
        match self {
            TrainingPrecision::F32 => Kind::Float,
            TrainingPrecision::Bf16 => Kind::BFloat16,
            TrainingPrecision::F16 => Kind::Half,
        }
    }
}

/// Dynamic loss scaling (P. Micikevicius et al., *Mixed Precision Training*, ICLR 2018): twice as large
/// after a long time without overflow, half after one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// The factor now; 1, and staying so, where numbers have the range of f32.
    pub factor: f64,
    /// Whether losses are scaled at all.
    enabled: bool,
    /// Steps since the last change.
    steps: u32,
}

impl LossScale {
    const FIRST: f64 = 65536.0;
    const LARGEST: f64 = 16_777_216.0;
    /// Steps without overflow until the factor doubles.
    const PATIENCE: u32 = 2000;

    /// For `precision`: 1, and staying so, where numbers have the range of f32.
    pub fn new(precision: TrainingPrecision) -> LossScale {
        let factor = match precision {
            TrainingPrecision::F16 => LossScale::FIRST,
            TrainingPrecision::F32 | TrainingPrecision::Bf16 => 1.0,
        };
        LossScale {
            factor,
            enabled: precision == TrainingPrecision::F16,
            steps: 0,
        }
    }

    /// Divides gradients by the factor. True if that cannot be done, because one overflowed: then they
    /// are not to be used.
    ///
    /// # Errors
    /// libtorch's.
    pub fn unscale(&self, gradients: &mut [Tensor]) -> Result<bool, TchError> {
        match self.enabled {
            true => unscale(gradients, self.factor),
            false => Ok(false),
        }
    }

    /// Takes note of a step; nothing where numbers have the range of f32.
    pub fn update(&mut self, overflowed: bool) {
        if !self.enabled {
            return;
        }
        self.steps += 1;
        if overflowed {
            self.factor = (self.factor / 2.0).max(1.0);
            self.steps = 0;
        } else if self.steps >= LossScale::PATIENCE {
            self.factor = (self.factor * 2.0).min(LossScale::LARGEST);
            self.steps = 0;
        }
    }
}

fn unscale(gradients: &mut [Tensor], factor: f64) -> Result<bool, TchError> {
    let mut norms = Vec::with_capacity(gradients.len());
    for gradient in gradients.iter_mut() {
        let _ = gradient.f_mul_scalar_(1.0 / factor)?;
        norms.push(gradient.f_norm()?);
    }
    if norms.is_empty() {
        return Ok(false);
    }
    let norm = Tensor::f_stack(&norms, 0)?.f_sum(Kind::Float)?;
    Ok(!norm.f_double_value(&[])?.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_halves_at_an_overflow_and_doubles_after_long_peace() {
        let mut scale = LossScale::new(TrainingPrecision::F16);
        scale.update(true);
        assert_eq!(scale.factor, 32768.0);
        (0..1999).for_each(|_| scale.update(false));
        assert_eq!(scale.factor, 32768.0);
        scale.update(false);
        assert_eq!(scale.factor, 65536.0);
    }
}
