//! What a coordinator decides: the next configuration of one cluster, if there should be one.
//!
//! A pure function of the current configuration, of which servers are suspected, and of what members reported
//! (PROTOCOL rules 7, 23 to 27, 34, 50, 51, 55). It never acts on evidence of another epoch.

mod blame;
mod decision;
mod loss;
mod placement;
mod primaries;
mod relocation;

use blame::blame;
pub use decision::{Content, Plan, Reason, Waiting};
pub use loss::{Acceptance, Foreseen, LossError, Part, Placed, accept_loss, foresee_loss};
use placement::Places;
pub use placement::{MayLose, has_room_without, may_lose, place};
pub use relocation::{MoveError, What, cancel_move, move_member};

use crate::avoidance::Avoided;
use crate::config::{Configuration, FusedSeat, FusedState, Host};
use crate::fault::{Fault, planted};
use crate::id::{MemberId, Row, ServerId};
use crate::message::{Condition, MemberReport};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a coordinator knows of one server. Times are milliseconds of the coordinator's own clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerView {
    /// Where it listens.
    pub address: String,
    /// When it was last heard of; 0: not since the coordinator started.
    pub last_heard_ms: u64,
    /// Since when it is suspected to be dead, if it is.
    pub suspected_since_ms: Option<u64>,
    /// How many members of all clusters it hosts, with those that may be needed again (rules 36, 50): the fewer, the
    /// rather it is chosen.
    pub load: usize,
    /// An operator wants it empty: it is given no members, and those that it has are moved away.
    pub draining: bool,
    /// What is lost with it: a machine, most likely (rule 69). Empty: nothing else is.
    pub host: Arc<str>,
    /// The zone that the host is in; empty: it does not say.
    pub zone: Arc<str>,
    /// The bytes that a further member may take there; `None`: no limit is known (rule 70).
    pub room: Option<u64>,
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
    /// Servers where members of this cluster were given up before they were of use (rule 55).
    pub avoided: BTreeMap<ServerId, Avoided>,
    /// Primaries and codes that members which were being made could not hear, though they could hear everybody else: at
    /// which servers those were given up (rule 51).
    pub missed: BTreeMap<MemberId, BTreeSet<ServerId>>,
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
    /// Where members stand, and which servers may take more.
    free: Places<'a>,
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
    let mut waiting = None;
    for step in steps() {
        match step(&mut planner, &mut next) {
            Step::Change(reason) => return planner.change(next, reason),
            Step::Wait(reason) => waiting = waiting.or(Some(reason)),
            Step::Stop(reason) => {
                // Whoever only learns holds up those that go on.
                return match planner.remove_learners(&mut next) {
                    Some(removed) => planner.change(next, removed),
                    None => Plan::Wait(reason),
                };
            }
            Step::Nothing => {}
        }
    }
    waiting.map_or(Plan::Keep, Plan::Wait)
}

type Decide<'a> = fn(&mut Planner<'a>, &mut Configuration) -> Step;

/// In this order: first whatever makes the loss smaller (rule 50), then losses, then what needs a cluster without.
fn steps<'a>() -> [Decide<'a>; 13] {
    [
        Planner::reinstate,
        Planner::activate,
        Planner::promote,
        Planner::lose_primaries,
        Planner::remove_fused,
        Planner::stop_stuck_moves,
        Planner::reinstate_late,
        Planner::wait_for_members,
        Planner::let_count,
        Planner::add_learners,
        Planner::go_on_moving,
        Planner::empty_servers,
        Planner::spread_out,
    ]
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
            free: Places::default(),
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

    /// Whether it is given up: gone, or blamed.
    fn dead(&self, id: MemberId, host: &Host) -> bool {
        self.dead_since(id, host).is_some()
    }

    /// Since when the member is given up: it is gone, or others that need it complain.
    fn dead_since(&self, id: MemberId, host: &Host) -> Option<u64> {
        let blamed = self.blamed.contains(&id).then_some(0);
        self.gone_since(id, host).or(blamed)
    }

    /// Whether it is silent, or its server says that it is not there: evidence, unlike blame (rule 51).
    fn gone(&self, id: MemberId, host: &Host) -> bool {
        self.gone_since(id, host).is_some()
    }

    fn gone_since(&self, id: MemberId, host: &Host) -> Option<u64> {
        let missing = self
            .heard(id)
            .filter(|h| h.report.condition == Condition::Missing);
        self.suspected_since(host)
            .or(self.evidence.silent.get(&id).copied())
            // Said again and again, it is no later news each time.
            .or(missing.map(|_| 0))
    }

    fn change(&self, mut next: Configuration, reason: Reason) -> Plan {
        self.shun(&mut next);
        Plan::Change(Box::new(next), reason)
    }

    /// Members wait for a server: for one that is avoided (rule 55), or for any.
    fn no_server(&self, needed: usize) -> Waiting {
        let servers = self.avoided_free();
        if !servers.is_empty() {
            return Waiting::Avoided { needed, servers };
        }
        let servers = self.too_small_free();
        match servers.is_empty() {
            true => Waiting::NoServer { needed },
            false => Waiting::NoMemory {
                needed,
                servers,
                bytes: self.largest_member(),
            },
        }
    }

    /// Members are being made, and nothing is wrong with it.
    fn wait_for_members(&mut self, _: &mut Configuration) -> Step {
        let recovering = self.config.lost().any(|j| !self.replacement_dead(j));
        let learning = self.config.learners().next().is_some();
        match recovering || learning && self.config.lost().next().is_none() {
            true => Step::Wait(Waiting::Recovering),
            false => Step::Nothing,
        }
    }

    /// Rule 23. Who is gone is no more than can be spared, or the losses would have stopped it, and nor is who is blamed
    /// (rule 51).
    fn remove_fused(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        let dead: Vec<&FusedSeat> = config
            .fused
            .iter()
            .filter(|s| self.dead(s.id, &s.host))
            .collect();
        let lost = config.lost().count() + self.dependent();
        let mut in_sync = config.in_sync().count();
        let mut removed = Vec::new();
        let mut waiting = false;
        for seat in dead {
            if seat.state == FusedState::InSync {
                let since = self.dead_since(seat.id, &seat.host).unwrap_or(0);
                let mut active = config.active();
                let answered =
                    active.all(|(_, s)| self.heard(s.id).is_some_and(|h| h.at_ms > since));
                let needed = lost + 1 > in_sync && !planted(Fault::BlameTheLastCode);
                if !answered || needed {
                    waiting = true;
                    continue;
                }
                in_sync -= 1;
            }
            removed.push(seat.id);
        }
        match self.remove(next, &removed) {
            Some(removed) => Step::Change(removed),
            None if waiting => Step::Wait(Waiting::Evidence),
            None => Step::Nothing,
        }
    }

    /// Learners that are given up: they may always go (rule 23).
    fn remove_learners(&self, next: &mut Configuration) -> Option<Reason> {
        let dead = self.config.learners().filter(|s| self.dead(s.id, &s.host));
        let dead: Vec<MemberId> = dead.map(|s| s.id).collect();
        self.remove(next, &dead)
    }

    fn remove(&self, next: &mut Configuration, removed: &[MemberId]) -> Option<Reason> {
        let leaves = |s: &&FusedSeat| removed.contains(&s.id);
        let rows: Vec<Row> = next.fused.iter().filter(leaves).map(|s| s.row).collect();
        next.fused.retain(|s| !removed.contains(&s.id));
        (!rows.is_empty()).then_some(Reason::FusedRemoved(rows))
    }

    /// Rule 27; the old holder of the row leaves.
    fn promote(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        if config.lost().next().is_some() || config.joining().next().is_none() {
            return Step::Nothing;
        }
        let complete = |s: &FusedSeat| {
            self.condition(s.id) == Some(Condition::Complete) && !self.dead(s.id, &s.host)
        };
        let ids: Vec<_> = config
            .joining()
            .filter(|s| complete(s))
            .map(|s| s.id)
            .collect();
        if ids.is_empty() {
            return Step::Nothing;
        }
        let mut rows = Vec::new();
        let taken: Vec<Row> = config
            .joining()
            .filter(|s| ids.contains(&s.id))
            .map(|s| s.row)
            .collect();
        next.fused
            .retain(|s| s.state.learns() || !taken.contains(&s.row));
        for seat in next.fused.iter_mut().filter(|s| ids.contains(&s.id)) {
            seat.state = FusedState::InSync;
            rows.push(seat.row);
        }
        Step::Change(Reason::LearnersPromoted(rows))
    }

    /// Rule 54: learners that have caught up while they copied count from now on.
    fn let_count(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        if config.lost().next().is_some() || config.copying().next().is_none() {
            return Step::Nothing;
        }
        let complete = |s: &FusedSeat| {
            self.condition(s.id) == Some(Condition::Complete) && !self.dead(s.id, &s.host)
        };
        let caught_up = config.copying().filter(|s| complete(s));
        let ids: BTreeSet<MemberId> = caught_up.map(|s| s.id).collect();
        if ids.is_empty() {
            return Step::Nothing;
        }
        let mut rows = Vec::new();
        for seat in next.fused.iter_mut().filter(|s| ids.contains(&s.id)) {
            seat.state = FusedState::Joining;
            rows.push(seat.row);
        }
        Step::Change(Reason::LearnersCaughtUp(rows))
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
            (needed, true) => Step::Wait(self.no_server(needed)),
            _ => Step::Change(Reason::LearnersAdded(added)),
        }
    }
}

#[cfg(test)]
mod tests;
