//! The two containers of `torch.save`: zip since PyTorch 1.6, and the stream of pickles before it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use zip::ZipArchive;
use zip::result::ZipError;

use super::Limits;
use super::error::Problem;
use super::pickle::{self, Pickle, Value};
use super::state_dict::{Found, Group, Ignored, StateDict, find};
use super::view::Storage;

/// Name of the zip container.
pub(super) const ZIP: &str = "PyTorch zip";
/// Name of the container before PyTorch 1.6.
pub(super) const LEGACY: &str = "PyTorch legacy";

/// First pickle of a legacy file.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// Second pickle of a legacy file.
const PROTOCOL: i128 = 1001;

/// Reads all tensors of a zip file.
///
/// # Errors
/// Any [`Problem`] of the container, the pickle or a tensor.
pub(super) fn read_zip(file: File, limits: &Limits) -> Result<StateDict, Problem> {
    let archive = ZipArchive::new(BufReader::new(file))?;
    let prefix = archive
        .file_names()
        .filter_map(|name| Some(name.ok()?.strip_suffix("data.pkl")?.to_owned()))
        .find(|prefix| prefix.is_empty() || prefix.ends_with('/'))
        .ok_or(Problem::NotACheckpoint("a zip archive without a data.pkl"))?;
    if archive
        .index_for_name_raw(format!("{prefix}constants.pkl").as_bytes())
        .is_some()
    {
        return Err(Problem::Unsupported("a TorchScript module".to_owned()));
    }
    let mut container = Zip { archive, prefix };
    // Absent before PyTorch 2.1, and then little-endian.
    if container.contains("byteorder") && container.entry("byteorder", 16)? != b"little" {
        return Err(Problem::Unsupported("in big-endian byte order".to_owned()));
    }
    let bytes = container.entry("data.pkl", limits.pickle_bytes)?;
    let pickle = pickle::read(&mut bytes.as_slice(), limits)?;
    collect(&pickle, container, ZIP, limits)
}

/// Reads all tensors of a legacy file.
///
/// # Errors
/// Any [`Problem`] of the container, the pickle or a tensor; [`Problem::NotACheckpoint`] if it does
/// not begin with PyTorch's magic number.
pub(super) fn read_legacy(file: File, limits: &Limits) -> Result<StateDict, Problem> {
    const FOREIGN: Problem = Problem::NotACheckpoint("it lacks PyTorch's magic number");
    let end = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let magic = match pickle::read(&mut reader, limits) {
        Ok(pickle) => pickle,
        Err(Problem::Io(error)) => return Err(Problem::Io(error)),
        Err(Problem::Truncated) => return Err(Problem::Truncated),
        Err(_) => return Err(FOREIGN),
    };
    match magic.get(magic.root) {
        Value::Int(MAGIC) => {}
        Value::Dict(_) | Value::Object(_) => {
            return Err(Problem::NotACheckpoint(
                "a pickle that torch.save did not write",
            ));
        }
        _ => return Err(FOREIGN),
    }
    let protocol = pickle::read(&mut reader, limits)?;
    if *protocol.get(protocol.root) != Value::Int(PROTOCOL) {
        return Err(Problem::Unsupported(
            "in a version of the legacy format unknown here".into(),
        ));
    }
    // Sizes of C types where it was written; the storages are little-endian on every machine.
    pickle::read(&mut reader, limits)?;
    let pickle = pickle::read(&mut reader, limits)?;
    let keys = pickle::read(&mut reader, limits)?;
    let places = locate(&pickle, &keys, &mut reader, end)?;
    collect(&pickle, Legacy { reader, places }, LEGACY, limits)
}

/// Where the storages of a legacy file lie: one behind the other, each led by its length.
fn locate(
    pickle: &Pickle,
    keys: &Pickle,
    reader: &mut BufReader<File>,
    end: u64,
) -> Result<HashMap<String, (u64, usize)>, Problem> {
    let storages: HashMap<_, _> = pickle
        .references()
        .filter_map(|id| Storage::from_id(pickle, id))
        .map(|storage| (storage.key.clone(), storage))
        .collect();
    let keys_list = keys
        .sequence(keys.root)
        .ok_or_else(|| damaged("no list of storages"))?;
    let mut places = HashMap::new();
    let mut position = reader.stream_position()?;
    for &key in keys_list {
        let storage = keys.text(key).and_then(|key| storages.get(key));
        let storage = storage.ok_or_else(|| damaged("a storage that no tensor refers to"))?;
        let mut length = [0; 8];
        reader.read_exact(&mut length)?;
        position += 8;
        if u64::from_le_bytes(length) != storage.length as u64 {
            return Err(damaged("a storage whose length is not the one described"));
        }
        let bytes = storage.bytes().ok_or(Problem::Truncated)?;
        places.insert(storage.key.clone(), (position, bytes));
        position = position
            .checked_add(bytes as u64)
            .ok_or(Problem::Truncated)?;
        if position > end {
            return Err(Problem::Truncated);
        }
        reader.seek(SeekFrom::Start(position))?;
    }
    Ok(places)
}

/// The tensors that `pickle` describes, each storage read once.
fn collect(
    pickle: &Pickle,
    mut container: impl Container,
    source_format: &'static str,
    limits: &Limits,
) -> Result<StateDict, Problem> {
    let mut ignored = Ignored::default();
    let mut found = find(pickle, &mut ignored)?;
    if found.is_empty() {
        let mut names = ignored.into_lines();
        names.truncate(5);
        let names = if names.is_empty() {
            "an empty dict".to_owned()
        } else {
            names.join(", ")
        };
        return Err(Problem::NoTensors(names));
    }
    // The writer sorts a legacy file by key, so that it is read from front to back.
    found.sort_by(|a, b| a.view.storage.key.cmp(&b.view.storage.key));
    let sharing = || found.chunk_by(|a, b| a.view.storage.is(&b.view.storage));
    check_size(sharing(), limits)?;
    let mut groups = BTreeMap::<String, Group>::new();
    for found in sharing() {
        let bytes = container.storage(&found[0].view.storage)?;
        for Found { group, name, view } in found {
            let tensor = view.extract(&bytes).map_err(|reason| flaw(name, reason))?;
            let tensors = groups.entry(group.to_string()).or_default();
            if tensors.insert(name.clone(), tensor).is_some() {
                return Err(Problem::Duplicate(name.clone()));
            }
        }
    }
    Ok(StateDict {
        groups,
        ignored: ignored.into_lines(),
        source_format,
    })
}

/// Checks every description, and the sum of what they ask for before any of it is allocated.
fn check_size<'f>(
    sharing: impl Iterator<Item = &'f [Found]>,
    limits: &Limits,
) -> Result<(), Problem> {
    let limit = limits.tensor_bytes;
    let spend = |left: &mut u64, bytes: Option<usize>| match bytes {
        Some(bytes) if bytes as u64 <= *left => {
            *left -= bytes as u64;
            Ok(())
        }
        _ => Err(Problem::TooLarge {
            what: "bytes of tensors",
            limit,
        }),
    };
    let (mut left, mut left_stored) = (limit, limit);
    for found in sharing {
        spend(&mut left_stored, found[0].view.storage.bytes())?;
        for Found { name, view, .. } in found {
            let length = view.length().map_err(|reason| flaw(name, reason))?;
            spend(&mut left, length.checked_mul(size_of::<f32>()))?;
        }
    }
    Ok(())
}

fn flaw(name: &str, reason: &str) -> Problem {
    Problem::Tensor {
        name: pickle::shorten(name),
        reason: reason.to_owned(),
    }
}

fn damaged(what: &str) -> Problem {
    Problem::Damaged(format!("it has {what}"))
}

/// Where storages come from.
trait Container {
    /// The bytes of one storage.
    fn storage(&mut self, storage: &Storage) -> Result<Vec<u8>, Problem>;
}

struct Zip {
    archive: ZipArchive<BufReader<File>>,
    /// The folder in the archive that holds everything, with its slash.
    prefix: String,
}

impl Zip {
    fn contains(&self, name: &str) -> bool {
        self.archive
            .index_for_name_raw(format!("{}{name}", self.prefix).as_bytes())
            .is_some()
    }

    /// The content of an entry, but no more than one byte beyond `limit`: reading on to the end
    /// makes the archive check the sum, and shows the caller that there is more.
    fn entry(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, Problem> {
        let name = format!("{}{name}", self.prefix);
        let index = self
            .archive
            .index_for_name_raw(name.as_bytes())
            .ok_or_else(|| damaged(&format!("no entry {}", pickle::shorten(&name))))?;
        let entry = self.archive.by_index(index)?;
        let mut bytes = Vec::new();
        entry
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Container for Zip {
    fn storage(&mut self, storage: &Storage) -> Result<Vec<u8>, Problem> {
        // `View::extract` complains of too few bytes; more are the rest of a storage cut to a whole
        // number of elements.
        let limit = storage.bytes().ok_or(Problem::Truncated)?;
        self.entry(&format!("data/{}", storage.key), limit as u64)
    }
}

struct Legacy {
    reader: BufReader<File>,
    /// Where each storage's bytes begin, and how many there are.
    places: HashMap<String, (u64, usize)>,
}

impl Container for Legacy {
    fn storage(&mut self, storage: &Storage) -> Result<Vec<u8>, Problem> {
        let (place, length) = match self.places.get(&storage.key) {
            Some(&(place, length)) if storage.bytes() == Some(length) => (place, length),
            Some(_) => return Err(damaged("two descriptions of one storage")),
            None => return Err(damaged("a missing storage")),
        };
        self.reader.seek(SeekFrom::Start(place))?;
        // `locate` has checked that the file has as many.
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl From<ZipError> for Problem {
    fn from(error: ZipError) -> Self {
        match error {
            ZipError::Io(error) => error.into(),
            ZipError::InvalidArchive(_) => Self::Truncated,
            error => Self::Damaged(error.to_string()),
        }
    }
}
