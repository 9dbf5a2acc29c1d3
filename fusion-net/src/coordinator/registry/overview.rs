//! What operators are shown of all that a coordinator knows.

use super::Registry;
use crate::service::{
    ClusterStatus, ControlPlane, MemberState, MemberStatus, Role, ServerStatus, Status,
};
use fusion_core::config::{Configuration, Host, PrimaryState};
use fusion_core::id::{MemberId, PrimaryIndex, ServerId};
use fusion_core::membership::{Plan, ServerView, Waiting, may_lose};
use fusion_core::message::Condition;
use std::collections::BTreeMap;

fn refused(said: &String) -> String {
    format!(
        "the coordinator's store refuses changes, and nothing is mended until it takes them: {said}"
    )
}

impl Registry {
    pub(crate) fn status(&self, now: u64, control: ControlPlane) -> Status {
        let views = self.views();
        let servers = self.servers.iter().map(|(&id, s)| {
            let seen = self.detector.seen(id).unwrap_or_default();
            ServerStatus {
                id,
                pid: s.pid,
                address: s.address.clone(),
                alive: seen.suspected_since_ms.is_none(),
                members: views.get(&id).map_or(0, |v| v.load),
                draining: s.draining,
                host: s.labels.host(&s.address).to_owned(),
                zone: s.labels.zone().map(str::to_owned),
                labels: s.labels.clone(),
                memory: self.memory.get(&id).copied(),
                heard_ms_ago: self.heard.get(&id).map(|at| now.saturating_sub(*at)),
            }
        });
        Status {
            servers: servers.collect(),
            clusters: self
                .living()
                .map(|c| self.cluster_status(c, views.clone(), now))
                .collect(),
            events: self.events.iter().cloned().collect(),
            problem: self.problem.as_ref().map(refused).or_else(|| self.behind()),
            strangers: self.strangers(now),
            control,
        }
    }

    /// What says that the store is behind, if something does.
    fn behind(&self) -> Option<String> {
        self.guard_all().err().map(|error| error.to_string())
    }

    fn cluster_status(
        &self,
        config: &Configuration,
        views: BTreeMap<ServerId, ServerView>,
        now: u64,
    ) -> ClusterStatus {
        let alive = |server: ServerId| {
            views
                .get(&server)
                .is_some_and(|v| v.suspected_since_ms.is_none())
        };
        let primaries = config.primaries.iter().enumerate().map(|(index, seat)| {
            let lost = seat.state == PrimaryState::Lost;
            self.member_status(
                config,
                seat.id,
                (Role::Primary, index),
                &seat.host,
                alive(seat.host.server),
                lost,
            )
        });
        let fused = config.fused.iter().map(|seat| {
            let joins = seat.state.learns();
            let place = (Role::Fused, seat.row.index());
            self.member_status(
                config,
                seat.id,
                place,
                &seat.host,
                alive(seat.host.server),
                joins,
            )
        });
        let mut members: Vec<MemberStatus> = primaries.chain(fused).collect();
        for member in &mut members {
            let place = (member.role, member.index);
            let made = self.heir(config, place).unwrap_or(member.id);
            member.progress = self.paces.progress(config.cluster, made, now);
        }
        let in_role = |role| members.iter().filter(move |m| m.role == role);
        let active =
            |m: &&MemberStatus| matches!(m.state, MemberState::Active | MemberState::Moving { .. });
        let gone = in_role(Role::Primary).filter(|m| !active(m)).count();
        let codes = in_role(Role::Fused).filter(active).count();
        let tolerates = codes.saturating_sub(gone);
        let may_lose = may_lose(config, tolerates, &views);
        let waiting: Option<Waiting> = match self.plan(config, views) {
            Plan::Wait(waiting) => Some(waiting),
            Plan::Keep | Plan::Change(..) => None,
        };
        ClusterStatus {
            name: config.name.clone(),
            id: config.cluster,
            kind: config.kind,
            epoch: config.epoch,
            primaries: config.n(),
            faults: usize::from(config.faults),
            reads: config.reads,
            min_in_sync: usize::from(config.min_in_sync),
            in_sync: config.in_sync().count(),
            tolerates,
            may_lose,
            serving: gone == 0,
            waiting,
            members,
        }
    }

    /// The heir of a primary, if it has one.
    fn heir(&self, config: &Configuration, (role, index): (Role, usize)) -> Option<MemberId> {
        let index = PrimaryIndex(index as u16);
        let heir = config
            .inheritance(index)
            .filter(|_| role == Role::Primary)?;
        Some(heir.id)
    }

    /// How far it is.
    fn copied(&self, config: &Configuration, place: (Role, usize)) -> Option<(u64, u64)> {
        let heir = self.heir(config, place)?;
        let report = self.detector.report(config.cluster, heir);
        Some(match report.map(|r| r.condition) {
            Some(Condition::Learning { done, total }) => (done, total),
            Some(_) => (1, 1),
            None => (0, 0),
        })
    }

    fn member_status(
        &self,
        config: &Configuration,
        id: MemberId,
        (role, index): (Role, usize),
        host: &Host,
        alive: bool,
        building: bool,
    ) -> MemberStatus {
        let report = self.detector.report(config.cluster, id);
        let condition = report.map(|r| r.condition);
        let state = match (alive, building, condition) {
            (false, _, _) | (_, _, Some(Condition::Missing)) => MemberState::Dead,
            // It was moved, and is not known to serve yet.
            (_, false, _) if config.takes_over(id).is_some() => {
                MemberState::Moving { done: 1, total: 1 }
            }
            (_, false, _) => match self.copied(config, (role, index)) {
                Some((done, total)) => MemberState::Moving { done, total },
                None => MemberState::Active,
            },
            (_, true, Some(Condition::Recovering { done, total })) => {
                MemberState::Recovering { done, total }
            }
            (_, true, Some(Condition::Learning { done, total })) => {
                MemberState::Joining { done, total }
            }
            _ if role == Role::Primary => {
                // Without a report nothing has come; with another one everything has.
                let unseen = report.map_or((0, 0), |_| (1, 1));
                let (done, total) = self.paces.pages(config.cluster, id).unwrap_or(unseen);
                MemberState::Recovering { done, total }
            }
            _ => MemberState::Joining { done: 0, total: 0 },
        };
        // Who is still being made, or has nothing, has no figures to tell.
        let figures = report.filter(|r| match role {
            Role::Primary => matches!(r.condition, Condition::Serving | Condition::Suspended),
            Role::Fused => r.condition != Condition::Missing,
        });
        MemberStatus {
            id,
            role,
            index,
            server: host.server,
            address: host.address.clone(),
            state,
            progress: None,
            elements: figures.map(|r| r.elements),
            payload_bytes: figures.map(|r| r.payload_bytes),
            page_bytes: figures.map(|r| r.page_bytes),
            frozen_bytes: figures.map(|r| r.frozen_bytes),
        }
    }
}
