//! Schedules of clocks, pauses and silence.

use crate::sim::coordinator::Coordinator;
use crate::sim::process::ProcessId;
use crate::sim::world::World;
use fusion_core::detector::Detector;
use fusion_core::id::ServerId;
use fusion_core::time::Timing;
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
