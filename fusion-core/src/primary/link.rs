//! What a primary knows of those that copy it: the fused members that count, of which each must acknowledge, and those
//! that only copy, learners and the heir while it is being moved (PROTOCOL rules 12 to 16, 36, 54).

use super::{Primary, unsealed};
use crate::config::FusedState;
use crate::fault::{Fault, planted};
use crate::frozen::FrozenPages;
use crate::id::{MemberId, Seq};
use crate::memory::MemoryUse;
use crate::message::{Ack, ChangeRun, Chunk, JoinSnapshot, Refusal, Replicate, Route};
use crate::page::PageTable;
use crate::structure::Structure;
use crate::time::Time;
use std::collections::BTreeMap;

/// What its acknowledgements are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A fused member of R: changes are stable, and reads allowed, only with its word.
    Counts,
    /// A learner that only copies yet: it holds up nobody (rule 54).
    Copies,
    /// The heir, which copies as well.
    Inherits,
}

/// One that copies.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) acked: Seq,
    /// The last change that it was ever sent, or may have had before this link was made.
    pub(super) sent: Seq,
    /// The last moment from before a message that was sent.
    sent_at: Time,
    /// The last such moment that was echoed: the lease counts from it (rule 13).
    pub(super) leased_at: Option<Time>,
    /// The greatest number of a message that it has acknowledged in this epoch (rule 58).
    pub(super) echoed: u64,
    pub(super) join: Option<Join>,
    pub(super) part: Part,
    /// The memory of its process, when it said last that it is full (rule 70).
    pub(super) full: Option<MemoryUse>,
    /// The log was full for its sake alone, and does not reach back to what it needs any more: it cannot go on.
    pub(super) left_behind: bool,
}

impl Link {
    fn new(acked: Seq) -> Link {
        Link {
            acked,
            sent: acked,
            sent_at: Time(0),
            leased_at: None,
            echoed: 0,
            join: None,
            part: Part::Counts,
            full: None,
            left_behind: false,
        }
    }

    fn joining(join: Join) -> Link {
        Link {
            join: Some(join),
            ..Link::new(Seq(0))
        }
    }

    /// It needs the changes after this one.
    pub(super) fn needs_after(&self) -> Seq {
        let snapshot = self.join.as_ref().map_or(Seq(0), |join| join.about.seq);
        self.acked.max(snapshot)
    }
}

/// The snapshot that a learner or heir is given, once (rules 15, 16).
#[derive(Clone, Debug)]
pub(super) struct Join {
    about: JoinSnapshot,
    pages: FrozenPages,
    starts: Vec<u64>,
    acked: Vec<bool>,
    /// How many of them.
    taken: u32,
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
            taken: 0,
        }
    }
}

impl Join {
    /// The bytes of frozen pages that it keeps beyond those that are shared with `live` (rule 67).
    pub(super) fn kept_bytes(&self, live: &PageTable) -> u64 {
        self.pages.kept_bytes(live)
    }
}

impl Primary {
    /// Rules 15 and 54; whoever was not there before has acknowledged up to `acked`. A learner that begins to count keeps
    /// what it has acknowledged and leased while it copied: it recorded the same.
    pub(super) fn relink(&mut self, acked: Seq) {
        let mut links = BTreeMap::new();
        let freeze = |primary: &Primary| {
            let chunk_bytes = primary.bounds.transfer_bytes;
            Join::freeze(&primary.structure, primary.applied, chunk_bytes)
        };
        for seat in &self.config.fused {
            let learns = seat.state.learns();
            let link = match self.links.remove(&seat.id) {
                Some(link) if learns => link,
                // It was promoted because it has the whole snapshot and stood at the stable mark, which moved only with its
                // acknowledgement after that, even if none came of what it had before (rule 54).
                Some(link) => Link {
                    acked: link.needs_after().max(self.stable),
                    join: None,
                    // The log is kept for who is in sync.
                    left_behind: false,
                    ..link
                },
                None => Link {
                    sent: self.applied,
                    ..if learns {
                        Link::joining(freeze(self))
                    } else {
                        Link::new(acked)
                    }
                },
            };
            let part = match seat.state {
                FusedState::Copying => Part::Copies,
                FusedState::InSync | FusedState::Joining => Part::Counts,
            };
            let sent = link.sent.max(link.acked);
            links.insert(seat.id, Link { part, sent, ..link });
        }
        if let Some(id) = self.config.inheritance(self.index).map(|h| h.id) {
            let known = self.links.remove(&id);
            // The snapshot's moment may be the first that it hears of, beside a long message (rule 57).
            let link = known.unwrap_or_else(|| Link {
                sent: self.applied,
                ..Link::joining(freeze(self))
            });
            let part = Part::Inherits;
            links.insert(id, Link { part, ..link });
        }
        // Only what is acknowledged in an epoch confirms anything in it (rule 58).
        links.values_mut().for_each(|link| link.echoed = 0);
        self.links = links;
        self.listening.to(self.links.keys().copied());
    }

    /// Those that must be kept up to date.
    pub fn links(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.links.keys().copied()
    }

    /// The last change that `to` has acknowledged.
    #[must_use]
    pub fn acked(&self, to: MemberId) -> Option<Seq> {
        self.links.get(&to).map(|l| l.acked)
    }

    /// The fused members that must acknowledge, lease and confirm: R of the epoch (rule 6).
    pub(super) fn acknowledging(&self) -> impl Iterator<Item = &Link> {
        self.links.values().filter(|l| match l.part {
            Part::Counts => true,
            Part::Copies => planted(Fault::CopyingCounts),
            Part::Inherits => false,
        })
    }

    /// The same; `fault` leaves learners out.
    pub(super) fn counted(&self, fault: Fault) -> impl Iterator<Item = &Link> {
        self.acknowledging()
            .filter(move |l| l.join.is_none() || !planted(fault))
    }

    /// The log is kept for those that learn, too: who only copies may lack what is stable, and so may who has just begun to
    /// count. When it is full for their sake, the one that lacks the most is left behind, and complained about: nobody
    /// else waits for it (rules 36, 54).
    pub(super) fn drop_log(&mut self) {
        let pinned = self.pins.base().filter(|_| !planted(Fault::LogNotPinned));
        let least = self.stable.min(pinned.unwrap_or(self.stable));
        loop {
            let learns = |l: &&mut Link| l.join.is_some() && !l.left_behind;
            let learning = self.links.values_mut().filter(learns);
            let slowest = learning.min_by_key(|l| l.needs_after());
            let slowest = slowest.filter(|_| !planted(Fault::CopyingForgotten));
            let kept_for = slowest.as_ref().map_or(least, |l| l.needs_after());
            self.log.drop_to(least.min(kept_for));
            match slowest {
                Some(link) if kept_for < least && self.log.bytes() >= self.bounds.log_bytes => {
                    link.left_behind = true;
                }
                _ => return,
            }
        }
    }

    /// What to send to `to` now: the changes that it has not acknowledged, about `max_bytes` of them, and the time, from
    /// which the lease counts (rule 12). `None` when it does not copy this primary, or was left behind.
    ///
    /// # Panics
    /// When the log does not cover what a learner needs, which rule 54 excludes.
    #[must_use]
    pub fn replicate(&mut self, to: MemberId, max_bytes: usize, now: Time) -> Option<Replicate> {
        if self.is_out() {
            return None;
        }
        let link = self.links.get_mut(&to)?;
        link.sent_at = link.sent_at.max(now);
        let changes = self.log.run(link.needs_after(), self.applied, max_bytes);
        if changes.is_none() && link.left_behind {
            return None;
        }
        let changes = match changes {
            Some(changes) => changes,
            // In sync, it had all that is stable: it went back since it said what it has (rule 63). It hears so by the gap.
            None if link.join.is_none() => ChangeRun::empty(self.log.base().next()),
            None => panic!("the log covers everything that a learner needs"),
        };
        let number = self.confirmation.number(self.config.reads);
        let upto = Seq(changes.first.0 + u64::from(changes.count) - 1);
        link.sent = link.sent.max(upto);
        Some(Replicate {
            index: self.index,
            changes,
            stable: self.stable,
            sent_at: now,
            join: link.join.as_ref().map(|j| j.about),
            taken: link.join.as_ref().map_or(0, |j| j.taken),
            number,
        })
    }

    /// An empty message for `to`, to go beside the one that is under way to it, when that takes so long that the lease
    /// would not be renewed in time; `None` when that is not so. It must go by another connection (rule 57).
    #[must_use]
    pub fn renewal(&mut self, to: MemberId, now: Time) -> Option<Replicate> {
        if self.is_out() {
            return None;
        }
        let link = self.links.get_mut(&to)?;
        let overdue = now.since(link.sent_at) >= self.config.timing.renew_after() * 3 / 2;
        if !overdue || link.left_behind {
            return None;
        }
        link.sent_at = now;
        Some(Replicate {
            index: self.index,
            changes: ChangeRun::empty(link.needs_after().next()),
            stable: self.stable,
            sent_at: now,
            join: link.join.as_ref().map(|j| j.about),
            taken: link.join.as_ref().map_or(0, |j| j.taken),
            number: self.confirmation.number(self.config.reads),
        })
    }

    /// Some of a message to `to` has moved on since the last look, though nothing is acknowledged yet: that is a sign of
    /// life (rule 57).
    pub fn on_progress(&mut self, to: MemberId, now: Time) {
        if !planted(Fault::LongMessageIsSilence) {
            self.listening.hear(to, now);
        }
    }

    /// Takes an acknowledgement that was given in the route's epoch; answers whether the stable mark moved. The lease
    /// counts from the echoed moment, never from the arrival (rules 13, 14). One of what was never sent says that this
    /// primary went back in time (rule 63).
    pub fn on_ack(&mut self, route: Route, ack: Ack, now: Time) -> bool {
        let before = self.stable;
        if (self.is_of_this_epoch(route) || unsealed())
            && !self.is_out()
            && let Some(link) = self.links.get_mut(&route.to)
        {
            let mut ack = ack;
            let number = self.confirmation.sent();
            if ack.seq > link.sent || ack.sent_at > link.sent_at || ack.number > number {
                if !planted(Fault::PrimaryWentBack) {
                    self.went_back = true;
                    return false;
                }
                ack.sent_at = ack.sent_at.min(link.sent_at);
                ack.seq = ack.seq.min(self.applied);
                ack.number = ack.number.min(number);
            }
            // One that brings nothing of what is under way came by another way, beside it (rule 57).
            let is_sign = ack.seq > link.acked || link.needs_after() >= self.applied;
            link.acked = link.acked.max(ack.seq);
            let from = if planted(Fault::LeaseFromArrival) {
                now
            } else {
                ack.sent_at
            };
            link.leased_at = link.leased_at.max(Some(from));
            link.echoed = link.echoed.max(ack.number);
            link.full = ack.full.filter(MemoryUse::is_full);
            if is_sign {
                self.listening.hear(route.to, now);
            }
            self.settle();
            self.settle_lease();
            self.settle_confirmation();
        }
        self.stable > before
    }

    /// The first chunk number from `from` on that `to` has not acknowledged yet, and its pages (rule 16).
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

    /// A member refused what it was sent in the route's epoch, and why (rule 63).
    pub fn on_refusal(&mut self, route: Route, refusal: &Refusal) {
        if self.is_of_this_epoch(route) && *refusal == Refusal::WentBack {
            self.go_out();
        }
    }

    /// Rules 8 and 61: in the same content of it.
    fn is_of_this_epoch(&self, route: Route) -> bool {
        route.epoch == self.config.epoch
            && (route.nonce == self.config.nonce || planted(Fault::ContradictionServes))
    }

    /// `to` has added chunk `number`.
    pub fn on_chunk_ack(&mut self, route: Route, number: u32) {
        if self.is_of_this_epoch(route)
            && let Some(join) = self.links.get_mut(&route.to).and_then(|l| l.join.as_mut())
            && let Some(acked) = join.acked.get_mut(number as usize)
        {
            join.taken += u32::from(!*acked);
            *acked = true;
            if join.taken as usize == join.acked.len() {
                // Everything was taken: the frozen pages cost nothing any more.
                join.pages = FrozenPages::new(Default::default());
            }
        }
    }
}
