//! README.md says what the code says.

use casm_tests::gst::element;
use gst::glib;
use gst::prelude::*;

/// One row of README's table of properties, from what `gst-inspect-1.0` reads as well.
fn row(element: &gst::Element, property: &glib::ParamSpec) -> String {
    let writable = property.flags().contains(glib::ParamFlags::WRITABLE);
    let flags = property.flags();
    let change = match () {
        () if !writable => "read only",
        () if flags.contains(gst::PARAM_FLAG_MUTABLE_PLAYING) => "always",
        () if flags.contains(gst::PARAM_FLAG_MUTABLE_READY) => "NULL, READY",
        () => "unspecified",
    };
    let default = property.default_value();
    let (kind, default) = if let Some(spec) = property.downcast_ref::<glib::ParamSpecUInt>() {
        let text = match property.name() {
            "overlay-color" => format!("0x{:06x}", spec.default_value()),
            _ => spec.default_value().to_string(),
        };
        let range = match spec.maximum() {
            u32::MAX => format!("uint ≥ {}", spec.minimum()),
            maximum => format!("uint {} – {maximum}", spec.minimum()),
        };
        (range, text)
    } else if let Some(spec) = property.downcast_ref::<glib::ParamSpecDouble>() {
        (
            format!("double {} – {}", spec.minimum(), spec.maximum()),
            spec.default_value().to_string(),
        )
    } else if let Some(spec) = property.downcast_ref::<glib::ParamSpecEnum>() {
        let nicks: Vec<_> = spec
            .enum_class()
            .values()
            .iter()
            .map(|value| value.nick().to_owned())
            .collect();
        let nick = spec
            .enum_class()
            .value(spec.default_value_as_i32())
            .expect("it has a value")
            .nick();
        (nicks.join(" "), nick.to_owned())
    } else if property.downcast_ref::<glib::ParamSpecBoolean>().is_some() {
        (
            "boolean".to_owned(),
            default.get::<bool>().expect("a boolean").to_string(),
        )
    } else if property.value_type() == gst::Structure::static_type() {
        ("structure".to_owned(), String::new())
    } else {
        let text = default
            .get::<Option<String>>()
            .expect("a string")
            .unwrap_or_default();
        (
            "string".to_owned(),
            if text.is_empty() {
                "\"\"".to_owned()
            } else {
                text
            },
        )
    };
    // A default in the specification that is not the element's would be a trap.
    if writable {
        assert!(
            property
                .values_cmp(
                    &element.property_value(property.name()),
                    property.default_value()
                )
                .is_eq(),
            "{} does not start with its default",
            property.name()
        );
    }
    let blurb = property.blurb().expect("every property is described");
    format!(
        "| `{}` | {kind} | {default} | {change} | {blurb} |",
        property.name()
    )
}

#[test]
fn the_table_of_properties_is_the_elements() {
    let element = element(&[]);
    let own = element.type_();
    let rows: Vec<String> = element
        .list_properties()
        .iter()
        .filter(|property| property.owner_type() == own)
        .map(|property| row(&element, property))
        .collect();
    assert!(rows.len() > 5);
    let readme = include_str!("../README.md");
    let found: Vec<&str> = readme
        .lines()
        .filter(|line| rows.iter().any(|row| row == line))
        .collect();
    let table = rows.join("\n");
    assert_eq!(
        found, rows,
        "README.md's table of properties should be\n{table}\n"
    );
    let listed = readme
        .lines()
        .skip_while(|line| !line.starts_with("| property |"))
        .skip(2);
    let listed = listed.take_while(|line| line.starts_with('|')).count();
    assert_eq!(
        listed,
        rows.len(),
        "README.md lists properties that do not exist"
    );
}

#[test]
fn the_readme_is_short_enough_to_be_read() {
    let lines = include_str!("../README.md").lines().count();
    assert!(lines < 250, "{lines} lines");
}

#[test]
fn every_make_target_that_the_readme_names_exists() {
    let makefile = include_str!("../Makefile");
    let readme = include_str!("../README.md");
    let targets = readme.split("make ").skip(1).map(|rest| {
        rest.chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '-')
            .collect::<String>()
    });
    let targets: Vec<String> = targets.filter(|target| !target.is_empty()).collect();
    assert!(targets.iter().any(|target| target == "demo"));
    for target in targets {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
}
