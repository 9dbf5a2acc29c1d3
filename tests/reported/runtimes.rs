//! A client and its handles outlive the tokio runtime that they were made in: a static client, and several `#[tokio::test]`.

use super::*;
use tokio::runtime::{Builder, Runtime};

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Every call timed out, and those of old handles failed in 23 us with "no answer within 5s".
#[test]
fn a_client_goes_on_at_once_when_the_runtime_that_it_was_made_in_has_ended() {
    let home = one_thread();
    let rig = home.block_on(async {
        let rig = start(4).await;
        rig.create("q", Kind::Queue, 2, 1).await;
        rig
    });
    for _ in 0..2 {
        let (first, second) = (one_thread(), one_thread());
        let (client, old) = first.block_on(async {
            let client = rig.client_with(Duration::from_secs(5)).await;
            let old: Queue<u64> = client.queue("q", 0).await.unwrap();
            old.enqueue(&1).await.unwrap();
            (client, old)
        });
        drop(first);
        let begun = Instant::now();
        second.block_on(async {
            assert_eq!(old.dequeue().await.unwrap(), Some(1), "an old handle reads");
            old.enqueue(&2).await.unwrap();
            assert_eq!(old.clone().dequeue().await.unwrap(), Some(2));
            let new: Queue<u64> = client.queue("q", 1).await.unwrap();
            assert_eq!(new.dequeue().await.unwrap(), None, "a new one does");
            assert_eq!(client.status().await.unwrap().clusters.len(), 1);
            let spec = ClusterSpec::new("more", Kind::List, 1, 1);
            client.create(&spec).await.unwrap();
            client.remove("more").await.unwrap();
        });
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(4), "{took:?}: not at once");
    }
    home.block_on(rig.stop());
}

/// A call that waits while its client's runtime ends is told so, and how long it took.
#[test]
fn a_call_whose_runtime_ends_says_so_and_how_long_it_took() {
    let (home, first, second) = (one_thread(), one_thread(), one_thread());
    let rig = home.block_on(async {
        let rig = start(3).await;
        rig.create("q", Kind::Queue, 2, 1).await;
        rig
    });
    let queue: Queue<u64> = first.block_on(async {
        let client = rig.client_with(Duration::from_secs(30)).await;
        let queue = client.queue("q", 0).await.unwrap();
        queue.enqueue(&0).await.unwrap();
        queue
    });
    // Nobody drives the tasks of the first runtime now: the call waits for them until they are no more.
    let error = second.block_on(async {
        let call = tokio::spawn(async move { queue.enqueue(&1).await });
        tokio::task::yield_now().await;
        tokio::task::spawn_blocking(move || drop(first))
            .await
            .unwrap();
        let error = timeout(Duration::from_secs(10), call).await;
        error.expect("it is told at once").unwrap().unwrap_err()
    });
    let soon = |after: &Duration| *after < Duration::from_secs(10);
    assert!(matches!(&error, Error::OutcomeUnknown { after, .. } if soon(after)));
    assert!(error.to_string().contains("runtime"), "{error}");
    home.block_on(rig.stop());
}
