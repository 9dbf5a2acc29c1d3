//! A process that cannot do its work does not start: one clear line, exit status 1, and nobody was told that it listens.

use fusion_tests::cluster::binary;
use std::process::{Command, Output};

fn with_engine(engine: &str, args: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(args).env("JERASURE_ENGINE", engine);
    command.output().expect("the binary runs")
}

/// Found with the demo: every fused structure failed to be made, writes were acknowledged without any, and lost.
#[test]
fn a_server_without_a_usable_engine_does_not_start() {
    for engine in ["bogus", "neon,avx2"] {
        let address = "127.0.0.1:0";
        let output = with_engine(
            engine,
            &["server", "--listen", address, "--coordinator", address],
        );
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "one line: {stderr}");
        assert!(stderr.contains("JERASURE_ENGINE"), "{stderr}");
        assert_eq!(stderr.matches(engine).count(), 1, "{stderr}");
        assert!(output.stdout.is_empty(), "it never said that it listens");
    }
}

/// One line that says what is wrong, and the exit status.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(binary()).args(args).output();
    let output = output.expect("the binary runs");
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn a_store_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["nowhere/store.redb", ""] {
        let path = folder.path().join(file);
        let path = path.to_str().unwrap();
        let listen = "127.0.0.1:0";
        let (code, said) = refused(&["coordinator", "--listen", listen, "--data", path]);
        assert_eq!(code, Some(1), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(path), "{said}");
    }
}

#[test]
fn a_store_is_not_made_anew_from_no_servers_and_a_time_may_have_a_fraction() {
    let rebuild = ["coordinator", "--data", "x", "--rebuild", "--servers", "0"];
    let (code, said) = refused(&rebuild);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--servers"), "{said}");
    // Nobody listens on port 1, which is another failure than that of arguments.
    let at = ["--coordinator", "127.0.0.1:1"];
    let (code, said) = refused(&[&["status", "--timeout", "0.5"], &at[..]].concat());
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = refused(&[&["status", "--timeout", "0"], &at[..]].concat());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("from 0.1 to 600"), "{said}");
}

#[test]
fn the_demo_says_why_its_servers_do_not_start() {
    let output = with_engine("bogus", &["demo", "--elements", "10"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("bogus"), "{stderr}");
}

/// Servers that offer no streams: tarpc does it all.
#[tokio::test]
async fn servers_that_speak_tarpc_only_do_all_that_the_others_do() {
    use fusion_tests::cluster::{Seat, is_whole, options, start_with};
    let options = fusion_net::local::LocalOptions {
        streams: false,
        ..options()
    };
    let mut rig = start_with(options, 5).await;
    let raws = rig.create("c", fusion_net::client::Kind::Map, 2, 2).await;
    let mut writers = fusion_tests::writers::Writers::new(fusion_net::client::Kind::Map);
    writers.write(&raws, 2);
    writers.wait_more(200).await;
    rig.kill("c", &[Seat::Primary(0)]).await;
    writers.wait_more(200).await;
    rig.wait_cluster("c", "whole again", is_whole).await;
    let account = writers.stop().await;
    account.verify(&raws).await;
    rig.stop().await;
}
