//! The client itself: clusters, and the ways to their structures.

use super::lane::Lane;
use super::route::{Connections, Route};
use super::structure::Raw;
use super::{Error, List, Map, MapPart, Queue};
use crate::addresses::Addresses;
use crate::coordinators::Coordinators;
use crate::peer::{Backoff, Pool, within};
use crate::service::{AdminError, ClusterStatus, CoordinatorClient, Status, Untold};
use crate::transport::Network;
use fusion_core::config::{ClusterShape, Configuration, Reads};
use fusion_core::id::{PrimaryIndex, ServerId};
use fusion_core::membership::{Acceptance, Foreseen, What};
use fusion_core::op::Kind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tarpc::client::RpcError;
use tarpc::context::Context;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

/// What a new cluster should be. Servers and ports are the coordinator's business.
#[derive(Clone, Debug)]
pub struct ClusterSpec {
    name: String,
    kind: Kind,
    primaries: usize,
    faults: usize,
    colocate: bool,
    reads: Reads,
    min_in_sync: usize,
}

impl ClusterSpec {
    /// `primaries` structures of one kind, of which together with their codes any `faults` may be lost.
    #[must_use]
    pub fn new(name: &str, kind: Kind, primaries: usize, faults: usize) -> ClusterSpec {
        ClusterSpec {
            name: name.to_owned(),
            kind,
            primaries,
            faults,
            colocate: false,
            reads: Reads::Leased,
            min_in_sync: 0,
        }
    }

    /// Lets members share servers when there are too few. The loss of one server is then the loss of several members.
    #[must_use]
    pub fn colocate(mut self, colocate: bool) -> ClusterSpec {
        self.colocate = colocate;
        self
    }

    /// Lets reads rest on acknowledgements instead of leases: for machines whose clocks may be stopped with them, by a
    /// hypervisor say. Each read then takes a round trip to the fused structures.
    #[must_use]
    pub fn reads(mut self, reads: Reads) -> ClusterSpec {
        self.reads = reads;
        self
    }

    /// Lets primaries execute changes only while at least `codes` of the fused structures are in sync, at most as many as
    /// faults are tolerated. With 0, the default, they go on when all are lost: what is written then is lost with its
    /// primary. With more, changes wait until enough are in sync again, and so do reads of a primary that had
    /// changes under way; a change that waits for longer than [`ClientOptions::timeout`] fails.
    #[must_use]
    pub fn min_in_sync(mut self, codes: usize) -> ClusterSpec {
        self.min_in_sync = codes;
        self
    }
}

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How long a call may take, with all its retries; [`Client::connect`] and what is asked of the coordinator, too.
    pub timeout: Duration,
    /// Whoever asks for the coordinator gives up sooner when nobody at all has been there for so long: each address
    /// refused the connection, say. `None`, the default, means not to: a coordinator that is started again is waited for.
    pub refused_for: Option<Duration>,
    /// How the coordinator and the servers are reached; without TLS, on this machine only.
    pub network: Network,
    /// Whether concurrent calls go together in one request (the default). Without it each call is a request of its own,
    /// which is slower wherever calls are concurrent: for measuring.
    pub coalesce: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            timeout: Duration::from_secs(30),
            refused_for: None,
            network: Network::loopback(),
            coalesce: true,
        }
    }
}

/// How long a coordinator may take to answer a question, beside what it was asked to wait; then another one is sought.
const ANSWER: Duration = Duration::from_secs(3);
/// The longest pause before the next one is asked.
const MAX_BACKOFF: Duration = Duration::from_millis(250);

/// A client of one deployment and its clusters. Cheap to clone.
///
/// Its tasks run in the tokio runtime that a call begins in. A client and its structures may outlive that runtime: the
/// first call in another one starts them there. (A current-thread runtime that lives, but that nobody blocks on, drives
/// none of its tasks: calls elsewhere wait for it in vain until it is dropped.)
#[derive(Clone, Debug)]
pub struct Client {
    connections: Connections,
}

impl Client {
    /// Connects to the active coordinator, without TLS and so on this machine: `coordinators` is its address, or a list
    /// with commas of all that there are.
    ///
    /// # Errors
    /// [`Error::NoCoordinator`], [`Error::BadAddresses`].
    pub async fn connect(coordinators: &str) -> Result<Client, Error> {
        Client::connect_with(coordinators, ClientOptions::default()).await
    }

    /// As [`connect`](Self::connect), with options.
    ///
    /// # Errors
    /// [`Error::NoCoordinator`], [`Error::BadAddresses`].
    pub async fn connect_with(coordinators: &str, options: ClientOptions) -> Result<Client, Error> {
        Client::connect_to(coordinators.parse()?, options).await
    }

    /// As [`connect_with`](Self::connect_with), with addresses that were read before. An active coordinator is sought for
    /// as long as a call may take, since one may just be started again; not where waiting is of no use: all that are
    /// reached speak another version, say, or do not take this side's certificate.
    ///
    /// # Errors
    /// [`Error::NoCoordinator`].
    pub async fn connect_to(
        coordinators: Addresses,
        options: ClientOptions,
    ) -> Result<Client, Error> {
        let connections = Connections {
            coordinators: Coordinators::new(coordinators, options.network.clone())
                .for_client(options.refused_for),
            primaries: Pool::new(options.network),
            lanes: TaskTracker::new(),
            timeout: options.timeout,
            coalesce: options.coalesce,
        };
        connections.coordinator(options.timeout).await?;
        Ok(Client { connections })
    }

    /// Says goodbye: waits, a second at most, until the sessions of all dropped structures are closed, so that servers
    /// need not keep their answers. Call it before the program ends; without it, sessions go when room is needed.
    pub async fn close(self) {
        self.connections.lanes.close();
        let _ = tokio::time::timeout(Duration::from_secs(1), self.connections.lanes.wait()).await;
    }

    /// Asks for a change: once only, unless the coordinator says that it is not the active one.
    async fn ask<T, F>(&self, call: impl Fn(CoordinatorClient, Context) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Result<T, AdminError>, RpcError>>,
    {
        self.call(call, false).await
    }

    /// Asks for what changes nothing: of another coordinator, or again, when one is lost.
    async fn read<T, F>(&self, call: impl Fn(CoordinatorClient, Context) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Result<T, AdminError>, RpcError>>,
    {
        self.call(call, true).await
    }

    async fn call<T, F>(
        &self,
        call: impl Fn(CoordinatorClient, Context) -> F,
        changes_nothing: bool,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Result<T, AdminError>, RpcError>>,
    {
        let limit = self.connections.timeout;
        let began = Instant::now();
        let mut backoff = Backoff::new(MAX_BACKOFF);
        let mut why = "no coordinator was asked".to_owned();
        loop {
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                let after = began.elapsed();
                return Err(Error::TimedOut { after, why });
            }
            let coordinator = self.connections.coordinator(left).await?;
            let patience = left.min(ANSWER);
            // Of a change that was sent to nobody, nobody knows what became of it: so the connection is tried first.
            if !changes_nothing && coordinator.client.who(within(patience)).await.is_err() {
                why = format!("the coordinator at {} does not answer", coordinator.address);
                self.connections.coordinators.lost(&coordinator);
                sleep(backoff.wait()).await;
                continue;
            }
            let given = if changes_nothing { patience } else { left };
            match call(coordinator.client.clone(), within(given)).await {
                Ok(Err(stands_by @ AdminError::NotActive { .. })) => {
                    why = format!("{}: {stands_by}", coordinator.address);
                }
                Ok(answer) => return Ok(answer?),
                Err(error) => {
                    let address = &coordinator.address;
                    why = format!("the coordinator at {address} does not answer");
                    // What was not sent is sent again, whatever it is.
                    if !changes_nothing && !matches!(error, RpcError::Send(_)) {
                        self.connections.coordinators.lost(&coordinator);
                        let after = began.elapsed();
                        return Err(Error::OutcomeUnknown { after, why });
                    }
                }
            }
            self.connections.coordinators.lost(&coordinator);
            sleep(backoff.wait()).await;
        }
    }

    /// Creates a cluster, and waits until its primaries answer.
    ///
    /// # Errors
    /// [`Error::BadShape`], [`Error::Refused`] (name taken, too few servers), [`Error::NoCoordinator`].
    pub async fn create(&self, spec: &ClusterSpec) -> Result<(), Error> {
        let shape = ClusterShape::new(
            &spec.name,
            spec.kind,
            spec.primaries,
            spec.faults,
            spec.colocate,
        )?
        .with_reads(spec.reads)
        .with_min_in_sync(spec.min_in_sync)?;
        let config = self.ask(|c, context| {
            let shape = shape.clone();
            async move { c.create(context, shape).await }
        });
        let config = config.await?;
        let route = Route::new(config);
        let parts = (0..spec.primaries).map(|i| self.raw_of(&route, i));
        let all = futures::future::try_join_all(parts.map(|part| async move { part.len().await }));
        all.await.map_err(|error| match error {
            // The cluster is there, even if not all of it answers yet.
            Error::TimedOut { after, why } => Error::OutcomeUnknown { after, why },
            error => error,
        })?;
        Ok(())
    }

    /// Removes a cluster and everything in it. Returns the servers of its members that have not heard of it yet, after
    /// waiting for them for up to 3 s: none, or those that are dead or cut off. What is cut off may go on answering clients
    /// that can reach it until it hears of the removal (rule 68).
    ///
    /// # Errors
    /// [`Error::UnknownCluster`], [`Error::NoCoordinator`].
    pub async fn remove(&self, name: &str) -> Result<Vec<Untold>, Error> {
        let removed =
            self.ask(|c, context| async move { c.remove(context, name.to_owned()).await });
        removed.await
    }

    /// Says what going on after more than f were lost would cost: which primaries would begin empty, and whose state
    /// would go. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::Refused`] when nothing is lost for good, [`Error::UnknownCluster`], [`Error::NoCoordinator`].
    pub async fn foresee_loss(&self, name: &str) -> Result<Foreseen, Error> {
        let foreseen =
            self.ask(|c, context| async move { c.foresee_loss(context, name.to_owned()).await });
        foreseen.await
    }

    /// Goes on after more than f were lost: the lost primaries begin empty, the others keep everything. Answers which
    /// began empty. `acceptance` is what the caller has seen of [`foresee_loss`](Self::foresee_loss), and takes.
    ///
    /// # Errors
    /// [`Error::Refused`] when nothing is lost for good or something else is than `acceptance` names, when a member that
    /// lives would be wiped and its server is not named, or when a lost primary may still answer reads somewhere.
    pub async fn accept_loss(
        &self,
        name: &str,
        acceptance: &Acceptance,
    ) -> Result<Vec<PrimaryIndex>, Error> {
        let accepted = self.ask(|c, context| async move {
            c.accept_loss(context, name.to_owned(), acceptance.clone())
                .await
        });
        accepted.await
    }

    /// Moves a member to another server, or to the best free one, without loss of tolerance. Answers when the move has
    /// begun; [`wait_whole`](Self::wait_whole) does not tell its end, the members in `status` do.
    ///
    /// # Errors
    /// [`Error::Refused`] when the cluster is not whole, or the server cannot take it.
    pub async fn move_member(
        &self,
        name: &str,
        what: What,
        to: Option<ServerId>,
    ) -> Result<(), Error> {
        let moving = self.ask(|c, context| async move {
            c.move_member(context, name.to_owned(), what, to).await
        });
        moving.await
    }

    /// Lets a member that is being moved stay where it is. A server that is to be emptied begins to move it again.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is not being moved, or is there already.
    pub async fn cancel_move(&self, name: &str, what: What) -> Result<(), Error> {
        let staying = self
            .ask(|c, context| async move { c.cancel_move(context, name.to_owned(), what).await });
        staying.await
    }

    /// Wants a server empty (or not any more): it gets no new members, and all that it has are moved to others, one
    /// after another, without loss of tolerance. Answers when that is durable; a server in `status` that is draining and
    /// has no members may be stopped.
    ///
    /// # Errors
    /// [`Error::Refused`] when the server is not known, or a member on it has nowhere to go.
    pub async fn drain(&self, server: ServerId, wanted: bool) -> Result<(), Error> {
        let drained = self.ask(|c, context| async move { c.drain(context, server, wanted).await });
        drained.await
    }

    /// All servers and clusters.
    ///
    /// # Errors
    /// [`Error::NoCoordinator`].
    pub async fn status(&self) -> Result<Status, Error> {
        let status = self.read(|c, context| async move { c.status(context).await });
        Ok(status.await?.message)
    }

    /// One cluster.
    ///
    /// # Errors
    /// [`Error::UnknownCluster`], [`Error::NoCoordinator`].
    pub async fn cluster(&self, name: &str) -> Result<ClusterStatus, Error> {
        let status = self.status().await?;
        let found = status.clusters.into_iter().find(|c| c.name == name);
        found.ok_or_else(|| Error::UnknownCluster {
            name: name.to_owned(),
        })
    }

    /// Waits until a cluster serves and tolerates all the faults that it was made for; `progress` sees each state.
    ///
    /// # Errors
    /// [`Error::TimedOut`] when it does not within `limit`.
    pub async fn wait_whole(
        &self,
        name: &str,
        limit: Duration,
        mut progress: impl FnMut(&ClusterStatus),
    ) -> Result<(), Error> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            let cluster = self.cluster(name).await?;
            progress(&cluster);
            if cluster.serving && cluster.tolerates == cluster.faults {
                return Ok(());
            }
            // A lookup that waits for the next epoch is the pause between two looks.
            let known = Some(cluster.epoch);
            let pause = self.read(|c, context| {
                let name = name.to_owned();
                async move { c.lookup(context, name, known, 50).await }
            });
            pause.await?;
        }
        let why = format!("cluster {name} does not tolerate all its faults yet");
        Err(Error::TimedOut { after: limit, why })
    }

    async fn route(&self, name: &str, wanted: Option<Kind>) -> Result<Arc<Route>, Error> {
        let config: Arc<Configuration> = self
            .read(|c, context| async move { c.lookup(context, name.to_owned(), None, 0).await })
            .await?;
        match wanted {
            Some(wanted) if wanted != config.kind => Err(Error::WrongKind {
                name: name.to_owned(),
                wanted,
                found: config.kind,
            }),
            _ => Ok(Route::new(config)),
        }
    }

    fn raw_of(&self, route: &Arc<Route>, index: usize) -> Raw {
        let config = route.config();
        let lane = Lane::start(
            self.connections.clone(),
            Arc::clone(route),
            PrimaryIndex(index as u16),
        );
        Raw::new(lane, config.name.clone(), config.kind)
    }

    async fn part(&self, name: &str, index: usize, kind: Option<Kind>) -> Result<Raw, Error> {
        let route = self.route(name, kind).await?;
        let primaries = route.config().n();
        if index >= primaries {
            return Err(Error::UnknownPrimary {
                name: name.to_owned(),
                index,
                primaries,
            });
        }
        Ok(self.raw_of(&route, index))
    }

    /// Primary `index` of a cluster of any kind, in bytes.
    ///
    /// # Errors
    /// [`Error::UnknownCluster`], [`Error::UnknownPrimary`], [`Error::NoCoordinator`].
    pub async fn raw(&self, name: &str, index: usize) -> Result<Raw, Error> {
        self.part(name, index, None).await
    }

    /// A map cluster as one map, its keys spread over the primaries by their hash.
    ///
    /// # Errors
    /// [`Error::UnknownCluster`], [`Error::WrongKind`], [`Error::NoCoordinator`].
    pub async fn map<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Map<K, V>, Error> {
        let route = self.route(name, Some(Kind::Map)).await?;
        let parts = (0..route.config().n()).map(|i| MapPart::new(self.raw_of(&route, i)));
        Ok(Map::new(parts.collect()))
    }

    /// Primary `index` of a map cluster, as a map of its own (as the paper uses it).
    ///
    /// # Errors
    /// [`Error::UnknownCluster`], [`Error::UnknownPrimary`], [`Error::WrongKind`], [`Error::NoCoordinator`].
    pub async fn map_part<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        index: usize,
    ) -> Result<MapPart<K, V>, Error> {
        Ok(MapPart::new(self.part(name, index, Some(Kind::Map)).await?))
    }

    /// Primary `index` of a list cluster.
    ///
    /// # Errors
    /// As [`map_part`](Self::map_part).
    pub async fn list<V: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        index: usize,
    ) -> Result<List<V>, Error> {
        Ok(List::new(self.part(name, index, Some(Kind::List)).await?))
    }

    /// Primary `index` of a queue cluster.
    ///
    /// # Errors
    /// As [`map_part`](Self::map_part).
    pub async fn queue<V: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        index: usize,
    ) -> Result<Queue<V>, Error> {
        Ok(Queue::new(self.part(name, index, Some(Kind::Queue)).await?))
    }
}
