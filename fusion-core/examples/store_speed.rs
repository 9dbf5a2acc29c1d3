//! Nanoseconds an operation and bytes an element of the coded store; every answer is checked.
//!
//! `cargo run --release -p fusion-core --example store_speed [elements [bytes of a value]]`

use bytes::Bytes;
use fusion_core::code::Code;
use fusion_core::fused_store::FusedStore;
use fusion_core::id::{ClusterId, PrimaryIndex, RequestId, Row, Seq, SessionId};
use fusion_core::op::{Kind, Op, Reply};
use fusion_core::structure::{Executed, Structure};
use std::time::Instant;

const SESSION: SessionId = SessionId(1);
const LANES: u64 = 64;
const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 1 << 20;

/// Different for each number, in no order.
fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

fn key(number: u64) -> Bytes {
    let mut key = [0; KEY_BYTES];
    key[..8].copy_from_slice(&mix(number).to_le_bytes());
    key[8..].copy_from_slice(&number.to_le_bytes());
    Bytes::copy_from_slice(&key)
}

fn value(number: u64, round: u64, bytes: usize) -> Bytes {
    let mut value = vec![round as u8; bytes];
    for (word, i) in value.chunks_exact_mut(8).zip(0..) {
        word.copy_from_slice(&mix(number ^ (round << 40) ^ (i << 50)).to_le_bytes());
    }
    Bytes::from(value)
}

/// The processor time of this thread, which other programs disturb less than the clock; the clock elsewhere.
fn now_ns(start: Instant) -> u64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|stat| stat.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| start.elapsed().as_nanos() as u64)
}

/// Prints the time that `run` takes for each of `count` operations.
fn time<T>(what: &str, count: u64, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let cpu = now_ns(start);
    let answer = run();
    let cpu = now_ns(start) - cpu;
    println!("{what:<28} {:>8.0} ns", cpu as f64 / count as f64);
    answer
}

/// Times `each` for all operations, which are made before the clock runs.
fn time_each<T>(what: &str, ops: &[T], mut each: impl FnMut(u64, &T)) {
    time(what, ops.len() as u64, || {
        for (number, op) in (0u64..).zip(ops) {
            each(number, op);
        }
    });
}

struct Driver {
    structure: Structure,
    requests: u64,
    changes: Vec<Bytes>,
}

impl Driver {
    fn new(kind: Kind) -> Self {
        let (mut structure, create) = Structure::create(kind, ClusterId(1), PrimaryIndex(0));
        let open = structure.open_session(Seq(0), SESSION);
        Driver {
            structure,
            requests: 0,
            changes: vec![create, open],
        }
    }

    fn execute(&mut self, op: &Op, expected: &Reply) {
        let slot = (self.requests % LANES) as u16;
        self.requests += 1;
        let request = RequestId {
            session: SESSION,
            incarnation: Seq(0),
            slot,
            number: self.requests,
        };
        let Executed { result, change } = self.structure.execute(Seq(1), request, op);
        assert_eq!(result.as_ref(), Ok(expected));
        self.changes.push(change);
    }
}

fn main() {
    let count: u64 = std::env::args()
        .nth(1)
        .map_or(1_000_000, |arg| arg.parse().expect("a number"));
    let value_bytes: usize = std::env::args()
        .nth(2)
        .map_or(VALUE_BYTES, |arg| arg.parse().expect("a number"));
    assert!(
        value_bytes <= MAX_VALUE_BYTES,
        "give up to {MAX_VALUE_BYTES} bytes of a value"
    );
    println!("{count} elements of {KEY_BYTES} B keys and {value_bytes} B values, one thread");
    let value = |number, round| value(number, round, value_bytes);
    let mut map = Driver::new(Kind::Map);
    let put = |i: u64, round| Op::Put {
        key: key(i),
        value: value(i, round),
    };
    let inserts: Vec<Op> = (0..count).map(|i| put(i, 0)).collect();
    time_each("map insert", &inserts, |_, op| {
        map.execute(op, &Reply::Bool(false))
    });
    drop(inserts);
    let scattered = |i| mix(i) % count;
    let overwrites: Vec<Op> = (0..count).map(|i| put(scattered(i), 1)).collect();
    time_each("map overwrite", &overwrites, |_, op| {
        map.execute(op, &Reply::Bool(true))
    });
    drop(overwrites);
    let written: std::collections::HashSet<u64> = (0..count).map(scattered).collect();
    let gets: Vec<(Op, Bytes)> = (0..count)
        .map(|i| scattered(i ^ 1))
        .map(|i| {
            (
                Op::Get { key: key(i) },
                value(i, u64::from(written.contains(&i))),
            )
        })
        .collect();
    time_each("map get", &gets, |_, (op, value)| {
        match map.structure.read(op) {
            Ok(Reply::Value(found)) => assert_eq!(found, value),
            other => panic!("{other:?}"),
        }
    });
    drop(gets);

    let stats = map.structure.stats();
    let per = |bytes: u64| bytes as f64 / stats.elements as f64;
    println!(
        "bytes an element: payload {:.1}, pages {:.1}, index {:.1}",
        per(stats.entry_bytes),
        per(stats.page_bytes),
        per(stats.index_bytes)
    );
    // One that overwrites a value by the same is short: such puts are left out.
    let mean = |changes: &[Bytes]| {
        let long = changes
            .iter()
            .map(Bytes::len)
            .filter(|l| *l > value_bytes / 2);
        long.clone().sum::<usize>() as f64 / long.count().max(1) as f64
    };
    // Before the inserts are the structure itself and its session.
    let (inserts, overwrites) = map.changes[2..].split_at(count as usize);
    println!(
        "bytes of change: insert {:.1}, overwrite {:.1}",
        mean(inserts),
        mean(overwrites)
    );

    // Row 1 multiplies; row 0 has coefficients of 1.
    for (name, n, f, row) in [("n=5 f=2 w=8", 5, 2, 1), ("n=254 f=3 w=16", 254, 3, 1)] {
        let mut fused = FusedStore::new(Code::new(n, f).expect("a code"), Row(row)).expect("a row");
        let primary = PrimaryIndex(1);
        time_each(
            &format!("fused apply, {name}"),
            &map.changes,
            |_, change| {
                fused.apply(primary, change).expect("a change");
            },
        );
        assert_eq!(fused.bytes(), stats.page_bytes);
    }

    let pages = map.structure.snapshot();
    let rebuilt = time("map rebuild (an element)", stats.elements, || {
        Structure::rebuild(pages).expect("the pages of a map")
    });
    assert_eq!(rebuilt.stats().entry_bytes, stats.entry_bytes);
    assert!(rebuilt.snapshot() == map.structure.snapshot());
    drop(rebuilt);

    map.changes.clear();
    let removes: Vec<Op> = (0..count).map(|i| Op::Remove { key: key(i) }).collect();
    time_each("map remove", &removes, |_, op| {
        let lane = (map.requests % LANES) as u16;
        map.requests += 1;
        let request = RequestId {
            session: SESSION,
            incarnation: Seq(0),
            slot: lane,
            number: map.requests,
        };
        let executed = map.structure.execute(Seq(1), request, op);
        assert!(executed.result.is_ok());
    });
    assert!(map.structure.is_empty());

    let mut list = Driver::new(Kind::List);
    let appends: Vec<Op> = (0..count)
        .map(|i| Op::Append { value: value(i, 0) })
        .collect();
    time_each("list append", &appends, |i, op| {
        list.execute(op, &Reply::Index(i))
    });
    let inserts: Vec<Op> = (0..count)
        .map(|i| Op::Insert {
            index: mix(i) % (count + i),
            value: value(i, 1),
        })
        .collect();
    time_each("list insert anywhere", &inserts, |_, op| {
        list.execute(op, &Reply::Done)
    });
    let stats = list.structure.stats();
    let per = |bytes: u64| bytes as f64 / stats.elements as f64;
    println!(
        "bytes an element: payload {:.1}, pages {:.1}, index {:.1}",
        per(stats.entry_bytes),
        per(stats.page_bytes),
        per(stats.index_bytes)
    );
    let pages = list.structure.snapshot();
    let rebuilt = time("list rebuild (an element)", stats.elements, || {
        Structure::rebuild(pages).expect("the pages of a list")
    });
    for index in [0, count / 2, 2 * count - 1] {
        let op = Op::GetIndex { index };
        assert_eq!(rebuilt.read(&op), list.structure.read(&op));
    }

    let mut queue = Driver::new(Kind::Queue);
    let enqueues: Vec<Op> = (0..count)
        .map(|i| Op::Enqueue { value: value(i, 0) })
        .collect();
    time_each("queue enqueue", &enqueues, |_, op| {
        queue.execute(op, &Reply::Done)
    });
    let dequeues: Vec<Reply> = (0..count)
        .map(|i| Reply::Maybe(Some(value(i, 0))))
        .collect();
    time_each("queue dequeue", &dequeues, |_, reply| {
        queue.execute(&Op::Dequeue, reply)
    });
}
