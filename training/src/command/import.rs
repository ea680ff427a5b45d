//! `casm import`: PyTorch and safetensors files, and checkpoints themselves → checkpoints.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use casm::checkpoint::{NamedTensor, Storage, serialize};
use casm::header::Provenance;
use casm::import::{Architecture, Imported};
use casm::network::{
    Activation, Block, DecoderConfig, EncoderConfig, MobilenetV2Config, NetworkConfig,
    ResnetConfig, Upsample,
};
use casm::{Checkpoint, Header};
use casm_training::evaluation::Rule;

/// Arguments of `casm import`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// File to import: the authors' .chk, torchvision's or DataParallel .pth, .safetensors; or a checkpoint of
    /// casm's, to store it in another format or to say more in its header, which is kept.
    source: PathBuf,
    /// Checkpoint to write.
    #[arg(short, long)]
    output: PathBuf,
    /// Number format of the stored values.
    #[arg(long, value_enum, default_value_t = StorageArgument::F32)]
    storage: StorageArgument,
    /// Text file with a class name a line, in the order of the logits; a leading WordNet id is kept.
    #[arg(long, value_name = "FILE")]
    classes: Option<PathBuf>,
    /// Non-linearity of a MobileNetV2, which the file does not tell: relu6 is the original's, relu
    /// the quantised release's. Left out: relu if batch norm is folded, else relu6.
    #[arg(long, value_enum)]
    activation: Option<ActivationArgument>,
    /// How the mask is enlarged to the input size [default: nearest].
    #[arg(long, value_enum)]
    upsample: Option<UpsampleArgument>,
    /// How masks are made binary: quantile or mean, with a factor and pixels of erosion as in quantile:1:4
    /// [default: quantile].
    #[arg(long, value_name = "RULE")]
    binarize: Option<Rule>,
    /// Side of the network's input in pixels, a multiple of 32 [default: 224].
    #[arg(long)]
    input_size: Option<u32>,
    /// What the weights were trained on, for the header.
    #[arg(long)]
    data: Option<String>,
    /// Commit of casm that trained the weights, for the header.
    #[arg(long)]
    commit: Option<String>,
    /// Origin and licence of the weights, for the header.
    #[arg(long)]
    notes: Option<String>,
    /// A measured result for the header; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_metric)]
    metric: Vec<(String, f64)>,
    /// Replace an existing output file.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum StorageArgument {
    F32,
    F16,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ActivationArgument {
    Relu,
    Relu6,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum UpsampleArgument {
    Nearest,
    Bilinear,
}

/// Reads, checks and writes.
///
/// # Errors
/// The source is not understood, its tensors do not fit the network they stand for, or the output
/// cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::ensure_new(&arguments.output, arguments.force)?;
    let Source {
        header,
        tensors,
        format,
        left_out,
    } = Source::read(arguments)?;
    let storage = match arguments.storage {
        StorageArgument::F32 => Storage::F32,
        StorageArgument::F16 => Storage::F16,
    };
    let bytes = serialize(&header, &tensors, storage).with_context(|| {
        format!(
            "'{}' cannot become a checkpoint",
            arguments.source.display()
        )
    })?;
    write_whole(&arguments.output, &bytes)?;
    // Read back, so that "written" means "usable".
    let checkpoint = Checkpoint::open(&arguments.output)?;
    for name in &left_out {
        eprintln!("casm: left out {name}");
    }
    let decoder = match header.network.decoder {
        Some(_) => "with decoder",
        None => "a classifier without decoder",
    };
    println!(
        "{}: {} from {}, {} classes, {decoder}, {} tensors, {:.1} MB",
        arguments.output.display(),
        header.network.encoder.name(),
        format,
        header.network.classes(),
        tensors.len(),
        checkpoint.bytes().len() as f64 / 1e6
    );
    Ok(ExitCode::SUCCESS)
}

/// A file's weights, and what the checkpoint is to say of them.
struct Source {
    header: Header,
    tensors: Vec<NamedTensor>,
    format: String,
    left_out: Vec<String>,
}

impl Source {
    fn read(arguments: &Arguments) -> anyhow::Result<Source> {
        let source = match Checkpoint::is_meant(&arguments.source) {
            true => {
                ensure!(
                    arguments.activation.is_none(),
                    "--activation is for foreign files; a checkpoint knows its own"
                );
                let checkpoint = Checkpoint::open(&arguments.source)?;
                Source {
                    header: checkpoint.header().clone(),
                    tensors: checkpoint.tensors()?.into_values().collect(),
                    format: "a casm checkpoint".to_owned(),
                    left_out: Vec::new(),
                }
            }
            false => {
                let imported = casm::import::read(&arguments.source)?;
                let header = described(arguments, &imported);
                let tensors = imported.tensors.into_iter();
                Source {
                    header,
                    tensors: tensors
                        .map(|(name, tensor)| NamedTensor {
                            name,
                            shape: tensor.shape,
                            values: tensor.values,
                        })
                        .collect(),
                    format: imported.source_format.to_string(),
                    left_out: imported.ignored,
                }
            }
        };
        Ok(Source {
            header: annotated(source.header, arguments)?,
            ..source
        })
    }
}

/// The header with what the options say of it.
fn annotated(mut header: Header, arguments: &Arguments) -> anyhow::Result<Header> {
    if let Some(file) = &arguments.classes {
        header.classes = read_classes(file)?;
    }
    if let Some(Rule::Binarization(binarization)) = arguments.binarize {
        header.binarization = binarization;
    }
    header.input.size = arguments.input_size.unwrap_or(header.input.size);
    if let (Some(upsample), Some(decoder)) = (arguments.upsample, &mut header.network.decoder) {
        decoder.upsample = match upsample {
            UpsampleArgument::Nearest => Upsample::Nearest,
            UpsampleArgument::Bilinear => Upsample::Bilinear,
        };
    }
    let provenance = &mut header.provenance;
    if let Some(data) = &arguments.data {
        provenance.data.clone_from(data);
    }
    if let Some(commit) = &arguments.commit {
        provenance.commit.clone_from(commit);
    }
    if let Some(notes) = &arguments.notes {
        let known = std::mem::take(&mut provenance.notes);
        let all = [notes.as_str(), &known].into_iter();
        let all: Vec<&str> = all.filter(|note| !note.is_empty()).collect();
        provenance.notes = all.join("; ");
    }
    provenance.metrics.extend(arguments.metric.iter().cloned());
    Ok(header)
}

/// What the names and shapes of foreign tensors say.
fn described(arguments: &Arguments, imported: &Imported) -> Header {
    let classes = imported.classes;
    let encoder = match imported.architecture {
        Architecture::Resnet { blocks, bottleneck } => {
            let block = if bottleneck {
                Block::Bottleneck
            } else {
                Block::Basic
            };
            EncoderConfig::Resnet(ResnetConfig {
                blocks,
                block,
                classes,
            })
        }
        Architecture::MobilenetV2 { batch_norm } => {
            let activation = match arguments.activation {
                Some(ActivationArgument::Relu) => Activation::Relu,
                Some(ActivationArgument::Relu6) => Activation::Relu6,
                None if batch_norm => Activation::Relu6,
                None => Activation::Relu,
            };
            EncoderConfig::MobilenetV2(MobilenetV2Config {
                classes,
                batch_norm,
                activation,
            })
        }
    };
    let decoder = imported.has_decoder.then(DecoderConfig::default);
    let mut header = Header::new(NetworkConfig {
        encoder,
        decoder,
        separate_encoder: false,
    });
    let source = arguments
        .source
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    header.provenance = Provenance {
        created_by: format!("casm {}", env!("CARGO_PKG_VERSION")),
        notes: format!("imported from {source} ({})", imported.source_format),
        ..Provenance::default()
    };
    header
}

fn read_classes(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("class list '{}' cannot be read", file.display()))?;
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect())
}

fn parse_metric(text: &str) -> Result<(String, f64), String> {
    let (name, value) = text.split_once('=').ok_or("needs the form NAME=VALUE")?;
    let value = value
        .parse()
        .map_err(|_| format!("'{value}' is not a number"))?;
    Ok((name.to_owned(), value))
}

/// Writes beside the target and renames, so that no half-written file ever bears its name.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let unwritten = || format!("'{}' cannot be written", path.display());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(unwritten)?;
    file.write_all(bytes).with_context(unwritten)?;
    file.as_file().sync_all().with_context(unwritten)?;
    let file = file.persist(path).with_context(unwritten)?;
    // A temporary file is private; a model is for everybody who may read the folder.
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
        .with_context(unwritten)
}
