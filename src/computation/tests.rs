//! The network at work: batches, the way of GPUs.

use super::*;
use crate::cuda::fake;
use casm_core::Checkpoint;
use casm_core::engine::LaidFrame;
use casm_core::frame::{ColorSpace, Frame, PixelFormat, Plane};
use casm_core::{Geometry, Resize};

const SIDE: usize = 64;

/// On the CPU; with the false functions of a GPU, if any.
fn computation(shim: Option<&'static Shim>) -> Computation {
    let checkpoint = Checkpoint::built_in().expect("valid");
    let folded = Arc::new(Folded::from_checkpoint(&checkpoint).expect("valid"));
    let gpu = shim.map(|shim| Gpu {
        graphs: Some(Graphs::new(Arc::default())),
        results: HostMemory::new(Some(shim)).expect("memory"),
        stream: Stream::open(shim, 0).expect("opens"),
    });
    Computation {
        network: Packed::new(&folded, SIDE, Kind::Float, Device::Cpu).expect("valid"),
        input: DeviceInput::new(Device::Cpu),
        device: Device::Cpu,
        side: SIDE as i64,
        team: None,
        gpu,
    }
}

/// A batch is computed one by one with two threads, and by four and two with one. 1e-5: sums of other orders, as
/// for numbers of threads (src/packed/tests.rs); these pictures' masks differ by more than 0.1.
#[test]
fn pictures_of_a_batch_keep_their_places() {
    let before = tch::get_num_threads();
    for threads in [1, 2] {
        tch::set_num_threads(threads);
        let mut computation = computation(None);
        let bytes = (0..6).flat_map(|picture| {
            (0..SIDE * SIDE * 3).map(move |at| (at * (3 + 7 * picture) / 5 % 256) as u8)
        });
        let bytes: Vec<u8> = bytes.collect();
        let mut run = |pixels: &[u8]| {
            let (mut host, mut output) =
                (HostMemory::new(None).expect("memory"), Output::default());
            host.room(pixels.len())
                .expect("memory")
                .copy_from_slice(pixels);
            let pictures = Pictures::Pixels(pixels.len() / (SIDE * SIDE * 3));
            computation
                .run(&pictures, &host, &mut output)
                .expect("runs");
            output
        };
        let together = run(&bytes);
        let mut apart = Output::default();
        for picture in bytes.chunks(SIDE * SIDE * 3) {
            let Output { masks, logits } = run(picture);
            apart.masks.extend(masks);
            apart.logits.extend(logits);
        }
        for (together, apart) in [
            (&together.masks, &apart.masks),
            (&together.logits, &apart.logits),
        ] {
            assert_eq!(together.len(), apart.len());
            let pairs = together.iter().zip(apart);
            let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 1e-5, "{threads} threads: {difference}");
        }
        let masks: Vec<&[f32]> = apart.masks.chunks(SIDE * SIDE / 16).collect();
        for pair in masks.windows(2) {
            let pairs = pair[0].iter().zip(pair[1]);
            assert!(pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) > 0.1);
        }
    }
    tch::set_num_threads(before);
}

/// What a GPU does beside the network, in each number of batches: pinned memory, graphs that cannot be
/// recorded, results read back.
#[test]
fn the_way_of_gpus_gives_the_same_numbers() {
    let shim = fake::shim(false);
    let (mut plain, mut gpu) = (computation(None), computation(Some(shim)));
    let mut host = HostMemory::new(Some(shim)).expect("memory");
    let (mut found, mut expected) = (Output::default(), Output::default());
    for (batch, seed) in [(2, 1), (1, 2), (2, 3), (2, 4)] {
        let bytes = (0..batch * SIDE * SIDE * 3).map(|at| (at * 31 % (200 + seed)) as u8);
        let bytes: Vec<u8> = bytes.collect();
        host.room(bytes.len())
            .expect("memory")
            .copy_from_slice(&bytes);
        let pictures = Pictures::Pixels(batch);
        gpu.run(&pictures, &host, &mut found).expect("runs");
        plain.run(&pictures, &host, &mut expected).expect("runs");
        assert_eq!(found, expected);
        assert_eq!(found.masks.len(), batch * SIDE * SIDE / 16);
    }
    let bytes: Vec<u8> = (0..40 * 30).map(|at| (at % 251) as u8).collect();
    let plane = Plane {
        data: &bytes,
        stride: 40,
    };
    let frame = Frame::new(PixelFormat::Gray8, 40, 30, ColorSpace::default(), [plane]);
    let laid = LaidFrame {
        frame: frame.expect("fits"),
        geometry: Geometry::new(Resize::Crop, 40, 30, SIDE as u32),
    };
    let frames = [laid.clone(), laid];
    let pictures = Pictures::Frames(frames.iter().map(Layout::of).collect());
    host.store_frames(&frames).expect("memory");
    gpu.run(&pictures, &host, &mut found).expect("runs");
    plain.run(&pictures, &host, &mut expected).expect("runs");
    assert_eq!(found, expected);
    assert_eq!(found.masks[..256], found.masks[256..]);
}
