//! Clients come many at once, from far away, and while the coordinator is started again: their deadline holds.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Up to half of them failed: one attempt of a second, and 128 places in the queue of the listening socket.
#[tokio::test]
async fn two_thousand_clients_connect_at_once() {
    let rig = start(3).await;
    rig.create("q", Kind::Queue, 2, 1).await;
    let client = async || {
        let options = ClientOptions {
            network: rig.network().clone(),
            timeout: PATIENCE,
            ..ClientOptions::default()
        };
        let client = Client::connect_with(rig.coordinator(), options).await?;
        client.cluster("q").await?;
        Ok(client)
    };
    let all: Vec<Result<Client, Error>> = join_all((0..2000).map(|_| client())).await;
    let failed: Vec<_> = all.iter().filter_map(|c| c.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} of 2000: {}", failed.len(), failed[0]);
    drop(all);
    rig.stop().await;
}

/// Passes bytes on, each way after so long.
async fn pass_on(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) {
    const ONE_WAY: Duration = Duration::from_millis(600);
    let mut bytes = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        tokio::time::sleep(ONE_WAY).await;
        if to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}

/// None connected.
#[tokio::test]
async fn a_coordinator_that_is_a_round_trip_of_1200_ms_away_is_used() {
    let rig = start(3).await;
    let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let far_away = near.local_addr().unwrap().to_string();
    let coordinator = rig.coordinator().to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = near.accept().await {
            let Ok(there) = TcpStream::connect(&coordinator).await else {
                continue;
            };
            let ((asked, answer), (said, ask)) = (client.into_split(), there.into_split());
            tokio::spawn(pass_on(asked, ask));
            tokio::spawn(pass_on(said, answer));
        }
    });
    let options = ClientOptions {
        network: rig.network().clone(),
        ..ClientOptions::default()
    };
    let client = Client::connect_with(&far_away, options).await.unwrap();
    let spec = ClusterSpec::new("q", Kind::Queue, 2, 1);
    client.create(&spec).await.unwrap();
    let queue: Queue<u64> = client.queue("q", 0).await.unwrap();
    queue.enqueue(&1).await.unwrap();
    assert_eq!(client.status().await.unwrap().clusters.len(), 1);
    rig.stop().await;
}

/// Each was refused at once, whatever its deadline.
#[tokio::test]
async fn who_asks_while_the_coordinator_is_started_again_waits_for_it() {
    let mut rig = start(3).await;
    rig.create("q", Kind::Queue, 2, 1).await;
    let client = rig.client_like(ClientOptions::default()).await;
    rig.kill_coordinator().await.unwrap();
    let options = ClientOptions {
        network: rig.network().clone(),
        ..ClientOptions::default()
    };
    let address = rig.coordinator().to_owned();
    let spec = ClusterSpec::new("new", Kind::List, 1, 1);
    let connects = Client::connect_with(&address, options);
    let creates = async {
        // As soon as the servers are back, too: that there are too few of them yet is an answer.
        let begun = Instant::now();
        loop {
            match client.create(&spec).await {
                Err(Error::Refused(_)) if begun.elapsed() < PATIENCE => {
                    tokio::task::yield_now().await;
                }
                created => break created,
            }
        }
    };
    let opens = client.queue::<u64>("q", 0);
    let starts = async {
        // They have all been refused before.
        let refused = client_is_refused(&address);
        refused.await;
        rig.start_coordinator().await.unwrap();
    };
    let (connected, created, opened, ()) = tokio::join!(connects, creates, opens, starts);
    connected.unwrap();
    created.unwrap();
    opened.unwrap();
    rig.stop().await;
}

/// Waits until nobody listens there any more, as whoever connects sees it.
async fn client_is_refused(address: &str) {
    for _ in 0..3 {
        assert!(TcpStream::connect(address).await.is_err());
        tokio::task::yield_now().await;
    }
}

/// What no waiting changes is said at once.
#[tokio::test]
async fn who_asks_a_server_for_a_coordinator_is_told_at_once() {
    let rig = start(1).await;
    let server = rig.servers().next().unwrap().1.address().to_owned();
    let options = ClientOptions {
        network: rig.network().clone(),
        ..ClientOptions::default()
    };
    let begun = Instant::now();
    let error = Client::connect_with(&server, options).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5), "{error}");
    assert!(error.to_string().contains("Coordinator"), "{error}");
    rig.stop().await;
}
