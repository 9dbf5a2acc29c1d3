//! The greatest sizes and member counts, and one more.

use crate::cluster::{Cluster, SESSION};
use bytes::Bytes;
use fusion_core::change;
use fusion_core::code::{Code, CodeError, WordSize};
use fusion_core::decoder::Decoder;
use fusion_core::id::{ClusterId, PrimaryIndex, RequestId, Row, Seq};
use fusion_core::limits::{
    MAX_CHANGE_BYTES, MAX_KEY_BYTES, MAX_MEMBERS, MAX_SCAN_BYTES, MAX_SCAN_ENTRIES, MAX_VALUE_BYTES,
};
use fusion_core::op::{Kind, Op, OpError, Reply};
use fusion_core::structure::Structure;

fn bytes(len: usize, fill: u8) -> Bytes {
    vec![fill; len].into()
}

#[test]
fn the_largest_key_and_value_are_taken_and_one_byte_more_is_refused() {
    let mut cluster = Cluster::new(
        Code::new(3, 1).unwrap(),
        &[Kind::Map, Kind::List, Kind::Queue],
    );
    let (key, value) = (bytes(MAX_KEY_BYTES, 1), bytes(MAX_VALUE_BYTES, 2));
    cluster
        .execute(
            0,
            &Op::Put {
                key: key.clone(),
                value: value.clone(),
            },
        )
        .unwrap();
    cluster
        .execute(
            1,
            &Op::Append {
                value: value.clone(),
            },
        )
        .unwrap();
    cluster
        .execute(
            2,
            &Op::Enqueue {
                value: value.clone(),
            },
        )
        .unwrap();
    cluster.check_codes();
    cluster.check_models();

    let (long_key, long_value) = (bytes(MAX_KEY_BYTES + 1, 1), bytes(MAX_VALUE_BYTES + 1, 2));
    let key_too_large = OpError::KeyTooLarge {
        len: MAX_KEY_BYTES as u64 + 1,
        max: MAX_KEY_BYTES as u64,
    };
    let value_too_large = OpError::ValueTooLarge {
        len: MAX_VALUE_BYTES as u64 + 1,
        max: MAX_VALUE_BYTES as u64,
    };
    let mut number = 1000;
    let mut refused = |j: usize, op: Op| {
        number += 1;
        let request = RequestId {
            session: SESSION,
            incarnation: Seq(0),
            slot: 7,
            number,
        };
        cluster.primaries[j]
            .execute(Seq(1), request, &op)
            .result
            .unwrap_err()
    };
    let small = Bytes::new();
    let swap = |key: &Bytes, new: &Bytes| Op::CompareAndSwap {
        key: key.clone(),
        expected: None,
        new: Some(new.clone()),
    };
    let put = |key: &Bytes, value: &Bytes| Op::Put {
        key: key.clone(),
        value: value.clone(),
    };
    assert_eq!(refused(0, put(&long_key, &small)), key_too_large);
    assert_eq!(refused(0, put(&small, &long_value)), value_too_large);
    assert_eq!(refused(0, swap(&long_key, &small)), key_too_large);
    assert_eq!(refused(0, swap(&small, &long_value)), value_too_large);
    assert_eq!(
        refused(
            0,
            Op::Remove {
                key: long_key.clone()
            }
        ),
        key_too_large
    );
    assert_eq!(
        refused(
            1,
            Op::Append {
                value: long_value.clone()
            }
        ),
        value_too_large
    );
    assert_eq!(
        refused(
            1,
            Op::Insert {
                index: 0,
                value: long_value.clone()
            }
        ),
        value_too_large
    );
    assert_eq!(
        refused(
            1,
            Op::SetIndex {
                index: 0,
                value: long_value.clone()
            }
        ),
        value_too_large
    );
    assert_eq!(
        refused(2, Op::Enqueue { value: long_value }),
        value_too_large
    );
    assert_eq!(
        cluster.primaries[0].read(&Op::Get { key: long_key }),
        Err(key_too_large)
    );
    cluster.check_models();
}

/// The greatest change there can be: see [`MAX_CHANGE_BYTES`].
#[test]
fn no_operation_makes_a_change_beyond_the_limit() {
    let (mut map, _) = Structure::create(Kind::Map, ClusterId(1), PrimaryIndex(0));
    let _ = map.open_session(Seq(0), SESSION);
    let mut execute = |slot, number, op: Op| {
        let executed = map.execute(
            Seq(1),
            RequestId {
                session: SESSION,
                incarnation: Seq(0),
                slot,
                number,
            },
            &op,
        );
        change::validate(&executed.change).unwrap();
        executed.change.len()
    };
    let key = |name: u8| {
        let mut key = vec![0x55; MAX_KEY_BYTES];
        key[0] = name;
        Bytes::from(key)
    };
    // Two entries of the class below that of the largest: the second will move.
    execute(
        0,
        1,
        Op::Put {
            key: key(1),
            value: bytes(6 << 20, 0x11),
        },
    );
    execute(
        0,
        2,
        Op::Put {
            key: key(2),
            value: bytes(6 << 20, 0xaa),
        },
    );
    // Two large answers in one class: the second will move.
    execute(
        0,
        3,
        Op::Put {
            key: bytes(1, 9),
            value: bytes(MAX_VALUE_BYTES, 0x33),
        },
    );
    let swap = Op::CompareAndSwap {
        key: bytes(1, 9),
        expected: None,
        new: None,
    };
    execute(1, 1, swap.clone());
    execute(2, 1, swap);
    let greatest = execute(
        1,
        2,
        Op::Put {
            key: key(1),
            value: bytes(MAX_VALUE_BYTES, 0x77),
        },
    );
    assert!(
        greatest > 50 << 20,
        "{greatest} bytes are not the greatest change"
    );
    assert!(greatest <= MAX_CHANGE_BYTES);
}

#[test]
fn scans_and_ranges_are_bounded() {
    let mut cluster = Cluster::new(Code::new(2, 0).unwrap(), &[Kind::Map, Kind::Queue]);
    for i in 0..MAX_SCAN_ENTRIES + 10 {
        let key = Bytes::from(i.to_string());
        cluster
            .execute(
                0,
                &Op::Put {
                    key,
                    value: Bytes::new(),
                },
            )
            .unwrap();
        cluster
            .execute(
                1,
                &Op::Enqueue {
                    value: Bytes::new(),
                },
            )
            .unwrap();
    }
    let read = |cluster: &Cluster, j: usize| {
        let reply = match j {
            0 => cluster.primaries[0].read(&Op::Scan {
                cursor: None,
                limit: u32::MAX,
            }),
            _ => cluster.primaries[j].read(&Op::Range {
                start: 0,
                limit: u32::MAX,
            }),
        };
        match reply.unwrap() {
            Reply::Entries { entries, next } => {
                assert!(next.is_some());
                entries.len()
            }
            Reply::Values(values) => values.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(read(&cluster, 0), MAX_SCAN_ENTRIES);
    assert_eq!(read(&cluster, 1), MAX_SCAN_ENTRIES);

    let mut cluster = Cluster::new(Code::new(2, 0).unwrap(), &[Kind::Map, Kind::List]);
    for i in 0..5 {
        let value = bytes(MAX_SCAN_BYTES - 100, i);
        cluster
            .execute(
                0,
                &Op::Put {
                    key: bytes(1, i),
                    value: value.clone(),
                },
            )
            .unwrap();
        cluster.execute(1, &Op::Append { value }).unwrap();
    }
    assert_eq!(read(&cluster, 0), 2);
    assert_eq!(read(&cluster, 1), 2);
    let one = Op::Range { start: 0, limit: 0 };
    match cluster.primaries[1].read(&one) {
        Ok(Reply::Values(values)) => assert_eq!(values.len(), 1, "an empty answer means the end"),
        other => panic!("{other:?}"),
    }
    let past_the_end = Op::Range {
        start: u64::MAX,
        limit: 1,
    };
    assert_eq!(
        cluster.primaries[1].read(&past_the_end),
        Ok(Reply::Values(Vec::new()))
    );
}

/// Words of 8 bits reach 256 members; beyond, words have 16.
#[test]
fn hundreds_of_members_are_coded() {
    for (n, f, word) in [
        (253, 3, WordSize::W8),
        (254, 3, WordSize::W16),
        (300, 2, WordSize::W16),
    ] {
        let code = Code::new(n, f).unwrap();
        assert_eq!(code.word(), word);
        let mut cluster = Cluster::new(code.clone(), &[Kind::Map, Kind::Queue]);
        for j in 0..n {
            let value = bytes(j % 90, j as u8);
            let op = match j % 2 {
                0 => Op::Put {
                    key: bytes(2, j as u8),
                    value,
                },
                _ => Op::Enqueue { value },
            };
            cluster.execute(j, &op).unwrap();
        }
        cluster.check_codes();
        let lost: Vec<PrimaryIndex> = (0..f as u16)
            .map(|i| PrimaryIndex(i * (n as u16 / f as u16)))
            .collect();
        let rows: Vec<Row> = (0..f as u16).map(Row).collect();
        for &target in &lost {
            let mut decoder = Decoder::new(&code, &lost, &rows, target).unwrap();
            for row in &rows {
                for (id, bytes) in cluster.fused[row.index()].pages().iter() {
                    decoder.add_fused_page(*row, id, bytes).unwrap();
                }
            }
            for (j, primary) in (0u16..).map(PrimaryIndex).zip(&cluster.primaries) {
                for (id, bytes) in primary.snapshot().iter().filter(|_| !lost.contains(&j)) {
                    decoder.add_primary_page(j, id, bytes).unwrap();
                }
            }
            assert!(decoder.finish() == cluster.primaries[target.index()].snapshot());
        }
    }
    assert_eq!(
        Code::new(MAX_MEMBERS, 1).unwrap_err(),
        CodeError::TooManyMembers {
            members: MAX_MEMBERS + 1,
            max: MAX_MEMBERS
        }
    );
}

/// One element left of many must not hold the index of all.
#[test]
fn the_index_of_a_list_shrinks_with_it() {
    let mut cluster = Cluster::new(Code::new(1, 0).unwrap(), &[Kind::List]);
    for i in 0..20_000u32 {
        let value = bytes(8, i as u8);
        cluster.execute(0, &Op::Append { value }).unwrap();
    }
    let before = cluster.primaries[0].stats().index_bytes;
    for i in 0..19_990u64 {
        let index = i % cluster.primaries[0].len();
        cluster.execute(0, &Op::RemoveIndex { index }).unwrap();
    }
    let after = cluster.primaries[0].stats().index_bytes;
    assert!(after * 8 < before, "{after} of {before} bytes are left");
    cluster.check_models();
}

/// What was deleted takes no memory: neither pages nor codes, and little index.
#[test]
fn deleting_everything_leaves_the_descriptor() {
    let kinds = [Kind::Map, Kind::List, Kind::Queue];
    let mut cluster = Cluster::new(Code::new(3, 2).unwrap(), &kinds);
    let count = 5000;
    for i in 0..count {
        let value = bytes(i % 200, i as u8);
        let key = Bytes::from(i.to_string());
        cluster
            .execute(
                0,
                &Op::Put {
                    key,
                    value: value.clone(),
                },
            )
            .unwrap();
        cluster
            .execute(
                1,
                &Op::Insert {
                    index: i as u64 / 2,
                    value: value.clone(),
                },
            )
            .unwrap();
        cluster.execute(2, &Op::Enqueue { value }).unwrap();
    }
    cluster.check_codes();
    for primary in &cluster.primaries {
        let stats = primary.stats();
        assert!(stats.page_bytes < stats.entry_bytes * 3 / 2, "{stats:?}");
        assert!(stats.index_bytes > 0);
    }
    for i in 0..count {
        cluster
            .execute(
                0,
                &Op::Remove {
                    key: Bytes::from((i * 7 % count).to_string()),
                },
            )
            .unwrap();
        cluster
            .execute(
                1,
                &Op::RemoveIndex {
                    index: (count - i) as u64 / 3,
                },
            )
            .unwrap();
        cluster.execute(2, &Op::Dequeue).unwrap();
    }
    for j in 0..3 {
        let change = cluster.primaries[j].close_session(SESSION, Seq(0)).unwrap();
        cluster.replicate(j, change);
    }
    cluster.check_codes();
    for (j, primary) in cluster.primaries.iter().enumerate() {
        let empty = Structure::create(kinds[j], ClusterId(7), PrimaryIndex(j as u16)).0;
        assert_eq!(primary.snapshot(), empty.snapshot());
        assert!(
            primary.stats().index_bytes < 50_000,
            "{:?}",
            primary.stats()
        );
    }
    for fused in &cluster.fused {
        assert_eq!(fused.pages().len(), 1);
    }
}
