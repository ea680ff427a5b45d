//! Bytes on their way to the device and back: ordinary memory, or pinned memory that a GPU reads by itself.

use casm_core::Result;
use casm_core::engine::LaidFrame;
use tch::{Device, Kind, TchError, Tensor};

use crate::cuda::{Shim, Stream};
use crate::torch_error;

/// Pinned memory grows by whole units of this.
const UNIT: usize = 1 << 20;

/// A buffer that is used again and again.
pub struct HostMemory {
    plain: Vec<u8>,
    /// In the place of `plain`, where there is a GPU.
    pinned: Option<Pinned>,
    /// Bytes that are used.
    length: usize,
}

struct Pinned {
    shim: &'static Shim,
    tensor: Tensor,
    capacity: usize,
}

impl HostMemory {
    /// Ordinary memory; or pinned, where the functions for that are given.
    ///
    /// # Errors
    /// [`casm_core::Error::Engine`] with CUDA's message.
    pub fn new(shim: Option<&'static Shim>) -> Result<HostMemory> {
        let pin = |shim: &'static Shim| {
            shim.pinned(UNIT).map(|tensor| Pinned {
                shim,
                tensor,
                capacity: UNIT,
            })
        };
        Ok(HostMemory {
            plain: Vec::new(),
            pinned: shim.map(pin).transpose().map_err(torch_error)?,
            length: 0,
        })
    }

    /// Room for so many bytes, with anything in them.
    ///
    /// # Errors
    /// As [`HostMemory::new`].
    pub fn room(&mut self, bytes: usize) -> Result<&mut [u8]> {
        match &mut self.pinned {
            None => self.plain.resize(bytes, 0),
            Some(pinned) if pinned.capacity < bytes => {
                let capacity = bytes.div_ceil(UNIT) * UNIT;
                pinned.tensor = pinned.shim.pinned(capacity).map_err(torch_error)?;
                pinned.capacity = capacity;
            }
            Some(_) => {}
        }
        self.length = bytes;
        Ok(match &mut self.pinned {
            None => &mut self.plain[..],
            // SAFETY: so many bytes of the tensor's own memory, which nothing else refers to: it is lent to
            // libtorch only for the copies of a batch, which end before the memory comes back.
            Some(pinned) => unsafe {
                std::slice::from_raw_parts_mut(pinned.tensor.data_ptr().cast(), bytes)
            },
        })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.pinned {
            None => &self.plain[..self.length],
            // SAFETY: as in `room`.
            Some(pinned) => unsafe {
                std::slice::from_raw_parts(pinned.tensor.data_ptr().cast(), self.length)
            },
        }
    }

    /// Writes the planes of `frames` one after the other, without what is between their rows.
    ///
    /// # Errors
    /// As [`HostMemory::new`].
    pub fn store_frames(&mut self, frames: &[LaidFrame<'_>]) -> Result<()> {
        let bytes = frames.iter().map(frame_bytes).sum();
        let mut left = self.room(bytes)?;
        for LaidFrame { frame, .. } in frames {
            for index in 0..frame.format().plane_count() {
                let size = frame
                    .format()
                    .plane_size(index, frame.width(), frame.height());
                let (row_bytes, rows) = (size.row_bytes(), size.rows as usize);
                let plane = frame.plane(index);
                let (own, rest) = left.split_at_mut(row_bytes * rows);
                left = rest;
                if plane.stride == row_bytes {
                    own.copy_from_slice(&plane.data[..row_bytes * rows]);
                    continue;
                }
                let stored = plane.data.chunks(plane.stride);
                for (own, stored) in own.chunks_exact_mut(row_bytes).zip(stored) {
                    own.copy_from_slice(&stored[..row_bytes]);
                }
            }
        }
        Ok(())
    }

    /// A copy on `device`, `[bytes]`. From pinned memory it is not waited for.
    ///
    /// # Errors
    /// No memory.
    pub fn to_device(&self, device: Device) -> std::result::Result<Tensor, TchError> {
        match &self.pinned {
            None => Tensor::f_from_slice(self.bytes())?.f_to_device(device),
            Some(pinned) => {
                let bytes = pinned.tensor.f_narrow(0, 0, self.length as i64)?;
                bytes.f_to_device_(device, Kind::Uint8, true, true)
            }
        }
    }

    /// The bytes into a tensor of as many on a device. From pinned memory it is not waited for.
    ///
    /// # Errors
    /// Another number of bytes.
    pub fn copy_to(&self, to: &mut Tensor) -> std::result::Result<(), TchError> {
        match &self.pinned {
            None => to.f_copy_(&Tensor::f_from_slice(self.bytes())?),
            Some(pinned) => {
                let bytes = pinned.tensor.f_narrow(0, 0, self.length as i64)?;
                pinned.shim.copy(to, &bytes)
            }
        }
    }

    /// The numbers of f32 `tensors` on the stream's device, one after the other. Only into pinned memory.
    ///
    /// # Errors
    /// Ordinary memory; CUDA's, also those of what was launched before.
    pub fn read_back(&mut self, tensors: &[Tensor], stream: &Stream) -> Result<&[f32]> {
        let numbers: usize = tensors.iter().map(Tensor::numel).sum();
        self.room(numbers * size_of::<f32>())?;
        self.copy_back(tensors, stream).map_err(torch_error)?;
        Ok(bytemuck::cast_slice(self.bytes()))
    }

    fn copy_back(&self, tensors: &[Tensor], stream: &Stream) -> std::result::Result<(), TchError> {
        let Some(pinned) = &self.pinned else {
            return Err(TchError::Torch("this memory is not pinned".to_owned()));
        };
        let all = pinned.tensor.f_narrow(0, 0, self.length as i64)?;
        let all = all.f_view_dtype(Kind::Float)?;
        let (mut begin, mut parts) = (0, Vec::new());
        for tensor in tensors {
            let numbers = tensor.numel() as i64;
            let mut part = all.f_narrow(0, begin, numbers)?;
            begin += numbers;
            pinned.shim.copy(&mut part, &tensor.f_reshape([-1])?)?;
            parts.push(part);
        }
        stream.wait()
    }
}

/// Bytes of a frame's planes, without what is between rows.
pub fn frame_bytes(laid: &LaidFrame<'_>) -> usize {
    let frame = &laid.frame;
    let format = frame.format();
    let planes = 0..format.plane_count();
    let size = |plane| format.plane_size(plane, frame.width(), frame.height());
    planes
        .map(|plane| size(plane).row_bytes() * size(plane).rows as usize)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use casm_core::frame::{ColorSpace, Frame, PixelFormat, Plane};
    use casm_core::{Geometry, Resize};

    /// By hand: 3x3 I420 is three rows of three and two planes of two by two.
    #[test]
    fn planes_are_stored_without_what_is_between_rows() {
        let luma = [1, 2, 3, 99, 4, 5, 6, 99, 7, 8, 9];
        let (u, v) = ([10, 11, 12, 13], [14, 15, 98, 97, 16, 17]);
        let planes = [(&luma[..], 4), (&u[..], 2), (&v[..], 4)];
        let planes = planes.map(|(data, stride)| Plane { data, stride });
        let frame = Frame::new(PixelFormat::I420, 3, 3, ColorSpace::default(), planes);
        let laid = LaidFrame {
            frame: frame.expect("fits"),
            geometry: Geometry::new(Resize::Stretch, 3, 3, 2),
        };
        let mut memory = HostMemory::new(None).expect("memory");
        memory.store_frames(&[laid.clone(), laid]).expect("memory");
        let expected: Vec<u8> = (1..=17).collect();
        assert_eq!(memory.bytes(), expected.repeat(2));
        // Less than before: what is left of that is not seen.
        memory.room(2).expect("memory").copy_from_slice(&[5, 6]);
        assert_eq!(memory.bytes(), [5, 6]);
        let tensor = memory.to_device(Device::Cpu).expect("memory");
        assert_eq!(Vec::<u8>::try_from(&tensor).expect("bytes"), [5, 6]);
    }

    #[test]
    fn pinned_memory_grows_and_reads_back() {
        let shim = crate::cuda::fake::shim(true);
        let stream = Stream::open(shim, 0).expect("opens");
        let mut memory = HostMemory::new(Some(shim)).expect("memory");
        for bytes in [3, UNIT + 1, 10] {
            let room = memory.room(bytes).expect("memory");
            assert_eq!(room.len(), bytes);
            room.fill(7);
            room[bytes - 1] = 9;
            let mut copied = Tensor::zeros([bytes as i64], (Kind::Uint8, Device::Cpu));
            memory.copy_to(&mut copied).expect("as many");
            assert_eq!(copied, memory.to_device(Device::Cpu).expect("memory"));
            let copied = Vec::<u8>::try_from(&copied).expect("bytes");
            assert_eq!((copied[0], copied[bytes - 1]), (7, 9));
        }
        assert_eq!(memory.pinned.as_ref().expect("pinned").capacity, 2 * UNIT);
        let tensors = [
            Tensor::from_slice(&[1.0_f32, 2.0]).reshape([1, 2]),
            Tensor::from_slice(&[3.0_f32]),
        ];
        assert_eq!(
            memory.read_back(&tensors, &stream).expect("pinned"),
            [1.0, 2.0, 3.0]
        );
        assert!(
            HostMemory::new(None)
                .expect("memory")
                .read_back(&tensors, &stream)
                .is_err()
        );
    }
}
