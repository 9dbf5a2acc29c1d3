//! What members say to each other (PROTOCOL rules 4, 12, 13, 16, 19, 28 to 32).

use crate::config::Configuration;
use crate::id::{ClusterId, Epoch, MemberId, PrimaryIndex, RecoveryId, Row, Seq};
use crate::id::{RequestId, SessionId};
use crate::limits::{MAX_BATCH_REQUESTS, MAX_MEMBERS, MAX_MESSAGE_PAGES};
use crate::memory::MemoryUse;
use crate::op::{Op, OpResult};
use crate::page::PageId;
use crate::time::Time;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Who speaks to whom, in which epoch of which cluster. Anything that does not fit is refused (rule 4).
/// [`Configuration::route`] makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// The cluster.
    pub cluster: ClusterId,
    /// The sender's epoch.
    pub epoch: Epoch,
    /// The nonce of the configuration that the sender has of it: two contents of one epoch refuse each other (rule 61).
    pub nonce: u64,
    /// The sender.
    pub from: MemberId,
    /// The receiver.
    pub to: MemberId,
}

/// Why a member did not do what another one asked.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// The two are in different epochs; the side behind adopts the other's configuration (rule 8). Or they have two
    /// contents of one epoch: both stop (rule 61).
    #[error("the receiver is at epoch {} of cluster {}", .0.epoch, .0.name)]
    Epoch(Arc<Configuration>),
    /// The receiver's process does not hold that member.
    #[error("member {member} of cluster {cluster} is not here")]
    NotMember {
        /// The cluster asked for.
        cluster: ClusterId,
        /// The member asked for.
        member: MemberId,
    },
    /// The sender may not ask this of the receiver in this epoch.
    #[error("not allowed to this sender in this epoch")]
    NotAllowed,
    /// The receiver does not stand where the sender needs it to (rules 31, 32); it starts again.
    #[error("the receiver does not stand at the sequence numbers asked for")]
    NotThere,
    /// Another primary of the same structure may still read under a lease that this member gave it (rule 18).
    #[error("a lease of another primary is not over yet; try again")]
    Leased,
    /// The bytes do not parse. The peer is broken or of another version.
    #[error("malformed changes or pages")]
    Malformed,
    /// The primary was replaced while the request waited for the fused members: whether it counts is for its
    /// successor to say.
    #[error("the primary was replaced meanwhile")]
    Deposed,
    /// A bound was reached; try again later.
    #[error("busy: a bound on memory was reached")]
    Busy,
    /// The receiver's process has seen two contents of one epoch, and keeps its state for an operator to decide (rule 61).
    #[error(
        "the receiver has seen two contents of one epoch and serves nobody; see `fusion status`"
    )]
    TwoContents,
    /// The sender said more before than it knows now: its memory was set back, and it must serve nobody (rule 63).
    #[error("the sender was set back in time: it said more before than it knows now")]
    WentBack,
}

/// A run of changes of one primary, `first` onwards, each with its length before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRun {
    /// The sequence number of the first one.
    pub first: Seq,
    /// How many.
    pub count: u32,
    /// `count` times a little-endian u32 length and so many bytes.
    pub bytes: Bytes,
}

impl ChangeRun {
    /// A run without changes that would begin at `first`.
    #[must_use]
    pub fn empty(first: Seq) -> Self {
        ChangeRun {
            first,
            count: 0,
            bytes: Bytes::new(),
        }
    }

    /// Joins changes into one flat run.
    pub fn pack<'a>(first: Seq, changes: impl Iterator<Item = &'a Bytes> + Clone) -> Self {
        let total = changes.clone().map(|c| c.len() + 4).sum();
        let mut bytes = Vec::with_capacity(total);
        let mut count = 0;
        for change in changes {
            bytes.extend_from_slice(&(change.len() as u32).to_le_bytes());
            bytes.extend_from_slice(change);
            count += 1;
        }
        ChangeRun {
            first,
            count,
            bytes: bytes.into(),
        }
    }

    /// The changes with their sequence numbers, sharing the run's memory.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] when lengths and count do not fit the bytes.
    pub fn unpack(&self) -> Result<Vec<(Seq, Bytes)>, Refusal> {
        // Each change takes at least its length's 4 bytes, so a lying count cannot make this large.
        let mut changes = Vec::with_capacity((self.count as usize).min(self.bytes.len() / 4));
        let mut at = 0usize;
        for i in 0..u64::from(self.count) {
            let header = self.bytes.get(at..at + 4).ok_or(Refusal::Malformed)?;
            let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
            let end = (at + 4)
                .checked_add(len)
                .filter(|&end| end <= self.bytes.len());
            let end = end.ok_or(Refusal::Malformed)?;
            let seq = self.first.0.checked_add(i).ok_or(Refusal::Malformed)?;
            changes.push((Seq(seq), self.bytes.slice(at + 4..end)));
            at = end;
        }
        if at == self.bytes.len() {
            Ok(changes)
        } else {
            Err(Refusal::Malformed)
        }
    }
}

/// The snapshot that a learner is being given by one primary (rules 15, 16, 19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinSnapshot {
    /// The change that the snapshot is exactly after.
    pub seq: Seq,
    /// How many chunks it has.
    pub chunks: u32,
}

impl JoinSnapshot {
    /// A chunk has at least one page and a page 8 bytes: more chunks than this are a lie.
    pub const MAX_CHUNKS: u32 = 1 << 24;
}

/// Changes of primary `index` for a fused member; also tells it the stable mark and asks for a lease (rule 12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicate {
    /// Whose changes.
    pub index: PrimaryIndex,
    /// The changes; may be empty.
    pub changes: ChangeRun,
    /// Every member that must acknowledge has all changes up to here.
    pub stable: Seq,
    /// The primary's clock before it was sent: the lease counts from here.
    pub sent_at: Time,
    /// The snapshot that a learner starts from; `None` for a member in sync.
    pub join: Option<JoinSnapshot>,
    /// How many chunks of it the learner has acknowledged: one that has fewer went back in time (rule 63).
    pub taken: u32,
    /// The message's number among all that the primary has sent, echoed by whoever acknowledges it: reads rest on it
    /// where they rest on no clock (rule 58). 0 where they rest on leases.
    pub number: u64,
}

/// A fused member has every change of the primary up to `seq` (rule 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The last change that it has applied.
    pub seq: Seq,
    /// The latest `sent_at` of any message of this primary that came: since then the primary has a lease. One that it never
    /// sent tells a primary that it went back in time (rule 63).
    pub sent_at: Time,
    /// `number` of that message (rule 58).
    pub number: u64,
    /// The memory of the fused member's process, when it is full: nothing that grows is to be executed (rule 70).
    pub full: Option<MemoryUse>,
}

/// Some pages of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    /// Each page with its place.
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MESSAGE_PAGES>")]
    pub pages: Vec<(PageId, Bytes)>,
}

/// One chunk of the snapshot that a learner is given (rule 16).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Whose pages.
    pub index: PrimaryIndex,
    /// The snapshot it belongs to.
    pub join: JoinSnapshot,
    /// Its number, `0..chunks`.
    pub number: u32,
    /// Its pages.
    pub pages: Pages,
}

/// What a replacement asks of the others during recovery (rules 28 to 32).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryRequest {
    /// Of a fused member: its vector, and which leases are over (rules 28, 33).
    Vector,
    /// Of a fused member: changes `(after, upto]` of lost primary `index` (rule 29).
    Log {
        /// The lost primary.
        index: PrimaryIndex,
        /// Changes after this one.
        after: Seq,
        /// Changes up to this one.
        upto: Seq,
    },
    /// To a fused member: changes of lost primary `index` that it misses (rule 29).
    RollForward {
        /// The lost primary.
        index: PrimaryIndex,
        /// The changes.
        changes: ChangeRun,
    },
    /// Of a surviving primary: keep the log from here on (rule 30).
    Pin {
        /// The attempt.
        recovery: RecoveryId,
    },
    /// Of a fused member: freeze codes and vector, if it stands at `wanted` for every lost primary (rule 31).
    FusedSnapshot {
        /// The attempt.
        recovery: RecoveryId,
        /// Where it must stand.
        #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
        wanted: Vec<(PrimaryIndex, Seq)>,
    },
    /// Of a surviving primary: freeze pages, keep the changes after `after` with them (rule 32).
    PrimarySnapshot {
        /// The attempt.
        recovery: RecoveryId,
        /// The least that any chosen fused member has of this primary.
        after: Seq,
    },
    /// Of either: pages of the frozen snapshot from number `from` on, not more than `count`.
    SnapshotPages {
        /// The attempt.
        recovery: RecoveryId,
        /// The first page's number in the snapshot.
        from: u64,
        /// At most so many.
        count: u32,
    },
    /// Of a surviving primary: changes after `after` up to its snapshot.
    SnapshotChanges {
        /// The attempt.
        recovery: RecoveryId,
        /// Changes after this one.
        after: Seq,
    },
    /// To either: the attempt is over; let its snapshot and pin go.
    Release {
        /// The attempt.
        recovery: RecoveryId,
    },
    /// Of the primary that the sender was moved from: that it executes nothing any more, and its changes after this one
    /// (rule 36).
    Yield {
        /// Changes after this one.
        after: Seq,
    },
}

/// The answers to [`RecoveryRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryReply {
    /// The last change of each primary that the fused member has.
    Vector {
        /// By primary index.
        #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
        vector: Vec<Seq>,
        /// How long a lease of the lost primary that the sender replaces still runs, on this member's clock; zero
        /// when it is over. Being sealed, this member gives no further one.
        lease_left: Duration,
    },
    /// Changes; fewer than asked when they would make a frame too long.
    Log {
        /// The changes.
        changes: ChangeRun,
    },
    /// Where the fused member now stands for the lost primary.
    RolledForward {
        /// The last change that it has.
        seq: Seq,
    },
    /// The log is kept.
    Pinned,
    /// Codes are frozen.
    FusedSnapshot {
        /// Which row they are.
        row: Row,
        /// What they include, by primary index.
        #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
        vector: Vec<Seq>,
        /// How many pages.
        pages: u64,
    },
    /// Pages are frozen.
    PrimarySnapshot {
        /// The change that they are exactly after.
        seq: Seq,
        /// How many pages.
        pages: u64,
    },
    /// Pages in the snapshot's order; at least one unless `from` is past the end.
    SnapshotPages {
        /// The pages.
        pages: Pages,
    },
    /// Changes; fewer than there are when they would make a frame too long.
    SnapshotChanges {
        /// The changes.
        changes: ChangeRun,
    },
    /// Let go.
    Released,
    /// It executes nothing any more, and reads nothing.
    Yielded {
        /// Its last change.
        seq: Seq,
        /// The changes asked for; fewer when they would make a frame too long.
        changes: ChangeRun,
    },
}

/// One request of a client to a primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRequest {
    /// Its name, if it may change something.
    pub id: Option<RequestId>,
    /// What to do.
    pub op: Op,
    /// Whether it is executed only if the request before it in its batch is: so operations that were sent together keep
    /// their order, whatever is put off.
    pub follows: bool,
}

/// Requests of one client for one primary, executed in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientBatch {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member that the client takes for the primary.
    pub member: MemberId,
    /// A session to open first: sent until an answer has come, never after that (rule 38). The answer to it is the first of
    /// the batch's: [`ClientReply::Opened`], [`ClientReply::Busy`] or [`ClientReply::BelowFloor`].
    pub open: Option<SessionId>,
    /// The requests.
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_BATCH_REQUESTS>")]
    pub requests: Vec<ClientRequest>,
    /// A session to close in the end, and its incarnation, because its client is going; nobody waits for that to be safe.
    /// Whoever is at a bound lets it be: it goes when room is needed.
    pub close: Option<(SessionId, Seq)>,
}

/// The answer to one [`ClientRequest`], or to the opening of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientReply {
    /// It was executed, now or when it was first sent; every change that the answer depends on is safe (rule 11). With
    /// the number of the change that executed it, or, for a read, of the last one before it.
    Done(OpResult, Seq),
    /// A later request of the same lane was executed already; this one was not executed now (rule 9).
    Stale,
    /// The session is not open, or another incarnation of it is; not executed (rules 9, 38).
    SessionUnknown,
    /// A bound was reached; not executed (rule 11).
    Busy,
    /// Too few codes are in sync for a change; not executed (rule 53).
    BelowFloor,
    /// A read of a primary without leases, which may have been replaced; not executed (rule 10).
    NoLease,
    /// Not executed, to be sent again: the batch's answers grew too long for a frame, or it follows a request that was not
    /// executed.
    Deferred,
    /// A mutation without an id, or a read with one; not executed.
    BadRequest,
    /// The session that the batch was to open is open, under this incarnation (rule 38).
    Opened(Seq),
}

/// What a server says of a member that it hosts (rule 22).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member.
    pub member: MemberId,
    /// The epoch that it is in; evidence counts only in the coordinator's current one (rule 7).
    pub epoch: Epoch,
    /// Its state.
    pub condition: Condition,
    /// Elements (primary) or 0 (fused).
    pub elements: u64,
    /// Bytes of keys and values (primary) or 0 (fused).
    pub payload_bytes: u64,
    /// Bytes of pages.
    pub page_bytes: u64,
    /// Of a member that is being made: the bytes of the pages that it was sent so far. It may be sent more than it comes to hold.
    pub taken_bytes: u64,
    /// The bytes of frozen pages that it keeps for recoveries and learners alone (rule 67).
    pub frozen_bytes: u64,
    /// Members that this one needs and has not heard of for T_c (rule 22).
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
    pub complaints: Vec<MemberId>,
    /// Of a fused member: the lost primaries that certainly read nothing any more under a lease of this member, which
    /// gives none in this epoch (rules 33, 37).
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
    pub leases_over: Vec<PrimaryIndex>,
}

impl MemberReport {
    /// A report without figures or complaints.
    #[must_use]
    pub fn new(
        cluster: ClusterId,
        member: MemberId,
        epoch: Epoch,
        condition: Condition,
    ) -> MemberReport {
        MemberReport {
            cluster,
            member,
            epoch,
            condition,
            elements: 0,
            payload_bytes: 0,
            page_bytes: 0,
            taken_bytes: 0,
            frozen_bytes: 0,
            complaints: Vec::new(),
            leases_over: Vec::new(),
        }
    }
}

/// The state of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// It serves, or is in sync.
    Serving,
    /// A learner that has not got everything yet: so many of so many chunks.
    Learning {
        /// Chunks added.
        done: u64,
        /// Chunks known of.
        total: u64,
    },
    /// A learner with everything (rule 27), or an heir that could take over now (rule 36).
    Complete,
    /// A replacement that is recovering: so many of so many pages.
    Recovering {
        /// Pages taken.
        done: u64,
        /// Pages known of.
        total: u64,
    },
    /// A replacement with the image of the lost primary (rule 33).
    Ready {
        /// The change that the image is exactly after.
        seq: Seq,
    },
    /// The configuration names the member, but this process does not hold its state.
    Missing,
    /// A primary that takes the place of the one that it was moved from, and does not serve yet (rule 36).
    TakingOver,
    /// A primary that takes over (rule 36), and for T_c nobody has handed it changes that it lacks: the codes have them, and
    /// the one that it was moved from, which may come back.
    Stranded,
    /// A primary that was moved: it executes nothing any more, and keeps its state for the one that takes over (rule 36).
    Yielded,
    /// A primary that was taken for dead and is not: it keeps its state, and serves nobody (rule 25).
    Suspended,
    /// Its process has seen two contents of its epoch: it keeps its state, and serves nobody (rule 61).
    TwoContents,
}
