//! Gradients of several batches as one.

use casm::{Result, torch_error};
use tch::{TchError, Tensor};

use crate::run::LossScale;

/// A weighted sum of gradients; none before the first, and none after an overflow.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    pub(crate) total: Option<Vec<Tensor>>,
}

impl Sum {
    /// Takes the loss scale back. Gradients that overflowed are dropped, and the step that they were for
    /// is left out; true then.
    pub(crate) fn unscale(&mut self, scale: LossScale) -> Result<bool> {
        let Some(total) = &mut self.total else {
            return Ok(false);
        };
        let overflowed = scale.unscale(total).map_err(torch_error)?;
        if overflowed {
            self.total = None;
        }
        Ok(overflowed)
    }

    /// Adds gradients times `weight`.
    pub(crate) fn add(&mut self, gradients: Option<Vec<Tensor>>, weight: f64) -> Result<()> {
        let Some(gradients) = gradients else {
            return Ok(());
        };
        let _no_gradients = tch::no_grad_guard();
        let weighted = gradients.into_iter().map(|gradient| match weight {
            1.0 => Ok(gradient),
            _ => gradient.f_mul_scalar(weight),
        });
        let weighted: std::result::Result<Vec<Tensor>, TchError> = weighted.collect();
        let weighted = weighted.map_err(torch_error)?;
        let Some(total) = &mut self.total else {
            self.total = Some(weighted);
            return Ok(());
        };
        for (total, gradient) in total.iter_mut().zip(&weighted) {
            let _ = total.f_add_(gradient).map_err(torch_error)?;
        }
        Ok(())
    }
}
