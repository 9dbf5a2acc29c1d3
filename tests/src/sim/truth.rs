//! What really happened, as nobody in the run knows it: the histories of the primaries and what clients were told.

use fusion_core::config::Configuration;
use fusion_core::history::Operation;
use fusion_core::id::{Epoch, MemberId, PrimaryIndex, RequestId, Seq};
use fusion_core::op::OpResult;
use fusion_core::page::PageTable;
use std::collections::BTreeMap;

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

/// All of it.
#[derive(Debug, Default)]
pub struct Truth {
    /// By primary index.
    pub lines: Vec<Line>,
    /// What each member executed; a replacement begins with what was recovered.
    pub histories: BTreeMap<MemberId, BTreeMap<Seq, (RequestId, OpResult)>>,
    /// Its pages after each change.
    pub states: BTreeMap<MemberId, BTreeMap<Seq, PageTable>>,
    /// Who gave answers in an epoch.
    pub acknowledging: BTreeMap<(Epoch, PrimaryIndex), MemberId>,
}

impl Truth {
    /// Nothing has happened.
    #[must_use]
    pub fn new(config: &Configuration) -> Truth {
        let line = |id| Line {
            active: id,
            ..Line::default()
        };
        Truth {
            lines: config.primaries.iter().map(|s| line(s.id)).collect(),
            ..Truth::default()
        }
    }

    /// A member made changes: its pages are these now.
    pub fn changed(&mut self, member: MemberId, seq: Seq, pages: PageTable) {
        self.states.entry(member).or_default().insert(seq, pages);
    }

    /// The change that executed a request, at a member.
    #[must_use]
    pub fn seq_of(&self, member: MemberId, id: RequestId) -> Option<Seq> {
        let history = self.histories.get(&member)?;
        let found = history.iter().rev().find(|(_, (known, _))| *known == id);
        found.map(|(seq, _)| *seq)
    }
}
