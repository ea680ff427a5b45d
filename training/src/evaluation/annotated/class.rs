//! The classes of a set, and which of a model's they are.

use std::collections::HashMap;

use serde::Serialize;

/// A class as a set names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Class {
    /// WordNet id or folder name; the label in digits where there is only that.
    pub name: String,
    /// Number of the class in the set's own order, 0 to 999 for ImageNet.
    pub label: Option<usize>,
}

/// Classes that are numbered as they come up.
#[derive(Debug, Default)]
pub(super) struct ClassList {
    classes: Vec<Class>,
    indices: HashMap<String, usize>,
}

impl ClassList {
    /// The index of the class `name`, which is new or known.
    pub(super) fn index(&mut self, name: &str, label: Option<usize>) -> usize {
        if let Some(&index) = self.indices.get(name) {
            return index;
        }
        let index = self.classes.len();
        self.indices.insert(name.to_owned(), index);
        self.classes.push(Class {
            name: name.to_owned(),
            label,
        });
        index
    }

    pub(super) fn into_classes(self) -> Vec<Class> {
        self.classes
    }
}

/// `n` and eight digits: WordNet's number of a noun.
fn is_wordnet_id(word: &str) -> bool {
    word.strip_prefix('n')
        .is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// `n01440764 tench, Tinca tinca` → `n01440764`.
fn first_word(name: &str) -> &str {
    name.split_whitespace().next().unwrap_or_default()
}

/// For each of a set's classes the logit of a model with `count` classes, `names` if they are named.
///
/// Matched by name, or by a name's first word, which is the WordNet id; by number if the model's classes
/// have no WordNet ids or the set's none, and all numbers are in range.
///
/// # Errors
/// Why they do not match.
pub(super) fn match_classes(
    classes: &[Class],
    names: &[String],
    count: usize,
) -> Result<Vec<usize>, String> {
    let mut logits = HashMap::new();
    for (index, name) in names.iter().enumerate() {
        // Of plain names that begin alike none is meant by their first word.
        if is_wordnet_id(first_word(name)) {
            logits.insert(first_word(name), index);
        }
        logits.insert(name.as_str(), index);
    }
    let by_name: Vec<Option<usize>> = classes
        .iter()
        .map(|class| logits.get(class.name.as_str()).copied())
        .collect();
    if let Some(found) = by_name.iter().copied().collect() {
        return Ok(found);
    }
    let named = |model: bool| match model {
        true => names.iter().any(|name| is_wordnet_id(first_word(name))),
        false => classes.iter().any(|class| is_wordnet_id(&class.name)),
    };
    if !(named(true) && named(false)) {
        let by_label = classes.iter().map(|class| class.label);
        if let Some(labels) = by_label.collect::<Option<Vec<usize>>>() {
            return match labels.iter().max() {
                Some(&largest) if largest >= count => Err(format!(
                    "label {largest} is not among the model's {count} classes, 0 to {}",
                    count.saturating_sub(1)
                )),
                _ => Ok(labels),
            };
        }
    }
    let absent = || {
        by_name
            .iter()
            .zip(classes)
            .filter(|(found, _)| found.is_none())
    };
    let first = absent().next().map_or("", |(_, class)| class.name.as_str());
    Err(format!(
        "{} of the {} classes, '{first}' for one, are not among the model's {count}",
        absent().count(),
        classes.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, label: Option<usize>) -> Class {
        Class {
            name: name.to_owned(),
            label,
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn wordnet_ids_go_before_numbers() {
        let model = names(&["n00000002 b, bee", "n00000001 a"]);
        let set = [class("n00000001", Some(0)), class("n00000002", Some(1))];
        assert_eq!(match_classes(&set, &model, 2), Ok(vec![1, 0]));
        let other = [class("n00000001", Some(0)), class("n00000003", Some(1))];
        let reason = match_classes(&other, &model, 2).unwrap_err();
        assert!(
            reason.contains("1 of the 2") && reason.contains("n00000003"),
            "{reason}"
        );
    }

    #[test]
    fn numbers_count_where_names_are_missing() {
        let set = [class("7", Some(7)), class("2", Some(2))];
        assert_eq!(match_classes(&set, &[], 8), Ok(vec![7, 2]));
        let model = names(&["n00000000 x"; 8]);
        assert_eq!(match_classes(&set, &model, 8), Ok(vec![7, 2]));
        let reason = match_classes(&set, &[], 7).unwrap_err();
        assert!(reason.contains("label 7"), "{reason}");
    }

    #[test]
    fn folder_names_are_matched_whole() {
        let model = names(&["red fox", "red kite"]);
        assert_eq!(
            match_classes(&[class("red kite", None)], &model, 2),
            Ok(vec![1])
        );
        assert!(match_classes(&[class("red", None)], &model, 2).is_err());
    }
}
