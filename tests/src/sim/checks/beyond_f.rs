//! Invariant 10: "more than f" is said only if more than f are gone for good or not heard of, and it remains only
//! where the truth proves it. What was only blamed, or answers, is neither.

use crate::sim::moods::Mood;
use crate::sim::truth::Place;
use crate::sim::world::World;
use fusion_core::config::{Configuration, PrimarySeat, PrimaryState};
use fusion_core::id::{MemberId, PrimaryIndex};
use fusion_core::membership::{Evidence, Plan, Waiting};
use fusion_core::message::Condition;

/// Whether nothing is heard of a member: its server is silent or says nothing of it in this epoch, or that it is not
/// there.
#[must_use]
pub fn is_unheard(config: &Configuration, evidence: &Evidence, member: MemberId) -> bool {
    let report = evidence.reports.get(&member).map(|h| &h.report);
    let now = report.filter(|r| r.epoch == config.epoch);
    let host = config.host_of(member);
    let server = host.and_then(|h| evidence.servers.get(&h.server));
    server.is_none_or(|s| s.suspected_since_ms.is_some())
        || evidence.silent.contains_key(&member)
        || now.is_some_and(|r| r.condition == Condition::Missing)
}

/// A coordinator has decided what to do.
///
/// # Panics
/// When it says that more than f are lost while too few are unheard of.
pub fn on_plan(config: &Configuration, evidence: &Evidence, plan: &Plan) {
    if matches!(plan, Plan::Wait(Waiting::MoreThanF { .. })) {
        are_unheard(config, evidence, "\"more than f\" is said");
    }
}

/// "More than f" is said, or a loss accepted.
///
/// # Panics
/// When too few are unheard of.
pub fn are_unheard(config: &Configuration, evidence: &Evidence, what: &str) {
    let answers = |member| {
        let report = evidence.reports.get(&member).map(|h| &h.report);
        report.is_some_and(|r| r.epoch == config.epoch && r.condition == Condition::Suspended)
            && !is_unheard(config, evidence, member)
    };
    // It needs the one that was moved, as long as it does not serve (rule 36).
    let stuck = |seat: &PrimarySeat| {
        let report = evidence.reports.get(&seat.id).map(|h| &h.report);
        let waits = report
            .is_some_and(|r| matches!(r.condition, Condition::TakingOver | Condition::Stranded));
        let former = seat.moved_from.as_ref().filter(|_| waits);
        former.is_some_and(|f| is_unheard(config, evidence, f.id))
    };
    let gone = |j: &PrimaryIndex| {
        let seat = &config.primaries[j.index()];
        match seat.state {
            PrimaryState::Active => is_unheard(config, evidence, seat.id) || stuck(seat),
            PrimaryState::Lost => !seat.former.as_ref().is_some_and(|f| answers(f.id)),
        }
    };
    let all = (0..config.n() as u16).map(PrimaryIndex);
    let gone: Vec<_> = all.filter(gone).collect();
    let codes = config.in_sync();
    let codes = codes
        .filter(|s| !is_unheard(config, evidence, s.id))
        .count();
    let rows = usize::from(config.faults) - codes;
    assert!(
        gone.len() > codes,
        "invariant 10: {what} while primaries {gone:?} and {rows} codes of {} are not heard of in {config:?}",
        config.faults
    );
}

/// A run ended with "more than f".
///
/// # Panics
/// When no more than f are gone for good.
pub fn at_the_end(world: &World) {
    if !world.moods.has(Mood::Proof) {
        return;
    }
    // One that was moved and has not served yet needs the one before it, too, where no code is left (rule 36).
    let lacks = |place: &Place, member| {
        let &Place::Primary(j) = place else {
            return false;
        };
        let before = world.store.config.primaries[j.index()].moved_from.as_ref();
        let dead = before.is_some_and(|f| !world.servers.contains_key(&f.host.server));
        dead && !world.truth.served.contains(&member)
    };
    let holders = world.truth.holders.iter();
    let gone = holders.filter(|(place, h)| {
        h.given_up
            || !world.servers.contains_key(&h.server)
            || world.went_back(h.server, h.member)
            || lacks(place, h.member)
    });
    let gone: Vec<Place> = gone.map(|(&place, _)| place).collect();
    assert!(
        gone.len() > world.shape.faults,
        "invariant 10: \"more than f\" remains, but only {gone:?} are gone for good, in {:?}",
        world.store.config
    );
}
