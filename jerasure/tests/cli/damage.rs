//! Lost, truncated and wrong pieces: decode, verify, repair.

use std::fs::{self, OpenOptions};
use std::path::Path;

use crate::sandbox::{Sandbox, corrupt, pieces};

const NAME: &str = "a.txt";

/// `Coding` with an encoding of `bytes` bytes.
fn encoded(bytes: usize, options: &str) -> Sandbox {
    let sandbox = Sandbox::with(NAME, bytes);
    sandbox.succeed(&format!("encode {NAME} {options}"));
    sandbox
}

fn resize(path: &Path, change: i64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let bytes = file.metadata().unwrap().len();
    file.set_len(bytes.checked_add_signed(change).unwrap())
        .unwrap();
}

#[test]
fn truncated_and_overlong_pieces_count_as_missing_with_a_warning() {
    // One read-in, where the pieces themselves tell their length, and several, where the metadata does.
    for options in ["-k 4 -m 2", "-k 4 -m 2 -b 1024"] {
        let sandbox = encoded(5000, options);
        resize(&sandbox.path("Coding/a_k2.txt"), -1);
        resize(&sandbox.path("Coding/a_m1.txt"), 64);
        let ran = sandbox.ours("decode Coding -o out");
        assert_eq!(ran.status, Some(0));
        let warnings: Vec<&str> = ran.stderr.lines().collect();
        assert_eq!(warnings.len(), 2, "{}", ran.stderr);
        assert!(warnings[0].starts_with("jerasure: warning: Coding/a_k2.txt is truncated ("));
        assert!(warnings[0].ends_with(") and counts as missing"));
        assert!(warnings[1].starts_with("jerasure: warning: Coding/a_m1.txt is too long ("));
        assert_eq!(sandbox.read("out"), sandbox.read(NAME));

        let before = sandbox.files("Coding");
        resize(&sandbox.path("Coding/a_k4.txt"), -1);
        let refused = sandbox.ours("decode Coding");
        assert_eq!(refused.status, Some(1));
        let error = refused.stderr.lines().last().unwrap();
        assert!(
            error.contains(
                "3 of 6 pieces are lost, and 2 can be made up for: a_k2.txt is truncated"
            ),
            "{error}"
        );
        assert!(sandbox.files("Coding").keys().eq(before.keys()));
    }
}

#[test]
fn pieces_that_are_folders_pipes_or_empty_count_as_missing() {
    let sandbox = encoded(5000, "-k 2 -m 3");
    let piece = |name: &str| sandbox.path("Coding").join(name);
    fs::remove_file(piece("a_k1.txt")).unwrap();
    fs::create_dir(piece("a_k1.txt")).unwrap();
    fs::write(piece("a_m1.txt"), "").unwrap();
    fs::remove_file(piece("a_m2.txt")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(piece("a_m2.txt"))
        .status()
        .unwrap();
    assert!(made.success());
    let ran = sandbox.ours("decode Coding -o out");
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("not a regular file").count(), 2);
    assert_eq!(sandbox.read("out"), sandbox.read(NAME));
}

#[test]
fn pieces_of_two_lengths_equally_many_are_refused() {
    let sandbox = encoded(5000, "-k 2 -m 2");
    for piece in ["Coding/a_k1.txt", "Coding/a_m2.txt"] {
        resize(&sandbox.path(piece), 64);
    }
    let error = sandbox.fail("decode Coding", 1);
    assert!(error.contains("are equally many"), "{error}");
}

#[test]
fn a_wrong_byte_is_noticed_and_its_piece_named() {
    for options in [
        "-k 4 -m 2",
        "-k 3 -m 3 -t cauchy_good -p 8",
        "-k 4 -m 2 -b 1024 -t liberation",
        "-k 3 -m 2 -w 5 -t cauchy_orig -p 3",
    ] {
        let sandbox = encoded(5000, options);
        let names: Vec<String> = sandbox
            .files("Coding")
            .into_keys()
            .filter(|name| !name.contains("meta"))
            .collect();
        for name in &names {
            let path = sandbox.path("Coding").join(name);
            let at = fs::metadata(&path).unwrap().len() as usize / 2;
            corrupt(&path, at);
            let error = sandbox.fail("verify Coding", 1);
            assert!(
                error.starts_with(&format!(
                    "Coding/a_meta.txt: {name} is wrong, first near byte "
                )),
                "{error}"
            );
            let error = sandbox.fail("decode Coding", 1);
            assert!(
                error.contains(&format!("{name} is wrong near byte")),
                "{error}"
            );
            assert!(!sandbox.path("Coding/a_decoded.txt").exists());
            let error = sandbox.fail("repair Coding", 1);
            assert!(
                error.starts_with("cannot repair Coding/a_meta.txt: "),
                "{error}"
            );
            // What the message says to do.
            fs::remove_file(&path).unwrap();
            sandbox.succeed("decode Coding -o out");
            assert_eq!(sandbox.read("out"), sandbox.read(NAME));
            sandbox.succeed("repair Coding");
            sandbox.succeed("verify Coding");
        }
        assert!(names.len() >= 5);
    }
}

#[test]
fn wrong_bytes_without_enough_spare_pieces_are_noticed_but_not_attributed() {
    let sandbox = encoded(5000, "-k 4 -m 2");
    fs::remove_file(sandbox.path("Coding/a_k1.txt")).unwrap();
    corrupt(&sandbox.path("Coding/a_k3.txt"), 3);
    let error = sandbox.fail("verify Coding", 1);
    assert_eq!(
        error,
        "Coding/a_meta.txt: a_k1.txt is missing; the pieces contradict each other, first near byte 3"
    );
    let error = sandbox.fail("decode Coding", 1);
    assert!(
        error.contains("contradict each other near byte 3, and it is not clear which"),
        "{error}"
    );
    let before = sandbox.files("Coding");
    sandbox.fail("repair Coding", 1);
    assert_eq!(sandbox.files("Coding"), before);
    // The user may still want what is there.
    sandbox.succeed("decode Coding --no-verify");
    assert!(sandbox.path("Coding/a_decoded.txt").exists());
}

#[test]
fn two_wrong_pieces_are_named_where_each_is_wrong_alone() {
    // Windows are checked apart, and a megabyte lies in another window.
    let sandbox = Sandbox::with(NAME, 9 << 20);
    sandbox.succeed(&format!("encode {NAME} -k 3 -m 2 -b 0"));
    corrupt(&sandbox.path("Coding/a_k1.txt"), 5);
    corrupt(&sandbox.path("Coding/a_m2.txt"), (3 << 20) - 1);
    let error = sandbox.fail("verify Coding", 1);
    assert_eq!(
        error,
        "Coding/a_meta.txt: a_k1.txt is wrong, first near byte 5; a_m2.txt is wrong, first near byte 3145727"
    );
}

#[test]
fn repair_makes_the_same_bytes_again() {
    for options in [
        "-k 3 -m 3",
        "-k 3 -m 3 -b 600 -w 16",
        "-k 3 -m 3 -t cauchy_good -p 16",
        "-k 2 -m 2 -t liber8tion",
    ] {
        let sandbox = encoded(5000, options);
        let before = sandbox.files("Coding");
        let m: usize = options[8..9].parse().unwrap();
        let names = pieces("a", ".txt", options[3..4].parse().unwrap(), m);
        for start in 0..names.len() - m {
            let lost = &names[start..][..m];
            for (index, name) in lost.iter().enumerate() {
                let path = sandbox.path("Coding").join(name);
                if index == 0 {
                    fs::write(path, "x").unwrap()
                } else {
                    fs::remove_file(path).unwrap()
                }
            }
            let said = sandbox.succeed("repair Coding");
            assert_eq!(said.lines().count(), m);
            assert_eq!(sandbox.files("Coding"), before);
        }
        assert_eq!(
            sandbox.succeed("repair Coding"),
            "Coding/a_meta.txt: nothing to repair\n"
        );
    }
}

#[test]
fn verify_says_what_it_cannot_know() {
    let sandbox = encoded(5000, "-k 4 -m 2");
    assert_eq!(
        sandbox.succeed("verify Coding"),
        "Coding/a_meta.txt: all 6 pieces are there and agree\n"
    );
    fs::remove_file(sandbox.path("Coding/a_k1.txt")).unwrap();
    assert_eq!(
        sandbox.fail("verify Coding", 1),
        "Coding/a_meta.txt: a_k1.txt is missing; the 5 others agree"
    );
    fs::remove_file(sandbox.path("Coding/a_m1.txt")).unwrap();
    assert_eq!(
        sandbox.fail("verify Coding", 1),
        "Coding/a_meta.txt: a_k1.txt is missing, a_m1.txt is missing; the 4 others cannot be checked, since none is spare"
    );
}

#[test]
fn a_large_block_is_decoded_in_windows() {
    // One read-in of 20 MB: blocks are larger than windows, in the file's order for a pipe, too.
    let sandbox = Sandbox::with(NAME, 20_000_003);
    sandbox.succeed(&format!("encode {NAME} -k 2 -m 2 --buffersize 0"));
    for lost in [
        vec![],
        vec!["a_k1.txt"],
        vec!["a_k2.txt", "a_m1.txt"],
        vec!["a_k1.txt", "a_k2.txt"],
    ] {
        let lost: Vec<String> = lost.into_iter().map(String::from).collect();
        sandbox.without("Coding", &lost, || {
            for options in ["", "--no-verify"] {
                let output = sandbox
                    .command()
                    .args(["decode", "Coding", "-o", "-"])
                    .args(options.split_whitespace())
                    .output()
                    .unwrap();
                assert!(output.status.success());
                assert!(output.stdout == sandbox.read(NAME), "without {lost:?}");
            }
        });
    }
}

#[test]
fn a_wrong_byte_in_a_large_block_is_noticed() {
    let sandbox = Sandbox::with(NAME, 30_000_000);
    sandbox.succeed(&format!("encode {NAME} -k 2 -m 2 -b 0"));
    // In a window that is not the first, of pieces that are and that are not the file's own bytes.
    for (name, at) in [("a_k2.txt", 14_000_000), ("a_m2.txt", 9_000_001)] {
        let path = sandbox.path("Coding").join(name);
        corrupt(&path, at);
        for line in ["decode Coding", "decode Coding -o /dev/null"] {
            let error = sandbox.fail(line, 1);
            let why =
                format!("{name} is wrong near byte {at}, if one piece alone is: move it away");
            assert!(error.contains(&why), "{error}");
        }
        assert!(!sandbox.path("Coding/a_decoded.txt").exists());
        corrupt(&path, at);
    }
    sandbox.succeed("decode Coding");
}
