//! Frames and batches that are wrong, endless or too large.

use super::*;

#[tokio::test]
async fn bad_frames_close_their_connection_only() {
    let ports = Ports::open().await;
    let mut rng = StdRng::seed_from_u64(seed());
    for port in &ports.ports {
        let hello = preface(PROTOCOL_VERSION, port.offered as u8);
        let with = |rest: &[u8]| [&hello[..], rest].concat();
        for len in [u32::MAX, 1 << 31, MAX_FRAME_BYTES as u32 + 1] {
            let bytes = with(&len.to_be_bytes());
            let heard = say(&port.address, &bytes, false, "a huge length").await;
            assert_eq!(heard, hello);
        }
        // Frames that promise more than comes.
        for (promised, come) in [(1000u32, 10usize), (MAX_FRAME_BYTES as u32, 100), (1, 0)] {
            let bytes = with(&[&promised.to_be_bytes()[..], &vec![0; come]].concat());
            let heard = say(&port.address, &bytes, true, "a cut frame").await;
            assert_eq!(heard, hello);
        }
        // Not a message at all; no such variant; nothing.
        for payload in [&[0xff; 40][..], &[7], &[], &[0]] {
            let bytes = with(&frame(payload));
            let heard = say(&port.address, &bytes, false, "a frame of nonsense").await;
            assert_eq!(heard, hello);
        }
        for _ in 0..200 {
            let mut payload = vec![0; rng.random_range(1..200)];
            rng.fill_bytes(&mut payload);
            // Most begin like a request with a short deadline, so that the later fields are reached.
            if rng.random_ratio(3, 4) {
                payload[0] = 0;
                payload.iter_mut().skip(1).take(2).for_each(|b| *b &= 3);
            }
            say(
                &port.address,
                &with(&frame(&payload)),
                true,
                "a random frame",
            )
            .await;
        }
    }
    ports.close().await;
}

#[tokio::test]
async fn a_huge_deadline_closes_the_connection_and_kills_nobody() {
    let ports = Ports::open().await;
    // What comes by a stream has none.
    let with_deadlines = |p: &&Port| !matches!(p.offered, Service::Operations | Service::Changes);
    for port in ports.ports.iter().filter(with_deadlines) {
        let hello = preface(PROTOCOL_VERSION, port.offered as u8);
        for seconds in [u64::MAX, 1 << 40, MAX_DEADLINE.as_secs() + 1] {
            // A request: variant 0, then the deadline's seconds as a variable-length number.
            let mut payload = vec![0];
            let mut rest = seconds;
            while rest >= 0x80 {
                payload.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            payload.push(rest as u8);
            payload.extend([0; 64]);
            let bytes = [&hello[..], &frame(&payload)].concat();
            let heard = say(&port.address, &bytes, false, "a huge deadline").await;
            assert_eq!(heard, hello);
        }
    }
    ports.close().await;
}

/// A request in a frame of its own: deadline of 5 s, no trace, id 1, then `message`.
fn request(message: &[u8]) -> Vec<u8> {
    let trace = [0; 18];
    frame(&[&[0, 5, 0][..], &trace, &[1], message].concat())
}

/// As long as a frame lasts, its sender may announce as much as it likes: memory is taken by bytes that came.
#[tokio::test]
async fn frames_that_only_announce_their_length_take_no_memory() {
    let ports = Ports::open().await;
    let server = pid_of_server(&ports);
    let before = resident_bytes(server);
    let port = &ports.ports[0];
    let hello = preface(PROTOCOL_VERSION, Service::Fused as u8);
    let mut strangers = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect(&port.address).await.unwrap();
        let bytes = [
            &hello[..],
            &(MAX_FRAME_BYTES as u32).to_be_bytes(),
            &[0; 1000],
        ]
        .concat();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).await.unwrap();
        strangers.push(stream);
    }
    ports
        .assert_well("400 frames of 73 MiB are announced")
        .await;
    let grown = resident_bytes(server).saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for what never came");
    drop(strangers);
    ports.close().await;
}

/// What begins and does not end takes memory, up to a bound for all of it together.
#[tokio::test]
async fn long_frames_that_never_end_take_no_more_than_their_share() {
    let ports = Ports::open().await;
    let server = pid_of_server(&ports);
    let before = resident_bytes(server);
    let hello = preface(PROTOCOL_VERSION, Service::Fused as u8);
    let begun = [&hello[..], &(MAX_FRAME_BYTES as u32).to_be_bytes()].concat();
    let address = ports.ports[0].address.clone();
    // 40 times 60 MiB, where a GiB is allowed.
    let part = vec![7; 1 << 20];
    let send = |_| async {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let _ = stream.write_all(&begun).await;
        for _ in 0..60 {
            if stream.write_all(&part).await.is_err() {
                break;
            }
        }
        stream
    };
    let strangers = futures::future::join_all((0..40).map(send)).await;
    let grown = resident_bytes(server).saturating_sub(before);
    assert!(grown > 256 << 20, "{grown}: the test sends what it says");
    assert!(grown < 1500 << 20, "{grown} bytes are held for strangers");
    ports.assert_well("all of it is held").await;
    drop(strangers);
    let what = "the memory to be given back";
    fusion_tests::cluster::wait_until(what, async || {
        match resident_bytes(server).saturating_sub(before) {
            grown if grown < 200 << 20 => Ok(()),
            grown => Err(format!("{grown} bytes more than before")),
        }
    })
    .await;
    ports.close().await;
}

/// An element takes many times the memory of its bytes: batches are counted as they are decoded.
#[tokio::test]
async fn giant_batches_close_their_connection_and_take_no_memory() {
    let ports = Ports::open().await;
    let server = pid_of_server(&ports);
    let before = resident_bytes(server);
    let port = &ports.ports[0];
    let hello = preface(PROTOCOL_VERSION, Service::Primary as u8);
    // Cluster 1, member 1, no session, then so many requests of 3 bytes each (no id, `Len`, follows nothing), as many
    // as are told.
    let batch = |told: u32, come: usize| {
        let mut message = vec![0, 1, 1, 0];
        let mut rest = told;
        while rest >= 0x80 {
            message.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        message.push(rest as u8);
        message.extend(vec![0; 3 * come]);
        message.push(0);
        message
    };
    for (told, come) in [(6_000_000, 6_000_000), (u32::MAX, 100), (5000, 5000)] {
        let bytes = [&hello[..], &request(&batch(told, come))].concat();
        let heard = say(&port.address, &bytes, false, "a giant batch").await;
        assert_eq!(heard, hello, "{told} requests are not answered");
    }
    // The same with few requests is answered: the ones above were refused for their number.
    let bytes = [&hello[..], &request(&batch(3, 3))].concat();
    let heard = say(&port.address, &bytes, true, "a small batch").await;
    assert!(heard.len() > hello.len(), "{heard:?}");
    let grown = resident_bytes(server).saturating_sub(before);
    assert!(grown < 128 << 20, "{grown} bytes");
    ports.close().await;
}
