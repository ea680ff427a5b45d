//! Small pictures, small networks with made-up weights, and the command that looks at both.

use std::path::PathBuf;
use std::process::{Command, Output};

use casm::Header;
use casm::checkpoint::{NamedTensor, Storage, serialize};
use casm::network::{Block, EncoderConfig, NetworkConfig, ResnetConfig};
use casm_tests::golden::rule;
use casm_tests::program;
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// Side of the networks' input and of the pictures: nothing is resized.
pub const SIDE: u32 = 64;
/// Classes of networks and pictures, four pictures each.
pub const CLASSES: [&str; 3] = ["red ball", "green ball", "blue ball"];
pub const PICTURES: usize = 12;

/// Pictures in a folder a class, and checkpoints beside them.
pub struct Fixture {
    folder: TempDir,
}

impl Fixture {
    pub fn new() -> Fixture {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let fixture = Fixture { folder };
        for (index, class) in CLASSES.iter().enumerate() {
            let folder = fixture.at("data").join(class);
            std::fs::create_dir_all(&folder).expect("writable");
            for number in 0..4 {
                let path = folder.join(format!("{number}.png"));
                ball(index, number).save(path).expect("writable");
            }
        }
        std::fs::create_dir(fixture.at("judges")).expect("writable");
        std::fs::write(
            fixture.at("model.safetensors"),
            checkpoint("classifier", true),
        )
        .expect("writable");
        for judge in ["confuser", "third"] {
            let path = fixture.at("judges").join(format!("{judge}.safetensors"));
            std::fs::write(path, checkpoint(judge, false)).expect("writable");
        }
        fixture
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `casm` with these arguments, in which `@name` stands for a path in the folder.
    pub fn casm(&self, arguments: &str) -> Output {
        let arguments = arguments.split_whitespace().map(|argument| {
            let (before, name) = argument.split_once('@').unwrap_or((argument, ""));
            match argument.contains('@') {
                true => format!("{before}{}", self.at(name).display()),
                false => argument.to_owned(),
            }
        });
        Command::new(program("casm"))
            .args(arguments)
            .args(["--device", "cpu", "--threads", "1"])
            .output()
            .expect("casm is built")
    }

    /// [`Fixture::casm`], with what it prints if it ends with another code.
    pub fn ends_with(&self, code: i32, arguments: &str) -> (String, String) {
        let output = self.casm(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments}: {out}{error}"
        );
        (out, error)
    }
}

/// A ball of a class's colour on grainy ground.
pub fn ball(class: usize, number: u32) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let (dx, dy) = (x as i32 - 20 - 6 * number as i32, y as i32 - 30);
        let grain = rule::u8("figure.ground", u64::from(y * SIDE + x)) / 4;
        let mut color = [80 + grain; 3];
        if dx * dx + dy * dy < 200 {
            color[class] = 250;
        }
        Rgb(color)
    })
}

/// A residual network of four blocks; `name` decides its weights (the rule of the golden files).
pub fn checkpoint(name: &str, decoder: bool) -> Vec<u8> {
    let mut header = Header::new(NetworkConfig::new(EncoderConfig::Resnet(ResnetConfig {
        blocks: [1; 4],
        block: Block::Basic,
        ..ResnetConfig::resnet18(CLASSES.len())
    })));
    header.input.size = SIDE;
    header.classes = CLASSES.map(str::to_owned).to_vec();
    if !decoder {
        header.network.decoder = None;
    }
    let parameters = header.network.network().parameters();
    let tensors: Vec<NamedTensor> = parameters
        .into_iter()
        .map(|parameter| NamedTensor {
            values: rule::fill(&format!("{name}.{}", parameter.name), &parameter.shape),
            name: parameter.name,
            shape: parameter.shape,
        })
        .collect();
    serialize(&header, &tensors, Storage::F16).expect("complete")
}
