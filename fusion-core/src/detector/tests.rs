use super::*;
use crate::config::{ClusterShape, Host, PrimaryState};
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
    detector.hear(ServerId(2), 0);
    detector.tick(100);
    detector.hear(ServerId(2), 100);
    for now in (200..1100).step_by(100) {
        detector.hear(ServerId(1), now);
        assert_eq!(detector.tick(now), Tick::default());
    }
    assert_eq!(detector.tick(1100).suspected, [ServerId(2)]);
    assert_eq!(detector.tick(1200).suspected, [], "said once");
    let since = |d: &Detector| d.seen(ServerId(2)).unwrap().suspected_since_ms;
    assert_eq!(since(&detector), Some(1100));
    assert!(detector.hear(ServerId(2), 1200));
    assert_eq!(since(&detector), None);
    assert!(!detector.hear(ServerId(9), 1200), "not known");
}

#[test]
fn who_still_looks_for_a_new_coordinator_is_given_twice_the_time() {
    let mut detector = detector();
    for now in (0..2000).step_by(100) {
        assert_eq!(detector.tick(now), Tick::default());
        if now == 1500 {
            detector.hear(ServerId(1), now);
        }
    }
    assert_eq!(detector.tick(2000).suspected, [ServerId(2)]);
    // Its server has come, and has had no time yet to speak of it.
    assert_eq!(silent(&detector, &config()), [2]);
    detector.hear(ServerId(2), 2000);
    for now in (2100..=2400).step_by(100) {
        detector.hear(ServerId(1), now);
        detector.hear(ServerId(2), now);
        detector.tick(now);
        assert_eq!(silent(&detector, &config()), [], "at {now}");
    }
    for now in (2500..=3000).step_by(100) {
        detector.hear(ServerId(1), now);
        detector.hear(ServerId(2), now);
        detector.tick(now);
    }
    assert_eq!(
        silent(&detector, &config()),
        [1, 2],
        "they came, and never said a word of it"
    );
}

#[test]
fn a_pause_of_its_own_is_subtracted_and_no_timer_starts_afresh() {
    let mut detector = detector();
    pass(&mut detector, 0, 500, &[]);
    for now in (600..=1000).step_by(100) {
        detector.tick(now);
    }
    // Half a second of silence, then a pause that counts as one heartbeat of it.
    let tick = detector.tick(60_000);
    assert!(tick.paused && tick.suspected.is_empty());
    assert_eq!(silent(&detector, &config()), [0u64; 0]);
    let looks = (60_100..).step_by(100);
    let mut found = looks.map(|now| (now, detector.tick(now).suspected));
    let found = found.find(|(_, suspected)| !suspected.is_empty());
    assert_eq!(found, Some((60_300, vec![ServerId(1), ServerId(2)])));
    let evidence = detector.evidence(&config(), BTreeMap::new());
    let since: Vec<u64> = evidence.silent.values().copied().collect();
    assert_eq!(
        since,
        [60_300, 60_300],
        "the moment, not that of the clock of silence"
    );
}

/// Under load deaths were noticed after up to 12.4 s instead of one.
#[test]
fn a_coordinator_that_hiccups_again_and_again_notices_a_death_in_time() {
    const EVERY: u64 = 600;
    let mut detector = detector();
    detector.hear(ServerId(2), 0);
    let looks = (1..).map(|i| i * EVERY);
    let noticed = looks.take(100).find(|&now| {
        detector.hear(ServerId(1), now - EVERY / 2);
        let tick = detector.tick(now);
        assert!(tick.paused);
        !tick.suspected.is_empty()
    });
    let (apart, suspect) = (EVERY / 200, 1000);
    assert!(
        noticed.is_some_and(|now| now <= apart * suspect + EVERY),
        "{noticed:?}"
    );
    let seen = |id| detector.seen(ServerId(id)).unwrap().suspected_since_ms;
    assert_eq!((seen(1), seen(2)), (None, noticed));
}

/// How long server 2 must be silent to be suspected, from `now` on; it is heard of afterwards, and `now` goes on.
fn silence_of_2(detector: &mut Detector, now: &mut u64) -> u64 {
    let from = *now;
    loop {
        *now += 100;
        detector.hear(ServerId(1), *now);
        if detector.tick(*now).suspected.contains(&ServerId(2)) {
            let silence = *now - from;
            detector.hear(ServerId(2), *now);
            return silence;
        }
        assert!(*now - from < 60_000, "never suspected");
    }
}

#[test]
fn who_is_suspected_wrongly_is_suspected_later_for_a_while() {
    let mut detector = detector();
    let mut now = 0;
    detector.hear(ServerId(2), 0);
    let silences = [(); 4].map(|()| silence_of_2(&mut detector, &mut now));
    assert_eq!(silences, [1000, 2000, 4000, 4000]);
    // Its members, too, get that time; nobody else does.
    detector.hear_of(report(1, 1), now);
    detector.hear_of(report(2, 1), now);
    for _ in 0..10 {
        now += 100;
        detector.hear(ServerId(1), now);
        detector.hear(ServerId(2), now);
        detector.tick(now);
    }
    assert_eq!(silent(&detector, &config()), [1]);
    for (calm, expected) in [(30_000, 2000), (60_000, 1000)] {
        let end = now + calm;
        while now < end {
            now += 100;
            detector.hear(ServerId(1), now);
            detector.hear(ServerId(2), now);
            detector.tick(now);
        }
        let mut later = detector.clone();
        assert_eq!(silence_of_2(&mut later, &mut now.clone()), expected);
    }
}

#[test]
fn who_was_not_heard_of_yet_or_was_declared_dead_was_not_suspected_wrongly() {
    let mut detector = detector();
    let mut now = 1000;
    assert_eq!(detector.tick(200).suspected, []);
    for at in (300..=1000).step_by(100) {
        detector.tick(at);
    }
    detector.hear(ServerId(2), now);
    assert_eq!(silence_of_2(&mut detector, &mut now), 1000);
    detector.declare_dead(ServerId(1), now);
    detector.hear(ServerId(1), now);
    let first = detector.servers.get(&ServerId(1)).unwrap();
    assert_eq!(first.doublings, 0);
}

#[test]
fn a_member_that_its_living_server_never_reports_is_silent() {
    let mut detector = detector();
    pass(&mut detector, 0, 900, &[2]);
    assert_eq!(silent(&detector, &config()), [0u64; 0]);
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
    assert_eq!(silent(&detector, &next), [0u64; 0]);
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

/// Two stores at work: which contents of the epoch there are, and where (rule 61).
#[test]
fn two_contents_of_an_epoch_are_told_with_who_knows_them() {
    let mut detector = detector();
    let config = config();
    detector.installed(&config, 1);
    let mut hear = |server, epoch, nonce| {
        detector.hear_content(ServerId(server), config.cluster, epoch, nonce);
        detector.two_contents(&config)
    };
    assert_eq!(hear(1, config.epoch, config.nonce), None);
    assert_eq!(hear(2, Epoch(config.epoch.0 - 1), 77), None, "an old epoch");
    let contents = hear(2, config.epoch, !config.nonce).unwrap();
    let of = |nonce| contents.iter().find(|c| c.nonce == nonce).unwrap();
    assert_eq!(of(config.nonce).servers, [ServerId(1)]);
    assert_eq!(of(!config.nonce).servers, [ServerId(2)]);
    for server in 0..1000 {
        hear(server, config.epoch, 1000 + server);
    }
    assert!(hear(1, config.epoch, 5).unwrap().len() < 20, "bounded");
    assert!(detector.is_behind(&config));
    let next = config.successor(9);
    detector.installed(&next, 2);
    assert_eq!(detector.two_contents(&next), None);
}

/// A coordinator that suspects later than members complain took the complaints about a dead server for broken links, and
/// had a living primary replaced.
#[test]
fn a_complaint_counts_when_who_it_is_about_was_heard_of_after_it() {
    let mut detector = detector();
    let complaints = |detector: &Detector| {
        let evidence = detector.evidence(&config(), BTreeMap::new());
        evidence.reports[&MemberId(1)].report.complaints.clone()
    };
    let complains = |detector: &mut Detector, now| {
        let complaints = vec![MemberId(2)];
        let report = MemberReport {
            complaints,
            ..report(1, 1)
        };
        detector.hear_of(report, now);
        detector.tick(now);
    };
    detector.hear_of(report(2, 1), 100);
    for now in (200..=600).step_by(200) {
        complains(&mut detector, now);
        assert_eq!(complaints(&detector), [], "it may be dead");
    }
    detector.hear_of(report(2, 1), 700);
    complains(&mut detector, 800);
    assert_eq!(complaints(&detector), [MemberId(2)], "it is alive");
    detector.hear_of(report(1, 1), 900);
    complains(&mut detector, 1000);
    assert_eq!(complaints(&detector), [], "that is another complaint");
}

/// Of a replacement that heard all but one, that one is remembered, and where; until a replacement hears everybody.
#[test]
fn whom_alone_a_member_that_was_given_up_could_not_hear_is_remembered() {
    let shape = ClusterShape::new("c", Kind::Map, 2, 1, false).unwrap();
    let host = |server| Host {
        server: ServerId(server),
        address: String::new(),
    };
    let hosts = [1, 2, 3].map(host);
    let first = Configuration::create(1, ClusterId(1), 1, &shape, &hosts);
    let lost = |before: &Configuration, id: u64, state: PrimaryState| {
        let mut next = before.successor(id);
        next.primaries[1].state = state;
        next.primaries[1].id = MemberId(id);
        next.primaries[1].host = host(id);
        next
    };
    for (complaints, missed) in [(vec![1], true), (vec![3], true), (vec![1, 3], false)] {
        let mut detector = Detector::new(&Timing::default(), 0);
        detector.installed(&first, 0);
        let config = lost(&first, 4, PrimaryState::Lost);
        detector.installed(&config, 100);
        let about: Vec<MemberId> = complaints.iter().map(|&id| MemberId(id)).collect();
        let complaining = MemberReport {
            complaints: about.clone(),
            ..report(4, 2)
        };
        detector.hear_of(complaining, 200);
        detector.tick(200);
        for id in [1, 3] {
            detector.hear_of(report(id, 2), 300);
        }
        detector.tick(300);
        let again = lost(&config, 5, PrimaryState::Lost);
        detector.installed(&again, 400);
        let expected: BTreeMap<_, _> = about
            .iter()
            .filter(|_| missed)
            .map(|&id| (id, BTreeSet::from([ServerId(4)])))
            .collect();
        let evidence = detector.evidence(&again, BTreeMap::new());
        assert_eq!(evidence.missed, expected, "{complaints:?}");
        let active = lost(&again, 5, PrimaryState::Active);
        detector.installed(&active, 500);
        let evidence = detector.evidence(&active, BTreeMap::new());
        assert_eq!(evidence.missed, BTreeMap::new(), "everybody was heard");
    }
}
