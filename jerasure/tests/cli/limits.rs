//! Little memory, full disks, interruptions.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::sandbox::{Sandbox, ran};

/// Runs a shell line in which `"$0"` is our program.
fn shell(sandbox: &Sandbox, line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_jerasure")]);
    command.current_dir(sandbox.path(""));
    command
}

/// A file of so many bytes that takes no room, with something at its ends.
fn sparse(sandbox: &Sandbox, name: &str, bytes: u64) {
    let mut file = File::create(sandbox.path(name)).unwrap();
    file.write_all(b"first").unwrap();
    file.set_len(bytes).unwrap();
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::End(-4)).unwrap();
    file.write_all(b"last").unwrap();
}

#[test]
fn memory_does_not_grow_with_the_file_or_its_buffer() {
    let sandbox = Sandbox::new();
    sparse(&sandbox, "a.img", 300_000_000);
    // 64 MiB of addresses, a fifth of the file; also with one read-in, as upstream's programs give by default.
    for options in ["", "--buffersize 0"] {
        for line in [
            &format!("encode a.img -k 3 -m 1 --force {options}"),
            "verify Coding",
            "decode Coding -o out",
        ] {
            let ran = ran(&mut shell(
                &sandbox,
                &format!("ulimit -v 65536; exec \"$0\" {line}"),
            ));
            assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{line}");
            if line.starts_with("verify") {
                fs::remove_file(sandbox.path("Coding/a_k2.img")).unwrap();
            }
        }
        let same = Command::new("cmp")
            .args(["a.img", "out"])
            .current_dir(sandbox.path(""))
            .status();
        assert!(same.unwrap().success());
        fs::remove_file(sandbox.path("out")).unwrap();
    }
}

#[test]
fn a_full_disk_leaves_nothing() {
    let sandbox = Sandbox::with("a.bin", 1_000_000);
    // In blocks of 512 bytes. The signal that comes with the limit must not end the program before it cleans up.
    for limit in [0, 1, 100] {
        let ran = ran(&mut shell(
            &sandbox,
            &format!("ulimit -f {limit}; \"$0\" encode a.bin -k 2 -m 1"),
        ));
        assert_eq!(
            (ran.status, ran.stdout.as_str()),
            (Some(1), ""),
            "{}",
            ran.stderr
        );
        assert!(
            ran.stderr
                .starts_with("jerasure: cannot write Coding/a_k1.bin: File too large"),
            "{}",
            ran.stderr
        );
        assert!(!sandbox.path("Coding").exists());
    }
    sandbox.succeed("encode a.bin -k 2 -m 1");
    fs::remove_file(sandbox.path("Coding/a_k1.bin")).unwrap();
    fs::write(sandbox.path("out"), "old").unwrap();
    let before = sandbox.files("Coding");
    for line in [
        "decode Coding",
        "decode Coding -o out",
        "repair Coding",
        "encode a.bin -k 3 -m 1 --force",
    ] {
        let ran = ran(&mut shell(
            &sandbox,
            &format!("ulimit -f 100; \"$0\" {line}"),
        ));
        assert_eq!(ran.status, Some(1), "{line}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("File too large"),
            "{line}: {}",
            ran.stderr
        );
        assert_eq!(sandbox.files("Coding"), before);
        assert_eq!(sandbox.read("out"), b"old");
    }
    assert_eq!(sandbox.files(".").len(), 2);
}

#[test]
fn an_interrupted_encoding_leaves_nothing() {
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let sandbox = Sandbox::new();
        // So large that it cannot be done before the signal comes, and not so large that it fills the disk.
        sparse(&sandbox, "a.img", 40_000_000_000);
        let mut encode = sandbox.command();
        encode
            .args(["encode", "a.img", "-k", "1", "-m", "1"])
            .stderr(Stdio::piped());
        let mut encode = encode.spawn().unwrap();
        while sandbox.files("Coding").is_empty() {
            assert!(
                encode.try_wait().unwrap().is_none(),
                "it ended before the signal"
            );
            std::thread::yield_now();
        }
        let id = encode.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &id])
                .status()
                .unwrap()
                .success()
        );
        let output = encode.wait_with_output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "jerasure: interrupted\n"
        );
        assert_eq!(output.status.code(), Some(status));
        assert!(!sandbox.path("Coding").exists());
    }
}

#[test]
fn a_closed_pipe_ends_decoding_without_a_word() {
    let sandbox = Sandbox::with("a.bin", 5_000_000);
    sandbox.succeed("encode a.bin -k 2 -m 1");
    let mut decode = sandbox.command();
    decode
        .args(["decode", "Coding", "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut decode = decode.spawn().unwrap();
    let mut stdout = decode.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 10]).unwrap();
    drop(stdout);
    let output = decode.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(1), &b""[..])
    );
}

#[test]
fn more_pieces_than_files_may_be_open_by_default() {
    let sandbox = Sandbox::with("a.bin", 100_000);
    let hard = ran(&mut shell(&sandbox, "ulimit -H -n")).stdout;
    assert!(
        hard.trim().parse().map_or(true, |files: u32| files > 700),
        "the limit of open files is {hard}"
    );
    let ran = ran(&mut shell(
        &sandbox,
        "ulimit -S -n 100; \"$0\" encode a.bin -k 400 -m 200 -w 16",
    ));
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    for index in 1..=200 {
        fs::remove_file(sandbox.path(&format!("Coding/a_k{index:03}.bin"))).unwrap();
    }
    sandbox.succeed("decode Coding -o out");
    assert!(sandbox.read("out") == sandbox.read("a.bin"));
}
