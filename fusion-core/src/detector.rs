//! Who is heard of and who is not, as one coordinator sees it (PROTOCOL rules 7, 22, 23, 39).
//!
//! Times are milliseconds of the coordinator's own clock. Nothing here is needed for safety: it only decides when to
//! ask for a change of configuration.

mod guard;

pub use guard::GuardError;

use crate::config::Configuration;
use crate::id::{ClusterId, Epoch, MemberId, ServerId};
use crate::membership::{Evidence, Heard, ServerView};
use crate::message::MemberReport;
use crate::time::Timing;
use guard::Unexplained;
use std::collections::BTreeMap;

/// The most clusters that are heard of; the configurations' own are fewer.
pub const MAX_HEARD: usize = 1 << 17;

/// What is known of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// When it was last heard of; 0: not since the coordinator started.
    pub last_heard_ms: u64,
    /// Since when it is suspected to be dead, if it is.
    pub suspected_since_ms: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Watched {
    epoch: Epoch,
    since_ms: u64,
    reports: BTreeMap<MemberId, Heard>,
    /// The highest epoch that any member was heard to be in, and who said so.
    highest: (Epoch, ServerId),
    /// Who said another nonce of the current epoch, if one did.
    other_content: Option<ServerId>,
    nonce: u64,
}

/// What a look at the clock brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// The coordinator itself was paused: it cannot tell who was silent, and all timers start afresh.
    pub paused: bool,
    /// Servers that are suspected from now on.
    pub suspected: Vec<ServerId>,
}

/// The evidence of one coordinator.
#[derive(Clone, Debug)]
pub struct Detector {
    suspect_ms: u64,
    heartbeat_ms: u64,
    now_ms: u64,
    /// Silence before this does not count.
    timers_from_ms: u64,
    servers: BTreeMap<ServerId, Seen>,
    clusters: BTreeMap<ClusterId, Watched>,
    unexplained: Unexplained,
}

impl Detector {
    /// Nobody was heard yet; silence counts from now on.
    #[must_use]
    pub fn new(timing: &Timing, now_ms: u64) -> Detector {
        Detector {
            suspect_ms: timing.suspect_after().as_millis() as u64,
            heartbeat_ms: timing.heartbeat().as_millis() as u64,
            now_ms,
            timers_from_ms: now_ms,
            servers: BTreeMap::new(),
            clusters: BTreeMap::new(),
            unexplained: Unexplained::default(),
        }
    }

    /// A server is to be listened for.
    pub fn add_server(&mut self, id: ServerId) {
        self.servers.entry(id).or_default();
    }

    /// A server is known to be dead: another one has its address, say.
    pub fn declare_dead(&mut self, id: ServerId, now_ms: u64) {
        if let Some(seen) = self.servers.get_mut(&id) {
            seen.suspected_since_ms.get_or_insert(now_ms);
            seen.last_heard_ms = 0;
        }
        self.unexplained.gone(&[id]);
    }

    /// Servers that nobody needs to know of any more.
    pub fn forget(&mut self, ids: &[ServerId]) {
        self.unexplained.gone(ids);
        self.servers.retain(|id, _| !ids.contains(id));
    }

    /// What is known of a server.
    #[must_use]
    pub fn seen(&self, id: ServerId) -> Option<Seen> {
        self.servers.get(&id).copied()
    }

    /// All servers.
    pub fn servers(&self) -> impl Iterator<Item = (ServerId, Seen)> + '_ {
        self.servers.iter().map(|(&id, &seen)| (id, seen))
    }

    /// A sign of life; `false` when the server is not known.
    pub fn hear(&mut self, server: ServerId, now_ms: u64) -> bool {
        let Some(seen) = self.servers.get_mut(&server) else {
            return false;
        };
        seen.last_heard_ms = now_ms.max(1);
        seen.suspected_since_ms = None;
        true
    }

    /// What a server says of a member. Only the member's own server speaks for it: the caller has checked that. Which
    /// epochs it knows it says apart from that ([`hear_epoch`](Self::hear_epoch)).
    pub fn hear_of(&mut self, report: MemberReport, now_ms: u64) {
        let watched = self.clusters.entry(report.cluster).or_default();
        // A copy that comes late must not hide what is known since.
        let newer = watched.reports.get(&report.member);
        if newer.is_none_or(|h| h.report.epoch <= report.epoch) {
            let at_ms = now_ms;
            watched
                .reports
                .insert(report.member, Heard { report, at_ms });
        }
    }

    /// `config` is the current one from now on: its members have a while to be heard of in its epoch.
    pub fn installed(&mut self, config: &Configuration, now_ms: u64) {
        let stray = self.unexplained.explained(config.cluster);
        let watched = self.clusters.entry(config.cluster).or_default();
        watched.highest = watched.highest.max(stray.unwrap_or_default());
        if (watched.epoch, watched.nonce) != (config.epoch, config.nonce) {
            watched.epoch = config.epoch;
            watched.nonce = config.nonce;
            watched.other_content = None;
            watched.since_ms = now_ms;
            watched
                .reports
                .retain(|&id, _| config.host_of(id).is_some());
        }
        if config.removed {
            self.clusters.remove(&config.cluster);
        }
    }

    /// A compare-and-swap found another configuration than it was decided on: everything that was reported of the
    /// cluster is dropped and heard again (PROTOCOL rule 7).
    pub fn conflict(&mut self, cluster: ClusterId) {
        if let Some(watched) = self.clusters.get_mut(&cluster) {
            watched.reports.clear();
            watched.since_ms = self.now_ms;
        }
    }

    /// The last report of each member of a cluster.
    #[must_use]
    pub fn report(&self, cluster: ClusterId, member: MemberId) -> Option<&MemberReport> {
        let heard = self.clusters.get(&cluster)?.reports.get(&member)?;
        Some(&heard.report)
    }

    /// Looks at the clock; at least twice a heartbeat (PROTOCOL rule 22).
    pub fn tick(&mut self, now_ms: u64) -> Tick {
        let paused = now_ms.saturating_sub(self.now_ms) > 2 * self.heartbeat_ms;
        self.now_ms = now_ms;
        if paused {
            self.restart_timers(now_ms);
        }
        let mut suspected = Vec::new();
        for (&id, seen) in &mut self.servers {
            let since = seen.last_heard_ms.max(self.timers_from_ms);
            if seen.suspected_since_ms.is_none() && now_ms.saturating_sub(since) >= self.suspect_ms
            {
                seen.suspected_since_ms = Some(now_ms);
                suspected.push(id);
            }
        }
        Tick { paused, suspected }
    }

    /// What the coordinator itself took is no pause of it.
    pub fn worked_until(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Silence counts from now on only: after a pause, or when this coordinator becomes the active one. Nobody was
    /// heard by this: it is no evidence of life.
    pub fn restart_timers(&mut self, now_ms: u64) {
        self.timers_from_ms = now_ms;
    }

    /// All that a decision on `config` rests on; `servers` are those seen, with what else is known of them.
    #[must_use]
    pub fn evidence(
        &self,
        config: &Configuration,
        servers: BTreeMap<ServerId, ServerView>,
    ) -> Evidence {
        let watched = self.clusters.get(&config.cluster);
        let reports = watched.map(|w| w.reports.clone()).unwrap_or_default();
        let began = watched.map_or(0, |w| w.since_ms).max(self.timers_from_ms);
        // A server may be heard of and yet never say anything of a member, or never come to its epoch.
        let silent = config.members().filter_map(|id| {
            let heard = reports.get(&id).filter(|h| h.report.epoch == config.epoch);
            let last = heard.map_or(0, |h| h.at_ms).max(began);
            (self.now_ms.saturating_sub(last) >= self.suspect_ms)
                .then_some((id, last + self.suspect_ms))
        });
        Evidence {
            silent: silent.collect(),
            servers,
            reports,
        }
    }
}

#[cfg(test)]
mod tests;
