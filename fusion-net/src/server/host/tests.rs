//! Members come and go with configurations.

use super::*;
use crate::server::FusedServer;
use crate::wire::Guest;
use fusion_core::config::Host as Place;
use fusion_core::config::{ClusterShape, HeirSeat};
use fusion_core::id::Epoch;
use fusion_core::message::Replicate;
use fusion_core::op::Kind;
use fusion_core::time::Time;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

/// A fused member (3) on server 3, of a cluster whose primaries are elsewhere.
fn host_of_a_fused_member() -> (Arc<Host>, Arc<Configuration>) {
    host_of(3)
}

/// Server 1, 2 or 3 of the cluster.
fn host_of(server: u64) -> (Arc<Host>, Arc<Configuration>) {
    let host = Host::new(Peers::new(Network::loopback()), true, None);
    let given = Registered {
        server: ServerId(server),
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
    let member = slot.members.remove(&MemberId(3)).unwrap();
    member.end(&mut ended);
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

/// What primary 0 says first: its descriptor.
fn first_message(config: &Arc<Configuration>) -> Replicate {
    let mut primary = Primary::create(Arc::clone(config), MemberId(1));
    primary.replicate(MemberId(3), 1 << 20, Time(1)).unwrap()
}

/// It went on with the half of a change that the fault had left, and acknowledged the next one.
#[test]
fn who_waits_for_a_member_that_breaks_is_refused() {
    let (host, config) = host_of_a_fused_member();
    let Some(Member::Fused(fused)) = host.member(ClusterId(1), MemberId(3)) else {
        panic!("it is here")
    };
    let references = Arc::strong_count(&fused);
    let (locked, is_locked) = mpsc::channel();
    let fault = thread::spawn({
        let fused = Arc::clone(&fused);
        move || {
            let _held = fused.lock();
            locked.send(()).unwrap();
            // The other one has found the member: nothing but the lock keeps it.
            let since = Instant::now();
            while Arc::strong_count(&fused) < references + 2 {
                assert!(since.elapsed() < Duration::from_secs(30), "nobody came");
                thread::yield_now();
            }
            panic!("a fault, on purpose");
        }
    });
    is_locked.recv().unwrap();
    let server = FusedServer::new(Arc::clone(&host), Guest::alone(1 << 20));
    let route = config.route(MemberId(1), MemberId(3));
    let answer = server.take_changes(route, &first_message(&config));
    assert!(fault.join().is_err());
    let cluster = config.cluster;
    let member = MemberId(3);
    assert_eq!(answer, Err(Refusal::NotMember { cluster, member }));
    assert_eq!(host.reports()[0].condition, Condition::Missing);
}

/// It dropped what it held, since an operator had started a coordinator on a restored store.
#[test]
fn a_second_content_of_an_epoch_stops_the_members_that_see_it_and_destroys_nothing() {
    let (host, config) = host_of_a_fused_member();
    let server = FusedServer::new(Arc::clone(&host), Guest::alone(1 << 20));
    let message = first_message(&config);
    let route = |config: &Configuration| config.route(MemberId(1), MemberId(3));
    server.take_changes(route(&config), &message).unwrap();
    let [ours, other] = [2, 3].map(|nonce| Arc::new(config.successor(nonce)));
    host.adopt(Arc::clone(&ours));
    host.adopt(Arc::clone(&ours));
    let bytes = || host.reports()[0].page_bytes;
    assert!(bytes() > 0, "the same again");
    let of_other = server.take_changes(route(&other), &message);
    assert!(matches!(of_other, Err(Refusal::Epoch(c)) if c.nonce == ours.nonce));

    host.adopt(Arc::clone(&other));
    let refused = server.take_changes(route(&ours), &message);
    assert_eq!(refused, Err(Refusal::TwoContents));
    assert_eq!(host.reports()[0].condition, Condition::TwoContents);
    let nonces: Vec<_> = host.known().iter().map(|k| (k.epoch, k.nonce)).collect();
    assert_eq!(nonces, [(Epoch(2), 2), (Epoch(2), 3)]);
    for later in [ours.successor(4), other.successor(5)] {
        host.adopt(Arc::new(later));
    }
    assert_eq!(host.known().len(), 2, "nobody knows what they rest on");
    let forgotten = Registered {
        server: ServerId(9),
        store: 1,
    };
    assert!(!host.set_identity(forgotten));

    host.go_on();
    assert!(bytes() > 0, "an operator has decided");
    server.take_changes(route(&ours), &message).unwrap();
    host.adopt(Arc::new(ours.successor(4)));
    assert_eq!(host.known()[0].epoch, Epoch(3));
}

#[tokio::test]
async fn a_primary_that_sees_a_second_content_stops_and_goes_on_with_what_it_has() {
    let (host, config) = host_of(1);
    let Some(Member::Primary(cell)) = host.member(ClusterId(1), MemberId(1)) else {
        panic!("it is here")
    };
    let marks = cell.watch();
    let [ours, other] = [2, 3].map(|nonce| Arc::new(config.successor(nonce)));
    host.adopt(ours);
    let opened = cell.with(|p| p.open_session(fusion_core::id::SessionId(1)));
    assert!(opened.is_some() && !marks.borrow().closed);
    host.adopt(other);
    assert!(marks.borrow().closed, "whoever waits is told so");
    assert!(host.member(ClusterId(1), MemberId(1)).is_none());
    host.go_on();
    assert!(!marks.borrow().closed);
    let Some(Member::Primary(again)) = host.member(ClusterId(1), MemberId(1)) else {
        panic!("it is here")
    };
    assert!(Arc::ptr_eq(&cell, &again));
    let again = cell.with(|p| p.open_session(fusion_core::id::SessionId(1)));
    assert_eq!(again, opened);
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

/// A fault in one member ended the task that looks after all, and with it the process.
#[test]
fn a_fault_in_what_one_member_reports_breaks_that_member_alone() {
    let (host, config) = host_of_a_fused_member();
    let mut ended = Ended::default();
    let mut clusters = lock(&host.clusters);
    let slot = clusters.get_mut(&config.cluster).unwrap();
    let member = slot.members.get_mut(&MemberId(3)).unwrap();
    let faulty = std::cell::Cell::new(true);
    let blank = |condition| {
        assert!(!faulty.replace(false), "a fault, on purpose");
        MemberReport::new(config.cluster, MemberId(3), config.epoch, condition)
    };
    let report = member.report(&config.timing, blank, &mut ended);
    assert_eq!(report.condition, Condition::Missing);
    assert!(matches!(member, Member::Broken));
    assert!(!member.look(&config.timing, &host.peers, &mut ended));
    drop(clusters);
    assert_eq!(host.reports()[0].condition, Condition::Missing);
}

/// The old primary was refused for ever, and not told that there is a new one.
#[tokio::test]
async fn an_heir_that_has_become_the_primary_names_its_epoch_to_the_old_one() {
    let (host, config) = host_of(2);
    let mut moves = config.successor(2);
    let place = moves.primaries[1].host.clone();
    moves.primaries[0].heir = Some(HeirSeat {
        id: MemberId(9),
        host: place,
    });
    let moves = Arc::new(moves);
    let heir = HeirCell::start(&host, Arc::clone(&moves), MemberId(9));
    let mut over = moves.successor(4);
    let seat = &mut over.primaries[0];
    let named = seat.heir.take().unwrap();
    (seat.id, seat.host) = (named.id, named.host);
    heir.take_over(Arc::new(over));
    host.adopt(Arc::new(config.successor(3)));
    let mut route = config.route(MemberId(1), MemberId(9));
    (route.epoch, route.nonce) = (Epoch(4), 4);
    let answer = heir.replicate(&host, route, &first_message(&config));
    assert!(matches!(answer, Err(Refusal::Epoch(at)) if at.epoch == Epoch(2)));
}
