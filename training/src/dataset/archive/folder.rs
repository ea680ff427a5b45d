//! The files of a folder and of the folders in it.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Names and places of all files below `root`. Names that are no Unicode are given approximately.
pub fn list(root: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut paths = BTreeMap::new();
    let mut above = vec![identity(&root.metadata()?)];
    walk(root, "", &mut above, &mut paths)?;
    Ok(paths)
}

/// `above` identifies `folder` and the folders that it lies in, to notice a link that leads back.
fn walk(
    folder: &Path,
    prefix: &str,
    above: &mut Vec<(u64, u64)>,
    paths: &mut BTreeMap<String, PathBuf>,
) -> anyhow::Result<()> {
    let unlisted = || format!("folder '{}' cannot be listed", folder.display());
    for entry in std::fs::read_dir(folder).with_context(unlisted)? {
        let entry = entry.with_context(unlisted)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let mut kind = entry.file_type().with_context(unlisted)?;
        let path = entry.path();
        if kind.is_symlink() {
            // A link to nowhere is left out, as one inside of a tar is.
            let Ok(metadata) = path.metadata() else {
                continue;
            };
            kind = metadata.file_type();
        }
        if kind.is_file() {
            paths.insert(name, path);
        } else if kind.is_dir() {
            let own = identity(&path.metadata().with_context(unlisted)?);
            if above.contains(&own) {
                continue;
            }
            above.push(own);
            walk(&path, &format!("{name}/"), above, paths)?;
            above.pop();
        }
    }
    Ok(())
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
