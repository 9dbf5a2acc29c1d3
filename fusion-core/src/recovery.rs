//! Recovery of one lost primary by its replacement, within one epoch (PROTOCOL rules 28 to 35).
//!
//! A state machine: [`requests`](Recovery::requests) are what to ask of whom, each answer goes into
//! [`on_reply`](Recovery::on_reply), and in the end the pages of the lost primary come out, exactly as they were
//! after the last change that any fused member in sync has. Survivors go on serving all the while: what they did
//! after a fused snapshot is undone by their change logs.

mod image;
mod transfer;

pub use image::Image;

use crate::code::Code;
use crate::config::{Configuration, PrimaryState};
use crate::decoder::Decoder;
use crate::entry::Descriptor;
use crate::fault::{Fault, planted};
use crate::id::{MemberId, PrimaryIndex, RecoveryId, Row, Seq};
use crate::listening::Listening;
use crate::message::{RecoveryReply, RecoveryRequest};
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use transfer::{FrozenCodes, Transfer};

/// A fused member is not asked more often whether a lease is over.
const LEASE_POLL: Duration = Duration::from_millis(5);

/// Why an attempt cannot go on. The replacement starts a new one; what was acknowledged stays safe.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// Fewer fused members are in sync than primaries are lost.
    #[error("{lost} primaries are lost but only {in_sync} fused structures are in sync")]
    NotEnough {
        /// The lost primaries.
        lost: usize,
        /// The fused members in sync.
        in_sync: usize,
    },
    /// A member answered what does not fit the question.
    #[error("member {from} gave an answer that does not fit the question")]
    BadAnswer {
        /// The member.
        from: MemberId,
    },
    /// The codes cannot be solved, which a Reed-Solomon matrix excludes.
    #[error("the codes cannot be decoded: {0}")]
    Undecodable(String),
}

/// What came of it.
#[derive(Debug)]
pub enum Recovered {
    /// The pages of the lost primary, exactly after change `seq`.
    Image {
        /// The last change that they include.
        seq: Seq,
        /// All sources added up; to be finished where it may take its time.
        decoder: Box<Decoder>,
    },
    /// The image that was made in an earlier epoch is still the right one (rule 35).
    Kept,
}

/// One attempt.
#[derive(Debug)]
pub struct Recovery {
    config: Arc<Configuration>,
    id: MemberId,
    target: PrimaryIndex,
    recovery: RecoveryId,
    code: Code,
    kept: Option<Seq>,
    lost: Vec<PrimaryIndex>,
    vectors: BTreeMap<MemberId, Vec<Seq>>,
    targets: Vec<(PrimaryIndex, Seq)>,
    /// Fused members whose lease of the lost primary is not known to be over, and when to ask them again (rule 33).
    leases: BTreeMap<MemberId, Time>,
    phase: Phase,
    /// All pages and their bytes, once they were taken.
    taken: (u64, u64),
    outbox: Vec<(MemberId, RecoveryRequest)>,
    /// How many questions to each member are not answered yet.
    open: BTreeMap<MemberId, usize>,
    listening: Listening,
}

#[derive(Debug)]
enum Phase {
    /// Rule 28.
    Vectors,
    /// Rule 29: so many members and primaries still lag.
    RollForward {
        lagging: BTreeSet<(MemberId, PrimaryIndex)>,
    },
    /// Rule 30.
    Pins {
        waiting: BTreeSet<MemberId>,
    },
    /// Rule 31.
    Freeze {
        waiting: BTreeMap<MemberId, Row>,
        frozen: BTreeMap<MemberId, FrozenCodes>,
    },
    /// Rule 32.
    Transfer(Box<Transfer>),
    Done(Option<Recovered>),
}

impl Recovery {
    /// Begins an attempt of replacement `id`; `kept` is where an image made in an earlier epoch stands.
    ///
    /// # Errors
    /// [`RecoveryError::NotEnough`] when the configuration has fewer codes than lost primaries.
    ///
    /// # Panics
    /// When `config` does not name `id` as a replacement (a bug of the caller).
    pub fn new(
        config: Arc<Configuration>,
        id: MemberId,
        code: Code,
        recovery: RecoveryId,
        kept: Option<Seq>,
    ) -> Result<Recovery, RecoveryError> {
        let target = config
            .index_of(id)
            .expect("the configuration names the replacement");
        assert_eq!(
            config.primary(target).map(|s| s.state),
            Some(PrimaryState::Lost)
        );
        let lost: Vec<_> = config.lost().collect();
        let in_sync: Vec<_> = config.in_sync().map(|s| s.id).collect();
        if in_sync.len() < lost.len() {
            return Err(RecoveryError::NotEnough {
                lost: lost.len(),
                in_sync: in_sync.len(),
            });
        }
        let leases = in_sync.iter().map(|&m| (m, Time::NEVER)).collect();
        let outbox = in_sync
            .iter()
            .map(|&m| (m, RecoveryRequest::Vector))
            .collect();
        Ok(Recovery {
            config,
            id,
            target,
            recovery,
            code,
            kept,
            lost,
            vectors: BTreeMap::new(),
            targets: Vec::new(),
            leases,
            phase: Phase::Vectors,
            taken: (0, 0),
            outbox,
            open: BTreeMap::new(),
            listening: Listening::default(),
        })
    }

    /// The replacement.
    #[must_use]
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// The attempt.
    #[must_use]
    pub fn recovery(&self) -> RecoveryId {
        self.recovery
    }

    /// The epoch's configuration.
    #[must_use]
    pub fn config(&self) -> &Arc<Configuration> {
        &self.config
    }

    /// Which structure is recovered.
    #[must_use]
    pub fn expected(&self) -> Descriptor {
        Descriptor {
            kind: self.config.kind,
            cluster: self.config.cluster,
            index: self.target,
        }
    }

    /// Pages taken, and pages known to be needed.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        match &self.phase {
            Phase::Transfer(transfer) => transfer.progress(),
            Phase::Done(_) => (self.taken.0, self.taken.0),
            _ => (0, 0),
        }
    }

    /// The bytes of the pages taken.
    #[must_use]
    pub fn taken_bytes(&self) -> u64 {
        match &self.phase {
            Phase::Transfer(transfer) => transfer.taken_bytes(),
            _ => self.taken.1,
        }
    }

    /// Takes what is to be asked of whom now.
    pub fn requests(&mut self, now: Time) -> Vec<(MemberId, RecoveryRequest)> {
        for (&m, at) in self.leases.iter_mut().filter(|(_, at)| **at <= now) {
            *at = Time::NEVER;
            self.outbox.push((m, RecoveryRequest::Vector));
        }
        for &(to, _) in &self.outbox {
            *self.open.entry(to).or_default() += 1;
            self.listening.also_to(to);
        }
        std::mem::take(&mut self.outbox)
    }

    /// The members that owe it an answer.
    pub fn owing(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.open.keys().copied()
    }

    /// Looks at the clock and counts silence (rule 56). To be called by a timer of the process's own, T_h / 4 to T_h
    /// apart; returns whether there is something new to complain about.
    pub fn tick(&mut self, now: Time) -> bool {
        let timing = self.config.timing;
        self.listening.look(now, &timing)
    }

    /// Some of what `from` owes has moved since the last look, though it has not come whole: that is a sign of life (rule
    /// 57).
    pub fn on_progress(&mut self, from: MemberId, now: Time) {
        self.listening.progress(from, now);
    }

    /// The members that owe it an answer and had not given any for T_c at the last [`tick`](Self::tick), for its next
    /// report: as long as one of them cannot be reached, this recovery does not end (rule 22).
    #[must_use]
    pub fn complaints(&self) -> Vec<MemberId> {
        self.listening.complaints(&self.config.timing)
    }

    fn hear(&mut self, from: MemberId, now: Time) {
        self.listening.hear(from, now);
        if let Some(open) = self.open.get_mut(&from) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.open.remove(&from);
                self.listening.no_more_to(from);
            }
        }
    }

    /// When to look for requests again though no answer came; [`Time::NEVER`] when only answers are waited for.
    #[must_use]
    pub fn wake_at(&self) -> Time {
        self.leases.values().copied().min().unwrap_or(Time::NEVER)
    }

    /// Whether every fused member in sync has said that no lease of the lost primary runs any more: only then may the
    /// replacement say that it is ready (rule 33). The wait runs beside everything else.
    #[must_use]
    pub fn leases_are_over(&self) -> bool {
        self.leases.is_empty() || planted(Fault::ReadyBeforeLeaseOver)
    }

    /// Takes the result, once there is one.
    pub fn take_result(&mut self) -> Option<Recovered> {
        match &mut self.phase {
            Phase::Done(result) => result.take(),
            _ => None,
        }
    }

    /// Takes the answer to a request.
    ///
    /// # Errors
    /// [`RecoveryError`] when this attempt cannot go on.
    pub fn on_reply(
        &mut self,
        from: MemberId,
        request: &RecoveryRequest,
        reply: RecoveryReply,
        now: Time,
    ) -> Result<(), RecoveryError> {
        let bad = Err(RecoveryError::BadAnswer { from });
        self.hear(from, now);
        match (request, reply) {
            (RecoveryRequest::Vector, RecoveryReply::Vector { vector, lease_left }) => {
                if lease_left.is_zero() {
                    self.leases.remove(&from);
                } else if let Some(ask_at) = self.leases.get_mut(&from) {
                    // Its clock may be slower than this one: then it is asked once more.
                    *ask_at = now.after(lease_left.max(LEASE_POLL));
                }
                self.on_vector(from, vector)
            }
            (RecoveryRequest::Log { index, after, .. }, RecoveryReply::Log { changes }) => {
                if changes.first != after.next() || changes.count == 0 {
                    return bad;
                }
                // The one that lags was asked for at exactly `after`; every such one takes what it misses.
                let Phase::RollForward { lagging } = &self.phase else {
                    return Ok(());
                };
                for &(m, j) in lagging {
                    if j == *index && self.vectors[&m][j.index()] == *after {
                        self.outbox.push((
                            m,
                            RecoveryRequest::RollForward {
                                index: j,
                                changes: changes.clone(),
                            },
                        ));
                    }
                }
                Ok(())
            }
            (RecoveryRequest::RollForward { index, .. }, RecoveryReply::RolledForward { seq }) => {
                self.on_rolled_forward(from, *index, seq)
            }
            (RecoveryRequest::Pin { .. }, RecoveryReply::Pinned) => {
                if let Phase::Pins { waiting } = &mut self.phase {
                    waiting.remove(&from);
                }
                self.freeze_if_pinned();
                Ok(())
            }
            (
                RecoveryRequest::FusedSnapshot { .. },
                RecoveryReply::FusedSnapshot { row, vector, pages },
            ) => self.on_fused_snapshot(from, FrozenCodes { row, vector, pages }),
            (
                RecoveryRequest::PrimarySnapshot { after, .. },
                RecoveryReply::PrimarySnapshot { seq, pages },
            ) => match self.config.index_of(from) {
                Some(k) => self.transfer(|t| t.on_survivor(from, k, (*after, seq), pages)),
                None => bad,
            },
            (
                RecoveryRequest::SnapshotPages {
                    from: first, count, ..
                },
                RecoveryReply::SnapshotPages { pages },
            ) => self.transfer(|t| t.on_pages(from, (*first, *count), &pages)),
            (
                RecoveryRequest::SnapshotChanges { .. },
                RecoveryReply::SnapshotChanges { changes },
            ) => self.transfer(|t| t.on_changes(from, &changes)),
            (RecoveryRequest::Release { .. }, _) => Ok(()),
            _ => bad,
        }
    }

    fn on_vector(&mut self, from: MemberId, vector: Vec<Seq>) -> Result<(), RecoveryError> {
        if vector.len() != self.config.n() {
            return Err(RecoveryError::BadAnswer { from });
        }
        if !matches!(self.phase, Phase::Vectors) {
            return Ok(());
        }
        self.vectors.insert(from, vector);
        let needed = if planted(Fault::EnoughVectors) {
            self.lost.len()
        } else {
            self.config.in_sync().count()
        };
        if self.vectors.len() < needed {
            return Ok(());
        }
        let greatest = |j: PrimaryIndex| {
            let stand = self.vectors.values().map(|v| v[j.index()]);
            let target = if planted(Fault::RollToLeast) {
                stand.min()
            } else {
                stand.max()
            };
            target.unwrap_or_default()
        };
        self.targets = self.lost.iter().map(|&j| (j, greatest(j))).collect();
        let mut lagging = BTreeSet::new();
        for (&m, vector) in &self.vectors {
            for &(j, target) in self
                .targets
                .iter()
                .filter(|(j, target)| vector[j.index()] < *target)
            {
                lagging.insert((m, j));
                let after = vector[j.index()];
                let request = RecoveryRequest::Log {
                    index: j,
                    after,
                    upto: target,
                };
                let ask = (self.holder(j, target), request);
                if !self.outbox.contains(&ask) {
                    self.outbox.push(ask);
                }
            }
        }
        if planted(Fault::NoRollForward) {
            lagging.clear();
            self.outbox.clear();
        }
        self.phase = Phase::RollForward { lagging };
        self.pin_if_level();
        Ok(())
    }

    fn holder(&self, j: PrimaryIndex, target: Seq) -> MemberId {
        let holder = self.vectors.iter().find(|(_, v)| v[j.index()] == target);
        *holder
            .expect("the target is the greatest that was answered")
            .0
    }

    fn on_rolled_forward(
        &mut self,
        from: MemberId,
        j: PrimaryIndex,
        seq: Seq,
    ) -> Result<(), RecoveryError> {
        let Some(&(_, target)) = self.targets.iter().find(|(lost, _)| *lost == j) else {
            return Ok(());
        };
        let Phase::RollForward { lagging } = &mut self.phase else {
            return Ok(());
        };
        let have = self
            .vectors
            .get_mut(&from)
            .and_then(|v| v.get_mut(j.index()));
        let have = have.ok_or(RecoveryError::BadAnswer { from })?;
        if seq < *have {
            return Err(RecoveryError::BadAnswer { from });
        }
        if seq == *have && seq < target {
            // The same run was sent to it twice; the answer to the other one goes on.
            return Ok(());
        }
        *have = seq;
        if seq >= target {
            lagging.remove(&(from, j));
        } else {
            let request = RecoveryRequest::Log {
                index: j,
                after: seq,
                upto: target,
            };
            let holder = self.holder(j, target);
            self.outbox.push((holder, request));
        }
        self.pin_if_level();
        Ok(())
    }

    fn survivors(&self) -> BTreeMap<MemberId, PrimaryIndex> {
        self.config.active().map(|(k, s)| (s.id, k)).collect()
    }

    fn pin_if_level(&mut self) {
        let Phase::RollForward { lagging } = &self.phase else {
            return;
        };
        if !lagging.is_empty() {
            return;
        }
        if self.kept.is_some() && (self.kept == self.target_seq()) {
            self.phase = Phase::Done(Some(Recovered::Kept));
            return;
        }
        let waiting: BTreeSet<_> = self.survivors().into_keys().collect();
        self.outbox.extend(waiting.iter().map(|&m| {
            (
                m,
                RecoveryRequest::Pin {
                    recovery: self.recovery,
                },
            )
        }));
        self.phase = Phase::Pins { waiting };
        self.freeze_if_pinned();
    }

    fn freeze_if_pinned(&mut self) {
        let Phase::Pins { waiting } = &self.phase else {
            return;
        };
        if !waiting.is_empty() {
            return;
        }
        // The choice is frozen here: another fused snapshot would be another equation.
        let chosen: BTreeMap<_, _> = self
            .config
            .in_sync()
            .take(self.lost.len())
            .map(|s| (s.id, s.row))
            .collect();
        for &m in chosen.keys() {
            let wanted = self.targets.clone();
            self.outbox.push((
                m,
                RecoveryRequest::FusedSnapshot {
                    recovery: self.recovery,
                    wanted,
                },
            ));
        }
        self.phase = Phase::Freeze {
            waiting: chosen,
            frozen: BTreeMap::new(),
        };
    }

    fn on_fused_snapshot(
        &mut self,
        from: MemberId,
        source: FrozenCodes,
    ) -> Result<(), RecoveryError> {
        let Phase::Freeze { waiting, frozen } = &mut self.phase else {
            return Ok(());
        };
        let Some(row) = waiting.remove(&from) else {
            return Ok(());
        };
        let level = |&(j, s): &(PrimaryIndex, Seq)| source.vector.get(j.index()) == Some(&s);
        if source.row != row
            || source.vector.len() != self.config.n()
            || !self.targets.iter().all(level)
        {
            return Err(RecoveryError::BadAnswer { from });
        }
        frozen.insert(from, source);
        if waiting.is_empty() {
            let frozen = std::mem::take(frozen);
            self.begin_transfer(frozen)?;
        }
        Ok(())
    }

    fn begin_transfer(
        &mut self,
        frozen: BTreeMap<MemberId, FrozenCodes>,
    ) -> Result<(), RecoveryError> {
        let rows: Vec<Row> = frozen.values().map(|s| s.row).collect();
        let decoder = Decoder::new(&self.code, &self.lost, &rows, self.target)
            .map_err(|e| RecoveryError::Undecodable(e.to_string()))?;
        let survivors = self.survivors();
        let members = survivors.keys().copied().collect();
        let transfer = Transfer::new(self.recovery, decoder, frozen, members);
        for (&m, &k) in &survivors {
            let after = transfer.least(k);
            let recovery = self.recovery;
            let request = RecoveryRequest::PrimarySnapshot { recovery, after };
            self.outbox.push((m, request));
        }
        self.phase = Phase::Transfer(Box::new(transfer));
        self.pump();
        Ok(())
    }

    /// Lets the transfer take something, then asks for more, and ends it when all is there.
    fn transfer(
        &mut self,
        act: impl FnOnce(&mut Transfer) -> Result<(), RecoveryError>,
    ) -> Result<(), RecoveryError> {
        if let Phase::Transfer(transfer) = &mut self.phase {
            act(transfer)?;
            self.pump();
        }
        Ok(())
    }

    fn pump(&mut self) {
        let Phase::Transfer(transfer) = &mut self.phase else {
            return;
        };
        self.outbox.extend(transfer.requests());
        if !transfer.is_done() {
            return;
        }
        let recovery = self.recovery;
        let release = |m| (m, RecoveryRequest::Release { recovery });
        self.outbox.extend(transfer.members().map(release));
        if let Phase::Transfer(transfer) = std::mem::replace(&mut self.phase, Phase::Done(None)) {
            self.taken = (transfer.progress().0, transfer.taken_bytes());
            let seq = self.target_seq().unwrap_or_default();
            let decoder = Box::new(transfer.into_decoder());
            self.phase = Phase::Done(Some(Recovered::Image { seq, decoder }));
        }
    }

    /// Where the lost primary is recovered to.
    fn target_seq(&self) -> Option<Seq> {
        let target = self.targets.iter().find(|(j, _)| *j == self.target);
        target.map(|(_, seq)| *seq)
    }
}

#[cfg(test)]
mod tests;
