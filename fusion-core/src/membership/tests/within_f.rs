//! Schedules that turned what could be recovered into what was lost (PROTOCOL rules 50, 51, 55, 62).

use super::*;
use crate::avoidance::Avoided;

impl World {
    fn revive(&mut self, server: u64) {
        let view = self.evidence.servers.get_mut(&ServerId(server)).unwrap();
        view.suspected_since_ms = None;
        view.last_heard_ms = self.now;
    }

    fn avoid(&mut self, server: u64, now: bool) {
        let mark = Avoided { times: 1, now };
        self.evidence.avoided.insert(ServerId(server), mark);
    }

    fn beyond(&self) -> bool {
        let plan = plan(&self.config, &self.evidence, 9);
        matches!(plan, Plan::Wait(Waiting::MoreThanF { .. }))
    }

    fn accept(&self, wipe: &[u64]) -> Result<(Configuration, Vec<PrimaryIndex>), LossError> {
        let lose = match foresee_loss(&self.config, &self.evidence) {
            Ok(foreseen) => foreseen.lost,
            Err(_) => self.config.lost().collect(),
        };
        let acceptance = Acceptance {
            lose,
            wipe: wipe.iter().map(|&s| ServerId(s)).collect(),
            processes_are_dead: true,
        };
        accept_loss(&self.config, &self.evidence, 9, &acceptance)
    }
}

/// Row 1 of "within f": P stops for longer than T_s, F is killed, P goes on.
#[test]
fn a_primary_that_returns_is_active_again_though_the_code_is_dead() {
    let mut w = World::new(1, 1, 0);
    w.kill(1);
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(0)]));
    w.kill(2);
    assert!(w.beyond());
    w.revive(1);
    w.report(MemberId(1), Condition::Suspended);
    let none = foresee_loss(&w.config, &w.evidence);
    assert_eq!(none, Err(LossError::NothingLost), "it answers");
    assert!(w.accept(&[1]).is_err());
    assert_eq!(w.step(), Reason::PrimariesReturned(vec![PrimaryIndex(0)]));
    w.hear_all();
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));
}

/// Row 1, with another primary that is recoverable.
#[test]
fn a_primary_that_returns_is_no_loss_beside_another_one() {
    let mut w = World::new(2, 1, 1);
    w.kill(1);
    w.step();
    w.kill(2);
    assert!(w.beyond());
    w.revive(1);
    w.report(MemberId(1), Condition::Suspended);
    assert_eq!(w.step(), Reason::PrimariesReturned(vec![PrimaryIndex(0)]));
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(1)]));
}

#[test]
fn a_former_primary_that_fell_silent_again_does_not_return() {
    let mut w = World::new(1, 1, 0);
    w.kill(1);
    w.step();
    w.revive(1);
    w.report(MemberId(1), Condition::Suspended);
    w.evidence.silent.insert(MemberId(1), 50);
    assert!(matches!(
        w.waits(),
        Waiting::Recovering | Waiting::NoServer { .. }
    ));
}

/// Row 2 of "within f": P dies, and the server of its replacement cannot reach F's; another spare could.
#[test]
fn a_replacement_with_a_bad_link_is_placed_again_and_the_last_code_is_kept() {
    for (n, f) in [(1, 1), (2, 1), (3, 2)] {
        let mut w = World::new(n, f, 2);
        for server in 1..=f as u64 {
            w.kill(server);
        }
        w.step();
        let before = w.config.in_sync().count();
        w.hear_all();
        let code = w.config.fused[0].id;
        let replacements: Vec<PrimarySeat> = w.config.primaries[..f].to_vec();
        for seat in &replacements {
            w.complain(seat.id.0, &[code.0]);
        }
        let all = (0..f as u16).map(PrimaryIndex).collect();
        assert_eq!(w.step(), Reason::ReplacementsPlaced(all), "{n} and {f}");
        for (before, after) in replacements.iter().zip(&w.config.primaries) {
            assert_ne!(before.host.server, after.host.server, "{n} and {f}");
        }
        assert_eq!(w.config.in_sync().count(), before, "{n} and {f}");
    }
}

#[test]
fn of_codes_no_more_are_blamed_than_can_be_spared() {
    // Both replacements miss the same code, and it cannot be spared: they are to blame.
    let mut w = World::new(2, 2, 4);
    w.kill(1);
    w.kill(2);
    w.step();
    w.hear_all();
    for j in 0..2 {
        w.complain(w.config.primaries[j].id.0, &[3]);
    }
    let both = vec![PrimaryIndex(0), PrimaryIndex(1)];
    assert_eq!(w.step(), Reason::ReplacementsPlaced(both));
}

#[test]
fn who_is_only_blamed_is_not_said_to_be_lost() {
    // P0 is lost, the only code left; P1 cannot reach it.
    let mut w = World::new(2, 1, 2);
    w.kill(1);
    w.step();
    w.hear_all();
    w.complain(2, &[3]);
    assert_eq!(w.waits(), Waiting::Recovering, "neither may be given up");
    assert_eq!(
        foresee_loss(&w.config, &w.evidence),
        Err(LossError::NothingLost)
    );
}

/// It can be recovered from the code, and may return; what it answered without the code would be lost with it.
#[test]
fn of_a_primary_and_the_last_code_the_primary_is_given_up() {
    let mut w = World::new(2, 1, 1);
    w.hear_all();
    w.complain(1, &[3]);
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(0)]));
    assert_eq!(w.config.in_sync().count(), 1);
    w.kill(1);
    assert_eq!(w.waits(), Waiting::Recovering, "one server was unwell");
    // Nobody could take its place: then the code, and the primary goes on without any (17).
    let mut w = World::new(2, 1, 0);
    w.hear_all();
    w.complain(1, &[3]);
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));
}

#[test]
fn the_common_end_of_what_members_at_two_servers_miss_is_given_up() {
    let miss = |w: &mut World, one: u64, at: u64| {
        let servers = w.evidence.missed.entry(MemberId(one)).or_default();
        servers.insert(ServerId(at));
    };
    let mut w = World::new(2, 2, 3);
    w.kill(2);
    w.step();
    w.hear_all();
    let replacement = w.config.primaries[1].id.0;
    w.complain(replacement, &[1]);
    let mut once = World {
        config: w.config.clone(),
        evidence: w.evidence.clone(),
        now: w.now,
    };
    miss(&mut once, 1, 5);
    assert_eq!(w.config.primaries[1].host.server, ServerId(5));
    let placed = Reason::ReplacementsPlaced(vec![PrimaryIndex(1)]);
    assert_eq!(once.step(), placed, "at one server");
    miss(&mut w, 1, 6);
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(0)]));
    // A code, even the last one, where that loses nothing.
    let mut w = World::new(1, 1, 2);
    w.hear_all();
    miss(&mut w, 2, 3);
    w.complain(1, &[2]);
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));
    // And not where it would.
    let mut w = World::new(1, 1, 2);
    w.kill(1);
    w.step();
    w.hear_all();
    let replacement = w.config.primaries[0].id.0;
    miss(&mut w, 2, 4);
    w.complain(replacement, &[2]);
    assert_eq!(w.step(), Reason::ReplacementsPlaced(vec![PrimaryIndex(0)]));
}

/// P1 is lost, P0 is reached by nobody, and there is one code: replacements of P1 were given up for ever (rules 36, 51).
#[test]
fn a_primary_that_nobody_reaches_and_that_cannot_be_spared_is_moved() {
    let mut w = World::new(2, 1, 4);
    let (moved, made) = (PrimaryIndex(0), PrimaryIndex(1));
    w.kill(2);
    w.step();
    w.hear_all();
    let replacement = w.config.primaries[1].id.0;
    w.complain(replacement, &[1]);
    let missed = w.evidence.missed.entry(MemberId(1)).or_default();
    missed.insert(ServerId(7));
    assert_eq!(w.step(), Reason::PrimaryMoves(moved));
    let heir = w.config.heirs().next().unwrap().1.id;
    w.hear_all();
    w.complain(replacement, &[1]);
    assert_eq!(w.waits(), Waiting::Recovering, "it waits for the heir");
    // Its server dies meanwhile: the move goes on.
    let server = w.config.primaries[1].host.server.0;
    w.kill(server);
    assert_eq!(w.step(), Reason::ReplacementsPlaced(vec![made]));
    w.hear_all();
    w.report(heir, Condition::Complete);
    assert_eq!(w.step(), Reason::PrimaryMoved(moved));
    assert_eq!(w.config.primaries[0].id, heir);
    assert_eq!(w.config.lost().count(), 1);
}

#[test]
fn a_primary_is_not_blamed_where_nobody_could_take_its_place_and_the_last_code_is_kept() {
    let mut w = World::new(1, 2, 0);
    w.hear_all();
    w.complain(1, &[2, 3]);
    // One code may go in its stead, not both.
    assert!(matches!(w.step(), Reason::FusedRemoved(rows) if rows.len() == 1));
    assert_eq!(w.config.in_sync().count(), 1);
    assert_eq!(w.config.lost().count(), 0);
}

#[test]
fn a_primary_lost_by_blame_returns_where_more_than_f_would_be_said() {
    let mut w = World::new(1, 2, 2);
    w.hear_all();
    w.complain(1, &[2, 3]);
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(0)]));
    w.report(MemberId(1), Condition::Suspended);
    assert_eq!(w.waits(), Waiting::Recovering, "it is being replaced");
    w.kill(2);
    w.kill(3);
    let none = foresee_loss(&w.config, &w.evidence);
    assert_eq!(none, Err(LossError::NothingLost));
    assert_eq!(w.step(), Reason::PrimariesReturned(vec![PrimaryIndex(0)]));
    assert_eq!(w.config.primaries[0].id, MemberId(1));
}

#[test]
fn a_primary_lost_by_blame_returns_where_nobody_could_be_placed() {
    let mut w = World::new(1, 2, 1);
    w.hear_all();
    w.complain(1, &[2, 3]);
    w.step();
    w.kill(4);
    w.report(MemberId(1), Condition::Suspended);
    assert_eq!(w.step(), Reason::PrimariesReturned(vec![PrimaryIndex(0)]));
}

#[test]
fn a_replacement_that_is_ready_is_active_before_the_next_loss() {
    let mut w = World::new(2, 1, 2);
    w.kill(1);
    w.step();
    w.report(w.config.primaries[0].id, Condition::Ready { seq: Seq(3) });
    w.kill(2);
    assert_eq!(w.step(), Reason::PrimariesRecovered(vec![PrimaryIndex(0)]));
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(1)]));
}

#[test]
fn a_learner_that_is_complete_counts_before_the_next_loss() {
    let mut w = World::new(1, 1, 1);
    w.kill(2);
    w.hear_all();
    w.step();
    w.step();
    let learner = w.config.learners().next().unwrap().id;
    w.report(learner, Condition::Complete);
    assert_eq!(w.step(), Reason::LearnersCaughtUp(vec![Row(0)]));
    w.report(learner, Condition::Complete);
    w.kill(1);
    assert_eq!(w.step(), Reason::LearnersPromoted(vec![Row(0)]));
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(0)]));
}

#[test]
fn a_loss_names_who_lives_and_is_not_accepted_before_the_operator_does() {
    let mut w = World::new(2, 1, 3);
    w.kill(1);
    w.kill(2);
    w.hear_all();
    let foreseen = foresee_loss(&w.config, &w.evidence).unwrap();
    let wiped: Vec<_> = foreseen
        .wiped
        .iter()
        .map(|m| (m.part, m.host.server))
        .collect();
    assert_eq!(wiped, [(Part::Codes(Row(0)), ServerId(3))]);
    let gone: Vec<_> = foreseen.gone.iter().map(|m| m.id).collect();
    assert_eq!(gone, [MemberId(1), MemberId(2)]);
    let servers = vec![3];
    assert_eq!(w.accept(&[]), Err(LossError::Lives { servers }));
    assert!(w.accept(&[3]).is_ok());
    // One of them answers before it is done.
    w.revive(2);
    assert_eq!(w.accept(&[3]), Err(LossError::NothingLost));
}

#[test]
fn members_wait_for_a_server_where_one_was_given_up_and_take_others_first() {
    let mut w = World::new(1, 1, 1);
    w.kill(2);
    w.hear_all();
    w.step();
    w.avoid(3, true);
    let (needed, servers) = (1, vec![ServerId(3)]);
    assert_eq!(w.waits(), Waiting::Avoided { needed, servers });
    w.avoid(3, false);
    let mut other = World::new(1, 1, 2);
    other.kill(2);
    other.hear_all();
    other.step();
    other.avoid(3, false);
    assert_eq!(w.step(), Reason::LearnersAdded(vec![Row(0)]));
    assert_eq!(w.config.learners().next().unwrap().host.server, ServerId(3));
    other.step();
    let placed = other.config.learners().next().unwrap().host.server;
    assert_eq!(placed, ServerId(4), "before it others are");
}
