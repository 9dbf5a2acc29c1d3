//! Rows 7 and 11: queues.

use super::*;

#[tokio::test]
async fn row_07_fifty_concurrent_dequeues_give_fifty_values() {
    let mut rig = start(N + 1).await;
    let raws = rig.create("c", Kind::Queue, 2, 1).await;
    let other = rig.client_with(Duration::from_secs(30)).await;
    let other = fusion_tests::cluster::raws(&other, "c", 2).await;
    for i in 0..60 {
        let value = number(i);
        raws[0].call(Op::Enqueue { value }).await.unwrap();
    }
    let calls = (0..50).map(|i| [&raws, &other][i % 2][0].call(Op::Dequeue));
    let given = try_join_all(calls).await.unwrap();
    let given: BTreeSet<Bytes> = given
        .into_iter()
        .map(|reply| match reply {
            Reply::Maybe(Some(value)) => value,
            reply => panic!("{reply:?}"),
        })
        .collect();
    assert_eq!(given, (0..50).map(number).collect());
    let killed = rig.kill("c", &[Seat::Primary(0)]).await;
    rig.wait_whole_without("c", &killed).await;
    for i in 50..60 {
        let reply = raws[0].call(Op::Dequeue).await.unwrap();
        assert_eq!(reply, Reply::Maybe(Some(number(i))));
    }
    let reply = raws[0].call(Op::Dequeue).await.unwrap();
    assert_eq!(reply, Reply::Maybe(None));
    rig.stop().await;
}

/// One primary of a queue cluster is lost alone; what comes back is a queue that serves, at the same place in line.
#[tokio::test]
async fn row_11_a_recovered_queue_serves_again() {
    let mut rig = start(N + 1 + 1).await;
    let mut queues = Vec::new();
    rig.create("c", Kind::Queue, N, 1).await;
    for index in 0..N {
        queues.push(rig.client.queue::<String>("c", index).await.unwrap());
    }
    let mut expected: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for i in 0..40 {
        for (q, queue) in queues.iter().enumerate() {
            let text = format!("{i} of queue {q}");
            queue.enqueue(&text).await.unwrap();
            expected.entry(q).or_default().push(text);
        }
    }
    for (lost, line) in &mut expected {
        assert_eq!(
            queues[*lost].dequeue().await.unwrap().as_ref(),
            line.first()
        );
        line.remove(0);
        let killed = rig.kill("c", &[Seat::Primary(*lost)]).await;
        // Right away, not only when it is whole.
        let text = "after the loss".to_owned();
        queues[*lost].enqueue(&text).await.unwrap();
        line.push(text);
        assert_eq!(
            queues[*lost].dequeue().await.unwrap().as_ref(),
            line.first()
        );
        line.remove(0);
        assert_eq!(queues[*lost].to_vec().await.unwrap(), *line);
        rig.wait_whole_without("c", &killed).await;
        rig.restart(&killed).await;
    }
    for (q, line) in &expected {
        assert_eq!(queues[*q].to_vec().await.unwrap(), *line);
    }
    rig.stop().await;
}
