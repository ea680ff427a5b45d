//! Masks that have vanished or cover everything: a warning with the remedy, while the run can still be begun anew.

use crate::log::StepRecord;

/// Steps in a row after which it is said.
const PATIENCE: u32 = 15;
/// Mean of a mask that shows nothing. Runs that ended well had at least 0.12 after their first steps.
const VANISHED: f64 = 0.04;
/// Mean of a mask that covers everything.
const FULL: f64 = 0.96;

/// Looks at the masks' mean, step by step.
#[derive(Debug, Default)]
pub(super) struct CollapseWatch {
    vanished: u32,
    full: u32,
    said: bool,
}

impl CollapseWatch {
    /// What is to be said after this step, at most once a process.
    pub(super) fn see(&mut self, record: &StepRecord) -> Option<String> {
        let mean = record.mask_mean?;
        let lambda = record.lambda?;
        self.vanished = if mean < VANISHED {
            self.vanished + 1
        } else {
            0
        };
        self.full = if mean > FULL { self.full + 1 } else { 0 };
        let what = if self.vanished >= PATIENCE {
            "have vanished; area costs only where the judge is confused, so a smaller λ alone hardly brings them \
             back: begin anew with a smaller --lambda"
        } else if self.full >= PATIENCE {
            "cover everything: begin anew with a larger --lambda"
        } else {
            return None;
        };
        if std::mem::replace(&mut self.said, true) {
            return None;
        }
        Some(format!(
            "casm: step {}: for {PATIENCE} steps the masks' mean has been {:.0} % (λ is {lambda:.3} now); they {what}",
            record.step,
            100.0 * mean,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(means: impl IntoIterator<Item = Option<f64>>) -> Vec<String> {
        let mut watch = CollapseWatch::default();
        let records = (1..).zip(means).map(|(step, mask_mean)| StepRecord {
            step,
            mask_mean,
            lambda: Some(0.5),
            ..StepRecord::default()
        });
        records.filter_map(|record| watch.see(&record)).collect()
    }

    /// The means of runs in `runs.md`, every 15 steps: with and without the remedy.
    #[test]
    fn vanished_masks_are_named_once() {
        let steady = [0.60, 0.13, 0.35, 0.52, 0.41, 0.43];
        assert_eq!(said(steady.map(Some).into_iter().cycle().take(90)), [""; 0]);
        let vanishing = [0.60, 0.20].into_iter().chain([0.02; 40]);
        let messages = said(vanishing.map(Some));
        assert_eq!(messages.len(), 1, "{messages:?}");
        let start = "casm: step 17: for 15 steps the masks' mean has been 2 % (λ is 0.500 now); they have vanished";
        assert!(messages[0].starts_with(start), "{messages:?}");
        assert!(messages[0].contains("a smaller --lambda"), "{messages:?}");
    }

    #[test]
    fn full_masks_too() {
        let messages = said([Some(0.99); 15]);
        assert!(messages[0].contains("a larger --lambda"), "{messages:?}");
    }

    #[test]
    fn a_better_step_between_begins_the_count_again() {
        let almost = || [Some(0.02); 14].into_iter();
        assert_eq!(said(almost().chain([Some(0.05)]).chain(almost())), [""; 0]);
    }

    #[test]
    fn runs_without_masks_are_left_alone() {
        assert_eq!(said([None; 40]), [""; 0]);
    }
}
