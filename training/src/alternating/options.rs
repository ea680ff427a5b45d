//! The choices within a step. Defaults are the released code's; the paper's readings are the others.

use std::fmt;
use std::str::FromStr;

use casm::header::InputConfig;
use serde::{Deserialize, Serialize};

/// What the mapping maximises on masked-out pictures (Eq. 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Score {
    /// E: the entropy of the judge's softmax.
    Entropy,
    /// C: the judge's cross-entropy with the true class.
    Classification,
}

/// How the classifier learns from clean and masked pictures (Eq. 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ClassifierStep {
    /// Two steps of full weight, clean and then masked: the released code.
    Sequential,
    /// One step on the mean of both losses, at the end: the paper. The judge of the step is the
    /// classifier before it. Where the masked loss is left out, the clean one keeps its half weight.
    Joint,
}

/// Whether the classifier learns from masked pictures when a kept classifier judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum MaskedStep {
    /// No: the released code.
    Skip,
    /// Always, at the price of one more forward pass: the paper.
    Always,
}

/// Which weights the mapping's gradient goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum MappingGradient {
    /// Those that made the forward pass.
    Exact,
    /// Those after the classifier's masked step, with activations from before it: what PyTorch 0.4
    /// made of the released code. For matching numbers only.
    Legacy,
}

/// On which pictures large masks cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RegulariseOn {
    /// Right when clean, wrong when masked out: the released code.
    Confused,
    /// Clean and masked-out predictions differ: the paper's words.
    Disagreement,
    /// All.
    All,
}

/// On which pictures the score counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ScoreOn {
    /// Those that the clean prediction gets right: the released code for the entropy score.
    Correct,
    /// All: the released code for the classification score.
    All,
}

/// What masked pixels become.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Fill {
    /// The mean colour, 0 after normalisation: the released code in training.
    Mean,
    /// Grey of this brightness, 0 (black) to 1.
    Grey(f64),
}

impl Fill {
    /// The normalised colour, RGB.
    pub fn color(self, input: &InputConfig) -> [f32; 3] {
        match self {
            Fill::Mean => [0.0; 3],
            Fill::Grey(value) => {
                [0, 1, 2].map(|channel| (value as f32 - input.mean[channel]) / input.std[channel])
            }
        }
    }
}

impl fmt::Display for Fill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fill::Mean => f.write_str("mean"),
            Fill::Grey(0.0) => f.write_str("black"),
            Fill::Grey(value) => write!(f, "grey={value}"),
        }
    }
}

impl FromStr for Fill {
    type Err = String;

    fn from_str(text: &str) -> Result<Fill, String> {
        match (text, text.strip_prefix("grey=")) {
            ("mean", _) => Ok(Fill::Mean),
            ("black", _) => Ok(Fill::Grey(0.0)),
            (_, Some(value)) => match value.parse() {
                Ok(value) if (0.0..=1.0).contains(&value) => Ok(Fill::Grey(value)),
                _ => Err(format!("'{value}' is not a brightness from 0 to 1")),
            },
            _ => Err("expected mean, black or grey=BRIGHTNESS".to_owned()),
        }
    }
}

impl From<Fill> for String {
    fn from(fill: Fill) -> String {
        fill.to_string()
    }
}

impl TryFrom<String> for Fill {
    type Error = String;

    fn try_from(text: String) -> Result<Fill, String> {
        text.parse()
    }
}

/// All choices of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepOptions {
    /// What the mapping maximises.
    pub score: Score,
    /// On which pictures it does.
    pub score_on: ScoreOn,
    /// On which pictures large masks cost.
    pub regularise_on: RegulariseOn,
    /// What masked pixels become.
    pub fill: Fill,
    /// False: the classifier stays f(0), in evaluation mode (strategy F).
    pub train_classifier: bool,
    /// How it learns from clean and masked pictures.
    pub classifier_step: ClassifierStep,
    /// Whether it does when a kept classifier judges.
    pub masked_step: MaskedStep,
    /// Which weights the mapping's gradient goes through.
    pub mapping_gradient: MappingGradient,
    /// Largest L2 norm of the mapping's gradient; 0: no limit, as in the paper.
    pub clip_gradient: f64,
    /// Weight of the masked-in term of Phang et al. (2020); 0: pure CASM.
    pub masked_in: f64,
    /// Regulariser of the masked-in term: small masks cost on pictures that are right when masked in.
    pub masked_in_lambda: f64,
    /// Whether the classifier learns from masked-in pictures too.
    pub train_on_masked_in: bool,
    /// Weight of the total variation of Phang et al. (2020); 0: pure CASM.
    pub total_variation: f64,
}

impl StepOptions {
    /// The released code's choices for `score`.
    pub fn new(score: Score) -> StepOptions {
        StepOptions {
            score,
            score_on: match score {
                Score::Entropy => ScoreOn::Correct,
                Score::Classification => ScoreOn::All,
            },
            regularise_on: RegulariseOn::Confused,
            fill: Fill::Mean,
            train_classifier: true,
            classifier_step: ClassifierStep::Sequential,
            masked_step: MaskedStep::Skip,
            mapping_gradient: MappingGradient::Exact,
            clip_gradient: 10.0,
            masked_in: 0.0,
            masked_in_lambda: 1.0,
            train_on_masked_in: false,
            total_variation: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_are_written_as_they_are_read() {
        for text in ["mean", "black", "grey=0.35"] {
            assert_eq!(text.parse::<Fill>().unwrap().to_string(), text);
        }
        for text in ["white", "grey", "grey=2", "grey=NaN"] {
            assert!(text.parse::<Fill>().is_err(), "{text}");
        }
    }

    #[test]
    fn black_is_the_normalised_zero() {
        let [red, ..] = Fill::Grey(0.0).color(&InputConfig::default());
        // -0.485 / 0.229 by hand.
        assert!((red + 2.117_904).abs() < 1e-5, "{red}");
    }
}
