//! What a primary keeps for replacements elsewhere: its log from some change on, and frozen pages (PROTOCOL rules 30,
//! 32, 34).

use super::{Primary, check_route};
use crate::config::PrimaryState;
use crate::fault::{Fault, planted};
use crate::frozen::FrozenPages;
use crate::id::{MemberId, RecoveryId, Seq};
use crate::limits::{MAX_PIN_IDLE, TRANSFER_BYTES};
use crate::message::{RecoveryReply, RecoveryRequest, Refusal, Route};
use crate::page::PageTable;
use crate::time::Time;
use std::collections::BTreeMap;

/// Of one replacement.
#[derive(Clone, Debug)]
struct Pin {
    recovery: RecoveryId,
    base: Seq,
    snapshot: Option<(Seq, FrozenPages)>,
    /// When the replacement last asked about it.
    used_at: Time,
}

/// By the replacement that asked; its latest attempt counts. At most one for each lost primary.
#[derive(Clone, Debug, Default)]
pub(super) struct Pins(BTreeMap<MemberId, Pin>);

impl Pins {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The log must reach back to here.
    pub(super) fn base(&self) -> Option<Seq> {
        self.0.values().map(|p| p.base).min()
    }

    /// Lets those go that nobody has asked about for long; answers whether there was one.
    pub(super) fn expire(&mut self, now: Time) -> bool {
        let before = self.0.len();
        self.0
            .retain(|_, pin| now.since(pin.used_at) < MAX_PIN_IDLE);
        self.0.len() < before
    }

    /// The bytes of frozen pages that only the snapshots of replacements below `below` keep.
    fn kept_bytes(&self, live: &PageTable, below: Option<MemberId>) -> u64 {
        let pins = self
            .0
            .iter()
            .filter(|(id, _)| below.is_none_or(|b| **id < b));
        let frozen = pins.filter_map(|(_, pin)| pin.snapshot.as_ref());
        frozen.map(|(_, pages)| pages.kept_bytes(live)).sum()
    }

    fn pin(&mut self, from: MemberId, recovery: RecoveryId) -> Result<&mut Pin, Refusal> {
        self.0
            .get_mut(&from)
            .filter(|p| p.recovery == recovery)
            .ok_or(Refusal::NotThere)
    }
}

impl Primary {
    /// The bytes of frozen pages that it keeps for replacements, learners and heirs, and does not share with its own any more
    /// (rule 67). An upper bound: what two snapshots share counts twice. Takes time linear in the number of their pages.
    #[must_use]
    pub fn frozen_bytes(&self) -> u64 {
        let live = self.structure.pages();
        let joins = self.links.values().filter_map(|l| l.join.as_ref());
        let joins: u64 = joins.map(|join| join.kept_bytes(live)).sum();
        joins + self.pins.kept_bytes(live, None)
    }

    /// Rule 67. Replacements of lower ids come first: were each to wait for another one at some member, none would get on.
    fn check_room_for(
        &self,
        from: MemberId,
        recovery: RecoveryId,
        live: &PageTable,
    ) -> Result<(), Refusal> {
        let known = self.pins.0.get(&from);
        if known.is_some_and(|p| p.recovery == recovery && p.snapshot.is_some()) {
            return Ok(());
        }
        let kept = self.pins.kept_bytes(live, Some(from));
        if kept > self.bounds.frozen_bytes.max(live.bytes()) {
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    /// Serves a replacement of another primary (rules 30 and 32).
    ///
    /// # Errors
    /// [`Refusal`] when the epochs differ, the sender is no replacement, or the log does not reach back far enough;
    /// [`Refusal::Busy`], to be tried again, when the frozen pages of others keep too much memory (rule 67).
    pub fn on_recovery(
        &mut self,
        route: Route,
        request: &RecoveryRequest,
        now: Time,
    ) -> Result<RecoveryReply, Refusal> {
        check_route(&self.config, self.id, route)?;
        if self.went_back {
            return Err(Refusal::NotAllowed);
        }
        if let RecoveryRequest::Yield { after } = *request {
            return self.yield_to(route.from, after);
        }
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
        if let Some(pin) = self.pins.0.get_mut(&route.from) {
            pin.used_at = pin.used_at.max(now);
        }
        match *request {
            RecoveryRequest::Pin { recovery } => match self.pins.0.get(&route.from) {
                // Said again, or late: what was frozen since must stay.
                Some(pin) if pin.recovery == recovery => Ok(RecoveryReply::Pinned),
                Some(pin) if pin.recovery > recovery => Err(Refusal::NotThere),
                _ => {
                    let base = self.log.base();
                    self.pins.0.insert(
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
                self.check_room_for(route.from, recovery, &pages)?;
                let pin = self.pins.pin(route.from, recovery)?;
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
                let pin = self.pins.pin(route.from, recovery)?;
                let (_, pages) = pin.snapshot.as_ref().ok_or(Refusal::NotThere)?;
                Ok(RecoveryReply::SnapshotPages {
                    pages: pages.read(from, count, TRANSFER_BYTES),
                })
            }
            RecoveryRequest::SnapshotChanges { recovery, after } => {
                let upto = self
                    .pins
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
                if self.pins.pin(route.from, recovery).is_ok() {
                    self.pins.0.remove(&route.from);
                    self.settle();
                }
                Ok(RecoveryReply::Released)
            }
            RecoveryRequest::Vector
            | RecoveryRequest::Log { .. }
            | RecoveryRequest::RollForward { .. }
            | RecoveryRequest::FusedSnapshot { .. }
            | RecoveryRequest::Yield { .. } => Err(Refusal::NotAllowed),
        }
    }

    /// Says to the one that takes over that nothing is executed here any more, and hands it what it lacks (rule 36).
    fn yield_to(&self, from: MemberId, after: Seq) -> Result<RecoveryReply, Refusal> {
        if !self.suspended || self.successor() != Some(from) {
            return Err(Refusal::NotAllowed);
        }
        let changes = self.log.run(after, self.applied, TRANSFER_BYTES);
        Ok(RecoveryReply::Yielded {
            seq: self.applied,
            changes: changes.ok_or(Refusal::NotThere)?,
        })
    }
}
