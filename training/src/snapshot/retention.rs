//! Which snapshots are kept. No files here, so the policy can be tested alone.

/// The steps of `steps` whose snapshots go once that of `written` is safe: all but the last `keep` up
/// to and including `written`, which itself always stays.
///
/// Steps after `written` go too. They belong to a course of the run that was given up when it went on
/// from an earlier step, and must not be taken for the latest at the next start.
pub fn superseded(steps: &[u64], written: u64, keep: usize) -> Vec<u64> {
    let mut earlier: Vec<u64> = steps
        .iter()
        .copied()
        .filter(|&step| step < written)
        .collect();
    earlier.sort_unstable();
    // One place is the written one's.
    let kept = earlier.len().min(keep.saturating_sub(1));
    earlier.truncate(earlier.len() - kept);
    earlier.extend(steps.iter().filter(|&&step| step > written));
    earlier
}

#[cfg(test)]
mod tests {
    use super::superseded;

    #[test]
    fn the_last_ones_stay() {
        assert_eq!(superseded(&[10, 20, 30, 40], 40, 2), [10, 20]);
        assert_eq!(superseded(&[40, 10, 30, 20], 40, 3), [10]);
        assert_eq!(superseded(&[10, 20], 20, 5), [0; 0]);
        assert_eq!(superseded(&[7], 7, 1), [0; 0]);
    }

    #[test]
    fn the_one_just_written_stays_whatever_is_asked_for() {
        assert_eq!(superseded(&[10, 20], 20, 0), [10]);
        assert_eq!(superseded(&[20], 20, 0), [0; 0]);
    }

    #[test]
    fn a_future_that_was_given_up_goes() {
        assert_eq!(superseded(&[10, 20, 30, 40], 20, 2), [30, 40]);
        assert_eq!(superseded(&[10, 20, 30, 40], 20, 1), [10, 30, 40]);
    }
}
