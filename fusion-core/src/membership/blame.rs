//! Who is to blame for complaints (PROTOCOL rules 22, 51).

use super::Planner;
use crate::config::{FusedState, PrimaryState};
use crate::fault::{Fault, planted};
use crate::id::MemberId;
use crate::message::Condition;
use std::collections::{BTreeMap, BTreeSet};

/// Two members that cannot hear each other, the lesser id first.
type Link = (MemberId, MemberId);

/// What a member that is blamed costs: of two that explain as much, the cheaper one is blamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    /// What a code or a primary is: nothing that is needed may be given up for a guess.
    Primary,
    InSync,
    /// A primary beside the last code: the code has all that it answered, and it may return (rule 50). The other way
    /// round, what it answers from then on would be nowhere else.
    PrimaryOfTheLastCode,
    Learner,
    MoveTarget,
    Replacement,
}

/// Who is blamed, and who would be if it could be spared.
#[derive(Debug, Default)]
pub(super) struct Blame {
    /// They are given up.
    pub(super) blamed: BTreeSet<MemberId>,
    /// What members at two servers missed, and alone, which may not be given up.
    pub(super) kept_common: BTreeSet<MemberId>,
}

/// What may yet be given up, as blame goes on.
struct Budget {
    /// Primaries lost, gone or blamed.
    lost: usize,
    /// Primaries that were moved and may still need a code to take over.
    dependent: usize,
    /// Codes in sync that are neither gone nor blamed.
    codes: usize,
    /// Servers that nobody needs yet.
    servers: usize,
}

/// Who is to blame when members cannot hear each other: the one that most complaints are about or from, until no
/// complaint is left; of equals the one that was missed at another server, too; then the replacement, the move target, the
/// learner, the code, the primary, but the primary before the last code. It is a guess, and never makes the loss exceed
/// f: who may not be given up is passed over, and the other end of the link is blamed; if neither may be, nobody is (rule
/// 51).
pub(super) fn blame(planner: &Planner<'_>) -> Blame {
    let mut broken = broken_links(planner);
    let mut found = Blame::default();
    let stranded = stranded(planner);
    if broken.is_empty() && stranded.is_empty() {
        return found;
    }
    let mut budget = Budget::new(planner);
    // What they lack is with the codes: they are recovered from these, and may return (rules 36, 50).
    for id in stranded {
        if budget.lost < budget.codes {
            budget.spend(Cost::Primary);
            broken.retain(|&(from, about)| from != id && about != id);
            found.blamed.insert(id);
        }
    }
    let mut kept: BTreeSet<MemberId> = BTreeSet::new();
    while let Some((worst, common, cost)) = worst(planner, &broken, &kept, &budget) {
        // With a primary that stays for want of a server in mind, the last code is not given up.
        if budget.allows(cost, !kept.is_empty()) {
            budget.spend(cost);
            broken.retain(|&(from, about)| from != worst && about != worst);
            found.blamed.insert(worst);
        } else {
            kept.insert(worst);
            if common {
                found.kept_common.insert(worst);
            }
            broken.retain(|(from, about)| !(kept.contains(from) && kept.contains(about)));
        }
    }
    found
}

/// Primaries that take over and lack what nobody hands them, though their servers answer.
fn stranded(planner: &Planner<'_>) -> Vec<MemberId> {
    let active = planner.config.active().map(|(_, seat)| seat);
    let stranded = active.filter(|seat| {
        planner.condition(seat.id) == Some(Condition::Stranded)
            && !planner.gone(seat.id, &seat.host)
    });
    stranded.map(|seat| seat.id).collect()
}

/// Whoever is gone anyway explains the complaints about it, and so does a primary that is being moved for replacements that
/// miss it (rule 36).
fn broken_links(planner: &Planner<'_>) -> BTreeSet<Link> {
    let (config, evidence) = (planner.config, planner.evidence);
    let lives = |id: MemberId| {
        let host = config.host_of(id);
        host.is_some_and(|host| !planner.gone(id, host))
    };
    let mut broken = BTreeSet::new();
    for (&from, heard) in &evidence.reports {
        if heard.report.epoch == config.epoch && lives(from) {
            let about = heard.report.complaints.iter();
            let about = about.filter(|&&m| lives(m) && !waits_for_move(planner, from, m));
            // Two that complain about each other have one broken link.
            broken.extend(about.map(|&m| (from.min(m), from.max(m))));
        }
    }
    broken
}

/// Who explains most of what is broken, of those that are not kept already.
fn worst(
    planner: &Planner<'_>,
    broken: &BTreeSet<Link>,
    kept: &BTreeSet<MemberId>,
    budget: &Budget,
) -> Option<(MemberId, bool, Cost)> {
    let mut counts: BTreeMap<MemberId, usize> = BTreeMap::new();
    for (from, about) in broken {
        *counts.entry(*from).or_default() += 1;
        *counts.entry(*about).or_default() += 1;
    }
    let ends = counts.into_iter().filter(|(id, _)| !kept.contains(id));
    let costs = ends.map(|(id, count)| {
        let common = is_common_end(planner, broken, id);
        (count, common, cost(planner, id, budget), id)
    });
    let (_, common, cost, id) =
        costs.max_by_key(|&(count, common, cost, id)| (count, common, cost, id))?;
    Some((id, common, cost))
}

/// Whether the one is a replacement and the other a primary that is being moved: it is the heir that will answer it.
fn waits_for_move(planner: &Planner<'_>, a: MemberId, b: MemberId) -> bool {
    let config = planner.config;
    let is_made = |id| config.lost().any(|j| config.primaries[j.index()].id == id);
    let moves = |id| {
        let mut heirs = config.heirs();
        heirs.any(|(j, _)| config.primaries[j.index()].id == id)
    };
    is_made(a) && moves(b) || moves(a) && is_made(b)
}

/// Whether one that was given up at another server than the other end's could hear everybody but this one: then it is
/// rather this one's fault than that of two servers.
fn is_common_end(planner: &Planner<'_>, broken: &BTreeSet<Link>, id: MemberId) -> bool {
    let Some(missed_at) = planner.evidence.missed.get(&id) else {
        return false;
    };
    let other = |&(a, b): &Link| match (a == id, b == id) {
        (true, _) => Some(b),
        (_, true) => Some(a),
        _ => None,
    };
    let hosts = broken
        .iter()
        .filter_map(other)
        .filter_map(|id| planner.config.host_of(id));
    let mut servers = hosts.map(|host| host.server);
    let common = servers.any(|server| missed_at.iter().any(|&at| at != server));
    common && !planted(Fault::CommonEndSpared)
}

fn cost(planner: &Planner<'_>, id: MemberId, budget: &Budget) -> Cost {
    let config = planner.config;
    let old_order = planted(Fault::BlameTheLastCode);
    if config.inherits(id).is_some() {
        return Cost::MoveTarget;
    }
    if let Some(seat) = config.fused_seat(id) {
        return match seat.state {
            FusedState::InSync if old_order => Cost::Learner,
            FusedState::InSync => Cost::InSync,
            _ => Cost::Learner,
        };
    }
    let seat = config.primaries.iter().find(|s| s.id == id);
    match seat.map(|s| s.state) {
        Some(PrimaryState::Lost) if !old_order => Cost::Replacement,
        _ if budget.codes == 1 && budget.allows(Cost::Primary, false) => {
            match old_order || planted(Fault::CodeBeforePrimary) {
                true => Cost::Primary,
                false => Cost::PrimaryOfTheLastCode,
            }
        }
        _ => Cost::Primary,
    }
}

impl Budget {
    fn new(planner: &Planner<'_>) -> Budget {
        let config = planner.config;
        let newly = planner.lost_or_gone().len() - config.lost().count();
        let unplaced = config.lost().filter(|&j| planner.replacement_dead(j));
        let needed = newly + unplaced.count();
        Budget {
            lost: planner.lost_or_gone().len(),
            dependent: planner.taking_over().count(),
            codes: planner.codes_left(),
            servers: planner.free_servers().len().saturating_sub(needed),
        }
    }

    fn allows(&self, cost: Cost, others_kept: bool) -> bool {
        if planted(Fault::BlameTheLastCode) {
            return true;
        }
        match cost {
            Cost::Replacement | Cost::MoveTarget | Cost::Learner => true,
            Cost::InSync => {
                let needed = self.lost + self.dependent;
                self.codes > needed.max(usize::from(others_kept))
            }
            // Where nobody could take its place, nothing would be better for it.
            Cost::Primary | Cost::PrimaryOfTheLastCode => {
                self.lost < self.codes && self.servers > 0
            }
        }
    }

    fn spend(&mut self, cost: Cost) {
        match cost {
            Cost::Replacement | Cost::MoveTarget | Cost::Learner => {}
            Cost::InSync => self.codes = self.codes.saturating_sub(1),
            Cost::Primary | Cost::PrimaryOfTheLastCode => {
                self.lost += 1;
                self.servers = self.servers.saturating_sub(1);
            }
        }
    }
}
