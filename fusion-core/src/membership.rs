//! What a coordinator decides: the next configuration of one cluster, if there should be one.
//!
//! A pure function of the current configuration, of which servers are suspected, and of what members reported
//! (PROTOCOL rules 7, 23 to 27, 34). It never acts on evidence of another epoch.

mod blame;
mod decision;
mod loss;
mod placement;
mod relocation;

use blame::blame;
pub use decision::{Content, Plan, Reason, Waiting};
pub use loss::{LossError, accept_loss};
pub use placement::place;
pub use relocation::{MoveError, What, cancel_move, move_member};

use crate::config::{
    Configuration, Former, FusedSeat, FusedState, Host, Origin, PrimarySeat, PrimaryState,
};
use crate::fault::{Fault, planted};
use crate::id::{MemberId, PrimaryIndex, Row, ServerId};
use crate::message::{Condition, MemberReport};
use std::collections::{BTreeMap, BTreeSet};

/// What a coordinator knows of one server. Times are milliseconds of the coordinator's own clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerView {
    /// Where it listens.
    pub address: String,
    /// When it was last heard of; 0: not since the coordinator started.
    pub last_heard_ms: u64,
    /// Since when it is suspected to be dead, if it is.
    pub suspected_since_ms: Option<u64>,
    /// How many members of all clusters it hosts: the fewer, the rather it is chosen.
    pub load: usize,
    /// An operator wants it empty: it is given no members, and those that it has are moved away.
    pub draining: bool,
}

impl ServerView {
    /// Whether it may be given members: it is not suspected, was heard of since the coordinator started, and is not to
    /// be emptied.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.suspected_since_ms.is_none() && self.last_heard_ms > 0 && !self.draining
    }
}

/// All that a decision rests on, beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The servers that registered and were not forgotten.
    pub servers: BTreeMap<ServerId, ServerView>,
    /// The last report of each member of this cluster.
    pub reports: BTreeMap<MemberId, Heard>,
    /// Members that are not heard of in this epoch, and since when: their server may be.
    pub silent: BTreeMap<MemberId, u64>,
}

/// A report, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What was said.
    pub report: MemberReport,
    /// When, by the coordinator's clock.
    pub at_ms: u64,
}

struct Planner<'a> {
    config: &'a Configuration,
    evidence: &'a Evidence,
    /// Alive servers without a living member of this cluster, the best one last.
    free: Vec<Host>,
    /// Members that others complain about.
    blamed: BTreeSet<MemberId>,
}

/// Decides the next configuration. `nonce` marks it if one is made (rule 5).
#[must_use]
pub fn plan(config: &Configuration, evidence: &Evidence, nonce: u64) -> Plan {
    if config.removed {
        return Plan::Keep;
    }
    let mut planner = Planner::new(config, evidence);
    planner.free = planner.free_servers();
    let mut next = config.successor(nonce);
    let steps = [
        Planner::lose_primaries,
        Planner::remove_fused,
        Planner::reinstate,
        Planner::activate,
        Planner::promote,
        Planner::add_learners,
        Planner::go_on_moving,
        Planner::empty_servers,
    ];
    let mut waiting = None;
    for step in steps {
        match step(&mut planner, &mut next) {
            Step::Change(reason) => {
                relocation::void_drains(&mut next, &reason);
                planner.shun(&mut next);
                return Plan::Change(Box::new(next), reason);
            }
            Step::Wait(reason) => waiting = waiting.or(Some(reason)),
            Step::Stop(reason) => return relocation::wait_without_drains(config, nonce, reason),
            Step::Nothing => {}
        }
    }
    waiting.map_or(Plan::Keep, Plan::Wait)
}

enum Step {
    Nothing,
    Wait(Waiting),
    Stop(Waiting),
    Change(Reason),
}

impl<'a> Planner<'a> {
    fn new(config: &'a Configuration, evidence: &'a Evidence) -> Planner<'a> {
        let mut planner = Planner {
            config,
            evidence,
            free: Vec::new(),
            blamed: BTreeSet::new(),
        };
        planner.blamed = blame(&planner);
        planner
    }

    fn suspected_since(&self, host: &Host) -> Option<u64> {
        // A server that nobody knows any more is dead since ever.
        self.evidence
            .servers
            .get(&host.server)
            .map_or(Some(0), |s| s.suspected_since_ms)
    }

    /// The member's report of this epoch: no other counts (rule 7).
    fn heard(&self, id: MemberId) -> Option<&Heard> {
        let heard = self.evidence.reports.get(&id)?;
        (heard.report.epoch == self.config.epoch).then_some(heard)
    }

    fn condition(&self, id: MemberId) -> Option<Condition> {
        self.heard(id).map(|h| h.report.condition)
    }

    /// What it said of a move: of this epoch, as all evidence.
    fn said_of_move(&self, id: MemberId) -> Option<Condition> {
        if planted(Fault::OldDrain) {
            return self.evidence.reports.get(&id).map(|h| h.report.condition);
        }
        self.condition(id)
    }

    fn dead(&self, id: MemberId, host: &Host) -> bool {
        self.dead_since(id, host).is_some()
    }

    /// Since when the member counts as dead: its server is silent, or says nothing of it, or says that it is not
    /// there, or others that need it complain.
    fn dead_since(&self, id: MemberId, host: &Host) -> Option<u64> {
        let missing = self
            .heard(id)
            .filter(|h| h.report.condition == Condition::Missing);
        self.suspected_since(host)
            .or(self.evidence.silent.get(&id).copied())
            .or(missing.map(|h| h.at_ms))
            .or(self.blamed.contains(&id).then_some(0))
    }

    /// Rule 24, for all dead primaries at once; also finds servers for replacements that have none.
    fn lose_primaries(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        let newly: Vec<_> = config
            .active()
            .filter(|(_, s)| self.dead(s.id, &s.host))
            .map(|(j, _)| j)
            .collect();
        let unplaced: Vec<_> = config
            .lost()
            .filter(|&j| self.replacement_dead(j))
            .collect();
        let in_sync = config
            .in_sync()
            .filter(|s| !self.dead(s.id, &s.host))
            .count();
        let all_lost: Vec<_> = config.lost().chain(newly.iter().copied()).collect();
        if all_lost.len() > in_sync {
            return Step::Stop(Waiting::MoreThanF {
                primaries: all_lost,
                in_sync,
            });
        }
        let mut placed = Vec::new();
        for &j in newly.iter().chain(&unplaced) {
            let host = self.free.pop();
            let is_new = newly.contains(&j);
            if host.is_none() && !is_new {
                continue;
            }
            let id = next.take_id();
            let seat = &mut next.primaries[j.index()];
            if is_new {
                // A member that is not there has nothing to come back with; one that cannot reach the others would
                // only be lost again.
                let gone = self.condition(seat.id) == Some(Condition::Missing)
                    || self.blamed.contains(&seat.id);
                seat.former = (!gone).then(|| Former {
                    id: seat.id,
                    host: seat.host.clone(),
                    origin: seat.origin,
                });
            }
            seat.id = id;
            seat.state = PrimaryState::Lost;
            seat.origin = Origin::Recovered;
            seat.moved_from = None;
            // Without a free server the seat stays where it was: a dead place, to be mended later.
            if let Some(host) = host {
                seat.host = host;
                placed.push(j);
            }
        }
        if newly.is_empty() && placed.is_empty() {
            return if unplaced.is_empty() {
                Step::Nothing
            } else {
                Step::Wait(Waiting::NoServer {
                    needed: unplaced.len(),
                })
            };
        }
        if !planted(Fault::LearnerKept) {
            next.fused.retain(|s| s.state == FusedState::InSync);
        }
        // Recovery comes first: moves are given up.
        for seat in &mut next.primaries {
            seat.heir = None;
        }
        if newly.is_empty() {
            Step::Change(Reason::ReplacementsPlaced(placed))
        } else {
            Step::Change(Reason::PrimariesLost(newly))
        }
    }

    fn replacement_dead(&self, j: PrimaryIndex) -> bool {
        self.config
            .primary(j)
            .is_some_and(|s| s.state == PrimaryState::Lost && self.dead(s.id, &s.host))
    }

    /// Rule 23.
    fn remove_fused(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        let dead: Vec<&FusedSeat> = config
            .acknowledging()
            .filter(|s| self.dead(s.id, &s.host))
            .collect();
        if dead.is_empty() {
            return Step::Nothing;
        }
        let lost = config.lost().count();
        let mut in_sync = config.in_sync().count();
        let mut removed = Vec::new();
        let mut waiting = None;
        for seat in dead {
            if seat.state == FusedState::InSync {
                let since = self.dead_since(seat.id, &seat.host).unwrap_or(0);
                let mut active = config.active();
                let answered =
                    active.all(|(_, s)| self.heard(s.id).is_some_and(|h| h.at_ms > since));
                if !answered {
                    waiting = Some(Waiting::Evidence);
                    continue;
                }
                if lost + 1 > in_sync {
                    let primaries = config.lost().collect();
                    return Step::Stop(Waiting::MoreThanF {
                        primaries,
                        in_sync: in_sync - 1,
                    });
                }
                in_sync -= 1;
            }
            removed.push(seat.id);
        }
        if removed.is_empty() {
            return waiting.map_or(Step::Nothing, Step::Wait);
        }
        let rows = next
            .fused
            .iter()
            .filter(|s| removed.contains(&s.id))
            .map(|s| s.row)
            .collect();
        next.fused.retain(|s| !removed.contains(&s.id));
        Step::Change(Reason::FusedRemoved(rows))
    }

    /// Rule 25, second half: no replacement was active, and so nobody made a change that the former primary has not.
    fn reinstate(&mut self, next: &mut Configuration) -> Step {
        let answers = |f: &Former| {
            self.suspected_since(&f.host).is_none()
                && self.condition(f.id) == Some(Condition::Suspended)
        };
        let mut returned = Vec::new();
        for (j, former) in self.config.formers().filter(|(_, f)| answers(f)) {
            let seat = &mut next.primaries[j.index()];
            *seat = PrimarySeat {
                id: former.id,
                host: former.host.clone(),
                state: PrimaryState::Active,
                origin: former.origin,
                former: None,
                heir: None,
                moved_from: None,
            };
            returned.push(j);
        }
        if returned.is_empty() {
            return Step::Nothing;
        }
        Step::Change(Reason::PrimariesReturned(returned))
    }

    /// Rule 34, for all replacements together: one epoch instead of one for each.
    fn activate(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        let building: Vec<_> = config
            .lost()
            .filter(|&j| !self.replacement_dead(j))
            .collect();
        let ready = |j: &PrimaryIndex| {
            let id = config.primaries[j.index()].id;
            matches!(self.condition(id), Some(Condition::Ready { .. }))
        };
        if building.is_empty() {
            return Step::Nothing;
        }
        if !building.iter().all(ready) {
            return Step::Wait(Waiting::Recovering);
        }
        for &j in &building {
            next.primaries[j.index()].state = PrimaryState::Active;
            if !planted(Fault::LateReturn) {
                next.primaries[j.index()].former = None;
            }
        }
        Step::Change(Reason::PrimariesRecovered(building))
    }

    /// Rule 27; the old holder of the row leaves.
    fn promote(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        if config.lost().next().is_some() || config.joining().next().is_none() {
            return Step::Nothing;
        }
        let complete = |s: &FusedSeat| self.condition(s.id) == Some(Condition::Complete);
        let ids: Vec<_> = config
            .joining()
            .filter(|s| complete(s))
            .map(|s| s.id)
            .collect();
        if ids.is_empty() {
            return Step::Wait(Waiting::Recovering);
        }
        let mut rows = Vec::new();
        let taken: Vec<Row> = config
            .joining()
            .filter(|s| ids.contains(&s.id))
            .map(|s| s.row)
            .collect();
        next.fused
            .retain(|s| s.state == FusedState::Joining || !taken.contains(&s.row));
        for seat in next.fused.iter_mut().filter(|s| ids.contains(&s.id)) {
            seat.state = FusedState::InSync;
            rows.push(seat.row);
        }
        Step::Change(Reason::LearnersPromoted(rows))
    }

    /// Rule 26, for missing rows.
    fn add_learners(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        if config.lost().next().is_some() {
            return Step::Nothing;
        }
        let there: BTreeSet<Row> = config.fused.iter().map(|s| s.row).collect();
        let missing: Vec<Row> = (0..config.faults)
            .map(Row)
            .filter(|r| !there.contains(r))
            .collect();
        let mut added = Vec::new();
        for &row in &missing {
            let Some(host) = self.free.pop() else { break };
            next.add_learner(row, host);
            added.push(row);
        }
        match (missing.len(), added.is_empty()) {
            (0, _) => Step::Nothing,
            (needed, true) => Step::Wait(Waiting::NoServer { needed }),
            _ => Step::Change(Reason::LearnersAdded(added)),
        }
    }
}

#[cfg(test)]
mod tests;
