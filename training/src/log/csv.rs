//! Records as CSV, one line each, for spreadsheets and pandas.

use std::fs::{File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use csv::{Writer, WriterBuilder};
use serde::Serialize;

use crate::snapshot::{WriteError, write_atomically};

/// Why a log cannot be written or continued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// No room, no permission, no folder.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The file of the run so far cannot be read.
    #[error("'{}' cannot be read and so not continued: {cause}; move it away", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// The file of the run so far has other columns.
    #[error("'{}' has other columns than this version writes; move it away", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
    },
}

/// A CSV file with a line for each record `R`, whose first field is its step.
#[derive(Debug)]
pub struct CsvLog<R> {
    path: PathBuf,
    writer: Writer<File>,
    record: PhantomData<R>,
}

impl<R: Serialize + Default> CsvLog<R> {
    /// Opens the log of a run that has done `step` steps; 0 starts it anew.
    ///
    /// Lines of later steps, which the resumed run does again, are cut off, and so is the half line of a
    /// process that was killed; so the file becomes that of a run that was never interrupted.
    ///
    /// # Errors
    /// [`LogError`] names the file.
    pub fn open(path: &Path, step: u64) -> Result<CsvLog<R>, LogError> {
        let header = header::<R>().map_err(WriteError::of(path))?;
        let text = match std::fs::read_to_string(path) {
            Ok(text) if step > 0 => {
                continued(&text, &header, step).ok_or_else(|| LogError::Columns {
                    path: path.to_owned(),
                })?
            }
            Err(cause) if step > 0 && cause.kind() != io::ErrorKind::NotFound => {
                return Err(LogError::Read {
                    path: path.to_owned(),
                    cause,
                });
            }
            _ => header,
        };
        write_atomically(path, |file| file.write_all(text.as_bytes()))?;
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(WriteError::of(path))?;
        Ok(CsvLog {
            path: path.to_owned(),
            writer: WriterBuilder::new().has_headers(false).from_writer(file),
            record: PhantomData,
        })
    }

    /// Adds a line, which is in the file when this returns.
    ///
    /// # Errors
    /// [`LogError::Write`].
    pub fn append(&mut self, record: &R) -> Result<(), LogError> {
        self.writer
            .serialize(record)
            .map_err(io::Error::from)
            .and_then(|()| self.writer.flush())
            .map_err(WriteError::of(&self.path))?;
        Ok(())
    }
}

/// The line with the names of the columns.
fn header<R: Serialize + Default>() -> io::Result<String> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.serialize(R::default())?;
    let bytes = writer
        .into_inner()
        .map_err(|error| io::Error::other(error.to_string()))?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.split_inclusive('\n').take(1).collect())
}

/// What stays of `text` for a run at `step`; `None` if it has another header.
fn continued(text: &str, header: &str, step: u64) -> Option<String> {
    let mut lines = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    // Killed before even the header was there.
    let first = lines.next().unwrap_or(header);
    let earlier = |line: &&str| {
        let field = line.split([',', '\n']).next().unwrap_or_default();
        field.parse().is_ok_and(|of: u64| of <= step)
    };
    (first == header).then(|| {
        let kept = lines.take_while(earlier);
        std::iter::once(header).chain(kept).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Scalars, ScoreRecord, StepRecord};

    fn score(step: u64) -> ScoreRecord {
        ScoreRecord {
            step,
            images: 650,
            f1: Some(0.1 + 0.2),
            ..ScoreRecord::default()
        }
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).expect("readable")
    }

    /// The line by hand; 0.1 + 0.2 is 0.30000000000000004 in binary.
    #[test]
    fn a_record_is_a_line_and_missing_numbers_are_empty_cells() {
        let folder = tempfile::tempdir().expect("writable");
        let path = folder.path().join("scores.csv");
        let mut log = CsvLog::open(&path, 0).expect("writable");
        log.append(&score(3)).expect("writable");
        assert_eq!(
            read(&path),
            "step,epoch,images,localization_error,official_metric,f1,top1,top5,mask_mean\n\
             3,0,650,,,0.30000000000000004,,,\n"
        );
    }

    #[test]
    fn a_resumed_log_equals_that_of_an_uninterrupted_run() {
        let folder = tempfile::tempdir().expect("writable");
        let (whole, resumed) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
        let write = |path: &Path, from: u64, to: u64| {
            let mut log = CsvLog::open(path, from).expect("writable");
            for step in from + 1..=to {
                log.append(&score(step)).expect("writable");
            }
        };
        write(&whole, 0, 20);
        write(&resumed, 0, 13);
        // Killed within a line; "1" is a step before the tenth, so only the missing end tells.
        let mut text = read(&resumed);
        text.push('1');
        std::fs::write(&resumed, text).expect("writable");
        write(&resumed, 10, 20);
        assert_eq!(read(&resumed), read(&whole));
    }

    #[test]
    fn a_new_run_starts_anew_and_a_missing_file_is_begun() {
        let folder = tempfile::tempdir().expect("writable");
        let path = folder.path().join("scores.csv");
        for step in [5, 0] {
            let mut log = CsvLog::open(&path, step).expect("writable");
            log.append(&score(9)).expect("writable");
            assert_eq!(read(&path).lines().count(), 2);
        }
    }

    #[test]
    fn foreign_columns_and_folders_are_named() {
        let folder = tempfile::tempdir().expect("writable");
        let path = folder.path().join("steps.csv");
        std::fs::write(&path, "step,loss\n1,2\n").expect("writable");
        let error = CsvLog::<ScoreRecord>::open(&path, 1).expect_err("other columns");
        assert!(matches!(error, LogError::Columns { .. }), "{error}");
        assert_eq!(read(&path), "step,loss\n1,2\n");
        let missing = folder.path().join("nowhere/steps.csv");
        let error = CsvLog::<ScoreRecord>::open(&missing, 0).expect_err("no folder");
        assert!(error.to_string().contains("nowhere/steps.csv"), "{error}");
        let error = CsvLog::<ScoreRecord>::open(folder.path(), 1).expect_err("a folder");
        assert!(error.to_string().contains("move it away"), "{error}");
    }

    #[test]
    fn curves_are_columns() {
        fn check<R: Scalars + Serialize + Default>() {
            let header = header::<R>().expect("plain");
            let columns: Vec<&str> = header.trim_end().split(',').collect();
            assert_eq!(columns[0], "step");
            for (tag, _) in R::default().scalars() {
                let (_, name) = tag.split_once('/').expect("a group");
                assert!(columns.contains(&name), "{tag}");
            }
        }
        check::<StepRecord>();
        check::<ScoreRecord>();
    }
}
