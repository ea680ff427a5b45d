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

use crate::host_memory::HostMemory;
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

    /// The input of each frame, `[frames, S, S, 3]` RGB bytes, from the device: for comparisons with
    /// [`InputBuilder`](casm_core::input::InputBuilder). The frames must have one input size.
    ///
    /// # Errors
    /// [`casm_core::Error::Config`] for a geometry whose square is not inside of the frame; libtorch's.
    pub fn pixels(&mut self, frames: &[LaidFrame<'_>]) -> Result<Vec<u8>> {
        let mut host = HostMemory::new(None)?;
        host.store_frames(frames)?;
        let layouts: Vec<Layout> = frames.iter().map(Layout::of).collect();
        self.prepare(&layouts)?;
        let pixels = || {
            let bytes = host.to_device(self.device)?;
            let pictures = self.pictures(&bytes, &layouts)?.f_to_device(Device::Cpu)?;
            Vec::try_from(&pictures.f_reshape([-1])?)
        };
        pixels().map_err(torch_error)
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
    use casm_core::engine::prepare_pixels;
    use casm_core::frame::{ColorMatrix, Frame, Plane};

    /// Noise, which shows every rounding, with padding between rows that must not be read.
    struct Noise {
        format: PixelFormat,
        size: (u32, u32),
        color: ColorSpace,
        planes: Vec<(Vec<u8>, usize)>,
    }

    impl Noise {
        fn new(format: PixelFormat, size: (u32, u32), padding: usize, color: ColorSpace) -> Noise {
            let mut state = 1_u32 + size.0;
            let mut next = move || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            };
            let planes = (0..format.plane_count()).map(|plane| {
                let plane = format.plane_size(plane, size.0, size.1);
                let stride = plane.row_bytes() + padding;
                let bytes = (0..stride * plane.rows as usize).map(|_| next());
                (bytes.collect(), stride)
            });
            Noise {
                format,
                size,
                color,
                planes: planes.collect(),
            }
        }

        fn laid(&self, resize: Resize, side: u32) -> LaidFrame<'_> {
            let (width, height) = self.size;
            let planes = self.planes.iter().map(|(data, stride)| Plane {
                data,
                stride: *stride,
            });
            let frame = Frame::new(self.format, width, height, self.color, planes);
            LaidFrame {
                frame: frame.expect("fits"),
                geometry: Geometry::new(resize, width, height, side),
            }
        }
    }

    /// Largest and mean difference.
    fn differences(found: &[u8], expected: &[u8]) -> (u8, f64) {
        assert_eq!(found.len(), expected.len());
        let pairs = found.iter().zip(expected);
        let differences: Vec<u8> = pairs.map(|(a, b)| a.abs_diff(*b)).collect();
        let sum: f64 = differences.iter().map(|&d| f64::from(d)).sum();
        let largest = differences.iter().max().copied().unwrap_or(0);
        (largest, sum / found.len() as f64)
    }

    fn on_cpu(frames: &[LaidFrame<'_>]) -> Vec<u8> {
        prepare_pixels(frames).expect("fits")
    }

    #[test]
    fn every_format_gives_the_bytes_of_the_way_on_the_cpu() {
        let spaces = [ColorMatrix::Bt601, ColorMatrix::Bt709, ColorMatrix::Bt2020];
        let sizes = [(640, 360), (301, 97), (63, 40), (17, 33), (3, 2), (1, 1)];
        for (at, format) in PixelFormat::ALL.into_iter().enumerate() {
            for (place, size) in sizes.into_iter().enumerate() {
                for resize in [Resize::Stretch, Resize::Crop] {
                    let color = ColorSpace {
                        matrix: spaces[(at + place) % 3],
                        full_range: place % 2 == 0,
                    };
                    let noise = Noise::new(format, size, 13 * (place % 3), color);
                    let laid = [noise.laid(resize, 48)];
                    let found = DeviceInput::new(Device::Cpu)
                        .pixels(&laid)
                        .expect("computes");
                    // None: whole numbers on both ways.
                    let differences = differences(&found, &on_cpu(&laid));
                    assert_eq!(differences, (0, 0.0), "{format} {size:?} {resize:?}");
                }
            }
        }
    }

    #[test]
    fn a_large_frame_at_the_size_of_the_network_is_the_same_too() {
        let color = ColorSpace {
            matrix: ColorMatrix::Bt709,
            full_range: false,
        };
        for format in [PixelFormat::Nv12, PixelFormat::Bgrx] {
            let noise = Noise::new(format, (1920, 1080), 64, color);
            let laid = [noise.laid(Resize::Stretch, 224)];
            let found = DeviceInput::new(Device::Cpu)
                .pixels(&laid)
                .expect("computes");
            assert_eq!(differences(&found, &on_cpu(&laid)), (0, 0.0), "{format}");
        }
    }

    #[test]
    fn a_batch_of_unlike_frames_is_each_of_them() {
        let color = ColorSpace::default();
        let noises = [
            Noise::new(PixelFormat::I420, (31, 21), 3, color),
            Noise::new(PixelFormat::Gray8, (50, 60), 0, color),
            Noise::new(PixelFormat::Yuy2, (33, 8), 5, color),
            Noise::new(PixelFormat::Argb, (20, 9), 1, color),
        ];
        let laid = noises.each_ref().map(|noise| noise.laid(Resize::Crop, 16));
        let mut input = DeviceInput::new(Device::Cpu);
        for _ in 0..2 {
            let found = input.pixels(&laid).expect("computes");
            assert_eq!(differences(&found, &on_cpu(&laid)), (0, 0.0));
        }
    }

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
