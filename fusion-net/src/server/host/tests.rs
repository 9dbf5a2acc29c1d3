//! Members come and go with configurations.

use super::*;
use fusion_core::config::ClusterShape;
use fusion_core::config::Host as Place;
use fusion_core::id::Epoch;
use fusion_core::op::Kind;

/// A fused member (3) on server 3, of a cluster whose primaries are elsewhere.
fn host_of_a_fused_member() -> (Arc<Host>, Arc<Configuration>) {
    let host = Host::new(Peers::new(Network::loopback()), true);
    let given = Registered {
        server: ServerId(3),
        store: 1,
    };
    assert!(host.set_identity(given));
    let shape = ClusterShape::new("c", Kind::Map, 2, 1, false).unwrap();
    let places = [1, 2, 3].map(|i| Place {
        server: ServerId(i),
        address: String::new(),
    });
    let config = Configuration::create(1, ClusterId(1), 1, &shape, &places);
    let config = Arc::new(config);
    host.adopt(Arc::clone(&config));
    (host, config)
}

/// It was given back to the system while everybody waited for the lock.
#[test]
fn what_has_ended_is_dropped_when_nobody_waits_for_it() {
    let (host, config) = host_of_a_fused_member();
    let Some(Member::Fused(fused)) = host.member(ClusterId(1), MemberId(3)) else {
        panic!("it is here")
    };
    let weak = Arc::downgrade(&fused);
    drop(fused);
    let mut ended = Ended::default();
    let mut clusters = lock(&host.clusters);
    let slot = clusters.get_mut(&config.cluster).unwrap();
    slot.give_up(&mut ended);
    assert!(weak.upgrade().is_some(), "the lock is held");
    drop(clusters);
    drop(ended);
    assert!(weak.upgrade().is_none());
}

#[test]
fn a_broken_member_is_reported_missing_and_never_started_empty_again() {
    let (host, config) = host_of_a_fused_member();
    let Some(Member::Fused(fused)) = host.member(ClusterId(1), MemberId(3)) else {
        panic!("it is here")
    };
    let fault = std::thread::spawn(move || {
        let _held = fused.lock();
        panic!("a fault, on purpose");
    });
    assert!(fault.join().is_err());
    assert!(host.member(ClusterId(1), MemberId(3)).is_none());
    host.adopt(Arc::new(config.successor(2)));
    assert!(host.member(ClusterId(1), MemberId(3)).is_none());
    assert_eq!(host.reports()[0].condition, Condition::Missing);
}

#[test]
fn a_second_content_of_an_epoch_stops_the_members_that_see_it() {
    let (host, config) = host_of_a_fused_member();
    let second = |nonce| Arc::new(config.successor(nonce));
    host.adopt(second(2));
    host.adopt(second(2));
    assert!(
        host.member(ClusterId(1), MemberId(3)).is_some(),
        "the same again"
    );
    host.adopt(second(3));
    assert!(host.member(ClusterId(1), MemberId(3)).is_none());
    assert_eq!(host.reports()[0].condition, Condition::Missing);
    host.adopt(Arc::new(second(2).successor(4)));
    assert!(host.member(ClusterId(1), MemberId(3)).is_none(), "for ever");
}

#[test]
fn an_older_configuration_changes_nothing_and_a_removed_cluster_is_gone() {
    let (host, config) = host_of_a_fused_member();
    let mut last = config.successor(2);
    host.adopt(Arc::new(last.clone()));
    host.adopt(Arc::clone(&config));
    let known = Known {
        cluster: ClusterId(1),
        epoch: Epoch(2),
        nonce: 2,
    };
    assert_eq!(host.known(), [known]);
    last = last.successor(3);
    last.removed = true;
    host.adopt(Arc::new(last));
    assert!(host.known().is_empty() && host.reports().is_empty());
    host.adopt(config);
    assert!(
        host.known().is_empty(),
        "and does not come back with a member that has yet to hear of it"
    );
}

/// The coordinator may know nothing of the clusters any more that this process was in.
#[test]
fn a_server_that_was_forgotten_brings_nothing_back() {
    let (host, config) = host_of_a_fused_member();
    let given = Registered {
        server: ServerId(9),
        store: 1,
    };
    let Some(Member::Fused(fused)) = host.member(ClusterId(1), MemberId(3)) else {
        panic!("it is here")
    };
    let weak = Arc::downgrade(&fused);
    drop(fused);
    assert!(host.set_identity(given));
    assert!(host.known().is_empty() && host.configs().is_empty());
    assert!(weak.upgrade().is_none(), "nor holds its memory");
    host.adopt(config);
    assert!(
        host.known().is_empty(),
        "nothing is started under another id"
    );
}
