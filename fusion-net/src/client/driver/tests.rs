//! A driver that is told by hand what became of its batches.

use super::super::call::Call;
use super::*;
use crate::coordinators::Coordinators;
use crate::peer::Pool;
use crate::transport::Network;
use fusion_core::config::{ClusterShape, Configuration, Host};
use fusion_core::id::{ClusterId, Seq, ServerId};
use fusion_core::op::{Kind, Op, Reply};
use tokio::sync::oneshot;
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
    let mut driver = Driver::new(connections, route, PrimaryIndex(0), &Arc::default());
    driver.session.incarnation = Some(Seq(1));
    driver
}

fn ask(driver: &mut Driver, ops: Vec<Op>) -> Answers {
    let mut answers = Vec::new();
    let calls = ops.into_iter().map(|op| {
        let (answer, answered) = oneshot::channel();
        answers.push(answered);
        let begun = Instant::now();
        Call {
            op,
            begun,
            deadline: begun + driver.connections.timeout,
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

/// What `Promise` does when it is dropped, beside dropping this.
fn go_away(driver: &Driver, answers: Answers) {
    driver.taken.abandon();
    drop(answers);
}

fn element(text: &'static str, seq: u64) -> ClientReply {
    ClientReply::Done(Ok(Reply::Maybe(Some(text.into()))), Seq(seq))
}

fn got(answers: &mut Answers) -> Reply {
    let answer = answers[0].try_recv().expect("it is answered");
    answer.unwrap().result.unwrap()
}

fn taken(text: &'static str) -> Reply {
    Reply::Maybe(Some(text.into()))
}

/// 87 of 88 elements were lost.
#[tokio::test]
async fn what_was_taken_for_a_caller_that_went_away_is_had_by_the_next_one() {
    let mut driver = driver();
    let gone = ask(&mut driver, vec![Op::Dequeue]);
    let (_, calls) = send(&mut driver);
    go_away(&driver, gone);
    let mut next = ask(&mut driver, vec![Op::Dequeue]);
    assert!(driver.batch().is_none(), "first comes what is under way");
    let replies = Answered::Replies(vec![element("first", 7)]);
    driver.take_answers(replies, calls);
    assert!(driver.batch().is_none(), "nothing need be asked");
    assert_eq!(got(&mut next), taken("first"));
    let _later = ask(&mut driver, vec![Op::Dequeue]);
    assert_eq!(send(&mut driver).0, [Op::Dequeue]);
}

/// The connection broke, and then nobody waited: it was not asked for again.
#[tokio::test]
async fn what_may_have_been_taken_for_a_caller_that_went_away_is_asked_about_again() {
    let mut driver = driver();
    let gone = ask(&mut driver, vec![Op::Dequeue]);
    let (_, batch, calls) = driver.batch().unwrap();
    let first = batch.requests[0].id;
    go_away(&driver, gone);
    driver.take_answers(Answered::Not { unsure: true }, calls);
    driver.hold = None;
    assert!(driver.batch().is_none(), "until somebody takes something");
    assert_eq!(driver.parked.len(), 1);
    let mut next = ask(&mut driver, vec![Op::Dequeue, Op::Len]);
    let (_, batch, calls) = driver.batch().unwrap();
    let ids: Vec<_> = batch.requests.iter().map(|r| r.id).collect();
    assert_eq!(ids, [first], "by its name, and alone");
    let replies = Answered::Replies(vec![element("first", 7)]);
    driver.take_answers(replies, calls);
    assert_eq!(send(&mut driver).0, [Op::Len]);
    assert_eq!(got(&mut next), taken("first"));
    assert!(!driver.taken.is_open());
}

/// Whoever was told that the outcome is unknown lost the element.
#[tokio::test(start_paused = true)]
async fn what_was_taken_for_a_caller_who_was_told_that_it_is_unknown_is_had_by_the_next_one() {
    let mut driver = driver();
    let mut late = ask(&mut driver, vec![Op::Dequeue]);
    let (_, calls) = send(&mut driver);
    driver.take_answers(Answered::Not { unsure: true }, calls);
    tokio::time::advance(driver.connections.timeout).await;
    driver.hold = None;
    assert!(driver.batch().is_none());
    assert!(matches!(error(&mut late[0]), Error::OutcomeUnknown { .. }));
    let mut next = ask(&mut driver, vec![Op::Dequeue]);
    let (_, calls) = send(&mut driver);
    assert!(calls[0].abandoned);
    let replies = Answered::Replies(vec![element("first", 7)]);
    driver.take_answers(replies, calls);
    assert!(driver.batch().is_none());
    assert_eq!(got(&mut next), taken("first"));
}

/// Takes are held back no longer than something is under way that could tell.
#[tokio::test]
async fn a_take_of_which_nobody_can_tell_holds_up_nobody() {
    let mut driver = driver();
    let gone = ask(&mut driver, vec![Op::Dequeue]);
    let (_, calls) = send(&mut driver);
    go_away(&driver, gone);
    driver.take_answers(Answered::Not { unsure: true }, calls);
    driver.hold = None;
    let _next = ask(&mut driver, vec![Op::Dequeue]);
    let (_, calls) = send(&mut driver);
    driver.take_answers(Answered::Replies(vec![ClientReply::SessionUnknown]), calls);
    driver.session.incarnation = Some(Seq(9));
    assert_eq!(send(&mut driver).0, [Op::Dequeue]);
    // One that was counted by a driver that has ended.
    driver.takes_under_way = 0;
    driver.taken.abandon();
    let _last = ask(&mut driver, vec![Op::Dequeue]);
    assert_eq!(send(&mut driver).0, [Op::Dequeue]);
}

/// A cluster of 1 + 1 in this process, in a runtime of its own, and where its coordinator is.
fn in_process(home: &tokio::runtime::Runtime) -> String {
    use crate::coordinator::{self, CoordinatorOptions, RedbStore};
    use crate::server::{self, ServerOptions};
    home.block_on(async {
        let anywhere = || "127.0.0.1:0".parse().unwrap();
        let network = Network::loopback();
        let listener = network.listen(anywhere()).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&folder.path().join("store")).unwrap();
        let coordinators: crate::addresses::Addresses = address.parse().unwrap();
        tokio::spawn(async move {
            let options = CoordinatorOptions::default();
            let _folder = folder;
            coordinator::serve(listener, Arc::new(store), options).await
        });
        for _ in 0..2 {
            let listener = network.listen(anywhere()).await.unwrap();
            let options = ServerOptions {
                coordinators: coordinators.clone(),
                advertise: None,
                labels: crate::labels::Labels::default(),
                streams: true,
                memory: None,
            };
            tokio::spawn(server::serve(listener, options));
        }
        let client = crate::client::Client::connect(&address).await.unwrap();
        let mut spec = crate::client::ClusterSpec::new("q", Kind::Queue, 1, 1);
        spec = spec.colocate(true);
        let begun = Instant::now();
        while let Err(error) = client.create(&spec).await {
            assert!(begun.elapsed() < Duration::from_secs(30), "{error}");
            tokio::task::yield_now().await;
        }
        address
    })
}

/// With runtimes of both kinds: a static client of several tests was dead after the first.
#[test]
fn a_client_goes_on_in_another_runtime_of_either_kind() {
    use tokio::runtime::{Builder, Runtime};
    let one_thread = || -> Runtime { Builder::new_current_thread().enable_all().build().unwrap() };
    let threads = || -> Runtime {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap()
    };
    let home = threads();
    let address = in_process(&home);
    let pairs = [
        (one_thread(), threads()),
        (threads(), one_thread()),
        (threads(), threads()),
    ];
    for (first, second) in pairs {
        let (client, old) = first.block_on(async {
            let client = crate::client::Client::connect(&address).await.unwrap();
            let old: crate::client::Queue<u64> = client.queue("q", 0).await.unwrap();
            old.enqueue(&1).await.unwrap();
            (client, old)
        });
        drop(first);
        let begun = Instant::now();
        second.block_on(async {
            assert_eq!(old.dequeue().await.unwrap(), Some(1), "an old handle reads");
            let new: crate::client::Queue<u64> = client.queue("q", 0).await.unwrap();
            new.enqueue(&2).await.unwrap();
            assert_eq!(old.dequeue().await.unwrap(), Some(2));
            assert_eq!(client.status().await.unwrap().clusters.len(), 1);
        });
        assert!(begun.elapsed() < Duration::from_secs(4), "not at once");
    }
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
