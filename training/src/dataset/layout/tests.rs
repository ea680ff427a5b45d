use super::*;

/// `name class` of every picture of `split`, or why there is none.
fn labels(names: &[&str], split: Split) -> Result<Option<Vec<String>>, String> {
    let members: Vec<_> = names
        .iter()
        .map(|name| Member {
            archive: 0,
            stem: None,
            name,
            around: 0,
        })
        .collect();
    let annotations = |_: &Member| Ok(b"x.JPEG\tn2\t0\t0\t5\t5\ny.JPEG\tn1\t1\t1\t2\t2\n".to_vec());
    let labelled = label(&members, split, annotations).map_err(|error| format!("{error:#}"))?;
    Ok(labelled.map(|labelled| {
        let pictures = labelled.pictures.iter();
        pictures
            .map(|(member, class)| format!("{} {class}", member.name))
            .collect()
    }))
}

fn train(names: &[&str]) -> Vec<String> {
    labels(names, Split::Train).unwrap().unwrap()
}

#[test]
fn classes_are_the_folders_below_train_or_the_root() {
    let divided = [
        "set/train/a/1.jpg",
        "set/train/b/sub/2.PNG",
        "set/val/a/3.webp",
        "set/x.csv",
    ];
    assert_eq!(
        train(&divided),
        ["set/train/a/1.jpg a", "set/train/b/sub/2.PNG b"]
    );
    let validation = labels(&divided, Split::Validation).unwrap().unwrap();
    assert_eq!(validation, ["set/val/a/3.webp a"]);
    // Not divided: the same for both, as someone may name a folder of validation pictures.
    let plain = ["a/1.jpg", "b/2.jpg", "b/.hidden.jpg", "__MACOSX/b/2.jpg"];
    assert_eq!(train(&plain), ["a/1.jpg a", "b/2.jpg b"]);
    assert_eq!(labels(&plain, Split::Validation).unwrap().unwrap().len(), 2);
    assert_eq!(labels(&divided[..2], Split::Validation), Ok(None));
    assert_eq!(labels(&divided[2..], Split::Train), Ok(None));
}

#[test]
fn folders_around_everything_are_no_class_but_a_single_class_is() {
    assert_eq!(
        train(&["x/y/a/1.jpg", "x/y/b/2.jpg"]),
        ["x/y/a/1.jpg a", "x/y/b/2.jpg b"]
    );
    assert_eq!(train(&["a/1.jpg", "a/2.jpg"]), ["a/1.jpg a", "a/2.jpg a"]);
    assert_eq!(
        train(&["x/a/1.jpg", "x/a/2.jpg"]),
        ["x/a/1.jpg a", "x/a/2.jpg a"]
    );
    assert_eq!(train(&["a/images/1.jpg"]), ["a/images/1.jpg a"]);
}

#[test]
fn tiny_imagenet_is_read_as_shipped() {
    let names = [
        "t/wnids.txt",
        "t/train/n1/images/n1_0.JPEG",
        "t/train/n1/n1_boxes.txt",
        "t/val/images/x.JPEG",
        "t/val/images/y.JPEG",
        "t/val/val_annotations.txt",
    ];
    assert_eq!(train(&names), ["t/train/n1/images/n1_0.JPEG n1"]);
    let validation = labels(&names, Split::Validation).unwrap().unwrap();
    assert_eq!(
        validation,
        ["t/val/images/x.JPEG n2", "t/val/images/y.JPEG n1"]
    );
    let more = [&names[..], &["t/val/images/z.JPEG"]].concat();
    let error = labels(&more, Split::Validation).unwrap_err();
    assert!(error.contains("no line for 'z.JPEG'"), "{error}");
}

#[test]
fn other_layouts_are_refused_with_a_reason() {
    for (names, expected) in [
        (&["readme.txt"][..], "no pictures"),
        (&["1.jpg", "2.jpg"], "'1.jpg' lies in no class"),
        (&["s/class_labels.txt", "s/images/1.jpg"], "casm evaluate"),
    ] {
        let error = labels(names, Split::Train).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_surrounds_train_is_each_archives_own() {
    assert_eq!(around(&["set/train/a/1.jpg", "set/val/a/2.jpg"]), 4);
    assert_eq!(around(&["train/a/1.jpg"]), 0);
    assert_eq!(around(&["a/1.jpg", "b/2.jpg"]), 0);
    assert_eq!(around(&["x/train/a/1.jpg", "y/train/a/1.jpg"]), 0);
}
