//! Who is heard of and who is not, as one coordinator sees it (PROTOCOL rules 7, 22, 23, 39, 56).
//!
//! Moments are milliseconds of the coordinator's own clock. Silence is measured by another one, which goes on by at most
//! T_h with each look: what passes while the coordinator is paused or starved is nobody's silence. Nothing here is
//! needed for safety: it only decides when to ask for a change of configuration.

use crate::config::Configuration;
use crate::fault::{Fault, planted};
use crate::id::{ClusterId, Epoch, MemberId, ServerId};
use crate::membership::{Evidence, Heard, ServerView};
use crate::message::MemberReport;
use crate::time::Timing;
use std::collections::BTreeMap;

/// The most clusters that are heard of; the configurations' own are fewer.
pub const MAX_HEARD: usize = 1 << 17;

/// After so many T_s without another wrong suspicion, a server is suspected sooner again (rule 56).
const DAMPED_FOR: u64 = 30;
/// Who was suspected wrongly twice or more is suspected after 2^2 T_s.
const MOST_DOUBLINGS: u32 = 2;

/// What is known of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// When it was last heard of; 0: not since the coordinator started.
    pub last_heard_ms: u64,
    /// Since when it is suspected to be dead, if it is.
    pub suspected_since_ms: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Server {
    seen: Seen,
    /// How long had been listened when it was last heard of.
    heard: u64,
    /// It was suspected because somebody else said so, and not for its silence.
    declared: bool,
    /// How often the time of its suspicion is doubled, and how long had been listened when that last changed.
    doublings: u32,
    doubled: u64,
}

#[derive(Clone, Debug, Default)]
struct Watched {
    epoch: Epoch,
    /// How long had been listened when its configuration became the current one.
    since: u64,
    reports: BTreeMap<MemberId, Heard>,
    /// How long had been listened when each was last heard of.
    heard: BTreeMap<MemberId, u64>,
    /// Of whom each complains, and how long had been listened when it first did.
    complaints: BTreeMap<MemberId, BTreeMap<MemberId, u64>>,
    /// The highest epoch that any member was heard to be in.
    highest: Epoch,
    /// What servers said of the nonce of the current epoch, if one said another one.
    other_content: bool,
    nonce: u64,
}

/// What a look at the clock brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// The coordinator itself was paused: that time is nobody's silence.
    pub paused: bool,
    /// Servers that are suspected from now on.
    pub suspected: Vec<ServerId>,
}

/// The evidence of one coordinator.
#[derive(Clone, Debug)]
pub struct Detector {
    suspect_ms: u64,
    heartbeat_ms: u64,
    /// When it last looked.
    now_ms: u64,
    /// How long it has listened in all, as of the last look, in milliseconds (rule 56).
    listened: u64,
    /// Silence before this does not count.
    timers_from: u64,
    servers: BTreeMap<ServerId, Server>,
    clusters: BTreeMap<ClusterId, Watched>,
}

impl Detector {
    /// Nobody was heard yet; silence counts from now on.
    #[must_use]
    pub fn new(timing: &Timing, now_ms: u64) -> Detector {
        Detector {
            suspect_ms: timing.suspect_after().as_millis() as u64,
            heartbeat_ms: timing.heartbeat().as_millis() as u64,
            now_ms,
            listened: 0,
            timers_from: 0,
            servers: BTreeMap::new(),
            clusters: BTreeMap::new(),
        }
    }

    /// A server is to be listened for.
    pub fn add_server(&mut self, id: ServerId) {
        self.servers.entry(id).or_default();
    }

    /// A server is known to be dead: another one has its address, say.
    pub fn declare_dead(&mut self, id: ServerId, now_ms: u64) {
        if let Some(server) = self.servers.get_mut(&id) {
            server.seen.suspected_since_ms.get_or_insert(now_ms);
            server.seen.last_heard_ms = 0;
            server.declared = true;
        }
    }

    /// Servers that nobody needs to know of any more.
    pub fn forget(&mut self, ids: &[ServerId]) {
        self.servers.retain(|id, _| !ids.contains(id));
    }

    /// What is known of a server.
    #[must_use]
    pub fn seen(&self, id: ServerId) -> Option<Seen> {
        self.servers.get(&id).map(|s| s.seen)
    }

    /// All servers.
    pub fn servers(&self) -> impl Iterator<Item = (ServerId, Seen)> + '_ {
        self.servers.iter().map(|(&id, s)| (id, s.seen))
    }

    /// How long it has listened, at a moment after the last look.
    fn listened_at(&self, now_ms: u64) -> u64 {
        let passed = now_ms.saturating_sub(self.now_ms);
        self.listened + passed.min(self.heartbeat_ms)
    }

    /// A sign of life; `false` when the server is not known.
    pub fn hear(&mut self, server: ServerId, now_ms: u64) -> bool {
        let listened = self.listened_at(now_ms);
        let Some(server) = self.servers.get_mut(&server) else {
            return false;
        };
        // It is back with its members: one that has lost them comes under another id.
        let wrongly = server.seen.suspected_since_ms.is_some() && server.seen.last_heard_ms > 0;
        if wrongly && !server.declared && !planted(Fault::FlappingUndamped) {
            server.doublings = MOST_DOUBLINGS.min(server.doublings + 1);
            server.doubled = listened;
        }
        server.declared = false;
        server.heard = server.heard.max(listened);
        server.seen.last_heard_ms = now_ms.max(1);
        server.seen.suspected_since_ms = None;
        true
    }

    /// What a server says of a member. Only the member's own server speaks for it: the caller has checked that.
    pub fn hear_of(&mut self, report: MemberReport, now_ms: u64) {
        let listened = self.listened_at(now_ms);
        let watched = self.clusters.entry(report.cluster).or_default();
        watched.highest = watched.highest.max(report.epoch);
        // A copy that comes late must not hide what is known since.
        let newer = watched.reports.get(&report.member);
        if newer.is_none_or(|h| h.report.epoch <= report.epoch) {
            let at_ms = now_ms;
            watched.heard.insert(report.member, listened);
            let before = watched.complaints.remove(&report.member);
            let before = before.unwrap_or_default();
            let since = |id| (id, before.get(&id).copied().unwrap_or(listened));
            let complaints = report.complaints.iter().map(|&id| since(id)).collect();
            watched.complaints.insert(report.member, complaints);
            watched
                .reports
                .insert(report.member, Heard { report, at_ms });
        }
    }

    /// Some server knows this epoch of a cluster, with the content that this nonce names. Beyond [`MAX_HEARD`]
    /// clusters, further ones are not remembered.
    pub fn hear_epoch(&mut self, cluster: ClusterId, epoch: Epoch, nonce: u64) {
        if self.clusters.len() >= MAX_HEARD && !self.clusters.contains_key(&cluster) {
            return;
        }
        let watched = self.clusters.entry(cluster).or_default();
        watched.highest = watched.highest.max(epoch);
        watched.other_content |= epoch == watched.epoch && nonce != watched.nonce;
    }

    /// Whether somebody was heard to be in a later epoch than `config`'s, or to know another content of that epoch:
    /// whoever reads it from a store must read again, and a store that still says the same has lost something and must
    /// not act (PROTOCOL rule 39).
    #[must_use]
    pub fn is_behind(&self, config: &Configuration) -> bool {
        let watched = self.clusters.get(&config.cluster);
        watched.is_some_and(|w| {
            let same = w.epoch == config.epoch && w.nonce == config.nonce;
            w.highest > config.epoch || (same && w.other_content)
        })
    }

    /// `config` is the current one from now on: its members have a while to be heard of in its epoch.
    pub fn installed(&mut self, config: &Configuration, now_ms: u64) {
        let listened = self.listened_at(now_ms);
        let watched = self.clusters.entry(config.cluster).or_default();
        if (watched.epoch, watched.nonce) != (config.epoch, config.nonce) {
            watched.epoch = config.epoch;
            watched.nonce = config.nonce;
            watched.other_content = false;
            watched.since = listened;
            let named = |id: MemberId| config.host_of(id).is_some();
            watched.reports.retain(|&id, _| named(id));
            watched.heard.retain(|&id, _| named(id));
            watched.complaints.clear();
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
            watched.heard.clear();
            watched.complaints.clear();
            watched.since = self.listened;
        }
    }

    /// The last report of each member of a cluster.
    #[must_use]
    pub fn report(&self, cluster: ClusterId, member: MemberId) -> Option<&MemberReport> {
        let heard = self.clusters.get(&cluster)?.reports.get(&member)?;
        Some(&heard.report)
    }

    /// Looks at the clock; at least twice a heartbeat. What the looks are further apart than T_h is subtracted from
    /// everybody's silence (PROTOCOL rules 22, 56): one that looks k T_h apart, again and again, notices a death within
    /// k T_s and one look.
    pub fn tick(&mut self, now_ms: u64) -> Tick {
        let paused = now_ms.saturating_sub(self.now_ms) > 2 * self.heartbeat_ms;
        self.listened = self.listened_at(now_ms);
        self.now_ms = now_ms;
        if paused && planted(Fault::PauseStartsAfresh) {
            self.restart_timers(now_ms);
        }
        let (listened, timers_from, suspect_ms) =
            (self.listened, self.timers_from, self.suspect_ms);
        let mut suspected = Vec::new();
        for (&id, server) in &mut self.servers {
            server.calm(listened, suspect_ms);
            let silence = listened.saturating_sub(server.heard.max(timers_from));
            if server.seen.suspected_since_ms.is_none()
                && silence >= server.suspect_after(suspect_ms)
            {
                server.seen.suspected_since_ms = Some(now_ms);
                suspected.push(id);
            }
        }
        Tick { paused, suspected }
    }

    /// Silence counts from now on only, when this coordinator becomes the active one. Nobody was heard by this: it is no
    /// evidence of life.
    pub fn restart_timers(&mut self, now_ms: u64) {
        self.timers_from = self.listened_at(now_ms);
    }

    /// All that a decision on `config` rests on; `servers` are those seen, with what else is known of them.
    #[must_use]
    pub fn evidence(
        &self,
        config: &Configuration,
        servers: BTreeMap<ServerId, ServerView>,
    ) -> Evidence {
        let watched = self.clusters.get(&config.cluster);
        let mut reports = watched.map(|w| w.reports.clone()).unwrap_or_default();
        for (by, heard) in &mut reports {
            let counts = |about: &MemberId| watched.is_some_and(|w| w.counts(*by, *about));
            heard.report.complaints.retain(counts);
        }
        let began = watched.map_or(0, |w| w.since).max(self.timers_from);
        // A server may be heard of and yet never say anything of a member, or never come to its epoch.
        let silent = config.members().filter_map(|id| {
            let current = reports.get(&id).map(|h| h.report.epoch) == Some(config.epoch);
            let heard = watched.and_then(|w| w.heard.get(&id)).filter(|_| current);
            let last = heard.copied().unwrap_or(0).max(began);
            let server = config.host_of(id).and_then(|h| self.servers.get(&h.server));
            let limit = server.map_or(self.suspect_ms, |s| s.suspect_after(self.suspect_ms));
            let over = self.listened.saturating_sub(last).checked_sub(limit)?;
            // Not before it really became suspect: pauses since then only make this later (rule 23).
            Some((id, self.now_ms.saturating_sub(over)))
        });
        Evidence {
            silent: silent.collect(),
            servers,
            reports,
        }
    }
}

impl Watched {
    /// Whether a complaint speaks of a broken link: its other end was heard of after it was made. Whoever is silent is
    /// settled by that, even where members complain sooner than this coordinator suspects (rule 51).
    fn counts(&self, by: MemberId, about: MemberId) -> bool {
        let since = self.complaints.get(&by).and_then(|c| c.get(&about));
        let heard = self.heard.get(&about);
        since.zip(heard).is_some_and(|(since, heard)| heard > since)
    }
}

impl Server {
    /// Silence of so long is suspicion; longer when it was wrong before (rule 56).
    fn suspect_after(&self, suspect_ms: u64) -> u64 {
        suspect_ms << self.doublings
    }

    /// Each time without another wrong suspicion halves what wrong ones have doubled (rule 56).
    fn calm(&mut self, listened: u64, suspect_ms: u64) {
        while self.doublings > 0 && listened.saturating_sub(self.doubled) >= DAMPED_FOR * suspect_ms
        {
            self.doublings -= 1;
            self.doubled += DAMPED_FOR * suspect_ms;
        }
    }
}

#[cfg(test)]
mod tests;
