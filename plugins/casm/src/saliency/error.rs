//! The library's errors as GStreamer's: which domain and code tells an application what to do.

use casm_core::Error;

/// The message for the bus. Its text is the error's own, which names the file or device and the
/// remedy; it is what `gst-launch-1.0` prints after `ERROR:`.
pub fn error_message(error: &Error) -> gst::ErrorMessage {
    match error {
        Error::NotFound { .. } => gst::error_msg!(gst::ResourceError::NotFound, ("{error}")),
        Error::Unreadable { .. } => gst::error_msg!(gst::ResourceError::OpenRead, ("{error}")),
        Error::Checkpoint { .. } | Error::Weights { .. } | Error::Config { .. } => {
            gst::error_msg!(gst::ResourceError::Read, ("{error}"))
        }
        Error::EngineLibrary { .. } | Error::Device { .. } => {
            gst::error_msg!(gst::LibraryError::Init, ("{error}"))
        }
        Error::Frame { .. } => gst::error_msg!(gst::StreamError::Format, ("{error}")),
        // `Error` may grow; what is not known here is the engine's or the library's own failure.
        _ => gst::error_msg!(gst::LibraryError::Failed, ("{error}")),
    }
}
