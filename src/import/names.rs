//! From the names of other programs to this library's: `classifier.` and torchvision's name,
//! `decoder.` and the name in the authors' code (`conv1x1_{1..4}.{0,1}.*`, `final.0.*`).

use std::collections::BTreeMap;

use super::architecture::{Architecture, recognise};
use super::error::Problem;
use super::pickle::shorten;
use super::state_dict::{Group, Ignored, StateDict};
use super::tensor::Tensor;

/// A foreign checkpoint under this library's names.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// The classifier's architecture.
    pub architecture: Architecture,
    /// Classes that the classifier tells apart.
    pub classes: usize,
    /// Whether there are tensors of a decoder.
    pub has_decoder: bool,
    /// By name: `classifier.fc.bias`, `decoder.conv1x1_1.0.weight`. Shapes are as in the file, only
    /// those that tell the architecture are checked.
    pub tensors: BTreeMap<String, Tensor>,
    /// What was left out and why, a line each.
    pub ignored: Vec<String>,
    /// The container's name.
    pub source_format: &'static str,
}

/// Gives the tensors of a file their meaning.
///
/// # Errors
/// [`Problem::Architecture`] if there is no ResNet or MobileNetV2 in it, [`Problem::Duplicate`].
pub(super) fn import(file: StateDict) -> Result<Imported, Problem> {
    let StateDict {
        mut groups,
        ignored: mut lines,
        source_format,
    } = file;
    let (classifier, decoder) = networks(&mut groups)?;
    let mut ignored = Ignored::default();
    for (path, group) in &groups {
        for name in group.keys() {
            let name = match path.as_str() {
                "" => name.clone(),
                path => format!("{path}/{name}"),
            };
            ignored.add(&name, "neither of the classifier nor of the decoder");
        }
    }
    let (architecture, classes) = recognise(&classifier)?;
    let has_decoder = !decoder.is_empty();
    let mut tensors = BTreeMap::new();
    let classifier = classifier
        .into_iter()
        .map(|(name, tensor)| (format!("classifier.{name}"), tensor));
    let decoder = decoder
        .into_iter()
        .map(|(name, tensor)| (format!("decoder.{}", decoder_name(&name)), tensor));
    for (name, tensor) in classifier.chain(decoder) {
        // A counter that some programs convert to floating point with all the rest.
        if name.ends_with(".num_batches_tracked") {
            ignored.add(&name, "a counter that no forward pass needs");
        } else if let Some(clash) = tensors.insert(name.clone(), tensor).map(|_| name) {
            return Err(Problem::Duplicate(clash));
        }
    }
    lines.extend(ignored.into_lines());
    let ignored = lines;
    Ok(Imported {
        architecture,
        classes,
        has_decoder,
        tensors,
        ignored,
        source_format,
    })
}

/// Takes the classifier and the decoder, empty if there is none, out of the groups.
fn networks(groups: &mut BTreeMap<String, Group>) -> Result<(Group, Group), Problem> {
    // The authors' train.py, and the obvious alternative.
    for (classifier, decoder) in [
        ("state_dict_classifier", "state_dict_decoder"),
        ("classifier", "decoder"),
    ] {
        if let Some(classifier) = groups.remove(classifier) {
            let decoder = groups.remove(decoder).unwrap_or_default();
            return Ok((strip_wrappers(classifier), strip_wrappers(decoder)));
        }
    }
    // pytorch/examples, and what else is common; at last a state dict that is the whole file.
    let whole = ["state_dict", "model", "model_state_dict", "net", ""]
        .into_iter()
        .find_map(|name| groups.remove(name));
    let Some(whole) = whole else {
        let names = groups.keys().map(|name| shorten(name)).take(5);
        return Err(Problem::Architecture {
            reason: "it has no state dict under a known key".to_owned(),
            names: names.collect::<Vec<_>>().join(", "),
        });
    };
    let whole = strip_wrappers(whole);
    // Plain MobileNetV2 has `classifier.1.weight`, which must not be taken for a prefix.
    let joint = |name: &String| {
        [
            "classifier.features.",
            "classifier.conv1.",
            "classifier.module.",
        ]
        .iter()
        .any(|prefix| name.starts_with(prefix))
    };
    if !whole.keys().any(joint) {
        return Ok((whole, Group::new()));
    }
    let (mut classifier, mut decoder, mut rest) = (Group::new(), Group::new(), Group::new());
    for (name, tensor) in whole {
        if let Some(name) = name.strip_prefix("classifier.") {
            classifier.insert(name.to_owned(), tensor);
        } else if let Some(name) = name.strip_prefix("decoder.") {
            decoder.insert(name.to_owned(), tensor);
        } else {
            rest.insert(name, tensor);
        }
    }
    groups.entry(String::new()).or_default().extend(rest);
    Ok((strip_wrappers(classifier), strip_wrappers(decoder)))
}

/// Removes what DataParallel and `torch.compile` put before every name.
fn strip_wrappers(mut group: Group) -> Group {
    for wrapper in ["module.", "_orig_mod.", "module."] {
        if group.keys().all(|name| name.starts_with(wrapper)) {
            group = group
                .into_iter()
                .map(|(name, tensor)| (name[wrapper.len()..].to_owned(), tensor))
                .collect();
        }
    }
    group
}

/// A decoder's name in the authors' code; the prototype, whose decoder is built alike, has others.
fn decoder_name(name: &str) -> String {
    if let Some((side, rest)) = name
        .strip_prefix("side")
        .and_then(|rest| rest.split_once('.'))
    {
        if let Some(rest) = rest.strip_prefix("conv.") {
            return format!("conv1x1_{side}.0.{rest}");
        }
        if let Some(rest) = rest.strip_prefix("norm.") {
            return format!("conv1x1_{side}.1.{rest}");
        }
    }
    match name {
        "final.weight" => "final.0.weight".to_owned(),
        "final.bias" => "final.0.bias".to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::architecture::tests::{group, resnet_of};
    use super::*;

    fn file(groups: &[(&str, Group)]) -> StateDict {
        let groups = groups
            .iter()
            .map(|(name, group)| ((*name).to_owned(), group.clone()));
        StateDict {
            groups: groups.collect(),
            ..StateDict::default()
        }
    }

    fn reason(file: StateDict) -> String {
        import(file).unwrap_err().to_string()
    }

    #[test]
    fn one_state_dict_may_hold_both_networks() {
        let mut both = Group::new();
        for (name, tensor) in resnet_of([2, 2, 2, 2], false) {
            both.insert(format!("module.classifier.{name}"), tensor);
        }
        both.extend(group(&[("module.decoder.final.weight", &[1, 4, 3, 3])]));
        both.extend(group(&[("module.teacher.weight", &[1])]));
        let imported = import(file(&[("model", both)])).unwrap();
        assert!(imported.has_decoder);
        assert!(
            imported
                .tensors
                .contains_key("classifier.layer4.1.conv1.weight")
        );
        assert!(imported.tensors.contains_key("decoder.final.0.weight"));
        assert_eq!(imported.ignored.len(), 1);
        assert!(imported.ignored[0].starts_with("teacher.weight: neither of the classifier"));
    }

    #[test]
    fn an_unknown_key_is_named() {
        let message = reason(file(&[("ema", resnet_of([1; 4], true))]));
        assert!(message.ends_with("its first names are ema"), "{message}");
    }

    #[test]
    fn two_tensors_of_one_name_are_refused() {
        let decoder = group(&[("final.weight", &[1]), ("final.0.weight", &[1])]);
        let networks = [
            ("state_dict_classifier", resnet_of([1; 4], false)),
            ("state_dict_decoder", decoder),
        ];
        assert!(reason(file(&networks)).contains("two tensors for 'decoder.final.0.weight'"));
    }

    #[test]
    fn decoder_names_become_those_of_the_authors() {
        assert_eq!(decoder_name("side3.conv.weight"), "conv1x1_3.0.weight");
        assert_eq!(
            decoder_name("side1.norm.running_var"),
            "conv1x1_1.1.running_var"
        );
        assert_eq!(decoder_name("final.bias"), "final.0.bias");
        assert_eq!(decoder_name("conv1x1_2.1.weight"), "conv1x1_2.1.weight");
    }
}
