//! A cluster that is full refuses writes, and goes on.

use super::*;
use bytes::Bytes;
use fusion_core::op::{Op, Reply};
use fusion_net::client::Raw;
use fusion_net::local::LocalOptions;
use fusion_tests::cluster::{Rig, Seat, binary, options, start_with};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What `ulimit -v` gives each process.
const KIBIBYTES: u32 = 400_000;
const VALUE_BYTES: usize = 4000;
const TOGETHER: u32 = 64;
/// The least that a cluster of such processes holds before it is full.
const LEAST: usize = 20_000;

/// Starts processes whose address space is limited.
async fn start_limited(folder: &Path, servers: usize) -> Rig {
    let limited = folder.join("fusion");
    let script = format!(
        "#!/bin/sh\nulimit -v {KIBIBYTES}\nexec '{}' \"$@\"\n",
        binary().display()
    );
    fs::write(&limited, script).unwrap();
    fs::set_permissions(&limited, fs::Permissions::from_mode(0o755)).unwrap();
    let options = LocalOptions {
        binary: limited,
        ..options()
    };
    start_with(options, servers).await
}

fn key(primary: usize, number: u32) -> Bytes {
    format!("{primary} {number:09}").into()
}

fn entry(primary: usize, number: u32) -> Op {
    let mut value = vec![b'v'; VALUE_BYTES];
    value[..4].copy_from_slice(&number.to_le_bytes());
    Op::Put {
        key: key(primary, number),
        value: value.into(),
    }
}

/// Puts entries until all of a batch are refused for want of memory; how many were put.
async fn fill(raw: &Raw, primary: usize) -> u32 {
    let mut number = 0;
    loop {
        let ops = (number..number + TOGETHER).map(|n| entry(primary, n));
        let answers = raw.call_all(ops).await;
        let mut put = 0;
        for answer in &answers {
            match answer {
                Ok(_) => put += 1,
                Err(Error::Full { limit, used }) => {
                    assert!(used < limit, "something is kept: {used} of {limit}");
                }
                Err(error) => panic!("primary {primary}, after {number}: {error}"),
            }
        }
        if put == 0 {
            return number;
        }
        // What was refused is put again, under the same keys.
        number += if put == answers.len() { TOGETHER } else { 0 };
    }
}

async fn pids(rig: &Rig) -> BTreeSet<u32> {
    let status = rig.client.status().await.unwrap();
    let alive = status.servers.iter().filter(|s| s.alive);
    alive.map(|s| s.pid).collect()
}

/// All five members' processes aborted within a second, with spares idle, and everything was lost.
#[tokio::test]
async fn a_cluster_whose_memory_is_full_refuses_writes_and_recovers_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = start_limited(folder.path(), 8).await;
    let raws = rig.create("m", Kind::Map, 3, 2).await;
    let before = pids(&rig).await;
    assert_eq!(before.len(), 8);
    let fills = raws.iter().enumerate().map(|(i, raw)| fill(raw, i));
    let put = join_all(fills).await;
    let all: usize = put.iter().map(|n| *n as usize).sum();
    println!("{put:?} entries of {VALUE_BYTES} bytes");
    assert!(all > LEAST, "{put:?}");
    assert_eq!(pids(&rig).await, before, "nobody died");
    let status = rig.client.status().await.unwrap();
    let full = |s: &&fusion_net::service::ServerStatus| s.memory.is_some_and(|m| m.percent() >= 95);
    assert!(
        status.servers.iter().filter(full).count() > 0,
        "{:#?}",
        status.servers
    );
    // Reads and removals go on, and one dies on top of it.
    rig.kill("m", &[Seat::Primary(0)]).await;
    rig.client.wait_whole("m", PATIENCE, |_| {}).await.unwrap();
    for (i, raw) in raws.iter().enumerate() {
        assert_eq!(raw.len().await.unwrap(), u64::from(put[i]), "primary {i}");
        for number in [0, put[i] / 2, put[i] - 1] {
            let read = raw
                .call(Op::Get {
                    key: key(i, number),
                })
                .await
                .unwrap();
            let Reply::Value(value) = read else {
                panic!("{read:?}")
            };
            assert_eq!(value[..4], number.to_le_bytes());
            assert_eq!(value.len(), VALUE_BYTES);
        }
        // Until there is room: codes are as long as the longest primary.
        let removals = (put[i] / 2..put[i]).map(|n| Op::Remove { key: key(i, n) });
        for removed in raw.call_all(removals).await {
            removed.unwrap();
        }
    }
    let begun = Instant::now();
    for (i, raw) in raws.iter().enumerate() {
        while let Err(error) = raw.call(entry(i, 0)).await {
            assert!(matches!(error, Error::Full { .. }), "{error}");
            assert!(begun.elapsed() < PATIENCE, "no room again: {error}");
            tokio::task::yield_now().await;
        }
    }
    rig.stop().await;
}
