//! What a user can do wrong: one clear line, the right exit status, and nothing left behind.

use std::fs;
use std::os::unix::fs::symlink;

use crate::sandbox::Sandbox;

#[test]
fn bad_parameters_are_usage_errors_and_leave_nothing() {
    let sandbox = Sandbox::with("a.txt", 1000);
    for (options, why) in [
        ("-k 0 -m 1", "use at least one data shard"),
        ("-k 1 -m 0", "use at least one"),
        ("-k 200 -m 100", "too many shards for w = 8"),
        ("-k 2 -m 2 -w 7", "w = 7 is not supported"),
        ("-k 2 -m 3 -t reed_sol_r6_op", "use m = 2"),
        ("-k 2 -m 2 -w 6 -t liberation", "w = 6"),
        ("-k 2 -m 2 -w 5 -t blaum_roth", "w = 5"),
        ("-k 9 -m 2 -t liber8tion", "at most 8 data shards"),
        ("-k 2 -m 2 -t cauchy_good -p 0", "packets of 0 bytes"),
        (
            "-k 2 -m 2 -t cauchy_good -p 4294967295",
            "packets of 4294967295 bytes",
        ),
    ] {
        let error = sandbox.fail(&format!("encode a.txt {options}"), 2);
        assert!(error.contains(why), "{options}: {error}");
    }
    for line in [
        "",
        "encode",
        "encode a.txt -k 2",
        "encode a.txt -k x -m 1",
        "decode",
        "explode",
        "encode a.txt -k 2 -m 1 -t no_coding",
    ] {
        assert_eq!(sandbox.ours(line).status, Some(2), "{line}");
    }
    assert_eq!(sandbox.files(".").len(), 1);
    assert!(!sandbox.path("Coding").exists());
}

#[test]
fn files_that_cannot_be_encoded() {
    let sandbox = Sandbox::with("a.txt", 1000);
    fs::create_dir(sandbox.path("folder")).unwrap();
    for (line, why) in [
        (
            "encode nothing -k 2 -m 1",
            "cannot open nothing: No such file",
        ),
        (
            "encode folder -k 2 -m 1",
            "cannot open folder: not a regular file",
        ),
        (
            "encode /dev/zero -k 2 -m 1",
            "cannot open /dev/zero: not a regular file",
        ),
        (
            "encode a.txt -k 2 -m 1 -o a.txt",
            "cannot make the folder a.txt",
        ),
        (
            "encode a.txt -k 2 -m 1 -o no/where",
            "cannot make the folder no/where",
        ),
    ] {
        let error = sandbox.fail(line, 1);
        assert!(error.contains(why), "{line}: {error}");
    }
    assert_eq!(sandbox.files(".").len(), 1);
}

#[test]
fn pieces_are_not_overwritten_without_force() {
    let sandbox = Sandbox::with("a.txt", 1000);
    sandbox.succeed("encode a.txt -k 10 -m 2");
    let before = sandbox.files("Coding");
    fs::write(sandbox.path("a.txt"), "another").unwrap();
    let error = sandbox.fail("encode a.txt -k 3 -m 2", 1);
    assert_eq!(
        error,
        "Coding/a_meta.txt is there already: choose another folder with -o, or replace it with --force"
    );
    // The metadata file has no extension of the file's, so another file's may be in its place.
    fs::write(sandbox.path("a.bin"), "").unwrap();
    sandbox.fail("encode a.bin -k 3 -m 2", 1);
    assert_eq!(sandbox.files("Coding"), before);

    sandbox.succeed("encode a.txt -k 3 -m 2 --force");
    let names: Vec<String> = sandbox.files("Coding").into_keys().collect();
    assert_eq!(
        names,
        [
            "a_k1.txt",
            "a_k2.txt",
            "a_k3.txt",
            "a_m1.txt",
            "a_m2.txt",
            "a_meta.txt"
        ]
    );
    sandbox.succeed("decode Coding -o out");
    assert_eq!(sandbox.read("out"), b"another");
}

#[test]
fn encodings_that_are_not_found() {
    let sandbox = Sandbox::with("a.txt", 1000);
    fs::create_dir(sandbox.path("empty")).unwrap();
    sandbox.succeed("encode a.txt -k 2 -m 1");
    fs::copy(
        sandbox.path("Coding/a_meta.txt"),
        sandbox.path("b_meta.txt"),
    )
    .unwrap();
    for (name, why) in [
        ("nowhere", "there is no encoding of nowhere"),
        ("empty", "empty holds no metadata file"),
        (
            "Coding/b",
            "neither Coding/b_meta.txt nor Coding/Coding/b_meta.txt is there",
        ),
        ("..", "holds no metadata file"),
        ("b_meta.txt", "no piece of b is in ."),
    ] {
        for command in ["decode", "verify", "repair"] {
            let error = sandbox.fail(&format!("{command} {name}"), 1);
            assert!(error.contains(why), "{command} {name}: {error}");
        }
    }
    fs::copy(sandbox.path("a.txt"), sandbox.path("c.txt")).unwrap();
    sandbox.succeed("encode c.txt -k 2 -m 1");
    let error = sandbox.fail("decode Coding", 1);
    assert_eq!(
        error,
        "Coding holds 2 metadata files: name one, such as Coding/a_meta.txt or Coding/c_meta.txt"
    );
    sandbox.succeed("decode Coding/c");
}

#[test]
fn metadata_that_lies_is_refused_and_leaves_nothing() {
    let sandbox = Sandbox::with("a.txt", 1000);
    sandbox.succeed("encode a.txt -k 3 -m 2 --buffersize 384");
    let meta = sandbox.path("Coding/a_meta.txt");
    let good = fs::read_to_string(&meta).unwrap();
    assert_eq!(good, "a.txt\n1000\n3 2 8 0 384\nreed_sol_van\n0\n3\n");
    let names = sandbox.files("Coding");
    for (from, to, why) in [
        ("1000", "1153", "contradict"),
        ("1000", "9223372036854775807", "contradict"),
        ("1000", "-5", "not a number"),
        ("3 2 8", "4 2 8", "a_k4.txt is missing"),
        ("3 2 8", "2 2 8", "2 can be made up for"),
        ("3 2 8", "12 2 8", "a_k01.txt is missing"),
        ("3 2 8", "30000 9000 16", "does not fit the code"),
        ("3 2 8 0 384", "3 2 8 0 192", "contradict"),
        (
            "1000\n3 2 8 0 384\nreed_sol_van\n0\n3",
            "9000000000000000000\n3 2 8 0 9000000000000000000\nreed_sol_van\n0\n1",
            "5 of 5 pieces are lost",
        ),
        (
            "1000\n3 2 8 0 384\nreed_sol_van\n0\n3",
            "18446744073709551615\n1 2 16 0 18446744073709551615\nreed_sol_van\n0\n1",
            "3 of 3 pieces are lost",
        ),
        ("reed_sol_van", "../../etc/passwd", "there is no technique"),
        ("reed_sol_van\n0", "cauchy_good\n3", "packets of 0 bytes"),
        (&*good, "", "is missing"),
    ] {
        let bad = good.replacen(from, to, 1);
        fs::write(&meta, &bad).unwrap();
        for command in ["decode", "verify", "repair"] {
            let ran = sandbox.ours(&format!("{command} Coding"));
            assert_eq!(ran.status, Some(1), "{bad:?}");
            let error = ran.stderr.lines().last().unwrap();
            assert!(error.starts_with("jerasure: "), "{error}");
            assert!(error.contains(why), "{bad:?}: {error}");
            assert!(sandbox.files("Coding").keys().eq(names.keys()));
        }
    }
    fs::write(&meta, vec![b'7'; 1 << 20]).unwrap();
    assert!(
        sandbox
            .fail("decode Coding", 1)
            .contains("larger than 16384 bytes")
    );
    // No path of the metadata is used.
    fs::write(&meta, good.replace("a.txt", "/etc/../a.sh")).unwrap();
    sandbox.succeed("decode Coding");
    assert_eq!(sandbox.read("Coding/a_decoded.txt"), sandbox.read("a.txt"));
}

#[test]
fn outputs_that_cannot_be_written() {
    let sandbox = Sandbox::with("a.txt", 100_000);
    sandbox.succeed("encode a.txt -k 3 -m 2");
    // The place of a lost piece is still its own.
    fs::remove_file(sandbox.path("Coding/a_m2.txt")).unwrap();
    symlink("Coding/a_m2.txt", sandbox.path("to_lost")).unwrap();
    symlink("no/where", sandbox.path("to_nowhere")).unwrap();
    symlink("circle", sandbox.path("circle")).unwrap();
    let before = sandbox.files("Coding");
    for (output, why) in [
        ("/dev/full", "No space left on device"),
        (".", "is a folder"),
        ("no/where", "cannot create a file in no"),
        ("Coding/a_k1.txt", "belongs to the encoding"),
        ("Coding/a_meta.txt", "belongs to the encoding"),
        ("Coding/../Coding/a_m2.txt", "belongs to the encoding"),
        ("to_lost", "belongs to the encoding"),
        ("to_nowhere", "cannot create a file in no"),
        ("circle", "circle"),
    ] {
        let error = sandbox.fail(&format!("decode Coding -o {output}"), 1);
        assert!(error.contains(why), "{output}: {error}");
        assert_eq!(sandbox.files("Coding"), before);
        assert_eq!(sandbox.files(".").len(), 1);
    }
    // A device is written to, not replaced.
    sandbox.succeed("decode Coding -o /dev/null");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn a_link_to_a_file_that_is_not_there_makes_the_file() {
    let sandbox = Sandbox::with("a.txt", 1000);
    sandbox.succeed("encode a.txt -k 3 -m 2");
    fs::create_dir(sandbox.path("folder")).unwrap();
    // Each from its own folder.
    symlink("folder/second", sandbox.path("first")).unwrap();
    symlink("../target", sandbox.path("folder/second")).unwrap();
    for _ in 0..2 {
        sandbox.succeed("decode Coding -o first");
        assert!(sandbox.path("first").is_symlink() && sandbox.path("folder/second").is_symlink());
        assert!(!sandbox.path("target").is_symlink());
        assert_eq!(sandbox.read("target"), sandbox.read("a.txt"));
    }
}

#[test]
fn a_size_that_is_too_small_for_what_follows_is_warned_of() {
    for (options, from, to, warned) in [
        // Several read-ins: all that follows is the padding character.
        ("-k 3 -m 2 -b 384", "1000", "999", true),
        ("-k 3 -m 2 -b 384", "1000", "1000", false),
        // One: less than a unit may be anything, and more may be zeros.
        ("-k 3 -m 2", "1000", "500", true),
        ("-k 3 -m 2", "1000", "990", false),
        ("-k 3 -m 2 -b 4096", "1000", "1000", false),
    ] {
        let sandbox = Sandbox::with("a.txt", 1000);
        sandbox.succeed(&format!("encode a.txt {options}"));
        let meta = sandbox.path("Coding/a_meta.txt");
        let lie = fs::read_to_string(&meta).unwrap().replace(from, to);
        fs::write(&meta, lie).unwrap();
        for lost in ["", "a_k3.txt"] {
            let _ = fs::remove_file(sandbox.path("Coding").join(lost));
            let ran = sandbox.ours("decode Coding -o out");
            assert_eq!(ran.status, Some(0), "{options}: {}", ran.stderr);
            let warning = format!(
                "jerasure: warning: what follows in the pieces is no padding: the file may be larger than the {to} bytes \
                 that Coding/a_meta.txt gives\n"
            );
            assert_eq!(ran.stderr, if warned { &warning } else { "" }, "{options}");
            let size: usize = to.parse().unwrap();
            assert_eq!(sandbox.read("out"), sandbox.read("a.txt")[..size]);
        }
        assert_eq!(sandbox.ours("decode Coding -o out --quiet").stderr, "");
    }
}

#[test]
fn private_files_stay_private() {
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::with("a.txt", 100);
    let mode = |name: &str| {
        fs::metadata(sandbox.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    fs::set_permissions(sandbox.path("a.txt"), PermissionsExt::from_mode(0o700)).unwrap();
    sandbox.succeed("encode a.txt -k 2 -m 1");
    sandbox.succeed("decode Coding");
    for name in ["a_k1.txt", "a_m1.txt", "a_meta.txt", "a_decoded.txt"] {
        assert_eq!(mode(&format!("Coding/{name}")), 0o600, "{name}");
    }
}

#[test]
fn files_of_one_stem_are_not_taken_for_each_other() {
    let sandbox = Sandbox::with("report.pdf", 10_001);
    fs::write(sandbox.path("report.txt"), crate::sandbox::noise(10_007)).unwrap();
    sandbox.succeed("encode report.pdf -k 4 -m 2");
    let before = sandbox.files("Coding");
    for force in ["", " -f"] {
        let error = sandbox.fail(&format!("encode report.txt -k 4 -m 2{force}"), 1);
        assert_eq!(
            error,
            match force {
                "" =>
                    "Coding/report_meta.txt is there already: choose another folder with -o, or replace it with --force",
                _ => "Coding/report_meta.txt belongs to report.pdf: choose another folder with -o",
            }
        );
        assert!(sandbox.files("Coding") == before);
    }
    for command in ["decode", "verify", "repair"] {
        let error = sandbox.fail(&format!("{command} Coding/report.txt"), 1);
        let belongs = "Coding/report_meta.txt belongs to report.pdf, not to report.txt";
        assert!(error.contains(belongs), "{error}");
        assert!(sandbox.files("Coding") == before);
    }
    sandbox.succeed("decode Coding/report.pdf -o back");
    assert!(sandbox.read("back") == sandbox.read("report.pdf"));
}

#[test]
fn a_buffer_that_is_padding_for_the_most_part_is_refused_or_warned_of() {
    let sandbox = Sandbox::with("a.txt", 1000);
    for buffer in ["99999999999999", "9223372036854775807", "3000000000"] {
        let error = sandbox.fail(&format!("encode a.txt -k 4 -m 2 -b {buffer}"), 1);
        assert!(
            error.contains("1000 bytes would be padded to"),
            "{buffer}: {error}"
        );
        assert!(!sandbox.path("Coding").exists());
    }
    let ran = sandbox.ours("encode a.txt -k 4 -m 2 -b 4000000");
    assert_eq!(ran.status, Some(0));
    assert!(
        ran.stderr.contains("1000 bytes are padded to"),
        "{}",
        ran.stderr
    );
}
