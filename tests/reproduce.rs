//! The commands of docs/reproduce.md, README.md and scripts/reproduce_small.sh are commands that there are.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use casm_tests::program;

const PAGE: &str = include_str!("../docs/reproduce.md");
const README: &str = include_str!("../README.md");
/// What the command's parser of arguments says below each of its errors, and nobody else.
const USAGE: &str = "For more information, try '--help'";

/// What ends a command in a shell.
const ENDS: [char; 6] = [';', '|', '>', '&', '#', '`'];

/// The command lines in code blocks and code spans of a page, without `casm`.
fn commands(page: &str) -> Vec<Vec<String>> {
    let joined = page.replace("\\\n", " ");
    let mut commands = Vec::new();
    let mut in_block = false;
    for line in joined.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
            continue;
        }
        let codes: Vec<&str> = match in_block {
            true => vec![line],
            false => line.split('`').skip(1).step_by(2).collect(),
        };
        for code in codes {
            if let Some(arguments) = code.trim().strip_prefix("casm ") {
                commands.push(words(arguments));
            }
        }
    }
    commands
}

/// Words up to the command's end. Variables stay as they are, since no file has such a name, but for numbers.
fn words(arguments: &str) -> Vec<String> {
    let end = arguments.find(ENDS).unwrap_or(arguments.len());
    let words = arguments[..end].split_whitespace();
    words
        .map(|word| word.trim_matches('\'').replace("$seed", "1"))
        .collect()
}

/// What of a command can be wrong where no file is there: neither names of files nor numbers.
fn shape(command: &[String]) -> Vec<&String> {
    let words = command.iter();
    words
        .filter(|word| !word.contains('/') && word.parse::<f64>().is_err())
        .collect()
}

/// Runs the command where none of its files are, so that it gets no further than reading its arguments.
fn run(arguments: &[String], folder: &Path) -> Output {
    let mut command = Command::new(program("casm"));
    command.args(arguments).current_dir(folder);
    command.output().expect("casm is built")
}

/// Whether the parser of arguments has refused.
fn is_refused(output: &Output) -> bool {
    String::from_utf8_lossy(&output.stderr).contains(USAGE)
}

/// Fails with all the commands that are refused.
fn check(source: &str, commands: &[Vec<String>]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut refused = Vec::new();
    let mut seen = BTreeSet::new();
    for command in commands {
        if !seen.insert(shape(command)) {
            continue;
        }
        let output = match &command[..] {
            // A verb that is merely mentioned.
            [verb] => run(&[verb.clone(), "--help".to_owned()], folder.path()),
            _ => run(command, folder.path()),
        };
        if is_refused(&output) {
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            refused.push(format!("casm {}\n{reason}", command.join(" ")));
        }
    }
    assert!(refused.is_empty(), "in {source}:\n{}", refused.join("\n"));
}

/// The options in the first code span of each row of a table whose head has `options`.
fn rows_of_options(page: &str) -> Vec<Vec<String>> {
    let tail = page.split("| row | options |").nth(1).unwrap_or_default();
    let rows = tail
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let spans = rows.filter_map(|row| row.split('`').nth(1));
    spans.map(words).filter(|row| !row.is_empty()).collect()
}

/// Every option that a page names by itself, with its value: `--epochs 70`.
fn options(page: &str) -> Vec<Vec<String>> {
    let spans = page.split('`').skip(1).step_by(2);
    let alone = spans.filter(|span| span.starts_with("--") && span.split_whitespace().count() <= 2);
    alone.map(words).collect()
}

#[test]
fn a_wrong_option_would_be_noticed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for wrong in [
        "train $IMAGENET --no-such-option",
        "train $IMAGENET --preset Z",
        "no-such-verb",
        "evaluate --data",
    ] {
        assert!(is_refused(&run(&words(wrong), folder.path())), "{wrong}");
    }
    assert_eq!(
        commands(
            "Say `casm info` or\n```\nfor x; do\n  casm stats --model a \\\n    --json # b\n```"
        ),
        [vec!["info"], vec!["stats", "--model", "a", "--json"]]
    );
}

#[test]
fn the_page_names_commands_that_there_are() {
    let commands = commands(PAGE);
    for verb in [
        "import",
        "train",
        "train-classifier",
        "evaluate",
        "confuse",
        "visualize",
        "stats",
        "split-classes",
    ] {
        let used = commands.iter().any(|command| command[0] == verb);
        assert!(used, "docs/reproduce.md has no casm {verb}");
    }
    check("docs/reproduce.md", &commands);
}

#[test]
fn the_rows_of_table_2_are_eleven_and_their_options_exist() {
    let mut rows = rows_of_options(PAGE);
    assert_eq!(rows.len(), 11, "{rows:?}");
    for row in &mut rows {
        row.splice(0..0, ["train".to_owned(), "$IMAGENET".to_owned()]);
    }
    check("docs/reproduce.md, Table 2", &rows);
}

/// Those that are described outside of a command line are options of `casm train` or `casm evaluate`, and
/// their values are accepted.
#[test]
fn options_that_are_described_exist() {
    let described = options(PAGE);
    assert!(described.len() > 30, "{described:?}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let known = ["train", "evaluate"].map(|verb| {
        let help = run(&words(&format!("{verb} --help")), folder.path());
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let options = help.split_whitespace().map(str::to_owned);
        options.collect::<BTreeSet<String>>()
    });
    // All of train's in one go, as the last of several counts; starting the program takes longest.
    let mut all = words("train nowhere");
    let mut single = Vec::new();
    for option in described {
        let known = known.each_ref().map(|known| known.contains(&option[0]));
        assert!(known.contains(&true), "{option:?} is no option");
        match (known, option.len()) {
            ([true, _], 2) => all.extend(option),
            ([false, _], 2) => single.push([words("evaluate --data nowhere"), option].concat()),
            _ => {}
        }
    }
    single.push(all);
    check("docs/reproduce.md, single options", &single);
}

#[test]
fn the_readme_names_commands_that_there_are() {
    let commands = commands(README);
    assert!(commands.len() > 8, "{commands:?}");
    check("README.md", &commands);
}

/// `DRY=1` prints the commands of `make reproduce-small`: for each row of Tables 2 and 3 a training and an
/// evaluation, for those of Table 3 a classifier as well.
#[test]
fn the_small_reproduction_runs_commands_that_there_are() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/reproduce_small.sh");
    let output = Command::new(script)
        .env("DRY", "1")
        .env("CASM_TEST_DATA", "/nowhere")
        .env_remove("STEPS")
        .output()
        .expect("the script starts");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let commands: Vec<_> = printed
        .lines()
        .filter_map(|line| Some(words(line.strip_prefix("casm ")?)))
        .collect();
    let count = |verb: &str| commands.iter().filter(|command| command[0] == verb).count();
    assert_eq!(count("train"), 11 + 6);
    assert_eq!(count("train-classifier"), 6);
    assert_eq!(count("evaluate"), 11 + 6 + 1);
    check("scripts/reproduce_small.sh", &commands);
}
