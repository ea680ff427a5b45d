//! What can be wrong with a foreign checkpoint, with the remedy in the message.

use std::path::PathBuf;

/// A foreign checkpoint that cannot be imported: which file, and why.
#[derive(Debug, thiserror::Error)]
#[error("'{}' {problem}", path.display())]
pub struct ImportError {
    /// The file as given.
    pub path: PathBuf,
    /// What is wrong with it; its message continues the sentence that the path begins.
    pub problem: Problem,
}

/// What is wrong with a foreign checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The operating system refuses to read the file.
    #[error("cannot be read: {0}")]
    Io(std::io::Error),
    /// The content is of no known container.
    #[error("is neither a PyTorch checkpoint nor a safetensors file: {0}")]
    NotACheckpoint(&'static str),
    /// A PyTorch or safetensors file of a kind that holds no plain state dict.
    #[error("is {0}; load it in PyTorch and save it as torch.save(model.state_dict(), path)")]
    Unsupported(String),
    /// The file ends before its content does.
    #[error("ends too early; download or copy it again")]
    Truncated,
    /// The content contradicts itself.
    #[error("is damaged: {0}; download or copy it again")]
    Damaged(String),
    /// The pickle contains an instruction that `torch.save` does not write.
    #[error(
        "contains pickle instruction {opcode:#04x} at byte {offset} of its pickle, which torch.save does not write; \
         load it in PyTorch and save it as torch.save(model.state_dict(), path)"
    )]
    Opcode {
        /// The instruction.
        opcode: u8,
        /// Where it stands, counted from the start of its pickle.
        offset: u64,
    },
    /// A limit of [`Limits`](super::Limits) is exceeded.
    #[error(
        "needs more than the limit of {limit} {what}; save the state_dict() alone, or raise the limit if you trust it"
    )]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A tensor whose description and storage do not fit together.
    #[error("has a tensor '{name}' that {reason}; download or save it again")]
    Tensor {
        /// Its name in the file.
        name: String,
        /// What does not fit.
        reason: String,
    },
    /// The file was read and holds nothing to import.
    #[error(
        "holds no tensors of floating point, only {0}; save it as torch.save(model.state_dict(), path)"
    )]
    NoTensors(String),
    /// The tensors are those of another architecture.
    #[error(
        "is not a ResNet or MobileNetV2 that casm can use: {reason}; its first names are {names}"
    )]
    Architecture {
        /// What was looked for and not found.
        reason: String,
        /// The first few names in the file.
        names: String,
    },
    /// Two tensors of the file would get the same name.
    #[error("has two tensors for '{0}'; save one network alone")]
    Duplicate(String),
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::Truncated,
            // What decompression and checksums complain of.
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Io(error),
        }
    }
}
