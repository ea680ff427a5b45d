//! Files that are either whole or not there.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Names of files that are being written, so that [`remove_partial`] knows them.
const PREFIX: &str = ".casm-";
const SUFFIX: &str = ".partial";

/// A file or folder cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("'{}' cannot be written: {cause}{}", path.display(), remedy(cause.kind()))]
pub struct WriteError {
    /// The file or folder.
    pub path: PathBuf,
    /// What the operating system says. Part of the message, so not a source of its own.
    pub cause: io::Error,
}

impl WriteError {
    /// For use with `map_err`.
    pub(crate) fn of(path: &Path) -> impl Fn(io::Error) -> WriteError {
        move |cause| WriteError {
            path: path.to_owned(),
            cause,
        }
    }
}

/// What can be done about it.
fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; make room and start again: what was written before is untouched"
        }
        ErrorKind::FileTooLarge => {
            "; raise the limit on the size of files (ulimit -f) and start again: what was written before is untouched"
        }
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::AlreadyExists => "; name a folder that can be written to",
        ErrorKind::NotFound => "; make its folder first, or name another one",
        ErrorKind::IsADirectory => "; move away the folder of this name",
        _ => "; check the disk and start again: what was written before is untouched",
    }
}

/// Writes a file such that at any moment, also after the loss of power, the path leads to the whole
/// old file or the whole new one.
///
/// The bytes go to a file beside it, which is synced and renamed; then the folder is synced. After an
/// error the old file is as it was, and nothing else is left.
///
/// # Errors
/// [`WriteError`]: no room, no permission, no folder, or what `write` fails with.
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), WriteError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let attempt = || {
        let partial = tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(SUFFIX)
            // As any new file; temporary ones would be for their owner only.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)?;
        let mut writer = BufWriter::with_capacity(1 << 16, partial.as_file());
        write(&mut writer)?;
        writer.flush()?;
        drop(writer);
        partial.as_file().sync_all()?;
        partial.persist(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    };
    attempt().map_err(WriteError::of(path))
}

/// Removes what a killed process left of files that it was writing in `folder`.
pub(super) fn remove_partial(folder: &Path) -> Result<(), WriteError> {
    let error = WriteError::of(folder);
    for entry in std::fs::read_dir(folder).map_err(&error)? {
        let entry = entry.map_err(&error)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes a file; one that is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<(), WriteError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(WriteError::of(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).expect("readable");
        let name = |entry: io::Result<std::fs::DirEntry>| entry.expect("readable").file_name();
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().expect("writable");
        let path = folder.path().join("config.json");
        write_atomically(&path, |file| file.write_all(b"old")).expect("writable");
        let error = write_atomically(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(ErrorKind::StorageFull.into())
        })
        .expect_err("the disk is full");
        assert_eq!(error.cause.kind(), ErrorKind::StorageFull);
        let message = error.to_string();
        assert!(message.contains("config.json"), "{message}");
        assert!(message.contains("make room"), "{message}");
        assert_eq!(std::fs::read(&path).expect("there"), b"old");
        assert_eq!(names(folder.path()), ["config.json"]);
    }

    #[test]
    fn the_new_file_replaces_the_old_one_and_others_may_read_it() {
        let folder = tempfile::tempdir().expect("writable");
        let path = folder.path().join("model");
        for text in ["a longer text", "short"] {
            write_atomically(&path, |file| file.write_all(text.as_bytes())).expect("writable");
            assert_eq!(std::fs::read_to_string(&path).expect("there"), text);
        }
        // What the process's umask grants to any new file.
        let plain = folder.path().join("plain");
        std::fs::write(&plain, "").expect("writable");
        let mode = |path| {
            let metadata = std::fs::metadata(path).expect("there");
            metadata.permissions().mode()
        };
        assert_eq!(mode(&path), mode(&plain));
    }

    #[test]
    fn only_own_partial_files_are_removed() {
        let folder = tempfile::tempdir().expect("writable");
        for name in [".casm-x7.partial", "notes.partial", ".casm-notes"] {
            std::fs::write(folder.path().join(name), "").expect("writable");
        }
        remove_partial(folder.path()).expect("writable");
        assert_eq!(names(folder.path()), [".casm-notes", "notes.partial"]);
    }

    #[test]
    fn a_folder_that_is_none_is_named() {
        let file = tempfile::NamedTempFile::new().expect("writable");
        let path = file.path().join("config.json");
        let error = write_atomically(&path, |_| Ok(())).expect_err("in a file");
        assert!(error.to_string().contains("name a folder"), "{error}");
    }
}
