use super::*;
use crate::coordinator::election::{Alone, Election};
use crate::coordinator::office::{self, Office};
use crate::coordinator::service::CoordinatorServer;
use crate::coordinator::store::suite;
use crate::coordinator::{ConfigStore, CoordinatorOptions, RedbStore, StoreContents};
use crate::service::{Coordinator as _, Known, SyncRequest};
use crate::wire::Guest;
use async_trait::async_trait;
use fusion_core::config::ClusterShape;
use fusion_core::id::{Epoch, Row};
use fusion_core::membership::{Acceptance, What};
use fusion_core::op::Kind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tarpc::context;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(30);

/// Makes changes whose answers are lost, so many of them.
struct Losing {
    store: RedbStore,
    to_lose: AtomicUsize,
    _folder: tempfile::TempDir,
}

impl Losing {
    fn new() -> Arc<Losing> {
        let folder = tempfile::tempdir().unwrap();
        Arc::new(Losing {
            store: RedbStore::open(&folder.path().join("store")).unwrap(),
            to_lose: AtomicUsize::new(0),
            _folder: folder,
        })
    }

    fn lose(&self, answers: usize) {
        self.to_lose.store(answers, Ordering::SeqCst);
    }

    fn answer<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        let one_less = |left: usize| left.checked_sub(1);
        let order = Ordering::SeqCst;
        match self.to_lose.fetch_update(order, order, one_less) {
            Ok(_) => Err(StoreError::Unknown("the answer was lost".to_owned())),
            Err(_) => done,
        }
    }
}

#[async_trait]
impl ConfigStore for Losing {
    fn describe(&self) -> String {
        self.store.describe()
    }

    async fn load(&self) -> Result<StoreContents, StoreError> {
        self.store.load().await
    }

    async fn get(&self, cluster: ClusterId) -> Result<Option<Configuration>, StoreError> {
        self.store.get(cluster).await
    }

    async fn compare_and_swap(&self, next: &Configuration) -> Result<Swapped, StoreError> {
        self.answer(self.store.compare_and_swap(next).await)
    }

    async fn forget_clusters(&self, ids: &[ClusterId]) -> Result<(), StoreError> {
        self.answer(self.store.forget_clusters(ids).await)
    }

    async fn add_server(&self, registration: &Registration) -> Result<ServerId, StoreError> {
        self.answer(self.store.add_server(registration).await)
    }

    async fn put_server(
        &self,
        id: ServerId,
        registration: &Registration,
    ) -> Result<(), StoreError> {
        self.answer(self.store.put_server(id, registration).await)
    }

    async fn forget_servers(&self, ids: &[ServerId]) -> Result<(), StoreError> {
        self.answer(self.store.forget_servers(ids).await)
    }
}

/// A coordinator at work.
struct Stage {
    store: Arc<Losing>,
    office: Arc<Office>,
    _holding: JoinSet<()>,
}

impl Stage {
    async fn set() -> Stage {
        let store = Losing::new();
        let election = Arc::new(Alone::new(Arc::clone(&store) as Arc<dyn ConfigStore>));
        let options = CoordinatorOptions::default();
        let office = Office::new(options, election, "a:1".to_owned());
        let mut holding = JoinSet::new();
        let held = Arc::clone(&office);
        holding.spawn(async move { panic!("{}", office::hold(held).await) });
        let stage = Stage {
            store,
            office,
            _holding: holding,
        };
        stage.active().await;
        stage
    }

    async fn active(&self) -> Arc<Coordinator> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(active) = self.office.active() {
                return active;
            }
            assert!(Instant::now() < end, "nobody is active");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn service(&self) -> CoordinatorServer {
        CoordinatorServer::new(Arc::clone(&self.office), Guest::alone(1 << 20))
    }

    async fn register(&self, incarnation: u64) -> Result<ServerId, AdminError> {
        let registration = suite::registration(incarnation);
        let registered = self
            .service()
            .register(context::current(), registration, None);
        registered.await.map(|r| r.server)
    }

    async fn create(&self, name: &str) -> Result<Arc<Configuration>, AdminError> {
        let shape = ClusterShape::new(name, Kind::Map, 1, 1, true).unwrap();
        self.service().create(context::current(), shape).await
    }
}

fn store_failed<T>(done: &Result<T, AdminError>) -> bool {
    matches!(done, Err(AdminError::Store { message }) if message.contains("not known"))
}

#[tokio::test]
async fn a_cluster_of_unknown_outcome_is_not_created_again_under_its_name() {
    let stage = Stage::set().await;
    stage.register(1).await.unwrap();
    let before = stage.active().await;
    stage.store.lose(2);
    assert!(store_failed(&stage.create("c").await));
    assert!(before.term.is_over(), "what it believes may be wrong");
    let active = stage.active().await;
    assert!(active.registry().by_name("c").is_some(), "it was stored");
    let again = stage.create("c").await;
    assert!(
        matches!(again, Err(AdminError::NameTaken { .. })),
        "{again:?}"
    );
    assert_eq!(stage.store.load().await.unwrap().configs.len(), 1);
}

#[tokio::test]
async fn an_answer_that_the_second_attempt_brings_ends_nothing() {
    let stage = Stage::set().await;
    stage.register(1).await.unwrap();
    let before = stage.active().await;
    stage.store.lose(1);
    stage.create("c").await.unwrap();
    assert!(!before.term.is_over());
}

#[tokio::test]
async fn a_removal_of_unknown_outcome_is_read_anew() {
    let stage = Stage::set().await;
    stage.register(1).await.unwrap();
    stage.create("c").await.unwrap();
    stage.store.lose(2);
    let remove = |name: &str| {
        let name = name.to_owned();
        stage.service().remove(context::current(), name)
    };
    assert!(store_failed(&remove("c").await));
    stage.active().await;
    let again = remove("c").await;
    assert!(
        matches!(again, Err(AdminError::UnknownCluster { .. })),
        "{again:?}"
    );
    stage.register(1).await.unwrap();
}

#[tokio::test]
async fn a_registration_of_unknown_outcome_leaves_no_ghost() {
    let stage = Stage::set().await;
    stage.store.lose(1);
    assert!(store_failed(&stage.register(1).await));
    stage.active().await;
    let id = stage.register(1).await.unwrap();
    let servers = stage.store.load().await.unwrap().servers;
    let ids: Vec<ServerId> = servers.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [id]);
}

#[tokio::test]
async fn a_wish_of_unknown_outcome_to_drain_is_read_anew() {
    let stage = Stage::set().await;
    let id = stage.register(1).await.unwrap();
    stage.store.lose(1);
    let drained = stage.service().drain(context::current(), id, true).await;
    assert!(store_failed(&drained));
    let active = stage.active().await;
    assert!(active.registry().views()[&id].draining, "it was stored");
}

#[tokio::test]
async fn a_fault_in_the_middle_of_a_change_ends_the_term_before_another_change_is_made() {
    let stage = Stage::set().await;
    let before = stage.active().await;
    let faulty = async |_| -> Result<(), Undone> { panic!("a fault, on purpose") };
    assert!(alone(&before, faulty).await.is_err());
    let late = alone(&before, async |_| Ok(())).await;
    assert!(
        matches!(late, Err(AdminError::NotActive { .. })),
        "{late:?}"
    );
    stage.active().await;
    stage.register(1).await.unwrap();
}

/// However that came about: the store knows better than the memory.
#[tokio::test]
async fn a_name_that_only_the_store_knows_is_not_given_again() {
    let stage = Stage::set().await;
    stage.register(1).await.unwrap();
    let before = stage.active().await;
    stage
        .store
        .compare_and_swap(&suite::config(3))
        .await
        .unwrap();
    let refused = stage.create("c3").await;
    assert!(
        matches!(refused, Err(AdminError::NameTaken { .. })),
        "{refused:?}"
    );
    assert!(before.term.is_over());
    assert!(stage.active().await.registry().by_name("c3").is_some());
}

#[tokio::test]
async fn the_record_of_a_removed_cluster_goes_when_every_server_has_dropped_it() {
    let store = Losing::new();
    let elected = Alone::new(Arc::clone(&store) as Arc<dyn ConfigStore>);
    let elected = elected.win().await.unwrap();
    let c = Coordinator::new(CoordinatorOptions::default(), elected);
    let mut servers = Vec::new();
    for incarnation in 1..=2 {
        let mut registration = suite::registration(incarnation);
        registration.address = format!("a:{incarnation}");
        servers.push(add_server(&c, registration).await.unwrap().server);
    }
    let first = suite::config(3);
    let id = first.cluster;
    let mut removed = first.successor(2);
    removed.removed = true;
    for next in [first.clone(), removed] {
        commit(&c, None, move |_| Ok(next)).await.unwrap();
    }
    let hear = |server, knows: bool, now| {
        let known = crate::service::Known {
            cluster: id,
            epoch: first.epoch,
            nonce: first.nonce,
        };
        let request = SyncRequest {
            server,
            known: knows.then_some(known).into_iter().collect(),
            reports: Vec::new(),
            wait: false,
            memory: None,
        };
        assert!(c.registry().hear(&request, now));
        c.registry().news_for(&request)
    };
    let minute = 61_000;
    assert_eq!(hear(servers[0], false, minute), []);
    forget(&c, minute).await.unwrap();
    assert_eq!(hear(servers[1], true, minute).len(), 1, "it is told");
    forget(&c, 2 * minute).await.unwrap();
    let records = async || store.load().await.unwrap().configs.len();
    assert_eq!(records().await, 1);
    for server in servers {
        hear(server, false, 3 * minute);
    }
    forget(&c, 3 * minute).await.unwrap();
    assert_eq!(records().await, 0);
    assert_eq!(c.registry().epoch_of(id), None);
}

/// Operators' commands, new clusters and servers, and what is forgotten: all went through (rule 60).
#[tokio::test]
async fn a_store_that_is_behind_is_changed_by_nobody() {
    let stage = Stage::set().await;
    let server = stage.register(1).await.unwrap();
    let config = stage.create("c").await.unwrap();
    let known = |epoch: Epoch, nonce| SyncRequest {
        server,
        known: vec![Known {
            cluster: config.cluster,
            epoch,
            nonce,
        }],
        reports: Vec::new(),
        wait: false,
        memory: None,
    };
    let service = || stage.service();
    let synced = service().sync(context::current(), known(config.epoch, config.nonce));
    synced.await.unwrap();
    let before = stage.store.load().await.unwrap();
    let later = known(config.epoch.next().next(), 5);
    service().sync(context::current(), later).await.unwrap();
    let (now, name) = (context::current, || "c".to_owned());
    let refused = [
        stage.create("d").await.map(drop),
        stage.create("c").await.map(drop),
        stage.register(2).await.map(drop),
        service().remove(now(), name()).await.map(drop),
        service()
            .accept_loss(now(), name(), Acceptance::default())
            .await
            .map(drop),
        service()
            .move_member(now(), name(), What::Row(Row(0)), None)
            .await,
        service()
            .cancel_move(now(), name(), What::Row(Row(0)))
            .await,
        service().drain(now(), server, true).await,
        service().drain(now(), server, false).await,
        forget(&stage.active().await, 1 << 40).await,
    ];
    for (i, refused) in refused.into_iter().enumerate() {
        let behind = |e: &AdminError| matches!(e, AdminError::Guard(e) if e.is_behind());
        assert!(refused.as_ref().is_err_and(behind), "{i}: {refused:?}");
    }
    let after = stage.store.load().await.unwrap();
    assert_eq!(after.configs, before.configs);
    assert_eq!(after.servers.len(), 1);
    assert!(!after.servers[0].1.draining);
    // Who was known before is known on.
    assert_eq!(stage.register(1).await, Ok(server));
}

/// The guard is asked when the change is made, too: what was decided a moment ago may be void by then.
#[tokio::test]
async fn a_decision_made_before_the_store_was_known_to_be_behind_is_not_stored() {
    let stage = Stage::set().await;
    let server = stage.register(1).await.unwrap();
    let config = stage.create("c").await.unwrap();
    let active = stage.active().await;
    let next = config.successor(2);
    active
        .registry()
        .detector
        .hear_epoch(server, config.cluster, next.epoch, 77);
    let decided = commit(&active, None, move |_| Ok(next)).await;
    assert!(matches!(decided, Err(AdminError::Guard(_))), "{decided:?}");
    let stored = stage.store.get(config.cluster).await.unwrap().unwrap();
    assert_eq!(stored.epoch, config.epoch);
}
