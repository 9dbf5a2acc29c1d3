//! Peers that wait, that do not take their answers, or that all come at once.

use super::{ClientSide, Guest, Holds, ServerSide, Service};
use super::{accept, client_transport, connect, server_transport};
use crate::server::{channel_config, run};
use crate::service::{Answers, PrimaryRequest, PrimaryResponse};
use crate::transport::Network;
use fusion_core::id::{ClusterId, MemberId, Seq};
use fusion_core::message::{ClientBatch, ClientReply};
use fusion_core::op::Reply;
use futures::{Sink, SinkExt, StreamExt, future, poll};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tarpc::server::{BaseChannel, Channel, serve};
use tarpc::{ClientMessage, Request, Response, context};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(30);

type Client = ClientSide<PrimaryRequest, PrimaryResponse>;
type Server = ServerSide<PrimaryRequest, PrimaryResponse>;

async fn connected(guest: &Arc<Guest>) -> (Client, Server) {
    let network = Network::loopback();
    let listener = network.listen("127.0.0.1:0".parse().unwrap()).await;
    let listener = listener.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accepting = async {
        let incoming = listener.accept().await.unwrap();
        accept(incoming, &[Service::Primary]).await.unwrap().0
    };
    let reaching = connect(&network, &address, Service::Primary, PATIENCE);
    let (stream, accepted) = future::join(reaching, accepting).await;
    let server = server_transport(accepted, Service::Primary, Arc::clone(guest));
    (client_transport(stream.unwrap()), server)
}

fn request(id: u64, limit: Duration) -> ClientMessage<PrimaryRequest> {
    let batch = ClientBatch {
        cluster: ClusterId(1),
        member: MemberId(1),
        open: None,
        requests: Vec::new(),
        close: None,
    };
    let mut context = context::current();
    context.deadline = Instant::now() + limit;
    ClientMessage::Request(Request {
        context,
        id,
        message: PrimaryRequest::Execute {
            batch: batch.into(),
        },
    })
}

fn answers(bytes: usize) -> Answers {
    let value = Reply::Value(vec![7; bytes].into());
    Answers {
        replies: vec![ClientReply::Done(Ok(value), Seq(1))],
        ..Answers::default()
    }
}

#[tokio::test]
async fn a_connection_whose_requests_have_all_expired_is_idle_again() {
    let guest = Guest::alone(0);
    let (mut client, server) = connected(&guest).await;
    let channel = BaseChannel::new(channel_config(), server);
    let never = serve(|_, _: PrimaryRequest| future::pending());
    tokio::spawn(run(channel.execute(never)));
    for id in 0..100 {
        client
            .send(request(id, Duration::from_millis(300)))
            .await
            .unwrap();
    }
    let until = async |wanted: bool| {
        while guest.idle().is_some() != wanted {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, until(false)).await.expect("they came");
    timeout(PATIENCE, until(true)).await.expect("they are over");
}

/// What is answered at once is answered only when somebody takes the answers.
#[tokio::test]
async fn who_does_not_take_its_answers_is_not_answered_further_requests() {
    const REQUESTS: u64 = 100;
    const LONG: usize = 2 << 20;
    // What the sockets hold, and what may be open.
    const AHEAD: u64 = 32;
    let guest = Guest::alone(1 << 20);
    let (mut client, server) = connected(&guest).await;
    let channel = BaseChannel::new(channel_config(), server);
    let answered = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&answered);
    let long = serve(move |_, _: PrimaryRequest| {
        count.fetch_add(1, Ordering::Relaxed);
        future::ready(Ok(PrimaryResponse::Execute(Ok(answers(LONG)))))
    });
    tokio::spawn(run(channel.execute(long)));
    for id in 0..REQUESTS {
        client.send(request(id, PATIENCE)).await.unwrap();
    }
    for taken in 1..=REQUESTS {
        let answer = timeout(PATIENCE, client.next()).await;
        answer
            .expect("all are answered in the end")
            .unwrap()
            .unwrap();
        let made = answered.load(Ordering::Relaxed);
        assert!(made <= taken + AHEAD, "{made} answers, {taken} taken");
    }
}

/// The one that waits must not get the memory of the one that is just being sent.
#[tokio::test]
async fn an_answer_that_was_promised_memory_is_sent_though_others_wait_for_it() {
    const LONG: usize = 4 << 20;
    let guest = Guest::alone(13 << 10);
    let (_client, mut server) = connected(&guest).await;
    let mut answers = answers(LONG);
    answers.room = guest.room_for_answer().await;
    let mut other = pin!(guest.room_for_answer());
    assert!(poll!(&mut other).is_pending());
    answers.room.shrink_to(LONG);
    let mut server = Pin::new(&mut server);
    let mut message = PrimaryResponse::Execute(Ok(answers));
    assert!(message.room().is_some());
    future::poll_fn(|cx| server.as_mut().poll_ready(cx))
        .await
        .unwrap();
    let response = Response {
        request_id: 1,
        message: Ok(message),
    };
    server.as_mut().start_send(response).unwrap();
    assert!(poll!(&mut other).is_pending(), "it is not sent yet");
}
