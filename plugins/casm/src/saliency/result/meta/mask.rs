//! The meta with the soft mask, for the element and for applications.

use casm_core::BoundingBox;
use gst::meta::CustomMeta;

use super::transform;

/// The meta that carries the soft mask: a `GstCustomMeta` of the name [`MaskMeta::NAME`].
///
/// On every frame that the element has looked at, with or without an object. In C it is
/// `gst_custom_meta_get_structure(gst_buffer_get_custom_meta(buffer, "GstCasmMaskMeta"))`, in Python
/// `buffer.get_custom_meta("GstCasmMaskMeta").get_structure()`, with the fields
///
/// | field | type | meaning |
/// |---|---|---|
/// | `width`, `height` | guint | size of the mask, which covers the whole frame |
/// | `values` | GBytes | `width * height` 32-bit floats, row by row, in the machine's byte order, in [0, 1] |
/// | `reference-width`, `reference-height` | guint | size of the frame to which the box belongs |
/// | `has-object` | gboolean | whether the frame has an object, of several the largest; if not, the next five are 0 |
/// | `box-x`, `box-y`, `box-width`, `box-height` | guint | its box in pixels of the reference frame |
/// | `objects` | GstValueArray | a structure `object` for each object, the largest first: `x`, `y`, `width`, `height` (gint, reference frame), `confidence`, `component-area` (gdouble), with `tracking` or `box-hysteresis` also `track-id` (guint64), with `roi-mode=upstream` also `region-type` (string) and `parent-id` (gint) |
/// | `confidence` | gdouble | mean of the mask over the object, in [0, 1] |
/// | `track-id` | guint64 | number of the object in the stream, from 1; with `tracking` or `box-hysteresis` |
/// | `mask-mean` | gdouble | mean of the mask, in [0, 1] |
/// | `component-area` | gdouble | share of the mask that the object covers, in [0, 1] |
/// | `inference-pts` | guint64 | time stamp of the frame that was looked at; `GST_CLOCK_TIME_NONE` if it had none |
/// | `age` | guint | frames since that one; 0 = this very frame |
/// | `top-class`, `top-class-probability`, `top-class-name` | gint, gdouble, string | as in [`PARAMS_NAME`](super::PARAMS_NAME) |
///
/// So it has all that the region of interest has. That loses its parameters in `videoconvert` and
/// `videoscale` of GStreamer 1.22, where only its box remains; this meta stays whole there.
///
/// Copies of a buffer share the values. Scaling needs no change: mask and box are relative to the
/// reference frame, and [`SaliencyMask::box_in`] converts. What moves the picture inside the frame
/// would make both wrong, so there the meta is dropped, not carried along: scaling to another aspect
/// ratio (which gets borders), flipping and rotating, cropping, compositing.
#[derive(Debug, Clone, Copy)]
pub struct MaskMeta;

/// A mask read from a buffer.
#[derive(Clone, PartialEq)]
pub struct SaliencyMask {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `width * height` values in [0, 1], row by row; they cover the whole frame.
    pub values: Vec<f32>,
    /// Width of the frame that the box belongs to.
    pub reference_width: u32,
    /// Height of the frame that the box belongs to.
    pub reference_height: u32,
    /// Box of the object in pixels of the reference frame.
    pub bounding_box: Option<BoundingBox>,
    /// All objects, the largest first.
    pub objects: Vec<SaliencyObject>,
    /// Mean of the mask over the object, in [0, 1].
    pub confidence: f64,
    /// Number of the object in the stream, if objects are followed.
    pub track_id: Option<u64>,
    /// Mean of the mask, in [0, 1].
    pub mask_mean: f64,
    /// Share of the mask that the object covers, in [0, 1].
    pub component_area: f64,
    /// Time stamp of the frame that was looked at.
    pub inference_pts: Option<gst::ClockTime>,
    /// Frames since that one.
    pub age: u32,
    /// Most probable class of the frame and its probability, if the model has classes.
    pub top_class: Option<(u32, f64)>,
    /// Name of that class, if the model names its classes.
    pub top_class_name: Option<String>,
}

/// One of the objects that a buffer carries.
#[derive(Debug, Clone, PartialEq)]
pub struct SaliencyObject {
    /// Its box in pixels of the reference frame.
    pub bounding_box: BoundingBox,
    /// Mean of the mask over it, in [0, 1].
    pub confidence: f64,
    /// Share of the mask that it covers, in [0, 1].
    pub component_area: f64,
    /// Its number in the stream, if objects are followed.
    pub track_id: Option<u64>,
    /// Type of the region of interest that it was found in, with `roi-mode=upstream`.
    pub region_type: Option<String>,
    /// Number of that region, which is on the same buffer; `None` where the result is that of an earlier frame.
    pub parent_id: Option<i32>,
}

impl SaliencyObject {
    fn from_fields(fields: &gst::StructureRef) -> Option<SaliencyObject> {
        let side = |name: &str| u32::try_from(fields.get::<i32>(name).ok()?).ok();
        Some(SaliencyObject {
            bounding_box: BoundingBox {
                x: side("x")?,
                y: side("y")?,
                width: side("width")?,
                height: side("height")?,
            },
            confidence: fields.get("confidence").ok()?,
            component_area: fields.get("component-area").ok()?,
            track_id: fields.get("track-id").ok(),
            region_type: fields.get("region-type").ok(),
            parent_id: fields.get("parent-id").ok(),
        })
    }
}

/// Without the values, which would fill the screen.
impl std::fmt::Debug for SaliencyMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SaliencyMask")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("reference_width", &self.reference_width)
            .field("reference_height", &self.reference_height)
            .field("bounding_box", &self.bounding_box)
            .field("objects", &self.objects)
            .field("confidence", &self.confidence)
            .field("track_id", &self.track_id)
            .field("mask_mean", &self.mask_mean)
            .field("component_area", &self.component_area)
            .field("inference_pts", &self.inference_pts)
            .field("age", &self.age)
            .field("top_class", &self.top_class)
            .field("top_class_name", &self.top_class_name)
            .finish_non_exhaustive()
    }
}

impl SaliencyMask {
    /// The box of the largest object in pixels of a frame of this size, to which the reference frame was
    /// scaled: rounded to the nearest pixel, inside of the frame, never empty.
    pub fn box_in(&self, frame_width: u32, frame_height: u32) -> Option<BoundingBox> {
        Some(self.scaled(self.bounding_box?, frame_width, frame_height))
    }

    /// The boxes of all objects, as [`box_in`](SaliencyMask::box_in) gives that of the largest, which comes
    /// first.
    pub fn boxes_in(&self, frame_width: u32, frame_height: u32) -> Vec<BoundingBox> {
        let boxes = self.objects.iter().map(|object| object.bounding_box);
        boxes
            .map(|found| self.scaled(found, frame_width, frame_height))
            .collect()
    }

    fn scaled(&self, found: BoundingBox, frame_width: u32, frame_height: u32) -> BoundingBox {
        let axis = |start: u32, end: u32, from: u32, to: u32| {
            let (from, to) = (u64::from(from.max(1)), u64::from(to.max(1)));
            let nearest = |edge: u32| (2 * u64::from(edge) * to + from) / (2 * from);
            let first = nearest(start).min(to - 1);
            let last = nearest(end).clamp(first + 1, to);
            (first as u32, (last - first) as u32)
        };
        let (x, width) = axis(found.x, found.right(), self.reference_width, frame_width);
        let (y, height) = axis(found.y, found.bottom(), self.reference_height, frame_height);
        BoundingBox {
            x,
            y,
            width,
            height,
        }
    }
}

impl MaskMeta {
    /// Name of the custom meta.
    pub const NAME: &str = "GstCasmMaskMeta";

    /// The mask that a buffer carries; `None` if it carries none, or not in this form.
    pub fn from_buffer(buffer: &gst::BufferRef) -> Option<SaliencyMask> {
        let meta = CustomMeta::from_buffer(buffer, Self::NAME).ok()?;
        let fields = meta.structure();
        let number = |name: &str| fields.get::<u32>(name).ok();
        let real = |name: &str| fields.get::<f64>(name).ok();
        let (width, height) = (number("width")? as usize, number("height")? as usize);
        let bytes = fields.get::<glib::Bytes>("values").ok()?;
        let (values, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() || Some(values.len()) != width.checked_mul(height) {
            return None;
        }
        let bounding_box = BoundingBox {
            x: number("box-x")?,
            y: number("box-y")?,
            width: number("box-width")?,
            height: number("box-height")?,
        };
        Some(SaliencyMask {
            width,
            height,
            values: values
                .iter()
                .map(|&value| f32::from_ne_bytes(value))
                .collect(),
            reference_width: number("reference-width")?,
            reference_height: number("reference-height")?,
            bounding_box: fields
                .get::<bool>("has-object")
                .ok()?
                .then_some(bounding_box),
            objects: fields
                .get::<gst::Array>("objects")
                .ok()?
                .iter()
                .filter_map(|object| {
                    let fields = object.get::<gst::Structure>().ok()?;
                    SaliencyObject::from_fields(&fields)
                })
                .collect(),
            confidence: real("confidence")?,
            track_id: fields.get("track-id").ok(),
            mask_mean: real("mask-mean")?,
            component_area: real("component-area")?,
            inference_pts: fields.get::<Option<gst::ClockTime>>("inference-pts").ok()?,
            age: number("age")?,
            top_class: fields
                .get::<i32>("top-class")
                .ok()
                .and_then(|class| u32::try_from(class).ok())
                .zip(real("top-class-probability")),
            top_class_name: fields.get("top-class-name").ok(),
        })
    }

    /// Makes GStreamer know the meta. Not needed for reading it.
    pub fn register() {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // An application may have this crate in it and load the plugin's library as well.
            if !CustomMeta::is_registered(Self::NAME) {
                transform::register_custom(Self::NAME);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(bounding_box: BoundingBox) -> SaliencyMask {
        SaliencyMask {
            width: 1,
            height: 1,
            values: vec![0.5],
            reference_width: 320,
            reference_height: 240,
            bounding_box: Some(bounding_box),
            objects: vec![SaliencyObject {
                bounding_box,
                confidence: 0.5,
                component_area: 1.0,
                track_id: None,
                region_type: None,
                parent_id: None,
            }],
            confidence: 0.5,
            track_id: None,
            mask_mean: 0.5,
            component_area: 1.0,
            inference_pts: None,
            age: 0,
            top_class: None,
            top_class_name: None,
        }
    }

    #[test]
    fn a_box_follows_the_frame_and_never_vanishes() {
        let whole = mask(BoundingBox {
            x: 100,
            y: 60,
            width: 80,
            height: 40,
        });
        assert_eq!(whole.box_in(320, 240), whole.bounding_box);
        assert_eq!(
            whole.box_in(160, 120),
            Some(BoundingBox {
                x: 50,
                y: 30,
                width: 40,
                height: 20
            })
        );
        assert_eq!(
            whole.boxes_in(160, 120),
            Vec::from_iter(whole.box_in(160, 120))
        );
        let corner = mask(BoundingBox {
            x: 319,
            y: 239,
            width: 1,
            height: 1,
        });
        assert_eq!(
            corner.box_in(16, 16),
            Some(BoundingBox {
                x: 15,
                y: 15,
                width: 1,
                height: 1
            })
        );
        assert_eq!(
            corner.box_in(0, 0),
            Some(BoundingBox {
                x: 0,
                y: 0,
                width: 1,
                height: 1
            })
        );
    }
}
