//! Everything that decides a distillation's result.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use casm::parameters::Parameters;
use casm::{Checkpoint, Header};
use serde::{Deserialize, Serialize};
use tch::Device;

use super::super::config::{Configuration, CourseConfig, positive, share};
use crate::distillation::Teacher;

/// A run of `casm distill`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DistillationConfig {
    /// What every run has.
    pub course: CourseConfig,
    /// The checkpoint that teaches masks.
    pub teacher: TeacherConfig,
    /// The checkpoint that teaches classes; none: the teacher.
    pub classifier: Option<TeacherConfig>,
    /// Sizes of close-ups, relative to the object's box.
    pub zooms: Vec<f64>,
    /// How near to yes and no targets are brought; 0: as they are.
    pub sharpness: f64,
    /// Weight of the classes' loss.
    pub class_weight: f64,
    /// Learning rate of the classifier at the beginning, Adam.
    pub classifier_rate: f64,
    /// Learning rate of the mapping at the beginning, Adam.
    pub mapping_rate: f64,
    /// L2 weight decay of both.
    pub weight_decay: f64,
    /// Largest L2 norm of the gradient; 0: no limit.
    pub clip_gradient: f64,
}

/// A checkpoint that teaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// Its file.
    pub path: PathBuf,
    /// CRC-32C of the file: a run goes on with the same only.
    pub checksum: u32,
}

impl Configuration for DistillationConfig {
    fn course(&self) -> &CourseConfig {
        &self.course
    }
}

impl DistillationConfig {
    /// Checks what the types do not express.
    ///
    /// # Errors
    /// Names the option and what it must be.
    pub fn validate(&self) -> anyhow::Result<()> {
        self.course.validate()?;
        ensure!(
            !self.zooms.is_empty(),
            "--zooms is empty, but must name at least one size of a close-up, such as 1.2"
        );
        for &zoom in &self.zooms {
            positive("--zooms", zoom)?;
        }
        positive("--classifier-rate", self.classifier_rate)?;
        positive("--mapping-rate", self.mapping_rate)?;
        share("--weight-decay", self.weight_decay)?;
        for (option, value) in [
            ("--sharpness", self.sharpness),
            ("--class-weight", self.class_weight),
            ("--clip-grad", self.clip_gradient),
        ] {
            ensure!(
                value.is_finite() && value >= 0.0,
                "{option} is {value}, but must be a number from 0"
            );
        }
        Ok(())
    }
}

impl DistillationConfig {
    /// The teacher, on `device`.
    ///
    /// # Errors
    /// Names the checkpoint that cannot teach this student.
    pub fn open_teacher(&self, device: Device) -> anyhow::Result<Teacher> {
        let open = |file: &TeacherConfig| -> anyhow::Result<(Header, Parameters)> {
            let (header, parameters) = file.open(device)?;
            let (theirs, own) = (header.network.classes(), self.course.network.classes());
            ensure!(
                theirs == own,
                "'{}' tells {theirs} classes apart and the student {own}",
                file.path.display()
            );
            ensure!(
                header.classes.is_empty() || header.classes == self.course.classes,
                "'{}' names other classes than the student, or in another order; they cannot be learnt from it",
                file.path.display()
            );
            let (theirs, own) = (&header.input, &self.course.input);
            ensure!(
                (theirs.mean, theirs.std) == (own.mean, own.std),
                "'{}' wants other means and deviations of pictures than the student",
                file.path.display()
            );
            Ok((header, parameters))
        };
        let (header, parameters) = open(&self.teacher)?;
        ensure!(
            header.network.decoder.is_some(),
            "'{}' is a classifier alone and marks nothing; name a checkpoint of casm train with --teacher",
            self.teacher.path.display()
        );
        let classifier = self.classifier.as_ref().map(open).transpose()?;
        let classifier = classifier
            .as_ref()
            .map(|(header, parameters)| (header, parameters));
        Ok(Teacher::new(
            (&header, &parameters),
            classifier,
            &self.zooms,
            self.sharpness,
        )?)
    }
}

impl TeacherConfig {
    /// The checkpoint at `path`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(path: &Path) -> anyhow::Result<TeacherConfig> {
        Ok(TeacherConfig {
            path: std::path::absolute(path)?,
            checksum: checksum(path)?,
        })
    }

    /// Its header and, on `device`, its weights.
    ///
    /// # Errors
    /// The file is not the one that it was, or is no checkpoint.
    pub fn open(&self, device: Device) -> anyhow::Result<(Header, Parameters)> {
        ensure!(
            checksum(&self.path)? == self.checksum,
            "'{}' has changed since the run began; restore it, or start another run",
            self.path.display()
        );
        let checkpoint = Checkpoint::open(&self.path)?;
        let parameters = Parameters::from_named(checkpoint.tensors()?, device)?;
        Ok((checkpoint.header().clone(), parameters))
    }
}

fn checksum(path: &Path) -> anyhow::Result<u32> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read '{}'", path.display()))?;
    Ok(crc32c::crc32c(&bytes))
}
