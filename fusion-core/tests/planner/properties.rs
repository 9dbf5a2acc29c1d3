//! What must hold in every state, whatever happened before.

use crate::state::{Life, State, index};
use fusion_core::config::{FormerCode, Host, Origin, PrimarySeat, PrimaryState};
use fusion_core::hosting::Held;
use fusion_core::id::MemberId;
use fusion_core::membership::{self, Plan, Waiting};
use fusion_core::message::Condition;

/// Rounds after which everything must be whole, once faults have stopped.
const ROUNDS: usize = 60;

/// Who looks: somebody who knows all, or the coordinator, who learns of a death by silence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Eye {
    Truth,
    Coordinator,
}

impl State {
    /// Whether a member's state is somewhere that is not gone for good.
    fn lives(&self, id: MemberId, host: &Host, origin: Origin, eye: Eye) -> bool {
        let server = &self.servers[index(host)];
        let said = server.reports.get(&id).map(|r| r.condition);
        let held = match server.held.get(&id) {
            Some(Held::Broken) => eye == Eye::Coordinator && said != Some(Condition::Missing),
            Some(Held::Replacement { image: whole } | Held::Heir { ready: whole }) => *whole,
            Some(_) => true,
            // It begins empty, when its server hears of it.
            None => origin == Origin::Created && !server.current,
        };
        held && (server.life != Life::Gone || eye == Eye::Coordinator && !server.suspected)
    }

    fn primary_lives(&self, seat: &PrimarySeat, eye: Eye) -> bool {
        let former = seat.former.as_ref();
        match seat.state {
            PrimaryState::Active => self.lives(seat.id, &seat.host, seat.origin, eye),
            PrimaryState::Lost => {
                former.is_some_and(|f| self.lives(f.id, &f.host, Origin::Recovered, eye))
            }
        }
    }

    /// Whether everything could be had again: no more primaries are gone for good than codes are left.
    fn is_recoverable(&self, eye: Eye) -> bool {
        let seats = self.config.primaries.iter();
        let gone = seats.filter(|s| !self.primary_lives(s, eye));
        let codes = self.config.in_sync();
        let codes = codes.filter(|s| self.lives(s.id, &s.host, s.origin, eye));
        gone.count() <= codes.count()
    }

    /// No decision turns what can be recovered into what is lost. That somebody has died whom nobody misses yet is not to
    /// be known.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check_decision(&self, next: &State) -> Result<(), String> {
        let known = |state: &State| state.is_recoverable(Eye::Coordinator);
        if self.is_recoverable(Eye::Truth) && known(self) && !known(next) {
            return Err("a decision lost what could be recovered".to_owned());
        }
        // A code that was given up lacks what was answered since by whoever served meanwhile (rule 52).
        let counts = next
            .config
            .in_sync()
            .filter_map(|s| self.config.former_code(s.id));
        let lacks = |code: &FormerCode| next.config.lost().any(|j| !code.lost.contains(&j));
        match counts.into_iter().find(|&code| lacks(code)) {
            Some(code) => Err(format!(
                "code {} counts, and lacks what was answered",
                code.id
            )),
            None => Ok(()),
        }
    }

    /// "More than f" is said only if more than f are gone, or not heard; who is blamed does not count (rules 25, 51).
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check_beyond(&self, plan: &Plan) -> Result<(), String> {
        if !matches!(plan, Plan::Wait(Waiting::MoreThanF { .. })) {
            return Ok(());
        }
        let heard = |id: MemberId, host: &Host| {
            let server = &self.servers[index(host)];
            let said = server.reports.get(&id).map(|r| r.condition);
            (!server.suspected && said != Some(Condition::Missing), said)
        };
        let unheard = self
            .config
            .primaries
            .iter()
            .filter(|seat| match seat.state {
                PrimaryState::Active => !heard(seat.id, &seat.host).0,
                PrimaryState::Lost => seat.former.as_ref().is_none_or(|f| {
                    let (heard, said) = heard(f.id, &f.host);
                    !heard || said != Some(Condition::Suspended)
                }),
            });
        let codes = self.config.in_sync().filter(|s| heard(s.id, &s.host).0);
        if unheard.count() <= codes.count() {
            return Err("more than f is said, and no more than f are gone or not heard".to_owned());
        }
        Ok(())
    }

    /// No command wipes what a living member reported in this epoch, unless it was named (rule 62).
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check_acceptance(&self) -> Result<(), String> {
        let Some((next, _)) = self.accepted(false) else {
            return Ok(());
        };
        for server in self.servers.iter().filter(|s| !s.suspected) {
            let said = server.reports.iter();
            let mut has = said.filter(|(_, said)| said.condition != Condition::Missing);
            if let Some((id, _)) = has.find(|(id, _)| next.host_of(**id).is_none()) {
                return Err(format!(
                    "a loss is accepted that wipes member {id}, which lives"
                ));
            }
        }
        Ok(())
    }

    /// When faults stop, and no more is gone for good than can be borne, all becomes whole. Returns the states on the way.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check_liveness(&self, good: impl Fn(u128) -> bool) -> Result<Vec<u128>, String> {
        let well = self.servers.iter().filter(|s| s.life != Life::Gone).count();
        let members = self.config.n() + usize::from(self.config.faults);
        let mut passed = Vec::new();
        if !self.is_recoverable(Eye::Truth) || well < members {
            return Ok(passed);
        }
        let mut state = self.clone();
        state.cut.clear();
        state.faults = 0;
        state.commands = 0;
        for server in &mut state.servers {
            server.away = false;
            if server.life == Life::Paused {
                server.life = Life::Well;
            }
        }
        for _ in 0..ROUNDS {
            state = state.canonical();
            let key = state.key();
            if good(key) || state.is_whole() {
                return Ok(passed);
            }
            passed.push(key);
            // All are told, then all report: what one reports may rest on what another has adopted.
            for _ in 0..2 {
                for i in 0..state.servers.len() {
                    state.servers[i].avoided = false;
                    if state.is_heard(i) {
                        state.report(i, false);
                    } else {
                        state.servers[i].suspected = true;
                    }
                }
            }
            let plan = membership::plan(&state.config, &state.evidence(), 1);
            if let Plan::Change(next, _) = plan {
                state.install(*next);
            }
        }
        let plan = membership::plan(&state.config, &state.evidence(), 1);
        Err(format!(
            "not whole long after the faults have stopped: {plan:?}"
        ))
    }

    fn is_whole(&self) -> bool {
        let config = &self.config;
        let serve = config
            .active()
            .all(|(_, s)| self.lives(s.id, &s.host, s.origin, Eye::Truth));
        let codes = config
            .in_sync()
            .filter(|s| self.lives(s.id, &s.host, s.origin, Eye::Truth));
        serve
            && codes.count() == usize::from(config.faults)
            && config.lost().next().is_none()
            && config.fused.len() == usize::from(config.faults)
            && config.heirs().next().is_none()
    }
}
