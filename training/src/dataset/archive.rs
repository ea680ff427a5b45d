//! One read-only view of a folder, a `.tar` file and a `.tar.gz` file.

mod folder;
mod tape;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use flate2::read::MultiGzDecoder;

/// Largest file that is read out of an archive, in bytes: 512 MiB.
const LARGEST_MEMBER: u64 = 512 << 20;
/// Largest `.tar.gz` once decompressed, in bytes: 4 GiB.
const LARGEST_UNPACKED: u64 = 4 << 30;
/// First bytes of a gzip file.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The files of a folder, a `.tar` or a `.tar.gz`, by name; any number of threads may read at once.
///
/// A name is the path inside of the archive with `/` between its parts and no leading `./`. Folders,
/// links inside of tars and special files are left out; links inside of folders are followed.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Where each file is.
    Folder(BTreeMap<String, PathBuf>),
    /// Read in place.
    Tar(File, BTreeMap<String, Extent>),
    /// A `.tar.gz`, decompressed.
    Memory(Vec<u8>, BTreeMap<String, Extent>),
}

/// Place of a file inside of a tar, in bytes.
#[derive(Debug, Clone, Copy)]
struct Extent {
    offset: u64,
    length: u64,
}

impl Archive {
    /// Opens a folder, `.tar` or `.tar.gz` (told by content) and lists what it holds.
    ///
    /// A `.tar.gz` is decompressed into memory, once.
    ///
    /// # Errors
    /// The path does not exist or cannot be read; a file that is no tar or ends too early; a `.tar.gz` of
    /// more than 4 GiB once decompressed.
    pub fn open(path: &Path) -> anyhow::Result<Archive> {
        Archive::open_within(path, LARGEST_UNPACKED)
    }

    fn open_within(path: &Path, largest_unpacked: u64) -> anyhow::Result<Archive> {
        ensure!(
            path.exists(),
            "'{}' does not exist; name a folder, .tar or .tar.gz",
            path.display()
        );
        let content = if path.is_dir() {
            folder::list(path).map(Content::Folder)
        } else {
            Archive::open_file(path, largest_unpacked)
        };
        let content = content.with_context(|| format!("'{}' cannot be read", path.display()))?;
        Ok(Archive {
            path: path.to_owned(),
            content,
        })
    }

    fn open_file(path: &Path, largest_unpacked: u64) -> anyhow::Result<Content> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut start = [0; GZIP.len()];
        if file.read_exact_at(&mut start, 0).is_err() {
            bail!("it has {length} bytes: it is no tar or tar.gz");
        }
        if start != GZIP {
            let extents = tape::list(&file, length)?;
            return Ok(Content::Tar(file, extents));
        }
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(&file)
            .take(largest_unpacked + 1)
            .read_to_end(&mut unpacked)
            .context("it is truncated or damaged: decompressing it failed")?;
        let length = unpacked.len() as u64;
        if length > largest_unpacked {
            bail!(
                "it has more than {largest_unpacked} bytes once decompressed, which is done in memory: \
                 gunzip it and use the tar"
            );
        }
        let extents = tape::list(std::io::Cursor::new(&unpacked), length)?;
        Ok(Content::Memory(unpacked, extents))
    }

    /// What was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all files, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        // One of the two is empty: the two maps hold different things, but callers see one iterator.
        let (paths, extents) = match &self.content {
            Content::Folder(paths) => (Some(paths), None),
            Content::Tar(_, extents) | Content::Memory(_, extents) => (None, Some(extents)),
        };
        let paths = paths.into_iter().flat_map(BTreeMap::keys);
        let extents = extents.into_iter().flat_map(BTreeMap::keys);
        paths.chain(extents).map(String::as_str)
    }

    /// Whether there is a file `name`.
    pub fn contains(&self, name: &str) -> bool {
        match &self.content {
            Content::Folder(paths) => paths.contains_key(name),
            Content::Tar(_, extents) | Content::Memory(_, extents) => extents.contains_key(name),
        }
    }

    /// Content of the file `name`.
    ///
    /// # Errors
    /// There is no such file, it has more than 512 MiB, or reading fails, as it does where an archive was
    /// shortened after it was opened.
    pub fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        self.read_within(name, LARGEST_MEMBER)
            .with_context(|| format!("'{name}' in '{}' cannot be read", self.path.display()))
    }

    fn read_within(&self, name: &str, largest: u64) -> anyhow::Result<Vec<u8>> {
        const ABSENT: &str = "there is no such file";
        let check = |length: u64| {
            anyhow::ensure!(
                length <= largest,
                "it has {length} bytes, but at most {largest} are read"
            );
            Ok(())
        };
        match &self.content {
            Content::Folder(paths) => {
                let file = File::open(paths.get(name).context(ABSENT)?)?;
                check(file.metadata()?.len())?;
                let mut bytes = Vec::new();
                // The limit again, for files that grow meanwhile.
                file.take(largest).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
            Content::Tar(file, extents) => {
                let extent = extents.get(name).context(ABSENT)?;
                check(extent.length)?;
                let mut bytes = vec![0; usize::try_from(extent.length)?];
                file.read_exact_at(&mut bytes, extent.offset)?;
                Ok(bytes)
            }
            Content::Memory(unpacked, extents) => {
                let extent = extents.get(name).context(ABSENT)?;
                check(extent.length)?;
                let range = extent.offset as usize..(extent.offset + extent.length) as usize;
                Ok(unpacked.get(range).context(ABSENT)?.to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests;
