//! Rows 9: any bytes, of any length.

use super::*;

/// Keys and values that look like marks, numbers, paddings or nothing at all; and the greatest ones.
#[tokio::test]
async fn row_09_any_bytes_are_keys_and_values() {
    let mut rig = start(2 + 2 * 2).await;
    let raws = rig.create("c", Kind::Map, 2, 2).await;
    let raw = &raws[0];
    let mut model = Model::new(Kind::Map);
    let mut odd: Vec<Bytes> = (0..=255u8).map(|b| vec![b].into()).collect();
    odd.push(Bytes::new());
    for number in [-1i64, 0, 1, 65535, 65536, i64::MIN, i64::MAX] {
        odd.push(number.to_le_bytes().to_vec().into());
        odd.push(number.to_be_bytes().to_vec().into());
    }
    for len in [2, 7, 8, 9, 4095, 4096, 4097, 70_000] {
        odd.push(vec![0; len].into());
        odd.push(vec![0xff; len].into());
    }
    for (i, key) in odd.iter().enumerate() {
        let (key, value) = (key.clone(), odd[odd.len() - 1 - i].clone());
        model.apply_to_both(raw, Op::Put { key, value }).await;
    }
    let biggest = Bytes::from(vec![0xab; MAX_VALUE_BYTES]);
    let longest = Bytes::from(vec![0xcd; MAX_KEY_BYTES]);
    let big = [
        (Bytes::from_static(b"8 MiB"), biggest.clone()),
        (longest.clone(), biggest.clone()),
        (longest.slice(1..), Bytes::new()),
    ];
    for (key, value) in big {
        model.apply_to_both(raw, Op::Put { key, value }).await;
    }

    let too_long = Bytes::from(vec![0; MAX_VALUE_BYTES + 1]);
    let key = Bytes::from_static(b"never");
    let put = raw.call(Op::Put {
        key: key.clone(),
        value: too_long.clone(),
    });
    let error = put.await.unwrap_err();
    assert!(
        matches!(error, Error::ValueTooLarge { len, max }
            if len == max + 1 && max == MAX_VALUE_BYTES as u64),
        "{error:?}"
    );
    let put = raw.call(Op::Put {
        key: too_long,
        value: Bytes::new(),
    });
    let error = put.await.unwrap_err();
    assert!(
        matches!(error, Error::KeyTooLarge { len, max }
            if len == max + 1 && max == MAX_KEY_BYTES as u64),
        "{error:?}"
    );

    model.verify(raw, "before any loss").await;
    let killed = rig.kill("c", &[Seat::Primary(0), Seat::Fused(0)]).await;
    rig.wait_whole_without("c", &killed).await;
    model.verify(raw, "the recovered map").await;
    // The codes that a learner made are as good.
    rig.restart(&killed).await;
    let killed = rig.kill("c", &[Seat::Primary(0), Seat::Fused(1)]).await;
    rig.wait_whole_without("c", &killed).await;
    model.verify(raw, "the map recovered twice").await;
    for key in odd {
        model.apply_to_both(raw, Op::Remove { key }).await;
    }
    model.verify(raw, "after the removals").await;
    rig.stop().await;
}

/// The longest changes that there can be: a great entry goes to another size class, its neighbour moves into the
/// hole, and the record of a great answer makes room as well.
#[tokio::test]
async fn row_09_the_longest_changes_are_replicated() {
    let rig = start(2 + 2).await;
    rig.create("c", Kind::Map, 2, 2).await;
    let clients = [
        rig.client_with(Duration::from_secs(60)).await,
        rig.client_with(Duration::from_secs(60)).await,
    ];
    let ways = [
        raws(&clients[0], "c", 2).await,
        raws(&clients[1], "c", 2).await,
    ];
    let mut model = Model::new(Kind::Map);
    // Random bytes: where neighbours have the same ones a change has nothing to write.
    let mut rng = StdRng::seed_from_u64(seed());
    let mut random = |len: usize| {
        let mut bytes = vec![0; len];
        rng.fill(&mut bytes[..]);
        Bytes::from(bytes)
    };
    let keys = [random(MAX_KEY_BYTES), random(MAX_KEY_BYTES)];
    let put = |key: Bytes, value: Bytes| Op::Put { key, value };
    for smaller in [2 << 20, 3 << 20] {
        // Two entries of the greatest class, one on top of the other.
        for key in &keys {
            let op = put(key.clone(), random(MAX_VALUE_BYTES));
            model.apply_to_both(&ways[0][0], op).await;
        }
        // Two recorded answers of 8 MiB, one for each client's session.
        for (client, name) in ways.iter().zip([b"x", b"y"]) {
            let name = Bytes::from_static(name);
            let op = put(name.clone(), random(MAX_VALUE_BYTES));
            model.apply_to_both(&client[0], op).await;
            let op = Op::Remove { key: name };
            model.apply_to_both(&client[0], op).await;
        }
        let op = put(keys[0].clone(), random(MAX_VALUE_BYTES - smaller));
        model.apply_to_both(&ways[0][0], op).await;
        model.verify(&ways[1][0], "the longest change").await;
    }
    rig.stop().await;
}
