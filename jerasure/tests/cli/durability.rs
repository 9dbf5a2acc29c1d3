//! What stays after a crash, a failing disk and changes in between: a whole encoding, the new one or the old one.

use std::fs;

use crate::hook::Sync;
use crate::sandbox::{Sandbox, pieces};

/// The name and the names of each.
fn shown(syncs: &[Sync]) -> Vec<(&str, Vec<&str>)> {
    syncs
        .iter()
        .map(|sync| {
            let names = sync.names.iter().map(String::as_str).collect();
            (sync.name.as_str(), names)
        })
        .collect()
}

#[test]
fn files_are_on_the_disk_before_they_get_their_names_and_the_metadata_comes_last() {
    let sandbox = Sandbox::with("a.txt", 1000);
    let syncs = sandbox.syncs("encode a.txt -k 2 -m 1");
    let root = sandbox.path("");
    let root = root.file_name().unwrap().to_str().unwrap();
    let temporary = vec![".part"; 4];
    let without_metadata = vec![".part", "a_k1.txt", "a_k2.txt", "a_m1.txt"];
    let all = vec!["a_k1.txt", "a_k2.txt", "a_m1.txt", "a_meta.txt"];
    let beside = vec!["Coding", "a.txt", "syncs.log"];
    let mut expected = vec![(".part", temporary); 4];
    // The folder is new, and its own name is in its parent.
    expected.extend([("Coding", without_metadata), (root, beside.clone())]);
    expected.extend([("Coding", all), (root, beside)]);
    assert_eq!(shown(&syncs), expected);
}

#[test]
fn decoded_and_repaired_files_are_forced_to_the_disk() {
    let sandbox = Sandbox::with("a.txt", 1000);
    sandbox.succeed("encode a.txt -k 2 -m 1");
    fs::remove_file(sandbox.path("Coding/a_k1.txt")).unwrap();
    fs::create_dir(sandbox.path("new")).unwrap();
    let syncs = sandbox.syncs("decode Coding -o new/out");
    assert_eq!(
        shown(&syncs),
        [(".part", vec![".part"]), ("new", vec!["out"])]
    );
    let syncs = sandbox.syncs("repair Coding");
    let before = vec![".part", "a_k2.txt", "a_m1.txt", "a_meta.txt"];
    let after = vec!["a_k1.txt", "a_k2.txt", "a_m1.txt", "a_meta.txt"];
    assert_eq!(shown(&syncs), [(".part", before), ("Coding", after)]);
}

#[test]
fn the_old_encoding_is_there_until_the_new_one_is() {
    let sandbox = Sandbox::with("a.txt", 1000);
    for (old, new) in [((10, 2), (3, 2)), ((3, 2), (4, 1)), ((4, 1), (4, 1))] {
        let line = |(k, m)| format!("encode a.txt -k {k} -m {m} --force");
        sandbox.succeed(&line(old));
        let before: Vec<String> = sandbox.files("Coding").into_keys().collect();
        let syncs = sandbox.syncs(&line(new));
        assert!(!syncs.is_empty());
        for sync in &syncs {
            for name in &before {
                assert!(sync.names.contains(name), "{name}: {sync:?}");
            }
        }
        // The pieces' own, and the folder once with and once without the metadata.
        let (files, folder) = (new.0 + new.1 + 1, 2);
        assert_eq!(syncs.len(), files + folder);
        let mut expected = pieces("a", ".txt", new.0, new.1);
        expected.push("a_meta.txt".into());
        assert!(sandbox.files("Coding").into_keys().eq(expected));
        sandbox.succeed("verify Coding");
    }
}

#[test]
fn a_file_that_cannot_be_placed_takes_the_others_back() {
    // Pieces are placed in order: some are in their places then.
    for place in ["a_m1.txt", "a_meta.txt"] {
        let sandbox = Sandbox::with("a.txt", 1000);
        let folder = format!("mkdir Coding/{place}");
        let hook = [("HOOK_AT", "fsync"), ("HOOK_RUN", folder.as_str())];
        let ran = sandbox.hooked("encode a.txt -k 2 -m 1", &hook);
        assert_eq!(ran.status, Some(1));
        assert!(
            ran.stderr
                .starts_with(&format!("jerasure: cannot create Coding/{place}: ")),
            "{}",
            ran.stderr
        );
        assert!(sandbox.files("Coding").is_empty());
    }
}

#[test]
fn a_file_that_cannot_be_replaced_brings_the_old_ones_back() {
    // Where files may have two names, and where they may not.
    for links in ["yes", "no"] {
        for place in ["a_m1.txt", "a_meta.txt"] {
            let sandbox = Sandbox::with("a.txt", 1000);
            sandbox.succeed("encode a.txt -k 2 -m 1");
            let mut before = sandbox.files("Coding");
            let folder = format!("rm Coding/{place} && mkdir Coding/{place}");
            let hook = [
                ("HOOK_AT", "fsync"),
                ("HOOK_RUN", folder.as_str()),
                ("HOOK_LINKS", links),
            ];
            fs::write(sandbox.path("a.txt"), "another").unwrap();
            let ran = sandbox.hooked("encode a.txt -k 2 -m 1 --force", &hook);
            assert_eq!(ran.status, Some(1));
            assert_eq!(
                ran.stderr,
                format!("jerasure: Coding/{place} is a folder: remove it\n")
            );
            before.remove(place);
            assert_eq!(sandbox.files("Coding"), before);

            fs::remove_dir(sandbox.path("Coding").join(place)).unwrap();
            let ran = sandbox.hooked("encode a.txt -k 2 -m 1 --force", &hook[2..]);
            assert_eq!(ran.status, Some(0));
            assert_eq!(sandbox.files("Coding").len(), 4);
            sandbox.succeed("decode Coding -o out");
            assert_eq!(sandbox.read("out"), b"another");
        }
    }
}

#[test]
fn repair_that_cannot_place_a_piece_leaves_what_was_there() {
    let sandbox = Sandbox::with("a.txt", 1000);
    sandbox.succeed("encode a.txt -k 2 -m 2");
    fs::write(sandbox.path("Coding/a_k1.txt"), "short").unwrap();
    fs::remove_file(sandbox.path("Coding/a_k2.txt")).unwrap();
    let before = sandbox.files("Coding");
    let hook = [("HOOK_AT", "fsync"), ("HOOK_RUN", "mkdir Coding/a_k2.txt")];
    let ran = sandbox.hooked("repair Coding", &hook);
    assert_eq!(
        (ran.status, ran.stderr.as_str()),
        (
            Some(1),
            "jerasure: Coding/a_k2.txt is a folder: remove it\n"
        )
    );
    assert_eq!(sandbox.files("Coding"), before);
}

#[test]
fn a_disk_that_fails_leaves_what_was_there() {
    let sandbox = Sandbox::with("a.txt", 1000);
    let hook = |at, errno| [("HOOK_AT", at), ("HOOK_ERRNO", errno)];
    for (at, what) in [
        ("fsync:.part", "cannot write Coding/a_k1.txt"),
        ("fsync:Coding", "cannot force Coding to the disk"),
    ] {
        let error = format!("jerasure: {what}: Input/output error (os error 5)\n");
        let ran = sandbox.hooked("encode a.txt -k 2 -m 1", &hook(at, "5"));
        assert_eq!((ran.status, &ran.stderr), (Some(1), &error));
        assert!(!sandbox.path("Coding").exists());

        sandbox.succeed("encode a.txt -k 2 -m 1");
        let before = sandbox.files("Coding");
        let ran = sandbox.hooked("encode a.txt -k 3 -m 1 --force", &hook(at, "5"));
        assert_eq!((ran.status, &ran.stderr), (Some(1), &error));
        assert_eq!(sandbox.files("Coding"), before);
        fs::remove_dir_all(sandbox.path("Coding")).unwrap();
    }
    // Some file systems cannot do it (EINVAL), which is no failure.
    let ran = sandbox.hooked("encode a.txt -k 2 -m 1", &hook("fsync", "22"));
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    sandbox.succeed("verify Coding");
}

#[test]
fn a_file_that_changes_while_it_is_encoded_is_refused() {
    // Of another length, and of another time alone.
    for change in ["echo more >> a.txt", "touch -d 2001-02-03 a.txt"] {
        let sandbox = Sandbox::with("a.txt", 1000);
        let hook = [("HOOK_AT", "fsync"), ("HOOK_RUN", change)];
        let ran = sandbox.hooked("encode a.txt -k 2 -m 1", &hook);
        assert_eq!(
            (ran.status, ran.stderr.as_str()),
            (
                Some(1),
                "jerasure: a.txt changed while it was encoded: encode it again\n"
            )
        );
        assert!(!sandbox.path("Coding").exists());
    }
}

#[test]
fn files_are_what_they_are_when_opened() {
    let sandbox = Sandbox::with("a.txt", 1000);
    sandbox.succeed("encode a.txt -k 2 -m 1");
    let piece = "Coding/a_k1.txt";
    let whole = sandbox.read(piece);
    for (change, why) in [
        (
            "rm Coding/a_k1.txt && mkfifo Coding/a_k1.txt",
            "cannot be used (not a regular file)",
        ),
        (
            "echo more >> Coding/a_k1.txt",
            "is too long (517 bytes instead of 512)",
        ),
    ] {
        let hook = [("HOOK_AT", "open:a_k1.txt"), ("HOOK_RUN", change)];
        let ran = sandbox.hooked("decode Coding -o out", &hook);
        let warning = format!("jerasure: warning: {piece} {why} and counts as missing\n");
        assert_eq!((ran.status, ran.stderr), (Some(0), warning));
        assert_eq!(sandbox.read("out"), sandbox.read("a.txt"));
        fs::remove_file(sandbox.path(piece)).unwrap();
        fs::write(sandbox.path(piece), &whole).unwrap();
    }
    for (at, line, error) in [
        (
            "a.txt",
            "encode a.txt -k 2 -m 1 -o other",
            "cannot open a.txt: not a regular file",
        ),
        (
            "Coding/a_meta.txt",
            "verify Coding",
            "cannot use the metadata Coding/a_meta.txt: not a regular file",
        ),
    ] {
        let (moment, change) = (format!("open:{at}"), format!("rm {at} && mkfifo {at}"));
        let hook = [("HOOK_AT", moment.as_str()), ("HOOK_RUN", &change)];
        let ran = sandbox.hooked(line, &hook);
        assert_eq!(
            (ran.status, ran.stderr),
            (Some(1), format!("jerasure: {error}\n"))
        );
    }
}
