//! A fused structure as a member of its cluster (PROTOCOL rules 18 to 21, 28 to 31).

mod progress;

use crate::code::Code;
use crate::config::{Configuration, FusedState, PrimaryState};
use crate::fault::{Fault, planted};
use crate::frozen::FrozenPages;
use crate::fused_store::FusedStore;
use crate::id::{MemberId, PrimaryIndex, RecoveryId, Row, Seq};
use crate::limits::{Bounds, MAX_PIN_IDLE};
use crate::listening::Listening;
use crate::log::ChangeLog;
use crate::message::{
    Ack, ChangeRun, Chunk, Condition, JoinSnapshot, RecoveryReply, RecoveryRequest, Refusal,
    Replicate, Route,
};
use crate::primary::{TRANSFER_BYTES, check_route, unsealed};
use crate::time::Time;
use progress::{Learned, Lease, Progress, apply_run, ends_move};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Codes and vector frozen for one replacement (rule 31).
#[derive(Clone, Debug)]
struct Snapshot {
    recovery: RecoveryId,
    vector: Vec<Seq>,
    pages: FrozenPages,
    /// When the replacement last asked about it.
    used_at: Time,
}

/// A fused member.
#[derive(Clone, Debug)]
pub struct Fused {
    config: Arc<Configuration>,
    id: MemberId,
    row: Row,
    learning: bool,
    /// It could not take a change: it counts as dead.
    failed: bool,
    store: FusedStore,
    progress: Vec<Progress>,
    snapshots: BTreeMap<MemberId, Snapshot>,
    bounds: Bounds,
    listening: Listening,
}

impl Fused {
    /// Starts an empty fused structure: complete with an empty cluster, or a learner.
    ///
    /// # Panics
    /// When `id` is no fused member of `config`, or `code` is not the cluster's (bugs of the caller).
    #[must_use]
    pub fn create(config: Arc<Configuration>, id: MemberId, code: Code) -> Fused {
        let seat = config
            .fused_seat(id)
            .expect("the configuration names the fused member");
        assert_eq!(code.primaries(), config.n(), "the cluster's code");
        let (row, learning) = (seat.row, seat.state.learns());
        let store = if learning {
            FusedStore::learner(code, row)
        } else {
            FusedStore::new(code, row)
        };
        let store = store.expect("the cluster's code has a row for each fused seat");
        let progress = (0..config.n())
            .map(|_| Progress {
                stable: Seq(0),
                log: ChangeLog::after(Seq(0)),
                join: None,
                lease: None,
                caught_up: false,
            })
            .collect();
        let mut fused = Fused {
            config,
            id,
            row,
            learning,
            failed: false,
            store,
            progress,
            snapshots: BTreeMap::new(),
            bounds: Bounds::USUAL,
            listening: Listening::default(),
        };
        fused.listen();
        fused
    }

    /// A learner needs every active primary; when it is in sync, they need it.
    fn listen(&mut self) {
        let active = self.config.active().filter(|_| self.learning);
        self.listening
            .to(active.map(|(_, s)| s.id).collect::<Vec<_>>());
    }

    /// The primaries that a learner had not heard of for T_c at the last [`tick`](Self::tick), for its next report
    /// (rule 22).
    #[must_use]
    pub fn complaints(&self) -> Vec<MemberId> {
        self.listening.complaints(&self.config.timing)
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

    /// Its row of the coding matrix.
    #[must_use]
    pub fn row(&self) -> Row {
        self.row
    }

    /// Its codes.
    #[must_use]
    pub fn store(&self) -> &FusedStore {
        &self.store
    }

    /// The last change of each primary that it has.
    #[must_use]
    pub fn vector(&self) -> Vec<Seq> {
        self.progress.iter().map(|p| p.log.last()).collect()
    }

    /// Its log has every change of primary `index` that it has and that is later than this one (rule 20).
    ///
    /// # Panics
    /// When the cluster has no such primary.
    #[must_use]
    pub fn keeps_after(&self, index: PrimaryIndex) -> Seq {
        self.progress[index.index()].log.base()
    }

    /// Adopts a higher configuration that still names this member (rule 8).
    ///
    /// # Panics
    /// When the configuration is not higher or does not name this member (a bug of the caller).
    pub fn adopt(&mut self, config: Arc<Configuration>) {
        assert!(
            config.epoch > self.config.epoch,
            "only a higher configuration is adopted"
        );
        let seat = config
            .fused_seat(self.id)
            .expect("the configuration names the fused member");
        if self.learning && seat.state == FusedState::InSync {
            self.learning = false;
            // Rule 27: it is in sync because everything had come, and then the rest cancels out. Otherwise it had more
            // before than it has now (rule 63).
            self.failed |= !self.has_snapshots() && !planted(Fault::CompleteTooSoon);
            if !self.failed {
                self.store
                    .finish_learning()
                    .expect("a complete learner's codes beyond every primary are zero");
            }
            for progress in &mut self.progress {
                progress.join = None;
            }
        }
        for (j, progress) in self.progress.iter_mut().enumerate() {
            if let (Some(before), Some(now)) =
                (self.config.primaries.get(j), config.primaries.get(j))
                && ends_move(before, now, progress.lease)
            {
                progress.lease = None;
            }
            progress.caught_up &= planted(Fault::PromotedUnheard);
        }
        self.config = config;
        self.snapshots.clear();
        self.listen();
    }

    /// Looks at the clock: lets snapshots go that nobody has asked about for long (rule 34), and counts silence (rule
    /// 56). To be called by a timer of the process's own, T_h / 4 to T_h apart; returns whether there is something new
    /// to complain about.
    pub fn tick(&mut self, now: Time) -> bool {
        self.snapshots
            .retain(|_, s| now.since(s.used_at) < MAX_PIN_IDLE);
        let timing = self.config.timing;
        self.listening.look(now, &timing)
    }

    /// The bytes of frozen codes that it keeps for replacements, and does not share with its own any more (rule 67). An upper
    /// bound: what two snapshots share counts twice. Takes time linear in the number of their pages.
    #[must_use]
    pub fn frozen_bytes(&self) -> u64 {
        self.kept_bytes(None)
    }

    fn kept_bytes(&self, below: Option<MemberId>) -> u64 {
        let live = self.store.pages();
        let snapshots = self.snapshots.iter();
        let counted = snapshots.filter(|(id, _)| below.is_none_or(|b| **id < b));
        counted.map(|(_, s)| s.pages.kept_bytes(live)).sum()
    }

    /// What it reports to the coordinator; a learner is complete by rules 27 and 54, whether it only copies yet or counts.
    ///
    /// The two steps ask for the same, each in its own epoch. The first makes that little is left to wait for when it
    /// counts: nothing else rests on it. The second is what makes it safe that this member alone may be left of I:
    ///
    /// * A message of primary j in the epoch in which it counts, c, says that j has adopted c. What j answered before, by
    ///   the word of others alone, is at or below the stable mark that j brought into c, and every mark told in c is at
    ///   least that one: who stands at a mark of c has every answered change. From c on, j's mark moves only with this
    ///   member's acknowledgement, and j reads only under this member's lease, too. Without such a message j may still be
    ///   in an earlier epoch, answering without this member.
    /// * What is in the snapshot cannot be taken back and is not in this member's log: everybody in sync must have it, so
    ///   `stable >= snap` (an unstable snapshot could only be recovered to, never rolled forward to). Then the log here
    ///   begins at a mark that all of R had, and that each further learner must reach before it is in sync.
    ///
    /// What it applied above the stable mark while it copied does no harm: primaries are lost only together with all
    /// learners (24), and who goes on, or returns (25), made those changes itself.
    #[must_use]
    pub fn condition(&self) -> Condition {
        if self.failed {
            return Condition::Missing;
        }
        if !self.learning {
            return Condition::Serving;
        }
        let joins = self.progress.iter().filter_map(|p| p.join.as_ref());
        let total: u64 = joins.clone().map(|j| u64::from(j.about.chunks)).sum();
        let done: u64 = joins.map(|j| u64::from(j.count)).sum();
        let complete = |p: &Progress| {
            p.join.as_ref().is_some_and(|j| {
                (j.is_whole() || planted(Fault::CompleteTooSoon))
                    && (p.stable >= j.about.seq || planted(Fault::UnstableSnapshot))
                    && p.caught_up
            })
        };
        if self.progress.iter().all(complete) {
            Condition::Complete
        } else {
            Condition::Learning { done, total }
        }
    }

    fn has_snapshots(&self) -> bool {
        let whole = |p: &Progress| p.join.as_ref().is_some_and(Learned::is_whole);
        self.progress.iter().all(whole)
    }

    /// A learner whose process has no memory left leaves, and is made elsewhere (rules 21, 70). One that is needed stays: what
    /// it is sent is little, since no primary executes what grows.
    pub fn leave_for_want_of_memory(&mut self) {
        self.failed |= self.learning;
    }

    /// The bytes of the pages that a learner was sent.
    #[must_use]
    pub fn taken_bytes(&self) -> u64 {
        let joins = self.progress.iter().filter_map(|p| p.join.as_ref());
        joins.map(|j| j.bytes).sum()
    }

    /// Takes changes of a primary, and gives it a lease from `now` on (rules 18 to 20). Should it find that its own memory
    /// was set back, it fails; should the primary's have been, it says so (rule 63).
    ///
    /// # Errors
    /// [`Refusal`] when the epochs differ, the sender is not that active primary, another one's lease is not over, the
    /// sender went back in time, this member has failed, or the bytes do not parse.
    pub fn on_replicate(
        &mut self,
        route: Route,
        message: &Replicate,
        now: Time,
    ) -> Result<Ack, Refusal> {
        self.check_primary(route, message.index)?;
        self.listening.hear(route.from, now);
        // Who was moved speaks only when the one before has yielded, or every lease of it is over (rule 36).
        let seat = self.config.primary(message.index);
        let moved_from = seat.and_then(|s| s.moved_from.as_ref()).map(|f| f.id);
        let progress = &self.progress[message.index.index()];
        let yielded = progress.lease.is_some_and(|l| Some(l.to) == moved_from);
        let leased = !yielded && progress.leased_to_other(route.from, now);
        if leased && !planted(Fault::LeaseOverAtOnce) {
            return Err(Refusal::Leased);
        }
        self.begin_join(message.index, message.join)?;
        let progress = &mut self.progress[message.index.index()];
        if progress.lacks_what_it_acknowledged(message) && !planted(Fault::RollbackUnnoticed) {
            self.failed = true;
            return Err(Refusal::NotAllowed);
        }
        if progress.was_told_more(route.from, message) && !planted(Fault::PrimaryWentBack) {
            return Err(Refusal::WentBack);
        }
        // First what the message lets go: at the bound, that is what makes room.
        progress.stable = progress.stable.max(message.stable.min(progress.log.last()));
        progress.log.drop_to(progress.stable);
        let full = progress.log.bytes() + message.changes.bytes.len() > self.bounds.log_bytes;
        if full && progress.log.bytes() > 0 {
            return Err(Refusal::Busy);
        }
        let applied = apply_run(&mut self.store, progress, message.index, &message.changes);
        if let Err(refusal) = applied {
            // Refusing for ever would hold up every write of that primary: leave, and be made anew (rule 21).
            self.failed = true;
            return Err(refusal);
        }
        progress.stable = progress.stable.max(message.stable.min(progress.log.last()));
        progress.caught_up |= progress.log.last() >= message.stable;
        if planted(Fault::TruncateAtOwnAck) {
            progress.stable = progress.log.last();
        }
        progress.log.drop_to(progress.stable);
        let timing = self.config.timing;
        let until = now.after(if planted(Fault::DriftIgnored) {
            timing.lease_primary()
        } else {
            timing.lease_fused()
        });
        let before = progress.lease.filter(|l| l.to == route.from);
        let asked_at = before.map_or(message.sent_at, |l| l.asked_at.max(message.sent_at));
        let told = before.map_or(message.stable, |l| l.told.max(message.stable));
        progress.lease = Some(Lease {
            to: route.from,
            until: before.map_or(until, |l| l.until.max(until)),
            asked_at,
            told,
        });
        Ok(Ack {
            seq: progress.log.last(),
            sent_at: asked_at,
            number: message.number,
            full: None,
        })
    }

    /// Takes one chunk of a primary's snapshot; answers once it is added (rule 19).
    ///
    /// # Errors
    /// As [`on_replicate`](Self::on_replicate), and [`Refusal::NotAllowed`] when the chunk is of another snapshot.
    pub fn on_chunk(&mut self, route: Route, chunk: &Chunk, now: Time) -> Result<(), Refusal> {
        self.check_primary(route, chunk.index)?;
        self.listening.hear(route.from, now);
        self.begin_join(chunk.index, Some(chunk.join))?;
        let join = self.progress[chunk.index.index()]
            .join
            .as_mut()
            .ok_or(Refusal::NotAllowed)?;
        let added = join
            .added
            .get_mut(chunk.number as usize)
            .ok_or(Refusal::Malformed)?;
        if *added && !planted(Fault::ChunkTwice) {
            return Ok(());
        }
        for (id, page) in &chunk.pages.pages {
            id.check(page.len()).map_err(|_| Refusal::Malformed)?;
        }
        for (id, page) in &chunk.pages.pages {
            self.store
                .add_page(chunk.index, *id, page)
                .map_err(|_| Refusal::Malformed)?;
        }
        join.count += u32::from(!*added);
        *added = true;
        join.bytes += chunk
            .pages
            .pages
            .iter()
            .map(|(_, p)| p.len() as u64)
            .sum::<u64>();
        Ok(())
    }

    fn check_primary(&self, route: Route, index: PrimaryIndex) -> Result<(), Refusal> {
        check_route(&self.config, self.id, route)?;
        let seat = self.config.primary(index).ok_or(Refusal::NotAllowed)?;
        let named = seat.id == route.from && seat.state == PrimaryState::Active;
        if (named || unsealed()) && !self.failed {
            Ok(())
        } else {
            Err(Refusal::NotAllowed)
        }
    }

    /// The first message of a primary fixes the snapshot that the learner starts from (rule 19).
    fn begin_join(
        &mut self,
        index: PrimaryIndex,
        join: Option<JoinSnapshot>,
    ) -> Result<(), Refusal> {
        let progress = &mut self.progress[index.index()];
        match (self.learning, &progress.join, join) {
            (false, _, None) => Ok(()),
            (true, Some(have), Some(about)) if have.about == about => Ok(()),
            (true, Some(_), Some(_)) if planted(Fault::LearnerKept) => Ok(()),
            (true, None, Some(about)) => {
                if about.chunks > JoinSnapshot::MAX_CHUNKS {
                    return Err(Refusal::Malformed);
                }
                progress.log = ChangeLog::after(about.seq);
                progress.join = Some(Learned {
                    about,
                    added: vec![false; about.chunks as usize],
                    count: 0,
                    bytes: 0,
                });
                Ok(())
            }
            _ => Err(Refusal::NotAllowed),
        }
    }

    /// Serves a replacement of a lost primary (rules 28, 29, 31).
    ///
    /// # Errors
    /// [`Refusal`] when the epochs differ, the sender is no replacement, this member does not count for recovery,
    /// or does not stand where the sender needs it to.
    pub fn on_recovery(
        &mut self,
        route: Route,
        request: &RecoveryRequest,
        now: Time,
    ) -> Result<RecoveryReply, Refusal> {
        check_route(&self.config, self.id, route)?;
        let asks = |j: &PrimaryIndex| match self.config.primary(*j) {
            Some(seat) if seat.state == PrimaryState::Lost => true,
            // Who takes over is to know what there is, and an heir whether it will be answered (rule 36).
            Some(seat) if seat.id == route.from => {
                let changes = matches!(request, RecoveryRequest::Log { index, .. } if index == j);
                seat.moved_from.is_some() && (changes || *request == RecoveryRequest::Vector)
            }
            _ => *request == RecoveryRequest::Vector,
        };
        let replaced = self.config.index_of(route.from);
        let replaced = replaced.or_else(|| self.config.inherits(route.from));
        let replaced = replaced.filter(asks);
        let replaced = replaced.filter(|_| !self.learning && !self.failed);
        let replaced = replaced.ok_or(Refusal::NotAllowed)?;
        if let Some(snapshot) = self.snapshots.get_mut(&route.from) {
            snapshot.used_at = snapshot.used_at.max(now);
        }
        match request {
            RecoveryRequest::Vector => Ok(RecoveryReply::Vector {
                vector: self.vector(),
                lease_left: self.lease_left(replaced, now),
            }),
            RecoveryRequest::Log { index, after, upto } => {
                let progress = match *index == replaced {
                    true => &self.progress[index.index()],
                    false => self.lost_progress(*index)?,
                };
                let log = &progress.log;
                let changes = log
                    .run(*after, *upto, TRANSFER_BYTES)
                    .ok_or(Refusal::NotThere)?;
                Ok(RecoveryReply::Log { changes })
            }
            RecoveryRequest::RollForward { index, changes } => self.roll_forward(*index, changes),
            RecoveryRequest::FusedSnapshot { recovery, wanted } => {
                self.freeze(route.from, *recovery, wanted, now)
            }
            RecoveryRequest::SnapshotPages {
                recovery,
                from,
                count,
            } => {
                let snapshot = self
                    .snapshots
                    .get(&route.from)
                    .filter(|s| s.recovery == *recovery);
                let snapshot = snapshot.ok_or(Refusal::NotThere)?;
                Ok(RecoveryReply::SnapshotPages {
                    pages: snapshot.pages.read(*from, *count, TRANSFER_BYTES),
                })
            }
            RecoveryRequest::Release { recovery } => {
                if self
                    .snapshots
                    .get(&route.from)
                    .is_some_and(|s| s.recovery == *recovery)
                {
                    self.snapshots.remove(&route.from);
                }
                Ok(RecoveryReply::Released)
            }
            RecoveryRequest::Pin { .. }
            | RecoveryRequest::PrimarySnapshot { .. }
            | RecoveryRequest::SnapshotChanges { .. }
            | RecoveryRequest::Yield { .. } => Err(Refusal::NotAllowed),
        }
    }

    /// How long a lease for structure `index` still runs on this member's clock. No new one is given for a lost
    /// primary in this epoch, so that zero stays zero (rule 33).
    #[must_use]
    pub fn lease_left(&self, index: PrimaryIndex, now: Time) -> Duration {
        let lease = self.progress.get(index.index()).and_then(|p| p.lease);
        let lease = lease.filter(|_| !planted(Fault::LeaseOverAtOnce));
        lease.map_or(Duration::ZERO, |l| l.until.since(now))
    }

    /// The lost primaries of which no lease runs any more, for its next report (rule 37).
    #[must_use]
    pub fn leases_over(&self, now: Time) -> Vec<PrimaryIndex> {
        let lost = self.config.lost();
        lost.filter(|&j| !self.failed && self.lease_left(j, now).is_zero())
            .collect()
    }

    fn lost_progress(&mut self, index: PrimaryIndex) -> Result<&mut Progress, Refusal> {
        let seat = self.config.primary(index).ok_or(Refusal::NotAllowed)?;
        if seat.state == PrimaryState::Lost {
            Ok(&mut self.progress[index.index()])
        } else {
            Err(Refusal::NotAllowed)
        }
    }

    fn roll_forward(
        &mut self,
        index: PrimaryIndex,
        changes: &ChangeRun,
    ) -> Result<RecoveryReply, Refusal> {
        self.lost_progress(index)?;
        let progress = &mut self.progress[index.index()];
        apply_run(&mut self.store, progress, index, changes)?;
        Ok(RecoveryReply::RolledForward {
            seq: progress.log.last(),
        })
    }

    fn freeze(
        &mut self,
        from: MemberId,
        recovery: RecoveryId,
        wanted: &[(PrimaryIndex, Seq)],
        now: Time,
    ) -> Result<RecoveryReply, Refusal> {
        let vector = self.vector();
        let lost: Vec<_> = self.config.lost().collect();
        let at = |j: &PrimaryIndex| {
            wanted
                .iter()
                .any(|(w, s)| w == j && vector[j.index()] == *s)
        };
        if wanted.len() != lost.len() || !lost.iter().all(at) {
            return Err(Refusal::NotThere);
        }
        match self.snapshots.get(&from) {
            // Said again, or late: what was frozen since must stay.
            Some(snapshot) if snapshot.recovery == recovery && !planted(Fault::ChoiceNotFrozen) => {
            }
            Some(snapshot) if snapshot.recovery > recovery => return Err(Refusal::NotThere),
            // Replacements of lower ids come first: were each to wait for another one at some member, none would get on.
            _ if self.kept_bytes(Some(from))
                > self.bounds.frozen_bytes.max(self.store.pages().bytes()) =>
            {
                return Err(Refusal::Busy);
            }
            _ => {
                let pages = FrozenPages::new(self.store.snapshot());
                let snapshot = Snapshot {
                    recovery,
                    vector,
                    pages,
                    used_at: now,
                };
                self.snapshots.insert(from, snapshot);
            }
        }
        let snapshot = &self.snapshots[&from];
        Ok(RecoveryReply::FusedSnapshot {
            row: self.row,
            vector: snapshot.vector.clone(),
            pages: snapshot.pages.len(),
        })
    }
}

#[cfg(test)]
mod tests;
