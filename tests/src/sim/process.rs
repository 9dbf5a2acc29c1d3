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

/// A boot clock: it never steps, and runs too fast or too slow by at most rho, now so and now otherwise (PROTOCOL rule
/// 1). A hypervisor that stops its machine may stop it, too: it goes on from where it was (rule 58).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What it shows at the true moment `from`, and before it, while it is stopped.
    shown: u64,
    from: u64,
    ppm: i64,
}

impl Clock {
    /// One that shows anything, and runs at [some rate](Self::some_rate).
    pub fn random(rng: &mut Rng) -> Clock {
        Clock {
            shown: rng.below(1 << 40),
            from: 0,
            ppm: Clock::some_rate(rng),
        }
    }

    /// By how many parts per million it is too fast; the extremes are what breaks things.
    pub fn some_rate(rng: &mut Rng) -> i64 {
        let most = DRIFT_PPM as i64;
        let between = rng.below(2 * DRIFT_PPM) as i64 - most;
        rng.pick(&[-most, -most, 0, most, most, between])
    }

    /// What it shows at a true moment that is not before its last change.
    #[must_use]
    pub fn at(&self, true_us: u64) -> Time {
        let passed = i128::from(true_us.saturating_sub(self.from));
        let gained = passed * i128::from(self.ppm) / 1_000_000;
        Time(self.shown + (passed + gained) as u64)
    }

    /// From now on it runs at another rate, without a step.
    pub fn set_rate(&mut self, now: u64, ppm: i64) {
        self.shown = self.at(now).0;
        self.from = self.from.max(now);
        self.ppm = ppm;
    }

    /// It stands still until a true moment, and then goes on from where it was.
    pub fn stop(&mut self, now: u64, until: u64) {
        self.shown = self.at(now).0;
        self.from = self.from.max(until);
    }

    /// It goes on now, if it was stopped.
    pub fn go_on(&mut self, now: u64) {
        self.from = self.from.min(now);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_changes_its_rate_without_a_step_and_goes_on_from_where_it_was_stopped() {
        let mut clock = Clock {
            shown: 5,
            from: 0,
            ppm: 100_000,
        };
        assert_eq!(clock.at(100), Time(115));
        clock.set_rate(100, -100_000);
        assert_eq!((clock.at(100), clock.at(200)), (Time(115), Time(205)));
        clock.stop(200, 1000);
        clock.set_rate(500, 0);
        assert_eq!((clock.at(999), clock.at(1010)), (Time(205), Time(215)));
        clock.stop(2000, 9000);
        let stopped = clock.at(2000).0;
        clock.go_on(3000);
        assert_eq!(clock.at(3010), Time(stopped + 10));
    }
}
