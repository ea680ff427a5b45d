//! Frames of any format, size and layout in memory: input pixels, or an error.

#![no_main]

use casm_core::frame::{ColorSpace, Plane};
use casm_core::input::InputBuilder;
use casm_core::{Frame, Geometry, PixelFormat, Resize};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u16, u16, [u16; 3], [u16; 3], u8, bool, Vec<u8>)| {
    let (format, width, height, starts, strides, size, crop, bytes) = input;
    let format = PixelFormat::ALL[usize::from(format) % PixelFormat::ALL.len()];
    let planes = (0..format.plane_count()).map(|plane| Plane {
        data: bytes.get(usize::from(starts[plane])..).unwrap_or_default(),
        stride: usize::from(strides[plane]),
    });
    let (width, height) = (u32::from(width), u32::from(height));
    let Ok(frame) = Frame::new(format, width, height, ColorSpace::default(), planes) else {
        return;
    };
    let resize = if crop { Resize::Crop } else { Resize::Stretch };
    let geometry = Geometry::new(resize, width, height, u32::from(size));
    let mut pixels = Vec::new();
    InputBuilder::default()
        .build(&frame, &geometry, &mut pixels)
        .expect("its own geometry");
    assert_eq!(pixels.len(), usize::from(size.max(1)).pow(2) * 3);
});
