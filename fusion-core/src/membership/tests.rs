use super::*;
use crate::config::{ClusterShape, Origin, PrimarySeat, PrimaryState};
use crate::id::{ClusterId, Epoch, PrimaryIndex, Seq};
use crate::op::Kind;

mod losses;
mod moves;
mod returns;
mod within_f;

/// A cluster of n + f on servers 1..=n+f, with `spares` more servers after them.
struct World {
    config: Configuration,
    evidence: Evidence,
    now: u64,
}

impl World {
    fn new(n: usize, f: usize, spares: usize) -> World {
        let shape = ClusterShape::new("c", Kind::Map, n, f, false).unwrap();
        let mut evidence = Evidence::default();
        for i in 1..=(n + f + spares) as u64 {
            let view = ServerView {
                address: format!("127.0.0.1:{i}"),
                last_heard_ms: 1,
                suspected_since_ms: None,
                load: usize::from(i <= (n + f) as u64),
                draining: false,
                ..ServerView::default()
            };
            evidence.servers.insert(ServerId(i), view);
        }
        let hosts: Vec<_> = (1..=(n + f) as u64)
            .map(|i| Host {
                server: ServerId(i),
                address: format!("127.0.0.1:{i}"),
            })
            .collect();
        World {
            config: Configuration::create(7, ClusterId(1), 1, &shape, &hosts),
            evidence,
            now: 100,
        }
    }

    fn kill(&mut self, server: u64) {
        self.evidence
            .servers
            .get_mut(&ServerId(server))
            .unwrap()
            .suspected_since_ms = Some(self.now);
    }

    fn hear_all(&mut self) {
        self.now += 100;
        for view in self
            .evidence
            .servers
            .values_mut()
            .filter(|v| v.suspected_since_ms.is_none())
        {
            view.last_heard_ms = self.now;
        }
        let servers = self.evidence.servers.clone();
        let alive = |s: &&PrimarySeat| servers[&s.host.server].suspected_since_ms.is_none();
        let active = self.config.primaries.iter().filter(alive);
        for id in active.map(|s| s.id).collect::<Vec<_>>() {
            self.report(id, Condition::Serving);
        }
    }

    fn report(&mut self, member: MemberId, condition: Condition) {
        let (cluster, epoch) = (self.config.cluster, self.config.epoch);
        let report = MemberReport::new(cluster, member, epoch, condition);
        let at_ms = self.now;
        self.evidence
            .reports
            .insert(member, Heard { report, at_ms });
    }

    /// A learner says in two epochs that it has everything: it counts, then it is in sync (rule 54).
    fn promote(&mut self, learner: MemberId) {
        let row = self.config.fused_seat(learner).unwrap().row;
        self.report(learner, Condition::Complete);
        assert_eq!(self.step(), Reason::LearnersCaughtUp(vec![row]));
        assert_eq!(
            self.waits(),
            Waiting::Recovering,
            "what it said before counts no more"
        );
        self.report(learner, Condition::Complete);
        assert_eq!(self.step(), Reason::LearnersPromoted(vec![row]));
    }

    fn step(&mut self) -> Reason {
        match plan(&self.config, &self.evidence, 9) {
            Plan::Change(next, reason) => {
                assert_eq!(next.epoch, self.config.epoch.next());
                self.config = *next;
                reason
            }
            other => panic!("expected a change, got {other:?}"),
        }
    }

    fn waits(&self) -> Waiting {
        match plan(&self.config, &self.evidence, 9) {
            Plan::Wait(waiting) => waiting,
            other => panic!("expected to wait, got {other:?}"),
        }
    }
}

#[test]
fn a_whole_cluster_is_kept() {
    let w = World::new(3, 2, 2);
    assert_eq!(plan(&w.config, &w.evidence, 9), Plan::Keep);
}

#[test]
fn a_dead_primary_goes_to_a_spare_and_is_activated_when_ready() {
    let mut w = World::new(3, 2, 1);
    w.kill(2);
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(1)]));
    let seat = w.config.primaries[1].clone();
    assert_eq!(
        (seat.state, seat.host.server, seat.id),
        (PrimaryState::Lost, ServerId(6), MemberId(6))
    );
    assert_eq!(w.waits(), Waiting::Recovering);
    w.report(seat.id, Condition::Ready { seq: Seq(5) });
    assert_eq!(w.step(), Reason::PrimariesRecovered(vec![PrimaryIndex(1)]));
    assert_eq!(w.config.primaries[1].state, PrimaryState::Active);
}

#[test]
fn evidence_of_another_epoch_does_not_count() {
    let mut w = World::new(3, 2, 1);
    w.kill(2);
    w.step();
    let id = w.config.primaries[1].id;
    w.report(id, Condition::Ready { seq: Seq(5) });
    w.evidence.reports.get_mut(&id).unwrap().report.epoch = Epoch(1);
    assert_eq!(w.waits(), Waiting::Recovering);
}

#[test]
fn more_dead_primaries_than_codes_change_nothing() {
    let mut w = World::new(3, 2, 9);
    for server in [1, 2, 3] {
        w.kill(server);
    }
    let primaries = vec![PrimaryIndex(0), PrimaryIndex(1), PrimaryIndex(2)];
    assert_eq!(
        w.waits(),
        Waiting::MoreThanF {
            primaries,
            in_sync: 2
        }
    );
}

#[test]
fn primaries_and_fused_dead_together_are_lost_then_removed_then_made_again() {
    let mut w = World::new(3, 3, 3);
    for server in [1, 3, 5] {
        w.kill(server);
    }
    assert_eq!(
        w.step(),
        Reason::PrimariesLost(vec![PrimaryIndex(0), PrimaryIndex(2)])
    );
    assert_eq!(
        w.waits(),
        Waiting::Evidence,
        "the surviving primary has not answered since"
    );
    w.hear_all();
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(1)]));
    for j in [0, 2] {
        w.report(w.config.primaries[j].id, Condition::Ready { seq: Seq(1) });
    }
    w.step();
    assert_eq!(w.step(), Reason::LearnersAdded(vec![Row(1)]));
    let learner = w.config.learners().next().unwrap().id;
    assert_eq!(w.waits(), Waiting::Recovering);
    w.promote(learner);
    assert_eq!(plan(&w.config, &w.evidence, 9), Plan::Keep);
    assert_eq!(w.config.tolerates(), 3);
    assert_eq!(
        w.config.servers().len(),
        6,
        "never two members on one server"
    );
}

#[test]
fn losing_a_primary_drops_learners_whether_they_count_or_only_copy() {
    for counts in [false, true] {
        let mut w = World::new(3, 2, 3);
        w.kill(5);
        w.hear_all();
        w.step();
        w.step();
        let learner = w.config.learners().next().unwrap().id;
        assert_eq!(w.config.acknowledging().count(), 1, "it only copies");
        if counts {
            w.report(learner, Condition::Complete);
            w.step();
            assert_eq!(w.config.acknowledging().count(), 2);
        }
        w.kill(1);
        w.step();
        assert_eq!(w.config.learners().count(), 0);
    }
}

#[test]
fn without_a_spare_the_loss_is_recorded_and_mended_when_a_server_comes() {
    let mut w = World::new(2, 1, 0);
    w.kill(1);
    w.step();
    assert_eq!(w.waits(), Waiting::NoServer { needed: 1 });
    let old = w.config.primaries[0].id;
    let view = ServerView {
        address: "h:9".into(),
        last_heard_ms: 1,
        suspected_since_ms: None,
        load: 0,
        draining: false,
        ..ServerView::default()
    };
    w.evidence.servers.insert(ServerId(9), view);
    assert_eq!(w.step(), Reason::ReplacementsPlaced(vec![PrimaryIndex(0)]));
    assert_eq!(w.config.primaries[0].host.server, ServerId(9));
    assert_ne!(w.config.primaries[0].id, old, "an id is never used again");
}

#[test]
fn a_dead_replacement_is_replaced() {
    let mut w = World::new(3, 2, 2);
    w.kill(1);
    w.step();
    let first = w.config.primaries[0].host.server;
    w.kill(first.0);
    w.step();
    assert_ne!(w.config.primaries[0].host.server, first);
    assert_eq!(w.config.primaries[0].state, PrimaryState::Lost);
}

#[test]
fn a_member_that_its_server_does_not_hold_is_dead() {
    let mut w = World::new(3, 2, 1);
    w.report(MemberId(1), Condition::Missing);
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(0)]));
}

#[test]
fn the_last_code_may_be_removed_only_when_no_primary_is_lost() {
    let mut w = World::new(2, 1, 0);
    w.kill(3);
    w.hear_all();
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));
    assert_eq!(w.config.tolerates(), 0);

    let mut w = World::new(2, 2, 0);
    w.kill(1);
    w.step();
    w.kill(3);
    w.hear_all();
    w.step();
    w.kill(4);
    w.hear_all();
    assert!(matches!(w.waits(), Waiting::MoreThanF { .. }));
}

#[test]
fn placement_takes_different_servers_the_least_loaded_first() {
    let w = World::new(2, 1, 2);
    let hosts = place(3, 1, false, &w.evidence.servers).unwrap();
    let servers: Vec<_> = hosts.iter().map(|h| h.server.0).collect();
    assert_eq!(servers, [4, 5, 1]);
    assert_eq!(place(6, 1, false, &w.evidence.servers), None);
    assert_eq!(place(6, 1, true, &w.evidence.servers).unwrap().len(), 6);
}

#[test]
fn servers_not_heard_of_since_the_coordinator_started_get_no_members() {
    let mut w = World::new(1, 1, 1);
    w.evidence
        .servers
        .get_mut(&ServerId(3))
        .unwrap()
        .last_heard_ms = 0;
    w.kill(1);
    w.step();
    assert_eq!(w.waits(), Waiting::NoServer { needed: 1 });
    assert_eq!(place(3, 1, false, &w.evidence.servers), None);
}

#[test]
fn a_member_that_its_living_server_says_nothing_of_is_dead() {
    let mut w = World::new(3, 2, 1);
    w.evidence.silent.insert(MemberId(2), 50);
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(1)]));
}

#[test]
fn a_dead_code_is_removed_only_when_every_primary_itself_has_answered_since_in_this_epoch() {
    let mut w = World::new(2, 2, 0);
    w.hear_all();
    w.kill(3);
    assert_eq!(w.waits(), Waiting::Evidence);
    w.now += 1;
    w.report(MemberId(1), Condition::Serving);
    assert_eq!(w.waits(), Waiting::Evidence);
    // A sign of life of its server is no answer, nor is one of another epoch.
    w.evidence
        .servers
        .get_mut(&ServerId(2))
        .unwrap()
        .last_heard_ms = w.now;
    assert_eq!(w.waits(), Waiting::Evidence);
    w.report(MemberId(2), Condition::Serving);
    w.evidence
        .reports
        .get_mut(&MemberId(2))
        .unwrap()
        .report
        .epoch = Epoch(0);
    assert_eq!(w.waits(), Waiting::Evidence);
    w.report(MemberId(2), Condition::Serving);
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));
}

#[test]
fn a_lost_primary_that_answers_before_it_was_replaced_serves_again() {
    let mut w = World::new(3, 2, 1);
    let before = w.config.primaries[1].clone();
    w.kill(2);
    w.step();
    let replacement = w.config.primaries[1].id;
    assert_eq!(w.config.host_of(before.id), Some(&before.host));
    w.report(before.id, Condition::Suspended);
    assert_eq!(
        w.waits(),
        Waiting::Recovering,
        "its server is not heard of yet"
    );
    w.evidence
        .servers
        .get_mut(&ServerId(2))
        .unwrap()
        .suspected_since_ms = None;
    w.evidence.reports.get_mut(&before.id).unwrap().report.epoch = Epoch(1);
    assert_eq!(w.waits(), Waiting::Recovering, "of another epoch");
    w.report(before.id, Condition::Suspended);
    assert_eq!(w.step(), Reason::PrimariesReturned(vec![PrimaryIndex(1)]));
    assert_eq!(w.config.primaries[1], before);
    assert!(w.config.host_of(replacement).is_none());
}

#[test]
fn once_a_replacement_was_active_the_former_primary_is_nobody() {
    let mut w = World::new(3, 2, 1);
    w.kill(2);
    w.step();
    w.report(w.config.primaries[1].id, Condition::Ready { seq: Seq(5) });
    w.step();
    assert_eq!(w.config.formers().count(), 0);
    w.evidence
        .servers
        .get_mut(&ServerId(2))
        .unwrap()
        .suspected_since_ms = None;
    w.report(MemberId(2), Condition::Suspended);
    assert_eq!(plan(&w.config, &w.evidence, 9), Plan::Keep);
}

impl World {
    fn complain(&mut self, from: u64, about: &[u64]) {
        self.report(MemberId(from), Condition::Serving);
        let heard = self.evidence.reports.get_mut(&MemberId(from)).unwrap();
        heard.report.complaints = about.iter().map(|&m| MemberId(m)).collect();
    }
}

#[test]
fn a_code_that_primaries_do_not_hear_is_replaced_and_so_is_a_primary_that_hears_none() {
    let mut w = World::new(3, 2, 1);
    w.hear_all();
    w.complain(1, &[4]);
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));

    let mut w = World::new(3, 2, 1);
    w.hear_all();
    w.complain(1, &[4, 5]);
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(0)]));
    let blamed: Vec<bool> = w.config.formers().map(|(_, f)| f.blamed).collect();
    assert_eq!(blamed, [true], "it would be lost again");

    let mut w = World::new(3, 2, 1);
    w.hear_all();
    w.complain(1, &[4]);
    w.evidence
        .reports
        .get_mut(&MemberId(1))
        .unwrap()
        .report
        .epoch = Epoch(0);
    assert_eq!(
        plan(&w.config, &w.evidence, 9),
        Plan::Keep,
        "of another epoch"
    );
}

#[test]
fn primaries_that_do_not_hear_dead_codes_are_not_to_blame() {
    let mut w = World::new(1, 2, 1);
    w.kill(2);
    w.kill(3);
    w.hear_all();
    w.complain(1, &[2, 3]);
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0), Row(1)]));
}

#[test]
fn who_others_could_not_reach_is_not_put_back_on_the_same_server_while_there_is_another() {
    let mut w = World::new(3, 2, 1);
    w.hear_all();
    w.complain(1, &[4]);
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));
    assert_eq!(w.config.shunned, [ServerId(4)]);
    // Now the old server has less to do than the spare.
    w.evidence.servers.get_mut(&ServerId(6)).unwrap().load = 9;
    w.hear_all();
    assert_eq!(w.step(), Reason::LearnersAdded(vec![Row(0)]));
    let learner = w.config.learners().next().unwrap().clone();
    assert_eq!(learner.host.server, ServerId(6));
    w.promote(learner.id);
    assert_eq!(w.config.shunned, [], "all is well");

    let mut w = World::new(3, 2, 0);
    w.hear_all();
    w.complain(1, &[4]);
    w.step();
    w.hear_all();
    w.report(MemberId(4), Condition::Suspended);
    assert_eq!(
        w.step(),
        Reason::CodesReturn(vec![Row(0)]),
        "it may be mended"
    );
    w.hear_all();
    w.complain(1, &[4]);
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));
    w.hear_all();
    assert_eq!(
        w.step(),
        Reason::LearnersAdded(vec![Row(0)]),
        "better than none"
    );
    let learner = w.config.learners().next().unwrap();
    assert_eq!(
        (learner.host.server, learner.id),
        (ServerId(4), MemberId(6))
    );
}

#[test]
fn a_replacement_that_cannot_reach_a_code_is_placed_on_another_server() {
    let mut w = World::new(3, 2, 2);
    w.kill(1);
    w.step();
    let replacement = w.config.primaries[0].id;
    w.hear_all();
    w.complain(replacement.0, &[4]);
    let placed = vec![PrimaryIndex(0)];
    assert_eq!(w.step(), Reason::ReplacementsPlaced(placed));
    assert_eq!(w.config.primaries[0].host.server, ServerId(7));
}
