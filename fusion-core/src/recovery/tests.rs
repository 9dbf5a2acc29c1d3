use super::*;
use crate::config::{ClusterShape, Host};
use crate::id::{ClusterId, ServerId};
use crate::op::Kind;

const NOW: Time = Time(1_000_000);

/// Two primaries, of which the first is rebuilt by member 5, and fused members 3 and 4.
fn config() -> Arc<Configuration> {
    let shape = ClusterShape::new("c", Kind::Queue, 2, 2, false).unwrap();
    let hosts = [1, 2, 3, 4].map(|i| Host {
        server: ServerId(i),
        address: String::new(),
    });
    let mut config = Configuration::create(1, ClusterId(1), 1, &shape, &hosts).successor(2);
    config.primaries[0].id = MemberId(5);
    config.primaries[0].state = PrimaryState::Lost;
    Arc::new(config)
}

fn recovery(kept: Option<u64>) -> Recovery {
    let code = Code::new(2, 2).unwrap();
    let kept = kept.map(Seq);
    Recovery::new(config(), MemberId(5), code, RecoveryId(1), kept).unwrap()
}

fn vector(of: [u64; 2], lease_left: Duration) -> RecoveryReply {
    RecoveryReply::Vector {
        vector: of.map(Seq).to_vec(),
        lease_left,
    }
}

/// Both fused members stand at `of`, and no lease runs.
fn level(recovery: &mut Recovery, of: [u64; 2]) {
    for from in [3, 4].map(MemberId) {
        let reply = vector(of, Duration::ZERO);
        recovery
            .on_reply(from, &RecoveryRequest::Vector, reply, NOW)
            .unwrap();
    }
}

#[test]
fn an_image_is_kept_only_where_the_lost_primary_is_recovered_to() {
    for (kept, is_kept) in [
        (None, false),
        (Some(4), false),
        (Some(6), false),
        (Some(5), true),
    ] {
        let mut recovery = recovery(kept);
        level(&mut recovery, [5, 9]);
        let result = recovery.take_result();
        assert_eq!(matches!(result, Some(Recovered::Kept)), is_kept, "{kept:?}");
    }
}

#[test]
fn it_waits_for_every_lease_and_asks_again_when_it_should_be_over() {
    let mut recovery = recovery(Some(5));
    recovery.requests(NOW);
    let left = Duration::from_millis(300);
    let answer = |recovery: &mut Recovery, from, left, now| {
        let reply = vector([5, 9], left);
        recovery
            .on_reply(MemberId(from), &RecoveryRequest::Vector, reply, now)
            .unwrap();
    };
    answer(&mut recovery, 3, left, NOW);
    answer(&mut recovery, 4, Duration::ZERO, NOW);
    assert!(matches!(recovery.take_result(), Some(Recovered::Kept)));
    assert!(!recovery.leases_are_over());
    assert_eq!(recovery.wake_at(), NOW.after(left));
    let early = Time(NOW.after(left).0 - 1);
    let asked = |recovery: &mut Recovery, now| {
        let vectors = recovery.requests(now).into_iter();
        let vectors = vectors.filter(|(_, r)| *r == RecoveryRequest::Vector);
        vectors.map(|(m, _)| m.0).collect::<Vec<_>>()
    };
    assert_eq!(asked(&mut recovery, early), []);
    assert_eq!(asked(&mut recovery, NOW.after(left)), [3]);
    assert_eq!(asked(&mut recovery, NOW.after(left)), [], "once");
    // A clock that runs slower: it is asked once more, but not without a pause.
    answer(&mut recovery, 3, Duration::from_micros(1), NOW.after(left));
    assert_eq!(recovery.wake_at(), NOW.after(left).after(LEASE_POLL));
    answer(&mut recovery, 3, Duration::ZERO, NOW);
    assert!(recovery.leases_are_over());
}

#[test]
fn who_lags_is_rolled_forward_to_the_greatest_before_anything_is_frozen() {
    let mut recovery = recovery(None);
    recovery.requests(NOW);
    for (from, of) in [(3, [7, 2]), (4, [5, 4])] {
        let reply = vector(of, Duration::ZERO);
        recovery
            .on_reply(MemberId(from), &RecoveryRequest::Vector, reply, NOW)
            .unwrap();
    }
    let log = RecoveryRequest::Log {
        index: PrimaryIndex(0),
        after: Seq(5),
        upto: Seq(7),
    };
    assert_eq!(recovery.requests(NOW), [(MemberId(3), log)]);
}
