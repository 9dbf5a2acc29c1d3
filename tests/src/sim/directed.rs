//! Schedules that chance hits too rarely, played by hand. Each says what is wrong, if something is.

mod moves;
mod time;

use super::decisions;
use fusion_core::code::Code;
use fusion_core::config::{ClusterShape, Configuration, FusedState, PrimaryState, Reads};
use fusion_core::detector::Detector;
use fusion_core::fused::Fused;
use fusion_core::id::{ClusterId, MemberId, PrimaryIndex, Row, Seq, ServerId, SessionId};
use fusion_core::membership::{self, Evidence, Plan, ServerView};
use fusion_core::message::{Ack, ClientRequest, Condition, MemberReport, Refusal, Route};
use fusion_core::op::{Kind, Op};
use fusion_core::primary::{Primary, Submitted};
use fusion_core::time::{DRIFT_PPM, Time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A schedule and its name.
pub type Schedule = (&'static str, fn() -> Result<(), String>);

/// All of them.
pub const SCHEDULES: &[Schedule] = &[
    ("a late acknowledgement", a_late_acknowledgement),
    ("clocks that drift apart", clocks_that_drift_apart),
    ("an unstable snapshot", an_unstable_snapshot),
    ("a learner's lease", a_learners_lease),
    (
        "a spare that nobody can reach",
        a_spare_that_nobody_can_reach,
    ),
    (
        "a coordinator with another heartbeat",
        time::a_coordinator_with_another_heartbeat,
    ),
    (
        "a coordinator that hiccups",
        time::a_coordinator_that_hiccups,
    ),
    (
        "a coordinator that is yet to be found",
        time::a_coordinator_that_is_yet_to_be_found,
    ),
    ("a server that flaps", time::a_server_that_flaps),
    ("a second content", a_second_content),
    ("a store that was set back", a_store_that_was_set_back),
    ("a primary that returns", decisions::a_primary_that_returns),
    (
        "a replacement with a bad link",
        decisions::a_replacement_with_a_bad_link,
    ),
    (
        "a bad link while nothing can be spared",
        decisions::a_bad_link_while_nothing_can_be_spared,
    ),
    (
        "a spare that nobody reaches",
        decisions::a_spare_that_nobody_reaches,
    ),
    (
        "a primary that nobody reaches",
        decisions::a_primary_that_nobody_reaches,
    ),
    (
        "a primary that misses the last code and dies",
        decisions::a_primary_that_misses_the_last_code_and_dies,
    ),
    ("two processes of one host", two_processes_of_one_host),
    ("a long message", time::a_long_message),
    (
        "a read after the machine was stopped",
        time::a_read_after_the_machine_was_stopped,
    ),
    (
        "a move that the old place does not hear of",
        moves::a_move_that_the_old_place_does_not_hear_of,
    ),
    (
        "a move while a code lacks what was copied",
        moves::a_move_while_a_code_lacks_what_was_copied,
    ),
    (
        "a move whose heir lacks a write",
        moves::a_move_whose_heir_lacks_a_write,
    ),
    (
        "a move whose last code dies",
        moves::a_move_whose_last_code_dies,
    ),
];

/// Plays a schedule by itself: an assertion that does not hold is a failure, too.
///
/// # Errors
/// What is wrong.
pub fn play((_, run): &Schedule) -> Result<(), String> {
    super::caught(run)?
}

/// A primary (1) and a fused member (2) of a cluster of one and one.
struct Pair {
    primary: Primary,
    fused: Fused,
}

const FIRST: PrimaryIndex = PrimaryIndex(0);

impl Pair {
    fn new() -> Pair {
        Pair::with_reads(Reads::Leased)
    }

    fn with_reads(reads: Reads) -> Pair {
        let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).expect("a shape");
        let shape = shape.with_reads(reads);
        let hosts = [1, 2].map(super::world::host);
        let config = Configuration::create(1, ClusterId(1), 1, &shape, &hosts);
        let config = Arc::new(config);
        Pair {
            primary: Primary::create(Arc::clone(&config), MemberId(1)),
            fused: Fused::create(config, MemberId(2), Code::new(1, 1).expect("a code")),
        }
    }

    fn route(&self, to: u64) -> Route {
        self.primary.config().route(MemberId(1), MemberId(to))
    }

    /// The fused member takes a message that is sent at `sent` by the one's clock and comes at `comes` by the other's.
    fn replicate(&mut self, sent: Time, comes: Time) -> Result<Ack, String> {
        let message = self.primary.replicate(MemberId(2), 1 << 20, sent);
        let message = message.ok_or("the fused member is one of the cluster")?;
        let answer = self.fused.on_replicate(self.route(2), &message, comes);
        answer.map_err(|refusal| refusal.to_string())
    }

    fn reads(&mut self, now: Time) -> bool {
        let request = ClientRequest {
            id: None,
            op: Op::Len,
            follows: false,
        };
        self.primary.submit(&request, now) != Submitted::NoLease
    }

    /// Both hear of a new epoch.
    fn adopt(&mut self, config: &Arc<Configuration>) {
        self.primary.adopt(Arc::clone(config));
        self.fused.adopt(Arc::clone(config));
    }

    /// The primary is lost, as the fused member hears.
    fn seal(&mut self) {
        let mut next = self.primary.config().successor(2);
        next.primaries[0].id = MemberId(3);
        next.primaries[0].state = PrimaryState::Lost;
        self.fused.adopt(Arc::new(next));
    }
}

/// The acknowledgement takes nearly as long as the lease: it must not begin when it arrives (rule 13).
fn a_late_acknowledgement() -> Result<(), String> {
    let mut pair = Pair::new();
    let timing = pair.primary.config().timing;
    let start = Time(1_000_000);
    let ack = pair.replicate(start, start)?;
    let late = Time(start.after(timing.lease_primary()).0 - 1);
    let route = pair.route(2);
    pair.primary.on_ack(route, ack, late);
    pair.seal();
    let over = start.after(timing.lease_fused());
    if pair.fused.lease_left(FIRST, over) == Duration::ZERO && pair.reads(over) {
        return Err(
            "invariant 7: a read after the fused member said that the lease is over".into(),
        );
    }
    Ok(())
}

/// The primary's clock is as slow as is allowed, the fused member's as fast (rules 1, 2).
fn clocks_that_drift_apart() -> Result<(), String> {
    let mut pair = Pair::new();
    let slow = |t: u64| Time(t * (1_000_000 - DRIFT_PPM) / 1_000_000);
    let fast = |t: u64| Time(t * (1_000_000 + DRIFT_PPM) / 1_000_000);
    let start = 10_000_000;
    let ack = pair.replicate(slow(start), fast(start))?;
    let route = pair.route(2);
    pair.primary.on_ack(route, ack, slow(start));
    pair.seal();
    for after in (0..3_000_000).step_by(500) {
        let now = start + after;
        if pair.fused.lease_left(FIRST, fast(now)) == Duration::ZERO && pair.reads(slow(now)) {
            return Err(
                "invariant 7: a read after the fused member said that the lease is over".into(),
            );
        }
    }
    Ok(())
}

/// A learner has the whole snapshot, but not everybody has the changes in it: were it promoted and the others lost, so
/// would be what it holds alone, and a replacement would be recovered to less than it has (rule 27).
fn an_unstable_snapshot() -> Result<(), String> {
    let mut pair = Pair::new();
    let mut next = pair.primary.config().successor(2);
    next.fused[0].state = FusedState::Joining;
    next.fused[0].id = MemberId(4);
    let next = Arc::new(next);
    pair.primary.adopt(Arc::clone(&next));
    let code = Code::new(1, 1).expect("a code");
    pair.fused = Fused::create(next, MemberId(4), code);
    let route = pair.route(4);
    let mut from = 0;
    while let Some(chunk) = pair.primary.chunk(MemberId(4), from) {
        from = chunk.number + 1;
        let taken = pair.fused.on_chunk(route, &chunk, Time(1_000_000));
        taken.map_err(|refusal| refusal.to_string())?;
    }
    // Its acknowledgement is lost.
    let message = pair
        .primary
        .replicate(MemberId(4), 1 << 20, Time(1_000_000));
    let message = message.ok_or("the learner is one of the cluster")?;
    let taken = pair.fused.on_replicate(route, &message, Time(1_000_000));
    taken.map_err(|refusal| refusal.to_string())?;
    if pair.primary.stable() < pair.primary.applied()
        && pair.fused.condition() == Condition::Complete
    {
        return Err("invariant 8: a learner is complete while its snapshot is not stable".into());
    }
    Ok(())
}

/// The code in sync renews the lease of a primary, its learner does not. Then the learner takes its place, and the primary
/// is lost: nobody but the former learner is asked whether a lease still runs (rules 10, 33).
fn a_learners_lease() -> Result<(), String> {
    let mut pair = Pair::new();
    let timing = pair.primary.config().timing;
    let mut joins = pair.primary.config().successor(2);
    joins.next_id = 4;
    joins.add_learner(Row(0), super::world::host(4));
    joins.fused[1].state = FusedState::Joining;
    let joins = Arc::new(joins);
    pair.adopt(&joins);
    let mut learner = Fused::create(joins, MemberId(4), Code::new(1, 1).expect("a code"));
    let start = Time(1_000_000);
    let renewed = Time(start.0 + timing.lease_primary().as_micros() as u64 * 9 / 10);
    let ack = pair.replicate(start, start)?;
    pair.primary.on_ack(pair.route(2), ack, start);
    let route = pair.route(4);
    let message = pair.primary.replicate(MemberId(4), 1 << 20, start);
    let message = message.ok_or("the learner is one of the cluster")?;
    let ack = learner.on_replicate(route, &message, start);
    let ack = ack.map_err(|refusal| refusal.to_string())?;
    pair.primary.on_ack(route, ack, start);
    let mut from = 0;
    while let Some(chunk) = pair.primary.chunk(MemberId(4), from) {
        from = chunk.number + 1;
        let taken = learner.on_chunk(route, &chunk, start);
        taken.map_err(|refusal| refusal.to_string())?;
    }
    let ack = pair.replicate(renewed, renewed)?;
    pair.primary.on_ack(pair.route(2), ack, renewed);
    let mut next = learner.config().successor(3);
    next.fused.retain(|s| s.id == MemberId(4));
    next.fused[0].state = FusedState::InSync;
    learner.adopt(Arc::new(next.clone()));
    let mut lost = next.successor(4);
    lost.primaries[0].id = MemberId(5);
    lost.primaries[0].state = PrimaryState::Lost;
    learner.adopt(Arc::new(lost));
    let over = start.after(timing.lease_fused());
    if learner.lease_left(FIRST, over) == Duration::ZERO && pair.reads(over) {
        return Err(
            "invariant 7: a read after the fused member said that the lease is over".into(),
        );
    }
    Ok(())
}

/// A learner is placed where nobody can reach it: it only copies, so writes and reads go on without it (rule 54).
fn a_spare_that_nobody_can_reach() -> Result<(), String> {
    let mut pair = Pair::new();
    let now = Time(1_000_000);
    let mut copies = pair.primary.config().successor(2);
    copies.next_id = 4;
    copies.add_learner(Row(0), super::world::host(4));
    pair.adopt(&Arc::new(copies));
    pair.primary.open_session(SessionId(1));
    let ack = pair.replicate(now, now)?;
    pair.primary.on_ack(pair.route(2), ack, now);
    if pair.primary.stable() < pair.primary.applied() {
        return Err("invariant 11: a write waits for a learner that nobody can reach".into());
    }
    if !pair.reads(now) {
        return Err("invariant 11: a read waits for a learner that nobody can reach".into());
    }
    Ok(())
}

/// Two stores make epoch 2, one with the fused member and one without: a change that is answered in the one must not rest on
/// a member of the other, which will go (rules 5, 61).
fn a_second_content() -> Result<(), String> {
    let mut pair = Pair::new();
    let now = Time(1_000_000);
    let first = pair.primary.config().successor(2);
    let mut second = pair.primary.config().successor(3);
    second.next_id = 4;
    second.add_learner(Row(0), super::world::host(4));
    pair.primary.adopt(Arc::new(first));
    pair.fused.adopt(Arc::new(second));
    let message = pair.primary.replicate(MemberId(2), 1 << 20, now);
    let message = message.ok_or("the fused member is one of the cluster")?;
    let route = pair.route(2);
    match pair.fused.on_replicate(route, &message, now) {
        Err(Refusal::Epoch(theirs)) if theirs.contradicts(pair.primary.config()) => {}
        other => {
            return Err(format!(
                "invariant 5: a member of another content of the epoch says {other:?}"
            ));
        }
    }
    let seq = pair.primary.applied();
    let ours = pair.fused.config().route(MemberId(1), MemberId(2));
    pair.primary.on_ack(
        ours,
        Ack {
            seq,
            sent_at: now,
            number: 0,
            full: None,
        },
        now,
    );
    match pair.primary.stable() {
        Seq(0) => Ok(()),
        _ => Err("invariant 5: an acknowledgement of another content of the epoch counts".into()),
    }
}

/// A coordinator begins with a store of one epoch ago. One server is in the present one, the other is dead since the store
/// was copied: a decision on the old configuration would give that epoch a second content (rules 5, 39, 60).
fn a_store_that_was_set_back() -> Result<(), String> {
    let mut pair = Pair::new();
    let old = pair.primary.config().clone();
    let mut next = old.successor(2);
    next.fused.clear();
    next.add_learner(Row(0), super::world::host(3));
    pair.primary.adopt(Arc::new(next.clone()));
    let mut detector = Detector::new(&old.timing, 0);
    detector.installed(&old, 0);
    let mut servers = BTreeMap::new();
    for server in [1, 2].map(ServerId) {
        detector.add_server(server);
        let view = ServerView {
            address: String::new(),
            last_heard_ms: 1,
            suspected_since_ms: (server == ServerId(2)).then_some(1),
            load: 1,
            draining: false,
            ..ServerView::default()
        };
        servers.insert(server, view);
    }
    let suspect = old.timing.suspect_after().as_millis() as u64;
    for now in (0..=2 * suspect).step_by(50) {
        detector.hear(ServerId(1), now);
        let report = pair.primary.condition();
        let report = MemberReport::new(old.cluster, MemberId(1), next.epoch, report);
        detector.hear_of(report, now);
        detector.hear_epoch(ServerId(1), next.cluster, next.epoch, next.nonce);
        detector.tick(now);
    }
    let evidence = detector.evidence(&old, servers);
    if detector.guard(&old).is_err() {
        return Ok(());
    }
    let foreseen = membership::foresee_loss(&old, &evidence);
    let accepted = foreseen.and_then(|foreseen| {
        let acceptance = membership::Acceptance {
            wipe: foreseen.wiped_servers().into_iter().collect(),
            lose: foreseen.lost,
            processes_are_dead: true,
        };
        membership::accept_loss(&old, &evidence, 4, &acceptance)
    });
    let decided = match accepted {
        Ok((decided, _)) => decided,
        Err(_) => match membership::plan(&old, &evidence, 4) {
            Plan::Change(decided, _) => *decided,
            Plan::Keep | Plan::Wait(_) => old.successor(4),
        },
    };
    match next.contradicts(&decided) {
        true => Err(
            "invariant 10: a store that is behind is changed: its epoch has two contents".into(),
        ),
        false => Ok(()),
    }
}

/// A server dies, and what is free is a second process on another member's host, and one on a host of its own that has more
/// to do. Were the host lost, so would be two members, of which one may be (rule 69).
fn two_processes_of_one_host() -> Result<(), String> {
    let shape = ClusterShape::new("c", Kind::Map, 2, 1, false).expect("a shape");
    let hosts = [1, 2, 3].map(super::world::host);
    let config = Configuration::create(1, ClusterId(1), 1, &shape, &hosts);
    let mut evidence = Evidence::default();
    for (server, host, load) in [
        (1, "a", 1),
        (2, "b", 1),
        (3, "c", 1),
        (4, "b", 0),
        (5, "d", 9),
    ] {
        let view = ServerView {
            last_heard_ms: 1,
            suspected_since_ms: (server == 1).then_some(1),
            load,
            host: host.into(),
            ..ServerView::default()
        };
        evidence.servers.insert(ServerId(server), view);
    }
    let Plan::Change(next, _) = membership::plan(&config, &evidence, 2) else {
        return Err("invariant 9: the dead primary is lost".into());
    };
    match next.primaries[0].host.server {
        ServerId(5) => Ok(()),
        other => Err(format!(
            "rule 69: a replacement on server {other}, beside another member"
        )),
    }
}
