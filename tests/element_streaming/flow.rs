//! Time stamps, caps, EOS, seeks, branches, allocation.

use casm::PixelFormat;
use casm_tests::gst::{
    buffer, bytes, caps, centred_ball, element, info, mask, named, pipeline, play_and_collect, rois,
};
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{VideoCropMeta, VideoMeta};
use gstcasm::MaskMeta;

use crate::{SIZE, frame, push_and_pull, small};

#[test]
fn frames_without_time_stamps_and_of_variable_rate_are_served() {
    let element = element(&[("post-messages", "true")]);
    let bus = gst::Bus::new();
    element.set_bus(Some(&bus));
    let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
    harness.set_src_caps_str(&format!(
        "video/x-raw,format=RGB,width={},height={},framerate=0/1",
        SIZE.0, SIZE.1
    ));
    let mut untimed = frame(0);
    untimed.make_mut().set_pts(gst::ClockTime::NONE);
    assert_eq!(
        mask(&harness.push_and_pull(untimed).expect("a frame")).inference_pts,
        None
    );
    let message = bus
        .pop_filtered(&[gst::MessageType::Element])
        .expect("a message");
    let structure = message.structure().expect("element messages have one");
    for time in ["pts", "running-time", "stream-time"] {
        assert_eq!(structure.get::<u64>(time), Ok(u64::MAX), "{time}");
    }
    for milliseconds in [10, 500, 501] {
        let mut late = frame(1);
        let pts = gst::ClockTime::from_mseconds(milliseconds);
        late.make_mut().set_pts(pts);
        // Nothing then says how long a frame is.
        late.make_mut().set_duration(gst::ClockTime::NONE);
        assert_eq!(
            mask(&harness.push_and_pull(late).expect("a frame")).inference_pts,
            Some(pts)
        );
    }
}

#[test]
fn caps_may_change_in_the_middle_of_a_stream() {
    let mut harness = small(&[("overlay", "contour")]);
    for (format, width, height) in [
        (PixelFormat::Rgb, 160, 120),
        (PixelFormat::Nv12, 320, 180),
        (PixelFormat::Gray8, 33, 65),
        (PixelFormat::Rgb, 160, 120),
    ] {
        let info = info(format, width, height);
        harness.set_src_caps(caps(&info));
        for number in 0..2 {
            let rgb = buffer(&centred_ball(width, height), width, height, number);
            let input = casm_tests::gst::converted(&rgb, format, width, height);
            let result = harness
                .push_and_pull(input)
                .expect("a frame in, a frame out");
            assert_eq!(result.size(), info.size());
            assert_eq!(
                (
                    mask(&result).reference_width,
                    mask(&result).reference_height
                ),
                (width, height)
            );
        }
    }
    // The same in a pipeline whose source is told to change.
    let playing = pipeline(
        "videotestsrc num-buffers=6 ! capsfilter name=f caps=video/x-raw,width=160,height=120 ! casmesaliency name=c \
         ! appsink name=sink",
    );
    let filter = named(&playing, "f");
    let pad = named(&playing, "c")
        .static_pad("src")
        .expect("a source pad");
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if info.buffer().and_then(|buffer| buffer.pts()) > Some(gst::ClockTime::from_mseconds(60)) {
            let wide: gst::Caps = "video/x-raw,width=320,height=90"
                .parse()
                .expect("valid caps");
            filter.set_property("caps", wide);
            return gst::PadProbeReturn::Remove;
        }
        gst::PadProbeReturn::Ok
    });
    let widths: Vec<u32> = play_and_collect(&playing)
        .iter()
        .map(|buffer| mask(buffer).reference_width)
        .collect();
    assert_eq!(
        (widths.len(), widths[0], widths[5]),
        (6, 160, 320),
        "{widths:?}"
    );
}

#[test]
fn eos_goes_through_after_all_frames() {
    let playing = pipeline("videotestsrc num-buffers=7 ! casmesaliency ! appsink name=sink");
    let buffers = play_and_collect(&playing);
    assert_eq!(buffers.len(), 7);
    assert!(buffers.windows(2).all(|pair| pair[0].pts() < pair[1].pts()));
    let mut harness = small(&[]);
    push_and_pull(&mut harness, 0);
    assert!(harness.push_event(gst::event::Eos::new()));
    assert_eq!(harness.push(frame(1)), Err(gst::FlowError::Eos));
}

#[test]
fn after_a_seek_results_are_of_the_new_place() {
    let playing = pipeline(
        "videotestsrc num-buffers=2000 ! video/x-raw,width=64,height=48,framerate=25/1 \
         ! casmesaliency inference-interval=1000 ! appsink name=sink sync=false max-buffers=2",
    );
    let sink: gst_app::AppSink = named(&playing, "sink").downcast().expect("an appsink");
    playing.set_state(gst::State::Playing).expect("it starts");
    let pull = || {
        sink.pull_sample()
            .expect("a frame")
            .buffer_owned()
            .expect("with a buffer")
    };
    for age in 0..3 {
        assert_eq!(mask(&pull()).age, age);
    }
    let target = gst::ClockTime::from_seconds(40);
    playing
        .seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE, target)
        .expect("it seeks");
    let first = pull();
    assert!(first.pts() >= Some(target), "{:?}", first.pts());
    assert_eq!(
        (mask(&first).age, mask(&first).inference_pts),
        (0, first.pts())
    );
    assert_eq!(mask(&pull()).age, 1);
    playing.set_state(gst::State::Null).expect("it stops");
}

#[test]
fn both_branches_of_a_tee_have_metadata_and_drawing_stays_in_its_branch() {
    let playing = pipeline(
        "videotestsrc num-buffers=4 pattern=ball ! video/x-raw,format=RGB,width=160,height=120 ! tee name=t \
         t. ! queue ! casmesaliency overlay=heatmap ! tee name=u \
         u. ! queue ! appsink name=sink sync=false u. ! queue ! appsink name=other sync=false \
         t. ! queue ! appsink name=plain sync=false",
    );
    let collect = |name: &str| {
        let sink: gst_app::AppSink = named(&playing, name).downcast().expect("an appsink");
        std::thread::spawn(move || {
            let mut buffers = Vec::new();
            while let Ok(sample) = sink.pull_sample() {
                buffers.push(sample.buffer_owned().expect("a sample has a buffer"));
            }
            buffers
        })
    };
    playing.set_state(gst::State::Playing).expect("it starts");
    let [sink, other, plain] = ["sink", "other", "plain"]
        .map(collect)
        .map(|thread| thread.join().expect("no panic"));
    playing.set_state(gst::State::Null).expect("it stops");
    assert_eq!([sink.len(), other.len(), plain.len()], [4; 3]);
    for ((sink, other), plain) in sink.iter().zip(&other).zip(&plain) {
        assert_eq!(mask(sink), mask(other));
        assert_eq!(rois(sink).len(), rois(other).len());
        assert!(bytes(sink) == bytes(other));
        assert!(bytes(sink) != bytes(plain), "the overlay is drawn");
        assert!(rois(plain).is_empty() && MaskMeta::from_buffer(plain).is_none());
    }
    // What was never drawn on is the source's own picture.
    let source = pipeline(
        "videotestsrc num-buffers=4 pattern=ball ! video/x-raw,format=RGB,width=160,height=120 ! appsink name=sink",
    );
    let source = play_and_collect(&source);
    assert!(
        source
            .iter()
            .zip(&plain)
            .all(|(source, plain)| bytes(source) == bytes(plain))
    );
}

#[test]
fn upstream_is_offered_what_downstream_offers() {
    // Whether padded rows and cropping are offered, where downstream offers these.
    let offered = |padding: bool, crop: bool| {
        let mut harness = small(&[]);
        let downstream = harness.sinkpad().expect("it has one");
        downstream.add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
            let Some(gst::QueryViewMut::Allocation(query)) =
                info.query_mut().map(|query| query.view_mut())
            else {
                return gst::PadProbeReturn::Ok;
            };
            if padding {
                query.add_allocation_meta::<VideoMeta>(None);
            }
            if crop {
                query.add_allocation_meta::<VideoCropMeta>(None);
            }
            gst::PadProbeReturn::Handled
        });
        // Negotiates, so that the query can be answered.
        push_and_pull(&mut harness, 0);
        let caps = caps(&info(PixelFormat::Rgb, SIZE.0, SIZE.1));
        let mut query = gst::query::Allocation::new(Some(&caps), true);
        assert!(harness.srcpad().expect("it has one").peer_query(&mut query));
        let has = |index: Option<u32>| index.is_some();
        (
            has(query.find_allocation_meta::<VideoMeta>()),
            has(query.find_allocation_meta::<VideoCropMeta>()),
        )
    };
    assert_eq!(
        offered(false, false),
        (false, false),
        "padding would confuse what knows none"
    );
    assert_eq!(offered(true, false), (true, false));
    assert_eq!(
        offered(true, true),
        (true, false),
        "a crop would shift the box"
    );
}
