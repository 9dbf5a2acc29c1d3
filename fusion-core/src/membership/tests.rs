use super::*;
use crate::config::ClusterShape;
use crate::id::{ClusterId, Epoch, Seq};
use crate::op::Kind;

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
    let learner = w.config.joining().next().unwrap().id;
    assert_eq!(w.waits(), Waiting::Recovering);
    w.report(learner, Condition::Complete);
    assert_eq!(w.step(), Reason::LearnersPromoted(vec![Row(1)]));
    assert_eq!(plan(&w.config, &w.evidence, 9), Plan::Keep);
    assert_eq!(w.config.tolerates(), 3);
    assert_eq!(
        w.config.servers().len(),
        6,
        "never two members on one server"
    );
}

#[test]
fn losing_a_primary_drops_learners() {
    let mut w = World::new(3, 2, 3);
    w.kill(5);
    w.hear_all();
    w.step();
    w.step();
    assert_eq!(w.config.joining().count(), 1);
    w.kill(1);
    w.step();
    assert_eq!(w.config.joining().count(), 0);
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
    let hosts = place(3, false, &w.evidence.servers).unwrap();
    let servers: Vec<_> = hosts.iter().map(|h| h.server.0).collect();
    assert_eq!(servers, [4, 5, 1]);
    assert_eq!(place(6, false, &w.evidence.servers), None);
    assert_eq!(place(6, true, &w.evidence.servers).unwrap().len(), 6);
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
    assert_eq!(place(3, false, &w.evidence.servers), None);
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
    assert_eq!(w.config.formers().count(), 0, "it would be lost again");

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

/// Both primaries' servers and the only code's are dead.
fn beyond_f() -> World {
    let mut w = World::new(3, 1, 4);
    for server in [1, 2] {
        w.kill(server);
    }
    w.hear_all();
    w
}

#[test]
fn a_loss_is_accepted_only_when_there_is_one_and_nobody_may_read_what_is_gone() {
    let mut w = World::new(3, 1, 4);
    w.kill(1);
    let accept = |w: &World, word| accept_loss(&w.config, &w.evidence, 9, word);
    assert_eq!(accept(&w, true), Err(LossError::NothingLost));
    w.step();
    // The only code dies while it is needed.
    w.kill(4);
    let fused = MemberId(4);
    assert!(matches!(w.waits(), Waiting::MoreThanF { .. }));
    let indices = vec![0];
    assert_eq!(
        accept(&w, false),
        Err(LossError::MayStillRead {
            indices: indices.clone()
        })
    );
    w.report(fused, Condition::Serving);
    assert!(accept(&w, false).is_err(), "it says nothing of the lease");
    let heard = w.evidence.reports.get_mut(&fused).unwrap();
    heard.report.leases_over = vec![PrimaryIndex(0)];
    heard.report.epoch = Epoch(1);
    assert!(accept(&w, false).is_err(), "it was not sealed then");
    w.evidence.reports.get_mut(&fused).unwrap().report.epoch = w.config.epoch;
    let (_, lost) = accept(&w, false).unwrap();
    assert_eq!(lost, [PrimaryIndex(0)]);
}

#[test]
fn after_a_loss_is_accepted_the_lost_begin_empty_and_all_codes_are_made_anew() {
    let w = beyond_f();
    let before = w.config.clone();
    let word = accept_loss(&w.config, &w.evidence, 9, false);
    assert!(matches!(word, Err(LossError::MayStillRead { .. })));
    let (next, lost) = accept_loss(&w.config, &w.evidence, 9, true).unwrap();
    assert_eq!(lost, [PrimaryIndex(0), PrimaryIndex(1)]);
    assert_eq!(
        next.primaries[2], before.primaries[2],
        "it keeps everything"
    );
    for seat in &next.primaries[..2] {
        assert_eq!(
            (seat.state, seat.origin),
            (PrimaryState::Active, Origin::Created)
        );
        assert!(seat.id.0 >= before.next_id);
    }
    assert!(next.in_sync().next().is_none());
    assert!(next.fused.iter().all(|s| s.id.0 >= before.next_id));
    assert_eq!((next.fused.len(), next.servers().len()), (1, 4));
    assert_eq!(next.tolerates(), 0);
}

#[test]
fn a_loss_without_servers_to_go_on_with_is_not_accepted() {
    let mut w = beyond_f();
    for server in [4, 5, 6, 7, 8] {
        w.kill(server);
    }
    let refused = accept_loss(&w.config, &w.evidence, 9, true);
    assert_eq!(refused, Err(LossError::NoServer { needed: 2 }));
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
fn a_moved_code_is_held_twice_until_the_learner_is_complete() {
    let mut w = World::new(3, 2, 2);
    let old = w.config.fused[1].clone();
    let moving = |w: &World, row, to: Option<u64>| {
        move_member(
            &w.config,
            &w.evidence,
            9,
            What::Row(Row(row)),
            to.map(ServerId),
        )
    };
    assert!(matches!(
        moving(&w, 2, None),
        Err(MoveError::NoSuchMember { .. })
    ));
    let server = ServerId(4);
    assert_eq!(moving(&w, 1, Some(4)), Err(MoveError::NotUsable { server }));
    w.config = moving(&w, 1, Some(7)).unwrap();
    assert_eq!(moving(&w, 0, None), Err(MoveError::NotWhole));
    assert_eq!(
        w.config.in_sync().count(),
        2,
        "it tolerates as much as before"
    );
    assert_eq!(w.waits(), Waiting::Recovering);
    let learner = w.config.joining().next().unwrap().id;
    w.report(learner, Condition::Complete);
    assert_eq!(w.step(), Reason::LearnersPromoted(vec![Row(1)]));
    assert!(w.config.fused_seat(old.id).is_none());
    let seat = w.config.fused_seat(learner).unwrap();
    assert_eq!((seat.row, seat.host.server), (Row(1), ServerId(7)));
    assert_eq!(plan(&w.config, &w.evidence, 9), Plan::Keep);
}

#[test]
fn a_move_is_void_when_a_primary_is_lost() {
    let mut w = World::new(3, 2, 2);
    w.config = move_member(&w.config, &w.evidence, 9, What::Row(Row(0)), None).unwrap();
    w.kill(1);
    w.step();
    assert_eq!(w.config.joining().count(), 0);
    assert_eq!(w.config.in_sync().count(), 2);
}

#[test]
fn the_learner_of_a_move_takes_the_row_when_the_old_holder_dies_first() {
    let mut w = World::new(3, 2, 2);
    w.config = move_member(&w.config, &w.evidence, 9, What::Row(Row(0)), None).unwrap();
    w.kill(4);
    w.hear_all();
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));
    let learner = w.config.joining().next().unwrap().id;
    w.report(learner, Condition::Complete);
    assert_eq!(w.step(), Reason::LearnersPromoted(vec![Row(0)]));
    assert_eq!(w.config.tolerates(), 2);
}

const J: PrimaryIndex = PrimaryIndex(0);

/// Primary 0 is being moved from server 1 to a spare, and has stopped.
fn draining() -> World {
    let mut w = World::new(3, 2, 2);
    w.config = move_member(&w.config, &w.evidence, 9, What::Primary(J), None).unwrap();
    w.hear_all();
    assert_eq!(w.waits(), Waiting::Moving);
    let heir = w.config.inheritance(J).unwrap().id;
    w.report(heir, Condition::Complete);
    assert_eq!(w.step(), Reason::PrimaryDrains(J));
    assert!(w.config.drains(J));
    w
}

#[test]
fn a_moved_primary_goes_to_its_heir_when_both_have_said_so_in_one_epoch() {
    let mut w = draining();
    let (old, heir) = (MemberId(1), w.config.inheritance(J).unwrap().clone());
    assert_eq!(
        w.waits(),
        Waiting::Moving,
        "what was said was of another epoch"
    );
    w.report(old, Condition::Drained { seq: Seq(7) });
    assert_eq!(w.waits(), Waiting::Moving);
    w.report(heir.id, Condition::Ready { seq: Seq(6) });
    assert_eq!(w.waits(), Waiting::Moving, "not where it stopped");
    w.report(heir.id, Condition::Ready { seq: Seq(7) });
    assert_eq!(w.config.tolerates(), 2);
    assert_eq!(w.step(), Reason::PrimaryMoved(J));
    let seat = &w.config.primaries[0];
    assert_eq!((seat.id, &seat.host), (heir.id, &heir.host));
    assert_eq!(
        (seat.moved_from, seat.state),
        (Some(old), PrimaryState::Active)
    );
    assert_eq!(w.config.host_of(old), None);
    assert_eq!(plan(&w.config, &w.evidence, 9), Plan::Keep);
}

#[test]
fn any_other_change_voids_a_drain_and_the_loss_of_a_primary_the_whole_move() {
    let mut w = draining();
    w.kill(4);
    w.hear_all();
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));
    assert!(!w.config.drains(J) && w.config.inheritance(J).is_some());

    let mut w = draining();
    w.kill(2);
    assert_eq!(w.step(), Reason::PrimariesLost(vec![PrimaryIndex(1)]));
    assert!(w.config.heirs().next().is_none());
}

#[test]
fn a_dead_heir_ends_the_move_and_so_does_it_when_nothing_can_be_decided() {
    let mut w = draining();
    let server = w.config.inheritance(J).unwrap().host.server;
    w.kill(server.0);
    assert_eq!(w.step(), Reason::MovesGivenUp(vec![J]));
    assert_eq!(w.config.primaries[0].id, MemberId(1));

    let mut w = draining();
    for server in [2, 3, 4] {
        w.kill(server);
    }
    assert_eq!(w.step(), Reason::MovesGivenUp(vec![J]));
    assert!(matches!(w.waits(), Waiting::MoreThanF { .. }));
}

#[test]
fn a_drain_waits_for_learners_since_they_have_their_snapshots_from_the_primaries_that_are() {
    let mut w = World::new(3, 2, 2);
    w.config = move_member(&w.config, &w.evidence, 9, What::Primary(J), None).unwrap();
    w.kill(4);
    w.hear_all();
    w.step();
    w.hear_all();
    assert_eq!(w.step(), Reason::LearnersAdded(vec![Row(0)]));
    let heir = w.config.inheritance(J).unwrap().id;
    w.report(heir, Condition::Complete);
    assert!(matches!(w.waits(), Waiting::Recovering | Waiting::Moving));
    let learner = w.config.joining().next().unwrap().id;
    w.report(learner, Condition::Complete);
    assert_eq!(w.step(), Reason::LearnersPromoted(vec![Row(0)]));
    w.report(heir, Condition::Complete);
    assert_eq!(w.step(), Reason::PrimaryDrains(J));
}

#[test]
fn a_server_is_emptied_one_member_at_a_time_and_only_where_there_is_room() {
    let mut w = World::new(3, 2, 1);
    let drain = |w: &mut World, server: u64| {
        let view = w.evidence.servers.get_mut(&ServerId(server)).unwrap();
        view.draining = true;
    };
    drain(&mut w, 6);
    drain(&mut w, 1);
    w.hear_all();
    let server = ServerId(1);
    assert_eq!(w.waits(), Waiting::NoRoomToDrain { server });
    w.evidence.servers.get_mut(&ServerId(6)).unwrap().draining = false;
    assert_eq!(w.step(), Reason::PrimaryMoves(J));
    assert_eq!(w.config.inheritance(J).unwrap().host.server, ServerId(6));
    let mut w = World::new(3, 2, 1);
    drain(&mut w, 5);
    w.hear_all();
    assert_eq!(w.step(), Reason::FusedMoves(Row(1)));
    assert_eq!(w.config.joining().next().unwrap().host.server, ServerId(6));
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
    let learner = w.config.joining().next().unwrap().clone();
    assert_eq!(learner.host.server, ServerId(6));
    w.report(learner.id, Condition::Complete);
    w.step();
    assert_eq!(w.config.shunned, [], "all is well");

    let mut w = World::new(3, 2, 0);
    w.hear_all();
    w.complain(1, &[4]);
    w.step();
    w.hear_all();
    assert_eq!(
        w.step(),
        Reason::LearnersAdded(vec![Row(0)]),
        "better than none"
    );
    assert_eq!(w.config.joining().next().unwrap().host.server, ServerId(4));
}

#[test]
fn a_replacement_that_cannot_reach_a_code_or_a_survivor_has_it_removed() {
    let mut w = World::new(3, 2, 2);
    w.kill(1);
    w.step();
    let replacement = w.config.primaries[0].id;
    w.hear_all();
    w.complain(replacement.0, &[4]);
    assert_eq!(w.step(), Reason::FusedRemoved(vec![Row(0)]));
}
