use super::*;
use crate::config::{ClusterShape, HeirSeat, Host};
use crate::id::{ClusterId, RequestId, ServerId, SessionId};
use crate::message::ClientRequest;
use crate::op::{Kind, Op};
use crate::primary::{Primary, Submitted};

const A: MemberId = MemberId(1);
const FUSED: MemberId = MemberId(2);
const B: MemberId = MemberId(3);
const NOW: Time = Time(1_000_000);

fn host(i: u64) -> Host {
    Host {
        server: ServerId(i),
        address: String::new(),
    }
}

fn first() -> Configuration {
    let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
    Configuration::create(1, ClusterId(1), 1, &shape, &[host(1), host(2)])
}

fn moving(before: &Configuration) -> Arc<Configuration> {
    let mut next = before.successor(before.nonce + 1);
    next.next_id = 4;
    next.primaries[0].heir = Some(HeirSeat {
        id: B,
        host: host(3),
    });
    Arc::new(next)
}

/// A primary that is being moved, and its heir.
struct Move {
    primary: Primary,
    heir: Heir,
    number: u64,
}

impl Move {
    fn new() -> Move {
        let mut primary = Primary::create(Arc::new(first()), A);
        primary.limit_chunks(1);
        primary.open_session(SessionId(1));
        let mut this = Move {
            heir: Heir::create(moving(&first()), B),
            primary,
            number: 0,
        };
        for _ in 0..5 {
            this.put();
        }
        let config = Arc::clone(this.heir.config());
        this.primary.adopt(config);
        this
    }

    fn put(&mut self) -> Submitted {
        self.number += 1;
        let request = ClientRequest {
            id: Some(RequestId {
                session: SessionId(1),
                incarnation: Seq(2),
                slot: 0,
                number: self.number,
            }),
            op: Op::Put {
                key: vec![self.number as u8].into(),
                value: vec![7; 40 * self.number as usize].into(),
            },
            follows: false,
        };
        self.primary.submit(&request, NOW)
    }

    fn route(&self) -> Route {
        self.primary.config().route(A, B)
    }

    fn chunks(&mut self) {
        let (route, mut from) = (self.route(), 0);
        while let Some(chunk) = self.primary.chunk(B, from) {
            from = chunk.number + 1;
            self.heir.on_chunk(route, &chunk, NOW).unwrap();
        }
    }

    fn changes(&mut self) -> Ack {
        let message = self.primary.replicate(B, 1 << 20, NOW).unwrap();
        let ack = self.heir.on_replicate(self.route(), &message, NOW).unwrap();
        self.primary.on_ack(self.route(), ack, NOW);
        ack
    }

    fn next(&mut self) {
        let next = moving(self.primary.config());
        self.primary.adopt(Arc::clone(&next));
        self.heir.adopt(next);
    }

    fn build(&mut self) {
        let copy = self.heir.take_copy().expect("all is there");
        assert!(self.heir.take_copy().is_none(), "once");
        let built = copy.build().map_err(FollowError::from);
        assert!(self.heir.on_built(built).is_none());
    }

    /// The fused member answers what the heir asks.
    fn probe(&mut self) {
        let asked = self.heir.requests(NOW);
        assert_eq!(asked, [(FUSED, RecoveryRequest::Vector)]);
        let from_heir = Route {
            from: B,
            to: FUSED,
            ..self.route()
        };
        self.heir.on_reply(from_heir);
    }

    /// The fused member acknowledges everything.
    fn settle(&mut self) {
        let message = self.primary.replicate(FUSED, 1 << 20, NOW).unwrap();
        let route = Route {
            to: FUSED,
            ..self.route()
        };
        let seq = Seq(message.changes.first.0 + u64::from(message.changes.count) - 1);
        let ack = Ack {
            seq,
            sent_at: message.sent_at,
            number: message.number,
            full: None,
        };
        self.primary.on_ack(route, ack, NOW);
    }
}

#[test]
fn an_heir_is_complete_when_it_follows_and_every_code_has_answered_it_in_this_epoch() {
    let mut m = Move::new();
    let learning = |done, total| Condition::Learning { done, total };
    assert_eq!(m.heir.condition(), learning(0, 0));
    assert!(m.heir.requests(NOW).is_empty(), "not before it is ready");
    m.put();
    m.changes();
    m.chunks();
    m.put();
    m.changes();
    let chunks = m.heir.copied.as_ref().unwrap().added.len() as u64;
    assert_eq!(m.heir.condition(), learning(chunks, chunks));
    m.build();
    m.put();
    m.changes();
    m.probe();
    assert_eq!(
        m.heir.condition(),
        learning(chunks, chunks),
        "a code may lack what came before its log"
    );
    m.settle();
    m.changes();
    assert_eq!(m.heir.condition(), Condition::Complete);
    m.next();
    assert_eq!(
        m.heir.condition(),
        learning(chunks, chunks),
        "that it is answered was true of the old epoch"
    );
    m.probe();
    assert_eq!(m.heir.condition(), Condition::Complete);
    let Inheritance { follower, seq, .. } = m.heir.into_inheritance().unwrap();
    assert_eq!(seq, m.primary.applied());
    let structure = follower.into_structure();
    assert_eq!(structure.snapshot(), m.primary.structure().snapshot());
}

#[test]
fn what_comes_while_the_structure_is_built_is_followed_in_pieces() {
    let mut m = Move::new();
    m.settle();
    m.changes();
    m.chunks();
    let copy = m.heir.take_copy().unwrap();
    for _ in 0..60 {
        m.put();
    }
    m.settle();
    while m.heir.seq() < m.primary.applied() {
        m.changes();
    }
    let mut built = copy.build().map_err(FollowError::from);
    let mut pieces = 0;
    while let Some(behind) = m.heir.on_built(built) {
        built = behind.follow();
        pieces += 1;
    }
    assert!(pieces > 0 && m.heir.is_ready(), "{pieces}");
    let Inheritance { follower, .. } = m.heir.into_inheritance().unwrap();
    let (found, expected) = (follower.structure(), m.primary.structure());
    assert_eq!(found.snapshot(), expected.snapshot());
    assert_eq!(found.len(), expected.len());
}

#[test]
fn an_heir_that_holds_too_much_is_busy_and_lets_go_what_all_have() {
    let mut m = Move::new();
    m.heir.limit_log(1000);
    m.chunks();
    m.changes();
    m.build();
    let mut refused = false;
    for _ in 0..20 {
        m.put();
        let message = m.primary.replicate(B, 1 << 20, NOW).unwrap();
        let answer = m.heir.on_replicate(m.route(), &message, NOW);
        refused |= answer == Err(Refusal::Busy);
        if let Ok(ack) = answer {
            m.primary.on_ack(m.route(), ack, NOW);
        }
    }
    assert!(refused);
    m.settle();
    m.changes();
    m.changes();
    assert_eq!(m.heir.seq(), m.primary.applied());
}

#[test]
fn an_heir_is_not_waited_for_but_finds_in_the_log_what_it_needs() {
    let mut m = Move::new();
    m.put();
    m.settle();
    assert_eq!(m.primary.stable(), m.primary.applied());
    let ack = m.changes();
    assert_eq!(ack.seq, m.primary.applied());
    let later = m.primary.replicate(B, 1 << 20, NOW).unwrap();
    assert_eq!(later.changes.count, 0);
}

#[test]
fn what_is_no_change_makes_an_heir_leave_and_an_older_epoch_is_refused() {
    let mut m = Move::new();
    let mut message = m.primary.replicate(B, 1 << 20, NOW).unwrap();
    let old = Route {
        epoch: crate::id::Epoch(1),
        ..m.route()
    };
    let refused = m.heir.on_replicate(old, &message, NOW);
    assert!(matches!(refused, Err(Refusal::Epoch(_))));
    let lie = bytes::Bytes::from_static(b"no change");
    let first = message.join.unwrap().seq.next();
    message.changes = crate::message::ChangeRun::pack(first, [&lie].into_iter());
    let refused = m.heir.on_replicate(m.route(), &message, NOW);
    assert_eq!(refused, Err(Refusal::Malformed));
    assert_eq!(m.heir.condition(), Condition::Missing);
}

#[test]
fn an_heir_for_which_alone_the_log_is_full_is_left_behind_and_complained_about() {
    let mut m = Move::new();
    m.primary.limit_log(1 << 20, 2000);
    for _ in 0..100 {
        assert!(
            matches!(m.put(), Submitted::Done { .. }),
            "nobody waits for it"
        );
        m.settle();
    }
    assert_eq!(m.primary.replicate(B, 1 << 20, NOW), None);
    assert_eq!(m.primary.complaints(), [B]);
}
