use super::*;
use crate::code::Code;
use crate::config::{ClusterShape, Former, HeirSeat, Host, Origin};
use crate::fused::Fused;
use crate::id::{ClusterId, RequestId, ServerId, SessionId};
use crate::message::{Ack, ClientRequest, Route};
use crate::op::{Kind, Op};
use crate::primary::Submitted;
use crate::structure::FollowError;

const A: MemberId = MemberId(1);
const FUSED: MemberId = MemberId(2);
const B: MemberId = MemberId(3);
const J: PrimaryIndex = PrimaryIndex(0);
const NOW: Time = Time(1_000_000);

fn host(i: u64) -> Host {
    Host {
        server: ServerId(i),
        address: String::new(),
    }
}

/// A primary (1), a code (2), and an heir (3) that is complete, in epoch 2.
struct Move {
    primary: Primary,
    fused: Fused,
    heir: Option<Heir>,
    number: u64,
}

impl Move {
    fn new() -> Move {
        let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
        let first = Configuration::create(1, ClusterId(1), 1, &shape, &[host(1), host(2)]);
        let first = Arc::new(first);
        let mut next = first.successor(2);
        next.next_id = 4;
        next.primaries[0].heir = Some(HeirSeat {
            id: B,
            host: host(3),
        });
        let next = Arc::new(next);
        let mut primary = Primary::create(Arc::clone(&first), A);
        primary.open_session(SessionId(1));
        let mut fused = Fused::create(first, FUSED, Code::new(1, 1).unwrap());
        primary.adopt(Arc::clone(&next));
        fused.adopt(Arc::clone(&next));
        let mut this = Move {
            primary,
            fused,
            heir: Some(Heir::create(next, B)),
            number: 0,
        };
        this.put();
        this.replicate();
        this.copy();
        while let Some(chunk) = this.primary.chunk(B, 0) {
            let route = this.route(A, B);
            let heir = this.heir.as_mut().unwrap();
            heir.on_chunk(route, &chunk, NOW).unwrap();
            this.primary.on_chunk_ack(route, chunk.number);
        }
        let heir = this.heir.as_mut().unwrap();
        let built = heir.take_copy().unwrap().build();
        assert!(heir.on_built(built.map_err(FollowError::from)).is_none());
        this
    }

    fn route(&self, from: MemberId, to: MemberId) -> Route {
        self.primary.config().route(from, to)
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
                value: vec![7; 40].into(),
            },
            follows: false,
        };
        self.primary.submit(&request, NOW)
    }

    fn replicate(&mut self) -> Ack {
        let message = self.primary.replicate(FUSED, 1 << 20, NOW).unwrap();
        let route = self.route(A, FUSED);
        let ack = self.fused.on_replicate(route, &message, NOW).unwrap();
        self.primary.on_ack(route, ack, NOW);
        ack
    }

    fn copy(&mut self) {
        let message = self.primary.replicate(B, 1 << 20, NOW).unwrap();
        let route = self.route(A, B);
        let heir = self.heir.as_mut().unwrap();
        let ack = heir.on_replicate(route, &message, NOW).unwrap();
        self.primary.on_ack(route, ack, NOW);
    }

    /// The heir is named; nobody else has heard of it.
    fn named(&mut self) -> Takeover {
        let next = moved(self.primary.config());
        let heir = self.heir.take().unwrap();
        Takeover::new(next, heir).expect("it is ready")
    }

    /// The code and the predecessor answer what they are asked, if they may.
    fn answer(&mut self, takeover: &mut Takeover, who: &[MemberId], now: Time) {
        for (to, request) in takeover.requests(now) {
            if !who.contains(&to) {
                continue;
            }
            let route = takeover.config().route(B, to);
            let answer = match to {
                A => self.primary.on_recovery(route, &request, now),
                _ => self.fused.on_recovery(route, &request, now),
            };
            match answer {
                Ok(reply) => takeover.on_reply(route, &request, reply, now),
                Err(refusal) => takeover.on_refusal(route, &request, &refusal),
            }
        }
    }
}

fn moved(before: &Configuration) -> Arc<Configuration> {
    let mut next = before.successor(3);
    let seat = &mut next.primaries[0];
    let heir = seat.heir.take().unwrap();
    seat.moved_from = Some(Former {
        id: A,
        host: host(1),
        origin: Origin::Created,
        blamed: false,
    });
    (seat.id, seat.host) = (heir.id, heir.host);
    Arc::new(next)
}

#[test]
fn with_the_word_of_its_predecessor_an_heir_serves_at_once() {
    let mut m = Move::new();
    m.put();
    m.replicate();
    m.put();
    m.copy();
    m.put();
    let applied = m.primary.applied();
    let mut takeover = m.named();
    assert_eq!(takeover.condition(NOW), Condition::TakingOver);
    m.fused.adopt(Arc::clone(takeover.config()));
    m.primary.retire(Arc::clone(takeover.config()));
    assert_eq!(m.primary.condition(), Condition::Yielded);
    assert_eq!(m.put(), Submitted::Suspended);
    m.answer(&mut takeover, &[A, FUSED], NOW);
    assert!(takeover.may_serve());
    let mut primary = takeover.into_primary();
    assert_eq!(primary.applied(), applied, "what nobody else had, too");
    assert!(primary.stable() < applied, "no code has it");
    assert_eq!(primary.condition(), Condition::Serving);
    // The code, whose lease to the predecessor still runs, takes its word that that one has yielded.
    let message = primary.replicate(FUSED, 1 << 20, NOW).unwrap();
    let route = primary.config().route(B, FUSED);
    let ack = m.fused.on_replicate(route, &message, NOW).unwrap();
    primary.on_ack(route, ack, NOW);
    assert_eq!(primary.stable(), applied);
    let pages = m.primary.structure().snapshot();
    assert_eq!(primary.structure().snapshot(), pages);
}

#[test]
fn without_its_word_an_heir_waits_for_the_leases_and_takes_what_it_lacks_from_the_code() {
    let mut m = Move::new();
    m.put();
    let ack = m.replicate();
    let mut takeover = m.named();
    m.fused.adopt(Arc::clone(takeover.config()));
    m.answer(&mut takeover, &[FUSED], NOW);
    m.answer(&mut takeover, &[FUSED], NOW);
    assert_eq!(takeover.seq(), ack.seq);
    assert!(!takeover.may_serve(), "the predecessor may still read");
    let over = NOW.after(m.primary.config().timing.lease_fused());
    assert!(takeover.wake_at() <= over);
    m.answer(&mut takeover, &[FUSED], over);
    assert!(takeover.may_serve());
    assert_eq!(takeover.into_primary().stable(), ack.seq);
}

#[test]
fn nobody_is_answered_who_is_not_at_that_epoch_and_the_primary_until_then_serves() {
    let mut m = Move::new();
    let mut takeover = m.named();
    m.answer(&mut takeover, &[A, FUSED], NOW);
    assert!(!takeover.may_serve());
    assert!(matches!(m.put(), Submitted::Done { .. }));
    m.replicate();
    assert_eq!(m.primary.stable(), m.primary.applied());
}

#[test]
fn where_no_code_is_left_only_its_predecessor_can_say_what_an_heir_lacks() {
    let mut m = Move::new();
    m.put();
    m.replicate();
    let answered = m.primary.stable();
    let mut takeover = m.named();
    let mut alone = takeover.config().successor(4);
    alone.fused.clear();
    let alone = Arc::new(alone);
    takeover.adopt(Arc::clone(&alone));
    m.answer(&mut takeover, &[], NOW);
    assert!(!takeover.may_serve());
    m.primary.retire(alone);
    let later = NOW.after(ASK_AGAIN);
    m.answer(&mut takeover, &[A], later);
    assert!(takeover.may_serve());
    assert_eq!(takeover.into_primary().stable(), answered);
}

#[test]
fn one_that_nobody_hands_what_it_lacks_says_so_and_keeps_what_it_has() {
    let mut m = Move::new();
    // The code lets go what all that count have; the heir was not told.
    m.put();
    m.replicate();
    m.put();
    m.replicate();
    m.replicate();
    let mut takeover = m.named();
    m.fused.adopt(Arc::clone(takeover.config()));
    let mut now = NOW;
    for _ in 0..3 {
        m.answer(&mut takeover, &[FUSED], now);
        now = now.after(ASK_AGAIN);
    }
    assert!(!takeover.may_serve());
    assert_eq!(takeover.condition(now), Condition::TakingOver);
    let long = now.after(m.primary.config().timing.complain_after());
    assert_eq!(takeover.condition(long), Condition::Stranded);
    // Its predecessor kept them for it, and answers late.
    m.primary.retire(Arc::clone(takeover.config()));
    m.answer(&mut takeover, &[A], long);
    m.answer(&mut takeover, &[FUSED], long);
    assert!(takeover.may_serve());
}

/// A code that was just removed stood for the one that is left: that one was taken for level with the heir, was sent a gap,
/// and failed itself.
#[test]
fn an_answer_of_the_epoch_before_counted_for_a_code_that_had_not_answered() {
    let mut m = Move::new();
    m.put();
    m.replicate();
    let mut takeover = m.named();
    m.fused.adopt(Arc::clone(takeover.config()));
    let route = takeover.config().route(B, FUSED);
    let request = RecoveryRequest::Vector;
    let reply = m.fused.on_recovery(route, &request, NOW).unwrap();
    let mut next = takeover.config().successor(4);
    next.fused[0].id = MemberId(9);
    takeover.adopt(Arc::new(next));
    takeover.on_reply(route, &request, reply.clone(), NOW);
    let now = takeover.config().route(B, FUSED);
    takeover.on_reply(now, &request, reply, NOW);
    assert!(!takeover.has_vectors(), "the code in sync has said nothing");
    assert!(!takeover.may_serve());
}

#[test]
fn in_another_epoch_everybody_is_asked_again_and_what_came_stays() {
    let mut m = Move::new();
    m.put();
    m.replicate();
    let mut takeover = m.named();
    m.fused.adopt(Arc::clone(takeover.config()));
    m.primary.retire(Arc::clone(takeover.config()));
    m.answer(&mut takeover, &[A, FUSED], NOW);
    assert!(takeover.may_serve());
    let seq = takeover.seq();
    let next = Arc::new(takeover.config().successor(4));
    takeover.adopt(Arc::clone(&next));
    assert!(!takeover.may_serve());
    assert_eq!(takeover.seq(), seq);
    m.fused.adopt(next);
    m.answer(&mut takeover, &[FUSED], NOW);
    assert!(takeover.may_serve(), "that it has yielded stays true");
    assert_eq!(takeover.id(), B);
    assert_eq!(takeover.config().index_of(B), Some(J));
}

/// The simulation found it (seed 4085), where leases are longer than T_c: a code was given up for its answer.
#[test]
fn a_code_that_said_how_long_a_lease_runs_is_not_complained_of_meanwhile() {
    let mut m = Move::new();
    let mut takeover = m.named();
    m.fused.adopt(Arc::clone(takeover.config()));
    m.answer(&mut takeover, &[FUSED], NOW);
    assert!(!takeover.may_serve(), "a lease runs");
    let timing = m.primary.config().timing;
    let mut now = NOW;
    while now.since(NOW) < timing.complain_after() * 2 {
        takeover.tick(now);
        assert_eq!(takeover.complaints(), []);
        now = now.after(timing.heartbeat());
    }
    // One that is asked and does not answer is.
    takeover.requests(now);
    let asked = now;
    while now.since(asked) <= timing.complain_after() + timing.heartbeat() {
        takeover.tick(now);
        now = now.after(timing.heartbeat());
    }
    assert_eq!(takeover.complaints(), [FUSED]);
}

fn lost(before: &Configuration) -> Arc<Configuration> {
    let mut next = before.successor(4);
    next.next_id = 5;
    let seat = &mut next.primaries[0];
    seat.former = Some(Former {
        id: seat.id,
        host: seat.host.clone(),
        origin: Origin::Recovered,
        blamed: false,
    });
    (seat.id, seat.host) = (MemberId(4), host(4));
    seat.state = PrimaryState::Lost;
    Arc::new(next)
}

fn returned(before: &Configuration) -> Arc<Configuration> {
    let mut next = before.successor(5);
    let seat = &mut next.primaries[0];
    let former = seat.former.take().unwrap();
    (seat.id, seat.host) = (former.id, former.host);
    seat.state = PrimaryState::Active;
    Arc::new(next)
}

#[test]
fn one_that_was_taken_for_dead_before_it_served_keeps_what_it_has_and_goes_on_when_it_returns() {
    let mut m = Move::new();
    m.put();
    m.copy();
    m.put();
    m.replicate();
    let applied = m.primary.applied();
    let next = moved(m.primary.config());
    let lost = lost(&next);
    assert_eq!(lost.check(), Ok(()));
    // Whether it had heard that it is the primary or not.
    for heard in [true, false] {
        let mut m = Move::new();
        m.put();
        m.copy();
        m.put();
        m.replicate();
        let heir = m.heir.take().unwrap();
        let mut takeover = match heard {
            true => Takeover::new(Arc::clone(&next), heir).unwrap(),
            false => Takeover::new(Arc::clone(&lost), heir).unwrap(),
        };
        if heard {
            takeover.adopt(Arc::clone(&lost));
        }
        m.primary.retire(Arc::clone(&lost));
        assert_eq!(m.primary.condition(), Condition::Yielded);
        assert_eq!(takeover.condition(NOW), Condition::Suspended);
        assert_eq!(takeover.requests(NOW), []);
        assert!(!takeover.may_serve());
        // Not even where no code is left.
        let mut alone = (*lost).clone();
        alone.epoch = alone.epoch.next();
        alone.fused.clear();
        takeover.adopt(Arc::new(alone.clone()));
        assert!(!takeover.may_serve());
        let again = returned(&alone);
        takeover.adopt(Arc::clone(&again));
        m.primary.retire(again);
        assert_eq!(takeover.condition(NOW), Condition::TakingOver);
        m.answer(&mut takeover, &[A], NOW);
        assert!(takeover.may_serve());
        assert_eq!(takeover.into_primary().applied(), applied);
    }
}

/// The move is over before the code has heard of the new place: it lets the lease go when it hears that it is.
#[test]
fn a_lease_of_the_old_place_ends_with_the_move_and_not_with_the_loss_of_the_new_one() {
    let next = moved(Move::new().primary.config());
    let mut over = next.successor(4);
    over.primaries[0].moved_from = None;
    for (then, zero) in [(Arc::new(over), true), (lost(&next), false)] {
        let mut m = Move::new();
        m.replicate();
        assert!(!m.fused.lease_left(J, NOW).is_zero());
        m.fused.adopt(Arc::clone(&next));
        assert!(!m.fused.lease_left(J, NOW).is_zero());
        m.fused.adopt(then);
        assert_eq!(m.fused.lease_left(J, NOW).is_zero(), zero);
    }
}
