use super::*;

/// Both primaries' servers and the only code's are dead.
fn beyond_f() -> World {
    let mut w = World::new(3, 1, 4);
    for server in [1, 2] {
        w.kill(server);
    }
    w.hear_all();
    w
}

fn accept(
    w: &World,
    lose: &[u16],
    wipe: &[u64],
    processes_are_dead: bool,
) -> Result<(Configuration, Vec<PrimaryIndex>), LossError> {
    let acceptance = Acceptance {
        lose: lose.iter().map(|&j| PrimaryIndex(j)).collect(),
        wipe: wipe.iter().map(|&s| ServerId(s)).collect(),
        processes_are_dead,
    };
    accept_loss(&w.config, &w.evidence, 9, &acceptance)
}

#[test]
fn a_loss_is_accepted_only_when_there_is_one_and_nobody_may_read_what_is_gone() {
    let mut w = World::new(3, 1, 4);
    w.kill(1);
    let accept = |w: &World, word| accept(w, &[0], &[4], word);
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
    let word = accept(&w, &[0, 1], &[4], false);
    assert!(matches!(word, Err(LossError::MayStillRead { .. })));
    let (next, lost) = accept(&w, &[0, 1], &[4], true).unwrap();
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
    let refused = accept(&w, &[0, 1], &[], true);
    assert_eq!(refused, Err(LossError::NoServer { needed: 2 }));
}

/// It would have been made there, and its process would have died of it (rule 70).
#[test]
fn a_replacement_is_never_placed_where_it_cannot_fit() {
    let mut w = World::new(2, 1, 2);
    w.hear_all();
    for id in [1, 2, 3].map(MemberId) {
        let heard = w.evidence.reports.entry(id).or_insert_with(|| Heard {
            report: MemberReport::new(ClusterId(1), id, Epoch(1), Condition::Serving),
            at_ms: 100,
        });
        heard.report.page_bytes = 1000 * id.0;
    }
    let small = |w: &mut World, server, room| {
        w.evidence.servers.get_mut(&ServerId(server)).unwrap().room = Some(room);
    };
    small(&mut w, 4, 2999);
    small(&mut w, 5, 3000);
    w.kill(1);
    assert!(matches!(w.step(), Reason::PrimariesLost(..)));
    assert_eq!(w.config.primaries[0].host.server, ServerId(5));
    // Nor while there is no other one.
    let mut w = World::new(2, 1, 1);
    w.hear_all();
    for heard in w.evidence.reports.values_mut() {
        heard.report.page_bytes = 3000;
    }
    small(&mut w, 4, 2999);
    w.kill(1);
    w.step();
    assert_eq!(w.config.primaries[0].host.server, ServerId(1));
    let servers = vec![ServerId(4)];
    let (needed, bytes) = (1, 3000);
    assert_eq!(
        w.waits(),
        Waiting::NoMemory {
            needed,
            servers,
            bytes
        }
    );
}
