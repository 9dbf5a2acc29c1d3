//! Codes that were given up and come back (PROTOCOL rule 52).

use super::*;

impl World {
    /// The code on this server falls silent, and is removed.
    fn lose_code(&mut self, server: u64, row: u16) {
        self.kill(server);
        self.hear_all();
        assert_eq!(self.step(), Reason::FusedRemoved(vec![Row(row)]));
    }

    /// The server is heard of again, and has the code that was given up.
    fn comes_back(&mut self, server: u64, code: u64) {
        let view = self.evidence.servers.get_mut(&ServerId(server)).unwrap();
        view.suspected_since_ms = None;
        self.report(MemberId(code), Condition::Suspended);
    }

    fn is_beyond_f(&self) -> bool {
        let plan = plan(&self.config, &self.evidence, 9);
        matches!(plan, Plan::Wait(Waiting::MoreThanF { .. }))
    }

    fn complains(&mut self, by: u64, about: u64) {
        self.report(MemberId(by), Condition::Serving);
        let heard = self.evidence.reports.get_mut(&MemberId(by)).unwrap();
        heard.report.complaints = vec![MemberId(about)];
    }
}

#[test]
fn a_code_that_answers_again_is_sent_what_it_lacks_and_counts_as_a_learner_does() {
    let mut w = World::new(2, 1, 0);
    w.lose_code(3, 0);
    let former = w.config.former_code(MemberId(3)).unwrap();
    assert_eq!((former.row, former.lost.len()), (Row(0), 0));
    assert_eq!(w.config.check(), Ok(()));
    w.comes_back(3, 3);
    assert_eq!(w.step(), Reason::CodesReturn(vec![Row(0)]));
    let seat = w.config.fused_seat(MemberId(3)).unwrap();
    assert_eq!(seat.state, FusedState::Copying);
    assert_eq!(w.config.check(), Ok(()));
    w.promote(MemberId(3));
    assert_eq!(w.config.former_codes, []);
    assert_eq!(w.config.in_sync().count(), 1);
}

/// A learner that only copies has less than who returns. One that counts has caught up.
#[test]
fn a_learner_that_only_copies_gives_way_to_who_returns() {
    let mut w = World::new(1, 1, 1);
    w.lose_code(2, 0);
    assert_eq!(w.step(), Reason::LearnersAdded(vec![Row(0)]));
    let learner = w.config.learners().next().unwrap().id;
    assert_eq!(w.config.check(), Ok(()), "the row's learner and its code");
    let mut counts = World {
        config: w.config.clone(),
        evidence: w.evidence.clone(),
        now: w.now,
    };
    counts.report(learner, Condition::Complete);
    assert_eq!(counts.step(), Reason::LearnersCaughtUp(vec![Row(0)]));
    counts.comes_back(2, 2);
    assert_eq!(counts.waits(), Waiting::Recovering);
    w.comes_back(2, 2);
    assert_eq!(w.step(), Reason::CodesReturn(vec![Row(0)]));
    let ids: Vec<MemberId> = w.config.fused.iter().map(|s| s.id).collect();
    assert_eq!(ids, [MemberId(2)]);
}

/// The schedule of a code that is given up while another one has died and is not missed yet, and a primary is lost.
#[test]
fn what_was_lost_before_it_was_given_up_is_in_it() {
    let mut w = World::new(2, 2, 1);
    w.kill(1);
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(0)]));
    w.lose_code(3, 0);
    let former = w.config.former_code(MemberId(3)).unwrap();
    assert_eq!(former.lost, [PrimaryIndex(0)]);
    w.comes_back(3, 3);
    assert_eq!(w.waits(), Waiting::Recovering, "it is not needed");
    w.kill(4);
    assert_eq!(w.step(), Reason::CodesReturn(vec![Row(0)]));
    assert_eq!(w.config.check(), Ok(()));
    for reason in [
        Reason::LearnersCaughtUp(vec![Row(0)]),
        Reason::LearnersPromoted(vec![Row(0)]),
    ] {
        assert!(w.is_beyond_f());
        w.report(MemberId(3), Condition::Complete);
        assert_eq!(w.step(), reason);
    }
    assert!(!w.is_beyond_f());
    let replacement = w.config.primaries[0].id;
    w.report(replacement, Condition::Ready { seq: Seq(5) });
    assert_eq!(w.step(), Reason::PrimariesRecovered(vec![PrimaryIndex(0)]));
}

#[test]
fn what_a_primary_answered_without_it_is_not_in_it() {
    let mut w = World::new(2, 2, 1);
    w.lose_code(3, 0);
    w.kill(1);
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(0)]));
    w.kill(4);
    w.comes_back(3, 3);
    assert!(w.is_beyond_f(), "it lacks what primary 0 answered since");
}

/// A primary that serves again while the code is away may answer without it.
#[test]
fn who_served_again_meanwhile_is_not_in_it() {
    let mut w = World::new(2, 2, 1);
    w.kill(1);
    w.step();
    w.lose_code(3, 0);
    let view = w.evidence.servers.get_mut(&ServerId(1)).unwrap();
    view.suspected_since_ms = None;
    w.report(MemberId(1), Condition::Suspended);
    assert_eq!(w.step(), Reason::PrimariesReturned(vec![PrimaryIndex(0)]));
    let former = w.config.former_code(MemberId(3)).unwrap();
    assert_eq!(former.lost, []);
    w.kill(1);
    w.step();
    w.kill(4);
    w.comes_back(3, 3);
    assert!(w.is_beyond_f());
}

/// What it has of a primary may go beyond what that was recovered to.
#[test]
fn nobody_returns_after_a_replacement_was_active() {
    let mut w = World::new(1, 2, 1);
    w.kill(1);
    w.step();
    w.lose_code(2, 0);
    let replacement = w.config.primaries[0].id;
    w.report(replacement, Condition::Ready { seq: Seq(5) });
    assert_eq!(w.step(), Reason::PrimariesRecovered(vec![PrimaryIndex(0)]));
    assert_eq!(w.config.former_codes, []);
}

/// It would hold up the row for nothing: its server may take a learner.
#[test]
fn a_code_that_was_left_behind_is_forgotten() {
    let mut w = World::new(1, 1, 0);
    w.lose_code(2, 0);
    w.comes_back(2, 2);
    w.complains(1, 2);
    assert_eq!(w.step(), Reason::CodesForgotten(vec![Row(0)]));
    assert_eq!(w.step(), Reason::LearnersAdded(vec![Row(0)]));
}

#[test]
fn who_returns_and_is_blamed_does_not_again_but_who_is_silent_may() {
    let mut w = World::new(1, 1, 0);
    w.lose_code(2, 0);
    w.comes_back(2, 2);
    w.step();
    let mut blamed = World {
        config: w.config.clone(),
        evidence: w.evidence.clone(),
        now: w.now,
    };
    blamed.complains(1, 2);
    blamed.report(MemberId(2), Condition::Learning { done: 0, total: 0 });
    assert_eq!(blamed.step(), Reason::FusedRemoved(vec![Row(0)]));
    assert_eq!(blamed.config.former_codes, []);
    w.lose_code(2, 0);
    w.comes_back(2, 2);
    assert_eq!(w.step(), Reason::CodesReturn(vec![Row(0)]));
}

#[test]
fn who_has_lost_its_state_is_no_former_code() {
    let mut w = World::new(1, 1, 1);
    w.hear_all();
    w.report(MemberId(2), Condition::Missing);
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));
    assert_eq!(w.config.former_codes, []);
}

/// Nobody else is put where it is, as long as it may come back there.
#[test]
fn its_server_is_no_place_for_another_member_until_it_is_known_to_be_gone() {
    let mut w = World::new(1, 1, 0);
    w.hear_all();
    w.complains(1, 2);
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));
    assert_eq!(w.waits(), Waiting::NoServer { needed: 1 });
    w.evidence.silent.insert(MemberId(2), w.now);
    assert_eq!(w.step(), Reason::LearnersAdded(vec![Row(0)]));
    assert_eq!(w.config.former_codes, []);
}
