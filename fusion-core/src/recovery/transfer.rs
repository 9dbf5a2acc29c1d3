//! The last part of a recovery: pages of all sources, and what survivors did meanwhile (PROTOCOL rule 32).

use super::RecoveryError;
use crate::decoder::Decoder;
use crate::fault::{Fault, planted};
use crate::id::{MemberId, PrimaryIndex, RecoveryId, Row, Seq};
use crate::message::{ChangeRun, Pages, RecoveryRequest};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many pages are asked for at once.
const PAGES_PER_REQUEST: u32 = 16;
/// How many such requests are under way to one source.
const REQUESTS_PER_SOURCE: usize = 3;

/// Codes and vector that a fused member has frozen.
#[derive(Debug)]
pub(super) struct FrozenCodes {
    pub(super) row: Row,
    pub(super) vector: Vec<Seq>,
    pub(super) pages: u64,
}

/// Pages from the chosen fused members and the survivors, each multiplied once into the image.
#[derive(Debug)]
pub(super) struct Transfer {
    recovery: RecoveryId,
    decoder: Decoder,
    fused: Vec<FrozenCodes>,
    /// Survivors that have not said yet what they froze.
    unfrozen: BTreeSet<MemberId>,
    sources: BTreeMap<MemberId, Source>,
    done_pages: u64,
    total_pages: u64,
    taken_bytes: u64,
}

#[derive(Debug)]
struct Source {
    of: Contribution,
    /// Ranges of page numbers that are still to be asked for.
    wanted: VecDeque<(u64, u32)>,
    in_flight: usize,
    /// The changes that are still to be undone, (had, upto], and whether they were asked for.
    changes: Option<(Seq, Seq)>,
    asked: bool,
}

#[derive(Clone, Copy, Debug)]
enum Contribution {
    Fused(Row),
    Survivor(PrimaryIndex),
}

impl Transfer {
    pub(super) fn new(
        recovery: RecoveryId,
        decoder: Decoder,
        frozen: BTreeMap<MemberId, FrozenCodes>,
        survivors: BTreeSet<MemberId>,
    ) -> Transfer {
        let source = |(&m, s): (&MemberId, &FrozenCodes)| {
            (m, Source::new(Contribution::Fused(s.row), s.pages, None))
        };
        Transfer {
            recovery,
            decoder,
            sources: frozen.iter().map(source).collect(),
            done_pages: 0,
            taken_bytes: 0,
            total_pages: frozen.values().map(|s| s.pages).sum(),
            fused: frozen.into_values().collect(),
            unfrozen: survivors,
        }
    }

    /// The least that any chosen fused member has of survivor `k`.
    pub(super) fn least(&self, k: PrimaryIndex) -> Seq {
        let seqs = self.fused.iter().map(|s| s.vector[k.index()]);
        seqs.min().unwrap_or_default()
    }

    /// Pages taken, and pages known to be needed.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.done_pages, self.total_pages)
    }

    /// The bytes of the pages taken.
    pub(super) fn taken_bytes(&self) -> u64 {
        self.taken_bytes
    }

    pub(super) fn members(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.sources.keys().copied()
    }

    /// Survivor `k` has frozen its pages exactly after change `seq`, and kept its changes after `after`.
    pub(super) fn on_survivor(
        &mut self,
        from: MemberId,
        k: PrimaryIndex,
        (after, seq): (Seq, Seq),
        pages: u64,
    ) -> Result<(), RecoveryError> {
        if self.fused.iter().any(|s| s.vector[k.index()] > seq) {
            return Err(RecoveryError::BadAnswer { from });
        }
        if self.unfrozen.remove(&from) {
            let undo = after < seq && !planted(Fault::SnapshotWithoutVector);
            let changes = undo.then_some((after, seq));
            let source = Source::new(Contribution::Survivor(k), pages, changes);
            self.sources.insert(from, source);
            self.total_pages += pages;
        }
        Ok(())
    }

    /// Pages `first..` of a source, at most `count` of them.
    pub(super) fn on_pages(
        &mut self,
        from: MemberId,
        (first, count): (u64, u32),
        pages: &Pages,
    ) -> Result<(), RecoveryError> {
        let bad = RecoveryError::BadAnswer { from };
        let source = self.sources.get_mut(&from).ok_or(bad.clone())?;
        let got = pages.pages.len() as u64;
        if got == 0 || got > u64::from(count) || source.in_flight == 0 {
            return Err(bad);
        }
        source.in_flight -= 1;
        if got < u64::from(count) {
            source.wanted.push_front((first + got, count - got as u32));
        }
        for (id, page) in &pages.pages {
            let added = match source.of {
                Contribution::Fused(row) => self.decoder.add_fused_page(row, *id, page),
                Contribution::Survivor(k) => self.decoder.add_primary_page(k, *id, page),
            };
            added.map_err(|_| bad.clone())?;
            self.taken_bytes += page.len() as u64;
        }
        self.done_pages += got;
        Ok(())
    }

    /// What a survivor did after a fused snapshot is taken back, for each fused member apart.
    pub(super) fn on_changes(
        &mut self,
        from: MemberId,
        run: &ChangeRun,
    ) -> Result<(), RecoveryError> {
        let bad = RecoveryError::BadAnswer { from };
        let source = self.sources.get_mut(&from).ok_or(bad.clone())?;
        let (Contribution::Survivor(k), Some((had, upto))) = (source.of, source.changes) else {
            return Err(bad);
        };
        let changes = run.unpack().map_err(|_| bad.clone())?;
        let Some(last) = changes.last().map(|(seq, _)| *seq) else {
            return Err(bad);
        };
        if run.first != had.next() || last > upto {
            return Err(bad);
        }
        for (seq, change) in &changes {
            for fused in self.fused.iter().filter(|s| s.vector[k.index()] < *seq) {
                let undone = self.decoder.undo_change(k, fused.row, change);
                undone.map_err(|_| bad.clone())?;
            }
        }
        source.changes = (last < upto).then_some((last, upto));
        source.asked = false;
        Ok(())
    }

    /// What to ask for now, so that every source is kept busy.
    pub(super) fn requests(&mut self) -> Vec<(MemberId, RecoveryRequest)> {
        let recovery = self.recovery;
        let mut requests = Vec::new();
        for (&m, source) in &mut self.sources {
            while source.in_flight < REQUESTS_PER_SOURCE
                && let Some((from, count)) = source.wanted.pop_front()
            {
                source.in_flight += 1;
                let request = RecoveryRequest::SnapshotPages {
                    recovery,
                    from,
                    count,
                };
                requests.push((m, request));
            }
            if let Some((after, _)) = source.changes
                && !source.asked
            {
                source.asked = true;
                requests.push((m, RecoveryRequest::SnapshotChanges { recovery, after }));
            }
        }
        requests
    }

    pub(super) fn is_done(&self) -> bool {
        let done = |s: &Source| s.wanted.is_empty() && s.in_flight == 0 && s.changes.is_none();
        self.unfrozen.is_empty() && self.sources.values().all(done)
    }

    pub(super) fn into_decoder(self) -> Decoder {
        self.decoder
    }
}

impl Source {
    fn new(of: Contribution, pages: u64, changes: Option<(Seq, Seq)>) -> Source {
        let step = u64::from(PAGES_PER_REQUEST);
        let ranges = (0..pages).step_by(PAGES_PER_REQUEST as usize);
        Source {
            of,
            wanted: ranges
                .map(|from| (from, step.min(pages - from) as u32))
                .collect(),
            in_flight: 0,
            changes,
            asked: false,
        }
    }
}
