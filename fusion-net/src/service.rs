//! The three tarpc services and what they say beside the messages of `fusion_core::message`.

use crate::labels::{LabelError, Labels};
use crate::wire::{Holds, Room};
use fusion_core::config::{ClusterShape, Configuration, Reads, ShapeError};
use fusion_core::detector::GuardError;
use fusion_core::id::{ClusterId, Epoch, MemberId, PrimaryIndex, ServerId};
use fusion_core::limits::{MAX_BATCH_ANSWERS, MAX_REPORTS};
use fusion_core::membership::{
    Acceptance, Foreseen, LossError, MayLose, MoveError, Reason, Waiting, What,
};
use fusion_core::memory::MemoryUse;
use fusion_core::message::{
    Ack, Chunk, ClientBatch, ClientReply, MemberReport, RecoveryReply, RecoveryRequest, Refusal,
    Replicate, Route,
};
use fusion_core::op::Kind;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thiserror::Error;

/// What a process that hosts primaries answers.
#[tarpc::service]
pub trait Primary {
    /// Executes a client's requests in order; answers when all that the answers depend on is safe.
    async fn execute(batch: Counted<ClientBatch>) -> Result<Answers, Refusal>;
    /// Serves a replacement of another primary.
    async fn recover(
        route: Route,
        request: RecoveryRequest,
    ) -> Result<Counted<RecoveryReply>, Refusal>;
    /// Tells a configuration; a higher one is adopted.
    async fn adopt(config: Arc<Configuration>);
    /// The version of the [streams](crate::express) that batches may come by, if they may.
    async fn streams() -> Option<u16>;
}

/// What a process that hosts fused structures answers.
#[tarpc::service]
pub trait Fused {
    /// Applies changes of a primary.
    async fn replicate(route: Route, message: Replicate) -> Result<Ack, Refusal>;
    /// Adds pages of a primary's snapshot.
    async fn chunk(route: Route, chunk: Chunk) -> Result<(), Refusal>;
    /// Serves a replacement of a lost primary.
    async fn recover(
        route: Route,
        request: RecoveryRequest,
    ) -> Result<Counted<RecoveryReply>, Refusal>;
    /// Tells a configuration; a higher one is adopted.
    async fn adopt(config: Arc<Configuration>);
    /// The version of the [streams](crate::express) that changes may come by, if they may.
    async fn streams() -> Option<u16>;
}

/// What the coordinator answers.
#[tarpc::service]
pub trait Coordinator {
    /// Makes a server process known; the same incarnation gets the same id again, and whoever had its address before is
    /// taken for dead. `holds` is the store that its members come from, if it has any: with another one than this coordinator's
    /// it is refused, and nothing is changed.
    async fn register(
        registration: Registration,
        past: Option<Past>,
    ) -> Result<Registered, AdminError>;
    /// To a coordinator whose store is made anew: one configuration that a server has, or that it has none.
    async fn hand_over(handed: HandOver) -> Result<(), AdminError>;
    /// A server's heartbeat and reports; answers the configurations that are news to it, at once if there are any,
    /// else after the heartbeat interval.
    async fn sync(request: SyncRequest) -> Result<SyncReply, AdminError>;
    /// Creates a cluster.
    async fn create(shape: ClusterShape) -> Result<Arc<Configuration>, AdminError>;
    /// Removes a cluster and its data; answers which of its servers have not heard of it, after waiting for them a while.
    async fn remove(name: String) -> Result<Vec<Untold>, AdminError>;
    /// Says what the acceptance of a loss would cost now, and changes nothing.
    async fn foresee_loss(name: String) -> Result<Foreseen, AdminError>;
    /// Goes on without what is lost beyond f: lost primaries begin empty. Answers which. Refused when what is lost, or who
    /// lives and would be wiped, is not what the operator named.
    async fn accept_loss(
        name: String,
        acceptance: Acceptance,
    ) -> Result<Vec<PrimaryIndex>, AdminError>;
    /// Moves a member to another server, or to the best free one; answers its new place when the move has begun.
    async fn move_member(name: String, what: What, to: Option<ServerId>) -> Result<(), AdminError>;
    /// Lets a member that is being moved stay where it is.
    async fn cancel_move(name: String, what: What) -> Result<(), AdminError>;
    /// Wants a server empty, or not any more: it gets no new members, and those that it has are moved away. Answers when
    /// that is durable; `status` tells how far it is.
    async fn drain(server: ServerId, wanted: bool) -> Result<(), AdminError>;
    /// The configuration of a cluster; with `newer_than` waits up to `wait_ms` for a higher epoch.
    async fn lookup(
        name: String,
        newer_than: Option<Epoch>,
        wait_ms: u32,
    ) -> Result<Arc<Configuration>, AdminError>;
    /// All servers and clusters.
    async fn status() -> Result<Counted<Status>, AdminError>;
    /// Whether this coordinator is the active one; any answers.
    async fn who() -> Who;
}

/// The answers to a batch.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Answers {
    /// One for the opening of a session, if the batch opens one; then one for each request, in order.
    #[serde(deserialize_with = "fusion_core::bounded::vec::<_, _, MAX_BATCH_ANSWERS>")]
    pub replies: Vec<ClientReply>,
    /// The memory that they take until they are sent.
    #[serde(skip)]
    pub(crate) room: Room,
}

/// A message with the memory that it holds of what connections share. On the wire it is the message alone.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counted<T> {
    /// The message.
    pub message: T,
    /// Until the message is dropped, or sent.
    #[serde(skip)]
    room: Room,
}

impl<T> From<T> for Counted<T> {
    fn from(message: T) -> Counted<T> {
        let room = Room::default();
        Counted { message, room }
    }
}

impl<T> Counted<T> {
    /// A message that holds what its frame took.
    pub(crate) fn holding(message: T, room: Room) -> Counted<T> {
        Counted { message, room }
    }
}

impl<T: Serialize> Counted<T> {
    /// An answer that holds as much of `room` as it takes.
    pub(crate) fn answer(message: T, mut room: Room) -> Counted<T> {
        // What cannot be encoded is no answer either; the transport says so.
        let bytes = postcard::experimental::serialized_size(&message);
        room.shrink_to(bytes.unwrap_or(usize::MAX));
        Counted { message, room }
    }
}

impl Holds for PrimaryRequest {
    fn room(&mut self) -> Option<&mut Room> {
        match self {
            PrimaryRequest::Execute { batch } => Some(&mut batch.room),
            _ => None,
        }
    }
}

// What members send is worked off at once, and what the coordinator is asked is short.
impl Holds for FusedRequest {}
impl Holds for CoordinatorRequest {}

impl Holds for PrimaryResponse {
    fn room(&mut self) -> Option<&mut Room> {
        match self {
            PrimaryResponse::Execute(Ok(answers)) => Some(&mut answers.room),
            PrimaryResponse::Recover(Ok(reply)) => Some(&mut reply.room),
            _ => None,
        }
    }
}

impl Holds for FusedResponse {
    fn room(&mut self) -> Option<&mut Room> {
        match self {
            FusedResponse::Recover(Ok(reply)) => Some(&mut reply.room),
            _ => None,
        }
    }
}

impl Holds for CoordinatorResponse {
    fn room(&mut self) -> Option<&mut Room> {
        match self {
            CoordinatorResponse::Status(Ok(status)) => Some(&mut status.room),
            _ => None,
        }
    }
}

/// A server process introduces itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Registration {
    /// Random, one for each run of the process.
    pub incarnation: u64,
    /// The address at which others reach it. One process has it at a time: a registration of a new incarnation declares
    /// the former holder of its address dead, at once and without its silence being waited for.
    pub address: String,
    /// The process id, for operators.
    pub pid: u32,
    /// An operator wants it empty: the coordinator's to say, whatever the server does.
    pub draining: bool,
    /// Where it stands (PROTOCOL rule 69).
    pub labels: Labels,
}

/// The answer to a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The id of this run of the process.
    pub server: ServerId,
    /// The configuration store behind the coordinator.
    pub store: u64,
}

/// What a process was told when it registered before, in this run of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Its id, and the store that gave it.
    pub identity: Registered,
    /// Whether it has members.
    pub members: bool,
}

/// What a server knows, for a store that is made anew (PROTOCOL rule 39); a configuration a message, since each may be
/// long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HandOver {
    /// The process.
    pub registration: Registration,
    /// What the lost store said to it; `None`: it was never registered, and has nothing.
    pub identity: Option<Registered>,
    /// How many configurations it has.
    pub of: u32,
    /// One of them.
    pub config: Option<Arc<Configuration>>,
}

/// A configuration that a server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The cluster.
    pub cluster: ClusterId,
    /// The epoch.
    pub epoch: Epoch,
    /// Which content of it; there must be one only (PROTOCOL rules 5, 39).
    pub nonce: u64,
}

/// A server's heartbeat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SyncRequest {
    /// Who.
    pub server: ServerId,
    /// What it has of each cluster that it has heard of.
    #[serde(deserialize_with = "fusion_core::bounded::vec::<_, _, MAX_REPORTS>")]
    pub known: Vec<Known>,
    /// Its members.
    #[serde(deserialize_with = "fusion_core::bounded::vec::<_, _, MAX_REPORTS>")]
    pub reports: Vec<MemberReport>,
    /// Whether the answer may wait for news.
    pub wait: bool,
    /// The memory of its process, if it has a limit (rule 70).
    pub memory: Option<MemoryUse>,
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SyncReply {
    /// Configurations that the server has not, or has an older epoch of.
    pub configs: Vec<Arc<Configuration>>,
    /// T_s of the coordinator, in milliseconds: who waits longer than that for its answer looks for another one, and after
    /// 3 s in any case.
    pub suspect_ms: u32,
}

/// A server that has not heard that a cluster is removed. As long as it hears of nobody its members go on: a primary with no
/// fused member left answers clients that can reach it (PROTOCOL rules 17, 68).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold {
    /// The server.
    pub server: ServerId,
    /// Its address.
    pub address: String,
}

/// Why the coordinator did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum AdminError {
    /// There is no such cluster.
    #[error("there is no cluster named {name:?}; `fusion cluster list` shows those there are")]
    UnknownCluster {
        /// The name asked for.
        name: String,
    },
    /// The name is taken.
    #[error("a cluster named {name:?} exists already; choose another name or remove it first")]
    NameTaken {
        /// The name asked for.
        name: String,
    },
    /// The cluster asked for is not possible.
    #[error("{0}")]
    BadShape(ShapeError),
    /// There are not enough servers.
    #[error(
        "{members} members need {members} servers on as many hosts but {servers} on {hosts} are alive; start more (with --label host=NAME where one address stands for several hosts) or allow --colocate"
    )]
    NotEnoughServers {
        /// The members to place.
        members: usize,
        /// The servers alive.
        servers: usize,
        /// The hosts that they are on.
        hosts: usize,
    },
    /// A server's labels cannot be taken.
    #[error("{0}")]
    BadLabels(LabelError),
    /// A loss is not accepted.
    #[error("{0}")]
    Loss(LossError),
    /// A member is not moved.
    #[error("{0}")]
    Move(MoveError),
    /// The server is not registered, or was forgotten; it must register.
    #[error("server {server} is not registered")]
    UnknownServer {
        /// The server.
        server: ServerId,
    },
    /// The server has members of clusters that another store made. They may be the only ones left (PROTOCOL rule 39).
    #[error(
        "it uses another store than the one that this server's members come from; point the server at the coordinator of that store (`fusion status` says what to do when there is none), or restart it to discard what it holds"
    )]
    OtherStore,
    /// The store may be behind what servers know, or is (PROTOCOL rule 60). Nothing was changed.
    #[error("{0}")]
    Guard(GuardError),
    /// Its store is being made anew.
    #[error(
        "this coordinator's store is being made anew from the servers (--rebuild); it does nothing else until then"
    )]
    Rebuilding,
    /// A server cannot be emptied.
    #[error(
        "server {server} holds a member of {cluster}, and no server is alive on another host without a member of it; start one and try again"
    )]
    NoRoom {
        /// The server.
        server: ServerId,
        /// A cluster whose members have nowhere to go.
        cluster: String,
    },
    /// The coordinator's store failed. What was asked may have been stored all the same, and shows then.
    #[error("the coordinator's store failed: {message}")]
    Store {
        /// What it said.
        message: String,
    },
    /// A bound was reached.
    #[error("there are {max} {what} already, and more are not possible")]
    TooMany {
        /// Of what.
        what: String,
        /// The bound.
        max: u64,
    },
    /// A server cannot be reached at such an address.
    #[error(
        "{address:?} is no address to reach a server at: it must be HOST:PORT, in printable ASCII without spaces, a host and a port that others connect to"
    )]
    BadAddress {
        /// The beginning of it.
        address: String,
    },
    /// This coordinator is not the active one, or not any more; nothing was changed.
    #[error("this coordinator stands by{}", standing_by(active.as_deref(), problem.as_deref()))]
    NotActive {
        /// The address of the active one, if it is known.
        active: Option<String>,
        /// Why there may be none, if that is known.
        problem: Option<String>,
    },
}

fn standing_by(active: Option<&str>, problem: Option<&str>) -> String {
    match (active, problem) {
        (_, Some(problem)) => format!("; {problem}"),
        (Some(active), None) => format!("; the active one is {active}"),
        (None, None) => "; none is active now".to_owned(),
    }
}

/// A coordinator's answer to who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Whether it is the active one.
    pub active: bool,
    /// The address of the one that is, if it is another one and known.
    pub active_address: Option<String>,
    /// What it knows of the others.
    pub control: ControlPlane,
}

/// The coordinators and their store, as the one that answers sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlPlane {
    /// The address of the coordinator that answers.
    pub answers: String,
    /// The store and where it is.
    pub store: String,
    /// Whether several coordinators share the store: it is an etcd, and no file.
    pub shared: bool,
    /// The addresses of the coordinators that stand by.
    pub standbys: Vec<String>,
    /// What is wrong with the store, if something is: when that lasts, no coordinator is active.
    pub problem: Option<String>,
}

/// All that an operator wants to see.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The servers.
    pub servers: Vec<ServerStatus>,
    /// The clusters.
    pub clusters: Vec<ClusterStatus>,
    /// The last changes of configurations, oldest first.
    pub events: Vec<Event>,
    /// What keeps the coordinator from mending anything, if something does, in words that stand alone: its store refuses
    /// changes, or is being made anew.
    pub problem: Option<String>,
    /// The addresses of servers that were refused a moment ago, since their members come from another store.
    pub strangers: Vec<String>,
    /// Who answers, and who stands by.
    pub control: ControlPlane,
}

/// A server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its id.
    pub id: ServerId,
    /// Its process id.
    pub pid: u32,
    /// Its address.
    pub address: String,
    /// Whether it is heard of.
    pub alive: bool,
    /// How many members it hosts, with those that may be needed again: of a primary that was moved away and does not serve
    /// where it is now yet, or was taken for dead.
    pub members: usize,
    /// Whether an operator wants it empty; when it has no members it may be stopped.
    pub draining: bool,
    /// The host that it runs on: by its label, or by its address.
    pub host: String,
    /// The zone that it says it is in.
    pub zone: Option<String>,
    /// All that it says of itself.
    pub labels: Labels,
    /// Milliseconds since it was last heard of; `None` when it was not while this coordinator is the active one.
    pub heard_ms_ago: Option<u64>,
    /// Its memory, as it said last; `None`: it has no limit, or was not heard of.
    pub memory: Option<MemoryUse>,
}

/// A cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: ClusterId,
    /// The kind of its structures.
    pub kind: Kind,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its primaries.
    pub primaries: usize,
    /// The faults it was made to tolerate.
    pub faults: usize,
    /// What its reads rest on.
    pub reads: Reads,
    /// Its primaries execute changes only while so many codes are in sync (rule 53).
    pub min_in_sync: usize,
    /// How many codes are in sync.
    pub in_sync: usize,
    /// The further faults that it tolerates now.
    pub tolerates: usize,
    /// What that means for the servers, hosts and zones that its members stand on.
    pub may_lose: MayLose,
    /// Whether every primary serves, on a server that is alive.
    pub serving: bool,
    /// Why it is not whole, if it is not.
    pub waiting: Option<Waiting>,
    /// Its members.
    pub members: Vec<MemberStatus>,
}

/// A member's role in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It holds the structure.
    Primary,
    /// It holds codes.
    Fused,
}

/// A member's state as an operator sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// It serves, or its codes are complete.
    Active,
    /// Its server is not heard of.
    Dead,
    /// A primary that serves and is being copied to another server: so many of so many chunks; or has stopped for the
    /// moment in which that one takes its place.
    Moving {
        /// Chunks copied.
        done: u64,
        /// Chunks known of.
        total: u64,
    },
    /// It recovers a lost primary: so many of so many pages.
    Recovering {
        /// Pages taken.
        done: u64,
        /// Pages known of.
        total: u64,
    },
    /// It learns the codes: so many of so many chunks.
    Joining {
        /// Chunks added.
        done: u64,
        /// Chunks known of.
        total: u64,
    },
}

/// A member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its id.
    pub id: MemberId,
    /// Its role.
    pub role: Role,
    /// The index of the primary, or the row of the fused structure.
    pub index: usize,
    /// Its server.
    pub server: ServerId,
    /// The server's address.
    pub address: String,
    /// Its state.
    pub state: MemberState,
    /// How it gets on, while it is being made, or copied to another server.
    pub progress: Option<Progress>,
    /// Elements of a primary; `None`: not known, since it is not there, or was not heard of yet. What a dead server said
    /// last stands.
    pub elements: Option<u64>,
    /// Bytes of the keys and values of a primary, likewise.
    pub payload_bytes: Option<u64>,
    /// Bytes of pages, likewise.
    pub page_bytes: Option<u64>,
    /// Bytes of frozen pages that it keeps for recoveries and learners alone, likewise (rule 67).
    pub frozen_bytes: Option<u64>,
}

/// How a member that is being made gets on, by the coordinator's clock. How far it is, is in its [`MemberState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Milliseconds since the coordinator decided that it is made, or since the coordinator started.
    pub for_ms: u64,
    /// Bytes of the pages that it was sent so far: of a recovered primary, those of all that it is computed from.
    pub taken_bytes: u64,
    /// Of those, bytes a second since the first one came.
    pub bytes_per_second: Option<u64>,
    /// Milliseconds until it has all pages, if they go on to come as they did. Its index is built after that, and leases
    /// are waited for.
    pub left_ms: Option<u64>,
}

/// A change of a configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the coordinator started.
    pub at_ms: u64,
    /// The cluster's name.
    pub cluster: String,
    /// The new epoch.
    pub epoch: Epoch,
    /// Why.
    pub reason: Reason,
    /// Milliseconds from the last sign of life of what died to this change, if something died.
    pub detected_after_ms: Option<u64>,
}
