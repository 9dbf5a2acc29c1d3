//! What really happened, as nobody in the run knows it: the histories of the primaries and what clients were told.

use fusion_core::config::{Configuration, FusedState, PrimaryState};
use fusion_core::history::Operation;
use fusion_core::id::{Epoch, MemberId, PrimaryIndex, RequestId, Row, Seq, ServerId};
use fusion_core::op::OpResult;
use fusion_core::page::SparsePages;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Of one primary index.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// The last member that served.
    pub active: MemberId,
    /// The greatest change that a client knows of: whoever asks from now on must see it.
    pub floor: Seq,
    /// Writes that clients were told of.
    pub writes: Vec<(RequestId, OpResult)>,
    /// Everything that clients were told of, as the checkers of histories want it.
    pub told: Vec<Operation>,
    /// What clients gave up, not knowing whether it was executed.
    pub unknown: Vec<(RequestId, Operation)>,
}

/// A place of a cluster that somebody fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Of a primary.
    Primary(PrimaryIndex),
    /// Of a fused member.
    Row(Row),
}

/// Who filled a place last with everything that belongs there: an active primary, a code in sync.
#[derive(Clone, Copy, Debug)]
pub struct Holder {
    /// The member.
    pub member: MemberId,
    /// Its server.
    pub server: ServerId,
    /// A coordinator gave it up since it, or a primary, had not heard of it, and somebody was not well: it lacks what was
    /// done without it.
    pub given_up: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Truth {
    /// By primary index.
    pub lines: Vec<Line>,
    /// What each member executed; a replacement begins with what was recovered.
    pub histories: BTreeMap<MemberId, BTreeMap<Seq, (RequestId, OpResult)>>,
    /// Its pages after each change.
    pub states: BTreeMap<MemberId, BTreeMap<Seq, Arc<SparsePages>>>,
    /// Those that were moved somewhere and served there.
    pub served: BTreeSet<MemberId>,
    /// Who gave answers in an epoch.
    pub acknowledging: BTreeMap<(Epoch, PrimaryIndex), MemberId>,
    /// Codes that were ever in sync.
    pub codes: BTreeSet<MemberId>,
    /// The last change of each primary that each code has ever had, where that counts (rule 53).
    pub had: BTreeMap<(MemberId, PrimaryIndex), Seq>,
    /// Who filled each place last.
    pub holders: BTreeMap<Place, Holder>,
}

impl Truth {
    /// Nothing has happened.
    #[must_use]
    pub fn new(config: &Configuration) -> Truth {
        let line = |id| Line {
            active: id,
            ..Line::default()
        };
        let mut truth = Truth {
            lines: config.primaries.iter().map(|s| line(s.id)).collect(),
            ..Truth::default()
        };
        truth.settle(config);
        truth
    }

    /// This configuration is stored: whoever is active or in sync in it fills its place.
    pub fn settle(&mut self, config: &Configuration) {
        self.codes.extend(config.in_sync().map(|s| s.id));
        let primaries = config.primaries.iter().zip(0..);
        let primaries = primaries.filter(|(s, _)| s.state == PrimaryState::Active);
        let primaries =
            primaries.map(|(s, j)| (Place::Primary(PrimaryIndex(j)), s.id, s.host.server));
        let codes = config
            .fused
            .iter()
            .filter(|s| s.state == FusedState::InSync);
        let codes = codes.map(|s| (Place::Row(s.row), s.id, s.host.server));
        for (place, member, server) in primaries.chain(codes) {
            let given_up = false;
            let holder = Holder {
                member,
                server,
                given_up,
            };
            self.holders.insert(place, holder);
        }
    }

    /// The holder of a row is left out of the next configuration, since nobody has heard of it.
    pub fn give_up(&mut self, row: Row, member: MemberId) {
        if let Some(holder) = self
            .holders
            .get_mut(&Place::Row(row))
            .filter(|h| h.member == member)
        {
            holder.given_up = true;
        }
    }

    /// A loss was accepted: no row has codes until somebody is in sync again.
    pub fn begin_codes_anew(&mut self) {
        let rows = self.holders.iter_mut();
        let rows = rows.filter(|(place, _)| matches!(place, Place::Row(_)));
        rows.for_each(|(_, holder)| holder.given_up = true);
    }

    /// A member made changes: its pages are these now.
    pub fn changed(&mut self, member: MemberId, seq: Seq, pages: SparsePages) {
        let states = self.states.entry(member).or_default();
        states.insert(seq, Arc::new(pages));
    }

    /// The change that executed a request, at a member.
    #[must_use]
    pub fn seq_of(&self, member: MemberId, id: RequestId) -> Option<Seq> {
        let history = self.histories.get(&member)?;
        let found = history.iter().rev().find(|(_, (known, _))| *known == id);
        found.map(|(seq, _)| *seq)
    }
}
