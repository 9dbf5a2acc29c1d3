//! Going on after more than f were lost (PROTOCOL rules 37, 62): an operator's decision, never a coordinator's.
//!
//! A loss is accepted in two steps. [`foresee_loss`] says what it would cost; [`accept_loss`] is told what the operator
//! has seen of that, and changes nothing when it is not so any more.

use super::placement::places;
use super::{Evidence, Plan, Planner, Waiting, plan};
use crate::avoidance::provisional;
use crate::config::{Configuration, Host, Origin, PrimaryState};
use crate::fault::{Fault, planted};
use crate::id::{MemberId, PrimaryIndex, Row, ServerId};
use crate::limits::MAX_MEMBERS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use thiserror::Error;

/// What a member is to its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A primary, or the one that was.
    Primary(PrimaryIndex),
    /// What a replacement or a copy has of a primary.
    CopyOf(PrimaryIndex),
    /// The codes of a row.
    Codes(Row),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Primary(index) => write!(f, "primary {index}"),
            Part::CopyOf(index) => write!(f, "the copy of primary {index}"),
            Part::Codes(row) => write!(f, "fused structure {row}"),
        }
    }
}

/// One member, and where its state is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The member.
    pub id: MemberId,
    /// What it is.
    pub part: Part,
    /// Where it runs, or ran.
    pub host: Host,
}

/// What the acceptance of a loss would cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreseen {
    /// The primaries that would begin empty.
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
    pub lost: Vec<PrimaryIndex>,
    /// Members that are silent, or not there any more: should they come back, their state goes as well.
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, { 2 * MAX_MEMBERS }>")]
    pub gone: Vec<Placed>,
    /// Members that live, and whose state would go.
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, { 2 * MAX_MEMBERS }>")]
    pub wiped: Vec<Placed>,
    /// The lost primaries whose leases nobody has seen end: cut off only, they may still answer reads.
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
    pub may_still_read: Vec<PrimaryIndex>,
}

impl Foreseen {
    /// The servers with members that live and would be wiped, each once, ascending.
    #[must_use]
    pub fn wiped_servers(&self) -> BTreeSet<ServerId> {
        self.wiped.iter().map(|m| m.host.server).collect()
    }
}

/// What an operator has seen, and accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// The primaries that begin empty: exactly those that are lost.
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
    pub lose: Vec<PrimaryIndex>,
    /// Every server with a living member whose state goes; others may be named, too.
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, { 2 * MAX_MEMBERS }>")]
    pub wipe: Vec<ServerId>,
    /// The operator's word that no process of a lost primary runs any more, not even cut off. Without it, a fused member
    /// of this epoch, which gives the lost primary no further lease, must have said that the lease of each is over.
    pub processes_are_dead: bool,
}

/// Why a loss is not accepted. Nothing changes then.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LossError {
    /// Everything can still be recovered without it.
    #[error("nothing is lost for good: what is dead can be recovered from what is left")]
    NothingLost,
    /// What was lost is not what the operator has seen: somebody came back, or another one is gone.
    #[error(
        "what is lost has changed since you looked, primaries {lost:?} are: look again, and name those with --lose"
    )]
    OtherLoss {
        /// What is lost now.
        lost: Vec<u16>,
    },
    /// Living members would lose their state, and the operator has not named them.
    #[error(
        "members that live on servers {servers:?} would be wiped: name those with --wipe, if that is wanted"
    )]
    Lives {
        /// Their servers.
        servers: Vec<u64>,
    },
    /// Their processes may be cut off only, and may still answer reads.
    #[error(
        "primaries {indices:?} may still answer reads somewhere: make sure that their processes are dead, and say so with --processes-are-dead"
    )]
    MayStillRead {
        /// The primaries whose leases nobody has seen end.
        indices: Vec<u16>,
    },
    /// There is nowhere to put them.
    #[error("{needed} more servers without a member of this cluster are needed")]
    NoServer {
        /// How many.
        needed: usize,
    },
}

/// What the acceptance of a loss would cost now. Only silence, and the word of a server that a member is not there, count
/// as loss: where the coordinator itself could still decide something, nothing is lost (rule 62).
///
/// # Errors
/// [`LossError::NothingLost`].
pub fn foresee_loss(config: &Configuration, evidence: &Evidence) -> Result<Foreseen, LossError> {
    let planner = Planner::new(config, evidence);
    let lost: BTreeSet<PrimaryIndex> = planner.lost_for_good()?.into_iter().collect();
    let goes_on = |id: MemberId| {
        let mut active = config.active();
        active.any(|(j, s)| s.id == id && !lost.contains(&j))
    };
    let (mut gone, mut wiped) = (Vec::new(), Vec::new());
    for member in all_members(config).filter(|m| !goes_on(m.id)) {
        let dead = planner.gone(member.id, &member.host);
        // A place where nothing was ever made is no loss.
        let empty = planner.condition(member.id).is_none();
        let being_made = provisional(config).any(|(id, _)| id == member.id);
        match dead {
            _ if being_made && empty => {}
            true => gone.push(member),
            false => wiped.push(member),
        }
    }
    Ok(Foreseen {
        may_still_read: planner.may_still_read(&lost),
        lost: lost.into_iter().collect(),
        gone,
        wiped,
    })
}

/// Every member that has state of a cluster, or may have.
fn all_members(config: &Configuration) -> impl Iterator<Item = Placed> + '_ {
    let seats = (0u16..).map(PrimaryIndex).zip(&config.primaries);
    let seats = seats.map(|(j, s)| {
        let part = match s.state {
            PrimaryState::Active => Part::Primary(j),
            PrimaryState::Lost => Part::CopyOf(j),
        };
        (s.id, part, &s.host)
    });
    let formers = config.formers().chain(config.moved());
    let formers = formers.map(|(j, f)| (f.id, Part::Primary(j), &f.host));
    let heirs = config.heirs();
    let heirs = heirs.map(|(j, h)| (h.id, Part::CopyOf(j), &h.host));
    let codes = config.fused.iter();
    let codes = codes.map(|s| (s.id, Part::Codes(s.row), &s.host));
    let away = config.codes_away();
    let codes = codes.chain(away.map(|f| (f.id, Part::Codes(f.row), &f.host)));
    let all = seats.chain(formers).chain(heirs).chain(codes);
    all.map(|(id, part, host)| Placed {
        id,
        part,
        host: host.clone(),
    })
}

impl Planner<'_> {
    /// The primaries that are lost, if nothing can be decided for them but by an operator.
    fn lost_for_good(&self) -> Result<Vec<PrimaryIndex>, LossError> {
        if planted(Fault::LossCountsFormers) {
            let lost = self.lost_or_gone();
            return match lost.len() > self.codes_left() {
                true => Ok(lost),
                false => Err(LossError::NothingLost),
            };
        }
        match plan(self.config, self.evidence, 0) {
            Plan::Wait(Waiting::MoreThanF { primaries, .. }) => Ok(primaries),
            _ => Err(LossError::NothingLost),
        }
    }

    /// Of the lost, those whose leases no sealed fused member has seen end (rule 37).
    fn may_still_read(&self, lost: &BTreeSet<PrimaryIndex>) -> Vec<PrimaryIndex> {
        let said = self.config.in_sync().filter_map(|s| self.heard(s.id));
        let over: BTreeSet<PrimaryIndex> = said
            .flat_map(|h| h.report.leases_over.iter().copied())
            .collect();
        let sealed = |j: &PrimaryIndex| {
            over.contains(j) && self.config.primaries[j.index()].state == PrimaryState::Lost
        };
        lost.iter().copied().filter(|j| !sealed(j)).collect()
    }
}

/// The next configuration, in which lost primaries begin empty under new ids and all codes are made anew; and which
/// primaries those are. All that they held is gone; the others keep everything.
///
/// # Errors
/// [`LossError`]: what is lost, and who lives and would be wiped, must be what the operator named.
pub fn accept_loss(
    config: &Configuration,
    evidence: &Evidence,
    nonce: u64,
    acceptance: &Acceptance,
) -> Result<(Configuration, Vec<PrimaryIndex>), LossError> {
    let foreseen = foresee_loss(config, evidence)?;
    let lost: BTreeSet<PrimaryIndex> = foreseen.lost.iter().copied().collect();
    let indices = |of: &[PrimaryIndex]| of.iter().map(|j| j.0).collect::<Vec<u16>>();
    if lost != acceptance.lose.iter().copied().collect() {
        let lost = indices(&foreseen.lost);
        return Err(LossError::OtherLoss { lost });
    }
    let mut unnamed = foreseen.wiped_servers();
    unnamed.retain(|server| !acceptance.wipe.contains(server));
    if !unnamed.is_empty() {
        let servers = unnamed.iter().map(|s| s.0).collect();
        return Err(LossError::Lives { servers });
    }
    if !acceptance.processes_are_dead && !foreseen.may_still_read.is_empty() {
        let indices = indices(&foreseen.may_still_read);
        return Err(LossError::MayStillRead { indices });
    }
    begin_anew(config, evidence, nonce, &lost)
}

fn begin_anew(
    config: &Configuration,
    evidence: &Evidence,
    nonce: u64,
    lost: &BTreeSet<PrimaryIndex>,
) -> Result<(Configuration, Vec<PrimaryIndex>), LossError> {
    let mut hosts = places(config, evidence, lost);
    if hosts.len() < lost.len() {
        let needed = lost.len() - hosts.len();
        return Err(LossError::NoServer { needed });
    }
    let mut next = config.successor(nonce);
    for &j in lost {
        let id = next.take_id();
        let seat = &mut next.primaries[j.index()];
        seat.id = id;
        seat.host = hosts.remove(0);
        seat.state = PrimaryState::Active;
        seat.origin = Origin::Created;
        seat.former = None;
        seat.moved_from = None;
    }
    for seat in &mut next.primaries {
        seat.heir = None;
    }
    next.fused.clear();
    next.former_codes.clear();
    for (row, host) in (0..config.faults).map(Row).zip(hosts) {
        next.add_learner(row, host);
    }
    Ok((next, lost.iter().copied().collect()))
}
