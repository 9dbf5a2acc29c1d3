//! Row 10: errors.

use super::*;

#[tokio::test]
async fn row_10_every_mistake_has_its_own_error() {
    let rig = start(N + 1).await;
    let client = &rig.client;
    let spec = |name: &str, n, f| ClusterSpec::new(name, Kind::List, n, f);
    client.create(&spec("l", N, 1)).await.unwrap();
    client
        .create(&ClusterSpec::new("m", Kind::Map, 2, 1))
        .await
        .unwrap();
    let list = client.list::<String>("l", 1).await.unwrap();
    for text in ["a", "b", "c"] {
        list.append(&text.to_owned()).await.unwrap();
    }
    let text = "x".to_owned();
    let errors = [
        list.insert(50, &text).await.unwrap_err(),
        list.get(50).await.unwrap_err(),
        list.set(50, &text).await.unwrap_err(),
        list.remove(50).await.unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(error, Error::IndexError { index: 50, len: 3 }),
            "{error:?}"
        );
    }
    let error = list.get(3).await.unwrap_err();
    assert!(matches!(error, Error::IndexError { index: 3, len: 3 }));
    assert_eq!(list.to_vec().await.unwrap(), ["a", "b", "c"], "unchanged");

    let map = client.map_part::<u32, u32>("m", 0).await.unwrap();
    for error in [
        map.get(&9).await.unwrap_err(),
        map.remove(&9).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, Error::KeyError { key } if key[..] == [9]),
            "{error:?}"
        );
    }
    let error = client.list::<u32>("nobody", 0).await.unwrap_err();
    assert!(
        matches!(&error, Error::UnknownCluster { name } if name == "nobody"),
        "{error:?}"
    );
    let error = client.list::<u32>("l", 3).await.unwrap_err();
    let fits = matches!(
        error,
        Error::UnknownPrimary {
            index: 3,
            primaries: 3,
            ..
        }
    );
    assert!(fits, "{error:?}");
    let error = client.queue::<u32>("m", 0).await.unwrap_err();
    let (wanted, found) = (Kind::Queue, Kind::Map);
    let fits = matches!(&error, Error::WrongKind { wanted: w, found: f, .. }
        if (*w, *f) == (wanted, found));
    assert!(fits, "{error:?}");
    let error = list.raw().call(Op::Dequeue).await.unwrap_err();
    let said = "cluster \"l\" is a list, which has no such operation";
    assert_eq!(error.to_string(), said);

    let error = client.create(&spec("l", 1, 1)).await.unwrap_err();
    let fits = matches!(&error, Error::Refused(AdminError::NameTaken { name }) if name == "l");
    assert!(fits, "{error:?}");
    let error = client.create(&spec("big", 4, 1)).await.unwrap_err();
    let fits = matches!(
        error,
        Error::Refused(AdminError::NotEnoughServers {
            members: 5,
            servers: 4,
            hosts: 4
        })
    );
    assert!(fits, "{error:?}");
    for (bad, error) in [
        (spec("no primaries", 1, 1), None),
        (spec("p", 0, 1), Some(ShapeError::NoPrimaries)),
        (spec("f", 1, 0), Some(ShapeError::NoFaults)),
    ] {
        let got = client.create(&bad).await.unwrap_err();
        let fits = match (&got, error) {
            (Error::BadShape(ShapeError::BadName { .. }), None) => true,
            (Error::BadShape(got), Some(wanted)) => *got == wanted,
            _ => false,
        };
        assert!(fits, "{got:?}");
    }
    client.remove("m").await.unwrap();
    // The servers hear of it with their next heartbeat.
    wait_until("the removed map to be unknown", async || {
        match map.get(&1).await {
            Err(Error::UnknownCluster { .. }) => Ok(()),
            answer => Err(format!("{answer:?}")),
        }
    })
    .await;
    let error = client.remove("m").await.unwrap_err();
    assert!(matches!(error, Error::UnknownCluster { .. }), "{error:?}");
    rig.stop().await;
}
