//! Who is to blame for complaints (PROTOCOL rule 22).

use super::Planner;
use crate::id::MemberId;
use std::collections::{BTreeMap, BTreeSet};

/// Who is to blame when members cannot hear each other: the one that most complaints are about or from, until no
/// complaint is left; of two alike an heir, then a fused member, since a primary has what the codes are made of. A guess
/// may be wrong and costs only work (rule 22).
pub(super) fn blame(planner: &Planner<'_>) -> BTreeSet<MemberId> {
    let (config, evidence) = (planner.config, planner.evidence);
    // Whoever is dead anyway explains the complaints about it.
    let lives = |id: MemberId| {
        config
            .host_of(id)
            .is_some_and(|host| !planner.dead(id, host))
    };
    let mut broken: BTreeSet<(MemberId, MemberId)> = BTreeSet::new();
    for (&from, heard) in &evidence.reports {
        if heard.report.epoch == config.epoch && lives(from) {
            let about = heard.report.complaints.iter().filter(|&&m| lives(m));
            // Two that complain about each other have one broken link.
            broken.extend(about.map(|&m| (from.min(m), from.max(m))));
        }
    }
    let mut blamed = BTreeSet::new();
    while !broken.is_empty() {
        let mut counts: BTreeMap<MemberId, usize> = BTreeMap::new();
        for (from, about) in &broken {
            *counts.entry(*from).or_default() += 1;
            *counts.entry(*about).or_default() += 1;
        }
        let worst = counts.into_iter().max_by_key(|&(id, count)| {
            let heir = config.inherits(id).is_some();
            (count, heir, config.fused_seat(id).is_some(), id)
        });
        let Some((worst, _)) = worst else { break };
        broken.retain(|&(from, about)| from != worst && about != worst);
        blamed.insert(worst);
    }
    blamed
}
