//! The table of contents of a tar, which tars do not have.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use anyhow::{Context, bail};

use super::Extent;

/// Names and places of all files in a tar of `length` bytes. Of several files with one name the last
/// counts, as it does for those who unpack.
pub fn list(tar: impl Read + Seek, length: u64) -> anyhow::Result<BTreeMap<String, Extent>> {
    let mut extents = BTreeMap::new();
    let mut archive = tar::Archive::new(tar);
    let damaged = "it is no tar, or truncated or damaged";
    for entry in archive.entries_with_seek().context(damaged)? {
        let entry = entry.context(damaged)?;
        let extent = Extent {
            offset: entry.raw_file_position(),
            length: entry.size(),
        };
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        // The crate seeks over files without looking whether they are there.
        if extent.offset.saturating_add(extent.length) > length {
            bail!("it is truncated: it ends inside of '{name}'");
        }
        // Contiguous files are an old kind of regular ones. Sparse files have holes, so no place.
        let kind = entry.header().entry_type();
        if kind.is_file() || kind.is_contiguous() {
            extents.insert(plain(&name), extent);
        }
    }
    Ok(extents)
}

/// `./a//b` → `a/b`.
fn plain(name: &str) -> String {
    let parts = name.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.collect::<Vec<_>>().join("/")
}
