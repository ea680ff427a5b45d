//! How the mask's meta gets from one buffer to another, in elements that copy, convert and scale.

use glib::translate::*;
use gst::meta::{CustomMeta, MetaTransform, MetaTransformCopy};
use gst_video::VideoInfo;
use gst_video::video_meta::VideoMetaTransformScale;

use super::MaskMeta;

/// Registers a custom meta that depends on the size and orientation of the picture.
///
/// Not by the bindings, whose transform functions do not see what a scaler says of its two sizes.
pub fn register_custom(name: &str) {
    const TAGS: [&str; 3] = ["video", "size", "orientation"];
    // SAFETY: the callee copies or interns the strings; the function needs no user data.
    unsafe {
        gst::ffi::gst_meta_register_custom(
            name.to_glib_none().0,
            TAGS.as_slice().to_glib_none().0,
            Some(transform),
            std::ptr::null_mut(),
            None,
        );
    }
}

/// Carries the meta from one buffer to another where it stays true, and drops it elsewhere.
///
/// # Safety
/// Called by GStreamer only: with a meta of ours, and with the `data` of a transformation of `kind`.
unsafe extern "C" fn transform(
    to: *mut gst::ffi::GstBuffer,
    meta: *mut gst::ffi::GstCustomMeta,
    _from: *mut gst::ffi::GstBuffer,
    kind: glib::ffi::GQuark,
    data: glib::ffi::gpointer,
    _user_data: glib::ffi::gpointer,
) -> glib::ffi::gboolean {
    // SAFETY: see above. Both bindings' types are transparent, and the quarks tell which one it is.
    let stays_true = unsafe {
        if kind == MetaTransformCopy::quark().into_glib() {
            // A part of the buffer is not a frame any more.
            (*data.cast::<MetaTransformCopy>()).range().is_none()
        } else if kind == VideoMetaTransformScale::quark().into_glib() {
            let scale = &*data.cast::<VideoMetaTransformScale>();
            fills_the_frame(scale.in_info(), scale.out_info())
        } else {
            // Later versions try a matrix first, and fall back to plain scaling if it is refused.
            return false.into_glib();
        }
    };
    if !stays_true {
        // Not a failure, which would be logged: nothing is to be carried.
        return true.into_glib();
    }
    // SAFETY: `to` is writable for the call, and `meta` is one of ours.
    let (to, fields) = unsafe {
        let fields = gst::ffi::gst_custom_meta_get_structure(meta);
        (
            gst::BufferRef::from_mut_ptr(to),
            gst::StructureRef::from_glib_borrow(fields),
        )
    };
    let copied = CustomMeta::add(to, MaskMeta::NAME).map(|mut copy| {
        for (name, value) in fields.iter() {
            copy.mut_structure().set_value(name, value.clone());
        }
    });
    copied.is_ok().into_glib()
}

/// Whether a frame scaled from `from` to `to` fills the new frame. With another shape as displayed,
/// `videoscale` puts borders around it (unless told not to, which it does not say).
fn fills_the_frame(from: &VideoInfo, to: &VideoInfo) -> bool {
    let shape = |info: &VideoInfo| {
        let pixel = f64::from(info.par().numer()) / f64::from(info.par().denom().max(1));
        f64::from(info.width()) * pixel / f64::from(info.height().max(1))
    };
    // Borders are whole pixels: a difference below one has none.
    let ratio = shape(to) / shape(from);
    let borders =
        (f64::from(to.width()) * (1.0 - 1.0 / ratio)).max(f64::from(to.height()) * (1.0 - ratio));
    borders < 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(width: u32, height: u32, par: (i32, i32)) -> VideoInfo {
        VideoInfo::builder(gst_video::VideoFormat::I420, width, height)
            .par(gst::Fraction::new(par.0, par.1))
            .build()
            .expect("a valid size")
    }

    #[test]
    fn a_frame_of_the_same_shape_fills() {
        gst::init().expect("GStreamer starts");
        let from = info(320, 240, (1, 1));
        assert!(fills_the_frame(&from, &info(160, 120, (1, 1))));
        assert!(fills_the_frame(&from, &info(300, 300, (4, 3))));
        // 16:9 on a width that is no multiple of 16: 480.375 lines, no border.
        assert!(fills_the_frame(
            &info(1280, 720, (1, 1)),
            &info(854, 480, (1, 1))
        ));
        assert!(!fills_the_frame(&from, &info(300, 300, (1, 1))));
        assert!(!fills_the_frame(&from, &info(640, 240, (1, 1))));
    }
}
