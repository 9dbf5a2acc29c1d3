//! Writes the seeds that are checked in: `cargo run --manifest-path fuzz/Cargo.toml --no-default-features --example seeds`.
//! Each is a small valid input, so that the fuzzer starts behind the first checks. See `Input` for their layout.

use fusion_core::id::{
    ClusterId, Epoch, MemberId, PrimaryIndex, RecoveryId, RequestId, Seq, ServerId, SessionId,
};
use fusion_core::message::{
    ChangeRun, ClientBatch, ClientRequest, Condition, JoinSnapshot, MemberReport, RecoveryRequest,
    Replicate, Route,
};
use fusion_core::op::Op;
use fusion_core::time::Time;
use fusion_net::service::{CoordinatorRequest, FusedRequest, Known, PrimaryRequest, SyncRequest};
use std::path::Path;
use std::{fs, io};

/// By number in `Technique::ALL`: w, k, m and a packet size that the technique has.
const CODES: [(u8, u8, u8, u8, u16); 12] = [
    (0, 4, 2, 8, 0),
    (0, 6, 3, 16, 0),
    (0, 3, 3, 32, 0),
    (1, 5, 2, 8, 0),
    (1, 7, 2, 32, 0),
    (2, 4, 3, 4, 8),
    (2, 2, 1, 32, 8),
    (3, 6, 2, 3, 16),
    (3, 10, 4, 8, 24),
    (4, 5, 2, 7, 8),
    (5, 4, 2, 6, 40),
    (6, 8, 2, 8, 8),
];

const METADATA: [(&str, &str); 6] = [
    ("word", "a\n1000\n3 2 8 0 384\nreed_sol_van\n0\n3\n"),
    (
        "one_read_in",
        "a\n1000\n3 2 16 0 1000\nreed_sol_van\n0\n1\n",
    ),
    ("empty", "\n0\n4 2 8 8 0\nliber8tion\n6\n1\n"),
    (
        "cauchy",
        "report.pdf\n81920\n4 2 8 1024 524288\ncauchy_good\n3\n1\n",
    ),
    (
        "liberation",
        "x y\nz\n5000\n2 2 7 8 1792\nliberation\n4\n3\n",
    ),
    ("blaum_roth", "b\n96\n4 2 4 8 96\nblaum_roth\n5\n1\n"),
];

fn main() -> io::Result<()> {
    for (number, (technique, k, m, w, packet)) in (0_u8..).zip(CODES) {
        for engine in 0..5 {
            let mut code = vec![technique, engine, k, m, w];
            code.extend(packet.to_le_bytes());
            let name = format!("code_{number}_engine_{engine}");
            // Whole units of up to 1,500 bytes, a seed, and displacements that differ.
            let mut round_trip = code.clone();
            round_trip.extend([1, 0xdc, 0x05, 0x34, 0x12]);
            round_trip.extend((0..k + m).map(|shard| shard * 5 + engine));
            round_trip.extend([2, k, 0]);
            write("round_trip", &name, &round_trip)?;

            let mut update = code;
            update.extend([0xdc, 0x05, 0x34, 0x12, 2]);
            for change in 0..3 {
                update.extend([change, 0, 2, 0, change + 1, 7, change, engine, 3]);
                update.extend((0..m).map(|row| row * 9 + change));
            }
            write("update", &name, &update)?;
        }
    }
    METADATA
        .iter()
        .try_for_each(|(name, text)| write("metadata", name, text.as_bytes()))?;
    conversations()
}

/// A request of each kind for the members of `fusion_fuzz::members`, alone in a frame and one after another.
fn conversations() -> io::Result<()> {
    let requests = requests();
    for (number, (name, service, message)) in requests.iter().enumerate() {
        // A deadline of 5 s, no trace, an id; then the request.
        let trace = [0; 18];
        let request = [&[0, 5, 0][..], &trace, &[number as u8], message].concat();
        let mut conversation = vec![*service, 7];
        conversation.extend(*b"FUSN\x01\x00");
        conversation.extend([service + 1, 0]);
        for _ in 0..2 {
            conversation.extend((request.len() as u32).to_be_bytes());
            conversation.extend(&request);
        }
        write("frames", name, &conversation)?;
    }
    for scene in 0..9_u8 {
        let mut all = vec![scene];
        for (_, service, message) in &requests {
            all.push(*service);
            all.extend((message.len() as u16).to_le_bytes());
            all.extend(message);
        }
        write("requests", &format!("scene_{scene}"), &all)?;
    }
    Ok(())
}

/// Name, service and bytes.
fn requests() -> Vec<(&'static str, u8, Vec<u8>)> {
    let route = |from, to| Route {
        cluster: ClusterId(1),
        epoch: Epoch(2),
        nonce: 2,
        from: MemberId(from),
        to: MemberId(to),
    };
    let id = RequestId {
        session: SessionId(1),
        incarnation: Seq(2),
        slot: 0,
        number: 6,
    };
    let op = |op: Op| ClientRequest {
        id: op.is_mutation().then_some(id),
        op,
        follows: false,
    };
    let batch = |requests| PrimaryRequest::Execute {
        batch: ClientBatch {
            cluster: ClusterId(1),
            member: MemberId(1),
            open: Some(SessionId(2)),
            requests,
            close: None,
        }
        .into(),
    };
    let value = || vec![9; 40].into();
    let recovery = RecoveryId(1);
    let pages = RecoveryRequest::SnapshotPages {
        recovery,
        from: 0,
        count: 10,
    };
    let ask_primary = |request| PrimaryRequest::Recover {
        route: route(5, 2),
        request,
    };
    let ask_fused = |request| FusedRequest::Recover {
        route: route(5, 3),
        request,
    };
    let replicate = |join| FusedRequest::Replicate {
        route: route(2, if join { 5 } else { 3 }),
        message: Replicate {
            index: PrimaryIndex(1),
            changes: ChangeRun::empty(Seq(6)),
            stable: Seq(5),
            number: 0,
            sent_at: Time(1),
            join: join.then_some(JoinSnapshot {
                seq: Seq(6),
                chunks: 1,
            }),
            taken: 0,
        },
    };
    let sync = CoordinatorRequest::Sync {
        request: SyncRequest {
            server: ServerId(1),
            known: vec![Known {
                cluster: ClusterId(1),
                epoch: Epoch(2),
                nonce: 2,
            }],
            reports: vec![MemberReport::new(
                ClusterId(1),
                MemberId(1),
                Epoch(2),
                Condition::Serving,
            )],
            wait: false,
            memory: None,
        },
    };
    let wanted = vec![(PrimaryIndex(0), Seq(6))];
    let key = || vec![1].into();
    vec![
        (
            "put",
            0,
            bytes(&batch(vec![op(Op::Put {
                key: key(),
                value: value(),
            })])),
        ),
        (
            "append",
            0,
            bytes(&batch(vec![op(Op::Append { value: value() })])),
        ),
        (
            "remove_index",
            0,
            bytes(&batch(vec![op(Op::RemoveIndex { index: 2 })])),
        ),
        (
            "dequeue",
            0,
            bytes(&batch(vec![op(Op::Dequeue), op(Op::Peek)])),
        ),
        (
            "get",
            0,
            bytes(&batch(vec![op(Op::Get { key: key() }), op(Op::Len)])),
        ),
        (
            "pin",
            0,
            bytes(&ask_primary(RecoveryRequest::Pin { recovery })),
        ),
        (
            "primary_snapshot",
            0,
            bytes(&ask_primary(RecoveryRequest::PrimarySnapshot {
                recovery,
                after: Seq(1),
            })),
        ),
        ("primary_pages", 0, bytes(&ask_primary(pages.clone()))),
        ("replicate", 1, bytes(&replicate(false))),
        ("join", 1, bytes(&replicate(true))),
        ("vector", 1, bytes(&ask_fused(RecoveryRequest::Vector))),
        (
            "fused_snapshot",
            1,
            bytes(&ask_fused(RecoveryRequest::FusedSnapshot {
                recovery,
                wanted,
            })),
        ),
        ("fused_pages", 1, bytes(&ask_fused(pages))),
        ("sync", 2, bytes(&sync)),
        (
            "lookup",
            2,
            bytes(&CoordinatorRequest::Lookup {
                name: "c".to_owned(),
                newer_than: None,
                wait_ms: 9,
            }),
        ),
    ]
}

fn bytes<T: serde::Serialize>(request: &T) -> Vec<u8> {
    postcard::to_stdvec(request).expect("it encodes")
}

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}
