//! Both sides over real connections.

use super::client::Calls;
use super::message::{append, append_changes, decode_changes, number, whole};
use crate::peer::Connect;
use crate::server::{Host, Peers, serve_connection};
use crate::transport::Network;
use crate::wire::{self, Frames, MAX_FRAME_BYTES, Service, accept};
use crate::{connections, express};
use fusion_core::id::{ClusterId, Epoch, MemberId, PrimaryIndex, Seq};
use fusion_core::message::{ChangeRun, ClientBatch, JoinSnapshot, Refusal, Replicate, Route};
use fusion_core::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

const LONG: Duration = Duration::from_secs(20);

fn route() -> Route {
    Route {
        cluster: ClusterId(u64::MAX),
        epoch: Epoch(2),
        nonce: 5,
        from: MemberId(3),
        to: MemberId(4),
    }
}

fn changes(bytes: usize) -> Replicate {
    let change = Bytes::from(vec![7; bytes]);
    Replicate {
        index: PrimaryIndex(1),
        changes: ChangeRun::pack(Seq(9), [change.clone(), change].iter()),
        stable: Seq(8),
        sent_at: Time(5),
        join: Some(JoinSnapshot {
            seq: Seq(1),
            chunks: 2,
        }),
        taken: 1,
        number: 0,
    }
}

#[test]
fn changes_come_out_as_they_went_in_and_a_cut_head_is_an_error() {
    let mut out = BytesMut::new();
    append_changes(&mut out, 70_000, route(), &changes(1000)).unwrap();
    append_changes(&mut out, 2, route(), &changes(0)).unwrap();
    let mut frames = Frames::new(MAX_FRAME_BYTES, None);
    let first = frames.decode(&mut out).unwrap().unwrap().bytes;
    assert_eq!(
        decode_changes(&first).unwrap(),
        (70_000, route(), changes(1000))
    );
    let second = frames.decode(&mut out).unwrap().unwrap().bytes;
    assert_eq!(decode_changes(&second).unwrap(), (2, route(), changes(0)));
    for cut in 0..20 {
        assert!(decode_changes(&first[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn a_message_that_no_frame_takes_leaves_nothing_of_itself() {
    let mut out = BytesMut::from(&b"before"[..]);
    let tail = vec![0; MAX_FRAME_BYTES + 1];
    assert!(append(&mut out, 1, &(), &tail).is_err());
    assert_eq!(&out[..], b"before");
}

/// A server that answers by `answer`, given each frame; the way to it.
async fn calls<F>(mut answer: impl FnMut(u64, Bytes) -> F + Send + 'static) -> Calls
where
    F: Future<Output = Option<Vec<u8>>> + Send,
{
    let network = Network::loopback();
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = network.listen(any).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let incoming = listener.accept().await.unwrap();
        let (mut stream, _) = accept(incoming, &[Service::Operations]).await.unwrap();
        let (mut frames, mut input) = (Frames::new(MAX_FRAME_BYTES, None), BytesMut::new());
        while stream.read_buf(&mut input).await.is_ok_and(|n| n > 0) {
            while let Some(frame) = frames.decode(&mut input).unwrap() {
                let (called, _) = number(&frame.bytes).unwrap();
                match answer(called, frame.bytes.freeze()).await {
                    Some(bytes) => stream.write_all(&bytes).await.unwrap(),
                    None => return,
                }
            }
        }
    });
    Calls::connect(&network, &address, Service::Operations, LONG)
        .await
        .unwrap()
}

async fn ask(calls: &Calls, what: u32, limit: Duration) -> Result<u32, express::Broken> {
    let answer = calls.call(limit, |out, number| append(out, number, &what, &[]));
    let frame = answer.await?;
    Ok(whole(number(&frame).unwrap().1).unwrap())
}

#[tokio::test]
async fn answers_come_in_any_order_and_one_that_nobody_waits_for_is_dropped() {
    // Two at a time, the second first, and between them one to a call that never was.
    let mut held: Option<(u64, u32)> = None;
    let calls = calls(move |called, frame| {
        let what: u32 = whole(number(&frame).unwrap().1).unwrap();
        let mut out = BytesMut::new();
        match held.take() {
            None => held = Some((called, what)),
            Some((first, with)) => {
                append(&mut out, called, &(what + 1), &[]).unwrap();
                append(&mut out, 1 << 40, &0, &[]).unwrap();
                append(&mut out, first, &(with + 1), &[]).unwrap();
            }
        }
        async move { Some(out.to_vec()) }
    })
    .await;
    let both = tokio::join!(ask(&calls, 10, LONG), ask(&calls, 20, LONG));
    assert_eq!((both.0.unwrap(), both.1.unwrap()), (11, 21));
}

/// More than a socket takes at once: who calls alone sends the beginning itself, the connection's task the rest, and
/// whoever calls meanwhile comes behind it.
async fn long_calls_go_whole_and_others_come_behind_them() {
    let calls = calls(|called, frame| {
        let (_, rest) = number(&frame).unwrap();
        let mut out = BytesMut::new();
        append(&mut out, called, &(rest.len() as u32), &[]).unwrap();
        let right = rest.iter().skip(4).all(|b| *b == rest[rest.len() - 1]);
        assert!(right, "frames are mixed up");
        async move { Some(out.to_vec()) }
    })
    .await;
    let call = async |fill: u8, bytes: usize| {
        let tail = vec![fill; bytes];
        let sent = calls.call(LONG, |out, number| append(out, number, &[fill; 4], &tail));
        let frame = sent.await.unwrap();
        let taken: u32 = whole(number(&frame).unwrap().1).unwrap();
        assert_eq!(taken as usize, bytes + 4);
    };
    for round in 0..4 {
        call(round, 8 << 20).await;
        tokio::join!(call(1, 6 << 20), call(2, 10), call(3, 3 << 20), call(4, 0));
        call(round, 1).await;
    }
}

#[tokio::test]
async fn a_long_call_goes_whole_and_others_come_behind_it() {
    long_calls_go_whole_and_others_come_behind_them().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_long_call_goes_whole_with_several_threads_too() {
    long_calls_go_whole_and_others_come_behind_them().await;
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_connection_to_the_others() {
    let calls = calls(|called, frame| {
        let what: u32 = whole(number(&frame).unwrap().1).unwrap();
        let mut out = BytesMut::new();
        if what != 0 {
            append(&mut out, called, &what, &[]).unwrap();
        }
        async move { Some(out.to_vec()) }
    })
    .await;
    assert!(ask(&calls, 0, Duration::from_millis(20)).await.is_err());
    assert_eq!(calls.under_way(), 0);
    assert_eq!(ask(&calls, 5, LONG).await.unwrap(), 5);
}

#[tokio::test]
async fn when_the_connection_ends_every_call_fails_at_once_and_so_do_later_ones() {
    let calls = calls(|_, _| async { None }).await;
    let all = futures::future::join_all((0..10).map(|i| ask(&calls, i, LONG))).await;
    assert!(all.iter().all(Result::is_err));
    assert!(ask(&calls, 1, LONG).await.is_err());
}

/// A long message on a slow way was given up as a whole after a fixed time, and begun again, for ever.
#[tokio::test]
async fn a_call_goes_on_as_long_as_it_moves_and_no_longer() {
    const PATIENCE: Duration = Duration::from_secs(1);
    let (network, any) = (Network::loopback(), "127.0.0.1:0".parse().unwrap());
    let listener = network.listen(any).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Of the first call it says for long that it comes in, and then answers it; the second is left alone.
    tokio::spawn(async move {
        let incoming = listener.accept().await.unwrap();
        let (mut stream, _) = accept(incoming, &[Service::Changes]).await.unwrap();
        let (mut frames, mut input) = (Frames::new(MAX_FRAME_BYTES, None), BytesMut::new());
        let mut first = true;
        while stream.read_buf(&mut input).await.is_ok_and(|n| n > 0) {
            while let Some(frame) = frames.decode(&mut input).unwrap() {
                let (called, _) = number(&frame.bytes).unwrap();
                for _ in 0..if first { 8 } else { 0 } {
                    tokio::time::sleep(PATIENCE / 5).await;
                    let mut moves = BytesMut::new();
                    append(&mut moves, super::MOVES, &(), &[]).unwrap();
                    stream.write_all(&moves).await.unwrap();
                }
                let mut answer = BytesMut::new();
                append(&mut answer, called, &7u32, &[]).unwrap();
                if std::mem::take(&mut first) {
                    stream.write_all(&answer).await.unwrap();
                }
            }
        }
    });
    let calls = Calls::connect(&network, &address, Service::Changes, LONG)
        .await
        .unwrap();
    let call = || calls.call_while_it_moves(PATIENCE, |out, number| append(out, number, &1, &[]));
    let frame = call().await.expect("it moves");
    assert_eq!(whole::<u32>(number(&frame).unwrap().1).unwrap(), 7);
    assert!(call().await.is_err(), "nothing moves");
}

#[tokio::test]
async fn who_sends_a_long_message_slowly_is_told_that_it_comes_in() {
    let (network, address) = process(true).await;
    let mut stream = wire::connect(&network, &address, Service::Changes, LONG)
        .await
        .unwrap();
    let mut out = BytesMut::new();
    append_changes(&mut out, 5, route(), &changes(4 << 20)).unwrap();
    let (mut frames, mut input) = (Frames::new(MAX_FRAME_BYTES, None), BytesMut::new());
    let told = async {
        for part in out.chunks(64 << 10) {
            stream.write_all(part).await.unwrap();
            let wait = tokio::time::timeout(LONG / 1000, stream.read_buf(&mut input));
            if wait.await.is_ok_and(|read| read.unwrap() > 0) {
                let frame = frames.decode(&mut input).unwrap().expect("it is short");
                return number(&frame.bytes).unwrap().0;
            }
        }
        panic!("nothing was said of a message that came in for long");
    };
    let told = tokio::time::timeout(LONG, told).await.expect("in time");
    assert_eq!(told, super::MOVES);
}

/// A process without members, which offers streams or not.
async fn process(streams: bool) -> (Network, String) {
    let network = Network::loopback();
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = network.listen(any).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let host = Host::new(Peers::new(network.clone()), streams, None);
    tokio::spawn(connections::accept(listener, move |incoming, guest| {
        serve_connection(incoming, guest, Arc::clone(&host))
    }));
    (network, address)
}

#[tokio::test]
async fn with_streams_and_without_them_the_same_is_answered() {
    for streams in [true, false] {
        let (network, address) = process(streams).await;
        let operations = express::Operations::connect(&network, &address, LONG)
            .await
            .unwrap()
            .client;
        assert_eq!(
            matches!(operations, express::Operations::Stream(_)),
            streams
        );
        let (cluster, member) = (ClusterId(1), MemberId(2));
        let batch = ClientBatch {
            cluster,
            member,
            open: None,
            requests: Vec::new(),
            close: None,
        };
        let refused = operations.execute(LONG, batch).await.unwrap();
        assert_eq!(refused, Err(Refusal::NotMember { cluster, member }));
        let to_fused = express::Changes::connect(&network, &address, LONG)
            .await
            .unwrap()
            .client;
        assert_eq!(matches!(to_fused, express::Changes::Stream(_)), streams);
        let refused = to_fused
            .replicate(LONG, route(), changes(10))
            .await
            .unwrap();
        let (cluster, member) = (route().cluster, route().to);
        assert_eq!(refused, Err(Refusal::NotMember { cluster, member }));
    }
}
