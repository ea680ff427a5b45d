//! Safetensors files: a JSON header and raw tensors, no pickle.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::Limits;
use super::error::Problem;
use super::state_dict::{Group, Ignored, StateDict};
use super::tensor::{Kind, Tensor};

/// Name of the container.
pub(super) const SAFETENSORS: &str = "safetensors";

/// Reads all tensors of a safetensors file.
///
/// # Errors
/// [`Problem::Truncated`], [`Problem::Damaged`], [`Problem::TooLarge`], [`Problem::NoTensors`] or
/// [`Problem::Io`].
pub(super) fn read(file: File, limits: &Limits) -> Result<StateDict, Problem> {
    let limit = limits.tensor_bytes;
    let too_large = || Problem::TooLarge {
        what: "bytes of tensors",
        limit,
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    let mut ignored = Ignored::default();
    let mut group = Group::new();
    let mut left = limit;
    for (name, view) in SafeTensors::deserialize(&bytes)?.iter() {
        let Some(kind) = float(view.dtype()) else {
            ignored.add(name, "no floating-point tensor");
            continue;
        };
        let length = view.data().len() / kind.bytes();
        let wide = (length as u64).checked_mul(size_of::<f32>() as u64);
        left = wide
            .and_then(|wide| left.checked_sub(wide))
            .ok_or_else(too_large)?;
        let tensor = Tensor {
            shape: view.shape().to_vec(),
            values: kind.decode(view.data()),
        };
        group.insert(name.to_owned(), tensor);
    }
    if group.is_empty() {
        return Err(Problem::NoTensors(
            "tensors of integers, or none".to_owned(),
        ));
    }
    let groups = BTreeMap::from([(String::new(), group)]);
    Ok(StateDict {
        groups,
        ignored: ignored.into_lines(),
        source_format: SAFETENSORS,
    })
}

fn float(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::F32),
        Dtype::F64 => Some(Kind::F64),
        Dtype::F16 => Some(Kind::F16),
        Dtype::BF16 => Some(Kind::Bf16),
        _ => None,
    }
}

impl From<SafeTensorError> for Problem {
    fn from(error: SafeTensorError) -> Self {
        match error {
            SafeTensorError::HeaderTooSmall
            | SafeTensorError::InvalidHeaderLength
            | SafeTensorError::MetadataIncompleteBuffer => Self::Truncated,
            error => Self::Damaged(error.to_string()),
        }
    }
}
