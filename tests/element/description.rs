//! Properties, factory, caps.

use casm::PixelFormat;
use casm_tests::gst::{element, info};
use gst::prelude::*;

#[test]
fn the_properties_have_ranges_blurbs_and_the_right_mutability() {
    let ready = [
        "engine",
        "device",
        "threads",
        "precision",
        "model-instance-id",
        "max-batch",
        "batch-timeout-us",
        "async-depth",
    ];
    let playing = [
        "model",
        "late-policy",
        "overlay",
        "overlay-opacity",
        "overlay-color",
        "binarization",
        "threshold",
        "min-area",
        "max-objects",
        "roi-mode",
        "mask-smoothing",
        "box-hysteresis",
        "tracking",
        "inference-interval",
        "post-messages",
    ];
    let element = element(&[("threads", "0"), ("device", "auto")]);
    let mut names = Vec::new();
    for pspec in element
        .list_properties()
        .iter()
        .filter(|pspec| pspec.owner_type() == element.type_())
    {
        let name = pspec.name();
        names.push(name);
        assert!(
            !pspec.nick().is_empty() && pspec.nick() != name,
            "{name} has no nick"
        );
        assert!(
            pspec.blurb().is_some_and(|blurb| blurb.len() > 20),
            "{name} has no blurb"
        );
        let has = |flag: gst::glib::ParamFlags| pspec.flags().contains(flag);
        assert_eq!(
            has(gst::PARAM_FLAG_MUTABLE_READY),
            ready.contains(&name),
            "{name}"
        );
        assert_eq!(
            has(gst::PARAM_FLAG_MUTABLE_PLAYING),
            playing.contains(&name),
            "{name}"
        );
        assert_eq!(
            has(gst::PARAM_FLAG_CONTROLLABLE),
            ["overlay-opacity", "threshold"].contains(&name),
            "{name}"
        );
        assert_eq!(
            has(gst::glib::ParamFlags::WRITABLE),
            name != "stats",
            "{name}"
        );
        if name != "stats" {
            let value = element.property_value(name);
            let default = pspec.default_value();
            assert_eq!(
                value.compare(default),
                Some(std::cmp::Ordering::Equal),
                "{name}: {value:?}, {default:?}"
            );
        }
    }
    names.sort_unstable();
    let mut expected = [ready.as_slice(), playing.as_slice(), &["stats"]].concat();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

#[test]
fn the_factory_says_what_the_element_is() {
    let factory = element(&[]).factory().expect("made by a factory");
    assert_eq!(factory.metadata("klass"), Some("Filter/Analyzer/Video"));
    assert_eq!(element(&[]).type_().name(), "GstCasmeSaliency");
    assert_eq!(
        factory.plugin().expect("part of a plugin").plugin_name(),
        "casm"
    );
}

#[test]
fn sizes_beyond_and_foreign_formats_are_not_negotiated() {
    // Pads answer only when they are active.
    let element = element(&[]);
    element.set_state(gst::State::Paused).expect("it starts");
    let sink = element.static_pad("sink").expect("it has a sink pad");
    let accepts = |caps: &str| sink.query_accept_caps(&caps.parse().expect("valid caps"));
    assert!(accepts(
        "video/x-raw,format=RGB,width=16,height=8192,framerate=0/1"
    ));
    assert!(accepts(
        "video/x-raw,format=NV12,width=1920,height=1080,framerate=30/1,interlace-mode=progressive"
    ));
    assert!(accepts(
        "video/x-raw,format=NV12,width=720,height=576,framerate=25/1,pixel-aspect-ratio=16/15"
    ));
    for refused in [
        "video/x-raw,format=RGB,width=15,height=16,framerate=25/1",
        "video/x-raw,format=RGB,width=16,height=8193,framerate=25/1",
        "video/x-raw,format=P010_10LE,width=64,height=64,framerate=25/1",
        "video/x-raw(memory:DMABuf),format=NV12,width=64,height=64,framerate=25/1",
        "image/jpeg,width=64,height=64",
    ] {
        assert!(!accepts(refused), "{refused}");
    }
    element.set_state(gst::State::Null).expect("it stops");
}

#[test]
fn fields_in_one_picture_are_accepted_and_fields_apart_are_not() {
    let interlaced = |mode: &str| {
        let element = element(&[]);
        let bus = gst::Bus::new();
        element.set_bus(Some(&bus));
        let mut harness = gst_check::Harness::with_element(&element, Some("sink"), Some("src"));
        let size = info(PixelFormat::I420, 64, 64).size();
        harness.set_src_caps_str(&format!(
            "video/x-raw,format=I420,width=64,height=64,framerate=25/1,interlace-mode={mode}"
        ));
        (
            harness.push(gst::Buffer::from_mut_slice(vec![128; size])),
            bus,
        )
    };
    assert!(interlaced("interleaved").0.is_ok());
    assert!(interlaced("mixed").0.is_ok());
    let (pushed, bus) = interlaced("fields");
    assert_eq!(pushed, Err(gst::FlowError::NotNegotiated));
    let message = bus
        .pop_filtered(&[gst::MessageType::Error])
        .expect("an error on the bus");
    let gst::MessageView::Error(error) = message.view() else {
        unreachable!("filtered")
    };
    assert!(error.error().matches(gst::StreamError::Format));
    assert!(
        error.error().message().contains("deinterlace"),
        "{}",
        error.error()
    );
}
