//! README.md says what the code says.

use casm_tests::gst::init;
use gst::glib;
use gst::prelude::*;

const README: &str = include_str!("../README.md");

/// One row of README's table of properties, from what `gst-inspect-1.0` reads as well.
fn row(element: &gst::Element, property: &glib::ParamSpec) -> String {
    let name = property.name();
    let flags = property.flags();
    let change = if !flags.contains(glib::ParamFlags::WRITABLE) {
        "read only"
    } else if flags.contains(gst::PARAM_FLAG_MUTABLE_PLAYING) {
        "always"
    } else if flags.contains(gst::PARAM_FLAG_MUTABLE_READY) {
        "NULL, READY"
    } else {
        panic!("{name} does not say when it may be changed")
    };
    // Each branch also checks that a new element has the default that it announces.
    let now = element.property_value(name);
    let (kind, default) = if let Some(spec) = property.downcast_ref::<glib::ParamSpecUInt>() {
        assert_eq!(
            now.get::<u32>().expect("a uint"),
            spec.default_value(),
            "{name}"
        );
        let range = match spec.maximum() {
            u32::MAX => format!("uint ≥ {}", spec.minimum()),
            maximum => format!("uint {} – {maximum}", spec.minimum()),
        };
        let hexadecimal = name
            .ends_with("color")
            .then(|| format!("0x{:06x}", spec.default_value()));
        (
            range,
            hexadecimal.unwrap_or_else(|| spec.default_value().to_string()),
        )
    } else if let Some(spec) = property.downcast_ref::<glib::ParamSpecDouble>() {
        assert_eq!(
            now.get::<f64>().expect("a double"),
            spec.default_value(),
            "{name}"
        );
        let range = format!("double {} – {}", spec.minimum(), spec.maximum());
        (range, spec.default_value().to_string())
    } else if let Some(spec) = property.downcast_ref::<glib::ParamSpecEnum>() {
        let (class, value) = glib::EnumValue::from_value(&now).expect("an enum");
        assert_eq!(value.value(), spec.default_value_as_i32(), "{name}");
        let nicks: Vec<&str> = class.values().iter().map(|value| value.nick()).collect();
        (nicks.join(" "), value.nick().to_owned())
    } else if let Some(spec) = property.downcast_ref::<glib::ParamSpecBoolean>() {
        assert_eq!(
            now.get::<bool>().expect("a boolean"),
            spec.default_value(),
            "{name}"
        );
        ("boolean".to_owned(), spec.default_value().to_string())
    } else if property.value_type() == gst::Structure::static_type() {
        ("structure".to_owned(), String::new())
    } else {
        let text = |value: &glib::Value| {
            value
                .get::<Option<String>>()
                .expect("a string")
                .unwrap_or_default()
        };
        assert_eq!(text(&now), text(property.default_value()), "{name}");
        let default = text(&now);
        let shown = if default.is_empty() {
            "\"\"".to_owned()
        } else {
            default
        };
        ("string".to_owned(), shown)
    };
    let blurb = property.blurb().expect("every property is described");
    format!("| `{name}` | {kind} | {default} | {change} | {blurb} |")
}

#[test]
fn the_table_of_properties_is_the_elements() {
    init();
    let element = gst::ElementFactory::make("casmesaliency")
        .build()
        .expect("registered");
    let own = element.type_();
    let rows: Vec<String> = element
        .list_properties()
        .iter()
        .filter(|property| property.owner_type() == own)
        .map(|property| row(&element, property))
        .collect();
    assert!(rows.len() > 5);
    let table = README
        .lines()
        .skip_while(|line| !line.starts_with("| property |"))
        .skip(2);
    let table: Vec<&str> = table.take_while(|line| line.starts_with('|')).collect();
    assert_eq!(
        table,
        rows,
        "README.md's table of properties should be\n{}\n",
        rows.join("\n")
    );
}

#[test]
fn the_readme_is_short_enough_to_be_read() {
    let lines = README.lines().count();
    assert!(lines < 250, "{lines} lines");
}

#[test]
fn every_make_target_that_the_readme_names_exists() {
    let makefile = include_str!("../Makefile");
    // As a command in a line of code or of its own; "make" is also an English word.
    let targets: Vec<String> = ["`make ", "\nmake "]
        .into_iter()
        .flat_map(|start| README.split(start).skip(1))
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '-')
                .collect()
        })
        .collect();
    assert!(targets.iter().any(|target| target == "demo"));
    for target in targets {
        assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
    }
}

#[test]
fn every_pipeline_is_in_the_readme() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../pipelines");
    for entry in std::fs::read_dir(folder).expect("it is part of the project") {
        let name = entry
            .expect("readable")
            .file_name()
            .to_string_lossy()
            .into_owned();
        if let Some(name) = name.strip_suffix(".launch") {
            assert!(README.contains(&format!("| `{name}` |")), "{name}");
        }
    }
}
