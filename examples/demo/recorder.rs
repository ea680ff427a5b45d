//! What leaves the element, frame by frame: boxes, times, pictures.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

use anyhow::{Context, Result};
use casm_core::mask::BoundingBox;

use crate::box_line::BoxLine;
use crate::contact_sheet::ContactSheet;
use crate::outputs::Outputs;

/// Writes the boxes and keeps pictures for the contact sheet.
pub struct Recorder {
    boxes: BufWriter<File>,
    sheet: ContactSheet,
    /// True boxes by frame; empty where they are not known.
    truth: Vec<BoundingBox>,
    frames: u64,
    frames_with_box: u64,
    iou_sum: f64,
    /// Of boxes in neighbouring frames that have one, and how many pairs there were.
    stability: (f64, u64),
    previous: Option<BoundingBox>,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// The numbers of a run.
#[derive(Debug)]
pub struct Recording {
    /// Frames that left the element.
    pub frames: u64,
    /// Those with a box.
    pub frames_with_box: u64,
    /// Frames per second from the first frame's entry to the last one's exit.
    pub rate: f64,
    /// Over all frames, where the true boxes are known.
    pub mean_iou: Option<f64>,
    /// IoU of each box with that of the frame before, over all frames where both have one.
    pub stability: Option<f64>,
}

impl Recorder {
    /// Begins the file of boxes.
    pub fn create(outputs: &Outputs, truth: Vec<BoundingBox>) -> Result<Recorder> {
        let path = outputs.boxes();
        let file =
            File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Recorder {
            boxes: BufWriter::new(file),
            sheet: ContactSheet::default(),
            truth,
            frames: 0,
            frames_with_box: 0,
            iou_sum: 0.0,
            stability: (0.0, 0),
            previous: None,
            first: None,
            last: None,
        })
    }

    /// Frames that left the element so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// A frame enters the element.
    pub fn enter(&mut self) {
        self.first.get_or_insert_with(Instant::now);
    }

    /// It leaves the element.
    pub fn leave(&mut self, buffer: &gst::BufferRef, caps: Option<&gst::CapsRef>) -> Result<()> {
        self.last = Some(Instant::now());
        let mut line = BoxLine::read(self.frames, buffer);
        let index = usize::try_from(self.frames)?;
        if let Some(&truth) = self.truth.get(index) {
            line.truth = Some(truth);
            line.iou = Some(line.bounding_box.map_or(0.0, |found| found.iou(&truth)));
        }
        self.iou_sum += line.iou.unwrap_or(0.0);
        if let Some((found, previous)) = line.bounding_box.zip(self.previous) {
            self.stability.0 += found.iou(&previous);
            self.stability.1 += 1;
        }
        self.previous = line.bounding_box;
        self.frames_with_box += u64::from(line.bounding_box.is_some());
        serde_json::to_writer(&mut self.boxes, &line).context("boxes.jsonl cannot be written")?;
        self.boxes
            .write_all(b"\n")
            .context("boxes.jsonl cannot be written")?;
        if self.sheet.wants(self.frames) {
            let caps = caps.context("a frame came before its format")?;
            let info = gst_video::VideoInfo::from_caps(caps)?;
            self.sheet
                .add(self.frames, buffer, &info)
                .context("a frame cannot be put on the contact sheet")?;
        }
        self.frames += 1;
        Ok(())
    }

    /// Completes the boxes and the contact sheet.
    pub fn finish(&mut self, outputs: &Outputs) -> Result<Recording> {
        self.boxes
            .flush()
            .context("boxes.jsonl cannot be written")?;
        let sheet = self
            .sheet
            .draw(self.frames)
            .context("there is no frame for the contact sheet")?;
        let path = outputs.contact_sheet();
        // The name's ending does not say the format yet.
        sheet
            .save_with_format(&path, image::ImageFormat::Png)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        let frames = self.frames as f64;
        let span = self.first.zip(self.last).map(|(first, last)| last - first);
        let seconds = span.unwrap_or_default().as_secs_f64().max(1e-9);
        Ok(Recording {
            frames: self.frames,
            frames_with_box: self.frames_with_box,
            rate: frames / seconds,
            stability: (self.stability.1 > 0).then(|| self.stability.0 / self.stability.1 as f64),
            mean_iou: (!self.truth.is_empty()).then(|| self.iou_sum / frames),
        })
    }
}
