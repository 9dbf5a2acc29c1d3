//! Who is heard of and who is not, as one coordinator sees it (PROTOCOL rules 7, 22, 23, 39, 55, 56).
//!
//! Moments are milliseconds of the coordinator's own clock. Silence is measured by another one, which goes on by at most
//! T_h with each look: what passes while the coordinator is paused or starved is nobody's silence. Nothing here is
//! needed for safety: it only decides when to ask for a change of configuration.

mod guard;

pub use guard::GuardError;

use crate::avoidance::{Avoidance, provisional};
use crate::config::Configuration;
use crate::fault::{Fault, planted};
use crate::id::{ClusterId, Epoch, MemberId, ServerId};
use crate::membership::{Content, Evidence, Heard, ServerView};
use crate::message::{Condition, MemberReport};
use crate::time::Timing;
use guard::Unexplained;
use std::collections::{BTreeMap, BTreeSet};

/// The most clusters that are heard of; the configurations' own are fewer.
pub const MAX_HEARD: usize = 1 << 17;
/// The most contents of one epoch that are remembered, and the most servers of each.
const MAX_CONTENTS: usize = 8;

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
    /// How long had been listened when it was first heard of, since this coordinator is active or since it was suspected.
    arrived: u64,
    /// It has said since what it knows (rule 60).
    told: bool,
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
    /// The highest epoch that any member was heard to be in, and who said so.
    highest: (Epoch, ServerId),
    /// Who said another nonce of the current epoch, if one did.
    other_content: Option<ServerId>,
    nonce: u64,
    /// The members that are being made.
    provisional: Vec<Made>,
    /// Which contents of the current epoch servers have named; bounded.
    contents: BTreeMap<u64, BTreeSet<ServerId>>,
}

/// A member that is being made.
#[derive(Clone, Copy, Debug)]
struct Made {
    id: MemberId,
    server: ServerId,
    /// How many members it has to hear.
    needs: usize,
    /// It is to be a primary: it has to hear every code.
    replaces: bool,
}

impl Made {
    fn of(config: &Configuration) -> impl Iterator<Item = Made> + '_ {
        let primaries = config.active().count();
        let codes = config.in_sync().count();
        provisional(config).map(move |(id, server)| {
            let replaces = config.index_of(id).is_some();
            let needs = match (replaces, config.fused_seat(id)) {
                (true, _) => primaries + codes,
                (false, Some(_)) => primaries,
                // An heir hears only the one that it copies.
                (false, None) => 1,
            };
            Made {
                id,
                server,
                needs,
                replaces,
            }
        })
    }
}

impl Watched {
    /// The only one that it, or that one it, could not hear; of a primary that does not tell who of the two is to blame
    /// where there was nobody else to hear.
    fn only_missed(&self, made: &Made, next: &Configuration) -> Option<MemberId> {
        let of_now = |id: &MemberId| {
            let heard = self.reports.get(id);
            heard.filter(|h| h.report.epoch == self.epoch)
        };
        let mut missed = BTreeSet::new();
        for (&by, about) in &self.complaints {
            let about = about.keys().filter(|&&m| self.counts(by, m));
            let about = about.filter(|&&m| (by == made.id) != (m == made.id));
            let others = about.map(|&m| if by == made.id { m } else { by });
            missed.extend(others.filter(|_| of_now(&by).is_some()));
        }
        let one = missed.pop_first().filter(|_| missed.is_empty())?;
        let primary = next.active().any(|(_, s)| s.id == one) && made.needs > 1;
        let code = next.in_sync().any(|s| s.id == one);
        (primary || code).then_some(one)
    }

    /// Whether it said that it is not there, or it and a member that `next` keeps could not hear each other.
    fn was_unwell(&self, id: MemberId, next: &Configuration) -> bool {
        let said = self.reports.iter();
        let mut said = said.filter(|(_, h)| h.report.epoch == self.epoch);
        let stays = |other: MemberId| next.members().any(|m| m == other);
        said.any(|(&from, heard)| {
            let about = &heard.report.complaints;
            about.contains(&id) && stays(from)
                || from == id && about.iter().any(|&m| stays(m))
                || from == id && heard.report.condition == Condition::Missing
        })
    }
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
    avoidance: Avoidance,
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
            listened: 0,
            timers_from: 0,
            servers: BTreeMap::new(),
            clusters: BTreeMap::new(),
            avoidance: Avoidance::default(),
            unexplained: Unexplained::default(),
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
        let (listened, timers_from) = (self.listened_at(now_ms), self.timers_from);
        let Some(server) = self.servers.get_mut(&server) else {
            return false;
        };
        // It is back with its members: one that has lost them comes under another id.
        let wrongly = server.seen.suspected_since_ms.is_some() && server.seen.last_heard_ms > 0;
        if wrongly && !server.declared && !planted(Fault::FlappingUndamped) {
            server.doublings = MOST_DOUBLINGS.min(server.doublings + 1);
            server.doubled = listened;
        }
        let comes = server.is_sought(timers_from) || server.seen.suspected_since_ms.is_some();
        if comes && !planted(Fault::NewcomerNotAwaited) {
            server.arrived = listened;
        }
        server.declared = false;
        server.heard = server.heard.max(listened);
        server.seen.last_heard_ms = now_ms.max(1);
        server.seen.suspected_since_ms = None;
        true
    }

    /// What a server says of a member. Only the member's own server speaks for it: the caller has checked that. Which
    /// epochs it knows it says apart from that ([`hear_epoch`](Self::hear_epoch)).
    pub fn hear_of(&mut self, report: MemberReport, now_ms: u64) {
        let listened = self.listened_at(now_ms);
        let watched = self.clusters.entry(report.cluster).or_default();
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

    /// As [`hear_epoch`](Self::hear_epoch), and who says so. Of the contents of an epoch a few are remembered, each with a
    /// few of those that named it: two are one too many (rule 61).
    pub fn hear_content(&mut self, server: ServerId, cluster: ClusterId, epoch: Epoch, nonce: u64) {
        self.hear_epoch(server, cluster, epoch, nonce);
        let Some(watched) = self.clusters.get_mut(&cluster) else {
            return;
        };
        if epoch != watched.epoch {
            return;
        }
        let room = watched.contents.len() < MAX_CONTENTS || nonce == watched.nonce;
        if room || watched.contents.contains_key(&nonce) {
            let servers = watched.contents.entry(nonce).or_default();
            if servers.len() < MAX_CONTENTS {
                servers.insert(server);
            }
        }
    }

    /// The contents of `config`'s epoch that servers have named, and some of those servers, if there are two (rule 61).
    #[must_use]
    pub fn two_contents(&self, config: &Configuration) -> Option<Vec<Content>> {
        let watched = self.clusters.get(&config.cluster)?;
        let same = (watched.epoch, watched.nonce) == (config.epoch, config.nonce);
        let mut contents: BTreeMap<_, _> = watched.contents.clone();
        // The store's own, whoever else has it.
        contents.entry(config.nonce).or_default();
        let content = |(nonce, servers): (u64, BTreeSet<ServerId>)| Content {
            nonce,
            servers: servers.into_iter().collect(),
        };
        (same && contents.len() > 1).then(|| contents.into_iter().map(content).collect())
    }

    /// `config` is the current one from now on: its members have a while to be heard of in its epoch.
    pub fn installed(&mut self, config: &Configuration, now_ms: u64) {
        self.judge_servers(config, now_ms);
        let listened = self.listened_at(now_ms);
        let stray = self.unexplained.explained(config.cluster);
        let watched = self.clusters.entry(config.cluster).or_default();
        watched.highest = watched.highest.max(stray.unwrap_or_default());
        if (watched.epoch, watched.nonce) != (config.epoch, config.nonce) {
            watched.epoch = config.epoch;
            watched.nonce = config.nonce;
            watched.other_content = None;
            watched.contents.clear();
            watched.since = listened;
            watched.provisional = Made::of(config).collect();
            let named = |id: MemberId| config.host_of(id).is_some();
            watched.reports.retain(|&id, _| named(id));
            watched.heard.retain(|&id, _| named(id));
            watched.complaints.clear();
        }
        if config.removed {
            self.clusters.remove(&config.cluster);
            self.avoidance.forget(config.cluster);
        }
    }

    /// Where members were being made and are not named any more, they were given up, if they were silent or it was
    /// complained of or by them: their servers are avoided for a while (rule 55), and whom alone they missed is remembered
    /// (rule 51). Where they are of use now, the server is good.
    fn judge_servers(&mut self, next: &Configuration, now_ms: u64) {
        let Some(watched) = self.clusters.get(&next.cluster) else {
            return;
        };
        let still: BTreeSet<MemberId> = provisional(next).map(|(id, _)| id).collect();
        let made = watched.provisional.iter();
        let away = |id| next.codes_away().any(|f| f.id == id);
        for made in made.filter(|made| !still.contains(&made.id) && !away(made.id)) {
            if next.host_of(made.id).is_some() {
                self.avoidance.succeeded(next.cluster, made.server);
                if made.replaces {
                    self.avoidance.reached(next.cluster);
                }
            } else if watched.was_unwell(made.id, next)
                || self.is_silent(watched, made.id, made.server)
            {
                self.avoidance.given_up(next, made.server, now_ms);
                if let Some(one) = watched.only_missed(made, next) {
                    self.avoidance.missed(next, one, made.server, now_ms);
                }
            }
        }
    }

    fn is_silent(&self, watched: &Watched, id: MemberId, server: ServerId) -> bool {
        let known = self.servers.get(&server);
        known.is_none_or(|s| s.seen.suspected_since_ms.is_some())
            || self
                .silent_since(watched, id, watched.epoch, Some(server))
                .is_some()
    }

    /// Since when a member is not heard of in an epoch, though its server may be.
    fn silent_since(
        &self,
        watched: &Watched,
        id: MemberId,
        epoch: Epoch,
        server: Option<ServerId>,
    ) -> Option<u64> {
        let current = watched.reports.get(&id).map(|h| h.report.epoch) == Some(epoch);
        let heard = watched.heard.get(&id).filter(|_| current);
        let server = server.and_then(|id| self.servers.get(&id));
        // Its server comes first, and says what it holds with its next message only.
        let arrived = server.map_or(0, |s| s.arrived).max(self.timers_from);
        let began = watched.since.max(arrived);
        let last = heard.copied().unwrap_or(0).max(began);
        let limit = server.map_or(self.suspect_ms, |s| {
            s.suspect_after(self.suspect_ms, self.timers_from)
        });
        let over = self.listened.saturating_sub(last).checked_sub(limit)?;
        // Not before it really became suspect: pauses since then only make this later (rule 23).
        Some(self.now_ms.saturating_sub(over))
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
                && silence >= server.suspect_after(suspect_ms, timers_from)
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
        self.servers.values_mut().for_each(|s| s.told = false);
    }

    /// All that a decision on `config` rests on; `servers` are those seen, with what else is known of them.
    #[must_use]
    pub fn evidence(
        &self,
        config: &Configuration,
        servers: BTreeMap<ServerId, ServerView>,
    ) -> Evidence {
        let unheard = Watched::default();
        let watched = self.clusters.get(&config.cluster).unwrap_or(&unheard);
        let mut reports = watched.reports.clone();
        for (by, heard) in &mut reports {
            (heard.report.complaints).retain(|about| watched.counts(*by, *about));
        }
        // A server may be heard of and yet never say anything of a member, or never come to its epoch. A primary that may
        // serve again, or whose state another one may need (rule 36), must not only have answered once.
        let formers = config.formers().chain(config.moved()).map(|(_, f)| f.id);
        let formers = formers.chain(config.codes_away().map(|f| f.id));
        let silent = config.members().chain(formers).filter_map(|id| {
            let server = config.host_of(id).map(|h| h.server);
            let since = self.silent_since(watched, id, config.epoch, server);
            since.map(|since| (id, since))
        });
        Evidence {
            silent: silent.collect(),
            servers,
            reports,
            avoided: self.avoidance.of(config.cluster, self.now_ms),
            missed: self.avoidance.missed_of(config.cluster, self.now_ms),
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
    /// Silence of so long is suspicion; longer when it was wrong before (rule 56), and while it may still be looking for
    /// the coordinator that is active since `timers_from` (rule 22).
    fn suspect_after(&self, suspect_ms: u64, timers_from: u64) -> u64 {
        let sought = self.is_sought(timers_from) && !planted(Fault::NewcomerNotAwaited);
        suspect_ms << self.doublings.max(u32::from(sought))
    }

    /// Whether it was not heard of since this coordinator is the active one.
    fn is_sought(&self, timers_from: u64) -> bool {
        self.seen.last_heard_ms == 0 || self.heard < timers_from
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
