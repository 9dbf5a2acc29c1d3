use super::*;
use crate::config::{ClusterShape, Host};
use crate::op::Kind;
use crate::time::Timing;

fn config(cluster: u64) -> Configuration {
    let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
    let hosts = [1, 2].map(|i| Host {
        server: ServerId(i),
        address: String::new(),
    });
    Configuration::create(1, ClusterId(cluster), 1, &shape, &hosts)
}

/// Servers 1 and 2, both heard of, and two clusters.
fn detector() -> Detector {
    let mut detector = Detector::new(&Timing::default(), 0);
    for cluster in [1, 2] {
        detector.installed(&config(cluster), 0);
    }
    for server in [1, 2].map(ServerId) {
        detector.add_server(server);
        detector.hear(server, 100);
        detector.hear_all_known(server, |_| true);
    }
    detector
}

fn all(detector: &Detector) -> Result<(), GuardError> {
    let configs = [config(1), config(2)];
    detector.guard_all(configs.iter())
}

#[test]
fn nothing_is_decided_before_every_server_was_heard_or_silent_for_long_enough() {
    let mut detector = Detector::new(&Timing::default(), 0);
    detector.installed(&config(1), 0);
    for server in [1, 2].map(ServerId) {
        detector.add_server(server);
    }
    detector.hear(ServerId(1), 100);
    let silent = |d: &Detector, server| {
        let server = ServerId(server);
        assert_eq!(d.guard(&config(1)), Err(GuardError::Unheard { server }));
    };
    // It has registered, and said nothing of what it knows.
    silent(&detector, 1);
    detector.hear_all_known(ServerId(1), |_| true);
    silent(&detector, 2);
    for now in (0..=2000).step_by(100) {
        detector.hear(ServerId(1), now);
        detector.tick(now);
    }
    assert_eq!(detector.guard(&config(1)), Ok(()), "its silence is known");
}

#[test]
fn a_later_epoch_stops_every_change_of_its_cluster_and_every_new_one() {
    let mut detector = detector();
    assert_eq!(
        (detector.guard(&config(1)), all(&detector)),
        (Ok(()), Ok(()))
    );
    let (cluster, server) = (ClusterId(1), ServerId(2));
    detector.hear_epoch(server, cluster, Epoch(3), 9);
    detector.hear_epoch(ServerId(1), cluster, Epoch(2), 9);
    let later = GuardError::LaterEpoch {
        name: "c".to_owned(),
        cluster,
        stored: Epoch(1),
        heard: Epoch(3),
        server,
    };
    assert_eq!(detector.guard(&config(1)), Err(later.clone()));
    assert_eq!(
        detector.guard(&config(2)),
        Ok(()),
        "it has nothing to do with it"
    );
    assert_eq!(all(&detector), Err(later.clone()));
    let said = later.to_string();
    for part in [
        "epoch 1",
        "cluster c (id 1)",
        "server 2",
        "epoch 3",
        "--rebuild",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn another_content_of_the_same_epoch_is_another_store() {
    let mut detector = detector();
    detector.hear_epoch(ServerId(1), ClusterId(1), Epoch(1), 77);
    let refused = detector.guard(&config(1)).unwrap_err();
    assert!(
        matches!(
            refused,
            GuardError::OtherContent {
                server: ServerId(1),
                ..
            }
        ),
        "{refused}"
    );
    assert!(refused.is_behind() && all(&detector).is_err());
}

#[test]
fn a_cluster_that_the_store_does_not_know_stops_new_ones_until_its_members_are_gone() {
    let mut detector = detector();
    let (cluster, server, epoch) = (ClusterId(9), ServerId(2), Epoch(4));
    let stray = GuardError::UnknownCluster {
        cluster,
        epoch,
        server,
    };
    let hear = |d: &mut Detector| d.hear_epoch(server, cluster, epoch, 1);
    hear(&mut detector);
    detector.hear_all_known(ServerId(1), |_| false);
    detector.hear_all_known(server, |known| known == cluster);
    assert_eq!(all(&detector), Err(stray.clone()));
    assert_eq!(detector.guard(&config(1)), Ok(()));
    detector.hear_all_known(server, |_| false);
    assert_eq!(all(&detector), Ok(()), "it has them no more");
    hear(&mut detector);
    detector.declare_dead(server, 200);
    assert_eq!(all(&detector), Ok(()), "its process was started again");
    hear(&mut detector);
    detector.forget(&[server]);
    assert_eq!(all(&detector), Ok(()));
    // It is the store's from now on: in which epoch it was heard still counts.
    hear(&mut detector);
    detector.installed(&config(9), 300);
    assert!(detector.is_behind(&config(9)));
}

#[test]
fn an_id_that_the_store_never_gave_stops_everything() {
    let mut detector = detector();
    let server = ServerId(17);
    detector.hear_unknown_server(server);
    detector.hear_unknown_server(ServerId(18));
    let refused = Err(GuardError::UnknownServer { server });
    assert_eq!(detector.guard(&config(1)), refused);
    assert_eq!(all(&detector), refused);
    assert_eq!(
        detector.guard_all([].into_iter()),
        refused,
        "of an empty store, too"
    );
}
