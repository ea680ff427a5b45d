//! What an application in C or Python asks for: a buffer's boxes in pixels of its own frame.

use glib::prelude::*;
use glib::subclass::Signal;
use gst::meta::CustomMeta;

use super::meta::MaskMeta;

/// The action signal `casm-boxes`.
///
/// `casm-boxes (buffer, width, height) → GstStructure`: the objects that a frame's mask meta lists, in pixels of that frame,
/// which has this width and height now; NULL if the buffer carries none. The structure `casm-boxes` has `age` (guint) and
/// `objects`, a GstValueArray of structures `object` as in the element message, the largest first. Any
/// `casmesaliency` of the process answers for any buffer, and without looking at its state.
const NAME: &str = "casm-boxes";

/// The signal, for the element's class.
pub fn signal() -> Signal {
    let sides = [u32::static_type(); 2];
    Signal::builder(NAME)
        .param_types([gst::Buffer::static_type(), sides[0], sides[1]])
        .return_type::<gst::Structure>()
        .action()
        .class_handler(|values| {
            let boxes = || {
                let [_, buffer, width, height] = values else {
                    return None;
                };
                let buffer = buffer.get::<gst::Buffer>().ok()?;
                boxes_in(&buffer, width.get().ok()?, height.get().ok()?)
            };
            Some(boxes().to_value())
        })
        .build()
}

/// The objects of `buffer`, in pixels of a frame of this size.
fn boxes_in(buffer: &gst::BufferRef, width: u32, height: u32) -> Option<gst::Structure> {
    let mask = MaskMeta::from_buffer(buffer)?;
    let meta = CustomMeta::from_buffer(buffer, MaskMeta::NAME).ok()?;
    let listed = meta.structure().get::<gst::Array>("objects").ok()?;
    let objects = listed.iter().zip(mask.boxes_in(width, height));
    let objects = objects.filter_map(|(object, found)| {
        let mut object = object.get::<gst::Structure>().ok()?;
        let sides = [found.x, found.y, found.width, found.height];
        for (name, side) in ["x", "y", "width", "height"].into_iter().zip(sides) {
            object.set(name, i32::try_from(side).unwrap_or(i32::MAX));
        }
        Some(object)
    });
    let structure = gst::Structure::builder(NAME)
        .field("age", mask.age)
        .field("objects", gst::Array::new(objects));
    Some(structure.build())
}
