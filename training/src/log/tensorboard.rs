//! Records as TensorBoard event files.
//!
//! The format is a sequence of TFRecords, each an `Event` message of TensorFlow's `event.proto`. No
//! maintained crate writes it (tensorboard-rs 0.5 stays with old major versions of protobuf and image),
//! and of the messages eight fields are needed, so they are encoded here by hand.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use casm::export::protobuf::Message;

use super::record::Scalars;
use crate::snapshot::WriteError;

/// What an event file begins with.
const FILE_VERSION: &str = "brain.Event:2";
/// Field numbers of `Event`.
const WALL_TIME: u64 = 1;
const STEP: u64 = 2;
const VERSION: u64 = 3;
const SUMMARY: u64 = 5;
const SESSION_LOG: u64 = 7;
/// Of `Summary`, `Summary.Value` and `SessionLog`.
const VALUE: u64 = 1;
const TAG: u64 = 1;
const SIMPLE_VALUE: u64 = 2;
const STATUS: u64 = 1;
const START: u64 = 1;

/// An event file that is being written. Each process writes its own; TensorBoard reads a folder of them
/// as one run.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begins a file in `folder`, which is made if need be, for a run that has done `step` steps.
    /// TensorBoard forgets what earlier files say of later steps.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn create(folder: &Path, step: u64) -> Result<EventFile, WriteError> {
        std::fs::create_dir_all(folder).map_err(WriteError::of(folder))?;
        let now = since_1970();
        // Files are read in the order of their names. Two starts within a second are told apart.
        let mut number = 0;
        let (path, file) = loop {
            let name = format!("events.out.tfevents.{:010}.{number}.casm", now.as_secs());
            let path = folder.join(name);
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(WriteError::of(&path)(error)),
            }
        };
        let mut events = EventFile { path, file };
        let mut version = event(now, 0);
        version.bytes(VERSION, FILE_VERSION.as_bytes());
        events.write(&version)?;
        if step > 0 {
            let mut status = Message::default();
            status.varint(STATUS, START);
            // Forgotten is from this step on.
            let mut restart = event(now, step + 1);
            restart.bytes(SESSION_LOG, status.as_bytes());
            events.write(&restart)?;
        }
        Ok(events)
    }

    /// Adds a point to each of the record's curves; it is in the file when this returns.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn append(&mut self, record: &impl Scalars) -> Result<(), WriteError> {
        let mut summary = Message::default();
        for (tag, value) in record.scalars() {
            let Some(value) = value else { continue };
            let mut point = Message::default();
            point.bytes(TAG, tag.as_bytes());
            point.float(SIMPLE_VALUE, value as f32);
            summary.bytes(VALUE, point.as_bytes());
        }
        let mut event = event(since_1970(), record.step());
        event.bytes(SUMMARY, summary.as_bytes());
        self.write(&event)
    }

    fn write(&mut self, event: &Message) -> Result<(), WriteError> {
        // In one go, so that a killed process leaves whole records.
        self.file
            .write_all(&framed(event.as_bytes()))
            .map_err(WriteError::of(&self.path))
    }
}

fn since_1970() -> Duration {
    // A clock before 1970 is wrong anyway.
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// A TFRecord: length, its checksum, the data, their checksum.
fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = length.to_vec();
    record.extend(masked_checksum(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_checksum(data).to_le_bytes());
    record
}

/// CRC-32C, rotated and shifted, so that checksums of data that contain checksums stay meaningful.
fn masked_checksum(data: &[u8]) -> u32 {
    crc32c::crc32c(data)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

/// The beginning of an event.
fn event(time: Duration, step: u64) -> Message {
    let mut event = Message::default();
    event.double(WALL_TIME, time.as_secs_f64());
    event.varint(STEP, step);
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Point(u64, Option<f64>);

    impl Scalars for Point {
        fn step(&self) -> u64 {
            self.0
        }

        fn scalars(&self) -> Vec<(&'static str, Option<f64>)> {
            vec![("a/b", self.1), ("a/none", None)]
        }
    }

    /// Splits a file into its records' data. CRC-32C bit by bit, as RFC 3720 defines it, independent of
    /// the crate that the writer uses.
    fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        fn checksum(data: &[u8]) -> u32 {
            let crc = !data.iter().fold(!0u32, |crc, &byte| {
                (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                    (crc >> 1) ^ (0x82f6_3b78 * (crc & 1))
                })
            });
            crc.rotate_right(15).wrapping_add(0xa282_ead8)
        }
        // RFC 3720, B.4: 32 bytes of zeros give 8a9136aa.
        assert_eq!(
            checksum(&[0; 32]),
            0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8)
        );
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let (length, rest) = bytes.split_at(8);
            let (length_checksum, rest) = rest.split_at(4);
            assert_eq!(length_checksum, checksum(length).to_le_bytes());
            let length = u64::from_le_bytes(length.try_into().expect("8 bytes")) as usize;
            let (data, rest) = rest.split_at(length);
            let (data_checksum, rest) = rest.split_at(4);
            assert_eq!(data_checksum, checksum(data).to_le_bytes());
            records.push(data.to_vec());
            bytes = rest;
        }
        records
    }

    fn only_file(folder: &Path) -> Vec<u8> {
        let mut entries = std::fs::read_dir(folder).expect("there");
        let entry = entries.next().expect("one").expect("readable");
        assert!(entries.next().is_none());
        std::fs::read(entry.path()).expect("readable")
    }

    /// Bytes by hand from TensorFlow's event.proto and summary.proto and protobuf's wire format.
    #[test]
    fn events_are_as_the_protocol_says() {
        let folder = tempfile::tempdir().expect("writable");
        let mut events = EventFile::create(folder.path(), 0).expect("writable");
        events.append(&Point(300, Some(1.5))).expect("writable");
        let records = records(&only_file(folder.path()));
        assert_eq!(records.len(), 2);
        for record in &records {
            // Field 1, eight bytes: the time.
            assert_eq!(record[0], 0x09);
            let time = f64::from_le_bytes(record[1..9].try_into().expect("8 bytes"));
            assert!(time > 1.7e9, "seconds since 1970: {time}");
        }
        assert_eq!(records[0][9..], *b"\x10\x00\x1a\x0dbrain.Event:2");
        // 300 = 0b10_0101100; 1.5 = 0x3fc00000; value: tag, number; summary: one value of 10 bytes.
        assert_eq!(
            records[1][9..],
            *b"\x10\xac\x02\x2a\x0c\x0a\x0a\x0a\x03a/b\x15\x00\x00\xc0\x3f"
        );
    }

    #[test]
    fn a_resumed_run_takes_back_later_steps() {
        let folder = tempfile::tempdir().expect("writable");
        EventFile::create(folder.path(), 41).expect("writable");
        let records = records(&only_file(folder.path()));
        assert_eq!(records[1][9..], *b"\x10\x2a\x3a\x02\x08\x01");
    }

    #[test]
    fn each_start_has_its_own_file() {
        let folder = tempfile::tempdir().expect("writable");
        let files = [0, 0, 7].map(|step| EventFile::create(folder.path(), step).expect("writable"));
        assert_ne!(files[0].path, files[1].path);
        assert_ne!(files[1].path, files[2].path);
    }

    #[test]
    fn a_folder_that_is_none_is_named() {
        let file = tempfile::NamedTempFile::new().expect("writable");
        let error = EventFile::create(file.path(), 0).expect_err("a file");
        assert!(error.to_string().contains("name a folder"), "{error}");
    }
}
