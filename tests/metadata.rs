//! Where each kind of metadata says the object is after elements that move the picture: the table of
//! docs/metadata.md, one section for each version of GStreamer, is what this test makes.
//!
//! `CASM_WRITE_TABLES=1` writes the section of the version that runs.

use std::fmt::Write as _;
use std::path::Path;

use casm_tests::gst::{mask, pipeline, play_and_collect, rois};
use gstcasm::{BoundingBox, MaskMeta};

/// The frame that the element sees.
const SIZE: (u32, u32) = (320, 240);

/// A step downstream of the element, the size after it, and where a box of [`SIZE`] truly is then.
struct Step {
    element: &'static str,
    size: (u32, u32),
    moved: fn(Sides) -> Sides,
}

/// Left, top, right, bottom, in pixels.
type Sides = [f64; 4];

const STEPS: [Step; 12] = [
    Step {
        element: "queue",
        size: SIZE,
        moved: |sides| sides,
    },
    Step {
        element: "videoconvert ! video/x-raw,format=RGB",
        size: SIZE,
        moved: |sides| sides,
    },
    Step {
        element: "videobalance hue=0.5",
        size: SIZE,
        moved: |sides| sides,
    },
    Step {
        element: "videorate ! video/x-raw,framerate=60/1",
        size: SIZE,
        moved: |sides| sides,
    },
    Step {
        element: "jpegenc ! jpegdec",
        size: SIZE,
        moved: |sides| sides,
    },
    Step {
        element: "videoscale ! video/x-raw,width=160,height=120",
        size: (160, 120),
        moved: |sides| sides.map(|side| side / 2.0),
    },
    // 320x240 fits 300 wide and 225 high.
    Step {
        element: "videoscale ! video/x-raw,width=300,height=300,pixel-aspect-ratio=1/1",
        size: (300, 300),
        moved: |[left, top, right, bottom]| {
            let scale = 0.9375;
            [
                left * scale,
                top * scale + 37.5,
                right * scale,
                bottom * scale + 37.5,
            ]
        },
    },
    Step {
        element: "videoflip video-direction=horiz",
        size: SIZE,
        moved: |[left, top, right, bottom]| [320.0 - right, top, 320.0 - left, bottom],
    },
    Step {
        element: "videoflip video-direction=90r",
        size: (240, 320),
        moved: |[left, top, right, bottom]| [240.0 - bottom, left, 240.0 - top, right],
    },
    Step {
        element: "videocrop left=40 top=20",
        size: (280, 220),
        moved: |[left, top, right, bottom]| {
            [
                (left - 40.0).max(0.0),
                (top - 20.0).max(0.0),
                right - 40.0,
                bottom - 20.0,
            ]
        },
    },
    Step {
        element: "videobox left=40 top=20",
        size: (280, 220),
        moved: |[left, top, right, bottom]| {
            [
                (left - 40.0).max(0.0),
                (top - 20.0).max(0.0),
                right - 40.0,
                bottom - 20.0,
            ]
        },
    },
    Step {
        element: "compositor",
        size: SIZE,
        moved: |sides| sides,
    },
];

fn sides(found: BoundingBox) -> Sides {
    [found.x, found.y, found.right(), found.bottom()].map(f64::from)
}

/// `right` within 2 pixels a side: the elements round position and size down.
fn verdict(found: Option<BoundingBox>, truth: Sides) -> &'static str {
    match found {
        None => "lost",
        Some(found) => {
            let mut pairs = sides(found).into_iter().zip(truth);
            if pairs.all(|(found, truth)| (found - truth).abs() <= 2.0) {
                "right"
            } else {
                "**wrong**"
            }
        }
    }
}

/// The detection of the analytics metadata.
#[cfg(feature = "v1_24")]
fn detected(buffer: &gst::BufferRef) -> Option<BoundingBox> {
    use gst_analytics::prelude::*;
    use gst_analytics::{AnalyticsODMtd, AnalyticsRelationMeta};
    let meta = buffer.meta::<AnalyticsRelationMeta>()?;
    let location = meta.iter::<AnalyticsODMtd>().next()?.location().ok()?;
    let side = |value: i32| u32::try_from(value).ok();
    Some(BoundingBox {
        x: side(location.x)?,
        y: side(location.y)?,
        width: side(location.w)?,
        height: side(location.h)?,
    })
}

fn after(element: &str) -> gst::Buffer {
    let buffers = play_and_collect(&pipeline(&format!(
        "videotestsrc num-buffers=2 pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=30/1,\
         pixel-aspect-ratio=1/1 ! casmesaliency ! {element} ! appsink name=sink"
    )));
    buffers.into_iter().next().expect("a frame comes through")
}

fn table() -> String {
    let plain = after("identity");
    let truth = mask(&plain).bounding_box.expect("there is a ball");
    let mut table =
        String::from("| after | region of interest | its parameters | `GstCasmMaskMeta` |");
    table += if cfg!(feature = "v1_24") {
        " analytics |\n"
    } else {
        "\n"
    };
    table += if cfg!(feature = "v1_24") {
        "|---|---|---|---|---|\n"
    } else {
        "|---|---|---|---|\n"
    };
    for step in STEPS {
        let buffer = after(step.element);
        let truth = (step.moved)(sides(truth));
        let regions = rois(&buffer);
        let region = regions.first();
        let own =
            MaskMeta::from_buffer(&buffer).and_then(|mask| mask.box_in(step.size.0, step.size.1));
        let parameters = match region {
            Some(region) if region.params.is_some() => "kept",
            _ => "lost",
        };
        write!(
            table,
            "| `{}` | {} | {parameters} | {} |",
            step.element,
            verdict(region.map(|region| region.bounding_box), truth),
            verdict(own, truth),
        )
        .expect("a string has room");
        assert_ne!(
            verdict(own, truth),
            "**wrong**",
            "our own meta is right or not there: {}",
            step.element
        );
        #[cfg(feature = "v1_24")]
        write!(table, " {} |", verdict(detected(&buffer), truth)).expect("a string has room");
        table.push('\n');
    }
    table
}

#[test]
fn the_table_is_what_this_gstreamer_does() {
    casm_tests::gst::init();
    let (major, minor, ..) = gst::version();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metadata.md");
    let text = std::fs::read_to_string(&file).expect("docs/metadata.md");
    let heading = format!("## GStreamer {major}.{minor}\n\n");
    let made = table();
    let Some(begin) = text.find(&heading).map(|at| at + heading.len()) else {
        assert!(
            std::env::var_os("CASM_WRITE_TABLES").is_none(),
            "docs/metadata.md has no section for {major}.{minor}: add its heading"
        );
        println!("skipped: docs/metadata.md has no section for GStreamer {major}.{minor}");
        return;
    };
    if std::env::var_os("CASM_WRITE_TABLES").is_none() && !text[begin..].starts_with('|') {
        println!("skipped: the table of GStreamer {major}.{minor} was not written yet");
        return;
    }
    let end = text[begin..]
        .find("\n\n")
        .map_or(text.len(), |at| begin + at + 1);
    if std::env::var_os("CASM_WRITE_TABLES").is_some() {
        let text = format!("{}{made}{}", &text[..begin], &text[end..]);
        std::fs::write(&file, text).expect("docs/metadata.md can be written");
        return;
    }
    // A build without the analytics metadata shows fewer columns than the section has.
    if cfg!(feature = "v1_24") || minor < 24 {
        assert_eq!(made, text[begin..end], "CASM_WRITE_TABLES=1 writes it anew");
    }
}

#[cfg(feature = "v1_24")]
mod analytics {
    use casm_tests::gst::{pipeline, play_and_collect, rois};
    use gst_analytics::prelude::*;
    use gst_analytics::{AnalyticsODMtd, AnalyticsRelationMeta, AnalyticsTrackingMtd, RelTypes};

    fn collect(description: &str) -> Vec<gst::Buffer> {
        play_and_collect(&pipeline(&format!(
            "videotestsrc num-buffers=3 pattern=ball ! video/x-raw,format=BGRA,width=320,height=240 ! {description} \
             ! appsink name=sink"
        )))
    }

    #[test]
    fn detection_and_tracking_say_what_the_region_says() {
        let mut since = std::collections::HashMap::new();
        for buffer in collect("casmesaliency tracking=true") {
            let regions = rois(&buffer);
            let region = regions.first().expect("there is a ball");
            let params = region.params.as_ref().expect("parameters");
            let meta = buffer
                .meta::<AnalyticsRelationMeta>()
                .expect("analytics metadata");
            let detection = meta.iter::<AnalyticsODMtd>().next().expect("a detection");
            let found = detection.location().expect("a place");
            let expected = region.bounding_box;
            assert_eq!(
                [found.x, found.y, found.w, found.h],
                [expected.x, expected.y, expected.width, expected.height].map(|side| side as i32)
            );
            let confidence: f64 = params.get("confidence").expect("confidence");
            assert_eq!(found.loc_conf_lvl, confidence as f32);
            assert_eq!(detection.obj_type(), Some(glib_quark(gstcasm::ROI_TYPE)));
            let tracking = meta
                .iter::<AnalyticsTrackingMtd>()
                .next()
                .expect("a tracking");
            assert_eq!(
                tracking.info().0,
                params.get::<u64>("track-id").expect("track-id")
            );
            let (id, first, last, lost) = tracking.info();
            let time = buffer.pts().expect("a time");
            assert_eq!(first, *since.entry(id).or_insert(time));
            assert_eq!((last, lost), (time, false));
            assert_eq!(
                meta.relation(detection.id(), tracking.id()),
                RelTypes::RELATE_TO
            );
        }
        assert_eq!(since.len(), 1, "a ball that moves a little is one object");
    }

    fn glib_quark(word: &str) -> gst::glib::Quark {
        gst::glib::Quark::from_str(word)
    }

    /// Stock elements draw what is in the metadata.
    #[test]
    fn overlays_of_gstreamer_draw_the_result() {
        let plain = collect("casmesaliency");
        for overlay in [
            "objectdetectionoverlay",
            "segmentationoverlay",
            "ioutracker ! objectdetectionoverlay",
        ] {
            let first = overlay.split(' ').next().expect("a word");
            if gst::ElementFactory::find(first).is_none() {
                println!(
                    "skipped: GStreamer {} has no {first}",
                    gst::version_string()
                );
                continue;
            }
            let drawn = collect(&format!("casmesaliency ! {overlay}"));
            assert_eq!(drawn.len(), plain.len());
            let changed = |(a, b): (&gst::Buffer, &gst::Buffer)| {
                let (a, b) = (
                    a.map_readable().expect("memory"),
                    b.map_readable().expect("memory"),
                );
                a.iter().zip(b.iter()).filter(|(a, b)| a != b).count()
            };
            assert!(
                plain.iter().zip(&drawn).all(|pair| changed(pair) > 500),
                "{overlay} draws nothing"
            );
        }
    }

    #[cfg(feature = "v1_26")]
    #[test]
    fn the_soft_mask_is_a_tensor() {
        use gst_analytics::{TensorDataType, TensorMeta};
        for buffer in collect("casmesaliency") {
            let meta = buffer.meta::<TensorMeta>().expect("tensors");
            let index = meta.index_from_id(glib_quark(gstcasm::TENSOR_ID));
            let tensor = &meta.as_slice()[usize::try_from(index).expect("ours")];
            assert_eq!(tensor.data_type(), TensorDataType::Float32);
            assert_eq!(tensor.dims(), [224, 224]);
            let bytes = tensor.data().map_readable().expect("memory");
            let values: Vec<f32> = bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|&value| f32::from_ne_bytes(value))
                .collect();
            assert_eq!(values, casm_tests::gst::mask(&buffer).values);
        }
    }
}
