//! How long tests run for `make soak`, and what they report to it.

use std::fs::OpenOptions;
use std::io::Write;

/// A number from the environment, with which `make soak` makes a test longer.
///
/// # Panics
/// If it is no number.
pub fn count(variable: &str, usual: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable}='{text}' is no number")),
        Err(_) => usual,
    }
}

/// Prints what was done how often, and with what result; also a row of the table in the file that
/// `CASM_SOAK_REPORT` names.
///
/// # Panics
/// If that file cannot be written.
pub fn report(what: &str, times: u64, result: &str) {
    println!("{what}: {times}: {result}");
    if let Some(path) = std::env::var_os("CASM_SOAK_REPORT") {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .expect("the report can be written");
        writeln!(file, "| {what} | {times} | {result} |").expect("the report can be written");
    }
}
