//! What a run says of its scores and of pictures that it left out.

use crate::log::ScoreRecord;

/// Unreadable pictures that are named.
const LISTED: usize = 20;

/// Names the pictures that could not be used.
pub(super) fn report(rejected: &[(String, String)]) {
    if rejected.is_empty() {
        return;
    }
    eprintln!(
        "casm: {} pictures could not be read and were left out:",
        rejected.len()
    );
    for (name, reason) in rejected.iter().take(LISTED) {
        eprintln!("casm:   {name}: {reason}");
    }
    if rejected.len() > LISTED {
        eprintln!("casm:   and {} more", rejected.len() - LISTED);
    }
}

/// A score in words.
pub(super) fn describe(score: &ScoreRecord) -> String {
    let mut text = format!("step {}: {} pictures", score.step, score.images);
    let numbers = [
        ("LE", score.localization_error),
        ("OM", score.official_metric),
        ("F1", score.f1),
        ("top-1", score.top1),
        ("mask", score.mask_mean),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            text += &format!(", {name} {:.1} %", 100.0 * number);
        }
    }
    text
}
