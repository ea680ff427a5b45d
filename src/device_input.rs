//! Frames → the network's input, by tensor operations on a device.
//!
//! `casm_core::input` does the same in loops on the CPU, which is faster there. Here each plane is multiplied with
//! two matrices, rows first, and colours are converted in whole numbers afterwards. Sums of bytes and weights stay
//! below 2^24, so that f32 holds them exactly and the result is the same to the byte, in whatever order a device
//! adds up; unless someone has told libtorch to multiply f32 with fewer bits (TF32 for matrices is off by default).

use casm_core::engine::LaidFrame;
use casm_core::frame::{ColorSpace, PixelFormat, YuvDecoder};
use casm_core::input::{Reading, WEIGHT_ONE, readings};
use casm_core::{Geometry, Result};
use tch::{Device, Kind, TchError, Tensor};

use crate::torch_error;

/// Sizes of frames whose weights are kept. At 1080p they are 3 MB each.
const KEPT: usize = 16;

/// How a frame lies in memory and on the input: all that its way depends on, beside its bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    format: PixelFormat,
    color: ColorSpace,
    geometry: Geometry,
}

impl Layout {
    /// That of a frame.
    pub fn of(laid: &LaidFrame<'_>) -> Layout {
        Layout {
            format: laid.frame.format(),
            color: laid.frame.color(),
            geometry: laid.geometry,
        }
    }
}

/// The weights of the layouts that were seen last.
pub struct DeviceInput {
    device: Device,
    known: Vec<(Layout, Vec<Matrices>)>,
}

/// A reading with its weights on the device.
struct Matrices {
    reading: Reading,
    /// First byte among those of the frame.
    begin: usize,
    /// `[S, rows]`.
    rows: Tensor,
    /// `[columns, S]`.
    columns: Tensor,
}

impl DeviceInput {
    /// Without weights yet.
    pub fn new(device: Device) -> DeviceInput {
        DeviceInput {
            device,
            known: Vec::new(),
        }
    }

    /// Brings the weights for `layouts` to the device, if they are not there. True if others had to go: what was
    /// recorded with those must not run again.
    ///
    /// # Errors
    /// [`casm_core::Error::Config`] for a geometry whose square is not inside of the frame; no memory.
    pub fn prepare(&mut self, layouts: &[Layout]) -> Result<bool> {
        let mut forgotten = false;
        for layout in layouts {
            if self.find(layout).is_some() {
                continue;
            }
            let matrices = self.matrices(layout)?;
            if self.known.len() >= KEPT {
                // All at once, but for those of this batch: who switches between so many has other worries.
                self.known.retain(|(known, _)| layouts.contains(known));
                forgotten = true;
            }
            self.known.push((*layout, matrices));
        }
        Ok(forgotten)
    }

    fn find(&self, layout: &Layout) -> Option<&Vec<Matrices>> {
        let found = self.known.iter().find(|(known, _)| known == layout);
        found.map(|(_, matrices)| matrices)
    }

    fn matrices(&self, layout: &Layout) -> Result<Vec<Matrices>> {
        let side = i64::from(layout.geometry.input_size);
        let (width, height) = (layout.geometry.frame_width, layout.geometry.frame_height);
        let matrix = |values: &[f32]| -> std::result::Result<Tensor, TchError> {
            let matrix = Tensor::f_from_slice(values)?.f_reshape([side, -1])?;
            matrix.f_to_device(self.device)
        };
        let plane_bytes = |plane| {
            let size = layout.format.plane_size(plane, width, height);
            size.row_bytes() * size.rows as usize
        };
        let mut all = Vec::new();
        for mut reading in readings(layout.format, &layout.geometry)? {
            let weights = [&mut reading.row_weights, &mut reading.column_weights];
            let [rows, columns] = weights.map(|weights| matrix(&std::mem::take(weights)));
            let columns = columns.and_then(|columns| columns.f_tr()?.f_contiguous());
            all.push(Matrices {
                begin: (0..reading.plane).map(plane_bytes).sum(),
                rows: rows.map_err(torch_error)?,
                columns: columns.map_err(torch_error)?,
                reading,
            });
        }
        Ok(all)
    }

    /// The bytes of frames laid out so, one frame after the other without padding, `[bytes]` → `[frames, S, S, 3]` RGB
    /// bytes. The weights must be [prepared](DeviceInput::prepare).
    ///
    /// # Errors
    /// libtorch's: no memory, fewer bytes.
    pub fn pictures(
        &self,
        bytes: &Tensor,
        layouts: &[Layout],
    ) -> std::result::Result<Tensor, TchError> {
        let missing = || TchError::Torch("a frame's weights are missing".to_owned());
        let mut pictures = Vec::with_capacity(layouts.len());
        let mut begin = 0;
        for layout in layouts {
            let matrices = self.find(layout).ok_or_else(missing)?;
            pictures.push(picture(bytes, begin, matrices, layout.color)?);
            let last = matrices.last().ok_or_else(missing)?;
            begin += last.begin + last.reading.row_bytes * last.reading.rows;
        }
        match &pictures[..] {
            [single] => single.f_unsqueeze(0),
            _ => Tensor::f_stack(&pictures, 0),
        }
    }
}

/// One frame, `[S, S, 3]`.
fn picture(
    bytes: &Tensor,
    begin: usize,
    matrices: &[Matrices],
    color: ColorSpace,
) -> std::result::Result<Tensor, TchError> {
    let resized = matrices
        .iter()
        .map(|matrices| resize(bytes, begin + matrices.begin, matrices));
    let resized: Vec<Tensor> = resized.collect::<std::result::Result<_, _>>()?;
    let channels = match &resized[..] {
        [single] => single.shallow_clone(),
        _ => Tensor::f_cat(&resized, 0)?,
    };
    // RGB is one reading of three channels, grey one of one.
    let rgb = match (resized.len(), channels.size()[0]) {
        (1, 3) => channels,
        (1, _) => grey(&channels, color)?,
        _ => decode(&channels, color)?,
    };
    let bytes = rgb.f_to_kind(Kind::Uint8)?;
    bytes.f_permute([1, 2, 0])?.f_contiguous()
}

/// What is read of a plane, `[channels, S, S]`, whole levels in f32.
fn resize(
    bytes: &Tensor,
    begin: usize,
    matrices: &Matrices,
) -> std::result::Result<Tensor, TchError> {
    let reading = &matrices.reading;
    let [rows, row_bytes] = [reading.rows as i64, reading.row_bytes as i64];
    let [columns, sample] = [reading.columns as i64, reading.sample_bytes as i64];
    let plane = bytes.f_narrow(0, begin as i64, rows * row_bytes)?;
    let plane = plane.f_reshape([rows, row_bytes])?.f_to_kind(Kind::Float)?;
    let summed = rounded(matrices.rows.f_matmul(&plane)?)?;
    let samples = summed.f_narrow(1, 0, columns * sample)?;
    let samples = samples.f_reshape([-1, columns, sample])?;
    let channels = reading
        .channels
        .iter()
        .map(|&channel| samples.f_select(2, channel as i64));
    let channels: Vec<Tensor> = channels.collect::<std::result::Result<_, _>>()?;
    let channels = Tensor::f_stack(&channels, 0)?;
    rounded(channels.f_matmul(&matrices.columns)?)
}

/// Sums of weights and bytes → levels, halves upwards.
fn rounded(mut sums: Tensor) -> std::result::Result<Tensor, TchError> {
    let one = f64::from(WEIGHT_ONE);
    sums.f_add_scalar_(one / 2.0)?
        .f_mul_scalar_(1.0 / one)?
        .f_floor_()
}

/// Luma, `[1, S, S]` → `[3, S, S]`.
fn grey(luma: &Tensor, color: ColorSpace) -> std::result::Result<Tensor, TchError> {
    let decoder = YuvDecoder::new(color);
    let luma = luma.f_to_kind(Kind::Int)?;
    let grey = levels(luma_part(&luma, &decoder)?)?;
    grey.f_expand([3, -1, -1], false)
}

/// Y, U, V, `[3, S, S]` → R, G, B.
fn decode(yuv: &Tensor, color: ColorSpace) -> std::result::Result<Tensor, TchError> {
    let decoder = YuvDecoder::new(color);
    let yuv = yuv.f_to_kind(Kind::Int)?;
    let luma = luma_part(&yuv.f_select(0, 0)?, &decoder)?;
    let [u, v] = [1, 2].map(|channel| yuv.f_select(0, channel)?.f_sub_scalar(128));
    let (u, v) = (u?, v?);
    let part = |chroma: &Tensor, factor: i32| chroma.f_mul_scalar(i64::from(factor));
    let green = part(&u, decoder.green_of_u)?.f_add(&part(&v, decoder.green_of_v)?)?;
    let red = part(&v, decoder.red_of_v)?;
    let blue = part(&u, decoder.blue_of_u)?;
    levels(Tensor::f_stack(&[red, green, blue], 0)?.f_add(&luma)?)
}

/// Luma's part of a colour, and a half for the shift to come.
fn luma_part(luma: &Tensor, decoder: &YuvDecoder) -> std::result::Result<Tensor, TchError> {
    luma.f_sub_scalar(i64::from(decoder.black))?
        .f_mul_scalar(i64::from(decoder.luma))?
        .f_add_scalar(1_i64 << (YuvDecoder::FRACTION - 1))
}

/// Sums of factors and levels → levels of RGB.
fn levels(mut sums: Tensor) -> std::result::Result<Tensor, TchError> {
    sums.f_bitwise_right_shift_tensor_scalar_(i64::from(YuvDecoder::FRACTION))?
        .f_clamp_(0, 255)
}

#[cfg(test)]
mod tests {
    use super::*;
    use casm_core::Resize;

    #[test]
    fn weights_of_sixteen_layouts_are_kept() {
        let layout = |width| Layout {
            format: PixelFormat::Rgb,
            color: ColorSpace::default(),
            geometry: Geometry::new(Resize::Stretch, width, 8, 4),
        };
        let mut input = DeviceInput::new(Device::Cpu);
        for width in 1..=KEPT as u32 {
            assert!(!input.prepare(&[layout(width)]).expect("memory"));
        }
        assert!(!input.prepare(&[layout(1), layout(5)]).expect("memory"));
        assert!(input.prepare(&[layout(3), layout(40)]).expect("memory"));
        // The batch's own stay, whatever else goes.
        assert!(input.find(&layout(3)).is_some() && input.find(&layout(40)).is_some());
        assert_eq!(input.known.len(), 2);
        let bytes = Tensor::zeros([(3 + 40) * 8 * 3], (Kind::Uint8, Device::Cpu));
        let pictures = input.pictures(&bytes, &[layout(3), layout(40)]);
        assert_eq!(pictures.expect("enough bytes").size(), [2, 4, 4, 3]);
        assert!(input.pictures(&bytes, &[layout(9)]).is_err());
    }
}
