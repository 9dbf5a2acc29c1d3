//! The paper's own test data, Tables 1 to 4, to the letter: three primaries and three fused structures a cluster, and
//! then what its section 6 ends with, the loss of all three primaries at once.

use fusion_net::client::{Error, Kind, List, MapPart};
use fusion_tests::cluster::{Rig, Seat, start};

const ALL_PRIMARIES: [Seat; 3] = [Seat::Primary(0), Seat::Primary(1), Seat::Primary(2)];

/// Kills the servers of all three primaries and waits until their replacements serve.
async fn lose_all_primaries(rig: &mut Rig, name: &str) {
    let killed = rig.kill(name, &ALL_PRIMARIES).await;
    rig.wait_whole_without(name, &killed).await;
    rig.restart(&killed).await;
}

async fn lists(rig: &Rig) -> [List<u32>; 3] {
    let mut lists = Vec::new();
    for index in 0..3 {
        lists.push(rig.client.list("Cluster-1", index).await.unwrap());
    }
    lists.try_into().unwrap()
}

async fn maps(rig: &Rig) -> [MapPart<u32, u32>; 3] {
    let mut maps = Vec::new();
    for index in 0..3 {
        maps.push(rig.client.map_part("Cluster-2", index).await.unwrap());
    }
    maps.try_into().unwrap()
}

async fn assert_list(list: &List<u32>, expected: &[u32]) {
    assert_eq!(list.to_vec().await.unwrap(), expected);
    assert_eq!(list.len().await.unwrap(), expected.len() as u64);
}

async fn assert_map(map: &MapPart<u32, u32>, expected: &[(u32, u32)]) {
    let mut entries = map.entries().await.unwrap();
    entries.sort_unstable();
    assert_eq!(entries, expected);
    assert_eq!(map.len().await.unwrap(), expected.len() as u64);
}

async fn list_states_after_table_1([one, two, three]: &[List<u32>; 3]) {
    assert_list(one, &[123, 125, 456, 256]).await;
    assert_list(two, &[420, 420, 456]).await;
    assert_list(three, &[126, 127, 789]).await;
}

/// Table 3, rows 1 to 5.
async fn list_retrievals([one, two, three]: &[List<u32>; 3]) {
    assert_eq!(one.get(0).await.unwrap(), 123);
    // The paper prints 125 for index 2, which its own state line above rules out: 125 stands at index 1.
    assert_eq!(one.get(1).await.unwrap(), 125);
    assert_eq!(one.get(2).await.unwrap(), 456);
    assert_eq!(three.get(2).await.unwrap(), 789);
    assert_eq!(two.get(1).await.unwrap(), 420);
    let error = two.get(4).await.unwrap_err();
    assert!(
        matches!(error, Error::IndexError { index: 4, len: 3 }),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_list_cluster_of_tables_1_3_and_4() {
    let mut rig = start(9).await;
    rig.create("Cluster-1", Kind::List, 3, 3).await;
    let all = lists(&rig).await;
    let [one, two, three] = &all;

    // Table 1, with each state that the paper prints.
    one.insert(0, &123).await.unwrap();
    one.insert(1, &456).await.unwrap();
    assert_list(one, &[123, 456]).await;
    one.insert(1, &125).await.unwrap();
    assert_list(one, &[123, 125, 456]).await;
    one.insert(3, &256).await.unwrap();
    assert_list(one, &[123, 125, 456, 256]).await;
    two.insert(0, &456).await.unwrap();
    two.insert(0, &420).await.unwrap();
    assert_list(two, &[420, 456]).await;
    two.insert(0, &420).await.unwrap();
    assert_list(two, &[420, 420, 456]).await;
    three.insert(0, &789).await.unwrap();
    three.insert(0, &126).await.unwrap();
    assert_list(three, &[126, 789]).await;
    three.insert(1, &127).await.unwrap();
    list_states_after_table_1(&all).await;
    list_retrievals(&all).await;

    lose_all_primaries(&mut rig, "Cluster-1").await;
    list_states_after_table_1(&all).await;
    list_retrievals(&all).await;

    // Table 4, on what was recovered.
    assert_eq!(one.remove(0).await.unwrap(), 123);
    assert_list(one, &[125, 456, 256]).await;
    assert_eq!(two.remove(2).await.unwrap(), 456);
    assert_list(two, &[420, 420]).await;
    assert_eq!(three.remove(1).await.unwrap(), 127);
    assert_list(three, &[126, 789]).await;
    assert_eq!(three.remove(1).await.unwrap(), 789);
    assert_list(three, &[126]).await;
    let error = one.remove(3).await.unwrap_err();
    assert!(
        matches!(error, Error::IndexError { index: 3, len: 3 }),
        "{error:?}"
    );

    lose_all_primaries(&mut rig, "Cluster-1").await;
    assert_list(one, &[125, 456, 256]).await;
    assert_list(two, &[420, 420]).await;
    assert_list(three, &[126]).await;
    rig.stop().await;
}

async fn map_states_after_table_2([one, two, three]: &[MapPart<u32, u32>; 3]) {
    assert_map(one, &[(100, 7121), (200, 9600), (579, 420)]).await;
    assert_map(two, &[(1, 6), (2, 42), (57, 96), (59, 12)]).await;
    assert_map(three, &[(5, 1), (6, 2), (7, 4), (8, 3)]).await;
}

fn assert_key_error(error: &Error, key: &[u8]) {
    assert!(
        matches!(error, Error::KeyError { key: k } if k[..] == *key),
        "{error:?}"
    );
}

/// Table 3, rows 6 to 9.
async fn map_retrievals([one, two, three]: &[MapPart<u32, u32>; 3]) {
    assert_eq!(one.get(&100).await.unwrap(), 7121);
    assert_eq!(two.get(&57).await.unwrap(), 96);
    assert_eq!(three.get(&8).await.unwrap(), 3);
    assert_key_error(&one.get(&7).await.unwrap_err(), &[7]);
}

#[tokio::test]
async fn the_map_cluster_of_tables_2_3_and_4() {
    let mut rig = start(9).await;
    rig.create("Cluster-2", Kind::Map, 3, 3).await;
    let all = maps(&rig).await;
    let [one, two, three] = &all;

    // Table 2, with each state that the paper prints.
    assert!(!one.put(&100, &1234).await.unwrap());
    assert!(!one.put(&200, &9600).await.unwrap());
    assert_map(one, &[(100, 1234), (200, 9600)]).await;
    assert!(one.put(&100, &7121).await.unwrap());
    assert_map(one, &[(100, 7121), (200, 9600)]).await;
    assert!(!one.put(&579, &420).await.unwrap());
    for (map, [a, b, c, d]) in [
        (two, [(1, 6), (2, 42), (57, 96), (59, 12)]),
        (three, [(5, 1), (6, 2), (7, 4), (8, 3)]),
    ] {
        map.put(&a.0, &a.1).await.unwrap();
        map.put(&b.0, &b.1).await.unwrap();
        assert_map(map, &[a, b]).await;
        map.put(&c.0, &c.1).await.unwrap();
        assert_map(map, &[a, b, c]).await;
        map.put(&d.0, &d.1).await.unwrap();
    }
    map_states_after_table_2(&all).await;
    map_retrievals(&all).await;

    lose_all_primaries(&mut rig, "Cluster-2").await;
    map_states_after_table_2(&all).await;
    map_retrievals(&all).await;

    // Table 4, on what was recovered.
    assert_eq!(one.remove(&100).await.unwrap(), 7121);
    assert_map(one, &[(200, 9600), (579, 420)]).await;
    assert_eq!(one.remove(&579).await.unwrap(), 420);
    assert_map(one, &[(200, 9600)]).await;
    assert_eq!(three.remove(&7).await.unwrap(), 4);
    assert_key_error(&one.remove(&100).await.unwrap_err(), &[100]);

    lose_all_primaries(&mut rig, "Cluster-2").await;
    assert_map(one, &[(200, 9600)]).await;
    assert_map(two, &[(1, 6), (2, 42), (57, 96), (59, 12)]).await;
    assert_map(three, &[(5, 1), (6, 2), (8, 3)]).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_queue_cluster_keeps_its_order_over_the_loss_of_all_primaries() {
    let mut rig = start(9).await;
    rig.create("Cluster-3", Kind::Queue, 3, 3).await;
    let mut queues = Vec::new();
    for index in 0..3 {
        queues.push(rig.client.queue::<u32>("Cluster-3", index).await.unwrap());
    }
    // Table 1's values in the order in which the paper adds them.
    let values: [&[u32]; 3] = [&[123, 456, 125, 256], &[456, 420, 420], &[789, 126, 127]];
    for (queue, values) in queues.iter().zip(values) {
        assert_eq!(queue.peek().await.unwrap(), None);
        for value in values {
            queue.enqueue(value).await.unwrap();
        }
    }
    assert_eq!(queues[0].dequeue().await.unwrap(), Some(123));
    lose_all_primaries(&mut rig, "Cluster-3").await;
    let left: [&[u32]; 3] = [&[456, 125, 256], &[456, 420, 420], &[789, 126, 127]];
    for (queue, left) in queues.iter().zip(left) {
        assert_eq!(queue.to_vec().await.unwrap(), left);
        assert_eq!(queue.peek().await.unwrap(), Some(left[0]));
        queue.enqueue(&1000).await.unwrap();
        for value in left {
            assert_eq!(queue.dequeue().await.unwrap(), Some(*value));
        }
    }
    lose_all_primaries(&mut rig, "Cluster-3").await;
    for queue in &queues {
        assert_eq!(queue.dequeue().await.unwrap(), Some(1000));
        assert_eq!(queue.dequeue().await.unwrap(), None);
        assert!(queue.is_empty().await.unwrap());
    }
    rig.stop().await;
}
