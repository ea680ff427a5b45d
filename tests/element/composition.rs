//! Overlays beside the pixels, for those downstream who show them.

use casm::PixelFormat;
use casm_tests::composition::{composition, show_overlays};
use casm_tests::gst::{buffer, bytes, caps, centred_ball, converted, harness, info, mask, rois};
use gst::prelude::*;
use gst_check::Harness;
use gst_video::{
    CAPS_FEATURE_META_GST_VIDEO_OVERLAY_COMPOSITION as FEATURE, VideoFrameRef, VideoInfo,
    VideoMeta, VideoOverlayComposition, VideoOverlayCompositionMeta, VideoOverlayFormatFlags,
    VideoOverlayRectangle,
};

const OVERLAYS: [&str; 5] = ["box", "mask", "heatmap", "contour", "grey"];
const SIZE: (u32, u32) = (324, 242);

/// An element before a sink that shows overlays.
fn shown(properties: &[(&str, &str)], info: &VideoInfo) -> Harness {
    let harness = harness(properties, info);
    show_overlays(&harness);
    harness
}

fn announces(caps: &gst::CapsRef) -> bool {
    let features = caps.features(0);
    features.is_some_and(|features| features.contains(FEATURE))
}

/// For each caps event that has arrived at the sink, whether it announces overlays.
fn announced(harness: &mut Harness) -> Vec<bool> {
    let events = std::iter::from_fn(|| harness.try_pull_event());
    let caps = events.filter_map(|event| match event.view() {
        gst::EventView::Caps(event) => Some(announces(event.caps())),
        _ => None,
    });
    caps.collect()
}

/// The frame with the overlays in it, as GStreamer's own sinks do that.
fn blended(buffer: &gst::Buffer, info: &VideoInfo) -> Vec<u8> {
    let composition = composition(buffer).expect("overlays");
    let mut copy = gst::Buffer::from_mut_slice(bytes(buffer));
    {
        let copy = copy.get_mut().expect("just made");
        let mut frame = VideoFrameRef::from_buffer_ref_writable(copy, info).expect("mapped");
        composition.blend(&mut frame).expect("it can be blended");
    }
    bytes(&copy)
}

/// Mean difference of bytes, and the share of those that differ by more than 3.
fn difference(first: &[u8], second: &[u8]) -> (f64, f64) {
    assert_eq!(first.len(), second.len());
    let pairs = first.iter().zip(second);
    let apart = pairs.map(|(first, second)| f64::from(first.abs_diff(*second)));
    let (sum, far) = apart.fold((0.0, 0.0), |(sum, far), apart| {
        (sum + apart, far + f64::from(u8::from(apart > 3.0)))
    });
    (sum / first.len() as f64, far / first.len() as f64)
}

/// The bytes that are of one pixel each.
fn brightness(format: PixelFormat, bytes: &[u8]) -> Vec<u8> {
    match format {
        PixelFormat::Nv12 | PixelFormat::I420 => bytes[..(SIZE.0 * SIZE.1) as usize].to_vec(),
        PixelFormat::Yuy2 => bytes.iter().step_by(2).copied().collect(),
        _ => bytes.to_vec(),
    }
}

#[test]
fn who_shows_overlays_gets_them_beside_pixels_that_nobody_has_touched() {
    let (width, height) = SIZE;
    let rgb = buffer(&centred_ball(width, height), width, height, 0);
    let properties = [("overlay", "box"), ("model-instance-id", "beside")];
    let _keeper = harness(&properties, &info(PixelFormat::Rgb, width, height));
    for format in PixelFormat::ALL {
        let frame = converted(&rgb, format, width, height);
        // GStreamer blends by BT.709's matrix, limited range, whatever the caps say (video-blend.c of 1.22).
        let colorimetry = match format.packed_rgb() {
            Some(_) => info(format, width, height).colorimetry(),
            None => "bt709".parse().expect("a standard"),
        };
        let info = VideoInfo::builder(info(format, width, height).format(), width, height)
            .fps(gst::Fraction::new(25, 1))
            .colorimetry(&colorimetry)
            .build()
            .expect("a valid size");
        let before = bytes(&frame);
        // The frame has a second reference all the time.
        let address = frame.map_readable().expect("system memory").as_ptr();
        let (mut beside, mut within) = (shown(&properties, &info), harness(&properties, &info));
        for (number, overlay) in OVERLAYS.into_iter().enumerate() {
            let place = format!("{format} {overlay}");
            for harness in [&beside, &within] {
                let element = harness.element().expect("it has one");
                element.set_property_from_str("overlay", overlay);
            }
            let result = beside.push_and_pull(frame.clone()).expect("a frame");
            let drawn = within.push_and_pull(frame.clone()).expect("a frame");
            let first = number == 0;
            let (all, one) = ([false, true], [false]);
            assert_eq!(
                announced(&mut beside),
                if first { &all[..] } else { &[] },
                "{place}"
            );
            assert_eq!(
                announced(&mut within),
                if first { &one[..] } else { &[] },
                "{place}"
            );
            let memory = result.map_readable().expect("system memory").as_ptr();
            assert_eq!(memory, address, "{place}: the memory was copied");
            assert!(bytes(&result) == before, "{place}: it was written");
            assert!(composition(&drawn).is_none());
            assert_eq!(mask(&result), mask(&drawn), "{place}");
            assert_eq!(rois(&result).len(), rois(&drawn).len());
            let (laid, drawn) = (blended(&result, &info), bytes(&drawn));
            let (change, _) = difference(&before, &drawn);
            let (mean, _) = difference(&laid, &drawn);
            println!("{place}: {mean:.3} apart, drawing changes {change:.3}");
            // Rounding: once where it is drawn, up to three times where GStreamer converts, blends and packs.
            let (_, far) = difference(&brightness(format, &laid), &brightness(format, &drawn));
            assert_eq!(far, 0.0, "{place}");
            // The same of colours, but where pixels share them: at the edge of a line GStreamer takes one pixel's, and
            // drawing takes their mean.
            assert!(mean < 1.0 && mean < change / 2.0, "{place}: {mean}");
        }
    }
}

#[test]
fn who_does_not_gets_them_drawn_in_and_hears_nothing_of_it() {
    let (width, height) = SIZE;
    let frame = buffer(&centred_ball(width, height), width, height, 0);
    let before = bytes(&frame);
    let mut harness = harness(
        &[("overlay", "mask")],
        &info(PixelFormat::Rgb, width, height),
    );
    let result = harness.push_and_pull(frame).expect("a frame");
    assert!(bytes(&result) != before && composition(&result).is_none());
    assert_eq!(announced(&mut harness), [false]);
}

#[test]
fn caps_downstream_choose() {
    for (downstream, feature, beside) in [
        ("fakevideosink name=sink", true, true),
        // It shows overlays, but a caps filter may want them in the pixels.
        ("video/x-raw ! fakevideosink name=sink", false, false),
        // It does not say that it shows them, but wants them.
        (
            "video/x-raw(memory:SystemMemory,meta:GstVideoOverlayComposition) ! fakesink name=sink",
            true,
            true,
        ),
        ("fakesink name=sink", false, false),
        // Both, or none: one does not show them.
        (
            "tee name=t ! queue ! fakevideosink async=false t. ! queue ! fakesink name=sink",
            false,
            false,
        ),
        ("videoconvert ! fakevideosink name=sink", true, true),
        // Colours are to be converted, which overlays do not survive.
        (
            "videoconvert ! video/x-raw,format=RGB ! fakevideosink name=sink",
            false,
            false,
        ),
    ] {
        let playing = casm_tests::gst::pipeline(&format!(
            "videotestsrc pattern=ball num-buffers=3 ! video/x-raw,format=I420,width=64,height=64 \
             ! casmesaliency name=c overlay=heatmap ! {downstream}"
        ));
        let pad = casm_tests::gst::named(&playing, "c")
            .static_pad("src")
            .expect("it has one");
        let (sender, receiver) = std::sync::mpsc::channel();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let caps = pad.current_caps();
            let buffer = info.buffer().map(|buffer| composition(buffer).is_some());
            let _ = sender.send((caps.is_some_and(|caps| announces(&caps)), buffer));
            gst::PadProbeReturn::Ok
        });
        casm_tests::gst::play(&playing).unwrap_or_else(|error| panic!("{downstream}: {error}"));
        let frames: Vec<_> = receiver.try_iter().collect();
        assert_eq!(frames, [(feature, Some(beside)); 3], "{downstream}");
    }
}

#[test]
fn an_overlay_may_come_and_go_while_playing() {
    for depth in ["0", "3"] {
        let (width, height) = (64, 64);
        let pixels = centred_ball(width, height);
        let mut harness = shown(
            &[("async-depth", depth)],
            &info(PixelFormat::Rgb, width, height),
        );
        let element = harness.element().expect("it has one");
        let mut number = 0;
        let mut next = |harness: &mut Harness| {
            number += 1;
            let frame = buffer(&pixels, width, height, number);
            let untouched = bytes(&frame);
            let result = harness.push_and_pull(frame).expect("a frame");
            assert!(bytes(&result) == untouched, "drawn in");
            composition(&result).is_some()
        };
        assert!(!next(&mut harness));
        element.set_property_from_str("overlay", "contour");
        assert!(next(&mut harness) && next(&mut harness));
        element.set_property_from_str("overlay", "none");
        assert!(!next(&mut harness));
        element.set_property_from_str("overlay", "box");
        assert!(next(&mut harness));
        // The caps have changed once, and stay.
        assert_eq!(announced(&mut harness), [false, true], "depth {depth}");
        // Also through a flush, and when downstream wants to be asked again.
        harness.push_event(gst::event::FlushStart::new());
        harness.push_event(gst::event::FlushStop::builder(true).build());
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        harness.push_event(gst::event::Segment::new(&segment));
        assert!(next(&mut harness));
        harness.push_upstream_event(gst::event::Reconfigure::new());
        assert!(next(&mut harness));
        assert!(announced(&mut harness).iter().all(|&announced| announced));
        // Another size comes with the feature at once.
        harness.set_src_caps(caps(&info(PixelFormat::Rgb, 32, 48)));
        let frame = buffer(&centred_ball(32, 48), 32, 48, 99);
        let result = harness.push_and_pull(frame).expect("a frame");
        assert!(composition(&result).is_some());
        assert!(announced(&mut harness).iter().all(|&announced| announced));
    }
}

#[test]
fn downstreams_wishes_do_not_change_what_frames_are_said_to_be() {
    let mut harness = harness(&[], &info(PixelFormat::I420, 64, 64));
    let said = "video/x-raw,format=I420,width=64,height=64,framerate=25/1";
    harness.set_sink_caps_str("video/x-raw,format=I420,colorimetry=bt709;video/x-raw,format=I420");
    harness.set_src_caps_str(said);
    let frame = converted(
        &buffer(&centred_ball(64, 64), 64, 64, 0),
        PixelFormat::I420,
        64,
        64,
    );
    harness.push_and_pull(frame).expect("a frame");
    let caps = harness.sinkpad().and_then(|pad| pad.current_caps());
    assert_eq!(caps, Some(said.parse().expect("valid")));
}

#[test]
fn a_downstream_that_changes_its_mind_gets_the_same_results() {
    let (width, height) = (64, 64);
    let properties = [("overlay", "box"), ("inference-interval", "100")];
    let mut harness = shown(&properties, &info(PixelFormat::Rgb, width, height));
    let pixels = centred_ball(width, height);
    let next = |harness: &mut Harness, number| {
        let frame = buffer(&pixels, width, height, number);
        composition(&harness.push_and_pull(frame).expect("a frame")).is_some()
    };
    assert!(next(&mut harness, 0));
    // From now on it takes plain caps only.
    harness.set_sink_caps_str("video/x-raw,format=RGB");
    assert!(!next(&mut harness, 1));
    assert_eq!(announced(&mut harness), [false, true, false]);
    let element = harness.element().expect("it has one");
    let stats: gst::Structure = element.property("stats");
    assert_eq!(stats.get::<u64>("inferred"), Ok(1), "{stats}");
}

#[test]
fn frames_that_carry_one_result_share_its_overlay() {
    let (width, height) = (64, 64);
    let properties = [("overlay", "heatmap"), ("inference-interval", "2")];
    let mut harness = shown(&properties, &info(PixelFormat::Rgb, width, height));
    let pixels = centred_ball(width, height);
    let numbers: Vec<u32> = (0..4)
        .map(|number| {
            let frame = buffer(&pixels, width, height, number);
            let result = harness.push_and_pull(frame).expect("a frame");
            composition(&result).expect("overlays").seqnum()
        })
        .collect();
    assert_eq!(numbers[0], numbers[1], "uploaded once");
    assert_eq!(numbers[2], numbers[3]);
    assert_ne!(numbers[0], numbers[2]);
}

#[test]
fn overlays_from_upstream_stay_below() {
    let (width, height) = (64, 64);
    let info = info(PixelFormat::Rgb, width, height);
    let mut subtitle = gst::Buffer::from_mut_slice(vec![9; 8 * 4 * 4]);
    VideoMeta::add(
        subtitle.make_mut(),
        gst_video::VideoFrameFlags::empty(),
        gst_video::VideoFormat::Bgra,
        8,
        4,
    )
    .expect("a valid layout");
    let flags = VideoOverlayFormatFlags::empty();
    let subtitle = VideoOverlayRectangle::new_raw(&subtitle, 20, 50, 8, 4, flags);
    let theirs = VideoOverlayComposition::new([&subtitle]).expect("one rectangle");
    let mut frame = buffer(&centred_ball(width, height), width, height, 0);
    VideoOverlayCompositionMeta::add(frame.make_mut(), &theirs);
    let mut announced = caps(&info);
    announced
        .make_mut()
        .set_features_simple(Some(gst::CapsFeatures::new([
            gst::CAPS_FEATURE_MEMORY_SYSTEM_MEMORY,
            FEATURE,
        ])));
    for (overlay, own) in [("none", 0), ("heatmap", 1), ("box", 4)] {
        // Downstream has taken the caps, and need not say it again.
        let element = casm_tests::gst::element(&[("overlay", overlay)]);
        let mut harness = Harness::with_element(&element, Some("sink"), Some("src"));
        harness.set_src_caps(announced.clone());
        let before = bytes(&frame);
        let result = harness.push_and_pull(frame.clone()).expect("a frame");
        assert!(
            bytes(&result) == before,
            "{overlay}: the pixels were written"
        );
        let all = composition(&result).expect("overlays");
        let places: Vec<_> = all.iter().map(|one| one.render_rectangle()).collect();
        assert_eq!(places.len(), 1 + own, "{overlay}");
        assert_eq!(places[0], (20, 50, 8, 4), "{overlay}");
        assert_eq!(theirs.n_rectangles(), 1, "theirs is not changed");
    }
}
