//! What `confuse`, `visualize` and `stats` share: which pictures, which models, which device.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use casm::{Checkpoint, Device, EngineOptions, Precision, Resize};
use casm_training::evaluation::annotated::Split;
use casm_training::evaluation::{AnnotatedSet, Location};
use casm_training::figure::{Model, ToyMask};
use casm_training::picture;
use image::RgbImage;
use indicatif::{ProgressBar, ProgressStyle};

use super::checkpoint_file;

/// Problems that are printed one by one; of more the number is told.
const SHOWN_PROBLEMS: usize = 20;
/// Ending of checkpoints.
const CHECKPOINT: &str = "safetensors";

/// Which pictures.
#[derive(Debug, clap::Args)]
pub struct PictureArguments {
    /// Pictures: a folder, .tar or .tar.gz, with or without annotated boxes; classes are folders.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder or archive with the boxes, if they do not lie beside the pictures.
    #[arg(long, value_name = "DIR")]
    pub annotations: Option<PathBuf>,
    /// Part of the data; val where there are both.
    #[arg(long, value_enum)]
    pub split: Option<SplitArgument>,
    /// Use no more than this many pictures, evenly spread.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum SplitArgument {
    Train,
    Val,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum ResizeArgument {
    /// The centre.
    Crop,
    /// All of it, squashed.
    Stretch,
}

impl From<ResizeArgument> for Resize {
    fn from(argument: ResizeArgument) -> Resize {
        match argument {
            ResizeArgument::Crop => Resize::Crop,
            ResizeArgument::Stretch => Resize::Stretch,
        }
    }
}

impl PictureArguments {
    /// The pictures, listed but not read. What was left out on purpose is told on standard error.
    pub fn open(&self) -> anyhow::Result<AnnotatedSet> {
        ensure!(
            self.limit != Some(0),
            "--limit is 0, but must be at least 1"
        );
        let mut set = AnnotatedSet::open_any(&Location {
            data: self.data.clone(),
            annotations: self.annotations.clone(),
            split: self.split.map(|split| match split {
                SplitArgument::Train => Split::Train,
                SplitArgument::Val => Split::Val,
            }),
        })?;
        if let Some(limit) = self.limit {
            set.limit(limit);
        }
        for note in &set.notes {
            eprintln!("casm: {note}");
        }
        Ok(set)
    }
}

/// Where and how networks run.
#[derive(Debug, clap::Args)]
pub struct NetworkArguments {
    /// Where to run: auto, cpu, cuda, cuda:N.
    #[arg(long, default_value_t = Device::Auto)]
    pub device: Device,
    /// CPU threads; 0 = at most one a core.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Number format of the networks.
    #[arg(long, value_enum, default_value_t = PrecisionArgument::Auto)]
    pub precision: PrecisionArgument,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum PrecisionArgument {
    Auto,
    F32,
    Bf16,
    F16,
    Int8,
}

impl NetworkArguments {
    pub fn options(&self) -> EngineOptions {
        EngineOptions {
            device: self.device,
            precision: match self.precision {
                PrecisionArgument::Auto => Precision::Auto,
                PrecisionArgument::F32 => Precision::F32,
                PrecisionArgument::Bf16 => Precision::Bf16,
                PrecisionArgument::F16 => Precision::F16,
                PrecisionArgument::Int8 => Precision::Int8,
            },
            threads: self.threads,
            ..EngineOptions::default()
        }
    }
}

/// Opened models, each once, with names that tell them apart.
pub struct Models {
    pub models: Vec<Model>,
    /// Which file each is; `None`: the built-in model.
    files: Vec<Option<PathBuf>>,
    options: EngineOptions,
}

impl Models {
    pub fn new(options: EngineOptions) -> Models {
        Models {
            models: Vec::new(),
            files: Vec::new(),
            options,
        }
    }

    /// Index of the model in a checkpoint file or a run's folder, or of the built-in one.
    pub fn open(&mut self, path: Option<&Path>) -> anyhow::Result<usize> {
        let file = path.map(checkpoint_file).transpose()?;
        if let Some(index) = self.files.iter().position(|known| *known == file) {
            return Ok(index);
        }
        let checkpoint = match &file {
            Some(file) => Checkpoint::open(file)?,
            None => Checkpoint::built_in()?,
        };
        let name = self.name(path);
        let model = Model::open(&checkpoint, name, &self.options)?;
        if let Some(first) = self.models.first() {
            let (size, other) = (first.header().input.size, model.header().input.size);
            ensure!(
                size == other,
                "'{}' looks at {size}x{size} pixels and '{}' at {other}x{other}: they cannot be compared on \
                 the same pictures",
                first.name,
                model.name
            );
        }
        self.files.push(file);
        self.models.push(model);
        Ok(self.models.len() - 1)
    }

    /// The file's or folder's name; with its path if that is taken.
    fn name(&self, path: Option<&Path>) -> String {
        let Some(path) = path else {
            return "built-in".to_owned();
        };
        let last = if path.is_dir() {
            path.file_name()
        } else {
            path.file_stem()
        };
        let plain = last
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        let taken = |name: &str| {
            // A toy mask stands beside the models in tables.
            self.models.iter().any(|model| model.name == name) || name.parse::<ToyMask>().is_ok()
        };
        if taken(&plain) {
            path.display().to_string()
        } else {
            plain
        }
    }
}

/// All checkpoint files in a folder, sorted.
pub fn checkpoints_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unlisted = || format!("folder '{}' cannot be listed", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unlisted)? {
        let path = entry.with_context(unlisted)?.path();
        if path.extension().is_some_and(|ending| ending == CHECKPOINT) {
            files.push(path);
        }
    }
    if files.is_empty() {
        bail!("folder '{}' holds no .{CHECKPOINT} files", folder.display());
    }
    files.sort();
    Ok(files)
}

/// A picture as the paper's figures show it to a network with an input of `size`: cropped, its short side
/// has 8/7 of that (256 pixels for 224).
pub fn square(picture: &RgbImage, resize: Resize, size: u32) -> RgbImage {
    match resize {
        Resize::Crop => picture::crop(picture, size * 8 / 7, size),
        Resize::Stretch => picture::stretch(picture, size),
    }
}

/// That a file can be written at `path`, before hours are spent on what goes into it.
pub fn check_writable(path: &Path) -> anyhow::Result<()> {
    let check = || -> anyhow::Result<()> {
        ensure!(!path.is_dir(), "it is a folder");
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        tempfile::tempfile_in(folder)?;
        Ok(())
    };
    check().with_context(|| format!("'{}' cannot be written", path.display()))
}

/// Writes a file.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    std::fs::write(path, content).with_context(|| format!("'{}' cannot be written", path.display()))
}

/// Names what could not be used, and gives the exit code.
pub fn report(problems: &[String]) -> ExitCode {
    for problem in problems.iter().take(SHOWN_PROBLEMS) {
        eprintln!("casm: {problem}");
    }
    match problems.len() {
        0 => return ExitCode::SUCCESS,
        count if count > SHOWN_PROBLEMS => {
            eprintln!("casm: … and more: {count} inputs could not be used");
        }
        count => eprintln!("casm: {count} inputs could not be used"),
    }
    ExitCode::FAILURE
}

/// A bar on standard error.
pub fn progress_bar(pictures: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:30} {pos}/{len} pictures, {per_sec}, {eta} left");
    ProgressBar::new(pictures as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
