use super::*;
use crate::config::{ClusterShape, HeirSeat, Host, MovePhase};
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

fn moving(before: &Configuration, phase: MovePhase) -> Arc<Configuration> {
    let mut next = before.successor(before.nonce + 1);
    next.primaries[0].heir = Some(HeirSeat {
        id: B,
        host: host(3),
        phase,
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
            heir: Heir::create(moving(&first(), MovePhase::Copying), B),
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

    fn next(&mut self, phase: MovePhase) {
        let next = moving(self.primary.config(), phase);
        self.primary.adopt(Arc::clone(&next));
        self.heir.adopt(next);
    }

    fn rebuild(&mut self) {
        let copy = self.heir.take_copy().expect("all is there");
        assert!(self.heir.take_copy().is_none(), "once");
        let image = Image::rebuild(copy.seq, copy.pages, copy.expected);
        self.heir.on_image(image);
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
        };
        self.primary.on_ack(route, ack, NOW);
    }
}

#[test]
fn an_heir_that_copied_while_the_primary_served_has_its_very_pages() {
    let mut m = Move::new();
    assert_eq!(
        m.heir.condition(),
        Condition::Learning { done: 0, total: 0 }
    );
    m.put();
    m.changes();
    m.chunks();
    m.put();
    m.changes();
    assert_eq!(m.heir.condition(), Condition::Complete);
    assert!(m.heir.take_copy().is_none(), "the primary still serves");
    m.next(MovePhase::Draining);
    assert_eq!(m.put(), Submitted::Moving);
    m.changes();
    m.rebuild();
    let seq = m.primary.applied();
    assert_eq!(m.heir.condition(), Condition::Ready { seq });
    assert_eq!(m.primary.condition(), Condition::Serving, "not stable yet");
    m.settle();
    assert_eq!(m.primary.condition(), Condition::Drained { seq });
    let structure = m.heir.into_image().unwrap().into_structure().unwrap();
    assert_eq!(structure.snapshot(), m.primary.structure().snapshot());
}

#[test]
fn if_the_epoch_changes_otherwise_the_primary_goes_on_and_the_image_is_void() {
    let mut m = Move::new();
    m.chunks();
    m.changes();
    m.next(MovePhase::Draining);
    m.changes();
    m.rebuild();
    assert!(m.heir.has_image());
    m.next(MovePhase::Copying);
    assert!(!m.heir.has_image());
    assert_eq!(m.heir.condition(), Condition::Complete, "its copy stays");
    assert!(matches!(m.put(), Submitted::Done { .. }));
    m.changes();
    m.next(MovePhase::Draining);
    m.changes();
    m.rebuild();
    let seq = m.primary.applied();
    assert_eq!(m.heir.condition(), Condition::Ready { seq });
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

/// Lets the primary look for so long, once a heartbeat, while everybody answers; what it said at last.
fn complaints_after(m: &mut Move, ms: u64) -> Vec<MemberId> {
    let heartbeat = m.primary.config().timing.heartbeat();
    let (mut now, mut said) = (NOW, Vec::new());
    while now.since(NOW) < std::time::Duration::from_millis(ms) {
        now = now.after(heartbeat);
        for to in [FUSED, B] {
            let seq = m.primary.acked(to).unwrap();
            let message = m.primary.replicate(to, 0, now).unwrap();
            let route = Route { to, ..m.route() };
            let ack = Ack {
                seq,
                sent_at: message.sent_at,
                number: message.number,
            };
            m.primary.on_ack(route, ack, now);
        }
        m.primary.tick(now);
        said = m.primary.complaints();
    }
    said
}

#[test]
fn a_primary_that_has_stopped_for_long_complains_about_its_heir() {
    let mut m = Move::new();
    m.settle();
    m.changes();
    assert_eq!(complaints_after(&mut m, 60_000), [], "it serves");
    m.next(MovePhase::Draining);
    let most = crate::limits::MAX_DRAIN.as_millis() as u64;
    assert_eq!(complaints_after(&mut m, most / 2), []);
    m.next(MovePhase::Copying);
    assert_eq!(complaints_after(&mut m, most), [], "it went on meanwhile");
    m.next(MovePhase::Draining);
    assert_eq!(complaints_after(&mut m, 2 * most), [B]);
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
