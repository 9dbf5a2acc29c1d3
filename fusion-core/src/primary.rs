//! A primary structure as a member of its cluster (PROTOCOL rules 9 to 17, 30, 32).
//!
//! It executes requests, numbers their changes, says what each fused member should be sent next, and knows from
//! the acknowledgements which changes are stable. Whoever drives it moves the messages.

use crate::config::{Configuration, FusedState, PrimaryState};
use crate::fault::{Fault, planted};
use crate::frozen::FrozenPages;
use crate::id::{MemberId, PrimaryIndex, RecoveryId, Seq, SessionId};
use crate::limits::{Bounds, MAX_PIN_IDLE};
use crate::log::ChangeLog;
use crate::message::{
    Ack, Chunk, ClientRequest, JoinSnapshot, RecoveryReply, RecoveryRequest, Refusal, Replicate,
    Route,
};
use crate::op::OpResult;
use crate::recovery::Image;
use crate::structure::{SessionState, Structure};
use crate::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use crate::limits::TRANSFER_BYTES;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Executed now or before. The answer may go out once [`Primary::stable`] has reached `after` (rule 11).
    Done {
        /// The answer.
        result: OpResult,
        /// The last change that it may depend on: for a mutation the one that executed it.
        after: Seq,
    },
    /// Not executed: a later request of its lane was (rule 9).
    Stale,
    /// Not executed: the session is not known (rule 9).
    SessionUnknown,
    /// Not executed: a bound on unacknowledged or pinned changes was reached (rule 11).
    Busy,
    /// Not executed: a read, and not every fused member's lease is held (rule 10). Each acknowledgement renews one.
    NoLease,
    /// Not executed: this primary was taken for dead (rule 25).
    Suspended,
    /// Not executed: a mutation without an id, or a read with one.
    BadRequest,
}

/// One fused member as the primary sees it.
#[derive(Debug)]
struct Link {
    acked: Seq,
    /// The last moment from before a message that was sent.
    sent_at: Time,
    /// The last such moment that was echoed: the lease counts from it (rule 13).
    leased_at: Option<Time>,
    /// When it was last heard of, or began to be listened for.
    heard_at: Time,
    join: Option<Join>,
}

impl Link {
    fn new(acked: Seq) -> Link {
        Link {
            acked,
            sent_at: Time(0),
            leased_at: None,
            heard_at: Time(0),
            join: None,
        }
    }
}

/// The snapshot that a learner is given, once (rules 15, 16).
#[derive(Debug)]
struct Join {
    about: JoinSnapshot,
    pages: FrozenPages,
    starts: Vec<u64>,
    acked: Vec<bool>,
}

impl Join {
    fn freeze(structure: &Structure, seq: Seq, chunk_bytes: usize) -> Join {
        let pages = FrozenPages::new(structure.snapshot());
        let starts = pages.chunk_starts(chunk_bytes);
        let acked = vec![false; starts.len()];
        Join {
            about: JoinSnapshot {
                seq,
                chunks: starts.len() as u32,
            },
            pages,
            starts,
            acked,
        }
    }
}

/// What a replacement elsewhere needs of this survivor (rules 30, 32).
#[derive(Debug)]
struct Pin {
    recovery: RecoveryId,
    base: Seq,
    snapshot: Option<(Seq, FrozenPages)>,
    /// When the replacement last asked about it.
    used_at: Time,
}

/// An active primary.
#[derive(Debug)]
pub struct Primary {
    config: Arc<Configuration>,
    id: MemberId,
    index: PrimaryIndex,
    /// Taken for dead (rule 25).
    suspended: bool,
    /// When it was last asked for complaints.
    looked_at: Time,
    structure: Structure,
    applied: Seq,
    stable: Seq,
    log: ChangeLog,
    /// Until when every fused member's lease is held (rule 10).
    leased_until: Time,
    bounds: Bounds,
    links: BTreeMap<MemberId, Link>,
    /// By the replacement that asked; its latest attempt counts.
    pins: BTreeMap<MemberId, Pin>,
}

impl Primary {
    /// Starts the empty structure of a member that was made with its cluster.
    ///
    /// # Panics
    /// When `id` is no active primary of `config` (a bug of the caller).
    #[must_use]
    pub fn create(config: Arc<Configuration>, id: MemberId) -> Primary {
        let index = config
            .index_of(id)
            .expect("the configuration names the primary");
        let (structure, descriptor) = Structure::create(config.kind, config.cluster, index);
        let mut log = ChangeLog::after(Seq(0));
        log.push(descriptor);
        Primary::start(config, id, index, structure, log, Seq(0))
    }

    /// Starts from the recovered image of the lost primary (rule 34).
    ///
    /// # Panics
    /// When `id` is no active primary of `config` (a bug of the caller).
    #[must_use]
    pub fn recovered(config: Arc<Configuration>, id: MemberId, image: Image) -> Primary {
        let seq = image.seq();
        let Some(structure) = image.into_structure() else {
            return Primary::create(config, id);
        };
        let index = config
            .index_of(id)
            .expect("the configuration names the primary");
        Primary::start(config, id, index, structure, ChangeLog::after(seq), seq)
    }

    fn start(
        config: Arc<Configuration>,
        id: MemberId,
        index: PrimaryIndex,
        structure: Structure,
        log: ChangeLog,
        stable: Seq,
    ) -> Primary {
        let seat = config.primary(index);
        assert!(
            seat.is_some_and(|s| s.state == PrimaryState::Active),
            "only an active primary serves"
        );
        let applied = log.last();
        let mut primary = Primary {
            config,
            id,
            index,
            suspended: false,
            looked_at: Time(0),
            structure,
            applied,
            stable,
            log,
            leased_until: Time(0),
            bounds: Bounds::USUAL,
            links: BTreeMap::new(),
            pins: BTreeMap::new(),
        };
        primary.relink(stable);
        primary.settle_lease();
        primary
    }

    /// Gives learners smaller chunks than [`TRANSFER_BYTES`], so that a simulation of little data has many.
    pub fn limit_chunks(&mut self, bytes: usize) {
        self.bounds.transfer_bytes = bytes.min(TRANSFER_BYTES);
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &Arc<Configuration> {
        &self.config
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// Its index in the cluster.
    #[must_use]
    pub fn index(&self) -> PrimaryIndex {
        self.index
    }

    /// The structure that it serves.
    #[must_use]
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// The last change made.
    #[must_use]
    pub fn applied(&self) -> Seq {
        self.applied
    }

    /// Every member that must acknowledge has all changes up to here (rule 14).
    #[must_use]
    pub fn stable(&self) -> Seq {
        self.stable
    }

    /// Until when it may read: every fused member's lease is held (rule 10). [`Time::NEVER`] while there is no fused
    /// member, since then nobody can replace it (rule 17).
    #[must_use]
    pub fn leased_until(&self) -> Time {
        self.leased_until
    }

    /// Opens a client's session, a recorded change; does nothing when it is open already (rule 38).
    pub fn open_session(&mut self, session: SessionId) {
        let change = self.structure.open_session(session);
        if !change.is_empty() {
            self.record(change);
        }
    }

    /// Closes a session, a recorded change: its answers need not be kept any more. Does nothing when it is not open.
    pub fn close_session(&mut self, session: SessionId) {
        if let Some(change) = self.structure.close_session(session) {
            self.record(change);
        }
    }

    /// Executes a request, or answers it from the record of its first execution (rules 9, 10). `now` is read after
    /// the request was received: a read must not rest on a lease that was over before it was asked.
    pub fn submit(&mut self, request: &ClientRequest, now: Time) -> Submitted {
        if self.suspended {
            return Submitted::Suspended;
        }
        match (request.id, request.op.is_mutation()) {
            (None, false) if now >= self.leased_until && !planted(Fault::NoLease) => {
                Submitted::NoLease
            }
            (None, false) => {
                let result = self.structure.read(&request.op);
                let unsafe_read = planted(Fault::UnstableReads);
                Submitted::Done {
                    result,
                    after: if unsafe_read { Seq(0) } else { self.applied },
                }
            }
            (Some(id), true) => match self.structure.lookup(id) {
                SessionState::Unknown => Submitted::SessionUnknown,
                SessionState::Stale => Submitted::Stale,
                SessionState::Recorded(result, seq) if !planted(Fault::ReplyNotStored) => {
                    let early = planted(Fault::RetryBeforeStable);
                    Submitted::Done {
                        result,
                        after: if early { Seq(0) } else { seq },
                    }
                }
                _ if self.at_a_bound() => Submitted::Busy,
                _ => {
                    let executed = self.structure.execute(self.applied.next(), id, &request.op);
                    if !executed.change.is_empty() || !planted(Fault::NoEffectNotRecorded) {
                        self.record(executed.change);
                    }
                    Submitted::Done {
                        result: executed.result,
                        after: self.applied,
                    }
                }
            },
            _ => Submitted::BadRequest,
        }
    }

    fn at_a_bound(&self) -> bool {
        let limit = if self.pins.is_empty() {
            self.bounds.unstable_bytes
        } else {
            self.bounds.log_bytes
        };
        self.log.bytes() >= limit
    }

    fn record(&mut self, change: bytes::Bytes) {
        self.log.push(change);
        self.applied = self.log.last();
        self.settle();
    }

    /// Rule 14.
    fn settle(&mut self) {
        let counted = self.counted(Fault::LearnerNotInStable).map(|l| l.acked);
        let least = if planted(Fault::AckAfterFirst) {
            counted.max()
        } else {
            counted.min()
        };
        let least = least.unwrap_or(self.applied);
        self.stable = self.stable.max(least.min(self.applied));
        let pinned = self.pins.values().map(|p| p.base).min();
        let pinned = pinned.filter(|_| !planted(Fault::LogNotPinned));
        self.log
            .drop_to(self.stable.min(pinned.unwrap_or(self.stable)));
    }

    /// The members that must acknowledge and lease; `fault` leaves learners out.
    fn counted(&self, fault: Fault) -> impl Iterator<Item = &Link> {
        let links = self.links.values();
        links.filter(move |l| l.join.is_none() || !planted(fault))
    }

    /// Rules 10 and 17.
    fn settle_lease(&mut self) {
        let counted = self.counted(Fault::LearnerNotInLease);
        let least = counted.map(|l| l.leased_at).min();
        self.leased_until = match least {
            None => Time::NEVER,
            Some(None) => Time(0),
            Some(Some(at)) => at.after(self.config.timing.lease_primary()),
        };
    }

    /// Adopts a higher configuration in which this primary is still active (rules 8, 15).
    ///
    /// # Panics
    /// When the configuration is not higher or does not name this primary as active (a bug of the caller).
    pub fn adopt(&mut self, config: Arc<Configuration>) {
        assert!(
            config.epoch > self.config.epoch,
            "only a higher configuration is adopted"
        );
        let seat = config.primary(self.index);
        assert!(
            seat.is_some_and(|s| s.id == self.id && s.state == PrimaryState::Active),
            "still active"
        );
        self.config = config;
        self.suspended = false;
        self.pins.clear();
        self.relink(Seq(0));
        self.settle();
        self.settle_lease();
    }

    /// Adopts a higher configuration in which this primary is lost, but not replaced yet: it keeps its state and serves
    /// nobody (rules 8, 25). [`adopt`](Self::adopt) ends that.
    ///
    /// # Panics
    /// When the configuration is not higher or does not name this primary as the former one (a bug of the caller).
    pub fn suspend(&mut self, config: Arc<Configuration>) {
        assert!(
            config.epoch > self.config.epoch,
            "only a higher configuration is adopted"
        );
        assert!(
            config.formers().any(|(_, f)| f.id == self.id),
            "may serve again"
        );
        self.config = config;
        self.suspended = true;
        self.pins.clear();
    }

    /// Whether it was taken for dead and serves nobody.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Lets pins go that nobody has asked about for long (rule 34); to be called now and then.
    pub fn tick(&mut self, now: Time) {
        let before = self.pins.len();
        self.pins
            .retain(|_, pin| now.since(pin.used_at) < MAX_PIN_IDLE);
        if self.pins.len() < before {
            self.settle();
        }
    }

    /// The fused members that it has not heard of for T_c, for its next report; asked for once a heartbeat. After a
    /// pause of its own it cannot tell who was silent, and listens afresh (rule 22).
    pub fn complaints(&mut self, now: Time) -> Vec<MemberId> {
        let timing = self.config.timing;
        let paused = now.since(self.looked_at) > 2 * timing.heartbeat();
        self.looked_at = now;
        for link in self.links.values_mut() {
            // A link that was made since the last look has no moment of its own yet.
            if paused || link.heard_at == Time(0) {
                link.heard_at = now;
            }
        }
        if self.suspended {
            return Vec::new();
        }
        let silent = self
            .links
            .iter()
            .filter(|(_, l)| now.since(l.heard_at) >= timing.complain_after());
        silent.map(|(&id, _)| id).collect()
    }

    fn relink(&mut self, acked: Seq) {
        let mut links = BTreeMap::new();
        for seat in self.config.acknowledging() {
            let joins = seat.state == FusedState::Joining;
            let link = match self.links.remove(&seat.id) {
                Some(link) if joins => link,
                Some(link) => {
                    // It was promoted because it has the whole snapshot, even if no acknowledgement came of it.
                    let has = link.join.as_ref().map_or(Seq(0), |join| join.about.seq);
                    Link {
                        acked: link.acked.max(has),
                        join: None,
                        ..link
                    }
                }
                None if joins => Link {
                    join: Some(Join::freeze(
                        &self.structure,
                        self.applied,
                        self.bounds.transfer_bytes,
                    )),
                    ..Link::new(Seq(0))
                },
                None => Link::new(acked),
            };
            links.insert(seat.id, link);
        }
        self.links = links;
    }

    /// The fused members that must be kept up to date.
    pub fn links(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.links.keys().copied()
    }

    /// The last change that fused member `to` has acknowledged.
    #[must_use]
    pub fn acked(&self, to: MemberId) -> Option<Seq> {
        self.links.get(&to).map(|l| l.acked)
    }

    /// What to send to fused member `to` now: the changes that it has not acknowledged, about `max_bytes` of them, and
    /// the time, from which the lease counts (rule 12). `None` when it is not a member that must acknowledge.
    ///
    /// # Panics
    /// When the log does not cover what the member needs, which rules 14 and 15 exclude.
    #[must_use]
    pub fn replicate(&mut self, to: MemberId, max_bytes: usize, now: Time) -> Option<Replicate> {
        if self.suspended {
            return None;
        }
        let link = self.links.get_mut(&to)?;
        link.sent_at = link.sent_at.max(now);
        let join = link.join.as_ref().map(|j| j.about);
        let after = join.map_or(link.acked, |j| link.acked.max(j.seq));
        let changes = self.log.run(after, self.applied, max_bytes);
        let changes = changes.expect("the log covers everything above the stable mark");
        Some(Replicate {
            index: self.index,
            changes,
            stable: self.stable,
            sent_at: now,
            join,
        })
    }

    /// Takes an acknowledgement that was given in the route's epoch; answers whether the stable mark moved. The lease
    /// counts from the echoed moment, never from the arrival (rules 13, 14).
    pub fn on_ack(&mut self, route: Route, ack: Ack, now: Time) -> bool {
        let before = self.stable;
        if (route.epoch == self.config.epoch || unsealed())
            && !self.suspended
            && let Some(link) = self.links.get_mut(&route.to)
            && ack.seq <= self.applied
            && ack.sent_at <= link.sent_at
        {
            link.heard_at = link.heard_at.max(now);
            link.acked = link.acked.max(ack.seq);
            let from = if planted(Fault::LeaseFromArrival) {
                now
            } else {
                ack.sent_at
            };
            link.leased_at = link.leased_at.max(Some(from));
            self.settle();
            self.settle_lease();
        }
        self.stable > before
    }

    /// The first chunk number from `from` on that learner `to` has not acknowledged yet, and its pages (rule 16).
    #[must_use]
    pub fn chunk(&self, to: MemberId, from: u32) -> Option<Chunk> {
        let join = self.links.get(&to)?.join.as_ref()?;
        let number = (from as usize..join.starts.len()).find(|&i| !join.acked[i])?;
        let start = join.starts[number];
        let end = join
            .starts
            .get(number + 1)
            .copied()
            .unwrap_or(join.pages.len());
        let pages = join.pages.read(start, (end - start) as u32, usize::MAX);
        Some(Chunk {
            index: self.index,
            join: join.about,
            number: number as u32,
            pages,
        })
    }

    /// Learner `to` has added chunk `number`.
    pub fn on_chunk_ack(&mut self, route: Route, number: u32) {
        if route.epoch == self.config.epoch
            && let Some(join) = self.links.get_mut(&route.to).and_then(|l| l.join.as_mut())
            && let Some(acked) = join.acked.get_mut(number as usize)
        {
            *acked = true;
            if join.acked.iter().all(|&a| a) {
                // Everything was taken: the frozen pages cost nothing any more.
                join.pages = FrozenPages::new(Default::default());
            }
        }
    }

    /// Serves a replacement of another primary (rules 30 and 32).
    ///
    /// # Errors
    /// [`Refusal`] when the epochs differ, the sender is no replacement, or the log does not reach back far enough.
    pub fn on_recovery(
        &mut self,
        route: Route,
        request: &RecoveryRequest,
        now: Time,
    ) -> Result<RecoveryReply, Refusal> {
        check_route(&self.config, self.id, route)?;
        if self.suspended {
            return Err(Refusal::NotAllowed);
        }
        let replacement = self
            .config
            .index_of(route.from)
            .and_then(|j| self.config.primary(j));
        if !replacement.is_some_and(|s| s.state == PrimaryState::Lost) {
            return Err(Refusal::NotAllowed);
        }
        if let Some(pin) = self.pins.get_mut(&route.from) {
            pin.used_at = pin.used_at.max(now);
        }
        match *request {
            RecoveryRequest::Pin { recovery } => match self.pins.get(&route.from) {
                // Said again, or late: what was frozen since must stay.
                Some(pin) if pin.recovery == recovery => Ok(RecoveryReply::Pinned),
                Some(pin) if pin.recovery > recovery => Err(Refusal::NotThere),
                _ => {
                    let base = self.log.base();
                    self.pins.insert(
                        route.from,
                        Pin {
                            recovery,
                            base,
                            snapshot: None,
                            used_at: now,
                        },
                    );
                    Ok(RecoveryReply::Pinned)
                }
            },
            RecoveryRequest::PrimarySnapshot { recovery, after } => {
                let (applied, pages) = (self.applied, self.structure.snapshot());
                if !self.log.reaches_back_to(after) && !planted(Fault::LogNotPinned) {
                    return Err(Refusal::NotThere);
                }
                let pin = self.pin(route.from, recovery)?;
                let (seq, pages) = pin
                    .snapshot
                    .get_or_insert_with(|| (applied, FrozenPages::new(pages)));
                Ok(RecoveryReply::PrimarySnapshot {
                    seq: *seq,
                    pages: pages.len(),
                })
            }
            RecoveryRequest::SnapshotPages {
                recovery,
                from,
                count,
            } => {
                let pin = self.pin(route.from, recovery)?;
                let (_, pages) = pin.snapshot.as_ref().ok_or(Refusal::NotThere)?;
                Ok(RecoveryReply::SnapshotPages {
                    pages: pages.read(from, count, TRANSFER_BYTES),
                })
            }
            RecoveryRequest::SnapshotChanges { recovery, after } => {
                let upto = self
                    .pin(route.from, recovery)?
                    .snapshot
                    .as_ref()
                    .ok_or(Refusal::NotThere)?
                    .0;
                let from = if planted(Fault::LogNotPinned) {
                    after.max(self.log.base())
                } else {
                    after
                };
                let changes = self.log.run(from, upto, TRANSFER_BYTES);
                let changes = changes.ok_or(Refusal::NotThere)?;
                Ok(RecoveryReply::SnapshotChanges { changes })
            }
            RecoveryRequest::Release { recovery } => {
                if self.pin(route.from, recovery).is_ok() {
                    self.pins.remove(&route.from);
                    self.settle();
                }
                Ok(RecoveryReply::Released)
            }
            RecoveryRequest::Vector
            | RecoveryRequest::Log { .. }
            | RecoveryRequest::RollForward { .. }
            | RecoveryRequest::FusedSnapshot { .. } => Err(Refusal::NotAllowed),
        }
    }

    fn pin(&mut self, from: MemberId, recovery: RecoveryId) -> Result<&mut Pin, Refusal> {
        self.pins
            .get_mut(&from)
            .filter(|p| p.recovery == recovery)
            .ok_or(Refusal::NotThere)
    }
}

/// Whether a fault is planted that lets messages of other epochs in.
pub(crate) fn unsealed() -> bool {
    planted(Fault::NoSeal) || planted(Fault::DeposedGoesOn)
}

/// Rule 4: the message is of this member's epoch, for this member.
pub(crate) fn check_route(
    config: &Arc<Configuration>,
    id: MemberId,
    route: Route,
) -> Result<(), Refusal> {
    if route.cluster != config.cluster || route.to != id {
        return Err(Refusal::NotMember {
            cluster: route.cluster,
            member: route.to,
        });
    }
    if route.epoch == config.epoch || unsealed() {
        Ok(())
    } else {
        Err(Refusal::Epoch(Arc::clone(config)))
    }
}

#[cfg(test)]
mod tests;
