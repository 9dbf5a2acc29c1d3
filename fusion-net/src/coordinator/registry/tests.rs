use super::*;
use crate::service::{ControlPlane, Known, MemberState, Progress, Registered};
use fusion_core::config::{ClusterShape, Former, Host, Origin, PrimaryState};
use fusion_core::id::MemberId;
use fusion_core::message::{Condition, MemberReport};
use fusion_core::op::Kind;

fn registration(incarnation: u64) -> Registration {
    Registration {
        incarnation,
        address: "127.0.0.1:1".to_owned(),
        pid: 1,
        draining: false,
        labels: crate::labels::Labels::default(),
    }
}

#[test]
fn a_store_that_refuses_changes_is_told_in_a_whole_sentence() {
    let mut registry = Registry::new(StoreContents::default(), &Timing::default());
    let problem = |r: &Registry| r.status(1, ControlPlane::default()).problem;
    assert_eq!(problem(&registry), None);
    registry.problem = Some("no space left".to_owned());
    let said = problem(&registry).unwrap();
    assert!(said.contains("store refuses changes"), "{said}");
    assert!(said.ends_with(": no space left"), "{said}");
}

/// A server may die, and be known to, while a decision that began earlier is still being made.
#[test]
fn a_death_after_the_decision_began_is_no_overflow_and_forgets_nobody() {
    let mut registry = Registry::new(StoreContents::default(), &Timing::default());
    registry.add_server(ServerId(1), registration(1), 100);
    registry.add_server(ServerId(2), registration(2), 200);
    registry.detector.declare_dead(ServerId(1), 200);
    assert_eq!(registry.forgettable(150), []);
    assert_eq!(registry.forgettable(200 + FORGET_MS), [ServerId(1)]);
}

#[test]
fn news_are_cut_to_what_fits_one_answer_and_never_to_none() {
    let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
    let address = "a".repeat(1 << 20);
    let hosts = [1, 2].map(|i| Host {
        server: ServerId(i),
        address: address.clone(),
    });
    let mut registry = Registry::new(StoreContents::default(), &Timing::default());
    for cluster in 1..=5 {
        let config = Configuration::create(0, ClusterId(cluster), 1, &shape, &hosts);
        registry.install(Arc::new(config), None, 1);
    }
    let mut request = SyncRequest {
        server: ServerId(1),
        known: Vec::new(),
        reports: Vec::new(),
        wait: true,
        memory: None,
    };
    let mut rounds = 0;
    while request.known.len() < 5 {
        let news = registry.news_for(&request);
        assert!((1..=2).contains(&news.len()));
        request.known.extend(news.iter().map(|c| Known {
            cluster: c.cluster,
            epoch: c.epoch,
            nonce: c.nonce,
        }));
        rounds += 1;
    }
    assert_eq!((rounds, registry.news_for(&request).len()), (5, 0));
}

#[test]
fn who_takes_an_address_declares_the_one_before_dead() {
    let mut registry = Registry::new(StoreContents::default(), &Timing::default());
    registry.add_server(ServerId(1), registration(1), 100);
    registry.add_server(ServerId(2), registration(2), 200);
    let suspected = |registry: &Registry, id| registry.views()[&ServerId(id)].suspected_since_ms;
    assert_eq!(suspected(&registry, 1), None, "it may be heard of yet");
    let heartbeat = Timing::default().heartbeat().as_millis() as u64;
    let last = look(&mut registry, 200, 2 * heartbeat);
    assert_eq!(suspected(&registry, 1), Some(last));
    assert!(last < 200 + 3 * heartbeat, "{last}");
    assert_eq!(suspected(&registry, 2), None);
    assert_eq!(registry.registered(2), Some(ServerId(2)));
}

/// Looks at the clock as often as a coordinator does; returns when it did last.
fn look(registry: &mut Registry, from: u64, during: u64) -> u64 {
    let step = Timing::default().heartbeat().as_millis() as u64 / 2;
    let mut now = from;
    while now < from + during {
        now += step;
        registry.tick(now);
    }
    now
}

/// A spare that was started with a wrong address had a healthy primary lost, or codes thrown away, at once.
#[test]
fn who_lives_is_not_dead_because_another_one_says_it_is_at_its_address() {
    let mut registry = Registry::new(StoreContents::default(), &Timing::default());
    registry.add_server(ServerId(1), registration(1), 100);
    registry.add_server(ServerId(2), registration(2), 200);
    let request = SyncRequest {
        server: ServerId(1),
        known: Vec::new(),
        reports: Vec::new(),
        wait: true,
        memory: None,
    };
    assert!(registry.hear(&request, 210));
    let heartbeat = Timing::default().heartbeat().as_millis() as u64;
    look(&mut registry, 210, 3 * heartbeat);
    assert_eq!(registry.views()[&ServerId(1)].suspected_since_ms, None);
    // Nor at the first look after a pause of the coordinator.
    registry.add_server(ServerId(3), registration(3), 2000);
    registry.tick(60_000);
    assert_eq!(registry.views()[&ServerId(1)].suspected_since_ms, None);
}

#[test]
fn a_server_whose_address_was_taken_was_not_noticed_after_the_coordinators_whole_life() {
    let mut registry = Registry::new(StoreContents::default(), &Timing::default());
    registry.add_server(ServerId(1), registration(1), 100);
    let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
    let host = |server| Host {
        server: ServerId(server),
        address: String::new(),
    };
    let first = Configuration::create(1, ClusterId(1), 1, &shape, &[host(1), host(2)]);
    let mut next = first.successor(2);
    next.primaries[0].host = host(3);
    registry.install(Arc::new(first), None, 200);
    registry.add_server(ServerId(2), registration(2), 90_000);
    let heartbeat = Timing::default().heartbeat().as_millis() as u64;
    let last = look(&mut registry, 90_000, 2 * heartbeat);
    let reason = Reason::PrimariesLost(Vec::new());
    registry.install(Arc::new(next), Some(reason), last + 1);
    assert_eq!(registry.events[0].detected_after_ms, None);
}

fn host(server: u64) -> Host {
    Host {
        server: ServerId(server),
        address: format!("127.0.0.1:{server}"),
    }
}

/// Servers 1 to 3 with the members of a cluster, and server 4 with the replacement of primary 0.
fn recovering() -> (Registry, Configuration) {
    let mut registry = Registry::new(StoreContents::default(), &Timing::default());
    for server in 1..=4 {
        let address = format!("127.0.0.1:{server}");
        let server = ServerId(server);
        let of = Registration {
            address,
            ..registration(server.0)
        };
        registry.add_server(server, of, 100);
    }
    let shape = ClusterShape::new("c", Kind::Map, 2, 1, false).unwrap();
    let first = Configuration::create(0, ClusterId(1), 1, &shape, &[host(1), host(2), host(3)]);
    let mut next = first.successor(2);
    registry.install(Arc::new(first), None, 100);
    let id = MemberId(100);
    let seat = &mut next.primaries[0];
    (seat.id, seat.host, seat.state) = (id, host(4), PrimaryState::Lost);
    registry.install(Arc::new(next.clone()), None, 1_000);
    (registry, next)
}

/// One report of a member, from its own server.
fn hear(registry: &mut Registry, config: &Configuration, report: MemberReport, now: u64) {
    let server = config.host_of(report.member).unwrap().server;
    let request = SyncRequest {
        server,
        known: Vec::new(),
        reports: vec![report],
        wait: true,
        memory: None,
    };
    assert!(registry.hear(&request, now));
}

#[test]
fn status_tells_how_far_a_recovery_is_how_fast_and_how_long_it_will_take() {
    let (mut registry, config) = recovering();
    let (lost, other) = (config.primaries[0].id, config.primaries[1].id);
    let blank = |id, condition| MemberReport::new(ClusterId(1), id, config.epoch, condition);
    let pages = |done| Condition::Recovering { done, total: 400 };
    let unheard = registry.status(1_200, ControlPlane::default());
    assert_eq!(
        unheard.clusters[0].members[0].state,
        MemberState::Recovering { done: 0, total: 0 }
    );
    for (done, now) in [(0, 1_500), (100, 2_000)] {
        let report = MemberReport {
            taken_bytes: done << 16,
            ..blank(lost, pages(done))
        };
        hear(&mut registry, &config, report, now);
    }
    let serves = MemberReport {
        elements: 9,
        ..blank(other, Condition::Serving)
    };
    hear(&mut registry, &config, serves, 2_000);
    let status = |registry: &Registry, now| registry.status(now, ControlPlane::default());
    let members = &status(&registry, 2_000).clusters[0].members;
    assert_eq!(
        members[0].state,
        MemberState::Recovering {
            done: 100,
            total: 400
        }
    );
    assert_eq!(
        members[0].progress,
        Some(Progress {
            for_ms: 1_000,
            taken_bytes: 100 << 16,
            bytes_per_second: Some(200 << 16),
            left_ms: Some(1_500),
        })
    );
    // It is empty as yet, and so nobody knows.
    assert_eq!((members[0].elements, members[1].elements), (None, Some(9)));
    assert_eq!(members[1].progress, None);
    let mut next = config.successor(3);
    next.primaries[0].state = PrimaryState::Active;
    registry.install(Arc::new(next.clone()), None, 3_000);
    let serves = MemberReport {
        elements: 7,
        epoch: next.epoch,
        ..blank(lost, Condition::Serving)
    };
    hear(&mut registry, &next, serves, 3_100);
    let member = &status(&registry, 3_100).clusters[0].members[0];
    assert_eq!((member.elements, member.progress), (Some(7), None));
    assert_eq!(member.state, MemberState::Active);
}

/// What a primary was moved from keeps its state until the other serves: the server that an operator empties has it still.
#[test]
fn a_drained_server_was_empty_while_what_was_moved_away_from_it_might_be_needed() {
    let (mut registry, config) = recovering();
    let members = |registry: &Registry, server| registry.views()[&ServerId(server)].load;
    let before = members(&registry, 3);
    let mut moved = config.successor(3);
    moved.primaries[1].moved_from = Some(Former {
        id: MemberId(77),
        host: host(3),
        origin: Origin::Created,
        blamed: false,
    });
    registry.install(Arc::new(moved.clone()), None, 3_000);
    assert_eq!(members(&registry, 3), before + 1);
    moved = moved.successor(4);
    moved.primaries[1].moved_from = None;
    registry.install(Arc::new(moved), None, 3_100);
    assert_eq!(members(&registry, 3), before);
}

#[test]
fn an_address_that_a_terminal_would_obey_is_refused() {
    for fine in ["127.0.0.1:1", "[fe80::1%eth0]:7400", "a-b.example:65535"] {
        assert_eq!(check_address(fine), Ok(()));
    }
    let long = format!("{}:1", "a".repeat(MAX_ADDRESS_BYTES));
    for bad in [
        "\u{1b}[2Jgone:1",
        "a\n:1",
        "a b:1",
        "\u{fc}:1",
        "a",
        "",
        &long,
    ] {
        let refused = check_address(bad).unwrap_err();
        assert!(
            matches!(refused, AdminError::BadAddress { .. }),
            "{refused:?}"
        );
        let said = refused.to_string();
        assert!(!said.contains(char::is_control), "{said:?}");
        assert!(said.contains("printable ASCII"), "{said}");
    }
}

#[test]
fn a_server_with_members_of_another_store_is_refused_and_shown_while_it_tries() {
    let contents = StoreContents {
        store: 7,
        next_server: ServerId(1),
        ..StoreContents::default()
    };
    let mut registry = Registry::new(contents, &Timing::default());
    let control = crate::service::ControlPlane::default;
    let at = |address: &str| Registration {
        address: address.to_owned(),
        ..registration(1)
    };
    let holds = |store| {
        let server = ServerId(0);
        Some(Past {
            identity: Registered { server, store },
            members: true,
        })
    };
    assert!(registry.check_origin(&at("a:1"), None, 0).is_ok());
    assert!(registry.check_origin(&at("a:1"), holds(7), 0).is_ok());
    for i in 0..2 * MAX_STRANGERS {
        let refused = registry.check_origin(&at(&format!("b:{i}")), holds(8), i as u64);
        assert!(matches!(refused, Err(AdminError::OtherStore)));
    }
    let shown = |registry: &Registry, now| registry.status(now, control()).strangers;
    assert_eq!(shown(&registry, 0).len(), MAX_STRANGERS);
    assert_eq!(
        shown(&registry, STRANGER_MS),
        Vec::from_iter(
            (1..MAX_STRANGERS)
                .map(|i| format!("b:{i}"))
                .collect::<BTreeSet<_>>()
        )
    );
    // It was restarted, and holds nothing now.
    assert!(registry.check_origin(&at("b:9"), None, 100).is_ok());
    assert!(!shown(&registry, 100).contains(&"b:9".to_owned()));
}

/// It was given another id, and discarded all that it had.
#[test]
fn a_process_whose_id_the_store_does_not_know_was_taken_for_a_forgotten_one() {
    let contents = StoreContents {
        store: 7,
        servers: vec![(ServerId(2), registration(20))],
        next_server: ServerId(5),
        ..StoreContents::default()
    };
    let past = |server| {
        let (server, store) = (ServerId(server), 7);
        Some(Past {
            identity: Registered { server, store },
            members: true,
        })
    };
    let fresh = || Registry::new(contents.clone(), &Timing::default());
    let mut registry = fresh();
    let known = registry.check_origin(&registration(20), past(2), 0);
    assert_eq!(known, Ok(()), "it is registered");
    let forgotten = registry.check_origin(&registration(30), past(3), 0);
    assert_eq!(forgotten, Ok(()), "its id was given, and nobody names it");
    for (incarnation, server) in [(50, 5), (60, 6), (21, 2)] {
        let mut registry = fresh();
        let refused = registry.check_origin(&registration(incarnation), past(server), 0);
        let expected = GuardError::UnknownServer {
            server: ServerId(server),
        };
        assert_eq!(refused, Err(AdminError::Guard(expected.clone())));
        // Nothing is decided any more, and status says why.
        assert_eq!(registry.guard_all(), Err(AdminError::Guard(expected)));
        let status = registry.status(1, ControlPlane::default());
        assert!(status.problem.unwrap().contains("the store is behind"));
    }
}
