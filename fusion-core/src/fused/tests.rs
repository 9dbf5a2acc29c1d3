use super::*;
use crate::config::{ClusterShape, Host};
use crate::id::{ClusterId, ServerId};
use crate::op::Kind;
use crate::primary::Primary;
use bytes::Bytes;

const NOW: Time = Time(50);

fn ack(seq: u64) -> Ack {
    Ack {
        seq: Seq(seq),
        sent_at: Time(7),
        number: 0,
        full: None,
    }
}

fn config() -> Arc<Configuration> {
    let shape = ClusterShape::new("c", Kind::Queue, 2, 1, false).unwrap();
    let hosts = [1, 2, 3].map(|i| Host {
        server: ServerId(i),
        address: String::new(),
    });
    Arc::new(Configuration::create(1, ClusterId(1), 1, &shape, &hosts))
}

fn fused() -> Fused {
    Fused::create(config(), MemberId(3), Code::new(2, 1).unwrap())
}

fn route(from: u64) -> Route {
    let config = config();
    config.route(MemberId(from), MemberId(3))
}

/// The descriptor of primary 0.
fn first() -> Replicate {
    let mut primary = Primary::create(config(), MemberId(1));
    primary.replicate(MemberId(3), 1000, Time(7)).unwrap()
}

#[test]
fn changes_come_in_order_once_and_from_their_primary_only() {
    let mut fused = fused();
    let message = first();
    assert!(matches!(
        fused.on_replicate(route(2), &message, NOW),
        Err(Refusal::NotAllowed)
    ));
    assert_eq!(fused.on_replicate(route(1), &message, NOW), Ok(ack(1)));
    let pages = fused.store().bytes();
    assert_eq!(
        fused.on_replicate(route(1), &message, NOW),
        Ok(ack(1)),
        "again"
    );
    assert_eq!(fused.store().bytes(), pages);
}

#[test]
fn another_epoch_is_refused_with_the_configuration() {
    let mut other = route(1);
    other.epoch = other.epoch.next();
    match fused().on_replicate(other, &first(), NOW) {
        Err(Refusal::Epoch(ours)) => assert_eq!(ours.epoch, config().epoch),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_cannot_take_a_change_leaves_instead_of_refusing_for_ever() {
    let mut fused = fused();
    assert_eq!(fused.condition(), Condition::Serving);
    let garbage = Bytes::from_static(&[255; 40]);
    let changes = ChangeRun::pack(Seq(1), std::iter::once(&garbage));
    let message = Replicate { changes, ..first() };
    assert_eq!(
        fused.on_replicate(route(1), &message, NOW),
        Err(Refusal::Malformed)
    );
    assert_eq!(fused.condition(), Condition::Missing);
    assert_eq!(fused.vector(), [Seq(0), Seq(0)], "nothing was applied");
}

/// Primary 0 (member 1) is lost and rebuilt by member 4.
fn losing_the_first(fused: &mut Fused) -> Route {
    let mut next = (**fused.config()).successor(2);
    next.primaries[0].id = MemberId(4);
    next.primaries[0].state = PrimaryState::Lost;
    let next = Arc::new(next);
    fused.adopt(Arc::clone(&next));
    next.route(MemberId(4), MemberId(3))
}

fn lease_left(fused: &mut Fused, route: Route, now: Time) -> Duration {
    match fused.on_recovery(route, &RecoveryRequest::Vector, now) {
        Ok(RecoveryReply::Vector { lease_left, .. }) => lease_left,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lease_is_said_to_be_over_only_after_its_whole_length() {
    let mut fused = fused();
    fused.on_replicate(route(1), &first(), NOW).unwrap();
    let lease = config().timing.lease_fused();
    let replacement = losing_the_first(&mut fused);
    assert_eq!(lease_left(&mut fused, replacement, NOW), lease);
    let end = NOW.after(lease);
    assert_eq!(
        lease_left(&mut fused, replacement, Time(end.0 - 1)),
        Duration::from_micros(1)
    );
    assert_eq!(lease_left(&mut fused, replacement, end), Duration::ZERO);
}

/// Activation waits for the old lease, so this is the second line: a primary that was let in by an operator's word.
#[test]
fn another_primary_is_refused_while_a_lease_runs() {
    let mut fused = fused();
    fused.on_replicate(route(1), &first(), NOW).unwrap();
    let mut next = (**fused.config()).successor(2);
    next.primaries[0].id = MemberId(4);
    let next = Arc::new(next);
    fused.adopt(Arc::clone(&next));
    let successor = next.route(MemberId(4), MemberId(3));
    let end = NOW.after(next.timing.lease_fused());
    let early = fused.on_replicate(successor, &first(), Time(end.0 - 1));
    assert_eq!(early, Err(Refusal::Leased));
    assert_eq!(fused.on_replicate(successor, &first(), end), Ok(ack(1)));
}

#[test]
fn a_failed_member_gives_no_further_lease() {
    let mut fused = fused();
    let garbage = Bytes::from_static(&[255; 40]);
    let changes = ChangeRun::pack(Seq(1), std::iter::once(&garbage));
    let message = Replicate { changes, ..first() };
    fused.on_replicate(route(1), &message, NOW).unwrap_err();
    assert_eq!(
        fused.on_replicate(route(1), &first(), NOW),
        Err(Refusal::NotAllowed)
    );
}

#[test]
fn only_the_primary_of_that_index_is_listened_to_and_only_for_this_member() {
    let mut fused = fused();
    for from in [2, 3, 9] {
        let refused = fused.on_replicate(route(from), &first(), NOW);
        assert_eq!(refused, Err(Refusal::NotAllowed), "from {from}");
    }
    let elsewhere = Route {
        to: MemberId(2),
        ..route(1)
    };
    let refused = fused.on_replicate(elsewhere, &first(), NOW);
    assert!(matches!(refused, Err(Refusal::NotMember { .. })));
    losing_the_first(&mut fused);
    let at_2 = fused.config().route(MemberId(4), MemberId(3));
    let refused = fused.on_replicate(at_2, &first(), NOW);
    assert_eq!(refused, Err(Refusal::NotAllowed), "not active yet");
    assert_eq!(fused.vector(), [Seq(0), Seq(0)]);
}

#[test]
fn codes_are_frozen_only_where_the_replacement_needs_them() {
    let mut fused = fused();
    fused.on_replicate(route(1), &first(), NOW).unwrap();
    let from = losing_the_first(&mut fused);
    let mut freeze = |wanted: &[(u16, u64)]| {
        let wanted = wanted.iter().map(|&(j, s)| (PrimaryIndex(j), Seq(s)));
        let request = RecoveryRequest::FusedSnapshot {
            recovery: RecoveryId(1),
            wanted: wanted.collect(),
        };
        fused.on_recovery(from, &request, NOW)
    };
    for wanted in [&[][..], &[(0, 0)], &[(0, 2)], &[(1, 0)], &[(0, 1), (1, 0)]] {
        assert_eq!(freeze(wanted), Err(Refusal::NotThere), "{wanted:?}");
    }
    let frozen = freeze(&[(0, 1)]);
    assert!(matches!(frozen, Ok(RecoveryReply::FusedSnapshot { .. })));
}

#[test]
fn at_its_bound_it_is_busy_until_the_stable_mark_makes_room() {
    let mut fused = fused();
    fused.bounds.log_bytes = 10;
    fused.on_replicate(route(1), &first(), NOW).unwrap();
    let mut second = first();
    second.changes.first = Seq(2);
    assert_eq!(
        fused.on_replicate(route(1), &second, NOW),
        Err(Refusal::Busy)
    );
    assert_eq!(fused.condition(), Condition::Serving, "it does not leave");
    second.stable = Seq(1);
    assert_eq!(fused.on_replicate(route(1), &second, NOW), Ok(ack(2)));
}

#[test]
fn a_snapshot_that_nobody_asks_about_goes() {
    let mut fused = fused();
    fused.on_replicate(route(1), &first(), NOW).unwrap();
    let from = losing_the_first(&mut fused);
    let recovery = RecoveryId(1);
    let freeze = RecoveryRequest::FusedSnapshot {
        recovery,
        wanted: vec![(PrimaryIndex(0), Seq(1))],
    };
    fused.on_recovery(from, &freeze, NOW).unwrap();
    let pages = RecoveryRequest::SnapshotPages {
        recovery,
        from: 0,
        count: 1,
    };
    let nearly = Time(NOW.after(MAX_PIN_IDLE).0 - 1);
    fused.tick(nearly);
    fused.on_recovery(from, &pages, nearly).unwrap();
    fused.tick(nearly.after(MAX_PIN_IDLE));
    assert_eq!(
        fused.on_recovery(from, &pages, nearly),
        Err(Refusal::NotThere)
    );
}

/// A learner says that it has everything only after a message of this epoch that it stands at or above the mark of; what it
/// said in the epoch before is nothing in the next one (rule 54).
#[test]
fn a_learner_is_complete_in_an_epoch_only_after_a_message_of_it() {
    let shape = ClusterShape::new("c", Kind::Queue, 1, 1, false).unwrap();
    let hosts = [1, 2].map(|i| Host {
        server: ServerId(i),
        address: String::new(),
    });
    let config = Configuration::create(1, ClusterId(1), 1, &shape, &hosts);
    let mut primary = Primary::create(Arc::new(config.clone()), MemberId(1));
    let mut next = config.successor(2);
    next.add_learner(Row(0), hosts[0].clone());
    let mut config = Arc::new(next);
    let learner = config.learners().next().unwrap().id;
    primary.adopt(Arc::clone(&config));
    let mut fused = Fused::create(Arc::clone(&config), learner, Code::new(1, 1).unwrap());
    let route = |config: &Configuration, to| config.route(MemberId(1), to);
    let tell = |primary: &mut Primary, fused: &mut Fused| {
        let message = primary.replicate(learner, 1000, NOW).unwrap();
        let route = route(primary.config(), learner);
        let ack = fused.on_replicate(route, &message, NOW).unwrap();
        primary.on_ack(route, ack, NOW);
    };
    let mut from = 0;
    while let Some(chunk) = primary.chunk(learner, from) {
        from = chunk.number + 1;
        fused
            .on_chunk(route(&config, learner), &chunk, NOW)
            .unwrap();
    }
    tell(&mut primary, &mut fused);
    let learning = |fused: &Fused| matches!(fused.condition(), Condition::Learning { .. });
    assert!(learning(&fused), "its snapshot is not stable");
    primary.replicate(MemberId(2), 1000, NOW).unwrap();
    let ack = Ack {
        seq: primary.applied(),
        sent_at: NOW,
        number: 0,
        full: None,
    };
    primary.on_ack(route(&config, MemberId(2)), ack, NOW);
    tell(&mut primary, &mut fused);
    assert_eq!(fused.condition(), Condition::Complete);
    for state in [FusedState::Joining, FusedState::Joining] {
        let mut next = config.successor(3);
        next.fused
            .iter_mut()
            .find(|s| s.id == learner)
            .unwrap()
            .state = state;
        config = Arc::new(next);
        fused.adopt(Arc::clone(&config));
        assert!(learning(&fused), "said in an earlier epoch");
        primary.adopt(Arc::clone(&config));
        tell(&mut primary, &mut fused);
        assert_eq!(fused.condition(), Condition::Complete);
    }
}

/// A fused process that was set back held up every write for ever: its primary sends what it acknowledged never again
/// (rule 63).
#[test]
fn who_lacks_what_it_has_acknowledged_leaves() {
    let mut fused = fused();
    let message = first();
    let gap = Replicate {
        changes: ChangeRun::empty(Seq(2)),
        ..message.clone()
    };
    let refused = fused.on_replicate(route(1), &gap, NOW);
    assert_eq!(refused, Err(Refusal::NotAllowed));
    assert_eq!(fused.condition(), Condition::Missing);
    let refused = fused.on_replicate(route(1), &message, NOW);
    assert_eq!(refused, Err(Refusal::NotAllowed), "for ever");
}

/// Messages that overtake each other, or come twice, are no sign of anything.
#[test]
fn late_messages_are_no_sign_that_somebody_went_back() {
    let mut primary = Primary::create(config(), MemberId(1));
    let mut fused = fused();
    let mut sent = Vec::new();
    for at in 1..=4 {
        sent.push(primary.replicate(MemberId(3), 1000, Time(at)).unwrap());
        let taken = fused.on_replicate(route(1), sent.last().unwrap(), NOW);
        primary.on_ack(route(1), taken.unwrap(), Time(at));
    }
    assert_eq!(sent[3].stable, Seq(1));
    for message in sent.iter().rev().chain(&sent) {
        let taken = fused.on_replicate(route(1), message, NOW).unwrap();
        assert_eq!((taken.seq, taken.sent_at), (Seq(1), Time(4)));
        primary.on_ack(route(1), taken, Time(9));
    }
    assert_eq!(fused.condition(), Condition::Serving);
    assert_eq!(primary.condition(), Condition::Serving);
}

/// The primary was set back to before what it said last, and numbers other changes as it did those (rule 63).
#[test]
fn a_primary_that_contradicts_what_it_said_is_told_so() {
    let change = |byte: u8| {
        let mut buf = crate::change::ChangeBuf::new();
        let class = crate::class::ClassId::all().next().unwrap();
        buf.write(class, 0, 0, &[0; 4], &[byte; 4]);
        buf.freeze()
    };
    let message = |byte: u8, stable: u64, sent_at: u64| Replicate {
        changes: ChangeRun::pack(Seq(1), std::iter::once(&change(byte))),
        stable: Seq(stable),
        sent_at: Time(sent_at),
        ..first()
    };
    let mut fused = fused();
    fused
        .on_replicate(route(1), &message(1, 0, 10), NOW)
        .unwrap();
    fused
        .on_replicate(route(1), &message(1, 0, 20), NOW)
        .unwrap();
    let other = fused.on_replicate(route(1), &message(2, 0, 30), NOW);
    assert_eq!(other, Err(Refusal::WentBack), "another content");
    // Once it is stable the log has it no more; then the mark tells.
    fused
        .on_replicate(route(1), &message(1, 1, 40), NOW)
        .unwrap();
    let other = fused.on_replicate(route(1), &message(2, 0, 50), NOW);
    assert_eq!(other, Err(Refusal::WentBack), "a lower mark");
    let clock = fused.on_replicate(route(1), &message(2, 0, 35), NOW);
    assert_eq!(clock.unwrap().sent_at, Time(40), "never sent by that one");
}
