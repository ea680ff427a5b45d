//! Tensors as a pickle describes them: a call of a rebuilding function over a storage, with offset,
//! shape and strides.

use super::pickle::{Id, Pickle, Value, shorten};
use super::tensor::{Kind, Tensor};

/// Longest name of a storage, which is a number in all versions of PyTorch.
const KEY_LENGTH: usize = 100;

/// A storage as a pickle refers to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// Its name in the container.
    pub(super) key: String,
    pub(super) kind: Kind,
    /// Elements.
    pub(super) length: usize,
    /// First element and length of the window into a larger storage, as PyTorch 0.4 may write it.
    window: Option<(usize, usize)>,
}

impl Storage {
    /// Reads the persistent id `('storage', class, key, location, length[, window])`.
    pub(super) fn from_id(pickle: &Pickle, id: Id) -> Option<Self> {
        let Value::Persistent(reference) = pickle.get(id) else {
            return None;
        };
        let [tag, class, key, _location, length, rest @ ..] = pickle.sequence(*reference)? else {
            return None;
        };
        let (Some("storage"), Value::Global(class)) = (pickle.text(*tag), pickle.get(*class))
        else {
            return None;
        };
        let window = match rest.first() {
            Some(&window) if *pickle.get(window) != Value::None => {
                let [_key, first, length] = pickle.sequence(window)? else {
                    return None;
                };
                Some((pickle.size(*first)?, pickle.size(*length)?))
            }
            _ => None,
        };
        let key = pickle.text(*key).filter(|key| key.len() <= KEY_LENGTH)?;
        Some(Self {
            key: key.to_owned(),
            kind: Kind::of_storage(class.rsplit('.').next()?)?,
            length: pickle.size(*length)?,
            window,
        })
    }

    /// Whether both are the same bytes read the same way.
    pub(super) fn is(&self, other: &Self) -> bool {
        (&self.key, self.kind, self.length) == (&other.key, other.kind, other.length)
    }

    /// Its size in the container, unless that overflows.
    pub(super) fn bytes(&self) -> Option<usize> {
        self.length.checked_mul(self.kind.bytes())
    }
}

/// A tensor in a pickle: a view of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub(super) storage: Storage,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl View {
    /// The tensor at `id`: None if there is none, an error if it is of a kind that is not imported.
    pub(super) fn recognise(pickle: &Pickle, id: Id) -> Option<Result<Self, String>> {
        let mut id = id;
        // A parameter wraps a tensor, at most twice; the bound is for files that wrap in circles.
        for _ in 0..4 {
            let args = pickle.args(id);
            match pickle.callable(id)? {
                "torch._utils._rebuild_parameter"
                | "torch._utils._rebuild_parameter_with_state"
                | "torch.nn.parameter.Parameter"
                | "torch.nn.parameter.Buffer"
                | "torch.autograd.variable.Variable" => id = *args.first()?,
                "torch._tensor._rebuild_from_type_v2" => {
                    // (function, class, arguments, attributes)
                    let (Value::Global(function), Some(args)) =
                        (pickle.get(*args.first()?), pickle.sequence(*args.get(2)?))
                    else {
                        return None;
                    };
                    return Self::rebuild(pickle, function, args);
                }
                function => return Self::rebuild(pickle, function, args),
            }
        }
        None
    }

    fn rebuild(pickle: &Pickle, function: &str, args: &[Id]) -> Option<Result<Self, String>> {
        match function {
            // (storage, offset, shape, strides, …); what follows is for autograd.
            "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => {}
            _ if function.starts_with("torch._utils._rebuild_") => {
                let kind = function.trim_start_matches("torch._utils._rebuild_");
                return Some(Err(format!("a tensor of the kind {}", shorten(kind))));
            }
            _ => return None,
        }
        let view = || {
            let [storage, offset, shape, strides, ..] = args else {
                return None;
            };
            Some(Self {
                storage: Storage::from_id(pickle, *storage)?,
                offset: pickle.size(*offset)?,
                shape: pickle.sizes(*shape)?,
                strides: pickle.sizes(*strides)?,
            })
        };
        Some(match view() {
            Some(Self {
                storage:
                    Storage {
                        kind: Kind::Other { .. },
                        ..
                    },
                ..
            }) => Err("no floating-point tensor".to_owned()),
            Some(view) => Ok(view),
            None => Err("a tensor that is not described as PyTorch does".to_owned()),
        })
    }

    /// Number of elements, having checked that every one of them lies in the storage.
    pub(super) fn length(&self) -> Result<usize, &'static str> {
        if self.shape.len() != self.strides.len() {
            return Err("has sizes and strides of different number");
        }
        let (first, available) = self.storage.window.unwrap_or((0, self.storage.length));
        if first
            .checked_add(available)
            .is_none_or(|end| end > self.storage.length)
        {
            return Err("has a storage window outside of its storage");
        }
        if self.shape.contains(&0) {
            return Ok(0);
        }
        let mut length = 1_usize;
        let mut last = Some(self.offset);
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            length = length.checked_mul(size).ok_or("has sizes that overflow")?;
            let reach = (size - 1).checked_mul(stride);
            last = last
                .zip(reach)
                .and_then(|(last, reach)| last.checked_add(reach));
        }
        if last.is_none_or(|last| last >= available) {
            return Err("reaches beyond its storage");
        }
        // An expanded tensor repeats elements: a kilobyte of file could demand all of the memory.
        if length > available {
            return Err("has more elements than its storage; make it .contiguous() before saving");
        }
        Ok(length)
    }

    /// The tensor's values in row-major order, from the bytes of its storage.
    ///
    /// # Errors
    /// Those of [`View::length`], and if `storage` is shorter than described.
    pub(super) fn extract(&self, storage: &[u8]) -> Result<Tensor, &'static str> {
        const SHORT: &str = "has a storage that is shorter than described";
        let length = self.length()?;
        if length == 0 {
            return Ok(Tensor {
                shape: self.shape.clone(),
                values: Vec::new(),
            });
        }
        let width = self.storage.kind.bytes();
        let first = self.storage.window.map_or(0, |(first, _)| first);
        // Cannot overflow once `length` has passed: every element lies within the storage.
        let start = first.saturating_add(self.offset).saturating_mul(width);
        let bytes = storage.get(start..).ok_or(SHORT)?;
        let values = if self.is_contiguous() {
            self.storage
                .kind
                .decode(bytes.get(..length * width).ok_or(SHORT)?)
        } else {
            let mut packed = Vec::with_capacity(length * width);
            for element in self.positions(length) {
                let element = bytes
                    .get(element * width..)
                    .and_then(|rest| rest.get(..width));
                packed.extend_from_slice(element.ok_or(SHORT)?);
            }
            self.storage.kind.decode(&packed)
        };
        Ok(Tensor {
            shape: self.shape.clone(),
            values,
        })
    }

    fn is_contiguous(&self) -> bool {
        let mut step = 1;
        self.shape
            .iter()
            .zip(&self.strides)
            .rev()
            .all(|(&size, &stride)| {
                let fits = size == 1 || stride == step;
                step *= size;
                fits
            })
    }

    /// Where the elements lie, relative to the first, in row-major order.
    fn positions(&self, length: usize) -> impl Iterator<Item = usize> {
        let mut index = vec![0; self.shape.len()];
        let mut position = 0;
        (0..length).map(move |_| {
            let current = position;
            for dimension in (0..index.len()).rev() {
                let stride = self.strides[dimension];
                if index[dimension] + 1 < self.shape[dimension] {
                    index[dimension] += 1;
                    position += stride;
                    break;
                }
                position -= index[dimension] * stride;
                index[dimension] = 0;
            }
            current
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(offset: usize, shape: &[usize], strides: &[usize]) -> View {
        let storage = Storage {
            key: "0".to_owned(),
            kind: Kind::F32,
            length: 6,
            window: None,
        };
        View {
            storage,
            offset,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        }
    }

    fn bytes() -> Vec<u8> {
        (0..6)
            .flat_map(|value| (value as f32).to_le_bytes())
            .collect()
    }

    #[test]
    fn strides_and_offset_choose_the_elements() {
        let values = |view: View| view.extract(&bytes()).map(|tensor| tensor.values);
        assert_eq!(
            values(view(0, &[3, 2], &[1, 3])),
            Ok(vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0])
        );
        assert_eq!(
            values(view(1, &[2, 2], &[3, 1])),
            Ok(vec![1.0, 2.0, 4.0, 5.0])
        );
        assert_eq!(values(view(5, &[], &[])), Ok(vec![5.0]));
        assert_eq!(
            values(view(2, &[1, 4], &[99, 1])),
            Ok(vec![2.0, 3.0, 4.0, 5.0])
        );
        assert_eq!(
            values(view(1, &[1, 2, 2], &[usize::MAX, 1, 3])),
            Ok(vec![1.0, 4.0, 2.0, 5.0])
        );
        assert_eq!(values(view(6, &[0, usize::MAX, 4], &[4, 1, 2])), Ok(vec![]));
    }

    #[test]
    fn a_window_shifts_and_limits_the_storage() {
        let mut tensor = view(1, &[2], &[1]);
        tensor.storage.window = Some((3, 3));
        assert_eq!(
            tensor.extract(&bytes()).map(|tensor| tensor.values),
            Ok(vec![4.0, 5.0])
        );
        tensor.storage.window = Some((3, 2));
        assert_eq!(tensor.length(), Err("reaches beyond its storage"));
        tensor.storage.window = Some((5, 2));
        assert_eq!(
            tensor.length(),
            Err("has a storage window outside of its storage")
        );
    }

    #[test]
    fn views_beyond_the_storage_and_expanded_views_are_refused() {
        assert!(view(1, &[2, 3], &[3, 1]).length().is_err());
        assert!(view(0, &[7], &[1]).length().is_err());
        assert!(view(0, &[1000, 6], &[0, 1]).length().is_err());
        assert!(view(0, &[usize::MAX, 2], &[0, 0]).length().is_err());
        assert!(view(0, &[2], &[usize::MAX]).length().is_err());
        assert!(view(usize::MAX, &[2], &[1]).length().is_err());
        assert!(view(0, &[2, 3], &[1]).length().is_err());
        assert!(view(0, &[2, 3], &[3, 1]).extract(&bytes()[..20]).is_err());
    }
}
