//! The library's errors as GStreamer's: which domain and code tells an application what to do.

use casm_core::Error;

/// Calls `$make!` with the code that belongs to the kind of error.
macro_rules! with_code {
    ($error:expr, $make:ident) => {
        match $error {
            Error::NotFound { .. } => $make!(gst::ResourceError::NotFound),
            Error::Unreadable { .. } => $make!(gst::ResourceError::OpenRead),
            Error::Checkpoint { .. } | Error::Weights { .. } | Error::Config { .. } => {
                $make!(gst::ResourceError::Read)
            }
            Error::EngineLibrary { .. } | Error::Device { .. } => $make!(gst::LibraryError::Init),
            Error::Frame { .. } => $make!(gst::StreamError::Format),
            // `Error` may grow; what is not known here is the engine's or the library's own failure.
            _ => $make!(gst::LibraryError::Failed),
        }
    };
}

/// The message for the bus. Its text is the error's own, which names the file or device and the
/// remedy; it is what `gst-launch-1.0` prints after `ERROR:`.
pub fn error_message(error: &Error) -> gst::ErrorMessage {
    macro_rules! make {
        ($code:expr) => {
            gst::error_msg!($code, ("{error}"))
        };
    }
    with_code!(error, make)
}

/// The same as a warning of what went on in spite of it, with this `text`.
pub fn warning(error: &Error, text: &str) -> gst::glib::Error {
    macro_rules! make {
        ($code:expr) => {
            gst::glib::Error::new($code, text)
        };
    }
    with_code!(error, make)
}
