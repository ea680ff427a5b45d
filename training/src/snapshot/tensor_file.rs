//! safetensors files with a label and a checksum, streamed tensor by tensor.
//!
//! The safetensors crate reads and writes whole files in memory. A run's state with its thinning set is
//! several gigabytes, so its header is used here and the tensors go through one buffer.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use tch::{Device, Kind, TchError, Tensor};

use super::{SnapshotError, Tensors, write_atomically};

/// Keys in the safetensors metadata.
const LABEL: &str = "casm_snapshot";
const CHECKSUM: &str = "crc32c";
/// Largest header, as in the safetensors crate.
const MAX_HEADER: u64 = 100_000_000;

/// A file whose header has been read.
pub(super) struct TensorFile {
    /// The text given to [`write`].
    pub(super) label: String,
    /// Of label, names, shapes and values.
    pub(super) checksum: u32,
    metadata: Metadata,
    reader: BufReader<File>,
}

/// Why tensors could not be written.
pub(super) enum Failure {
    /// Which tensor, and what is wrong with it.
    Tensor(String),
    /// The file.
    Snapshot(SnapshotError),
}

/// Writes the tensors atomically; gives the checksum.
pub(super) fn write(path: &Path, label: &str, tensors: &Tensors) -> Result<u32, Failure> {
    let mut order = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let kind = tensor.f_kind().map_err(of_tensor(name))?;
        let dtype = dtype(kind).ok_or_else(|| {
            Failure::Tensor(format!(
                "tensor {name} is stored as {kind:?}, not as f32 or i64"
            ))
        })?;
        order.push((dtype, name, tensor));
    }
    // Wide numbers first, so that all lie at multiples of their size.
    order.sort_by_key(|&(dtype, name, _)| (Reverse(dtype), name));

    let mut checksum = crc32c::crc32c(label.as_bytes());
    let mut infos = Vec::with_capacity(order.len());
    let mut buffer = Vec::new();
    let mut end = 0;
    for &(dtype, name, tensor) in &order {
        copy(tensor, &mut buffer).map_err(of_tensor(name))?;
        let start = end;
        end += buffer.len();
        let info = TensorInfo {
            dtype,
            shape: tensor.size().iter().map(|&size| size as usize).collect(),
            data_offsets: (start, end),
        };
        checksum = append(checksum, name, &info, &buffer);
        infos.push((name.clone(), info));
    }
    let entries = HashMap::from([
        (LABEL.to_owned(), label.to_owned()),
        (CHECKSUM.to_owned(), format!("{checksum:08x}")),
    ]);
    let mut header = Metadata::new(Some(entries), infos)
        .and_then(|metadata| Ok(serde_json::to_vec(&metadata)?))
        .map_err(|error| Failure::Tensor(error.to_string()))?;
    header.resize(header.len().next_multiple_of(8), b' ');

    write_atomically(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for (_, _, tensor) in order {
            copy(tensor, &mut buffer).map_err(io::Error::other)?;
            file.write_all(&buffer)?;
        }
        Ok(())
    })
    .map_err(|error| Failure::Snapshot(error.into()))?;
    Ok(checksum)
}

impl TensorFile {
    /// Reads the header and makes sure that the file is as long as it says.
    pub(super) fn open(path: &Path) -> Result<TensorFile, SnapshotError> {
        let unreadable = unreadable(path);
        let damaged = |reason: &str| SnapshotError::Damaged {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let file = File::open(path).map_err(&unreadable)?;
        let length = file.metadata().map_err(&unreadable)?.len();
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let mut size = [0; 8];
        reader.read_exact(&mut size).map_err(&unreadable)?;
        let size = u64::from_le_bytes(size);
        if size > MAX_HEADER.min(length) {
            return Err(damaged("it is truncated or not a safetensors file"));
        }
        let mut header = vec![0; size as usize];
        reader.read_exact(&mut header).map_err(&unreadable)?;
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|error| damaged(&format!("it is damaged or no safetensors file ({error})")))?;
        let needed = (8 + size).saturating_add(metadata.data_len() as u64);
        if needed != length {
            let reason = format!("it has {length} bytes and should have {needed}");
            return Err(damaged(&reason));
        }
        let entry = |key: &str| metadata.metadata().as_ref()?.get(key).cloned();
        let (Some(label), Some(checksum)) = (entry(LABEL), entry(CHECKSUM)) else {
            return Err(damaged("it is a safetensors file without a run's state"));
        };
        let checksum = u32::from_str_radix(&checksum, 16)
            .map_err(|_| damaged("its checksum is not a number"))?;
        Ok(TensorFile {
            label,
            checksum,
            metadata,
            reader,
        })
    }

    /// Reads the tensors, onto `device`.
    pub(super) fn read(mut self, path: &Path, device: Device) -> Result<Tensors, SnapshotError> {
        let damaged = |reason: String| SnapshotError::Damaged {
            path: path.to_owned(),
            reason,
        };
        let mut checksum = crc32c::crc32c(self.label.as_bytes());
        let mut tensors = Tensors::new();
        let mut buffer = Vec::new();
        for name in self.metadata.offset_keys() {
            let Some(info) = self.metadata.info(&name) else {
                continue;
            };
            let kind = kind(info.dtype)
                .ok_or_else(|| damaged(format!("tensor {name} is stored as {:?}", info.dtype)))?;
            let (start, end) = info.data_offsets;
            buffer.resize(end - start, 0);
            self.reader
                .read_exact(&mut buffer)
                .map_err(unreadable(path))?;
            checksum = append(checksum, &name, info, &buffer);
            let shape: Vec<i64> = info.shape.iter().map(|&size| size as i64).collect();
            let tensor = Tensor::f_from_data_size(&buffer, &shape, kind)
                .and_then(|tensor| tensor.f_to_device(device))
                .map_err(|error| SnapshotError::Device {
                    path: path.to_owned(),
                    name: name.clone(),
                    reason: message(&error),
                })?;
            tensors.insert(name, tensor);
        }
        if checksum != self.checksum {
            let reason = format!(
                "its checksum is {checksum:08x} and should be {:08x}",
                self.checksum
            );
            return Err(damaged(reason));
        }
        Ok(tensors)
    }
}

fn append(checksum: u32, name: &str, info: &TensorInfo, values: &[u8]) -> u32 {
    let checksum = crc32c::crc32c_append(checksum, name.as_bytes());
    let checksum = info.shape.iter().fold(checksum, |checksum, &size| {
        crc32c::crc32c_append(checksum, &(size as u64).to_le_bytes())
    });
    crc32c::crc32c_append(checksum, values)
}

/// The values as they lie in memory, row-major.
fn copy(tensor: &Tensor, buffer: &mut Vec<u8>) -> Result<(), TchError> {
    let size = tensor.f_kind()?.elt_size_in_bytes();
    buffer.resize(tensor.numel() * size, 0);
    tensor.f_copy_data_u8(buffer, tensor.numel())
}

fn dtype(kind: Kind) -> Option<Dtype> {
    match kind {
        Kind::Float => Some(Dtype::F32),
        Kind::Int64 => Some(Dtype::I64),
        _ => None,
    }
}

fn kind(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::I64 => Some(Kind::Int64),
        _ => None,
    }
}

fn of_tensor(name: &str) -> impl Fn(TchError) -> Failure {
    move |error| Failure::Tensor(format!("tensor {name}: {}", message(&error)))
}

/// libtorch's message without its call stack.
fn message(error: &TchError) -> String {
    let text = error.to_string();
    let first = text.split("\nException raised from").next();
    first.unwrap_or(&text).trim().to_owned()
}

/// A file that ends early is damaged; other failures are the operating system's.
pub(super) fn unreadable(path: &Path) -> impl Fn(io::Error) -> SnapshotError {
    move |cause| match cause.kind() {
        ErrorKind::UnexpectedEof => SnapshotError::Damaged {
            path: path.to_owned(),
            reason: "it is truncated".to_owned(),
        },
        _ => SnapshotError::Read {
            path: path.to_owned(),
            cause,
        },
    }
}
