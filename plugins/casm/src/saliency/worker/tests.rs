//! A worker that helps with the input.

use casm_core::engine::EngineDescription;
use casm_core::input::InputBuilder;
use casm_core::{Checkpoint, Engine, Geometry, Resize};
use gst_video::{VideoFormat, VideoInfo};

use super::*;
use crate::saliency::frame::FrameLayout;
use crate::saliency::frame::held::MappedFrame;
use crate::saliency::worker::interrupt::Interrupt;
use crate::saliency::worker::lane::Lane;
use crate::saliency::worker::picture::Content;

const SIZE: (u32, u32) = (64, 48);

/// The pixels of every run.
type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

/// Keeps the pixels that it was given.
#[derive(Default)]
struct Keeper(EngineDescription, Seen);

impl Engine for Keeper {
    fn description(&self) -> &EngineDescription {
        &self.0
    }

    fn run(&mut self, _batch: usize, pixels: &[u8], _output: &mut Output) -> Result<()> {
        lock(&self.1).push(pixels.to_vec());
        Ok(())
    }
}

fn keeper() -> (Arc<Model>, Seen) {
    let header = Checkpoint::built_in().expect("there is one");
    let engine = Keeper::default();
    let pixels = engine.1.clone();
    let model = Model::new(header.header().clone(), "a test", Box::new(engine));
    lock(&pixels).clear();
    (Arc::new(model.expect("it computes")), pixels)
}

fn worker(most: usize, patience: Duration) -> Worker {
    Worker::start(Batching { most, patience }).expect("a thread")
}

/// A worker, a stream's way there, and what would end its waits.
fn stream() -> (Worker, Lane, Interrupt) {
    let worker = worker(1, Duration::ZERO);
    (worker, Lane::new(0), Interrupt::default())
}

/// Until the worker can help.
fn claim(worker: &Worker) {
    let since = Instant::now();
    while !worker.claim_help() {
        assert!(since.elapsed() < Duration::from_secs(10), "it is not idle");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn frame() -> (gst::Buffer, Arc<FrameLayout>, Geometry) {
    gst::init().expect("GStreamer");
    let info = VideoInfo::builder(VideoFormat::Rgb, SIZE.0, SIZE.1).build();
    let info = info.expect("it is a format");
    let noise = (0..info.size() as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8);
    let buffer = gst::Buffer::from_mut_slice(noise.collect::<Vec<_>>());
    let geometry = Geometry::new(Resize::Stretch, SIZE.0, SIZE.1, 224);
    (
        buffer,
        Arc::new(FrameLayout::new(info).expect("it can be looked at")),
        geometry,
    )
}

#[test]
fn help_is_for_one_at_a_time_and_for_none_where_batches_are_waited_for() {
    let eager = worker(4, Duration::ZERO);
    claim(&eager);
    assert!(!eager.claim_help(), "it has been promised a job");
    // A bell without a job is enough to have been awake.
    eager.submit(&mut Vec::new());
    claim(&eager);
    assert!(eager.stop(Duration::from_secs(10)));
    let patient = worker(4, Duration::from_millis(1));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!patient.claim_help());
}

#[test]
fn the_worker_makes_what_the_stream_has_not_and_gives_the_frame_back() {
    let (model, seen) = keeper();
    let (worker, lane, interrupt) = stream();
    let (mut buffer, layout, geometry) = frame();
    let mut input = InputBuilder::default();
    let mut expected = Vec::new();
    let built = layout.read(&buffer, |frame| {
        input.build(frame, &geometry, &mut expected)
    });
    built.expect("it fits");
    for helps in [true, false, true] {
        let mapped = MappedFrame::new(&buffer, layout.clone(), geometry);
        let mapped = Arc::new(mapped.expect("memory of the process"));
        let content = Content::Strips(mapped.clone());
        let (job, mut ticket) = lane.job(model.clone(), lane.picture(), content, true);
        worker.submit(&mut vec![job]);
        if helps {
            let strips = ticket.strips().expect("no answer yet");
            strips
                .make(&mut input, &mapped.frame().expect("its frame"))
                .expect("it fits");
        }
        drop(mapped);
        let answer = ticket.wait(&interrupt.signal()).expect("an answer");
        answer.result.expect("it computes");
        assert!(
            answer
                .completed
                .is_some_and(|completed| completed <= answer.begun)
        );
        assert!(buffer.get_mut().is_some(), "somebody has it still");
        lane.recycle(answer.picture);
    }
    let seen = lock(&seen);
    assert!(seen.len() == 3 && seen.iter().all(|pixels| *pixels == expected));
}

#[test]
fn a_frame_that_is_given_up_is_let_go_of_and_not_computed() {
    let (model, seen) = keeper();
    let (worker, lane, _) = stream();
    let (mut buffer, layout, geometry) = frame();
    let mapped = MappedFrame::new(&buffer, layout, geometry).expect("memory of the process");
    let content = Content::Strips(Arc::new(mapped));
    let (job, ticket) = lane.job(model, lane.picture(), content, true);
    drop(ticket);
    assert!(buffer.get_mut().is_some(), "somebody has it still");
    worker.submit(&mut vec![job]);
    assert!(worker.stop(Duration::from_secs(10)));
    assert!(lock(&seen).is_empty());
}

#[test]
fn what_cannot_be_made_is_answered() {
    let (model, seen) = keeper();
    let (worker, lane, interrupt) = stream();
    let (buffer, layout, geometry) = frame();
    let geometry = Geometry {
        frame_width: 1,
        ..geometry
    };
    let mapped = MappedFrame::new(&buffer, layout, geometry).expect("memory of the process");
    let content = Content::Strips(Arc::new(mapped));
    let (job, mut ticket) = lane.job(model, lane.picture(), content, true);
    worker.submit(&mut vec![job]);
    let answer = ticket.wait(&interrupt.signal()).expect("an answer");
    assert!(matches!(answer.result, Err(Error::Frame { .. })));
    assert!(lock(&seen).is_empty());
}
