//! Numbers that were never given are decoded nowhere (rule 66), and those at the end break nothing.

use fusion_core::code::Code;
use fusion_core::config::{ClusterShape, Configuration, Host};
use fusion_core::fused::Fused;
use fusion_core::id::{ClusterId, Epoch, MemberId, PrimaryIndex, RecoveryId, RequestId, Row};
use fusion_core::id::{Seq, ServerId, SessionId};
use fusion_core::limits::{MAX_CONFIG_NUMBER, MAX_NUMBER};
use fusion_core::message::{
    Ack, ChangeRun, Chunk, ClientBatch, ClientReply, ClientRequest, Condition, JoinSnapshot,
    MemberReport, Pages, RecoveryReply, RecoveryRequest, Replicate, Route,
};
use fusion_core::op::{Kind, Op, Reply};
use fusion_core::primary::{Primary, Submitted};
use fusion_core::time::Time;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;

const NOW: Time = Time(1_000_000);

fn config() -> Configuration {
    let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
    let hosts = [1, 2].map(|i| Host {
        server: ServerId(i),
        address: String::new(),
    });
    Configuration::create(1, ClusterId(1), 1, &shape, &hosts)
}

/// With a number that was never given it is not decoded; with the last one that is, it is.
fn ends<T: Serialize + DeserializeOwned + PartialEq + Debug>(with: impl Fn(u64) -> T) {
    let decoded = |number| {
        let bytes = postcard::to_allocvec(&with(number)).unwrap();
        postcard::from_bytes::<T>(&bytes)
    };
    assert_eq!(decoded(MAX_NUMBER), Ok(with(MAX_NUMBER)));
    for number in [MAX_NUMBER + 1, u64::MAX - 1, u64::MAX] {
        assert!(decoded(number).is_err(), "{:?}", with(number));
    }
}

fn replicate(spoil: impl Fn(&mut Replicate)) -> Replicate {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    let mut message = primary.replicate(MemberId(2), 1 << 20, NOW).unwrap();
    spoil(&mut message);
    message
}

#[test]
fn numbers_that_were_never_given_are_in_no_message_of_members() {
    let route = config().route(MemberId(1), MemberId(2));
    ends(|n| Route {
        epoch: Epoch(n),
        ..route
    });
    ends(|n| Route {
        from: MemberId(n),
        ..route
    });
    ends(|n| Route {
        to: MemberId(n),
        ..route
    });
    let join = |n| JoinSnapshot {
        seq: Seq(n),
        chunks: 1,
    };
    ends(|n| replicate(|m| m.changes.first = Seq(n)));
    ends(|n| replicate(|m| m.stable = Seq(n)));
    ends(|n| replicate(|m| m.join = Some(join(n))));
    ends(|n| Ack {
        seq: Seq(n),
        sent_at: NOW,
        number: 0,
        full: None,
    });
    ends(|n| Chunk {
        index: PrimaryIndex(0),
        join: join(n),
        number: 0,
        pages: Pages::default(),
    });
}

#[test]
fn numbers_that_were_never_given_are_in_no_question_or_answer_of_a_recovery() {
    let (index, recovery) = (PrimaryIndex(0), RecoveryId(1));
    type Ask = RecoveryRequest;
    ends(|n| Ask::Log {
        index,
        after: Seq(n),
        upto: Seq(1),
    });
    ends(|n| Ask::Log {
        index,
        after: Seq(1),
        upto: Seq(n),
    });
    let changes = |n| ChangeRun::empty(Seq(n));
    ends(|n| Ask::RollForward {
        index,
        changes: changes(n),
    });
    let recoveries: [fn(RecoveryId) -> Ask; 6] = [
        |recovery| Ask::Pin { recovery },
        |recovery| Ask::FusedSnapshot {
            recovery,
            wanted: Vec::new(),
        },
        |recovery| Ask::PrimarySnapshot {
            recovery,
            after: Seq(1),
        },
        |recovery| Ask::SnapshotPages {
            recovery,
            from: 0,
            count: 1,
        },
        |recovery| Ask::SnapshotChanges {
            recovery,
            after: Seq(1),
        },
        |recovery| Ask::Release { recovery },
    ];
    for ask in recoveries {
        ends(|n| ask(RecoveryId(n)));
    }
    ends(|n| Ask::FusedSnapshot {
        recovery,
        wanted: vec![(index, Seq(n))],
    });
    ends(|n| Ask::PrimarySnapshot {
        recovery,
        after: Seq(n),
    });
    ends(|n| Ask::SnapshotChanges {
        recovery,
        after: Seq(n),
    });
    ends(|n| RecoveryReply::Vector {
        vector: vec![Seq(1), Seq(n)],
        lease_left: std::time::Duration::ZERO,
    });
    ends(|n| RecoveryReply::Log {
        changes: changes(n),
    });
    ends(|n| RecoveryReply::RolledForward { seq: Seq(n) });
    ends(|n| RecoveryReply::FusedSnapshot {
        row: Row(0),
        vector: vec![Seq(n)],
        pages: 0,
    });
    ends(|n| RecoveryReply::PrimarySnapshot {
        seq: Seq(n),
        pages: 0,
    });
    ends(|n| RecoveryReply::SnapshotChanges {
        changes: changes(n),
    });
}

#[test]
fn numbers_that_were_never_given_are_in_nothing_that_clients_and_servers_say() {
    let id = RequestId {
        session: SessionId(1),
        incarnation: Seq(2),
        slot: 0,
        number: 1,
    };
    ends(|number| RequestId { number, ..id });
    ends(|n| RequestId {
        incarnation: Seq(n),
        ..id
    });
    let batch = |member, close| ClientBatch {
        cluster: ClusterId(1),
        member: MemberId(member),
        open: None,
        requests: Vec::new(),
        close: Some((SessionId(1), Seq(close))),
    };
    ends(|n| batch(n, 1));
    ends(|n| batch(1, n));
    ends(|n| ClientReply::Opened(Seq(n)));
    ends(|n| ClientReply::Done(Ok(Reply::Done), Seq(n)));
    let report = |member, epoch, condition| {
        MemberReport::new(ClusterId(1), MemberId(member), Epoch(epoch), condition)
    };
    ends(|n| report(n, 1, Condition::Serving));
    ends(|n| report(1, n, Condition::Serving));
    ends(|n| report(1, 1, Condition::Ready { seq: Seq(n) }));
    ends(|n| MemberReport {
        complaints: vec![MemberId(n)],
        ..report(1, 1, Condition::Serving)
    });
    ends(|n| Configuration {
        epoch: Epoch(n),
        ..config()
    });
    ends(|next_id| Configuration {
        next_id,
        ..config()
    });
    ends(|n| {
        let mut config = config();
        config.primaries[0].id = MemberId(n);
        config
    });
}

/// The successor of the last configuration that is taken can be told.
#[test]
fn a_configuration_near_the_end_has_successors() {
    let mut last = config();
    (last.epoch, last.next_id) = (Epoch(MAX_CONFIG_NUMBER), MAX_CONFIG_NUMBER);
    assert_eq!(last.check(), Ok(()));
    let mut next = last.successor(2);
    let id = next.take_id();
    assert!(next.epoch > last.epoch && id.0 < next.next_id);
    assert!(next.check().is_err());
    let bytes = postcard::to_allocvec(&next).unwrap();
    assert_eq!(postcard::from_bytes::<Configuration>(&bytes), Ok(next));
    assert_eq!(Epoch(u64::MAX).next(), Epoch(u64::MAX));
    assert_eq!(Seq(u64::MAX).next(), Seq(u64::MAX));
}

/// A peer that is let in says the greatest numbers there are: whoever hears them refuses, or stands at the end.
#[test]
fn the_last_numbers_break_no_member() {
    let config = Arc::new(config());
    let code = Code::new(1, 1).unwrap();
    let mut fused = Fused::create(Arc::clone(&config), MemberId(2), code);
    let route = config.route(MemberId(1), MemberId(2));
    for spoil in [
        (|m| m.changes.first = Seq::MAX) as fn(&mut Replicate),
        |m| m.stable = Seq::MAX,
        |m| {
            m.join = Some(JoinSnapshot {
                seq: Seq::MAX,
                chunks: u32::MAX,
            })
        },
        |m| m.sent_at = Time(u64::MAX),
    ] {
        let _ = fused.on_replicate(route, &replicate(spoil), Time(u64::MAX));
    }
    assert!(fused.vector()[0] <= Seq(1));

    let mut primary = Primary::create(Arc::clone(&config), MemberId(1));
    for (seq, sent_at) in [(Seq::MAX, NOW), (Seq(1), Time(u64::MAX))] {
        let number = u64::MAX;
        let ack = Ack {
            seq,
            sent_at,
            number,
            full: None,
        };
        assert!(!primary.on_ack(route, ack, NOW));
        // It takes itself for one that went back, and the codes for what there is (rule 63).
        assert!(primary.is_suspended());
        primary = Primary::create(Arc::clone(&config), MemberId(1));
    }
    let incarnation = primary.open_session(SessionId(1)).unwrap();
    let put = |number| ClientRequest {
        id: Some(RequestId {
            session: SessionId(1),
            incarnation,
            slot: u16::MAX,
            number,
        }),
        op: Op::Put {
            key: "k".into(),
            value: "v".into(),
        },
        follows: false,
    };
    let done = primary.submit(&put(MAX_NUMBER), NOW);
    assert!(matches!(done, Submitted::Done { .. }));
    assert_eq!(primary.submit(&put(1), NOW), Submitted::Stale);
}
