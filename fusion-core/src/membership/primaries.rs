//! Primaries that are lost, and those that come back or are replaced (PROTOCOL rules 24, 25, 34, 50).

use super::{Planner, Reason, Step, Waiting};
use crate::config::{Configuration, Former, FusedState, Origin, PrimarySeat, PrimaryState};
use crate::fault::{Fault, planted};
use crate::id::PrimaryIndex;
use crate::message::Condition;

impl Planner<'_> {
    /// Rule 50: who was taken for dead and answers is Active again, before anything else is decided. No replacement
    /// was active: nobody made a change that it has not.
    pub(super) fn reinstate(&mut self, next: &mut Configuration) -> Step {
        match planted(Fault::FormerIgnored) {
            true => Step::Nothing,
            false => self.return_formers(next, |_, former| !former.blamed),
        }
    }

    /// As [`reinstate`](Self::reinstate), in the place that it had once: after the losses.
    pub(super) fn reinstate_late(&mut self, next: &mut Configuration) -> Step {
        match planted(Fault::FormerIgnored) {
            true => self.return_formers(next, |_, former| !former.blamed),
            false => Step::Nothing,
        }
    }

    fn return_formers(
        &self,
        next: &mut Configuration,
        wanted: impl Fn(PrimaryIndex, &Former) -> bool,
    ) -> Step {
        let mut returned = Vec::new();
        let formers = self.config.formers();
        for (j, former) in formers.filter(|(j, f)| wanted(*j, f) && self.answers(f)) {
            next.primaries[j.index()] = PrimarySeat {
                id: former.id,
                host: former.host.clone(),
                state: PrimaryState::Active,
                origin: former.origin,
                former: None,
                heir: None,
                moved_from: self.config.primaries[j.index()].moved_from.clone(),
            };
            returned.push(j);
        }
        if returned.is_empty() {
            return Step::Nothing;
        }
        Step::Change(Reason::PrimariesReturned(returned))
    }

    /// Whether it said in this epoch that it has its state, and is not silent now.
    pub(super) fn answers(&self, former: &Former) -> bool {
        self.suspected_since(&former.host).is_none()
            && !self.evidence.silent.contains_key(&former.id)
            && self.condition(former.id) == Some(Condition::Suspended)
    }

    /// Primaries that are lost, or gone and not yet recorded so; never who is only blamed (rule 51).
    pub(super) fn lost_or_gone(&self) -> Vec<PrimaryIndex> {
        let config = self.config;
        let newly = config.active().filter(|(_, s)| self.gone(s.id, &s.host));
        config.lost().chain(newly.map(|(j, _)| j)).collect()
    }

    /// Codes in sync that are not gone; who is blamed counts (rule 51).
    pub(super) fn codes_left(&self) -> usize {
        let in_sync = self.config.in_sync();
        in_sync.filter(|s| !self.gone(s.id, &s.host)).count()
    }

    /// Rule 24, for all dead primaries at once; also finds servers for replacements that have none.
    pub(super) fn lose_primaries(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        let (primaries, in_sync) = (self.lost_or_gone(), self.codes_left());
        if primaries.len() > in_sync {
            // Who was given up for its links is alive, and its data are the last there are (rule 50).
            return match self.return_formers(next, |_, former| former.blamed) {
                Step::Nothing => Step::Stop(Waiting::MoreThanF { primaries, in_sync }),
                returned => returned,
            };
        }
        let dead = config.active().filter(|(_, s)| self.dead(s.id, &s.host));
        let newly: Vec<PrimaryIndex> = dead.map(|(j, _)| j).collect();
        let unplaced = config.lost().filter(|&j| self.replacement_dead(j));
        let unplaced: Vec<PrimaryIndex> = unplaced.collect();
        for &j in &newly {
            self.lose(next, j);
        }
        let placed = self.place_again(next, &unplaced);
        if newly.is_empty() && placed.is_empty() {
            if unplaced.is_empty() {
                return Step::Nothing;
            }
            let stranded =
                |j: PrimaryIndex, former: &Former| former.blamed && unplaced.contains(&j);
            return match self.return_formers(next, stranded) {
                Step::Nothing => Step::Wait(self.no_server(unplaced.len())),
                returned => returned,
            };
        }
        if !planted(Fault::LearnerKept) {
            next.fused.retain(|s| s.state == FusedState::InSync);
        }
        if newly.is_empty() {
            return Step::Change(Reason::ReplacementsPlaced(placed));
        }
        // Recovery comes first: moves are given up.
        for seat in &mut next.primaries {
            seat.heir = None;
        }
        Step::Change(Reason::PrimariesLost(newly))
    }

    /// Primary `j` is lost from now on, and named as former, unless it has said that it has nothing to come back with.
    fn lose(&mut self, next: &mut Configuration, j: PrimaryIndex) {
        let id = next.take_id();
        let seat = &mut next.primaries[j.index()];
        let said = self.condition(seat.id);
        let missing = said == Some(Condition::Missing);
        // Should it return before it has served, it takes over with what it was moved from (rule 36).
        let served = said == Some(Condition::Serving);
        seat.moved_from = seat.moved_from.take().filter(|_| !served && !missing);
        seat.former = (!missing).then(|| Former {
            id: seat.id,
            host: seat.host.clone(),
            origin: seat.origin,
            blamed: !self.gone(seat.id, &seat.host),
        });
        seat.id = id;
        seat.state = PrimaryState::Lost;
        seat.origin = Origin::Recovered;
        // Without a free server the seat stays where it was: a dead place, to be mended later.
        if let Some(host) = self.free.pop() {
            seat.host = host;
        }
    }

    /// Gives replacements that are dead another server, as far as there are some; returns which.
    fn place_again(
        &mut self,
        next: &mut Configuration,
        unplaced: &[PrimaryIndex],
    ) -> Vec<PrimaryIndex> {
        let mut placed = Vec::new();
        for &j in unplaced {
            let seat = &self.config.primaries[j.index()];
            let lives = !self.gone(seat.id, &seat.host);
            // Another server, or none, if it is only blamed: where it is it could as well go on.
            let not = lives.then_some(seat.host.server);
            let Some(host) = self.free.pop_other_than(not) else {
                continue;
            };
            let id = next.take_id();
            let seat = &mut next.primaries[j.index()];
            seat.host = host;
            seat.id = id;
            placed.push(j);
        }
        placed
    }

    pub(super) fn replacement_dead(&self, j: PrimaryIndex) -> bool {
        self.config
            .primary(j)
            .is_some_and(|s| s.state == PrimaryState::Lost && self.dead(s.id, &s.host))
    }

    /// Rule 34, for all replacements together: one epoch instead of one for each. Before further losses, which would
    /// have them start again (rule 35).
    pub(super) fn activate(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        let ready = |j: &PrimaryIndex| {
            let seat = &config.primaries[j.index()];
            let said = self.condition(seat.id);
            matches!(said, Some(Condition::Ready { .. })) && !self.gone(seat.id, &seat.host)
        };
        let building = config.lost();
        let building = building.filter(|j| ready(j) || !self.replacement_dead(*j));
        let building: Vec<PrimaryIndex> = building.collect();
        if building.is_empty() || !building.iter().all(ready) {
            return Step::Nothing;
        }
        for &j in &building {
            next.primaries[j.index()].state = PrimaryState::Active;
            next.primaries[j.index()].moved_from = None;
            if !planted(Fault::LateReturn) {
                next.primaries[j.index()].former = None;
            }
        }
        Step::Change(Reason::PrimariesRecovered(building))
    }
}
