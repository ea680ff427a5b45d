//! Damaged model files: whatever is changed in one, loading and importing it gives an error or a model, in
//! bounded time and memory.
//!
//! `CASM_DAMAGE_COUNT` says how many damaged files are tried of each kind (`make soak`: 10,000). A failure
//! names its number, and `CASM_DAMAGE_FIRST` begins there.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use casm::checkpoint::{NamedTensor, Storage, serialize};
use casm::network::{EncoderConfig, MobilenetV2Config, NetworkConfig};
use casm::{Checkpoint, Header, import};

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which knows how much this thread holds, and the most it has held.
struct Counting;

impl Counting {
    fn take(bytes: usize) {
        let live = LIVE.get() + bytes;
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
    }

    fn give(bytes: usize) {
        // What another thread allocated may be freed here.
        LIVE.set(LIVE.get().saturating_sub(bytes));
    }
}

// SAFETY: all is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::take(layout.size());
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Counting::take(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        Counting::give(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new exist side by side while one is copied.
        Counting::take(size);
        Counting::give(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// CPU time that one file may take; a sound one of these takes a hundredth of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most bytes that reading a file of `length` bytes may hold at a time, the file included: what half precision
/// becomes, a copy while a list grows, and some for messages.
fn allowance(length: usize) -> usize {
    (4 << 20) + 24 * length
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// The numbers of the files to try.
fn numbers(usual: u64) -> std::ops::Range<u64> {
    let first = number("CASM_DAMAGE_FIRST").unwrap_or(0);
    first..first + number("CASM_DAMAGE_COUNT").unwrap_or(usual)
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes a time to where the pointer leads.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "Linux counts a thread's time");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Does `work` on damaged file `number`, and checks what it took. What it gives is `Ok` for a file that was taken,
/// `Err` for one that was refused.
fn bounded<T>(number: u64, length: usize, work: impl FnOnce() -> T) -> T {
    let (held, begin) = (LIVE.get(), cpu_time());
    PEAK.set(held);
    let result = work();
    let (took, peak) = (cpu_time() - begin, PEAK.get() - held);
    assert!(took < PATIENCE, "file {number} took {took:?}");
    let allowed = allowance(length);
    assert!(
        peak <= allowed,
        "file {number} of {length} bytes held {peak} bytes at a time, more than {allowed}"
    );
    result
}

/// Numbers that depend on a file's number alone.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def1)
    }

    fn next(&mut self) -> u64 {
        // xorshift64*, Vigna 2016.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit.max(1)
    }

    /// A place in `bytes`; every other time near the front, where the descriptions are.
    fn place(&mut self, bytes: &[u8]) -> usize {
        let length = if self.next().is_multiple_of(2) {
            bytes.len().min(512)
        } else {
            bytes.len()
        };
        self.below(length)
    }
}

/// Numbers on which readers stumble.
const EXTREMES: [u64; 10] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    i64::MAX as u64,
    u64::MAX,
];

/// Changes `bytes` in one to four places.
fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.place(bytes);
        let length = 1 + random.below(32.min(bytes.len() - at));
        match random.below(9) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + length)),
            4 => {
                let copy = bytes[at..at + length].to_vec();
                let to = random.place(bytes);
                bytes.splice(to..to, copy);
            }
            5 => {
                let value = EXTREMES[random.below(EXTREMES.len())].to_le_bytes();
                let width = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&value[..width]);
            }
            6 => bytes[at..at + length].fill([0, 0xff, b'0', b'9'][random.below(4)]),
            // Another digit in place of one keeps text readable and makes it wrong.
            7 => {
                if let Some(digit) = bytes[at..].iter_mut().find(|byte| byte.is_ascii_digit()) {
                    *digit = b'0' + random.below(10) as u8;
                }
            }
            _ => {
                let noise: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
                bytes.splice(at..at, noise);
            }
        }
    }
}

/// Changes a safetensors file: anywhere, or its header alone, whose length is then put right.
fn damage_safetensors(random: &mut Random, bytes: &mut Vec<u8>) {
    if random.next().is_multiple_of(3) {
        return damage(random, bytes);
    }
    let length = u64::from_le_bytes(*bytes.first_chunk().expect("a length")) as usize;
    let data = bytes.split_off(8 + length);
    let mut header = bytes.split_off(8);
    damage(random, &mut header);
    bytes.clear();
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    bytes.extend(data);
}

/// Changes a zip file: anywhere, or one entry, which is then packed anew with the right sums.
fn damage_zip(random: &mut Random, bytes: &mut Vec<u8>) {
    if random.next().is_multiple_of(3) {
        return damage(random, bytes);
    }
    let mut archive = zip::ZipArchive::new(Cursor::new(&*bytes)).expect("a sound fixture");
    let chosen = random.below(archive.len());
    let pickle = archive
        .file_names()
        .position(|name| name.is_ok_and(|name| name.ends_with("data.pkl")));
    let chosen = match pickle {
        Some(pickle) if !random.next().is_multiple_of(3) => pickle,
        _ => chosen,
    };
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).expect("an entry");
        let (name, mut content) = (entry.name().expect("text").to_string(), Vec::new());
        entry.read_to_end(&mut content).expect("a sound entry");
        if index == chosen {
            damage(random, &mut content);
        }
        writer.start_file(name, stored).expect("another entry");
        writer.write_all(&content).expect("into memory");
    }
    *bytes = writer.finish().expect("into memory").into_inner();
}

/// What became of the files, for `make soak`'s table.
fn report(what: &str, outcomes: &BTreeMap<bool, u64>) {
    let of = |taken| outcomes.get(&taken).copied().unwrap_or(0);
    casm_tests::soak::report(
        &format!("damaged files, {what}"),
        of(true) + of(false),
        &format!("{} refused, {} still sound", of(false), of(true)),
    );
}

#[test]
fn a_damaged_checkpoint_is_refused_or_complete() {
    let config = MobilenetV2Config {
        classes: 2,
        ..MobilenetV2Config::default()
    };
    let header = Header::new(NetworkConfig::new(EncoderConfig::MobilenetV2(config)));
    let parameters = header.network.network().parameters();
    let tensors: Vec<NamedTensor> = parameters
        .iter()
        .map(|parameter| NamedTensor {
            name: parameter.name.clone(),
            shape: parameter.shape.clone(),
            values: vec![0.5; parameter.shape.iter().product()],
        })
        .collect();
    let sound = serialize(&header, &tensors, Storage::F16).expect("complete");
    let mut outcomes = BTreeMap::new();
    for number in numbers(300) {
        let mut bytes = sound.clone();
        damage_safetensors(&mut Random::new(number), &mut bytes);
        let length = bytes.len();
        let taken = bounded(number, length, || {
            let Ok(checkpoint) = Checkpoint::from_bytes(bytes, "damaged".to_owned()) else {
                return false;
            };
            let needed = checkpoint.header().network.network().parameters();
            let found = checkpoint.tensors().expect("it was validated");
            for parameter in &needed {
                let tensor = found.get(&parameter.name).expect("every tensor is there");
                assert_eq!(tensor.shape, parameter.shape, "file {number}");
                let values: usize = tensor.shape.iter().product();
                assert_eq!(tensor.values.len(), values, "file {number}");
            }
            true
        });
        *outcomes.entry(taken).or_default() += 1;
    }
    report("checkpoint", &outcomes);
}

#[test]
fn a_damaged_foreign_file_is_refused_or_complete() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/import");
    let fixtures: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the fixtures")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "py"))
        .collect();
    assert!(fixtures.len() > 20, "{fixtures:?}");
    let mut fixtures: Vec<Vec<u8>> = {
        let mut paths = fixtures;
        paths.sort();
        paths
            .iter()
            .map(|path| fs::read(path).expect("a file"))
            .collect()
    };
    // The bomb and its like are refused for their size, which other tests see to.
    fixtures.retain(|bytes| !bytes.is_empty());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("damaged.pth");
    let mut outcomes = BTreeMap::new();
    for number in numbers(500) {
        let mut random = Random::new(number);
        let mut bytes = fixtures[random.below(fixtures.len())].clone();
        match bytes.as_slice() {
            [b'P', b'K', ..] => damage_zip(&mut random, &mut bytes),
            [_, _, _, _, _, 0, 0, 0, b'{', ..] => damage_safetensors(&mut random, &mut bytes),
            _ => damage(&mut random, &mut bytes),
        }
        fs::write(&path, &bytes).expect("a temporary file");
        let taken = bounded(number, bytes.len(), || {
            let whole = |tensors: &BTreeMap<String, import::Tensor>| {
                for (name, tensor) in tensors {
                    let values: usize = tensor.shape.iter().product();
                    assert_eq!(tensor.values.len(), values, "file {number}: {name}");
                }
            };
            let found = import::read_state_dict(&path);
            if let Ok(found) = &found {
                found.groups.values().for_each(whole);
            }
            if let Ok(imported) = import::read(&path) {
                whole(&imported.tensors);
            }
            found.is_ok()
        });
        *outcomes.entry(taken).or_default() += 1;
    }
    report("PyTorch and safetensors import", &outcomes);
}
