//! Files go both ways between our program and upstream's.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::sandbox::{Sandbox, pieces};

/// A code, and how large upstream's file unit is.
struct Code {
    technique: &'static str,
    k: usize,
    m: usize,
    w: usize,
    packet_size: usize,
}

impl Code {
    /// Bytes of a file that need no padding.
    fn unit(&self) -> usize {
        self.k * self.w * self.packet_size.max(1) * 8
    }

    /// Sizes around everything that matters, with the buffer asked for.
    fn sizes_and_buffers(&self) -> Vec<(usize, usize)> {
        let unit = self.unit();
        let mut cases = vec![
            (0, 0),
            (0, unit),
            (1, 0),
            (1, 3 * unit),
            (997, 0),
            (unit, 0),
            (unit + 1, 0),
        ];
        for buffer in [1, unit / 3, unit / 2, unit, 2 * unit + 1] {
            cases.push((2 * unit, buffer));
            cases.push((5 * unit + 13, buffer));
        }
        cases
    }

    /// Encodes with both programs, compares their files, then decodes the other's with each.
    fn check(&self, size: usize, buffer: usize, losses: &[Vec<usize>]) {
        let Self {
            technique,
            k,
            m,
            w,
            packet_size,
        } = *self;
        let case = format!("{technique} {k}+{m} w={w} p={packet_size} size={size} buffer={buffer}");
        let (theirs, ours) = (
            Sandbox::with("f.tar.gz", size),
            Sandbox::with("f.tar.gz", size),
        );
        theirs.upstream_encode(&format!(
            "f.tar.gz {k} {m} {technique} {w} {packet_size} {buffer}"
        ));
        ours.succeed(&format!(
            "encode f.tar.gz -k {k} -m {m} -w {w} --technique {technique} --packetsize {packet_size} --buffersize {buffer}"
        ));
        let files = ours.files("Coding");
        assert_eq!(files.len(), k + m + 1, "{case}");
        if cfg!(target_env = "gnu") {
            let expected = theirs.files("Coding");
            assert!(files.keys().eq(expected.keys()), "{case}");
            for (name, bytes) in &files {
                assert!(*bytes == expected[name], "{case}: {name} differs");
            }
        }
        let original = ours.read("f.tar.gz");
        let names = pieces("f", ".tar.gz", k, m);
        for lost in losses {
            let lost: Vec<String> = lost.iter().map(|&index| names[index].clone()).collect();
            theirs.without("Coding", &lost, || {
                theirs.succeed("decode Coding");
                assert!(
                    theirs.read("Coding/f_decoded.tar.gz") == original,
                    "{case}: ours without {lost:?}"
                );
            });
            // Upstream's decoder writes before its heap's start if nothing is lost of a code on packets.
            if lost.is_empty() && !technique.starts_with("reed_sol") {
                continue;
            }
            ours.without("Coding", &lost, || {
                ours.upstream_decode("f.tar.gz");
                assert!(
                    ours.read("Coding/f_decoded.tar.gz") == original,
                    "{case}: theirs without {lost:?}"
                );
            });
        }
    }

    /// All sizes with some losses, and one size with all losses.
    fn check_all(&self) {
        let (first, last) = (0, self.k + self.m - 1);
        let some = [
            vec![],
            (0..self.m).collect(),
            vec![first, last][..self.m.min(2)].to_vec(),
        ];
        for (size, buffer) in self.sizes_and_buffers() {
            self.check(size, buffer, &some);
        }
        self.check(
            2 * self.unit() + 13,
            self.unit(),
            &subsets(self.k + self.m, self.m),
        );
    }
}

/// All sets of so many indices below `n`.
fn subsets(n: usize, size: usize) -> Vec<Vec<usize>> {
    (0..1u32 << n)
        .filter(|set| set.count_ones() as usize == size)
        .map(|set| (0..n).filter(|index| set >> index & 1 == 1).collect())
        .collect()
}

macro_rules! both_ways {
    ($($name:ident: $technique:ident $k:literal + $m:literal, $($w:literal / $packet_size:literal),+;)*) => {$(
        #[test]
        fn $name() {
            $(Code {
                technique: stringify!($technique),
                k: $k,
                m: $m,
                w: $w,
                packet_size: $packet_size,
            }.check_all();)+
        }
    )*};
}

// Word size / packet size.
both_ways! {
    vandermonde: reed_sol_van 3 + 2, 8 / 0, 8 / 7, 16 / 0, 32 / 0;
    vandermonde_of_one_and_more: reed_sol_van 1 + 1, 8 / 0, 16 / 3;
    vandermonde_of_ten: reed_sol_van 10 + 3, 8 / 0;
    r6: reed_sol_r6_op 4 + 2, 8 / 0, 16 / 0, 32 / 0, 32 / 2;
    cauchy: cauchy_orig 3 + 3, 3 / 8, 4 / 16, 8 / 8;
    cauchy_with_packets_of_any_size: cauchy_orig 3 + 2, 4 / 1, 5 / 12;
    good_cauchy: cauchy_good 3 + 2, 3 / 8, 8 / 24, 11 / 8;
    good_cauchy_of_three: cauchy_good 4 + 3, 4 / 16, 32 / 8;
    liberation: liberation 3 + 2, 3 / 8, 7 / 16;
    blaum_roth: blaum_roth 4 + 2, 4 / 8, 6 / 16;
    liber8tion: liber8tion 5 + 2, 8 / 8, 8 / 40;
}

#[test]
fn names_without_extension_and_with_dots() {
    for (name, stem, extension) in [
        ("plain", "plain", ""),
        (".profile", "", ".profile"),
        ("a.b.c", "a", ".b.c"),
    ] {
        let (theirs, ours) = (Sandbox::with(name, 1000), Sandbox::with(name, 1000));
        theirs.upstream_encode(&format!("{name} 2 1 reed_sol_van 8 0 0"));
        ours.succeed(&format!("encode {name} -k 2 -m 1"));
        assert!(
            ours.files("Coding")
                .keys()
                .eq(theirs.files("Coding").keys())
        );
        theirs.without("Coding", &[format!("{stem}_k1{extension}")], || {
            theirs.succeed(&format!("decode Coding/{stem}_meta.txt"));
        });
        ours.upstream_decode(name);
        for sandbox in [theirs, ours] {
            let decoded = sandbox.read(&format!("Coding/{stem}_decoded{extension}"));
            assert_eq!(decoded, sandbox.read(name));
        }
    }
}

#[test]
fn upstream_reads_what_defaults_give() {
    for technique in [
        "reed_sol_van",
        "reed_sol_r6_op",
        "cauchy_orig",
        "cauchy_good",
        "liberation",
        "blaum_roth",
        "liber8tion",
    ] {
        for size in [0, 10, 100_000, 9_000_001] {
            let sandbox = Sandbox::with("a.bin", size);
            sandbox.succeed(&format!("encode a.bin -k 4 -m 2 --technique {technique}"));
            sandbox.without("Coding", &["a_k2.bin".into(), "a_k4.bin".into()], || {
                sandbox.upstream_decode("a.bin")
            });
            assert!(
                sandbox.read("Coding/a_decoded.bin") == sandbox.read("a.bin"),
                "{technique} {size}"
            );
        }
    }
}

#[test]
fn upstream_reads_metadata_of_long_names_with_spaces() {
    let long =
        "a very long name, much longer than what the decoder holds it in, and with spaces.txt";
    let sandbox = Sandbox::with(long, 5000);
    assert_eq!(
        sandbox
            .command()
            .args(["encode", long, "-k", "3", "-m", "2"])
            .status()
            .unwrap()
            .code(),
        Some(0)
    );
    let metadata = String::from_utf8(sandbox.files("Coding").remove("a very long name, much longer than what the decoder holds it in, and with spaces_meta.txt").unwrap()).unwrap();
    assert_eq!(metadata.lines().next().unwrap(), long.replace(' ', "_"));
    sandbox.upstream_decode(long);
    let decoded = long.replace(".txt", "_decoded.txt");
    assert_eq!(sandbox.files("Coding")[&decoded], sandbox.read(long));
}

#[test]
fn a_folder_of_upstreams_is_found_by_every_name() {
    let sandbox = Sandbox::with("a.txt", 5000);
    sandbox.upstream_encode("./a.txt 3 2 cauchy_good 4 8 600");
    let meta = sandbox.files("Coding").remove("a_meta.txt").unwrap();
    assert!(meta.starts_with(b"./a.txt\n"));
    for name in [
        "Coding",
        "Coding/",
        "Coding/a",
        "Coding/a.txt",
        "Coding/a_meta.txt",
        "a.txt",
        "a",
        "./a",
    ] {
        sandbox.succeed(&format!("decode {name} -o out"));
        assert_eq!(sandbox.read("out"), sandbox.read("a.txt"), "{name}");
        fs::remove_file(sandbox.path("out")).unwrap();
    }
}

#[test]
fn names_need_not_be_text() {
    let sandbox = Sandbox::new();
    let name = OsStr::from_bytes(b"caf\xe9.t\xff");
    fs::write(sandbox.path("").join(name), "contents").unwrap();
    let mut encode = sandbox.command();
    encode
        .arg("encode")
        .arg(name)
        .args(["-k", "2", "-m", "1", "-q"]);
    assert!(encode.status().unwrap().success());
    let piece = sandbox
        .path("Coding")
        .join(OsStr::from_bytes(b"caf\xe9_k1.t\xff"));
    fs::remove_file(piece).unwrap();
    sandbox.succeed("decode Coding -o out");
    assert_eq!(sandbox.read("out"), b"contents");
}
