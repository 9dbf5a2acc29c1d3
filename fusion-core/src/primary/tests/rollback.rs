//! A primary whose memory was set back, and what must not be taken for that (PROTOCOL rule 63).

use super::*;
use crate::config::HeirSeat;

/// A primary whose memory was set back would number changes again that others have, and answer what nobody has (rule 63).
#[test]
fn a_primary_that_hears_of_changes_which_it_never_sent_serves_nobody() {
    let known = |sent: u64, ack: Ack| {
        let mut primary = Primary::create(Arc::new(config()), MemberId(1));
        primary.replicate(MemberId(3), 1, Time(sent)).unwrap();
        // What it numbers now has the number of one that the other knows.
        enqueue(&mut primary, 1);
        let route = route(&primary, 3);
        primary.on_ack(route, ack, Time(sent));
        primary
    };
    let at = |seq: u64, sent_at: u64| Ack {
        seq: Seq(seq),
        sent_at: Time(sent_at),
        number: 0,
        full: None,
    };
    for (what, later) in [("a change", at(2, 100)), ("a message", at(1, 101))] {
        let mut primary = known(100, later);
        assert_eq!(primary.condition(), Condition::Missing, "{what}");
        assert_eq!(primary.stable(), Seq(0), "{what}");
        assert_eq!(enqueue(&mut primary, 2), Submitted::Suspended);
        assert_eq!(read(&mut primary, 101), Submitted::Suspended);
        assert_eq!(primary.replicate(MemberId(3), 1, Time(101)), None);
        let next = (**primary.config()).successor(2);
        primary.adopt(Arc::new(next));
        assert_eq!(primary.condition(), Condition::Missing, "for ever");
    }
    assert_eq!(known(100, at(1, 100)).condition(), Condition::Serving);
    let mut primary = known(100, at(1, 100));
    let from_3 = route(&primary, 3);
    primary.on_refusal(from_3, &Refusal::WentBack);
    assert_eq!(primary.condition(), Condition::Missing);
}

/// Recoveries bring members to what others were sent; a primary that returns after that must not take it for its own past.
#[test]
fn a_primary_that_returns_knows_that_others_were_rolled_forward() {
    let mut primary = with_two_codes();
    enqueue(&mut primary, 1);
    ack(&mut primary, 3, Seq(3));
    let lost = taken_for_dead(primary.config(), 1, 5);
    let mut again = (**primary.config()).successor(3);
    again.epoch = lost.epoch.next();
    primary.suspend(Arc::new(lost));
    primary.adopt(Arc::new(again));
    let message = primary.replicate(MemberId(4), 1, Time(5)).unwrap();
    assert_eq!(message.changes.count, 1);
    let from_4 = route(&primary, 4);
    let sent_at = Time(5);
    primary.on_ack(
        from_4,
        Ack {
            seq: Seq(3),
            sent_at,
            number: 0,
            full: None,
        },
        Time(5),
    );
    assert_eq!(primary.condition(), Condition::Serving);
    assert_eq!(primary.stable(), Seq(3));
}

/// What is under way may be long, so that the first that an heir hears of is an empty message beside it. Its answer made
/// the primary take itself for one that went back, and it was lost within f.
#[test]
fn an_heir_that_hears_of_a_lease_first_is_no_sign_of_a_past() {
    let mut primary = Primary::create(Arc::new(config()), MemberId(1));
    enqueue(&mut primary, 1);
    let now = Time(1_000_000_000);
    primary.replicate(MemberId(3), usize::MAX, now).unwrap();
    let applied = primary.applied();
    let mut next = (**primary.config()).successor(2);
    next.primaries[0].heir = Some(HeirSeat {
        id: MemberId(4),
        host: host(4),
    });
    primary.adopt(Arc::new(next));
    let beside = primary.renewal(MemberId(4), now).unwrap();
    assert_eq!(beside.changes, ChangeRun::empty(applied.next()));
    answer(&mut primary, 4, &beside, applied, now);
    assert_eq!(primary.condition(), Condition::Serving);
}
