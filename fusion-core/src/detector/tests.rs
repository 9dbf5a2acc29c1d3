use super::*;
use crate::config::{ClusterShape, Host};
use crate::message::Condition;
use crate::op::Kind;

/// A primary (1) and a fused member (2) on servers of the same numbers.
fn config() -> Configuration {
    let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
    let hosts = [1, 2].map(|i| Host {
        server: ServerId(i),
        address: String::new(),
    });
    Configuration::create(1, ClusterId(1), 1, &shape, &hosts)
}

/// T_h is 200 ms and T_s a second.
fn detector() -> Detector {
    let mut detector = Detector::new(&Timing::default(), 0);
    for id in [1, 2] {
        detector.add_server(ServerId(id));
    }
    detector.installed(&config(), 0);
    detector
}

fn report(member: u64, epoch: u64) -> MemberReport {
    MemberReport::new(
        ClusterId(1),
        MemberId(member),
        Epoch(epoch),
        Condition::Serving,
    )
}

fn silent(detector: &Detector, config: &Configuration) -> Vec<u64> {
    let evidence = detector.evidence(config, BTreeMap::new());
    evidence.silent.keys().map(|id| id.0).collect()
}

/// Ticks every 100 ms, both servers heard of, and both members but those in `not`.
fn pass(detector: &mut Detector, from: u64, to: u64, not: &[u64]) {
    for now in (from..=to).step_by(100) {
        for id in [1, 2] {
            detector.hear(ServerId(id), now);
            if !not.contains(&id) {
                detector.hear_of(report(id, 1), now);
            }
        }
        assert_eq!(detector.tick(now), Tick::default());
    }
}

#[test]
fn silence_for_the_whole_time_is_suspicion_and_a_word_ends_it() {
    let mut detector = detector();
    for now in (0..1000).step_by(100) {
        detector.hear(ServerId(1), now);
        assert_eq!(detector.tick(now), Tick::default());
    }
    assert_eq!(detector.tick(1000).suspected, [ServerId(2)]);
    assert_eq!(detector.tick(1100).suspected, [], "said once");
    let since = |d: &Detector| d.seen(ServerId(2)).unwrap().suspected_since_ms;
    assert_eq!(since(&detector), Some(1000));
    assert!(detector.hear(ServerId(2), 1200));
    assert_eq!(since(&detector), None);
    assert!(!detector.hear(ServerId(9), 1200), "not known");
}

#[test]
fn a_pause_of_its_own_starts_all_timers_afresh() {
    let mut detector = detector();
    pass(&mut detector, 0, 500, &[]);
    let tick = detector.tick(5000);
    assert!(tick.paused && tick.suspected.is_empty());
    assert_eq!(silent(&detector, &config()), []);
    let mut suspected = Vec::new();
    for now in (5100..=6000).step_by(100) {
        suspected.extend(detector.tick(now).suspected);
    }
    assert_eq!(suspected, [ServerId(1), ServerId(2)]);
}

#[test]
fn a_member_that_its_living_server_never_reports_is_silent() {
    let mut detector = detector();
    pass(&mut detector, 0, 900, &[2]);
    assert_eq!(silent(&detector, &config()), []);
    pass(&mut detector, 1000, 1500, &[2]);
    assert_eq!(silent(&detector, &config()), [2]);
}

#[test]
fn reports_of_an_older_epoch_do_not_end_silence_and_a_new_epoch_has_its_time() {
    let mut detector = detector();
    pass(&mut detector, 0, 500, &[]);
    let next = config().successor(2);
    detector.installed(&next, 500);
    pass(&mut detector, 600, 1400, &[]);
    assert_eq!(silent(&detector, &next), []);
    pass(&mut detector, 1500, 1500, &[]);
    assert_eq!(silent(&detector, &next), [1, 2]);
    detector.hear_of(report(1, 2), 1500);
    assert_eq!(silent(&detector, &next), [2]);
    detector.hear_of(report(1, 1), 1600);
    assert_eq!(silent(&detector, &next), [2], "a late copy hides nothing");
}

#[test]
fn a_later_epoch_anywhere_means_that_this_one_is_behind() {
    let mut detector = detector();
    detector.hear_of(report(1, 1), 100);
    assert!(!detector.is_behind(&config()));
    detector.hear_epoch(ServerId(2), ClusterId(1), Epoch(2), 9);
    assert!(detector.is_behind(&config()));
    assert!(!detector.is_behind(&config().successor(2)));
}

#[test]
fn another_content_of_its_epoch_means_that_the_store_must_not_act() {
    let mut detector = detector();
    detector.hear_epoch(ServerId(2), ClusterId(1), Epoch(1), config().nonce);
    assert!(!detector.is_behind(&config()));
    detector.hear_epoch(ServerId(2), ClusterId(1), Epoch(1), 77);
    assert!(detector.is_behind(&config()));
    let next = config().successor(2);
    detector.installed(&next, 200);
    assert!(!detector.is_behind(&next), "what was said of another epoch");
}

#[test]
fn after_a_conflict_nothing_that_was_reported_counts() {
    let mut detector = detector();
    pass(&mut detector, 0, 500, &[]);
    detector.conflict(ClusterId(1));
    let evidence = detector.evidence(&config(), BTreeMap::new());
    assert!(evidence.reports.is_empty() && evidence.silent.is_empty());
}
