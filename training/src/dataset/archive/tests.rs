use super::*;
use crate::dataset::fixture::{gzip, write_folder};

/// Every thread of a loader reads from the same archive.
const fn shared<T: Send + Sync>() {}
const _: () = shared::<Archive>();

const LONG: &str = "a/rather/long/name/that/does/not/fit/into/the/hundred/bytes/which/the/header/of/a/\
                    file/in/a/tar/has/room/for.txt";

fn tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut append = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content).unwrap();
    };
    append("./b/two.txt", b"two");
    append("a.txt", b"first");
    append("b/empty", b"");
    append(LONG, b"long");
    append("a.txt", b"second");
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    tar.append_link(&mut link, "link.txt", "a.txt").unwrap();
    tar.into_inner().unwrap()
}

fn open(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<Archive> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    Archive::open(&path)
}

fn message(outcome: anyhow::Result<impl Sized>) -> String {
    format!("{:#}", outcome.err().unwrap())
}

#[test]
fn folder_tar_and_compressed_tar_look_the_same() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("folder");
    let files = [
        ("b/two.txt", "two"),
        ("a.txt", "second"),
        ("b/empty", ""),
        (LONG, "long"),
    ];
    write_folder(&folder, files.map(|(name, content)| (name, content.into())));
    for archive in [
        Archive::open(&folder).unwrap(),
        open(home.path(), "x.tar", &tar()).unwrap(),
        open(home.path(), "x.tgz", &gzip(&tar())).unwrap(),
    ] {
        let names: Vec<_> = archive.names().collect();
        assert_eq!(names, ["a.txt", LONG, "b/empty", "b/two.txt"]);
        assert_eq!(archive.read("a.txt").unwrap(), b"second");
        assert_eq!(archive.read(LONG).unwrap(), b"long");
        assert_eq!(archive.read("b/empty").unwrap(), b"");
        assert!(archive.contains("b/two.txt") && !archive.contains("./b/two.txt"));
        let absent = message(archive.read("link.txt"));
        assert!(absent.contains("'link.txt'"), "{absent}");
        let large = message(archive.read_within("a.txt", 5));
        assert!(large.contains("6 bytes"), "{large}");
    }
}

#[test]
fn what_is_cut_off_or_no_tar_is_named() {
    let home = tempfile::tempdir().unwrap();
    let (tar, packed) = (tar(), gzip(&tar()));
    // Blocks of 512 bytes: "./b/two.txt" has its header in block 0, its three bytes in block 1.
    for (bytes, expected) in [
        (&tar[..514], "ends inside of 'b/two.txt'"),
        (&tar[..1500], "truncated or damaged"),
        (&packed[..packed.len() / 2], "decompressing"),
        (&[7; 2048], "no tar"),
        (b"", "0 bytes"),
    ] {
        let message = message(open(home.path(), "cut.tar", bytes));
        assert!(
            message.contains(expected) && message.contains("cut.tar"),
            "{message}"
        );
    }
    let absent = home.path().join("absent.tar");
    assert!(format!("{:#}", Archive::open(&absent).err().unwrap()).contains("absent.tar"));
}

#[test]
fn a_large_compressed_tar_is_refused_with_the_remedy() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("x.tar.gz");
    std::fs::write(&path, gzip(&tar())).unwrap();
    let length = tar().len() as u64;
    assert!(Archive::open_within(&path, length).is_ok());
    let message = message(Archive::open_within(&path, length - 1));
    assert!(message.contains("gunzip"), "{message}");
}

#[test]
fn links_of_folders_are_followed_but_not_in_circles() {
    let home = tempfile::tempdir().unwrap();
    let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
    let (real, folder) = (home.path().join("real"), home.path().join("folder"));
    std::fs::create_dir_all(&real).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(real.join("x.txt"), "x").unwrap();
    link(real, folder.join("linked")).unwrap();
    link(folder.clone(), folder.join("circle")).unwrap();
    link(home.path().join("nowhere"), folder.join("broken")).unwrap();
    let archive = Archive::open(&folder).unwrap();
    assert_eq!(archive.names().collect::<Vec<_>>(), ["linked/x.txt"]);
}
