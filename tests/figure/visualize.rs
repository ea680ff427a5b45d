//! `casm visualize`: sheets and gallery.

use std::collections::BTreeSet;

use image::RgbImage;
use serde_json::Value;

use crate::fixture::{CLASSES, Fixture, SIDE, ball};

/// Pixels between pictures, and between the blocks of two models.
const GAP: u32 = 4;
const BLOCK_GAP: u32 = 20;

fn lines(out: &str) -> Vec<Value> {
    let lines = out.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// The picture in a column and row of a sheet's first block.
fn tile(sheet: &RgbImage, column: u32, row: u32) -> RgbImage {
    let (x, y) = (GAP + column * (SIDE + GAP), GAP + row * (SIDE + GAP));
    image::imageops::crop_imm(sheet, x, y, SIDE, SIDE).to_image()
}

fn open(line: &Value) -> RgbImage {
    let file = line["file"].as_str().expect("a path");
    image::open(file).expect("written").into_rgb8()
}

#[test]
fn a_sheet_shows_each_picture_and_what_is_masked_of_it() {
    let fixture = Fixture::new();
    let arguments = "visualize --model @model.safetensors --data @data --out @out --columns 5 --plots 4 --resize stretch";
    let (out, error) = fixture.ends_with(0, arguments);
    // Twelve pictures are two sheets of five and one of two.
    assert!(error.contains("3 of 4 sheets"), "{error}");
    let lines = lines(&out);
    let mut seen = BTreeSet::new();
    for (line, columns) in lines.iter().zip([5, 5, 2]) {
        let sheet = open(line);
        let size = |pictures: u32| pictures * (SIDE + GAP) + GAP;
        assert_eq!(sheet.dimensions(), (size(columns), size(4)));
        let names = line["pictures"].as_array().expect("names");
        assert_eq!(names.len(), columns as usize);
        for (column, name) in names.iter().enumerate() {
            let name = name.as_str().expect("a name");
            seen.insert(name.to_owned());
            let original = image::open(fixture.at("data").join(name))
                .expect("there")
                .into_rgb8();
            let [shown, kept, taken, filled] =
                [0, 1, 2, 3].map(|row| tile(&sheet, column as u32, row));
            assert!(shown == original, "{name}");
            // 0.35 · 255.
            let grey = image::Rgb([89; 3]);
            let mut marked = 0;
            for (x, y, &pixel) in original.enumerate_pixels() {
                let (kept, taken) = (*kept.get_pixel(x, y), *taken.get_pixel(x, y));
                let is_marked = kept == pixel;
                assert_eq!(
                    (kept, taken),
                    if is_marked {
                        (pixel, grey)
                    } else {
                        (grey, pixel)
                    }
                );
                marked += u32::from(is_marked);
                // Inpainting leaves alone what is not marked.
                assert!(is_marked || *filled.get_pixel(x, y) == pixel, "{name}");
            }
            assert!(marked > 0 && marked < SIDE * SIDE, "{name}: {marked}");
            assert!(filled != taken, "{name}");
        }
    }
    assert_eq!((lines.len(), seen.len()), (3, 12));
    // The same seed chooses the same pictures, another one others.
    assert_eq!(fixture.ends_with(0, arguments).0, out);
    assert_ne!(
        fixture.ends_with(0, &format!("{arguments} --seed 7")).0,
        out
    );
}

#[test]
fn two_models_are_shown_side_by_side_and_rows_can_be_left_out() {
    let fixture = Fixture::new();
    let other = crate::fixture::checkpoint("other", true);
    std::fs::write(fixture.at("other.safetensors"), other).expect("writable");
    let (out, _) = fixture.ends_with(
        0,
        "visualize --model @model.safetensors --compare @other.safetensors --data @data --out @out \
         --columns 2 --inpaint none --fill black --resize stretch",
    );
    let line = &lines(&out)[0];
    assert_eq!(line["models"], serde_json::json!(["model", "other"]));
    assert_eq!(
        line["rows"],
        serde_json::json!(["picture", "masked-in", "masked-out"])
    );
    let sheet = open(line);
    let block = 2 * (SIDE + GAP) - GAP;
    assert_eq!(
        sheet.dimensions(),
        (
            GAP + block + BLOCK_GAP + block + GAP,
            3 * (SIDE + GAP) + GAP
        )
    );
    // The same pictures, other masks.
    let second = image::imageops::crop_imm(&sheet, block + BLOCK_GAP, 0, block, sheet.height());
    let second = second.to_image();
    assert!(tile(&sheet, 0, 0) == tile(&second, 0, 0));
    assert!(tile(&sheet, 0, 1) != tile(&second, 0, 1));
}

#[test]
fn a_class_can_be_chosen() {
    let fixture = Fixture::new();
    // The classes have spaces, arguments here do not.
    std::fs::rename(fixture.at("data/green ball"), fixture.at("data/n01440764")).expect("there");
    for class in ["n01440764", "N01440764"] {
        let (out, _) = fixture.ends_with(
            0,
            &format!(
                "visualize --model @model.safetensors --data @data --out @out --class {class}"
            ),
        );
        let names = lines(&out)[0]["pictures"].clone();
        let names = names.as_array().expect("names").clone();
        assert_eq!(names.len(), 4);
        let of_class = |name: &Value| {
            name.as_str()
                .is_some_and(|name| name.starts_with("n01440764/"))
        };
        assert!(names.iter().all(of_class), "{names:?}");
    }
    // By the name that the built-in model has for it.
    std::fs::remove_dir_all(fixture.at("data/red ball")).expect("there");
    std::fs::remove_dir_all(fixture.at("data/blue ball")).expect("there");
    let (out, _) = fixture.ends_with(
        0,
        "visualize --data @data --out @out --class TENCH --columns 1",
    );
    assert_eq!(lines(&out).len(), 1);
}

/// Heading, file, and the rows of term and text.
type ExhibitText = (String, String, Vec<(String, String)>);

/// The attributes `src` and the facts of a gallery's pictures: heading, file, term → text.
fn exhibits(html: &str) -> Vec<ExhibitText> {
    let (_, body) = html.split_once('\n').expect("lines");
    let document = roxmltree::Document::parse(body).expect("well-formed");
    let mut found = Vec::new();
    let mut heading = String::new();
    for node in document.descendants() {
        if node.has_tag_name("h2") {
            heading = node.text().expect("a text").to_owned();
        }
        if node.has_tag_name("figure") {
            let of = |tag: &'static str| {
                node.descendants()
                    .filter(move |node| node.has_tag_name(tag))
            };
            let image = of("img").next().expect("a picture");
            let text = |node: roxmltree::Node<'_, '_>| node.text().unwrap_or_default().to_owned();
            let facts = of("dt").map(text).zip(of("dd").map(text)).collect();
            let file = image.attribute("src").expect("a file").to_owned();
            found.push((heading.clone(), file, facts));
        }
    }
    assert!(!html.contains("http"), "it needs no network");
    found
}

#[test]
fn without_boxes_the_gallery_is_ordered_by_confidence() {
    let fixture = Fixture::new();
    let hostile = "<b>&\"'.png";
    ball(2, 9)
        .save(fixture.at("data/blue ball").join(hostile))
        .expect("writable");
    fixture.ends_with(
        0,
        "visualize --model @model.safetensors --data @data --out @out --plots 0 --gallery --cases 20",
    );
    let html = std::fs::read_to_string(fixture.at("out/index.html")).expect("written");
    assert!(
        html.contains("&lt;b&gt;&amp;&quot;&#39;.png") && !html.contains("<b>"),
        "{html}"
    );
    assert!(html.contains("by confidence"), "{html}");
    let exhibits = exhibits(&html);
    // Thirteen pictures, each once: seven best and six worst.
    assert_eq!(exhibits.len(), 13);
    assert_eq!(
        exhibits
            .iter()
            .filter(|exhibit| exhibit.0 == "7 best")
            .count(),
        7
    );
    let files: BTreeSet<_> = exhibits.iter().map(|exhibit| exhibit.1.as_str()).collect();
    assert_eq!(files.len(), 13);
    for file in files {
        let picture = image::open(fixture.at("out").join(file)).expect("written");
        assert_eq!(picture.width(), 2 * SIDE);
    }
    let confidence = |facts: &[(String, String)]| -> f64 {
        let fact = facts
            .iter()
            .find(|fact| fact.0 == "confidence")
            .expect("there");
        fact.1.parse().expect("a number")
    };
    let values: Vec<f64> = exhibits
        .iter()
        .map(|exhibit| confidence(&exhibit.2))
        .collect();
    assert!(
        values[..7].windows(2).all(|pair| pair[0] >= pair[1]),
        "{values:?}"
    );
    assert!(
        values[7..].windows(2).all(|pair| pair[0] <= pair[1]),
        "{values:?}"
    );
    assert!(values[6] >= values[12], "{values:?}");
    for (_, _, facts) in &exhibits {
        let terms: Vec<&str> = facts.iter().map(|fact| fact.0.as_str()).collect();
        assert_eq!(terms, ["predicted", "annotated", "confidence", "mask area"]);
        assert!(
            CLASSES.iter().any(|class| facts[0].1.starts_with(class)),
            "{facts:?}"
        );
    }
}

/// The same pictures with boxes: one is the whole picture, the others a single pixel in a corner.
#[test]
fn with_boxes_the_gallery_is_ordered_by_overlap() {
    let fixture = Fixture::new();
    let folder = fixture.at("boxed");
    std::fs::create_dir_all(folder.join("images")).expect("writable");
    let mut files = [const { String::new() }; 4];
    for number in 0..4 {
        let name = format!("{number}.png");
        ball(1, number)
            .save(folder.join("images").join(&name))
            .expect("writable");
        files[0] += &format!("{name}\n");
        files[1] += &format!("{name},1\n");
        // Annotated at twice the size: the picture is stored squashed.
        files[2] += &format!("{name},128,256\n");
        let corner = if number == 2 {
            "0,0,128,256"
        } else {
            "0,0,2,4"
        };
        files[3] += &format!("{name},{corner}\n");
    }
    let names = [
        "image_ids.txt",
        "class_labels.txt",
        "image_sizes.txt",
        "localization.txt",
    ];
    for (name, content) in names.iter().zip(&files) {
        std::fs::write(folder.join(name), content).expect("writable");
    }
    let out = fixture.at("out");
    fixture.ends_with(
        0,
        "visualize --model @model.safetensors --data @boxed --out @out --gallery --cases 1 --columns 2 \
         --resize stretch",
    );
    let html = std::fs::read_to_string(out.join("index.html")).expect("written");
    assert!(html.contains("by overlap"), "{html}");
    assert!(html.contains("aspect-ratio:128/256"), "{html}");
    let exhibits = exhibits(&html);
    assert_eq!(exhibits.len(), 2);
    let iou = |index: usize| -> f64 {
        let (term, text) = &exhibits[index].2[0];
        assert_eq!(term, "IoU");
        text.parse().expect("a number")
    };
    let best = html.split("<h2>").nth(1).expect("a section");
    assert!(
        best.contains("alt=\"images/2.png\""),
        "the whole picture is found best: {html}"
    );
    assert!(
        iou(0) > iou(1) && iou(1) <= 4096f64.recip() * 100.0,
        "{} {}",
        iou(0),
        iou(1)
    );
    assert!(out.join("sheet-01.png").is_file() && out.join("best-01.png").is_file());
}
