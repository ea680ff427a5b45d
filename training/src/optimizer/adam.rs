//! Adam (D. P. Kingma, J. Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015).

use tch::{TchError, Tensor};

use super::{State, Trained, decayed, slot};

/// Adam with L2 weight decay added to the gradient, in the form of today's PyTorch: epsilon is added
/// after the bias correction (the released code ran on a version that added it before).
#[derive(Debug)]
pub struct Adam {
    /// Decay of the mean gradient.
    pub beta1: f64,
    /// Decay of the mean squared gradient.
    pub beta2: f64,
    /// Added to the divisor.
    pub epsilon: f64,
    /// L2.
    pub weight_decay: f64,
    /// Steps done.
    pub steps: u64,
    /// `first/NAME` and `second/NAME` of each parameter.
    pub state: State,
}

impl Adam {
    /// The usual decays (0.9, 0.999) and epsilon 1e-8; nothing gathered yet.
    pub fn new(weight_decay: f64) -> Adam {
        Adam {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay,
            steps: 0,
            state: State::new(),
        }
    }

    /// One step at `rate`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn step(
        &mut self,
        trained: &Trained,
        gradients: &[Tensor],
        rate: f64,
    ) -> Result<(), TchError> {
        let _no_gradients = tch::no_grad_guard();
        self.steps += 1;
        let correction1 = 1.0 - self.beta1.powf(self.steps as f64);
        let correction2 = 1.0 - self.beta2.powf(self.steps as f64);
        for ((name, tensor), gradient) in trained.tensors.iter().zip(gradients) {
            let gradient = decayed(gradient, tensor, self.weight_decay)?;
            let first = slot(&mut self.state, &format!("first/{name}"), tensor)?;
            let _ = first
                .f_mul_scalar_(self.beta1)?
                .f_add_(&gradient.f_mul_scalar(1.0 - self.beta1)?)?;
            let first = first.shallow_clone();
            let second = slot(&mut self.state, &format!("second/{name}"), tensor)?;
            let squared = gradient.f_square()?.f_mul_scalar(1.0 - self.beta2)?;
            let _ = second.f_mul_scalar_(self.beta2)?.f_add_(&squared)?;
            let divisor = second
                .f_sqrt()?
                .f_div_scalar(correction2.sqrt())?
                .f_add_scalar(self.epsilon)?;
            let update = first.f_mul_scalar(rate / correction1)?.f_div(&divisor)?;
            let _ = tensor.shallow_clone().f_sub_(&update)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_goes_by_the_rate_against_the_sign_of_the_gradient() {
        let tensor = Tensor::from_slice(&[1.0f64, 1.0]).set_requires_grad(true);
        let trained = Trained {
            tensors: vec![("p".into(), tensor.shallow_clone())],
        };
        let mut adam = Adam::new(0.0);
        let gradient = [Tensor::from_slice(&[1e3f64, -1e-3])];
        adam.step(&trained, &gradient, 0.01).unwrap();
        // After the bias correction the mean over the root of the mean square is ±1, but for epsilon.
        assert!((tensor.double_value(&[0]) - 0.99).abs() < 1e-9);
        assert!((tensor.double_value(&[1]) - 1.01).abs() < 1e-6);
    }
}
