//! Gradients → parameters: SGD for the classifier, Adam for the mapping (the released code's choice).
//!
//! Written out, because libtorch's own optimisers cannot be saved from here, and a run must go on
//! exactly where it stopped. The arithmetic is PyTorch's, operation by operation.

mod adam;
mod schedule;
mod sgd;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use casm::network::{Parameter, Role};
use casm::parameters::Parameters;
use tch::{TchError, Tensor};

pub use adam::Adam;
pub use schedule::RateSchedule;
pub use sgd::Sgd;

/// The tensors that gradients change, in a fixed order.
#[derive(Debug)]
pub struct Trained {
    /// Name and tensor; the tensor requires a gradient.
    pub tensors: Vec<(String, Tensor)>,
}

impl Trained {
    /// Those of `parameters` that are in `wanted` and not running statistics; marks them as requiring a
    /// gradient.
    ///
    /// # Errors
    /// If one is missing.
    pub fn new(parameters: &Parameters, wanted: &[Parameter]) -> casm::Result<Trained> {
        let trained = wanted
            .iter()
            .filter(|parameter| {
                !matches!(parameter.role, Role::RunningMean | Role::RunningVariance)
            })
            .map(|parameter| {
                let tensor = parameters.get(&parameter.name)?.set_requires_grad(true);
                Ok((parameter.name.clone(), tensor))
            });
        Ok(Trained {
            tensors: trained.collect::<casm::Result<_>>()?,
        })
    }

    /// The gradients of `loss`, in the order of the tensors. `keep_graph`: another gradient through the
    /// same forward pass follows.
    ///
    /// Only what leads to these tensors is computed: no gradient is made to be thrown away.
    ///
    /// # Errors
    /// libtorch's: no memory.
    pub fn gradients(&self, loss: &Tensor, keep_graph: bool) -> Result<Vec<Tensor>, TchError> {
        let inputs: Vec<&Tensor> = self.tensors.iter().map(|(_, tensor)| tensor).collect();
        let gradients = Tensor::f_run_backward(&[loss], &inputs, keep_graph, false)?;
        let pairs = gradients.into_iter().zip(inputs);
        // A tensor that the loss does not depend on has no gradient: it is zero.
        pairs
            .map(|(gradient, input)| match gradient.defined() {
                true => Ok(gradient),
                false => input.f_zeros_like(),
            })
            .collect()
    }
}

/// Scales gradients whose L2 norm, of all together, is above `largest` down to it, as PyTorch's
/// `clip_grad_norm_` does; 0 is no limit. Returns the norm before that, `[]`. Nothing waits for the
/// device.
///
/// # Errors
/// libtorch's.
pub fn clip(gradients: &mut [Tensor], largest: f64) -> Result<Tensor, TchError> {
    let norms = gradients
        .iter()
        .map(|gradient| gradient.f_norm())
        .collect::<Result<Vec<_>, _>>()?;
    if norms.is_empty() {
        return Tensor::f_from_slice(&[0.0f64])?.f_reshape([0i64; 0]);
    }
    let norm = Tensor::f_stack(&norms, 0)?.f_norm()?;
    if largest > 0.0 {
        let factor = norm
            .f_add_scalar(1e-6)?
            .f_reciprocal()?
            .f_mul_scalar(largest)?
            .f_clamp_max(1.0)?;
        for gradient in gradients {
            let _ = gradient.f_mul_(&factor)?;
        }
    }
    Ok(norm)
}

/// An optimiser's state as named tensors, to store it and to go on with it.
pub type State = BTreeMap<String, Tensor>;

/// The gradient with weight decay, PyTorch's L2 form.
fn decayed(gradient: &Tensor, tensor: &Tensor, decay: f64) -> Result<Tensor, TchError> {
    if decay == 0.0 {
        return Ok(gradient.shallow_clone());
    }
    gradient.f_add(&tensor.f_mul_scalar(decay)?)
}

/// The stored tensor `name`, zeros at first.
fn slot<'a>(state: &'a mut State, name: &str, like: &Tensor) -> Result<&'a mut Tensor, TchError> {
    match state.entry(name.to_owned()) {
        Entry::Occupied(entry) => Ok(entry.into_mut()),
        Entry::Vacant(entry) => Ok(entry.insert(like.f_detach()?.f_zeros_like()?)),
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn clipping_scales_to_the_limit_and_leaves_small_gradients() {
        // By hand: (3, 4) has norm 5.
        let mut gradients = [Tensor::from_slice(&[3.0f64]), Tensor::from_slice(&[4.0f64])];
        let norm = clip(&mut gradients, 10.0).unwrap();
        assert_eq!(norm.double_value(&[]), 5.0);
        assert_eq!(gradients[0].double_value(&[0]), 3.0);
        let _ = clip(&mut gradients, 0.0).unwrap();
        assert_eq!(gradients[0].double_value(&[0]), 3.0);
        let _ = clip(&mut gradients, 1.0).unwrap();
        assert!((gradients[1].double_value(&[0]) - 0.8).abs() < 1e-6);
    }

    #[test]
    fn what_the_loss_does_not_depend_on_has_a_zero_gradient() {
        let a = Tensor::from_slice(&[2.0f64]).set_requires_grad(true);
        let b = Tensor::ones([2], (Kind::Double, Device::Cpu)).set_requires_grad(true);
        let trained = Trained {
            tensors: vec![("a".into(), a.shallow_clone()), ("b".into(), b)],
        };
        let gradients = trained
            .gradients(&(&a * &a).sum(Kind::Double), false)
            .unwrap();
        assert_eq!(gradients[0].double_value(&[0]), 4.0);
        assert_eq!(Vec::<f64>::try_from(&gradients[1]).unwrap(), [0.0, 0.0]);
    }
}
