use super::*;
use crate::config::{ClusterShape, Former, Host, PrimaryState};
use crate::id::MemberId;
use crate::op::Kind;

const S: u64 = 7;

fn named(cluster: u64, name: &str, servers: [u64; 3]) -> Configuration {
    let shape = ClusterShape::new(name, Kind::Map, 2, 1, false).unwrap();
    let hosts = servers.map(|i| Host {
        server: ServerId(i),
        address: String::new(),
    });
    Configuration::create(S, ClusterId(cluster), 1, &shape, &hosts)
}

fn config() -> Arc<Configuration> {
    Arc::new(named(1, "c", [1, 2, 3]))
}

fn wishes(servers: Option<usize>) -> Wishes {
    Wishes {
        servers,
        max_servers: 8,
        max_clusters: 4,
        nonce: 99,
        ..Wishes::default()
    }
}

fn keep(name: &str) -> Wishes {
    Wishes {
        keep: vec![name.to_owned()],
        ..wishes(None)
    }
}

fn drop(name: &str) -> Wishes {
    Wishes {
        drop: vec![name.to_owned()],
        ..wishes(None)
    }
}

fn handed(server: u64, of: usize, config: Option<&Arc<Configuration>>) -> Handed {
    Handed {
        server: ServerId(server),
        store: S,
        incarnation: server,
        of,
        config: config.cloned(),
    }
}

/// Each server hands over all that it has.
fn heard(wishes: Wishes, of: &[(u64, &[&Arc<Configuration>])]) -> Rebuild {
    let mut rebuild = Rebuild::new(wishes);
    for &(server, configs) in of {
        if configs.is_empty() {
            rebuild.hear(handed(server, 0, None)).unwrap();
        }
        for config in configs {
            let handed = handed(server, configs.len(), Some(config));
            rebuild.hear(handed).unwrap();
        }
    }
    rebuild
}

fn refused(rebuild: &Rebuild) -> RebuildError {
    rebuild.outcome(true).unwrap_err()
}

#[test]
fn all_that_are_named_must_be_heard_and_the_highest_counts() {
    let first = config();
    let second = Arc::new(first.successor(2));
    let rebuild = heard(wishes(None), &[(1, &[&first]), (2, &[&second])]);
    assert_eq!(rebuild.outcome(true), Ok(None));
    assert_eq!(rebuild.missing(), BTreeSet::from([ServerId(3)]));
    let all: [(u64, &[_]); 3] = [(1, &[&first]), (2, &[&second]), (3, &[&first])];
    let rebuild = heard(wishes(None), &all);
    assert_eq!(rebuild.outcome(false), Ok(None), "more may come");
    let rebuilt = rebuild.outcome(true).unwrap().unwrap();
    assert_eq!((rebuilt.store, rebuilt.configs), (S, vec![second]));
    assert!(rebuilt.next_server > 3);
}

#[test]
fn an_operator_vouches_for_those_that_are_dead() {
    let first = config();
    let rebuild = heard(wishes(Some(2)), &[(1, &[&first])]);
    assert_eq!(rebuild.outcome(true), Ok(None));
    let rebuild = heard(wishes(Some(2)), &[(1, &[&first]), (3, &[&first])]);
    assert!(rebuild.outcome(true).unwrap().is_some());
}

#[test]
fn a_server_counts_when_it_has_handed_over_all() {
    let mut rebuild = Rebuild::new(wishes(Some(1)));
    let first = config();
    rebuild.hear(handed(1, 2, Some(&first))).unwrap();
    assert_eq!(rebuild.outcome(true), Ok(None));
    assert!(!rebuild.has_heard(ServerId(1)));
    let other = Arc::new(named(2, "d", [1, 2, 3]));
    assert_eq!(rebuild.hear(handed(1, 2, Some(&other))), Ok(true));
    assert_eq!(
        rebuild.hear(handed(1, 2, Some(&other))),
        Ok(false),
        "no news"
    );
    let rebuilt = rebuild.outcome(true).unwrap().unwrap();
    assert_eq!(rebuilt.configs.len(), 2);
}

/// Whoever told of it and then went: the epoch is there.
#[test]
fn what_a_server_handed_over_counts_though_it_did_not_come_to_the_end() {
    let first = config();
    let second = Arc::new(first.successor(2));
    let mut rebuild = heard(wishes(Some(1)), &[(1, &[&first])]);
    rebuild.hear(handed(2, 2, Some(&second))).unwrap();
    let rebuilt = rebuild.outcome(true).unwrap().unwrap();
    assert_eq!(rebuilt.configs, [second]);
}

#[test]
fn nothing_known_by_anybody_is_no_store_and_contradictions_are_refused() {
    let rebuild = heard(wishes(None), &[(1, &[])]);
    assert_eq!(rebuild.outcome(true), Ok(None));
    let first = config();
    let (one, other) = (Arc::new(first.successor(2)), Arc::new(first.successor(3)));
    let mut rebuild = heard(wishes(Some(2)), &[(1, &[&one])]);
    let refusal = rebuild.hear(handed(2, 1, Some(&other))).unwrap_err();
    assert_eq!(refused(&rebuild), refusal);
    assert!(matches!(
        refusal,
        RebuildError::TwoContents {
            first: ServerId(1),
            second: ServerId(2),
            ..
        }
    ));
    let mut rebuild = heard(wishes(Some(2)), &[(1, &[&first])]);
    let foreign = Handed {
        store: S + 1,
        ..handed(2, 0, None)
    };
    rebuild.hear(foreign).unwrap();
    assert!(matches!(refused(&rebuild), RebuildError::TwoStores { .. }));
}

#[test]
fn a_removed_cluster_does_not_come_back_with_a_server_that_was_away() {
    let c = config();
    // 1 was away when it was removed; 2 and 3 have forgotten it.
    let all: [(u64, &[_]); 3] = [(1, &[&c]), (2, &[]), (3, &[])];
    let refusal = refused(&heard(wishes(None), &all));
    let said = refusal.to_string();
    assert!(
        said.contains("cluster c ") && said.contains("server 2"),
        "{said}"
    );
    // Nobody needs all of them to be in doubt.
    let vouched = heard(wishes(Some(2)), &all[..2]);
    assert_eq!(refused(&vouched), refusal);
    for wanted in ["c", "1"] {
        let rebuilt = heard(keep(wanted), &all).outcome(true).unwrap().unwrap();
        assert_eq!(rebuilt.configs, [Arc::clone(&c)]);
        let rebuilt = heard(drop(wanted), &all).outcome(true).unwrap().unwrap();
        let [removed] = &rebuilt.configs[..] else {
            panic!("{rebuilt:?}")
        };
        assert!(removed.removed && removed.epoch == c.epoch.next());
    }
}

#[test]
fn a_former_primary_that_has_forgotten_its_cluster_makes_it_doubtful_too() {
    let mut c = named(1, "c", [1, 2, 3]).successor(2);
    c.primaries[0].former = Some(Former {
        id: MemberId(1),
        host: Host {
            server: ServerId(4),
            address: String::new(),
        },
        origin: c.primaries[0].origin,
        blamed: false,
    });
    c.primaries[0].state = PrimaryState::Lost;
    c.primaries[0].id = c.take_id();
    let c = Arc::new(c);
    let all: [(u64, &[_]); 4] = [(1, &[&c]), (2, &[&c]), (3, &[&c]), (4, &[])];
    let rebuild = heard(wishes(None), &all[..3]);
    assert!(rebuild.outcome(true).unwrap().is_some());
    let rebuild = heard(wishes(None), &all);
    let doubtful = refused(&rebuild);
    assert!(
        matches!(
            doubtful,
            RebuildError::Doubtful {
                server: ServerId(4),
                ..
            }
        ),
        "{doubtful}"
    );
}

#[test]
fn nobody_waits_for_the_servers_of_a_cluster_that_is_dropped() {
    let (c, d) = (config(), Arc::new(named(2, "d", [4, 5, 6])));
    let all: [(u64, &[_]); 4] = [(1, &[&c]), (2, &[&c]), (3, &[&c]), (4, &[&d])];
    assert_eq!(heard(wishes(None), &all).outcome(true), Ok(None));
    let rebuilt = heard(drop("d"), &all).outcome(true).unwrap().unwrap();
    let removed: Vec<bool> = rebuilt.configs.iter().map(|c| c.removed).collect();
    assert_eq!(removed, [false, true]);
}

#[test]
fn a_wish_for_a_cluster_that_nobody_knows_is_refused() {
    let c = config();
    let all: [(u64, &[_]); 3] = [(1, &[&c]), (2, &[&c]), (3, &[&c])];
    for wishes in [keep("d"), drop("d")] {
        let name = "d".to_owned();
        let rebuild = heard(wishes, &all);
        assert_eq!(refused(&rebuild), RebuildError::NoSuchCluster { name });
    }
}

#[test]
fn two_living_clusters_of_one_name_are_refused_and_one_is_dropped_by_its_id() {
    let (c, other) = (config(), Arc::new(named(2, "c", [1, 2, 3])));
    let both: &[_] = &[&c, &other];
    let all = [(1, both), (2, both), (3, both)];
    let refusal = refused(&heard(wishes(None), &all));
    assert!(
        matches!(refusal, RebuildError::TwoNames { .. }),
        "{refusal}"
    );
    let rebuilt = heard(drop("2"), &all).outcome(true).unwrap().unwrap();
    let removed: Vec<bool> = rebuilt.configs.iter().map(|c| c.removed).collect();
    assert_eq!(removed, [false, true]);
}

#[test]
fn what_cannot_be_is_one_refusal_and_no_overflow() {
    let spoiled = |spoil: fn(&mut Configuration)| {
        let mut config = named(1, "c", [1, 2, 3]);
        spoil(&mut config);
        let mut rebuild = Rebuild::new(wishes(Some(1)));
        let refusal = rebuild.hear(handed(1, 1, Some(&Arc::new(config))));
        let refusal = refusal.unwrap_err();
        assert_eq!(refused(&rebuild), refusal);
        // What comes later does not hide it.
        rebuild.hear(handed(2, 0, None)).unwrap();
        assert_eq!(refused(&rebuild), refusal);
        refusal
    };
    let cannot_be = spoiled(|c| c.primaries.clear());
    assert!(matches!(cannot_be, RebuildError::CannotBe { .. }));
    let foreign = spoiled(|c| c.store = S + 1);
    assert!(matches!(foreign, RebuildError::OtherStore { .. }));
    for spoil in [
        (|c| c.epoch = Epoch(u64::MAX)) as fn(&mut Configuration),
        |c| c.next_id = u64::MAX,
    ] {
        assert!(matches!(spoiled(spoil), RebuildError::CannotBe { .. }));
    }
    for absurd in [
        spoiled(|c| c.epoch = Epoch(1 << 50)),
        spoiled(|c| c.next_id = 1 << 50),
        spoiled(|c| c.fused[0].host.server = ServerId(u64::MAX)),
        spoiled(|c| c.shunned = vec![ServerId(u64::MAX - 1)]),
    ] {
        assert!(matches!(absurd, RebuildError::Absurd { .. }), "{absurd}");
    }
    let mut rebuild = Rebuild::new(wishes(Some(1)));
    let absurd = rebuild.hear(handed(u64::MAX, 0, None)).unwrap_err();
    assert!(matches!(absurd, RebuildError::Absurd { .. }), "{absurd}");
}

#[test]
fn what_is_handed_over_is_bounded() {
    let mut rebuild = Rebuild::new(wishes(None));
    let too_many = rebuild.hear(handed(1, 5, None)).unwrap_err();
    assert!(
        matches!(too_many, RebuildError::TooMany { .. }),
        "{too_many}"
    );
    let mut rebuild = Rebuild::new(wishes(None));
    for server in 1..=8 {
        rebuild.hear(handed(server, 0, None)).unwrap();
    }
    let too_many = rebuild.hear(handed(9, 0, None)).unwrap_err();
    assert!(
        matches!(too_many, RebuildError::TooMany { .. }),
        "{too_many}"
    );
    let mut rebuild = Rebuild::new(wishes(None));
    for cluster in 1..=4 {
        let config = Arc::new(named(cluster, &format!("c{cluster}"), [1, 2, 3]));
        rebuild.hear(handed(cluster, 1, Some(&config))).unwrap();
    }
    let fifth = Arc::new(named(5, "c5", [1, 2, 3]));
    let too_many = rebuild.hear(handed(5, 1, Some(&fifth))).unwrap_err();
    assert!(
        matches!(too_many, RebuildError::TooMany { .. }),
        "{too_many}"
    );
}

#[test]
fn a_server_that_forgot_a_cluster_meanwhile_tells_from_the_beginning() {
    let (c, d) = (config(), Arc::new(named(2, "d", [1, 2, 3])));
    let mut rebuild = heard(wishes(None), &[(1, &[&c, &d])]);
    assert!(rebuild.has_heard(ServerId(1)));
    rebuild.hear(handed(1, 1, Some(&d))).unwrap();
    rebuild.hear(handed(2, 1, Some(&d))).unwrap();
    rebuild.hear(handed(3, 1, Some(&d))).unwrap();
    let doubtful = refused(&rebuild);
    assert!(
        matches!(&doubtful, RebuildError::Doubtful { name, .. } if name == "c"),
        "{doubtful}"
    );
}

#[test]
fn two_processes_are_not_one_server() {
    let mut rebuild = Rebuild::new(wishes(None));
    rebuild.hear(handed(1, 0, None)).unwrap();
    let other = Handed {
        incarnation: 8,
        ..handed(1, 0, None)
    };
    let server = ServerId(1);
    assert_eq!(
        rebuild.hear(other),
        Err(RebuildError::TwoProcesses { server })
    );
}
