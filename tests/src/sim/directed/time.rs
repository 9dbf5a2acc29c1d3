//! Schedules of clocks, pauses and silence.

use super::Pair;
use crate::sim::coordinator::Coordinator;
use crate::sim::process::ProcessId;
use crate::sim::world::World;
use fusion_core::code::Code;
use fusion_core::config::{PrimaryState, Reads};
use fusion_core::detector::Detector;
use fusion_core::id::{MemberId, RecoveryId, ServerId};
use fusion_core::message::ClientRequest;
use fusion_core::op::Op;
use fusion_core::primary::Submitted;
use fusion_core::recovery::Recovery;
use fusion_core::time::{Time, Timing};
use std::sync::Arc;

/// The coordinators were started with a heartbeat that is much slower than the cluster's; then a primary and a code
/// cannot reach each other, though everybody else reaches both: one of the two must go (rule 56).
pub(super) fn a_coordinator_with_another_heartbeat() -> Result<(), String> {
    let mut world = World::new(1);
    world.nemesis.rest();
    let slow = Timing::for_suspicion(1500).map_err(|e| e.to_string())?;
    for coordinator in &mut world.coordinators {
        *coordinator = Coordinator::new(Arc::clone(&world.store.config), slow);
    }
    world.run_until(world.now + 2_000_000);
    let config = Arc::clone(&world.store.config);
    let (primary, code) = (&config.primaries[0], &config.fused[0]);
    let ends = [primary.host.server, code.host.server].map(ProcessId::Server);
    world.network.cut.insert((ends[0], ends[1]));
    world.network.cut.insert((ends[1], ends[0]));
    world.run_until(world.now + 15_000_000);
    let now = &world.store.config;
    let both = now.primaries[0].id == primary.id && now.fused.iter().any(|s| s.id == code.id);
    if both {
        return Err("invariant 9: nobody complains of a link that is cut for 15 s".into());
    }
    Ok(())
}

/// A coordinator that comes to look only every 3 T_h, again and again, under load, must notice a death all the same:
/// within 3 T_s and one look (rule 56).
pub(super) fn a_coordinator_that_hiccups() -> Result<(), String> {
    let timing = Timing::default();
    let heartbeat = timing.heartbeat().as_millis() as u64;
    let suspect = timing.suspect_after().as_millis() as u64;
    let mut detector = Detector::new(&timing, 0);
    detector.add_server(ServerId(1));
    detector.hear(ServerId(1), 1);
    let apart = 3 * heartbeat;
    let looks = (1..).map(|i| i * apart);
    let mut looks = looks.take_while(|now| *now <= 3 * suspect + apart);
    if looks.any(|now| !detector.tick(now).suspected.is_empty()) {
        Ok(())
    } else {
        Err("invariant 9: a death was not noticed by a coordinator that hiccups".into())
    }
}

/// The coordinator was stopped and another one took over; servers left the first after T_s, one by one, and then found the
/// second. Nobody is dead, and nobody is to be replaced (rule 22).
pub(super) fn a_coordinator_that_is_yet_to_be_found() -> Result<(), String> {
    let mut world = World::new(1);
    world.nemesis.rest();
    world.run_until(world.now + 5_000_000);
    let before: Vec<MemberId> = world.store.config.members().collect();
    let timing = world.store.config.timing;
    let suspect = timing.suspect_after().as_micros() as u64;
    for coordinator in &mut world.coordinators {
        let servers = world.store.registered.iter().zip(0..);
        let sought = servers.map(|(&s, i)| (s, world.now + suspect + i * suspect / 20));
        let new = Coordinator::new(Arc::clone(&world.store.config), timing);
        *coordinator = new.found_by(sought.collect());
    }
    world.run_until(world.now + 5 * suspect);
    let after: Vec<MemberId> = world.store.config.members().collect();
    if before != after {
        return Err(format!(
            "invariant 9: nobody died, and members {before:?} became {after:?} under a new coordinator"
        ));
    }
    Ok(())
}

/// A server that is heard of for a moment after each time it was suspected, for a minute: it must not be taken for dead
/// again and again (rule 56).
pub(super) fn a_server_that_flaps() -> Result<(), String> {
    let timing = Timing::default();
    let suspect = timing.suspect_after().as_millis() as u64;
    let mut detector = Detector::new(&timing, 0);
    detector.add_server(ServerId(1));
    detector.hear(ServerId(1), 1);
    let mut wrongly = 0;
    for now in (0..60 * suspect).step_by(suspect as usize / 10) {
        if !detector.tick(now).suspected.is_empty() {
            wrongly += 1;
            detector.hear(ServerId(1), now);
        }
    }
    if wrongly <= 60 / 4 + 3 {
        Ok(())
    } else {
        Err(format!(
            "invariant 9: one server that flaps was taken for dead {wrongly} times in 60 T_s"
        ))
    }
}

/// A machine was stopped together with its clock, while its primary was replaced: to the primary its lease still runs when
/// a client reads, and all that was sent before is acknowledged. Only what is sent after the read tells (rule 58).
pub(super) fn a_read_after_the_machine_was_stopped() -> Result<(), String> {
    let mut pair = Pair::with_reads(Reads::Confirmed);
    let stopped = Time(1_000_000);
    for _ in 0..2 {
        let ack = pair.replicate(stopped, stopped)?;
        let route = pair.route(2);
        pair.primary.on_ack(route, ack, stopped);
    }
    pair.seal();
    let request = ClientRequest {
        id: None,
        op: Op::Len,
        follows: false,
    };
    let Submitted::Done { round, .. } = pair.primary.submit(&request, stopped) else {
        return Err("invariant 9: reads that rest on no lease are executed".into());
    };
    if pair.primary.confirmed() >= round {
        return Err(
            "invariant 7: a read was answered after the fused member knew of another primary"
                .into(),
        );
    }
    match pair.replicate(stopped, stopped) {
        Ok(_) => Err("invariant 7: the fused member answers a primary that was replaced".into()),
        Err(_) => Ok(()),
    }
}

/// A long message is on its way for three times T_c, and moves all the while: nobody is to be replaced for that (rule 57).
pub(super) fn a_long_message() -> Result<(), String> {
    let mut pair = Pair::with_reads(Reads::Leased);
    let timing = pair.primary.config().timing;
    let start = Time(1_000_000);
    let sent = pair.primary.replicate(MemberId(2), 1 << 20, start);
    sent.ok_or("the fused member is one of the cluster")?;
    let mut now = start;
    while now.since(start) < 3 * timing.complain_after() {
        now = now.after(timing.heartbeat() / 2);
        pair.primary.on_progress(MemberId(2), now);
        pair.primary.tick(now);
        if !pair.primary.complaints().is_empty() {
            return Err("invariant 9: a message that moves is taken for silence".into());
        }
    }
    Ok(())
}

/// An answer to a replacement is on its way for three times T_c, and moves all the while: the sender is not to be complained
/// of, else the replacement is given up, and made elsewhere, for ever (rule 57).
pub(super) fn a_long_answer() -> Result<(), String> {
    let pair = Pair::with_reads(Reads::Leased);
    let mut config = pair.primary.config().successor(2);
    config.next_id = 4;
    config.primaries[0].id = MemberId(3);
    config.primaries[0].state = PrimaryState::Lost;
    let timing = config.timing;
    let code = Code::new(1, 1).map_err(|e| e.to_string())?;
    let recovery = Recovery::new(Arc::new(config), MemberId(3), code, RecoveryId(1), None);
    let mut recovery = recovery.map_err(|e| e.to_string())?;
    let start = Time(1_000_000);
    let asked = recovery.requests(start);
    let (from, _) = *asked.first().ok_or("somebody is asked")?;
    let mut now = start;
    while now.since(start) < 3 * timing.complain_after() {
        now = now.after(timing.heartbeat() / 2);
        recovery.on_progress(from, now);
        recovery.tick(now);
        if !recovery.complaints().is_empty() {
            return Err("invariant 11: an answer that comes in is taken for silence".into());
        }
    }
    Ok(())
}
