//! Pictures for commands that need no boxes: a folder, an archive, or a video's frames.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use casm_training::evaluation::{AnnotatedSet, Location};
use casm_training::picture::stretch;
use tempfile::TempDir;

/// File name endings of videos, in lower case.
const VIDEO_ENDINGS: [&str; 8] = ["mp4", "mkv", "webm", "avi", "mov", "ogv", "ts", "m4v"];
/// Frames of a video in a second: those between are nearly the same.
const RATE: &str = "max-rate=5";
/// Frames of a video that are kept at most, the last ones.
const MOST_FRAMES: &str = "max-files=3000";

/// Pictures, and the folder that they are in if it is to be removed.
pub struct Frames {
    /// All of them.
    pub set: AnnotatedSet,
    /// Where they come from.
    data: PathBuf,
    /// Of a video.
    _folder: Option<TempDir>,
}

impl Frames {
    /// Lists the pictures at `location`; those of a video are written into a temporary folder first, by
    /// GStreamer's `gst-launch-1.0`.
    ///
    /// # Errors
    /// There is nothing, or nothing that can be used; the video cannot be decoded.
    pub fn open(location: &Location) -> anyhow::Result<Frames> {
        let video = &location.data;
        let ending = video
            .extension()
            .map(|ending| ending.to_string_lossy().to_lowercase());
        let is_video = ending.is_some_and(|ending| VIDEO_ENDINGS.contains(&ending.as_str()));
        if !is_video || video.is_dir() {
            return Ok(Frames {
                set: AnnotatedSet::open_any(location)?,
                data: location.data.clone(),
                _folder: None,
            });
        }
        let folder = tempfile::tempdir().context("no temporary folder can be made; set TMPDIR")?;
        decode(video, folder.path())
            .with_context(|| format!("video '{}' cannot be decoded", video.display()))?;
        let set = AnnotatedSet::open_any(&Location {
            data: folder.path().to_owned(),
            ..Location::default()
        });
        Ok(Frames {
            set: set.with_context(|| format!("video '{}' has no frames", video.display()))?,
            data: video.clone(),
            _folder: Some(folder),
        })
    }

    /// All pictures, squashed to `side` × `side` pixels. Those that cannot be used are named.
    ///
    /// # Errors
    /// None can be used.
    pub fn inputs(&mut self, side: u32) -> anyhow::Result<Inputs> {
        let (mut pixels, mut count, mut problems) = (Vec::new(), 0, 0);
        for index in 0..self.set.pictures.len() {
            match self.set.decode(index) {
                Ok(picture) => {
                    pixels.extend_from_slice(stretch(&picture, side).as_raw());
                    count += 1;
                }
                Err(error) => {
                    eprintln!("casm: {error:#}");
                    problems += 1;
                }
            }
        }
        ensure!(
            count > 0,
            "no picture of '{}' can be used",
            self.data.display()
        );
        Ok(Inputs {
            pixels,
            count,
            problems,
        })
    }
}

/// Pictures as a network sees them.
pub struct Inputs {
    /// `[count, S, S, 3]` RGB bytes.
    pub pixels: Vec<u8>,
    /// How many, at least one.
    pub count: usize,
    /// How many could not be used; each has been named.
    pub problems: usize,
}

impl Inputs {
    /// Bytes of one of them.
    pub fn picture_bytes(&self) -> usize {
        self.pixels.len() / self.count
    }
}

fn decode(video: &Path, folder: &Path) -> anyhow::Result<()> {
    ensure!(video.is_file(), "there is no such file");
    let mut command = Command::new("gst-launch-1.0");
    command
        .args(["-q", "filesrc"])
        .arg(property("location", video));
    command.args(["!", "decodebin", "!", "videorate", "drop-only=true", RATE]);
    command.args(["!", "videoconvert", "!", "video/x-raw,format=RGB"]);
    command.args(["!", "pngenc", "compression-level=1"]);
    command.args(["!", "multifilesink", MOST_FRAMES]);
    command.arg(property("location", &folder.join("%06d.png")));
    let output = command
        .output()
        .context("gst-launch-1.0 cannot be run; install GStreamer's tools (`make setup`), or give a folder of pictures")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().find(|line| line.starts_with("ERROR"));
        bail!("{}", reason.unwrap_or("GStreamer gives no reason"));
    }
    Ok(())
}

/// An element's property as gst-launch reads it, with blanks and quotation marks kept.
fn property(name: &str, path: &Path) -> String {
    let path = path
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    format!("{name}=\"{path}\"")
}
