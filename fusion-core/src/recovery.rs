//! Recovery of one lost primary by its replacement, within one epoch (PROTOCOL rules 28 to 35).
//!
//! A state machine: [`requests`](Recovery::requests) are what to ask of whom, each answer goes into
//! [`on_reply`](Recovery::on_reply), and in the end the pages of the lost primary come out, exactly as they were
//! after the last change that any fused member in sync has. Survivors go on serving all the while: what they did
//! after a fused snapshot is undone by their change logs.

use crate::code::Code;
use crate::config::{Configuration, PrimaryState};
use crate::decoder::Decoder;
use crate::id::{MemberId, PrimaryIndex, RecoveryId, Row, Seq};
use crate::message::{Pages, RecoveryReply, RecoveryRequest};
use crate::page::PageTable;
use crate::structure::{RebuildError, Structure};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use thiserror::Error;

/// How many pages are asked for at once.
const PAGES_PER_REQUEST: u32 = 16;
/// How many such requests are under way to one source.
const REQUESTS_PER_SOURCE: usize = 3;

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

/// A lost primary as it was, ready to serve again.
#[derive(Debug)]
pub struct Image {
    seq: Seq,
    /// `None`: nothing of it, not even its descriptor, had come to any fused member.
    structure: Option<Structure>,
}

impl Image {
    /// Builds the structure and its indexes from the recovered pages. Takes time linear in the number of elements.
    ///
    /// # Errors
    /// [`RebuildError`] when the pages are not those of a structure, which a correct recovery excludes.
    pub fn rebuild(seq: Seq, pages: PageTable) -> Result<Image, RebuildError> {
        let structure = if seq == Seq(0) {
            None
        } else {
            Some(Structure::rebuild(pages)?)
        };
        Ok(Image { seq, structure })
    }

    /// The last change that it includes.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The structure; `None` when the primary died before anything of it was safe, and so is to be started empty.
    #[must_use]
    pub fn into_structure(self) -> Option<Structure> {
        self.structure
    }
}

/// What came of it.
#[derive(Debug)]
pub enum Recovered {
    /// The pages of the lost primary, exactly after change `seq`.
    Image {
        /// The last change that they include.
        seq: Seq,
        /// The pages.
        pages: PageTable,
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
    phase: Phase,
    outbox: Vec<(MemberId, RecoveryRequest)>,
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
        frozen: BTreeMap<MemberId, FrozenSource>,
    },
    /// Rule 32.
    Transfer(Box<Transfer>),
    Done(Option<Recovered>),
}

#[derive(Debug)]
struct FrozenSource {
    row: Row,
    vector: Vec<Seq>,
    pages: u64,
}

#[derive(Debug)]
struct Transfer {
    decoder: Decoder,
    fused: Vec<FrozenSource>,
    /// Survivors that have not said yet what they froze.
    unfrozen: BTreeSet<MemberId>,
    sources: BTreeMap<MemberId, Source>,
    done_pages: u64,
    total_pages: u64,
}

#[derive(Debug)]
struct Source {
    of: Contribution,
    /// Ranges of page numbers that are still to be asked for.
    wanted: VecDeque<(u64, u32)>,
    in_flight: usize,
    /// The changes that are still to be undone: (had, upto].
    changes: Option<(Seq, Seq)>,
}

#[derive(Clone, Copy, Debug)]
enum Contribution {
    Fused(Row),
    Survivor(PrimaryIndex),
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
            phase: Phase::Vectors,
            outbox,
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

    /// Pages taken, and pages known to be needed.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        match &self.phase {
            Phase::Transfer(t) => (t.done_pages, t.total_pages),
            Phase::Done(_) => (1, 1),
            _ => (0, 0),
        }
    }

    /// Takes what is to be asked of whom now.
    pub fn requests(&mut self) -> Vec<(MemberId, RecoveryRequest)> {
        std::mem::take(&mut self.outbox)
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
    ) -> Result<(), RecoveryError> {
        let bad = Err(RecoveryError::BadAnswer { from });
        match (request, reply) {
            (RecoveryRequest::Vector, RecoveryReply::Vector { vector }) => {
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
            ) => self.on_fused_snapshot(from, FrozenSource { row, vector, pages }),
            (
                RecoveryRequest::PrimarySnapshot { after, .. },
                RecoveryReply::PrimarySnapshot { seq, pages },
            ) => self.on_primary_snapshot(from, *after, seq, pages),
            (
                RecoveryRequest::SnapshotPages {
                    from: first, count, ..
                },
                RecoveryReply::SnapshotPages { pages },
            ) => self.on_pages(from, *first, *count, &pages),
            (
                RecoveryRequest::SnapshotChanges { after, .. },
                RecoveryReply::SnapshotChanges { changes },
            ) => {
                if changes.first != after.next() || changes.count == 0 {
                    return bad;
                }
                let changes = changes
                    .unpack()
                    .map_err(|_| RecoveryError::BadAnswer { from })?;
                self.on_changes(from, &changes)
            }
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
        if self.vectors.len() < self.config.in_sync().count() {
            return Ok(());
        }
        let greatest = |j: PrimaryIndex| {
            self.vectors
                .values()
                .map(|v| v[j.index()])
                .max()
                .unwrap_or_default()
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
        let target = self
            .targets
            .iter()
            .find(|(j, _)| *j == self.target)
            .map(|(_, s)| *s);
        if self.kept.is_some() && self.kept == target {
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
        source: FrozenSource,
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
        frozen: BTreeMap<MemberId, FrozenSource>,
    ) -> Result<(), RecoveryError> {
        let rows: Vec<Row> = frozen.values().map(|s| s.row).collect();
        let decoder = Decoder::new(&self.code, &self.lost, &rows, self.target)
            .map_err(|e| RecoveryError::Undecodable(e.to_string()))?;
        let survivors = self.survivors();
        for (&m, k) in &survivors {
            let after = frozen
                .values()
                .map(|s| s.vector[k.index()])
                .min()
                .unwrap_or_default();
            self.outbox.push((
                m,
                RecoveryRequest::PrimarySnapshot {
                    recovery: self.recovery,
                    after,
                },
            ));
        }
        let sources: BTreeMap<_, _> = frozen
            .iter()
            .map(|(&m, s)| (m, Source::new(Contribution::Fused(s.row), s.pages, None)))
            .collect();
        let total_pages = frozen.values().map(|s| s.pages).sum();
        self.phase = Phase::Transfer(Box::new(Transfer {
            decoder,
            fused: frozen.into_values().collect(),
            unfrozen: survivors.into_keys().collect(),
            sources,
            done_pages: 0,
            total_pages,
        }));
        self.pump();
        Ok(())
    }

    fn on_primary_snapshot(
        &mut self,
        from: MemberId,
        after: Seq,
        seq: Seq,
        pages: u64,
    ) -> Result<(), RecoveryError> {
        let Some(&k) = self.survivors().get(&from) else {
            return Err(RecoveryError::BadAnswer { from });
        };
        let Phase::Transfer(transfer) = &mut self.phase else {
            return Ok(());
        };
        if transfer.fused.iter().any(|s| s.vector[k.index()] > seq) {
            return Err(RecoveryError::BadAnswer { from });
        }
        if transfer.unfrozen.remove(&from) {
            let changes = (after < seq).then_some((after, seq));
            transfer
                .sources
                .insert(from, Source::new(Contribution::Survivor(k), pages, changes));
            transfer.total_pages += pages;
            if changes.is_some() {
                self.outbox.push((
                    from,
                    RecoveryRequest::SnapshotChanges {
                        recovery: self.recovery,
                        after,
                    },
                ));
            }
        }
        self.pump();
        Ok(())
    }

    fn on_pages(
        &mut self,
        from: MemberId,
        first: u64,
        count: u32,
        pages: &Pages,
    ) -> Result<(), RecoveryError> {
        let bad = RecoveryError::BadAnswer { from };
        let Phase::Transfer(transfer) = &mut self.phase else {
            return Ok(());
        };
        let Some(source) = transfer.sources.get_mut(&from) else {
            return Err(bad);
        };
        let got = pages.pages.len() as u64;
        if got == 0 || got > u64::from(count) {
            return Err(bad);
        }
        source.in_flight -= 1;
        if got < u64::from(count) {
            source.wanted.push_front((first + got, count - got as u32));
        }
        for (id, page) in &pages.pages {
            let added = match source.of {
                Contribution::Fused(row) => transfer.decoder.add_fused_page(row, *id, page),
                Contribution::Survivor(k) => transfer.decoder.add_primary_page(k, *id, page),
            };
            added.map_err(|_| bad.clone())?;
        }
        transfer.done_pages += got;
        self.pump();
        Ok(())
    }

    /// What the survivor did after a fused snapshot is taken back, for each fused member apart (rule 32).
    fn on_changes(
        &mut self,
        from: MemberId,
        changes: &[(Seq, bytes::Bytes)],
    ) -> Result<(), RecoveryError> {
        let bad = RecoveryError::BadAnswer { from };
        let Phase::Transfer(transfer) = &mut self.phase else {
            return Ok(());
        };
        let Some(source) = transfer.sources.get_mut(&from) else {
            return Err(bad);
        };
        let (Contribution::Survivor(k), Some((had, upto))) = (source.of, source.changes) else {
            return Err(bad);
        };
        for (seq, change) in changes {
            if *seq > upto {
                return Err(bad);
            }
            for fused in transfer.fused.iter().filter(|s| s.vector[k.index()] < *seq) {
                transfer
                    .decoder
                    .undo_change(k, fused.row, change)
                    .map_err(|_| bad.clone())?;
            }
        }
        let had = changes.last().map_or(had, |(seq, _)| *seq);
        source.changes = (had < upto).then_some((had, upto));
        if source.changes.is_some() {
            self.outbox.push((
                from,
                RecoveryRequest::SnapshotChanges {
                    recovery: self.recovery,
                    after: had,
                },
            ));
        }
        self.pump();
        Ok(())
    }

    /// Keeps every source busy, and ends the transfer when all is there.
    fn pump(&mut self) {
        let Phase::Transfer(transfer) = &mut self.phase else {
            return;
        };
        for (&m, source) in &mut transfer.sources {
            while source.in_flight < REQUESTS_PER_SOURCE
                && let Some((from, count)) = source.wanted.pop_front()
            {
                source.in_flight += 1;
                self.outbox.push((
                    m,
                    RecoveryRequest::SnapshotPages {
                        recovery: self.recovery,
                        from,
                        count,
                    },
                ));
            }
        }
        if !transfer.unfrozen.is_empty() || !transfer.sources.values().all(Source::is_done) {
            return;
        }
        let everybody: Vec<_> = transfer.sources.keys().copied().collect();
        let phase = std::mem::replace(&mut self.phase, Phase::Done(None));
        let Phase::Transfer(transfer) = phase else {
            return;
        };
        let seq = self
            .targets
            .iter()
            .find(|(j, _)| *j == self.target)
            .map(|(_, s)| *s)
            .unwrap_or_default();
        self.phase = Phase::Done(Some(Recovered::Image {
            seq,
            pages: transfer.decoder.finish(),
        }));
        let release = RecoveryRequest::Release {
            recovery: self.recovery,
        };
        self.outbox
            .extend(everybody.into_iter().map(|m| (m, release.clone())));
    }
}

impl Source {
    fn new(of: Contribution, pages: u64, changes: Option<(Seq, Seq)>) -> Source {
        let step = u64::from(PAGES_PER_REQUEST);
        let wanted = (0..pages).step_by(PAGES_PER_REQUEST as usize);
        let wanted = wanted
            .map(|from| (from, step.min(pages - from) as u32))
            .collect();
        Source {
            of,
            wanted,
            in_flight: 0,
            changes,
        }
    }

    fn is_done(&self) -> bool {
        self.wanted.is_empty() && self.in_flight == 0 && self.changes.is_none()
    }
}
