//! A primary structure as a member of its cluster (PROTOCOL rules 9 to 17, 30, 32, 36).
//!
//! It executes requests, numbers their changes, says what each fused member should be sent next, and knows from
//! the acknowledgements which changes are stable. Whoever drives it moves the messages.

mod confirmation;
mod link;
mod pins;
mod room;

use crate::config::{Configuration, PrimaryState, Reads};
use crate::fault::{Fault, planted};
use crate::id::{MemberId, PrimaryIndex, Seq, SessionId};
use crate::limits::Bounds;
use crate::listening::Listening;
use crate::log::ChangeLog;
use crate::memory::MemoryUse;
use crate::message::{ClientRequest, Condition, Refusal, Route};
use crate::op::OpResult;
use crate::recovery::Image;
use crate::structure::{SessionState, Structure};
use crate::time::Time;
use confirmation::Confirmation;
use link::Link;
use pins::Pins;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use crate::limits::TRANSFER_BYTES;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Executed now or before. The answer may go out once [`Primary::answerable`] has reached `after` (rule 11), and
    /// [`Primary::confirmed`] has reached `round` (rule 58).
    Done {
        /// The answer.
        result: OpResult,
        /// The last change that it may depend on: for a mutation the one that executed it.
        after: Seq,
        /// Of a read that rests on no lease: the message that everybody must have acknowledged; else 0, which is
        /// always reached.
        round: u64,
    },
    /// Not executed: a later request of its lane was (rule 9).
    Stale,
    /// Not executed: the session is not open, or another incarnation of it is (rules 9, 38).
    SessionUnknown,
    /// Not executed: a bound on unacknowledged or pinned changes was reached (rule 11).
    Busy,
    /// Not executed: a change, while fewer codes are in sync than the cluster was asked to keep (rule 53).
    BelowFloor,
    /// Not executed: it may grow the structure, and this process, or one that must acknowledge it, is full (rule 70). It is
    /// recorded nowhere: the same request may be sent again.
    Full(MemoryUse),
    /// Not executed: a read, and not every fused member's lease is held (rule 10). Each acknowledgement renews one.
    NoLease,
    /// Not executed: this primary was taken for dead (rule 25), or moved (rule 36).
    Suspended,
    /// Not executed: a mutation without an id, or a read with one.
    BadRequest,
}

/// An active primary.
#[derive(Clone, Debug)]
pub struct Primary {
    config: Arc<Configuration>,
    id: MemberId,
    index: PrimaryIndex,
    /// Taken for dead (rule 25), or moved (rule 36).
    suspended: bool,
    /// Its memory was set back in time: it serves nobody, for ever (rule 63).
    went_back: bool,
    listening: Listening,
    structure: Structure,
    applied: Seq,
    stable: Seq,
    /// The greatest stable mark that was reached with as many codes in sync as the cluster was asked to keep (rule 53).
    answerable: Seq,
    below_floor: bool,
    log: ChangeLog,
    /// Until when every fused member's lease is held (rule 10).
    leased_until: Time,
    confirmation: Confirmation,
    bounds: Bounds,
    /// Of its process (rule 70).
    memory: Option<MemoryUse>,
    links: BTreeMap<MemberId, Link>,
    pins: Pins,
}

impl Primary {
    /// Starts the empty structure of a member that was made with its cluster.
    ///
    /// # Panics
    /// When `id` is no active primary of `config` (a bug of the caller).
    #[must_use]
    pub fn create(config: Arc<Configuration>, id: MemberId) -> Primary {
        let index = named(&config, id);
        let (structure, log) = first_change(&config, index);
        Primary::start(config, id, index, structure, log, Seq(0))
    }

    /// Starts from the recovered image of the lost primary (rule 34). It is suspended from the beginning when `config`
    /// names it as a former primary: it was made active, and taken for dead before its server heard so (rule 50).
    ///
    /// # Panics
    /// When `id` is neither an active primary of `config` nor a former one (a bug of the caller).
    #[must_use]
    pub fn recovered(config: Arc<Configuration>, id: MemberId, image: Image) -> Primary {
        let index = named(&config, id);
        let seq = image.seq();
        let (structure, log) = match image.into_structure() {
            Some(structure) => (structure, ChangeLog::after(seq)),
            // Nothing was ever stable: it begins as one that was made with its cluster.
            None => first_change(&config, index),
        };
        Primary::start(config, id, index, structure, log, seq)
    }

    /// Starts from what an heir has, which has learned what the fused members in sync have (rule 36): it sends them what
    /// they lack.
    pub(crate) fn moved(
        config: Arc<Configuration>,
        id: MemberId,
        structure: Structure,
        log: ChangeLog,
        vectors: &BTreeMap<MemberId, Seq>,
    ) -> Primary {
        let index = config
            .index_of(id)
            .expect("the configuration names the primary");
        let base = log.base();
        let mut primary = Primary::start(config, id, index, structure, log, base);
        let applied = primary.applied;
        for (id, link) in &mut primary.links {
            if link.join.is_none() {
                link.acked = vectors.get(id).map_or(applied, |&v| v.min(applied));
            }
        }
        primary.settle();
        primary
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
        let active = seat.is_some_and(|s| s.id == id && s.state == PrimaryState::Active);
        let former = seat.and_then(|s| s.former.as_ref());
        let suspended = former.is_some_and(|f| f.id == id);
        assert!(active || suspended, "only an active primary serves");
        let applied = log.last();
        let below_floor = config.is_below_floor();
        let mut primary = Primary {
            config,
            id,
            index,
            suspended,
            went_back: false,
            listening: Listening::default(),
            structure,
            applied,
            stable,
            answerable: Seq(0),
            below_floor,
            log,
            leased_until: Time(0),
            confirmation: Confirmation::default(),
            bounds: Bounds::USUAL,
            memory: None,
            links: BTreeMap::new(),
            pins: Pins::default(),
        };
        primary.relink(stable);
        primary.settle_floor();
        primary.settle_lease();
        primary
    }

    #[cfg(test)]
    pub(crate) fn limit_log(&mut self, unstable_bytes: usize, log_bytes: usize) {
        self.bounds.unstable_bytes = unstable_bytes;
        self.bounds.log_bytes = log_bytes;
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

    /// What depends on no later change than this one may be answered: the stable mark, and below the floor that of the last
    /// epoch that was not (rules 11, 53). A primary that began below the floor answers nothing until that is over.
    #[must_use]
    pub fn answerable(&self) -> Seq {
        self.answerable
    }

    /// Whether it executes no change, since too few codes are in sync (rule 53).
    #[must_use]
    pub fn is_below_floor(&self) -> bool {
        self.below_floor
    }

    /// Its log has every change later than this one (rule 14).
    #[must_use]
    pub fn keeps_after(&self) -> Seq {
        self.log.base()
    }

    /// Until when it may read: every fused member's lease is held (rule 10). [`Time::NEVER`] while there is no fused
    /// member, since then nobody can replace it (rule 17).
    #[must_use]
    pub fn leased_until(&self) -> Time {
        self.leased_until
    }

    /// Gives a smaller bound on open sessions and their slots than
    /// [`MAX_SESSION_SLOTS`](crate::limits::MAX_SESSION_SLOTS), so that a simulation of few has evictions.
    pub fn limit_sessions(&mut self, slots: usize) {
        self.structure.limit_sessions(slots);
    }

    /// Opens a client's session, a recorded change, and returns its incarnation: the number of that change, which every
    /// request under it says (rule 38). It may be told once [`stable`](Self::stable) has reached it (rule 11). Of a session
    /// that is open already, returns what was returned before.
    ///
    /// Returns `None`, and changes nothing, when a bound on unacknowledged changes was reached, or this primary was taken
    /// for dead or moved: as with a request, to be tried again.
    pub fn open_session(&mut self, session: SessionId) -> Option<Seq> {
        if self.is_out() {
            return None;
        }
        let open = self.structure.incarnation(session);
        if open.is_some() || self.at_a_bound() || self.below_floor {
            return open;
        }
        let seq = self.applied.next();
        let change = self.structure.open_session(seq, session);
        self.record(change);
        Some(seq)
    }

    /// Closes this incarnation of a session, a recorded change: its answers need not be kept any more. Does nothing when
    /// it is not open, and nothing at a bound (rule 11): it goes when room is needed, then.
    pub fn close_session(&mut self, session: SessionId, incarnation: Seq) {
        if !self.is_out()
            && !self.at_a_bound()
            && !self.below_floor
            && let Some(change) = self.structure.close_session(session, incarnation)
        {
            self.record(change);
        }
    }

    /// Executes a request, or answers it from the record of its first execution (rules 9, 10). `now` is read after
    /// the request was received: a read must not rest on a lease that was over before it was asked.
    pub fn submit(&mut self, request: &ClientRequest, now: Time) -> Submitted {
        let reads_on = request.id.is_none() && !self.is_suspended();
        if self.is_out() && !reads_on {
            return Submitted::Suspended;
        }
        match (request.id, request.op.is_mutation()) {
            (None, false) if !self.may_read(now) => Submitted::NoLease,
            (None, false) => {
                let result = self.structure.read(&request.op);
                let unsafe_read = planted(Fault::UnstableReads);
                Submitted::Done {
                    result,
                    after: if unsafe_read { Seq(0) } else { self.applied },
                    round: self.ask_for_confirmation(),
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
                        round: 0,
                    }
                }
                _ if self.below_floor => Submitted::BelowFloor,
                _ if self.at_a_bound() => Submitted::Busy,
                _ => {
                    if let Some(memory) = self.no_room_for(&request.op) {
                        return Submitted::Full(memory);
                    }
                    let executed = self.structure.execute(self.applied.next(), id, &request.op);
                    if !executed.change.is_empty() || !planted(Fault::NoEffectNotRecorded) {
                        self.record(executed.change);
                    }
                    Submitted::Done {
                        result: executed.result,
                        after: self.applied,
                        round: 0,
                    }
                }
            },
            _ => Submitted::BadRequest,
        }
    }

    /// Rule 10; where reads are confirmed no lease is needed (rule 58).
    fn may_read(&self, now: Time) -> bool {
        now < self.leased_until || self.config.reads == Reads::Confirmed || planted(Fault::NoLease)
    }

    /// What is unstable has its bound whatever else the log is kept for (rule 11).
    fn at_a_bound(&self) -> bool {
        // The end of numbers is a bound, too (rule 66).
        self.applied >= Seq::MAX
            || self.log.bytes_after_mark() >= self.bounds.unstable_bytes
            || self.log.bytes() >= self.bounds.log_bytes
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
        self.log.mark_to(self.stable);
        self.settle_floor();
        self.drop_log();
    }

    /// Rule 53: what is stable now is in every code in sync, and they are enough.
    fn settle_floor(&mut self) {
        if !self.below_floor {
            self.answerable = self.answerable.max(self.stable);
        }
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
        // Nobody gets in sync without this primary (27), so that it would have to know of it (rule 63).
        if config.in_sync().any(|s| !self.links.contains_key(&s.id)) {
            self.go_out();
        }
        self.below_floor = config.is_below_floor();
        self.config = config;
        if std::mem::take(&mut self.suspended) {
            // Recoveries may have brought members to what others of them were sent (rule 29).
            let all = self.applied;
            self.links.values_mut().for_each(|l| l.sent = all);
        }
        self.pins.clear();
        self.relink(Seq(0));
        self.settle();
        self.settle_lease();
        self.settle_confirmation();
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

    /// Adopts a higher configuration in which this primary was moved: it executes and reads nothing from now on, for ever,
    /// and keeps its state until the one that takes over is known to serve (rules 8, 36).
    ///
    /// # Panics
    /// When the configuration is not higher or does not name this primary as the one that was moved (a bug of the caller).
    pub fn retire(&mut self, config: Arc<Configuration>) {
        assert!(
            config.epoch > self.config.epoch,
            "only a higher configuration is adopted"
        );
        assert!(config.moved().any(|(_, f)| f.id == self.id), "was moved");
        self.config = config;
        self.suspended = true;
        self.pins.clear();
    }

    /// Whether it was moved: the member that takes over.
    #[must_use]
    pub fn successor(&self) -> Option<MemberId> {
        let mut moved = self.config.moved();
        let (index, _) = moved.find(|(_, f)| f.id == self.id)?;
        self.config.primary(index).map(|s| s.id)
    }

    /// Whether it was taken for dead, or moved, or went back in time, and serves nobody.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.is_out() && !(planted(Fault::DeposedReadsOn) && self.successor().is_some())
    }

    fn is_out(&self) -> bool {
        self.suspended || self.went_back
    }

    /// It has learned that its memory was set back: others know changes that it made and has forgotten. Before it numbers
    /// another one it stops, and is recovered from the codes (rule 63).
    fn go_out(&mut self) {
        self.went_back |= !planted(Fault::PrimaryWentBack);
    }

    /// Looks at the clock: lets pins go that nobody has asked about for long (rule 34), and counts silence (rule 56).
    /// To be called by a timer of the process's own, T_h / 4 to T_h apart; returns whether there is something new to
    /// complain about.
    pub fn tick(&mut self, now: Time) -> bool {
        if self.pins.expire(now) {
            self.settle();
        }
        let timing = self.config.timing;
        self.listening.look(now, &timing) && !self.is_out()
    }

    /// What it reports to the coordinator (rules 25, 36). One that was moved here has everything: nobody needs the one that
    /// it was moved from.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match self.suspended {
            _ if self.went_back => Condition::Missing,
            true if self.successor().is_some() => Condition::Yielded,
            true => Condition::Suspended,
            false => Condition::Serving,
        }
    }

    /// Those that copy it and that it has not heard of for T_c or that were left behind, as of the last
    /// [`tick`](Self::tick); for its next report (rules 22, 54).
    #[must_use]
    pub fn complaints(&self) -> Vec<MemberId> {
        if self.is_out() {
            return Vec::new();
        }
        let mut silent = self.listening.complaints(&self.config.timing);
        let behind = self.links.iter().filter(|(_, l)| l.left_behind);
        let mut slow: Vec<MemberId> = behind.map(|(&id, _)| id).collect();
        slow.retain(|id| !silent.contains(id));
        silent.extend(slow);
        silent
    }
}

/// The index of an active primary, or of a former one.
fn named(config: &Configuration, id: MemberId) -> PrimaryIndex {
    let former = || config.formers().find(|(_, f)| f.id == id).map(|(j, _)| j);
    let index = config.index_of(id).or_else(former);
    index.expect("the configuration names the primary")
}

/// An empty structure, and the log with the change that describes it.
fn first_change(config: &Configuration, index: PrimaryIndex) -> (Structure, ChangeLog) {
    let (structure, descriptor) = Structure::create(config.kind, config.cluster, index);
    let mut log = ChangeLog::after(Seq(0));
    log.push(descriptor);
    (structure, log)
}

/// Whether a fault is planted that lets messages of other epochs in.
pub(crate) fn unsealed() -> bool {
    planted(Fault::NoSeal) || planted(Fault::DeposedGoesOn)
}

/// Rules 4 and 61: the message is of this member's epoch, in the same content of it, for this member.
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
    let same = route.nonce == config.nonce || planted(Fault::ContradictionServes);
    if route.epoch == config.epoch && same || unsealed() {
        Ok(())
    } else {
        Err(Refusal::Epoch(Arc::clone(config)))
    }
}

#[cfg(test)]
mod tests;
