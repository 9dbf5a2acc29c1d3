//! How the heir of a primary becomes the primary, in the epoch that names it (PROTOCOL rule 36).
//!
//! Nothing had to stop for it before, and nobody has to help it but those whom it asks: every fused member in sync, what
//! it has of the primary, which seals it, and whether a lease of the predecessor still runs; and the predecessor, whether
//! it has yielded. What it lacks of the changes it takes from either. Like [`recovery`](crate::recovery) it is a state
//! machine: [`requests`](Takeover::requests) are what to ask of whom, each answer goes into
//! [`on_reply`](Takeover::on_reply), and when it [may serve](Takeover::may_serve), it [is the
//! primary](Takeover::into_primary).

use crate::config::{Configuration, PrimarySeat, PrimaryState};
use crate::fault::{Fault, planted};
use crate::heir::{Heir, Inheritance};
use crate::id::{MemberId, PrimaryIndex, Seq};
use crate::listening::Listening;
use crate::log::ChangeLog;
use crate::message::{ChangeRun, Condition, RecoveryReply, RecoveryRequest, Refusal, Route};
use crate::primary::Primary;
use crate::structure::Follower;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Who does not answer is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A fused member is not asked more often whether a lease is over.
const LEASE_POLL: Duration = Duration::from_millis(5);

/// A primary that does not serve yet.
#[derive(Debug)]
pub struct Takeover {
    config: Arc<Configuration>,
    id: MemberId,
    index: PrimaryIndex,
    follower: Box<Follower>,
    seq: Seq,
    log: ChangeLog,
    /// What the fused members in sync have of it, as they said in this epoch (rule 28).
    vectors: BTreeMap<MemberId, Seq>,
    /// Those whose lease of the predecessor is not known to be over.
    leases: BTreeSet<MemberId>,
    /// The predecessor executes nothing any more, and this was its last change. That stays true.
    yielded: Option<Seq>,
    /// Whom to ask, and when.
    asks: BTreeMap<MemberId, Time>,
    /// Whose logs do not reach back to what it has.
    unhelpful: BTreeSet<MemberId>,
    /// Since when it lacks changes that nobody hands it.
    stuck_since: Option<Time>,
    /// Changes that it was handed are none of this structure: it counts as dead.
    failed: bool,
    listening: Listening,
}

impl Takeover {
    /// Begins as what the heir was; `None` if that was not ready. One that was taken for dead before it heard that it is
    /// the primary begins suspended (rule 50).
    ///
    /// # Panics
    /// When `config` names the heir neither as the active primary nor as a former one (a bug of the caller).
    #[must_use]
    pub fn new(config: Arc<Configuration>, heir: Heir) -> Option<Takeover> {
        let (id, index) = (heir.id(), heir.index());
        assert!(is_named(&config, id, index), "the configuration names it");
        let Inheritance { follower, seq, log } = heir.into_inheritance()?;
        let mut takeover = Takeover {
            config,
            id,
            index,
            follower,
            seq,
            log,
            vectors: BTreeMap::new(),
            leases: BTreeSet::new(),
            yielded: None,
            asks: BTreeMap::new(),
            unhelpful: BTreeSet::new(),
            stuck_since: None,
            failed: false,
            listening: Listening::default(),
        };
        takeover.begin_epoch();
        Some(takeover)
    }

    /// Everybody is asked in each epoch; what came of changes stays (rule 35). While it is suspended nobody is.
    fn begin_epoch(&mut self) {
        let in_sync: BTreeSet<MemberId> = self.config.in_sync().map(|s| s.id).collect();
        self.vectors.clear();
        self.unhelpful.clear();
        self.stuck_since = None;
        let others = in_sync.iter().copied().chain(self.predecessor());
        let others = others.filter(|_| !self.is_suspended());
        self.asks = others.map(|m| (m, Time(0))).collect();
        self.listening.to([]);
        self.leases = in_sync;
    }

    /// Adopts a higher configuration that still names it as the primary, or as a former one: it does nothing then, and
    /// keeps what it has until it is named again (rule 50).
    ///
    /// # Panics
    /// When the configuration is not higher or does not name it (a bug of the caller).
    pub fn adopt(&mut self, config: Arc<Configuration>) {
        assert!(
            config.epoch > self.config.epoch,
            "only a higher configuration is adopted"
        );
        assert!(is_named(&config, self.id, self.index), "still named");
        self.config = config;
        self.begin_epoch();
    }

    /// Whether it was taken for dead (rule 50).
    fn is_suspended(&self) -> bool {
        self.config.index_of(self.id) != Some(self.index)
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

    /// The last change that it has.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    fn predecessor(&self) -> Option<MemberId> {
        let seat = self.config.primary(self.index)?;
        seat.moved_from.as_ref().map(|f| f.id)
    }

    /// What it reports to the coordinator. One that lacks for T_c what nobody hands it is stranded: the codes have it, and its
    /// predecessor, which may only be slow or cut off.
    #[must_use]
    pub fn condition(&self, now: Time) -> Condition {
        let most = self.config.timing.complain_after();
        let stuck = self.stuck_since.is_some_and(|at| now.since(at) >= most);
        if self.failed {
            Condition::Missing
        } else if self.is_suspended() {
            Condition::Suspended
        } else if stuck {
            Condition::Stranded
        } else {
            Condition::TakingOver
        }
    }

    /// Looks at the clock and counts silence (rule 56). To be called by a timer of the process's own, T_h / 4 to T_h
    /// apart; returns whether there is something new to complain about.
    pub fn tick(&mut self, now: Time) -> bool {
        let timing = self.config.timing;
        self.listening.look(now, &timing)
    }

    /// The fused members that had not answered for T_c at the last [`tick`](Self::tick), for its next report (rule 22).
    #[must_use]
    pub fn complaints(&self) -> Vec<MemberId> {
        self.listening.complaints(&self.config.timing)
    }

    /// Those whose answers it waits for.
    pub fn owing(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.asks.keys().copied()
    }

    /// Some of what `from` owes has moved since the last look, though it has not come whole: that is a sign of life (rule
    /// 57). What is under way is not to be sent again beside it, though it is asked for again.
    pub fn on_progress(&mut self, from: MemberId, now: Time) {
        self.listening.progress(from, now);
    }

    /// The last change that anybody is known to have of it: what it needs to have.
    fn target(&self) -> Seq {
        let vectors = self.vectors.values().copied();
        vectors.chain(self.yielded).max().unwrap_or_default()
    }

    fn has_vectors(&self) -> bool {
        let mut in_sync = self.config.in_sync();
        in_sync.all(|seat| self.vectors.contains_key(&seat.id))
    }

    /// Takes what is to be asked of whom now.
    pub fn requests(&mut self, now: Time) -> Vec<(MemberId, RecoveryRequest)> {
        let predecessor = self.predecessor();
        let helper = self.helper();
        let due: Vec<MemberId> = self.due(now).collect();
        let mut requests = Vec::new();
        for to in due {
            self.asks.insert(to, now.after(ASK_AGAIN));
            if Some(to) == predecessor {
                let after = self.seq;
                requests.push((to, RecoveryRequest::Yield { after }));
                continue;
            }
            self.listening.also_to(to);
            if !self.vectors.contains_key(&to) || self.leases.contains(&to) {
                requests.push((to, RecoveryRequest::Vector));
            }
            if Some(to) == helper {
                let request = RecoveryRequest::Log {
                    index: self.index,
                    after: self.seq,
                    upto: self.target(),
                };
                requests.push((to, request));
            }
        }
        let stuck = self.has_vectors() && self.seq < self.target() && helper.is_none();
        match stuck {
            true => drop(self.stuck_since.get_or_insert(now)),
            false => self.stuck_since = None,
        }
        requests
    }

    fn due(&self, now: Time) -> impl Iterator<Item = MemberId> {
        let due = self.asks.iter().filter(move |(_, at)| **at <= now);
        due.map(|(&m, _)| m)
    }

    /// Who has changes that it lacks, and a log that may reach back to what it has.
    fn helper(&self) -> Option<MemberId> {
        if !self.has_vectors() {
            return None;
        }
        let has_more = |(m, v): &(&MemberId, &Seq)| **v > self.seq && !self.unhelpful.contains(m);
        let found = self.vectors.iter().find(has_more);
        found.map(|(&m, _)| m)
    }

    /// When to look for requests again though no answer came.
    #[must_use]
    pub fn wake_at(&self) -> Time {
        self.asks.values().copied().min().unwrap_or(Time::NEVER)
    }

    /// Takes the answer to a request that went by `route`. Of another epoch it says nothing: who answered may be no code in
    /// sync any more.
    pub fn on_reply(
        &mut self,
        route: Route,
        request: &RecoveryRequest,
        reply: RecoveryReply,
        now: Time,
    ) {
        let from = route.to;
        if !self.is_of_now(route) {
            return;
        }
        self.listening.hear(from, now);
        match (request, reply) {
            (RecoveryRequest::Vector, RecoveryReply::Vector { vector, lease_left }) => {
                let Some(&has) = vector.get(self.index.index()) else {
                    return;
                };
                self.vectors.insert(from, has);
                // It is asked again when its lease should be over, which may be later than T_c: until then it owes nothing.
                self.listening.no_more_to(from);
                if lease_left.is_zero() {
                    self.leases.remove(&from);
                    self.asks.remove(&from);
                } else {
                    let left = lease_left.max(LEASE_POLL);
                    self.asks.insert(from, now.after(left));
                }
                self.ask_the_helper();
            }
            (RecoveryRequest::Log { .. }, RecoveryReply::Log { changes }) => {
                self.take(&changes);
                self.asks.remove(&from);
                self.listening.no_more_to(from);
                if self.leases.contains(&from) {
                    self.asks.insert(from, now.after(LEASE_POLL));
                }
                self.ask_the_helper();
            }
            (RecoveryRequest::Yield { .. }, RecoveryReply::Yielded { seq, changes }) => {
                self.yielded = Some(seq);
                self.take(&changes);
                if self.seq < seq {
                    self.asks.insert(from, Time(0));
                } else {
                    self.asks.remove(&from);
                }
            }
            _ => {}
        }
    }

    fn ask_the_helper(&mut self) {
        if let Some(helper) = self.helper() {
            self.asks.insert(helper, Time(0));
        }
    }

    /// Takes a refusal: a log that does not reach back is not asked for again.
    pub fn on_refusal(&mut self, route: Route, request: &RecoveryRequest, refusal: &Refusal) {
        let from = route.to;
        if !self.is_of_now(route) {
            return;
        }
        if let (RecoveryRequest::Log { .. }, Refusal::NotThere) = (request, refusal) {
            self.unhelpful.insert(from);
            self.ask_the_helper();
        }
    }

    fn is_of_now(&self, route: Route) -> bool {
        let now = (self.config.epoch, self.config.nonce);
        (route.epoch, route.nonce) == now
    }

    fn take(&mut self, run: &ChangeRun) {
        let Ok(changes) = run.unpack() else {
            self.failed = true;
            return;
        };
        for (seq, change) in changes {
            if seq != self.seq.next() {
                continue;
            }
            if self.follower.follow(&change).is_err() {
                self.failed = true;
                return;
            }
            self.log.push(change);
            self.seq = seq;
            // Somebody hands it what it lacks, however long that takes.
            self.stuck_since = None;
        }
    }

    /// Whether it may serve: it knows what all fused members in sync have, which seals them, and has it; and its
    /// predecessor reads nothing any more, since it has yielded, or no lease of it is left. Where no code is left, nobody
    /// but the predecessor can say so, and what its last change was.
    #[must_use]
    pub fn may_serve(&self) -> bool {
        let sealed = self.has_vectors() || planted(Fault::TakesOverWithoutVectors);
        let has_all = self.seq >= self.target() || planted(Fault::TargetNotCaughtUp);
        let codes = self.config.in_sync().next().is_some();
        let alone = self.predecessor().is_none() || planted(Fault::AloneWithoutItsWord);
        let reads_nothing = self.yielded.is_some()
            || planted(Fault::TakesOverUnderALease)
            || if codes { self.leases.is_empty() } else { alone };
        sealed && has_all && reads_nothing && !self.failed && !self.is_suspended()
    }

    /// The primary, which serves from now on.
    ///
    /// # Panics
    /// When it [may not](Self::may_serve) (a bug of the caller).
    #[must_use]
    pub fn into_primary(self) -> Primary {
        assert!(self.may_serve(), "it may serve");
        let structure = self.follower.into_structure();
        Primary::moved(self.config, self.id, structure, self.log, &self.vectors)
    }
}

/// Whether the configuration names it as the active primary, or as one that may be that again.
fn is_named(config: &Configuration, id: MemberId, index: PrimaryIndex) -> bool {
    let active = |s: &PrimarySeat| s.id == id && s.state == PrimaryState::Active;
    config.primary(index).is_some_and(active)
        || config.formers().any(|(j, f)| j == index && f.id == id)
}

#[cfg(test)]
mod tests;
