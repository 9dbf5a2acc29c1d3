//! What operators are told when members are made again, and when they stop a server that has some.

use super::*;
use fusion_tests::cluster::{PATIENCE, binary, wait_until};
use std::process::{Command, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};

/// Waits until a log in the cluster's folder has a line with all of these.
async fn wait_line(rig: &Rig, log: &str, words: &[&str]) {
    let path = rig.folder().join(log);
    wait_until(&format!("{log}: {words:?}"), async || {
        let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
        let found = text.lines().any(|l| words.iter().all(|w| l.contains(w)));
        found.then_some(()).ok_or(text)
    })
    .await;
}

#[tokio::test]
async fn the_log_tells_what_was_made_again_and_status_forgets_that_it_was() {
    const ELEMENTS: u32 = 3000;
    let mut rig = start(4).await;
    let raws = rig.create("c", Kind::Map, 2, 1).await;
    let puts = (0..ELEMENTS).map(|i| {
        raws[0].call(Op::Put {
            key: Bytes::copy_from_slice(&i.to_be_bytes()),
            value: Bytes::from_static(&[7; 256]),
        })
    });
    futures::future::try_join_all(puts).await.unwrap();
    rig.kill("c", &[Seat::Primary(0)]).await;
    rig.wait_cluster("c", "mended", |c| c.epoch.0 > 1 && is_whole(c))
        .await;
    let words = format!("primary 0 is made and serves: {ELEMENTS} elements");
    wait_line(
        &rig,
        "coordinator.log",
        &[&words, " s from the decision on"],
    )
    .await;
    rig.wait_cluster("c", "all figures told", |c| {
        c.members[0].elements == Some(u64::from(ELEMENTS))
            && c.members.iter().all(|m| m.progress.is_none())
    })
    .await;
    // A fused structure, too.
    rig.add_server().await.unwrap();
    rig.kill("c", &[Seat::Fused(0)]).await;
    wait_line(
        &rig,
        "coordinator.log",
        &["fused structure 0 is made and serves"],
    )
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_is_told_to_end_says_what_ends_with_it() {
    let rig = start(4).await;
    rig.create("c", Kind::Map, 2, 1).await;
    let number = rig.host("c", Seat::Primary(1)).await;
    let id = rig.member("c", Seat::Primary(1)).await.server;
    let pid = rig.server(number).unwrap().pid();
    let told = Command::new("kill").arg(pid.to_string()).status().unwrap();
    assert!(told.success());
    let log = format!("server-{number}.log");
    let advice = format!("fusion server drain {id}");
    wait_line(&rig, &log, &["members=1", &advice]).await;
    rig.stop().await;
}

/// Reads on to a line with this.
async fn line_with(lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>, what: &str) -> String {
    let search = async {
        loop {
            match lines.next_line().await.expect("text") {
                Some(line) if line.contains(what) => return line,
                Some(line) => println!("{line}"),
                None => panic!("it ended before it said: {what}"),
            }
        }
    };
    let found = timeout(PATIENCE, search).await;
    found.unwrap_or_else(|_| panic!("it never said: {what}"))
}

/// It said nothing.
#[tokio::test]
async fn dev_says_that_its_coordinator_is_dead_and_how_to_have_it_back() {
    let start = |args: &[&str]| {
        let mut command = tokio::process::Command::new(binary());
        command.args(args).stdout(Stdio::piped()).kill_on_drop(true);
        command.spawn().expect("it starts")
    };
    let mut dev = start(&["dev", "--servers", "2", "--coordinator-port", "0"]);
    let said = BufReader::new(dev.stdout.take().unwrap());
    let mut lines = said.lines();
    let first = line_with(&mut lines, "coordinator ").await;
    let pid = first.rsplit_once("(process ").unwrap().1;
    let pid = pid.trim_end_matches(')');
    line_with(&mut lines, "Ctrl-C").await;
    let killed = Command::new("kill").args(["-KILL", pid]).status();
    assert!(killed.unwrap().success());
    let dead = line_with(&mut lines, "the coordinator").await;
    assert!(dead.contains("dead"), "{dead}");
    // What it says to do is a command that does.
    let advice = dead.split('`').nth(1).unwrap();
    let words: Vec<&str> = advice.split(' ').collect();
    assert_eq!(words[0], "fusion", "{dead}");
    let _again = start(&words[1..]);
    let back = line_with(&mut lines, "the coordinator").await;
    assert!(back.contains("answers again"), "{back}");
    let dev_pid = dev.id().unwrap().to_string();
    let told = Command::new("kill").args(["-INT", &dev_pid]).status();
    assert!(told.unwrap().success());
    let ended = timeout(PATIENCE, dev.wait()).await;
    assert!(ended.expect("it ends").unwrap().success());
}
