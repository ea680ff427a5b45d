//! The learning rate over epochs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the learning rate changes; one factor for both optimisers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum RateSchedule {
    /// A tenth after every so many epochs: the released code, with 20.
    Step(u64),
    /// No change: the paper mentions none.
    Constant,
    /// Half a cosine from 1 to 0 over the run.
    Cosine,
}

impl RateSchedule {
    /// The factor in `epoch` (counted from 0, whole for [`Step`](RateSchedule::Step)), `progress` being
    /// the share of the run that is over, 0 to 1.
    pub fn factor(self, epoch: u64, progress: f64) -> f64 {
        match self {
            RateSchedule::Step(every) => 0.1_f64.powf((epoch / every.max(1)) as f64),
            RateSchedule::Constant => 1.0,
            RateSchedule::Cosine => {
                0.5 * (1.0 + (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos())
            }
        }
    }
}

impl fmt::Display for RateSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RateSchedule::Step(every) => write!(f, "step:{every}"),
            RateSchedule::Constant => f.write_str("constant"),
            RateSchedule::Cosine => f.write_str("cosine"),
        }
    }
}

impl FromStr for RateSchedule {
    type Err = String;

    fn from_str(text: &str) -> Result<RateSchedule, String> {
        match text.split_once(':') {
            None if text == "constant" => Ok(RateSchedule::Constant),
            None if text == "cosine" => Ok(RateSchedule::Cosine),
            Some(("step", every)) => match every.parse() {
                Ok(every) if every > 0 => Ok(RateSchedule::Step(every)),
                _ => Err(format!("'{every}' is not a number of epochs above zero")),
            },
            _ => Err("expected step:EPOCHS, constant or cosine".to_owned()),
        }
    }
}

impl From<RateSchedule> for String {
    fn from(schedule: RateSchedule) -> String {
        schedule.to_string()
    }
}

impl TryFrom<String> for RateSchedule {
    type Error = String;

    fn try_from(text: String) -> Result<RateSchedule, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_goes_from_one_over_a_half_to_nothing() {
        let factor = |progress| RateSchedule::Cosine.factor(0, progress);
        assert_eq!(factor(0.0), 1.0);
        assert!((factor(0.5) - 0.5).abs() < 1e-12);
        assert!(factor(1.0).abs() < 1e-12);
    }

    #[test]
    fn schedules_are_written_as_they_are_read() {
        for text in ["step:20", "constant", "cosine"] {
            assert_eq!(text.parse::<RateSchedule>().unwrap().to_string(), text);
        }
        for text in ["step:0", "step:", "step", "linear", "step:-1"] {
            assert!(text.parse::<RateSchedule>().is_err(), "{text}");
        }
    }
}
