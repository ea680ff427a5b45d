use super::*;

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn message(outcome: anyhow::Result<impl Sized>) -> String {
    format!("{:#}", outcome.err().unwrap())
}

#[test]
fn classes_match_by_wordnet_id_or_else_by_name() {
    let model = strings(&[
        "n00000001 tench, Tinca tinca",
        "cat",
        "n00000003",
        "big dog",
    ]);
    let map = |names: &[&str]| ClassMap::new(&strings(names), &model);
    let found = map(&["big dog", "n00000003 words", "n00000001", "cat"]).unwrap();
    assert_eq!([0, 1, 2, 3].map(|class| found.index(class)), [3, 2, 0, 1]);
    // Not an id: eight digits it must have.
    assert!(map(&["n0000003"]).is_err());
    assert!(map(&["tench, Tinca tinca"]).is_err());

    let many: Vec<_> = (0..13).map(|number| format!("class {number:02}")).collect();
    let message = message(ClassMap::new(&many, &model));
    assert!(message.contains("'class 00', "), "{message}");
    assert!(message.contains("'class 09' and 3 more"), "{message}");
}

#[test]
fn a_name_that_two_classes_of_the_model_have_is_refused() {
    // As ILSVRC's two cranes, without their ids.
    let model = strings(&["crane", "cat", "crane"]);
    assert!(ClassMap::new(&strings(&["cat"]), &model).is_ok());
    let message = message(ClassMap::new(&strings(&["crane"]), &model));
    assert!(message.contains("2 classes 'crane'"), "{message}");
}

#[test]
fn a_class_list_has_comments_and_an_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.txt");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_class_list(&path)
    };
    let text = "# mine\n zebra # striped\n\nn00000001 tench\r\ncat\n";
    assert_eq!(read(text).unwrap(), ["zebra", "n00000001 tench", "cat"]);
    assert!(message(read("# nothing\n\n")).contains("no class"));
    let twice = message(read("n00000001\nn00000001 tench\n"));
    assert!(
        twice.contains("twice") && twice.contains("list.txt"),
        "{twice}"
    );
    assert!(message(read_class_list(&folder.path().join("absent"))).contains("absent"));
}

#[test]
fn a_choice_is_names_or_subsets_of_a_file() {
    assert_eq!(read_choice("a, b,c").unwrap(), ["a", "b", "c"]);
    assert!(message(read_choice(" ,")).contains("no class"));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("split.json");
    std::fs::write(&path, r#"{"A": ["x"], "B": ["y", "z"], "C": ["w"]}"#).unwrap();
    let choose = |names: &str| read_choice(&format!("{}{names}", path.display()));
    assert_eq!(choose(":B,A").unwrap(), ["y", "z", "x"]);
    let none = message(choose(""));
    assert!(
        none.contains("names no subset") && none.contains("'A', 'B', 'C'"),
        "{none}"
    );
    assert!(message(choose(":A,Q")).contains("no subset 'Q'"));
    std::fs::write(&path, "[1]").unwrap();
    assert!(message(choose(":A")).contains("split-classes"));
}
