//! What a foreign file holds, before any of it gets a meaning: named tensors in groups.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::error::Problem;
use super::pickle::{Id, Pickle, Value, shorten};
use super::tensor::Tensor;
use super::view::View;

/// The tensors of one dict, by name.
pub type Group = BTreeMap<String, Tensor>;

/// The tensors of a foreign file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateDict {
    /// By the path of keys to the dict that holds them, joined by `/`: the tensor
    /// `file["state_dict"]["fc.bias"]` is `groups["state_dict"]["fc.bias"]`. The file's own entries
    /// are in the group of the empty name.
    pub groups: BTreeMap<String, Group>,
    /// What was left out and why, a line each.
    pub ignored: Vec<String>,
    /// The container's name.
    pub source_format: &'static str,
}

/// A tensor found in a pickle, to be read from its storage.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) group: Rc<str>,
    pub(super) name: String,
    pub(super) view: View,
}

/// Dicts in dicts; deeper ones than any known checkpoint has are left out.
const DEPTH: usize = 4;
/// Longest key, and most entries of all dicts together: a few bytes of pickle can refer to a long
/// key or a full dict again.
const KEY_LENGTH: usize = 200;
const ENTRIES: usize = 100_000;

/// Finds the tensors in a checkpoint's pickle.
///
/// # Errors
/// [`Problem::Unsupported`] if the pickle is no dict, [`Problem::TooLarge`] beyond [`ENTRIES`].
pub(super) fn find(pickle: &Pickle, ignored: &mut Ignored) -> Result<Vec<Found>, Problem> {
    if !pickle.is_dict(pickle.root) {
        let root = pickle.describe(pickle.root);
        return Err(Problem::Unsupported(format!(
            "{root} instead of a dict of tensors"
        )));
    }
    let mut found = Vec::new();
    let mut dicts = vec![(Rc::<str>::from(""), pickle.root, 0)];
    let mut left = ENTRIES;
    while let Some((group, dict, depth)) = dicts.pop() {
        let entries = pickle.entries(dict).unwrap_or_default();
        left = left.checked_sub(entries.len()).ok_or(Problem::TooLarge {
            what: "dict entries",
            limit: ENTRIES as u64,
        })?;
        for (key, value) in entries {
            let Some(name) = key_text(pickle, key) else {
                ignored.add("an entry", "its key is neither short text nor a number");
                continue;
            };
            match View::recognise(pickle, value) {
                Some(Ok(view)) => found.push(Found {
                    group: Rc::clone(&group),
                    name,
                    view,
                }),
                Some(Err(reason)) => ignored.add(&name, &reason),
                // The optimiser's moments are as large as the network, or twice, and of no use.
                None if depth == 0 && name.starts_with("optim") => {
                    ignored.add(&name, "the optimiser's state");
                }
                None if pickle.is_dict(value) && depth < DEPTH => {
                    let path = if group.is_empty() {
                        name
                    } else {
                        format!("{group}/{name}")
                    };
                    dicts.push((path.into(), value, depth + 1));
                }
                None => ignored.add(&name, &pickle.describe(value)),
            }
        }
    }
    Ok(found)
}

fn key_text(pickle: &Pickle, key: Id) -> Option<String> {
    match pickle.get(key) {
        Value::String(text) if text.len() <= KEY_LENGTH => Some(text.to_string()),
        Value::Int(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Collects what is left out, the like of it once: a ResNet-50 has 53 counters of batches.
#[derive(Debug, Default)]
pub(super) struct Ignored {
    /// Number of cases and the first name, by last part of the name and reason.
    cases: BTreeMap<(String, String), (usize, String)>,
    further: usize,
}

impl Ignored {
    /// Notes that `name` is left out because of `reason`, or as the kind of thing that it is.
    pub(super) fn add(&mut self, name: &str, reason: &str) {
        const KINDS: usize = 50;
        let last = shorten(name.rsplit('.').next().unwrap_or(name));
        let case = (last, reason.to_owned());
        if self.cases.len() >= KINDS && !self.cases.contains_key(&case) {
            self.further += 1;
            return;
        }
        self.cases
            .entry(case)
            .or_insert_with(|| (0, shorten(name)))
            .0 += 1;
    }

    /// The lines to report.
    pub(super) fn into_lines(self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .cases
            .into_iter()
            .map(|((last, reason), (count, first))| match count {
                1 => format!("{first}: {reason}"),
                _ => format!("{first} and {} more named {last}: {reason}", count - 1),
            })
            .collect();
        if self.further > 0 {
            lines.push(format!("{} further entries", self.further));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_cases_are_reported_once() {
        let mut ignored = Ignored::default();
        for layer in ["bn1", "bn2", "bn3"] {
            ignored.add(
                &format!("{layer}.num_batches_tracked"),
                "no floating-point tensor",
            );
        }
        ignored.add("epoch", "a number");
        assert_eq!(
            ignored.into_lines(),
            [
                "epoch: a number",
                "bn1.num_batches_tracked and 2 more named num_batches_tracked: \
                 no floating-point tensor"
            ]
        );
    }

    #[test]
    fn a_flood_of_cases_stays_short() {
        let mut ignored = Ignored::default();
        for index in 0..1000 {
            ignored.add(&index.to_string(), "a number");
        }
        let lines = ignored.into_lines();
        assert_eq!(
            (lines.len(), lines[50].as_str()),
            (51, "950 further entries")
        );
    }

    #[test]
    fn dicts_that_share_entries_too_often_are_refused() {
        // Each of four dicts holds the next a hundred times: 10^8 paths.
        let mut values = vec![Value::None, Value::Dict(Vec::new())];
        for _ in 0..4 {
            let inner = Id(values.len() as u32 - 1);
            let keys = values.len() as u32;
            values.extend((0..100).map(Value::Int));
            values.push(Value::Dict(
                (0..100).map(|key| (Id(keys + key), inner)).collect(),
            ));
        }
        let root = Id(values.len() as u32 - 1);
        let found = find(&Pickle { values, root }, &mut Ignored::default());
        assert!(matches!(
            found,
            Err(Problem::TooLarge {
                what: "dict entries",
                ..
            })
        ));
    }

    #[test]
    fn a_dict_inside_itself_ends() {
        let values = vec![
            Value::String("again".into()),
            Value::Dict(vec![(Id(0), Id(1))]),
        ];
        let mut ignored = Ignored::default();
        let found = find(
            &Pickle {
                values,
                root: Id(1),
            },
            &mut ignored,
        );
        assert!(found.is_ok_and(|found| found.is_empty()));
        assert_eq!(ignored.into_lines(), ["again: a dict"]);
    }
}
