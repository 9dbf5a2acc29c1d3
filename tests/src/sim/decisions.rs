//! What a coordinator must not decide, played by hand: its evidence is made up, its decisions are the core's (rules 50,
//! 51, 55, 62). The exhaustive test of `fusion-core/tests/planner` finds most of it, too.

use fusion_core::config::{ClusterShape, Configuration, FusedState};
use fusion_core::detector::{Detector, Seen};
use fusion_core::id::{ClusterId, MemberId, Seq, ServerId};
use fusion_core::membership::{self, Plan, Reason, ServerView, Waiting};
use fusion_core::message::{Condition, MemberReport};
use fusion_core::op::Kind;
use fusion_core::time::Timing;
use std::collections::{BTreeMap, BTreeSet};

/// A coordinator whose servers' heartbeats are played by hand.
struct Played {
    config: Configuration,
    detector: Detector,
    now_ms: u64,
    /// Servers that are heard of.
    heard: BTreeSet<u64>,
    /// What members say, as long as they are heard of.
    says: BTreeMap<u64, (Condition, Vec<u64>)>,
    changes: Vec<Reason>,
}

impl Played {
    fn new(n: usize, f: usize, spares: usize) -> Result<Played, String> {
        let shape = ClusterShape::new("c", Kind::Map, n, f, false).map_err(|e| e.to_string())?;
        let hosts: Vec<_> = (1..=(n + f) as u64).map(super::world::host).collect();
        let config = Configuration::create(1, ClusterId(1), 1, &shape, &hosts);
        let mut detector = Detector::new(&Timing::default(), 0);
        let servers = 1..=(n + f + spares) as u64;
        servers
            .clone()
            .for_each(|id| detector.add_server(ServerId(id)));
        detector.installed(&config, 0);
        Ok(Played {
            config,
            detector,
            now_ms: 0,
            heard: servers.collect(),
            says: BTreeMap::new(),
            changes: Vec::new(),
        })
    }

    fn evidence(&self) -> membership::Evidence {
        let view = |(id, seen): (ServerId, Seen)| {
            let view = ServerView {
                address: String::new(),
                last_heard_ms: seen.last_heard_ms,
                suspected_since_ms: seen.suspected_since_ms,
                load: 0,
                draining: false,
                ..ServerView::default()
            };
            (id, view)
        };
        let servers = self.detector.servers().map(view).collect();
        self.detector.evidence(&self.config, servers)
    }

    /// Time goes on by `ms`, in steps of half a heartbeat: everybody who is heard of reports, and whatever is decided is
    /// in the store at once. A member says that it serves, or what `says` has for it.
    fn pass(&mut self, ms: u64) -> Plan {
        let step = self.config.timing.heartbeat().as_millis() as u64 / 2;
        let end = self.now_ms + ms;
        let mut plan = Plan::Keep;
        while self.now_ms < end {
            self.now_ms += step;
            self.report();
            self.detector.tick(self.now_ms);
            plan = membership::plan(&self.config, &self.evidence(), self.now_ms);
            if let Plan::Change(next, reason) = &plan {
                self.config = (**next).clone();
                self.changes.push(reason.clone());
                self.detector.installed(&self.config, self.now_ms);
            }
        }
        plan
    }

    fn report(&mut self) {
        for &server in &self.heard {
            self.detector.hear(ServerId(server), self.now_ms);
        }
        let formers = self.config.formers().map(|(_, f)| f.id);
        let away = self.config.codes_away().map(|f| f.id);
        let former: BTreeSet<MemberId> = formers.chain(away).collect();
        let members: Vec<MemberId> = self.config.members().chain(former.clone()).collect();
        for id in members {
            let host = self.config.host_of(id).map(|h| h.server.0);
            if host.is_none_or(|server| !self.heard.contains(&server)) {
                continue;
            }
            let (condition, complaints) = match self.says.get(&id.0) {
                Some((condition, about)) => (*condition, about.clone()),
                None if former.contains(&id) => (Condition::Suspended, Vec::new()),
                None => (Condition::Serving, Vec::new()),
            };
            let (cluster, epoch) = (self.config.cluster, self.config.epoch);
            let mut report = MemberReport::new(cluster, id, epoch, condition);
            report.complaints = complaints.into_iter().map(MemberId).collect();
            self.detector.hear_of(report, self.now_ms);
        }
    }
}

const LONG_MS: u64 = 5_000;

/// Row 1 of "within f": a primary stops for longer than T_s, its only code is killed, and the primary goes on.
pub(super) fn a_primary_that_returns() -> Result<(), String> {
    let mut played = Played::new(1, 1, 0)?;
    played.pass(LONG_MS);
    played.heard.remove(&1);
    played.pass(LONG_MS);
    played.heard.remove(&2);
    played.pass(LONG_MS);
    played.heard.insert(1);
    let loss = {
        played.report();
        membership::foresee_loss(&played.config, &played.evidence())
    };
    if loss.is_ok() {
        return Err("invariant 10: a loss may be accepted of a primary that answers".into());
    }
    match played.pass(LONG_MS) {
        Plan::Wait(Waiting::MoreThanF { .. }) => {
            Err("invariant 10: more than f is said, and the primary answers".into())
        }
        _ => Ok(()),
    }
}

/// Row 2: a primary dies, and the first spare cannot reach the only code; another one could.
pub(super) fn a_replacement_with_a_bad_link() -> Result<(), String> {
    let mut played = Played::new(1, 1, 2)?;
    played.pass(LONG_MS);
    played.heard.remove(&1);
    let (done, total) = (0, 1);
    while !played
        .changes
        .iter()
        .any(|r| matches!(r, Reason::PrimariesLost(_)))
    {
        played.pass(100);
    }
    let replacement = played.config.primaries[0].id;
    let recovering = Condition::Recovering { done, total };
    played.says.insert(replacement.0, (recovering, vec![2]));
    played.pass(LONG_MS);
    let again = played.config.primaries[0].id != replacement;
    if played.config.in_sync().next().is_none() {
        return Err("invariant 10: the last code was given up for a link".into());
    }
    again
        .then_some(())
        .ok_or_else(|| "invariant 9: the replacement stays where it reaches nobody".into())
}

/// A primary is lost, and another one cannot reach the only code: neither is gone, and neither may be given up.
pub(super) fn a_bad_link_while_nothing_can_be_spared() -> Result<(), String> {
    let mut played = Played::new(2, 1, 1)?;
    played.pass(LONG_MS);
    played.heard.remove(&1);
    let (done, total) = (0, 1);
    while !played
        .changes
        .iter()
        .any(|r| matches!(r, Reason::PrimariesLost(_)))
    {
        played.pass(100);
    }
    let replacement = played.config.primaries[0].id;
    let recovering = Condition::Recovering { done, total };
    played.says.insert(replacement.0, (recovering, Vec::new()));
    played.says.insert(2, (Condition::Serving, vec![3]));
    match played.pass(LONG_MS) {
        Plan::Wait(Waiting::Recovering) if played.config.lost().count() == 1 => Ok(()),
        other => Err(format!("invariant 10: {other:?} for a link")),
    }
}

/// P1 is dead. P0 reaches everybody and is reached by nobody: whoever replaces P1, wherever, cannot ask it. P0 must be
/// given up in the end, since it can be recovered (rule 51).
pub(super) fn a_primary_that_nobody_reaches() -> Result<(), String> {
    nobody_reaches(Played::new(2, 2, 3)?)
}

/// As before, with one code alone: it cannot be given up, and is moved, since it reaches whoever copies it (rule 51).
pub(super) fn a_primary_that_nobody_reaches_and_that_cannot_be_spared() -> Result<(), String> {
    nobody_reaches(Played::new(2, 1, 4)?)
}

fn nobody_reaches(mut played: Played) -> Result<(), String> {
    let complain_ms = played.config.timing.complain_after().as_millis() as u64;
    played.pass(LONG_MS);
    played.heard.remove(&2);
    let (done, total) = (0, 1);
    let (mut replacement, mut since) = (MemberId(2), 0);
    let end = played.now_ms + 20 * complain_ms;
    while played.now_ms < end {
        let now = played.config.primaries[1].id;
        if now != replacement {
            (replacement, since) = (now, played.now_ms);
        }
        let unreached = played.config.active().any(|(_, s)| s.id == MemberId(1));
        let late = played.now_ms - since >= complain_ms;
        let missed = if late { vec![1] } else { Vec::new() };
        for j in played.config.lost().collect::<Vec<_>>() {
            let says = match unreached {
                true => (Condition::Recovering { done, total }, missed.clone()),
                false => (Condition::Ready { seq: Seq(1) }, Vec::new()),
            };
            let id = played.config.primaries[j.index()].id;
            played.says.insert(id.0, says);
        }
        if let Some((_, heir)) = played.config.heirs().next() {
            played
                .says
                .insert(heir.id.0, (Condition::Complete, Vec::new()));
        }
        for (j, _) in played.config.moved() {
            let id = played.config.primaries[j.index()].id;
            played.says.remove(&id.0);
        }
        played.pass(100);
        let again = |r: &Reason| matches!(r, Reason::PrimariesRecovered(_));
        if played.changes.iter().any(again) {
            return Ok(());
        }
    }
    let changes = &played.changes;
    Err(format!(
        "invariant 9: replacements are given up for ever: {changes:?}"
    ))
}

/// P0 and the only code cannot reach each other, and then P0 dies: what it answered must be in the code (rule 51).
pub(super) fn a_primary_that_misses_the_last_code_and_dies() -> Result<(), String> {
    let mut played = Played::new(2, 1, 1)?;
    played.pass(LONG_MS);
    played.says.insert(1, (Condition::Serving, vec![3]));
    let before = played.changes.len();
    while played.changes.len() == before {
        played.pass(100);
    }
    let id = played.config.primaries[0].id;
    let (done, total) = (0, 1);
    if id != MemberId(1) {
        let recovering = Condition::Recovering { done, total };
        played.says.remove(&1);
        played.says.insert(id.0, (recovering, Vec::new()));
    }
    played.heard.remove(&1);
    match played.pass(LONG_MS) {
        Plan::Wait(Waiting::MoreThanF { .. }) => {
            Err("invariant 10: the last code was given up for a link, and then its end died".into())
        }
        _ => Ok(()),
    }
}

/// P0 is lost, and P1 and its replacement miss a code that lives: it is given up, while the other one is dead and not
/// missed yet. It has all that P0 answered (rule 52).
pub(super) fn a_code_that_is_given_up_while_another_one_is_dead() -> Result<(), String> {
    let mut played = Played::new(2, 2, 1)?;
    played.pass(LONG_MS);
    played.heard.remove(&1);
    let lost = |r: &Reason| matches!(r, Reason::PrimariesLost(_));
    while !played.changes.iter().any(lost) {
        played.pass(100);
    }
    let (done, total) = (0, 1);
    let recovering = Condition::Recovering { done, total };
    let replacement = played.config.primaries[0].id.0;
    played.says.insert(replacement, (recovering, vec![3]));
    played.says.insert(2, (Condition::Serving, vec![3]));
    played.pass(100);
    played.heard.remove(&4);
    let removed = |r: &Reason| matches!(r, Reason::FusedRemoved(_));
    let end = played.now_ms + LONG_MS;
    while !played.changes.iter().any(removed) {
        if played.now_ms >= end {
            return Err("the code is not given up".into());
        }
        played.pass(100);
    }
    played.says.clear();
    let end = played.now_ms + 2 * LONG_MS;
    while played.now_ms < end {
        let code = played.config.fused_seat(MemberId(3)).map(|s| s.state);
        let (says, ready) = match code {
            Some(FusedState::InSync) => (Condition::Serving, Condition::Ready { seq: Seq(1) }),
            Some(_) => (Condition::Complete, recovering),
            None => (Condition::Suspended, recovering),
        };
        played.says.insert(3, (says, Vec::new()));
        let replacement = played.config.primaries[0].id.0;
        played.says.insert(replacement, (ready, Vec::new()));
        played.pass(100);
        let recovered = |r: &Reason| matches!(r, Reason::PrimariesRecovered(_));
        if played.changes.iter().any(recovered) {
            return Ok(());
        }
    }
    let changes = &played.changes;
    Err(format!(
        "invariant 10: what the code that lives has is lost: {changes:?}"
    ))
}

/// Row 5: a code dies, and the primary cannot reach the only spare, for a hundred T_c.
pub(super) fn a_spare_that_nobody_reaches() -> Result<(), String> {
    let mut played = Played::new(1, 1, 1)?;
    let complain_ms = played.config.timing.complain_after().as_millis() as u64;
    played.pass(LONG_MS);
    played.heard.remove(&2);
    let (mut learner, mut since) = (None, 0);
    let end = played.now_ms + 100 * complain_ms;
    while played.now_ms < end {
        let now = played.config.learners().map(|s| s.id).next();
        if now != learner {
            (learner, since) = (now, played.now_ms);
        }
        let late = played.now_ms - since >= complain_ms;
        let missed = learner.filter(|_| late).map(|id| id.0);
        played
            .says
            .insert(1, (Condition::Serving, missed.into_iter().collect()));
        if let Some(id) = learner {
            let learning = Condition::Learning { done: 0, total: 1 };
            played.says.insert(id.0, (learning, Vec::new()));
        }
        played.pass(100);
    }
    let tried = played.changes.iter();
    match tried
        .filter(|r| matches!(r, Reason::LearnersAdded(_)))
        .count()
    {
        0 => Err("invariant 9: the spare was never tried".into()),
        1..=8 => Ok(()),
        tried => Err(format!("invariant 11: the spare was tried {tried} times")),
    }
}
