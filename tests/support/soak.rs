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

/// Bytes that this process has asked of the C library's allocator and not given back: what leaks, without what the
/// allocator keeps for itself.
pub fn heap() -> u64 {
    // SAFETY: it only reads the allocator's own figures.
    let info = unsafe { libc::mallinfo2() };
    (info.uordblks + info.hblkhd) as u64
}

/// Slope of a line through the points by least squares, and its standard error.
pub fn slope(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let mean = |value: fn(&(f64, f64)) -> f64| points.iter().map(value).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    let together: f64 = points
        .iter()
        .map(|point| (point.0 - x) * (point.1 - y))
        .sum();
    let slope = together / spread;
    let residual = |point: &(f64, f64)| (point.1 - y - slope * (point.0 - x)).powi(2);
    let rest: f64 = points.iter().map(residual).sum();
    (slope, (rest / (count - 2.0) / spread).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_is_that_of_the_line() {
        // y = 3 + 2 x, exactly.
        let (slope, error) = slope(&[(0.0, 3.0), (1.0, 5.0), (2.0, 7.0), (5.0, 13.0)]);
        assert!(
            (slope - 2.0).abs() < 1e-12 && error < 1e-9,
            "{slope} {error}"
        );
    }

    #[test]
    fn what_is_not_given_back_is_counted() {
        let before = heap();
        // Too large for any other test to hide.
        let kept = std::hint::black_box(vec![1_u8; 1 << 28]);
        assert!(heap() > before + (1 << 27));
        drop(kept);
    }
}
