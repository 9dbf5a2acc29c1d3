//! Processes: each with a clock of its own rate, alive, paused or gone.

use super::rng::Rng;
use super::world::Event;
use fusion_core::id::ServerId;
use fusion_core::time::{DRIFT_PPM, Time};

/// Whoever sends and receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProcessId {
    /// A server.
    Server(ServerId),
    /// A coordinator.
    Coordinator(u64),
    /// A client.
    Client(u64),
}

/// A boot clock: it never steps, and runs too fast or too slow by at most rho (PROTOCOL rule 1).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    offset: u64,
    ppm: i64,
}

impl Clock {
    /// The extremes are what breaks things.
    pub fn random(rng: &mut Rng) -> Clock {
        let most = DRIFT_PPM as i64;
        let between = rng.below(2 * DRIFT_PPM) as i64 - most;
        Clock {
            offset: rng.below(1 << 40),
            ppm: rng.pick(&[-most, -most, 0, most, most, between]),
        }
    }

    /// What it shows at a true moment.
    #[must_use]
    pub fn at(&self, true_us: u64) -> Time {
        let gained = i128::from(true_us) * i128::from(self.ppm) / 1_000_000;
        Time(self.offset + (i128::from(true_us) + gained) as u64)
    }
}

/// What is common to all processes.
#[derive(Debug)]
pub struct Process {
    /// Its clock.
    pub clock: Clock,
    /// Until when it is stopped, as SIGSTOP does; what comes meanwhile waits in its sockets.
    pub paused_until: u64,
    /// What waits.
    pub held: Vec<Event>,
}

impl Process {
    /// A running process.
    pub fn new(rng: &mut Rng) -> Process {
        Process {
            clock: Clock::random(rng),
            paused_until: 0,
            held: Vec::new(),
        }
    }
}
