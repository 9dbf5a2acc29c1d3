//! Exactly-once: every answer is recorded in the change that it belongs to, and survives recovery.

use crate::cluster::{Cluster, Model, SESSION};
use bytes::Bytes;
use fusion_core::change::validate;
use fusion_core::code::Code;
use fusion_core::decoder::Decoder;
use fusion_core::fused_store::FusedStore;
use fusion_core::id::{ClusterId, PrimaryIndex, RequestId, Row, Seq, SessionId};
use fusion_core::limits::{MAX_SESSION_BYTES, MAX_SESSION_SLOTS, MAX_VALUE_BYTES};
use fusion_core::op::{Kind, Op, OpError, Reply};
use fusion_core::structure::{SessionState, Structure};

/// The number of the change, where it does not matter.
const SEQ: Seq = Seq(1);
/// The change that opened the session, likewise: an earlier one.
const OPENED: Seq = Seq(0);

fn request(session: SessionId, slot: u16, number: u64) -> RequestId {
    RequestId {
        session,
        incarnation: OPENED,
        slot,
        number,
    }
}

fn map() -> Structure {
    Structure::create(Kind::Map, ClusterId(1), PrimaryIndex(0)).0
}

fn put(key: u32, len: usize) -> Op {
    Op::Put {
        key: key.to_le_bytes().to_vec().into(),
        value: vec![7; len].into(),
    }
}

/// The structure that recovery makes of this one: it has the same elements.
fn recovered(structure: &Structure) -> Structure {
    let rebuilt = Structure::rebuild(structure.snapshot()).unwrap();
    Model::of(structure).check(&rebuilt);
    rebuilt
}

#[test]
fn a_retry_finds_its_answer_also_after_recovery() {
    let mut cluster = Cluster::new(Code::new(2, 1).unwrap(), &[Kind::List]);
    let value = Bytes::from_static(b"only once");
    cluster
        .execute(
            0,
            &Op::Append {
                value: value.clone(),
            },
        )
        .unwrap();
    cluster
        .execute(0, &Op::RemoveIndex { index: 5 })
        .unwrap_err();
    cluster.execute(0, &Op::RemoveIndex { index: 0 }).unwrap();

    let lost = [PrimaryIndex(0)];
    let mut decoder = Decoder::new(&cluster.code, &lost, &[Row(0)], PrimaryIndex(0)).unwrap();
    for (id, bytes) in cluster.fused[0].pages().iter() {
        decoder.add_fused_page(Row(0), id, bytes).unwrap();
    }
    for (id, bytes) in cluster.primaries[1].snapshot().iter() {
        decoder
            .add_primary_page(PrimaryIndex(1), id, bytes)
            .unwrap();
    }
    let recovered = Structure::rebuild(decoder.finish()).unwrap();
    for structure in [&cluster.primaries[0], &recovered] {
        let state = |slot, number| structure.lookup(request(SESSION, slot, number));
        assert_eq!(
            state(1, 1),
            SessionState::Recorded(Ok(Reply::Index(0)), Seq(1))
        );
        assert_eq!(
            state(2, 2),
            SessionState::Recorded(Err(OpError::IndexError { index: 5, len: 1 }), Seq(2))
        );
        assert_eq!(
            state(0, 3),
            SessionState::Recorded(Ok(Reply::Value(value.clone())), Seq(3))
        );
        assert_eq!(state(0, 2), SessionState::Stale);
        assert_eq!(state(1, 4), SessionState::Fresh);
        assert_eq!(state(9, 1), SessionState::Fresh);
        assert_eq!(
            structure.lookup(request(SessionId(3), 0, 1)),
            SessionState::Unknown
        );
    }
}

#[test]
fn an_error_changes_nothing_but_the_record() {
    let mut structure = map();
    let _ = structure.open_session(OPENED, SESSION);
    for (slot, op) in [
        (
            0,
            Op::Remove {
                key: Bytes::from_static(b"absent"),
            },
        ),
        (
            1,
            Op::Enqueue {
                value: Bytes::new(),
            },
        ),
    ] {
        let executed = structure.execute(SEQ, request(SESSION, slot, 1), &op);
        let error = executed.result.unwrap_err();
        assert!(!executed.change.is_empty());
        assert_eq!(
            structure.lookup(request(SESSION, slot, 1)),
            SessionState::Recorded(Err(error), SEQ)
        );
    }
    assert!(structure.is_empty());
    assert_eq!(
        structure.read(&Op::Peek),
        Err(OpError::WrongKind { kind: Kind::Map })
    );
}

#[test]
fn opening_twice_changes_nothing_and_closing_forgets() {
    let mut structure = map();
    assert!(!structure.open_session(OPENED, SESSION).is_empty());
    assert!(structure.open_session(OPENED, SESSION).is_empty());
    let _ = structure.execute(SEQ, request(SESSION, 0, 1), &put(1, 5));
    assert!(structure.close_session(SessionId(99), OPENED).is_none());
    assert!(!structure.close_session(SESSION, OPENED).unwrap().is_empty());
    assert_eq!(
        structure.lookup(request(SESSION, 0, 1)),
        SessionState::Unknown
    );
    assert_eq!(
        recovered(&structure).lookup(request(SESSION, 0, 2)),
        SessionState::Unknown
    );
}

/// Records of a closed session that do not fit into its last change go in later ones; until then they are pages'
/// content like any other, and the codes follow.
#[test]
fn records_of_closed_sessions_go_bit_by_bit() {
    let code = Code::new(1, 1).unwrap();
    let mut fused = FusedStore::new(code, Row(0)).unwrap();
    let (mut structure, change) = Structure::create(Kind::Map, ClusterId(1), PrimaryIndex(0));
    let mut apply = |change: Bytes| fused.apply(PrimaryIndex(0), &change).unwrap();
    apply(change);
    apply(structure.open_session(OPENED, SESSION));
    for slot in 0..3000 {
        apply(
            structure
                .execute(SEQ, request(SESSION, slot, 1), &put(u32::from(slot), 3))
                .change,
        );
    }
    for slot in 0..80 {
        apply(
            structure
                .execute(SEQ, request(SESSION, slot, 2), &put(9999, 1 << 20))
                .change,
        );
        let key = 9999u32.to_le_bytes().to_vec().into();
        apply(
            structure
                .execute(SEQ, request(SESSION, slot, 3), &Op::Remove { key })
                .change,
        );
    }
    apply(structure.close_session(SESSION, OPENED).unwrap());
    let other = SessionId(2);
    apply(structure.open_session(OPENED, other));
    assert!(structure.stats().page_bytes > 4 << 20);
    // Half way, recovery finds the rest of them.
    let mut structure = recovered(&structure);
    for number in 1..=3000u32 {
        let key = (number - 1).to_le_bytes().to_vec().into();
        let executed =
            structure.execute(SEQ, request(other, 0, number.into()), &Op::Remove { key });
        assert!(executed.result.is_ok());
        apply(executed.change);
    }
    apply(structure.close_session(other, OPENED).unwrap());
    assert!(fused.pages() == &structure.snapshot());
    assert_eq!(structure.snapshot().len(), 1, "only the descriptor is left");
    assert_eq!(structure.snapshot(), map().snapshot());
}

#[test]
fn the_session_used_least_recently_goes_first() {
    let mut structure = map();
    let session = |i: usize| SessionId(i as u128 + 10);
    for i in 0..MAX_SESSION_SLOTS - 1 {
        let _ = structure.open_session(OPENED, session(i));
    }
    let known = |structure: &Structure, i| {
        structure.lookup(request(session(i), 5, 9)) != SessionState::Unknown
    };
    // The last record that has room; then each further one costs a session.
    let _ = structure.execute(SEQ, request(session(0), 0, 1), &put(1, 1));
    assert!(known(&structure, 1));
    let _ = structure.execute(SEQ, request(session(0), 1, 1), &put(1, 1));
    assert!(!known(&structure, 1) && known(&structure, 0) && known(&structure, 2));
    let _ = structure.open_session(OPENED, SessionId(1));
    assert!(!known(&structure, 2) && known(&structure, 0) && known(&structure, 3));
    // A record that is there already costs nothing.
    let _ = structure.execute(SEQ, request(session(3), 0, 1), &put(1, 1));
    assert!(known(&structure, 3) && !known(&structure, 4));
    let _ = structure.execute(SEQ, request(session(3), 0, 2), &put(1, 1));
    assert!(known(&structure, 5));
    let rebuilt = recovered(&structure);
    assert!(known(&rebuilt, 0) && known(&rebuilt, 3) && known(&rebuilt, 5));
    assert!(!known(&rebuilt, 2) && !known(&rebuilt, 4));
}

#[test]
fn one_session_may_use_all_its_slots() {
    let mut structure = map();
    let _ = structure.open_session(OPENED, SESSION);
    for slot in 0..=u16::MAX {
        let _ = structure.execute(SEQ, request(SESSION, slot, 1), &put(1, 1));
    }
    assert_eq!(
        structure.lookup(request(SESSION, 0, 1)),
        SessionState::Recorded(Ok(Reply::Bool(false)), SEQ)
    );
}

#[test]
fn a_large_answer_is_kept_and_gives_its_room_back() {
    let mut structure = map();
    let _ = structure.open_session(OPENED, SESSION);
    let _ = structure.execute(SEQ, request(SESSION, 0, 1), &put(1, 300_000));
    let removed = Op::Remove {
        key: 1u32.to_le_bytes().to_vec().into(),
    };
    let executed = structure.execute(SEQ, request(SESSION, 0, 2), &removed);
    assert_eq!(
        recovered(&structure).lookup(request(SESSION, 0, 2)),
        SessionState::Recorded(executed.result, SEQ)
    );
    assert!(structure.stats().page_bytes > 300_000);
    let _ = structure.execute(SEQ, request(SESSION, 0, 3), &put(1, 1));
    assert!(structure.stats().page_bytes < 40_000);
}

/// Each client dequeues one large value and never comes back.
#[test]
fn answers_of_clients_that_are_gone_are_bounded() {
    let mut fused = FusedStore::new(Code::new(1, 1).unwrap(), Row(0)).unwrap();
    let (mut queue, change) = Structure::create(Kind::Queue, ClusterId(1), PrimaryIndex(0));
    let mut apply = |change: Bytes| fused.apply(PrimaryIndex(0), &change).unwrap();
    apply(change);
    let len = 1 << 20;
    let clients = 2 * (MAX_SESSION_BYTES as usize / len);
    for client in 0..clients {
        let session = SessionId(client as u128);
        apply(queue.open_session(OPENED, session));
        let enqueue = Op::Enqueue {
            value: vec![client as u8 | 1; len].into(),
        };
        for (number, op) in [(1, enqueue), (2, Op::Dequeue)] {
            apply(queue.execute(SEQ, request(session, 0, number), &op).change);
        }
        let bytes = queue.stats().page_bytes;
        assert!(bytes < MAX_SESSION_BYTES + (8 << 20), "{bytes}");
    }
    let last = SessionId(clients as u128 - 1);
    for queue in [&queue, &recovered(&queue)] {
        assert_eq!(
            queue.lookup(request(SessionId(0), 0, 2)),
            SessionState::Unknown
        );
        assert!(matches!(
            queue.lookup(request(last, 0, 2)),
            SessionState::Recorded(Ok(Reply::Maybe(Some(_))), _)
        ));
    }
    assert!(fused.pages() == &queue.snapshot());
}

/// The greatest answers, while many small sessions are older than the large ones.
#[test]
fn room_for_a_large_answer_is_made_within_one_change() {
    let mut map = map();
    let large = SessionId(0);
    let mut number = 0;
    let mut remove_large = |map: &mut Structure, slot| {
        number += 1;
        let _ = map.execute(SEQ, request(large, 100, number), &put(1, MAX_VALUE_BYTES));
        let op = Op::Remove {
            key: 1u32.to_le_bytes().to_vec().into(),
        };
        map.execute(SEQ, request(large, slot, 1), &op).change
    };
    for session in 1..30_000 {
        let _ = map.open_session(OPENED, SessionId(session));
        let _ = map.execute(SEQ, request(SessionId(session), 0, 1), &put(2, 1));
    }
    let _ = map.open_session(OPENED, large);
    for slot in 0..8 {
        let change = remove_large(&mut map, slot);
        validate(&change).unwrap();
    }
    assert_eq!(
        map.lookup(request(SessionId(29_999), 0, 1)),
        SessionState::Unknown
    );
    assert!(matches!(
        map.lookup(request(large, 0, 1)),
        SessionState::Recorded(..)
    ));
}

/// Nobody need do anything more for the large answers of a closed session to go.
#[test]
fn closing_a_session_removes_its_answers() {
    let (mut queue, _) = Structure::create(Kind::Queue, ClusterId(1), PrimaryIndex(0));
    let _ = queue.open_session(OPENED, SESSION);
    for slot in 0..32 {
        let value = vec![5; 1 << 20].into();
        let _ = queue.execute(SEQ, request(SESSION, slot, 1), &Op::Enqueue { value });
        let _ = queue.execute(SEQ, request(SESSION, slot, 2), &Op::Dequeue);
    }
    let change = queue.close_session(SESSION, OPENED).unwrap();
    validate(&change).unwrap();
    assert_eq!(queue.snapshot().len(), 1, "only the descriptor is left");
}

/// After recovery, sessions that were only opened go before one that works.
#[test]
fn a_session_that_asked_outlives_idle_ones_after_recovery() {
    let mut structure = map();
    let _ = structure.open_session(OPENED, SESSION);
    for i in 0..MAX_SESSION_SLOTS - 2 {
        let _ = structure.open_session(OPENED, SessionId(1000 + i as u128));
    }
    let _ = structure.execute(SEQ, request(SESSION, 0, 1), &put(1, 1));
    let mut structure = recovered(&structure);
    for i in 0..1000 {
        let _ = structure.open_session(OPENED, SessionId(1_000_000 + i));
    }
    assert!(matches!(
        structure.lookup(request(SESSION, 0, 1)),
        SessionState::Recorded(..)
    ));
}

/// A client of large values alone must not keep the records of closed sessions for ever.
#[test]
fn large_changes_tidy_up_as_well() {
    let mut structure = map();
    let _ = structure.open_session(OPENED, SESSION);
    for slot in 0..300 {
        let _ = structure.execute(SEQ, request(SESSION, slot, 1), &put(1, 1));
    }
    let other = SessionId(2);
    let _ = structure.open_session(OPENED, other);
    let _ = structure.close_session(SESSION, OPENED);
    for number in 1..=301 {
        let _ = structure.execute(
            SEQ,
            request(other, 0, number),
            &put(1, 10_000 + number as usize),
        );
    }
    let stats = structure.stats();
    assert!(stats.page_bytes < 10_301 * 2 + 3 * 4096, "{stats:?}");
}
