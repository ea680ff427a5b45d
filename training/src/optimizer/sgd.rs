//! Stochastic gradient descent with momentum.

use tch::{TchError, Tensor};

use super::{State, Trained, decayed, slot};

/// SGD with momentum and L2 weight decay, PyTorch's form: `b ← μ b + (g + w p)`, `p ← p - η b`.
#[derive(Debug, Default)]
pub struct Sgd {
    /// μ, 0 to 1.
    pub momentum: f64,
    /// w.
    pub weight_decay: f64,
    /// b of each parameter.
    pub state: State,
}

impl Sgd {
    /// With nothing gathered yet.
    pub fn new(momentum: f64, weight_decay: f64) -> Sgd {
        Sgd {
            momentum,
            weight_decay,
            state: State::new(),
        }
    }

    /// One step at `rate` (η). `behind_autograd`: change the memory without its notice, so
    /// that a forward pass made before still gives gradients, through the new weights.
    ///
    /// # Errors
    /// libtorch's.
    pub fn step(
        &mut self,
        trained: &Trained,
        gradients: &[Tensor],
        rate: f64,
        behind_autograd: bool,
    ) -> Result<(), TchError> {
        let _no_gradients = tch::no_grad_guard();
        for ((name, tensor), gradient) in trained.tensors.iter().zip(gradients) {
            let gradient = decayed(gradient, tensor, self.weight_decay)?;
            let buffer = slot(&mut self.state, name, tensor)?;
            let _ = buffer.f_mul_scalar_(self.momentum)?.f_add_(&gradient)?;
            let update = buffer.f_mul_scalar(rate)?;
            let mut target = if behind_autograd {
                tensor.f_data()?
            } else {
                tensor.shallow_clone()
            };
            let _ = target.f_sub_(&update)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_by_hand() {
        let tensor = Tensor::from_slice(&[1.0f64]).set_requires_grad(true);
        let trained = Trained {
            tensors: vec![("p".into(), tensor.shallow_clone())],
        };
        let mut sgd = Sgd::new(0.9, 0.1);
        let gradient = [Tensor::from_slice(&[0.5f64])];
        // b = 0.5 + 0.1 · 1 = 0.6; p = 1 - 0.1 · 0.6 = 0.94.
        sgd.step(&trained, &gradient, 0.1, false).unwrap();
        assert!((tensor.double_value(&[0]) - 0.94).abs() < 1e-12);
        // b = 0.9 · 0.6 + 0.5 + 0.094 = 1.134; p = 0.94 - 0.1134.
        sgd.step(&trained, &gradient, 0.1, true).unwrap();
        assert!((tensor.double_value(&[0]) - 0.8266).abs() < 1e-12);
    }
}
