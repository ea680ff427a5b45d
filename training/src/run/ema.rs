//! A moving average of the weights, which wanders less than the weights themselves.

use casm::parameters::Parameters;
use casm::{Result, torch_error};
use tch::Device;

/// Exponential moving average of named tensors, running statistics included.
#[derive(Debug)]
pub struct Ema {
    /// Share of the average that stays, 0 to 1.
    pub decay: f64,
    /// The average.
    pub average: Parameters,
}

impl Ema {
    /// Starts as a copy of `parameters`.
    ///
    /// # Errors
    /// No memory.
    pub fn new(decay: f64, parameters: &Parameters, device: Device) -> Result<Ema> {
        Ok(Ema {
            decay,
            average: parameters.copied(device)?,
        })
    }

    /// Moves towards `parameters`. In the first steps, `step` counting from 0, the average is over
    /// fewer steps than the decay says, so that it forgets where it started.
    ///
    /// # Errors
    /// libtorch's.
    pub fn update(&mut self, parameters: &Parameters, step: u64) -> Result<()> {
        let _no_gradients = tch::no_grad_guard();
        let decay = self.decay.min((1.0 + step as f64) / (10.0 + step as f64));
        for (name, tensor) in parameters.iter() {
            let mut average = self.average.get(name)?;
            let _ = average
                .f_sub(tensor)
                .and_then(|difference| difference.f_mul_scalar(1.0 - decay))
                .and_then(|difference| average.f_sub_(&difference))
                .map_err(torch_error)?;
        }
        Ok(())
    }
}
