//! Where and of what the board was measured.

use std::process::Command;

use crate::Arguments;

/// The page's head.
pub fn head(arguments: &Arguments) -> String {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let bound = match arguments.cores.as_str() {
        "" => String::new(),
        cores => format!(", everything bound to {cores}"),
    };
    let threads = match arguments.threads {
        0 => cores.to_string(),
        threads => threads.to_string(),
    };
    let smoke = match arguments.smoke {
        true => "**A trial run of the program itself: these numbers mean nothing.**\n\n",
        false => "",
    };
    format!(
        "# Performance\n\nWritten by `make bench`; do not edit.\n\n{smoke}\
         Commit {}, {}, {}; {cores} cores{bound}, {threads} threads each; load before the start {load}.\n\n\
         A number is the median over rounds, then the least and the largest. All programs of a table take turns within \
         each round; ratios are those of times in the same round. \"Busy\": beside one thread of another program that never \
         pauses. Others get a normalised picture, ours bytes. Ranges for int8 come from test patterns here, which decide \
         nothing about speed. RSS: ours with libtorch in the process in any case, and with all that was ever needed, because \
         glibc is told to keep freed memory. All are told how many threads to use, but for the row of libtorch's own choice.\n\n",
        commit(),
        output("date", &["-u", "+%F"]),
        cpu(),
    )
}

fn commit() -> String {
    let commit = output("git", &["rev-parse", "--short", "HEAD"]);
    match output("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty() {
        true => commit,
        false => format!("{commit} with changes"),
    }
}

fn cpu() -> String {
    let description = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = |name: &str| {
        let mut lines = description.lines();
        let line = lines.find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let name = line("model name").unwrap_or_else(|| "unknown CPU".to_owned());
    let number = |name: &str| line(name).unwrap_or_else(|| "?".to_owned());
    let flags = line("flags").unwrap_or_default();
    let known = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16"];
    let has = known
        .iter()
        .filter(|known| flags.split(' ').any(|flag| flag == **known));
    let has: Vec<&str> = has.copied().collect();
    format!(
        "{name} (family {}, model {}; {})",
        number("cpu family"),
        number("model\t"),
        has.join(" ")
    )
}

/// What a program prints; nothing if it fails.
fn output(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    String::from_utf8_lossy(&output).trim().to_owned()
}
