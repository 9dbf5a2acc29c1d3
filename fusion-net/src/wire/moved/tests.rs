use super::*;
use crate::peer::{Movement, Watched, connect};
use crate::server::{channel_config, run};
use crate::service::{Counted, FusedClient, FusedRequest, FusedResponse};
use crate::transport::{Listener, Network};
use crate::wire::{self, Guest, Service, accept, server_transport};
use fusion_core::class::ClassId;
use fusion_core::id::{ClusterId, Epoch, MemberId};
use fusion_core::message::{Pages, RecoveryReply, RecoveryRequest, Route};
use fusion_core::page::PageId;
use fusion_core::time::Timing;
use futures::future;
use std::sync::atomic::{AtomicUsize, Ordering};
use tarpc::server::{BaseChannel, Channel, serve};
use tarpc::{ClientMessage, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

const LIMIT: Duration = Duration::from_secs(30);

async fn listening() -> (Network, Listener, String) {
    let network = Network::loopback();
    let listener = network.listen("127.0.0.1:0".parse().unwrap());
    let listener = listener.await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (network, listener, address)
}

fn route() -> Route {
    Route {
        cluster: ClusterId(1),
        epoch: Epoch(1),
        nonce: 0,
        from: MemberId(1),
        to: MemberId(2),
    }
}

/// A long answer on a slow way was given up as a whole after a fixed time, and asked for again, for ever.
#[tokio::test]
async fn an_answer_is_waited_for_as_long_as_it_moves_and_no_longer() {
    let (network, listener, address) = listening().await;
    let page = vec![7; 1 << 20];
    let class = ClassId::for_len(page.len()).unwrap();
    let pages = vec![(PageId { class, page: 0 }, page.into())];
    let reply = RecoveryReply::SnapshotPages {
        pages: Pages { pages },
    };
    // The first call is answered in parts, over three seconds; the second is left alone.
    tokio::spawn(async move {
        let incoming = listener.accept().await.unwrap();
        let (stream, _) = accept(incoming, &[Service::Fused]).await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let length = reader.read_u32().await.unwrap();
        let mut frame = vec![0; length as usize];
        reader.read_exact(&mut frame).await.unwrap();
        let ClientMessage::Request(request) = wire::decode_request::<FusedRequest>(&frame).unwrap()
        else {
            panic!("a request");
        };
        let message = FusedResponse::Recover(Ok(Counted::from(reply)));
        let answer = Response {
            request_id: request.id,
            message: Ok(message),
        };
        let answer = postcard::to_stdvec(&answer).unwrap();
        writer.write_u32(answer.len() as u32).await.unwrap();
        for part in answer.chunks(answer.len() / 15) {
            writer.write_all(part).await.unwrap();
            writer.flush().await.unwrap();
            sleep(LIMIT / 150).await;
        }
        while reader.read_u8().await.is_ok() {}
    });
    let way: Watched<FusedClient> = connect(&network, &address).await.unwrap();
    let patience = Movement::of(&Timing::for_suspicion(500).unwrap());
    let told = AtomicUsize::new(0);
    let moves = || {
        told.fetch_add(1, Ordering::Relaxed);
    };
    let asked = || way.recover(Movement::context(), route(), RecoveryRequest::Vector);
    let since = Instant::now();
    let answer = way.while_it_moves(patience, moves, asked()).await;
    let answer = answer.expect("it moves").unwrap().unwrap().message;
    assert!(matches!(answer, RecoveryReply::SnapshotPages { .. }));
    let took = since.elapsed();
    assert!(took > Duration::from_secs(2), "it was slow: {took:?}");
    assert!(told.load(Ordering::Relaxed) > 5, "who asks hears of it");
    let second = way.while_it_moves(patience, moves, asked()).await;
    assert!(second.is_none(), "nothing moves");
}

/// Only who takes it knows that a long request comes in: what a socket has taken may wait in buffers for seconds.
#[tokio::test]
async fn who_sends_a_long_request_slowly_is_told_that_it_comes_in() {
    let (network, listener, address) = listening().await;
    tokio::spawn(async move {
        let incoming = listener.accept().await.unwrap();
        let (stream, _) = accept(incoming, &[Service::Fused]).await.unwrap();
        let transport = server_transport(stream, Service::Fused, Guest::alone(64 << 10));
        let channel =
            BaseChannel::<FusedRequest, FusedResponse, _>::new(channel_config(), transport);
        run(channel.execute(serve(|_, _| future::pending()))).await;
    });
    let connecting = wire::connect(&network, &address, Service::Fused, LIMIT);
    let mut stream = connecting.await.unwrap();
    stream.write_u32(4 << 20).await.unwrap();
    let told = async {
        let mut input = Vec::new();
        for _ in 0..64 {
            stream.write_all(&[0; 64 << 10]).await.unwrap();
            stream.flush().await.unwrap();
            let wait = tokio::time::timeout(SAY_MOVES * 2, stream.read_buf(&mut input));
            if wait.await.is_ok_and(|read| read.unwrap() > 0) {
                return input;
            }
        }
        panic!("nothing was said of a request that came in for long");
    };
    let told = tokio::time::timeout(LIMIT, told).await.expect("in time");
    assert_eq!(told[..4], [0; 4], "an empty frame");
}
