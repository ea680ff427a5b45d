//! After warm-up, a frame's way from its pixels to the drawn result allocates nothing; the network, which is the
//! engine's, is left out.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeSet;

use casm_core::engine::{Engine, EngineDescription, Output};
use casm_core::frame::{ColorSpace, Plane, PlaneMut};
use casm_core::localizer::LocalizeOptions;
use casm_core::mask::Binarization;
use casm_core::overlay::{Overlay, OverlayMode, OverlayStyle};
use casm_core::{
    Checkpoint, Frame, FrameMut, Geometry, Header, Localization, Localizer, PixelFormat, Resize,
    Result,
};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts what this thread asks for.
struct Counting;

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Finds blobs that move and change their number from run to run.
struct Blobs {
    description: EngineDescription,
    runs: usize,
}

impl Engine for Blobs {
    fn description(&self) -> &EngineDescription {
        &self.description
    }

    fn run(&mut self, _batch: usize, pixels: &[u8], output: &mut Output) -> Result<()> {
        assert_eq!(pixels.len(), 224 * 224 * 3);
        self.runs += 1;
        output.masks.clear();
        output.masks.extend((0..56 * 56).map(|index| {
            let tile = if self.runs.is_multiple_of(2) { 28 } else { 56 };
            let (x, y) = ((index % 56 + 8 * self.runs) % tile, index / 56 % tile);
            let apart = x.abs_diff(14).pow(2) + y.abs_diff(14).pow(2);
            let limit = 20 + 30 * (self.runs % 3) + index / 56;
            if apart < limit { 0.9 } else { 0.1 }
        }));
        output.logits.clear();
        output
            .logits
            .extend((0..1000).map(|class| (class % 7) as f32));
        Ok(())
    }
}

/// Formats that are treated differently; the others only order bytes differently.
const FORMATS: [PixelFormat; 6] = [
    PixelFormat::Nv12,
    PixelFormat::I420,
    PixelFormat::Yuy2,
    PixelFormat::Rgb,
    PixelFormat::Bgrx,
    PixelFormat::Gray8,
];

const WIDTH: u32 = 322;
const HEIGHT: u32 = 181;

/// What lives as long as a stream.
struct Stream {
    format: PixelFormat,
    resize: Resize,
    mode: OverlayMode,
    planes: Vec<(Vec<u8>, usize)>,
    localizer: Localizer,
    overlay: Overlay,
    localization: Localization,
}

impl Stream {
    fn new(header: &Header, format: PixelFormat, resize: Resize, mode: OverlayMode) -> Stream {
        let planes = (0..format.plane_count()).map(|plane| {
            let size = format.plane_size(plane, WIDTH, HEIGHT);
            let stride = size.row_bytes() + 5;
            (vec![90; stride * size.rows as usize], stride)
        });
        let engine = Blobs {
            description: EngineDescription::default(),
            runs: 0,
        };
        Stream {
            format,
            resize,
            mode,
            planes: planes.collect(),
            localizer: Localizer::new(header.clone(), Box::new(engine)),
            overlay: Overlay::default(),
            localization: Localization::default(),
        }
    }

    fn process(&mut self) {
        let options = LocalizeOptions {
            resize: self.resize,
            binarization: Binarization::default(),
            min_area: 0.0,
            max_objects: 4,
        };
        let color = ColorSpace::default();
        let planes = self.planes.iter().map(|(data, stride)| Plane {
            data,
            stride: *stride,
        });
        let frame = Frame::new(self.format, WIDTH, HEIGHT, color, planes).expect("whole planes");
        let Stream { localization, .. } = self;
        self.localizer
            .localize_into(&frame, &options, |mask| mask, localization)
            .expect("blobs are found");
        let geometry = Geometry::new(self.resize, WIDTH, HEIGHT, 224);
        let planes = self.planes.iter_mut().map(|(data, stride)| PlaneMut {
            data,
            stride: *stride,
        });
        let mut frame =
            FrameMut::new(self.format, WIDTH, HEIGHT, color, planes).expect("whole planes");
        let style = OverlayStyle {
            mode: self.mode,
            ..OverlayStyle::default()
        };
        self.overlay
            .draw(&mut frame, localization, &geometry, &style)
            .expect("its own geometry");
    }
}

#[test]
fn a_frame_allocates_nothing_after_warm_up() {
    let built_in = Checkpoint::built_in().expect("there is a built-in model");
    let modes = [
        OverlayMode::None,
        OverlayMode::Box,
        OverlayMode::Mask,
        OverlayMode::Heatmap,
        OverlayMode::Contour,
        OverlayMode::Grey,
    ];
    let stretched = modes.map(|mode| (Resize::Stretch, mode));
    let cropped = (Resize::Crop, OverlayMode::Heatmap);
    for format in FORMATS {
        for (resize, mode) in stretched.into_iter().chain([cropped]) {
            let mut stream = Stream::new(built_in.header(), format, resize, mode);
            // The blobs repeat after 42 runs, so every number and size of objects has been seen then.
            let mut counts = BTreeSet::new();
            for _ in 0..42 {
                stream.process();
                counts.insert(stream.localization.objects.len());
            }
            assert!(
                counts.len() > 1,
                "the number of objects changes: {counts:?}"
            );
            let before = ALLOCATIONS.get();
            for _ in 0..42 {
                stream.process();
            }
            let found = ALLOCATIONS.get() - before;
            assert_eq!(
                found, 0,
                "{format} {resize:?} {mode:?}: allocations in 42 frames"
            );
        }
    }
}
