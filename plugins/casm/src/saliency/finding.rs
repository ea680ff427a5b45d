//! What one inference found, as it goes with its frame and with those that re-use it.

use casm_core::{Geometry, Localization, Object};

/// A localization with all that its metadata says.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Mask and objects.
    pub localization: Localization,
    /// Of the frame that was looked at.
    pub geometry: Geometry,
    /// The mask's values, shared by all buffers that carry them.
    pub values: glib::Bytes,
    /// Name of the most probable class, if the checkpoint names classes.
    pub class_name: Option<String>,
    /// Time stamp of the frame that was looked at.
    pub inference_pts: Option<gst::ClockTime>,
    /// Frames since that one.
    pub age: u32,
}

impl Finding {
    /// A finding of this very frame.
    pub fn new(
        localization: Localization,
        geometry: Geometry,
        classes: &[String],
        inference_pts: Option<gst::ClockTime>,
    ) -> Finding {
        let values: Vec<u8> = localization
            .mask
            .values
            .iter()
            .flat_map(|value| value.to_ne_bytes())
            .collect();
        let class_name = localization
            .top_class
            .and_then(|(class, _)| classes.get(class).cloned());
        Finding {
            localization,
            geometry,
            values: glib::Bytes::from_owned(values),
            class_name,
            inference_pts,
            age: 0,
        }
    }

    /// Share of the mask that an object covers, in [0, 1]; 0 without one.
    pub fn area(&self, object: Option<&Object>) -> f64 {
        let pixels = (self.localization.mask.width * self.localization.mask.height).max(1);
        object.map_or(0.0, |object| object.component.area as f64 / pixels as f64)
    }
}
