//! What can happen, and what comes of it.

use crate::state::{Life, Reported, State, index};
use fusion_core::config::{Configuration, FusedState, PrimaryState};
use fusion_core::hosting::{self, Action, Held};
use fusion_core::id::{MemberId, PrimaryIndex, Row, Seq, ServerId};
use fusion_core::membership::{self, Acceptance, Plan, What};
use fusion_core::message::Condition;
use std::collections::BTreeSet;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A server is gone for good.
    Crash(usize),
    /// It does nothing for a while.
    Pause(usize),
    /// It goes on.
    Return(usize),
    /// A fault of the program breaks the members of a server, and leaves the server.
    Break(usize),
    /// Two servers do not hear each other.
    Cut(usize, usize),
    /// They do again.
    Mend(usize, usize),
    /// A server and the coordinator do not hear each other.
    Away(usize),
    /// They do again.
    Back(usize),
    /// The coordinator has not heard of a server for T_s.
    Suspect(usize),
    /// A server hears of the configuration and reports, with or without complaints.
    Report(usize, bool),
    /// A server was avoided for long enough (rule 55).
    Forgive(usize),
    /// The coordinator's decision is stored.
    Decide,
    /// An operator moves a primary.
    MovePrimary(u16),
    /// An operator moves a row of codes.
    MoveRow(u16),
    /// An operator accepts the loss that the coordinator has shown, with or without naming who would be wiped.
    AcceptLoss(bool),
}

impl State {
    /// Everything that can happen now, but for decisions.
    #[must_use]
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (i, server) in self.servers.iter().enumerate() {
            let useful = server.life == Life::Well;
            if self.faults > 0 && useful {
                events.extend([Event::Crash(i), Event::Pause(i)]);
                if server.held.values().any(|h| *h != Held::Broken) {
                    events.push(Event::Break(i));
                }
                if !server.away {
                    events.push(Event::Away(i));
                }
                let others = i + 1..self.servers.len();
                let well = |&b: &usize| self.servers[b].life == Life::Well;
                let linked = |&b: &usize| !self.cut.contains(&(i, b));
                events.extend(others.filter(well).filter(linked).map(|b| Event::Cut(i, b)));
            }
            match server.life {
                Life::Paused => events.push(Event::Return(i)),
                Life::Well if server.away => events.push(Event::Back(i)),
                _ => {}
            }
            if self.is_heard(i) {
                events.push(Event::Report(i, false));
                events.push(Event::Report(i, true));
            } else if !server.suspected {
                events.push(Event::Suspect(i));
            }
            if server.avoided {
                events.push(Event::Forgive(i));
            }
        }
        events.extend(self.cut.iter().map(|&(a, b)| Event::Mend(a, b)));
        if self.commands > 0 {
            let primaries = (0..self.config.n() as u16).map(Event::MovePrimary);
            events.extend(primaries.chain((0..self.config.faults).map(Event::MoveRow)));
            events.extend([Event::AcceptLoss(false), Event::AcceptLoss(true)]);
        }
        events
    }

    /// The state after an event; `None` when it changes nothing.
    #[must_use]
    pub(crate) fn after(&self, event: Event, plan: &Plan) -> Option<State> {
        let mut next = self.clone();
        match event {
            Event::Crash(i) => {
                next.faults -= 1;
                let server = &mut next.servers[i];
                server.life = Life::Gone;
                server.away = false;
                next.cut.retain(|&(a, b)| a != i && b != i);
            }
            Event::Pause(i) => {
                next.faults -= 1;
                next.servers[i].life = Life::Paused;
            }
            Event::Return(i) => next.servers[i].life = Life::Well,
            Event::Break(i) => {
                next.faults -= 1;
                let held = next.servers[i].held.values_mut();
                held.for_each(|h| *h = Held::Broken);
            }
            Event::Cut(a, b) => {
                next.faults -= 1;
                next.cut.insert((a, b));
            }
            Event::Mend(a, b) => {
                next.cut.remove(&(a, b));
            }
            Event::Away(i) => {
                next.faults -= 1;
                next.servers[i].away = true;
            }
            Event::Back(i) => next.servers[i].away = false,
            Event::Suspect(i) => {
                next.servers[i].suspected = true;
                let said = next.servers.iter_mut().flat_map(|s| s.reports.values_mut());
                said.for_each(|r| r.fresh = false);
            }
            Event::Report(i, complains) => {
                if !next.report(i, complains) {
                    return None;
                }
            }
            Event::Forgive(i) => next.servers[i].avoided = false,
            Event::Decide => match plan {
                Plan::Change(config, _) => next.decided((**config).clone()),
                _ => return None,
            },
            Event::MovePrimary(j) => next.moved(What::Primary(PrimaryIndex(j)))?,
            Event::MoveRow(row) => next.moved(What::Row(Row(row)))?,
            Event::AcceptLoss(named) => {
                let (config, _) = next.accepted(named)?;
                next.commands -= 1;
                next.install(config);
            }
        }
        Some(next)
    }

    fn moved(&mut self, what: What) -> Option<()> {
        self.commands -= 1;
        let moved = membership::move_member(&self.config, &self.evidence(), 1, what, None);
        self.install(moved.ok()?);
        Some(())
    }

    /// What an operator gets who accepts the loss shown, and names those who live or does not; and what was shown.
    #[must_use]
    pub(crate) fn accepted(&self, named: bool) -> Option<(Configuration, membership::Foreseen)> {
        let evidence = self.evidence();
        let shown = membership::foresee_loss(&self.config, &evidence).ok()?;
        let acceptance = Acceptance {
            lose: shown.lost.clone(),
            wipe: shown
                .wiped_servers()
                .into_iter()
                .filter(|_| named)
                .collect(),
            processes_are_dead: true,
        };
        let next = membership::accept_loss(&self.config, &evidence, 1, &acceptance);
        next.ok().map(|(config, _)| (config, shown))
    }

    /// A decision is stored; where members were given up, servers are avoided.
    fn decided(&mut self, next: Configuration) {
        let still: BTreeSet<MemberId> = next.members().collect();
        let made = fusion_core::avoidance::provisional(&self.config);
        let gone: Vec<ServerId> = made
            .filter(|(id, _)| !still.contains(id))
            .map(|(_, server)| server)
            .collect();
        for server in gone {
            let server = &mut self.servers[server.0 as usize - 1];
            // One that is gone is no more to be avoided.
            server.avoided = server.life != Life::Gone && !server.suspected;
        }
        self.install(next);
    }

    /// A server adopts the configuration and reports; `false` when it has no complaint to bring.
    pub(crate) fn report(&mut self, i: usize, complains: bool) -> bool {
        if !self.servers[i].current {
            self.adopt(i);
        }
        let mut any = !complains;
        for id in self.named(i) {
            let condition = self.condition(i, id);
            let missed: Vec<MemberId> = self
                .needs(id)
                .into_iter()
                .filter(|&m| !self.hears(i, m))
                .collect();
            any |= !missed.is_empty();
            let complaints = if complains { missed } else { Vec::new() };
            let server = &mut self.servers[i];
            match (condition, server.held.get_mut(&id)) {
                (Condition::Ready { .. }, Some(Held::Replacement { image })) => *image = true,
                (Condition::Complete, Some(Held::Heir { ready })) => *ready = true,
                (Condition::Serving, Some(held @ Held::Successor)) => *held = Held::Primary,
                _ => {}
            }
            let said = Reported {
                condition,
                complaints,
                fresh: true,
            };
            server.reports.insert(id, said);
        }
        self.servers[i].suspected = false;
        any
    }

    fn adopt(&mut self, i: usize) {
        let id = ServerId(i as u64 + 1);
        let actions = hosting::actions(&self.config, id, &self.servers[i].held);
        let server = &mut self.servers[i];
        for (member, action) in actions {
            let held = match action {
                Action::Adopt | Action::Suspend | Action::Retire | Action::Restart => continue,
                Action::Missing => Held::Broken,
                Action::Activate | Action::CreatePrimary => Held::Primary,
                Action::CreateFused => Held::Fused,
                Action::StartReplacement => Held::Replacement { image: false },
                Action::StartHeir => Held::Heir { ready: false },
                Action::TakeOver => Held::Successor,
                _ => {
                    server.held.remove(&member);
                    continue;
                }
            };
            server.held.insert(member, held);
        }
        server.current = true;
    }

    /// The members that the configuration names on a server, and those that may serve again there.
    fn named(&self, i: usize) -> Vec<MemberId> {
        let formers = self.config.formers().chain(self.config.moved());
        let away = self.config.codes_away().map(|f| f.id);
        let formers: Vec<MemberId> = formers.map(|(_, f)| f.id).chain(away).collect();
        let all = self.config.members().chain(formers.iter().copied());
        let here = |id: &MemberId| self.config.host_of(*id).is_some_and(|h| index(h) == i);
        let held = &self.servers[i].held;
        let former = |id: &MemberId| formers.contains(id);
        all.filter(here)
            .filter(|id| held.contains_key(id) || !former(id))
            .collect()
    }

    /// Whom a member waits for.
    fn needs(&self, id: MemberId) -> Vec<MemberId> {
        let config = &self.config;
        let active = || config.active().map(|(_, s)| s.id);
        if let Some(j) = config.inherits(id) {
            let primary = config.primaries[j.index()].id;
            return config.in_sync().map(|s| s.id).chain([primary]).collect();
        }
        if let Some(seat) = config.fused_seat(id) {
            return match seat.state {
                FusedState::InSync => Vec::new(),
                _ => active().collect(),
            };
        }
        let Some(j) = config.index_of(id) else {
            return Vec::new();
        };
        match config.primaries[j.index()].state {
            PrimaryState::Lost => config.in_sync().map(|s| s.id).chain(active()).collect(),
            PrimaryState::Active => {
                let heir = config.inheritance(j).map(|h| h.id);
                config.fused.iter().map(|s| s.id).chain(heir).collect()
            }
        }
    }

    fn hears(&self, i: usize, member: MemberId) -> bool {
        let Some(host) = self.config.host_of(member) else {
            return false;
        };
        let other = index(host);
        let there =
            matches!(self.servers[other].held.get(&member), Some(held) if *held != Held::Broken);
        there && (i == other || self.reach(i, other))
    }

    fn condition(&self, i: usize, id: MemberId) -> Condition {
        let config = &self.config;
        let all = || self.needs(id).iter().all(|&m| self.hears(i, m));
        let (done, total) = (0, 1);
        match self.servers[i].held.get(&id) {
            None | Some(Held::Broken) => Condition::Missing,
            Some(Held::Primary | Held::Successor) if config.formers().any(|(_, f)| f.id == id) => {
                Condition::Suspended
            }
            Some(Held::Primary) if config.moved().any(|(_, f)| f.id == id) => Condition::Yielded,
            Some(Held::Primary) => Condition::Serving,
            Some(Held::Successor) => {
                let mut before = config
                    .moved()
                    .filter(|(j, _)| config.takes_over(id) == Some(*j));
                let told = config.in_sync().next().is_some()
                    || before.all(|(_, former)| self.hears(i, former.id));
                match told && all() {
                    true => Condition::Serving,
                    false => Condition::TakingOver,
                }
            }
            Some(Held::Fused) if config.codes_away().any(|f| f.id == id) => Condition::Suspended,
            Some(Held::Fused) => {
                let learns = config.learners().any(|s| s.id == id);
                match (learns, learns && all()) {
                    (false, _) => Condition::Serving,
                    (true, true) => Condition::Complete,
                    (true, false) => Condition::Learning { done, total },
                }
            }
            Some(Held::Replacement { .. }) if all() => Condition::Ready { seq: Seq(1) },
            Some(Held::Replacement { .. }) => Condition::Recovering { done, total },
            Some(Held::Heir { .. }) if all() => Condition::Complete,
            Some(Held::Heir { .. }) => Condition::Learning { done, total },
        }
    }
}
