use super::*;
use crate::config::FusedState;
use crate::config::{ClusterShape, FusedSeat, Host, Origin};
use crate::entry::Descriptor;
use crate::id::RecoveryId;
use crate::id::{ClusterId, Epoch, RequestId, Row, ServerId};
use crate::limits::MAX_PIN_IDLE;
use crate::message::{Ack, ChangeRun, RecoveryReply, RecoveryRequest, Replicate};
use crate::op::{Kind, Op};
use crate::page::PageTable;
use bytes::Bytes;

mod floor;
mod learners;
mod pins;
mod reads;
mod rollback;
mod room;

const SESSION: SessionId = SessionId(5);

fn host(server: u64) -> Host {
    Host {
        server: ServerId(server),
        address: String::new(),
    }
}

/// Two primaries (members 1 and 2) and one fused structure (member 3).
fn config() -> Configuration {
    let shape = ClusterShape::new("c", Kind::Queue, 2, 1, false).unwrap();
    let hosts = [host(1), host(2), host(3)];
    Configuration::create(1, ClusterId(1), 1, &shape, &hosts)
}

fn enqueue(primary: &mut Primary, number: u64) -> Submitted {
    let incarnation = primary.open_session(SESSION).unwrap_or_default();
    let id = RequestId {
        session: SESSION,
        incarnation,
        slot: 0,
        number,
    };
    let value = Bytes::from(vec![7; 100]);
    primary.submit(
        &ClientRequest {
            id: Some(id),
            op: Op::Enqueue { value },
            follows: false,
        },
        Time(0),
    )
}

fn route(primary: &Primary, to: u64) -> Route {
    primary.config().route(primary.id(), MemberId(to))
}

fn acked(seq: Seq) -> Ack {
    Ack {
        seq,
        sent_at: Time(0),
        number: 0,
        full: None,
    }
}

/// It takes a message at `now`, and has everything up to `seq` then.
fn answer(primary: &mut Primary, from: u64, message: &Replicate, seq: Seq, now: Time) {
    let ack = Ack {
        seq,
        sent_at: message.sent_at,
        number: message.number,
        full: None,
    };
    let route = route(primary, from);
    primary.on_ack(route, ack, now);
}

/// Primary 0 was taken for dead: `former` may have its seat again, while `replacement` is made.
fn taken_for_dead(config: &Configuration, former: u64, replacement: u64) -> Configuration {
    let mut lost = config.successor(2);
    lost.primaries[0].id = MemberId(replacement);
    lost.primaries[0].state = PrimaryState::Lost;
    lost.primaries[0].former = Some(crate::config::Former {
        id: MemberId(former),
        host: host(1),
        origin: Origin::Created,
        blamed: false,
    });
    lost
}

/// It is sent all that there is, and acknowledges up to `seq`.
fn ack(primary: &mut Primary, from: u64, seq: Seq) {
    let _ = primary.replicate(MemberId(from), usize::MAX, Time(0));
    let route = route(primary, from);
    primary.on_ack(route, acked(seq), Time(0));
}

#[test]
fn an_answer_waits_for_every_fused_member() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    let Submitted::Done { after, .. } = enqueue(&mut primary, 1) else {
        panic!("it is executed")
    };
    assert_eq!((primary.applied(), primary.stable()), (after, Seq(0)));
    ack(&mut primary, 3, after);
    assert_eq!(primary.stable(), after);
}

#[test]
fn an_acknowledgement_of_another_epoch_does_not_count() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    enqueue(&mut primary, 1);
    primary.replicate(MemberId(3), usize::MAX, Time(0)).unwrap();
    let mut other = route(&primary, 3);
    other.epoch = other.epoch.next();
    primary.on_ack(other, acked(Seq(99)), Time(0));
    assert_eq!(primary.stable(), Seq(0));
    assert_eq!(primary.condition(), Condition::Serving);
}

#[test]
fn a_retry_is_answered_from_the_record_and_an_older_request_is_stale() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    let first = enqueue(&mut primary, 1);
    assert_eq!(enqueue(&mut primary, 1), first);
    assert_eq!(primary.structure().len(), 1);
    enqueue(&mut primary, 2);
    assert_eq!(enqueue(&mut primary, 1), Submitted::Stale);
}

#[test]
fn a_primary_that_died_before_anything_was_safe_is_started_empty() {
    let expected = Descriptor {
        kind: Kind::Queue,
        cluster: ClusterId(1),
        index: PrimaryIndex(0),
    };
    let image = Image::rebuild(Seq(0), PageTable::new(), expected).unwrap();
    let primary = Primary::recovered(Arc::new(config()), MemberId(1), image);
    assert_eq!((primary.applied(), primary.stable()), (Seq(1), Seq(0)));
    assert!(primary.structure().is_empty());
}

/// Late copies of a session's opening and of a request, after its close: the session is another one by then (rule 38).
#[test]
fn a_session_opened_again_by_a_late_copy_executes_nothing() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    enqueue(&mut primary, 1);
    primary.close_session(SESSION, Seq(2));
    let id = RequestId {
        session: SESSION,
        incarnation: Seq(2),
        slot: 0,
        number: 1,
    };
    let value = Bytes::from(vec![7; 100]);
    let copy = ClientRequest {
        id: Some(id),
        op: Op::Enqueue { value },
        follows: false,
    };
    assert_eq!(primary.submit(&copy, Time(0)), Submitted::SessionUnknown);
    assert_eq!(primary.open_session(SESSION), Some(Seq(5)));
    assert_eq!(primary.open_session(SESSION), Some(Seq(5)), "as before");
    assert_eq!(primary.submit(&copy, Time(0)), Submitted::SessionUnknown);
    primary.close_session(SESSION, Seq(2));
    assert_eq!(primary.open_session(SESSION), Some(Seq(5)), "a late close");
    assert_eq!(primary.structure().len(), 1);
    let image = Image::rebuild(
        primary.applied(),
        primary.structure().snapshot(),
        Descriptor {
            kind: Kind::Queue,
            cluster: ClusterId(1),
            index: PrimaryIndex(0),
        },
    );
    let mut primary = Primary::recovered(Arc::new(config()), MemberId(1), image.unwrap());
    assert_eq!(primary.open_session(SESSION), Some(Seq(5)), "recovered");
    assert_eq!(primary.submit(&copy, Time(0)), Submitted::SessionUnknown);
    let mut new = copy;
    new.id.as_mut().unwrap().incarnation = Seq(5);
    assert!(matches!(
        primary.submit(&new, Time(0)),
        Submitted::Done { .. }
    ));
}

/// Clients that open and close sessions fill the log as those that write do (rule 11).
#[test]
fn opening_and_closing_sessions_stays_within_the_bound() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    primary.limit_log(2000, 10_000);
    assert_eq!(primary.open_session(SESSION), Some(Seq(2)));
    let mut opened = 0;
    while let Some(incarnation) = primary.open_session(SessionId(100 + opened)) {
        opened += 1;
        assert_eq!(incarnation, primary.applied());
        assert!(opened < 1000, "it is unbounded");
    }
    let applied = primary.applied();
    assert_eq!(primary.open_session(SESSION), Some(Seq(2)), "it is open");
    primary.close_session(SESSION, Seq(2));
    assert_eq!(primary.applied(), applied);
    ack(&mut primary, 3, applied);
    assert_eq!(primary.open_session(SessionId(1)), Some(applied.next()));
    primary.close_session(SESSION, Seq(2));
    assert_eq!(primary.applied(), applied.next().next());
}

fn read(primary: &mut Primary, now: u64) -> Submitted {
    primary.submit(
        &ClientRequest {
            id: None,
            op: Op::Len,
            follows: false,
        },
        Time(now),
    )
}

/// A primary of a cluster with two fused members, 3 and 4.
fn with_two_codes() -> Primary {
    let shape = ClusterShape::new("c", Kind::Queue, 2, 2, false).unwrap();
    let hosts = [1, 2, 3, 4].map(host);
    let config = Configuration::create(1, ClusterId(1), 1, &shape, &hosts);
    Primary::create(Arc::new(config), MemberId(1))
}

/// Sends at `sent_at`; the answer comes whenever it comes.
fn renew(primary: &mut Primary, from: u64, sent_at: u64) {
    let message = primary.replicate(MemberId(from), 1000, Time(sent_at));
    answer(primary, from, &message.unwrap(), Seq(0), Time(0));
}

/// A change of 100 bytes and its session record.
const ONE: usize = 300;

#[test]
fn at_the_bound_of_unstable_changes_it_is_busy_before_it_executes() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    primary.bounds.unstable_bytes = 4 * ONE;
    let mut number = 0;
    let busy = loop {
        number += 1;
        if enqueue(&mut primary, number) == Submitted::Busy {
            break number;
        }
        assert!(number < 50, "never busy");
    };
    assert!(busy > 2, "room for some");
    let applied = primary.applied();
    assert_eq!(primary.structure().len(), busy - 1);
    ack(&mut primary, 3, applied);
    assert!(matches!(
        enqueue(&mut primary, busy),
        Submitted::Done { .. }
    ));
}

#[test]
fn a_primary_that_was_taken_for_dead_serves_nobody_until_it_is_named_again() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    renew(&mut primary, 3, 100);
    enqueue(&mut primary, 1);
    let lost = taken_for_dead(primary.config(), 1, 4);
    primary.suspend(Arc::new(lost));
    assert_eq!(read(&mut primary, 101), Submitted::Suspended);
    assert_eq!(enqueue(&mut primary, 2), Submitted::Suspended);
    assert_eq!(primary.replicate(MemberId(3), 1000, Time(101)), None);
    for epoch in [Epoch(1), Epoch(2)] {
        let route = Route {
            epoch,
            ..route(&primary, 3)
        };
        primary.on_ack(route, acked(Seq(2)), Time(0));
        assert_eq!(primary.stable(), Seq(0), "sealed");
    }
    primary.adopt(Arc::new(config().successor(3).successor(4)));
    let resent = primary.replicate(MemberId(3), 1000, Time(102)).unwrap();
    assert_eq!(resent.changes.first, Seq(1), "all above stable");
    assert!(matches!(enqueue(&mut primary, 2), Submitted::Done { .. }));
}

#[test]
fn a_replacement_that_was_lost_before_it_heard_that_it_was_active_has_all_when_it_returns() {
    let mut dead = Primary::create(Arc::new(config()), MemberId(1));
    enqueue(&mut dead, 1);
    let expected = Descriptor {
        kind: Kind::Queue,
        cluster: ClusterId(1),
        index: PrimaryIndex(0),
    };
    let pages = dead.structure().snapshot();
    let image = Image::rebuild(dead.applied(), pages, expected).unwrap();
    let lost = taken_for_dead(&config(), 4, 5);
    let mut again = lost.successor(3);
    again.primaries[0] = config().primaries[0].clone();
    again.primaries[0].id = MemberId(4);
    let mut primary = Primary::recovered(Arc::new(lost), MemberId(4), image);
    assert_eq!(primary.condition(), Condition::Suspended);
    assert_eq!(enqueue(&mut primary, 2), Submitted::Suspended);
    assert_eq!(primary.replicate(MemberId(3), 1000, Time(1)), None);
    primary.adopt(Arc::new(again));
    assert_eq!(primary.condition(), Condition::Serving);
    let (applied, stable) = (primary.applied(), primary.stable());
    assert_eq!((applied, primary.structure().len()), (dead.applied(), 1));
    assert_eq!(stable, applied, "all that are in sync stood there");
    assert!(matches!(enqueue(&mut primary, 2), Submitted::Done { .. }));
    let sent = primary.replicate(MemberId(3), 1000, Time(2)).unwrap();
    assert_eq!(sent.changes.first, applied.next());
}

#[test]
fn it_complains_of_who_is_silent_and_a_pause_of_its_own_is_nobodys_silence() {
    let mut primary = with_two_codes();
    let timing = primary.config().timing;
    let (beat, most) = (
        timing.heartbeat().as_micros(),
        timing.complain_after().as_micros(),
    );
    let beats = |from: u128, to: u128| (from..to).step_by(beat as usize).map(|t| Time(t as u64));
    for now in beats(beat, beat + most) {
        let message = primary.replicate(MemberId(4), 1000, now);
        let from_4 = route(&primary, 4);
        let ack = Ack {
            seq: Seq(1),
            sent_at: message.unwrap().sent_at,
            number: 0,
            full: None,
        };
        primary.on_ack(from_4, ack, now);
        primary.tick(now);
        assert_eq!(primary.complaints(), []);
    }
    let before = primary.complaints();
    assert!(
        primary.tick(Time(10 * most as u64)),
        "it was paused: one heartbeat more"
    );
    assert_eq!((before, primary.complaints()), (vec![], vec![MemberId(3)]));
}

/// One value of 8 MiB on a slow link had its primary thrown away, and every code.
#[test]
fn a_long_message_that_moves_is_no_silence_and_its_lease_is_renewed_beside_it() {
    let mut primary = with_two_codes();
    let timing = primary.config().timing;
    let look = timing.heartbeat() / 2;
    let mut now = Time(1_000_000);
    let long = primary.replicate(MemberId(3), 1 << 20, now).unwrap();
    assert_eq!(long.changes.count, 1);
    let end = now.after(3 * timing.complain_after());
    let mut renewed = 0;
    while now < end {
        now = now.after(look);
        let message = primary.replicate(MemberId(4), 1000, now).unwrap();
        answer(&mut primary, 4, &message, Seq(1), now);
        assert_eq!(primary.renewal(MemberId(4), now), None, "asked just now");
        if let Some(beside) = primary.renewal(MemberId(3), now) {
            assert_eq!(beside.changes, ChangeRun::empty(Seq(1)));
            answer(&mut primary, 3, &beside, Seq(0), now);
            renewed += 1;
        }
        primary.on_progress(MemberId(3), now);
        primary.tick(now);
        assert_eq!(primary.complaints(), []);
        assert!(renewed == 0 || primary.leased_until() > now, "reads go on");
    }
    assert!(renewed > 5 && primary.stable() == Seq(0));
    // What comes beside it tells nothing of the way that the changes go.
    for _ in 0..=2 * timing.complain_after().as_millis() / look.as_millis() {
        now = now.after(look);
        renew(&mut primary, 3, now.0);
        primary.tick(now);
    }
    assert!(primary.complaints().contains(&MemberId(3)));
}
