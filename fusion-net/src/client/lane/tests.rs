//! A driver that is told by hand what became of its batches.

use super::*;
use crate::coordinators::Coordinators;
use crate::peer::Pool;
use crate::transport::Network;
use fusion_core::config::{ClusterShape, Configuration, Host};
use fusion_core::id::{ClusterId, Seq, ServerId};
use fusion_core::op::{Kind, Reply};
use tokio_util::task::TaskTracker;

type Answers = Vec<oneshot::Receiver<Result<Answer, Error>>>;

fn driver() -> Driver {
    let network = Network::loopback();
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let connections = Connections {
        coordinators: Coordinators::new(nowhere, network.clone()),
        primaries: Pool::new(network),
        lanes: TaskTracker::new(),
        timeout: Duration::from_secs(30),
        coalesce: true,
    };
    let hosts = [1, 2].map(|server| Host {
        server: ServerId(server),
        address: "127.0.0.1:1".to_owned(),
    });
    let shape = ClusterShape::new("c", Kind::Queue, 1, 1, false).unwrap();
    let config = Configuration::create(1, ClusterId(1), 1, &shape, &hosts);
    let route = Route::new(Arc::new(config));
    let mut driver = Driver::new(connections, route, PrimaryIndex(0));
    driver.session.incarnation = Some(Seq(1));
    driver
}

fn ask(driver: &mut Driver, ops: Vec<Op>) -> Answers {
    let mut answers = Vec::new();
    let calls = ops.into_iter().map(|op| {
        let (answer, answered) = oneshot::channel();
        answers.push(answered);
        Call {
            op,
            deadline: Instant::now() + driver.limit,
            answer,
        }
    });
    driver.waiting.take(Ask::Together(calls.collect()));
    answers
}

fn send(driver: &mut Driver) -> (Vec<Op>, Vec<Pending>) {
    let (_, batch, calls) = driver.batch().expect("something waits");
    (batch.requests.into_iter().map(|r| r.op).collect(), calls)
}

fn enqueue() -> Op {
    Op::Enqueue { value: "x".into() }
}

fn done() -> ClientReply {
    ClientReply::Done(Ok(Reply::Done), Seq(1))
}

fn error(answer: &mut oneshot::Receiver<Result<Answer, Error>>) -> Error {
    answer.try_recv().unwrap().unwrap_err()
}

/// A read behind a change that nobody can tell of was sent again alone, and answered.
#[tokio::test]
async fn what_is_behind_a_change_that_was_given_up_is_not_executed() {
    let mut driver = driver();
    let mut answers = ask(&mut driver, vec![enqueue(), enqueue(), Op::Len]);
    let mut others = ask(&mut driver, vec![Op::Len]);
    let (ops, calls) = send(&mut driver);
    assert_eq!(ops.len(), 4);
    driver.take_answers(Answered::Not { unsure: true }, calls);
    let (_, calls) = send(&mut driver);
    let replies = vec![
        ClientReply::SessionUnknown,
        ClientReply::Deferred,
        ClientReply::Deferred,
        done(),
    ];
    driver.take_answers(Answered::Replies(replies), calls);
    for change in &mut answers[..2] {
        assert!(matches!(error(change), Error::OutcomeUnknown { .. }));
    }
    assert!(matches!(error(&mut answers[2]), Error::TimedOut { .. }));
    assert!(others[0].try_recv().unwrap().is_ok());
    assert!(driver.waiting.is_empty());
}

/// Were put off again and again behind the rest of another's long answers.
#[tokio::test]
async fn who_asks_beside_long_answers_waits_for_one_batch_of_them() {
    let mut driver = driver();
    let _long = ask(&mut driver, vec![Op::Dequeue, Op::Dequeue, Op::Dequeue]);
    let _short = ask(&mut driver, vec![Op::Len]);
    let (ops, calls) = send(&mut driver);
    assert_eq!(ops, [Op::Dequeue, Op::Dequeue, Op::Dequeue, Op::Len]);
    let _later = ask(&mut driver, vec![Op::Peek]);
    let put_off = || ClientReply::Deferred;
    let replies = vec![done(), put_off(), put_off(), put_off()];
    driver.take_answers(Answered::Replies(replies), calls);
    let (ops, _) = send(&mut driver);
    assert_eq!(ops, [Op::Len, Op::Dequeue, Op::Dequeue, Op::Peek]);
}

/// Were said not to have been made.
#[tokio::test]
async fn changes_that_were_sent_before_a_cluster_was_removed_may_have_been_made() {
    let mut driver = driver();
    let mut sent = ask(&mut driver, vec![enqueue(), Op::Len]);
    let (_, calls) = send(&mut driver);
    driver.take_answers(Answered::Not { unsure: true }, calls);
    let mut unsent = ask(&mut driver, vec![enqueue()]);
    driver.take_news(Refreshed::Removed);
    assert!(matches!(error(&mut sent[0]), Error::OutcomeUnknown { .. }));
    assert!(matches!(error(&mut sent[1]), Error::UnknownCluster { .. }));
    assert!(matches!(
        error(&mut unsent[0]),
        Error::UnknownCluster { .. }
    ));
}

/// Waited with the changes, until those were given up (rule 53).
#[tokio::test]
async fn reads_do_not_wait_for_changes_below_the_floor() {
    let mut driver = driver();
    let mut changes = ask(&mut driver, vec![enqueue()]);
    let (_, calls) = send(&mut driver);
    driver.take_answers(Answered::Replies(vec![ClientReply::BelowFloor]), calls);
    assert!(!driver.is_worth_a_batch(0), "the change waits");
    assert!(driver.batch().is_none());
    let mut reads = ask(&mut driver, vec![Op::Len]);
    assert!(driver.is_worth_a_batch(0));
    let (ops, calls) = send(&mut driver);
    assert_eq!(ops, [Op::Len]);
    driver.take_answers(Answered::Replies(vec![done()]), calls);
    assert!(reads[0].try_recv().unwrap().is_ok());
    assert!(driver.why().contains("in sync"), "{}", driver.why());
    driver.hold_changes = None;
    let (ops, calls) = send(&mut driver);
    assert_eq!(ops, [enqueue()]);
    driver.take_answers(Answered::Replies(vec![done()]), calls);
    assert!(changes[0].try_recv().unwrap().is_ok());
    assert!(!driver.why().contains("in sync"), "{}", driver.why());
}

/// A read of a client that has no session yet waited for the session of its changes (rule 53).
#[tokio::test]
async fn reads_do_not_wait_for_a_session_below_the_floor() {
    let mut driver = driver();
    driver.session.incarnation = None;
    let _changes = ask(&mut driver, vec![enqueue()]);
    let (_, batch, calls) = driver.batch().expect("a session is opened");
    assert!(batch.open.is_some() && calls.is_empty());
    driver.take_answers(Answered::Replies(vec![ClientReply::BelowFloor]), calls);
    let mut reads = ask(&mut driver, vec![Op::Len]);
    let (ops, calls) = send(&mut driver);
    assert_eq!(ops, [Op::Len]);
    driver.take_answers(Answered::Replies(vec![done()]), calls);
    assert!(reads[0].try_recv().unwrap().is_ok());
    assert!(driver.batch().is_none(), "the change waits");
}
