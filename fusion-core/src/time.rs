//! Moments of a process's clock, and the constants that the protocol counts them by (PROTOCOL rules 1 to 3).
//!
//! Nothing here reads a clock: whoever drives a state machine says what time it is.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use thiserror::Error;

/// rho: by how much a process's clock may run too fast or too slow, in parts per million (PROTOCOL rule 1).
///
/// 10 %: a kernel may be told to slew a clock by as much (`adjtimex` by 10 %, chrony by 8.3 % unless told otherwise); a
/// crystal is off by 100 ppm at most.
pub const DRIFT_PPM: u64 = 100_000;
/// What a lease is longer at the fused member beside drift: the coarsest step of any clock used.
pub const TICK_MS: u32 = 1;
/// The longest lease: what a recovery waits for at most, whatever the time of suspicion is.
const MAX_LEASE_MS: u32 = 5_000;
/// The shortest time of suspicion that leaves room for heartbeats and leases.
const MIN_SUSPECT_MS: u32 = 50;
const MAX_SUSPECT_MS: u32 = 3_600_000;

/// A moment of one process's boot clock, in microseconds: it counts suspension, never steps, and says nothing to
/// another process but when that one echoes it (PROTOCOL rule 1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(pub u64);

impl Time {
    /// Later than every moment.
    pub const NEVER: Time = Time(u64::MAX);

    /// So much later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Time {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(micros))
    }

    /// The time from `earlier` to here; none when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The times of one cluster, checked against each other (PROTOCOL rules 2, 3). They are part of its configuration, so
/// that a primary and a fused member never count one lease by different lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    suspect_ms: u32,
    complain_ms: u32,
    heartbeat_ms: u32,
    lease_primary_ms: u32,
    lease_fused_ms: u32,
}

/// Times that do not fit each other.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TimingError {
    /// Out of what was ever tried.
    #[error("a server cannot be suspected after {suspect_ms} ms; choose {min} to {max} ms")]
    Suspect {
        /// What was asked for.
        suspect_ms: u32,
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// The fused member's lease could end before the primary's does.
    #[error(
        "a lease of {primary_ms} ms at the primary needs at least {least} ms at the fused member, not {fused_ms}"
    )]
    Lease {
        /// L_P.
        primary_ms: u32,
        /// L_F.
        fused_ms: u32,
        /// The least L_F for that L_P.
        least: u64,
    },
    /// A time would not do its work.
    #[error(
        "the heartbeat ({heartbeat_ms} ms) must be at most a fifth of the suspicion ({suspect_ms} ms), the complaint ({complain_ms} ms) at least it"
    )]
    Detection {
        /// T_h.
        heartbeat_ms: u32,
        /// T_s.
        suspect_ms: u32,
        /// T_c.
        complain_ms: u32,
    },
}

impl Timing {
    /// Checks all times against each other.
    ///
    /// # Errors
    /// [`TimingError`] says which two do not fit. A lease may be longer than the suspicion: that is safe, recoveries
    /// only wait longer.
    pub fn new(
        suspect_ms: u32,
        complain_ms: u32,
        heartbeat_ms: u32,
        lease_primary_ms: u32,
        lease_fused_ms: u32,
    ) -> Result<Timing, TimingError> {
        if !(MIN_SUSPECT_MS..=MAX_SUSPECT_MS).contains(&suspect_ms) {
            return Err(TimingError::Suspect {
                suspect_ms,
                min: MIN_SUSPECT_MS,
                max: MAX_SUSPECT_MS,
            });
        }
        let least = least_fused_ms(lease_primary_ms);
        if lease_primary_ms < 3 || u64::from(lease_fused_ms) < least {
            return Err(TimingError::Lease {
                primary_ms: lease_primary_ms,
                fused_ms: lease_fused_ms,
                least,
            });
        }
        if heartbeat_ms == 0 || heartbeat_ms > suspect_ms / 5 || complain_ms < suspect_ms {
            return Err(TimingError::Detection {
                heartbeat_ms,
                suspect_ms,
                complain_ms,
            });
        }
        Ok(Timing {
            suspect_ms,
            complain_ms,
            heartbeat_ms,
            lease_primary_ms,
            lease_fused_ms,
        })
    }

    /// Checks times that were decoded, as [`new`](Self::new) does.
    ///
    /// # Errors
    /// [`TimingError`].
    pub fn check(&self) -> Result<(), TimingError> {
        let Timing {
            suspect_ms,
            complain_ms,
            heartbeat_ms,
            lease_primary_ms,
            lease_fused_ms,
        } = *self;
        Timing::new(
            suspect_ms,
            complain_ms,
            heartbeat_ms,
            lease_primary_ms,
            lease_fused_ms,
        )
        .map(|_| ())
    }

    /// The times that follow from T_s: leases that are over when a death is noticed, complaints after 2 T_s.
    ///
    /// # Errors
    /// [`TimingError::Suspect`].
    pub fn for_suspicion(suspect_ms: u32) -> Result<Timing, TimingError> {
        let lease_fused_ms = suspect_ms.min(MAX_LEASE_MS);
        let room = u64::from(lease_fused_ms.saturating_sub(TICK_MS));
        let lease_primary_ms = room * (1_000_000 - DRIFT_PPM) / (1_000_000 + DRIFT_PPM);
        Timing::new(
            suspect_ms,
            suspect_ms.saturating_mul(2),
            (suspect_ms / 5).min(1000),
            lease_primary_ms as u32,
            lease_fused_ms,
        )
    }

    /// As [`for_suspicion`](Self::for_suspicion), with another lease than the usual one.
    ///
    /// # Errors
    /// [`TimingError`].
    pub fn with_lease(suspect_ms: u32, lease_primary_ms: u32) -> Result<Timing, TimingError> {
        let usual = Timing::for_suspicion(suspect_ms)?;
        let fused_ms = u32::try_from(least_fused_ms(lease_primary_ms)).unwrap_or(u32::MAX);
        Timing::new(
            usual.suspect_ms,
            usual.complain_ms,
            usual.heartbeat_ms,
            lease_primary_ms,
            fused_ms,
        )
    }

    /// T_s: silence of a server for so long is suspicion.
    #[must_use]
    pub fn suspect_after(&self) -> Duration {
        millis(self.suspect_ms)
    }

    /// T_c: silence of a fused member for so long makes its primary complain.
    #[must_use]
    pub fn complain_after(&self) -> Duration {
        millis(self.complain_ms)
    }

    /// T_h: how often each is heard of.
    #[must_use]
    pub fn heartbeat(&self) -> Duration {
        millis(self.heartbeat_ms)
    }

    /// L_P: how long a lease lasts as the primary counts it, from before it asked.
    #[must_use]
    pub fn lease_primary(&self) -> Duration {
        millis(self.lease_primary_ms)
    }

    /// L_F: how long a lease lasts as the fused member counts it, from when it was asked.
    #[must_use]
    pub fn lease_fused(&self) -> Duration {
        millis(self.lease_fused_ms)
    }

    /// How often a primary asks anew, also when it has nothing else to say.
    #[must_use]
    pub fn renew_after(&self) -> Duration {
        self.lease_primary() / 3
    }
}

impl Default for Timing {
    /// A death is noticed after a second.
    fn default() -> Self {
        Timing {
            suspect_ms: 1000,
            complain_ms: 2000,
            heartbeat_ms: 200,
            lease_primary_ms: 817,
            lease_fused_ms: 1000,
        }
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

/// `L_P * (1 + rho) / (1 - rho) + tick`, rounded up.
fn least_fused_ms(lease_primary_ms: u32) -> u64 {
    let scaled = u64::from(lease_primary_ms) * (1_000_000 + DRIFT_PPM);
    scaled.div_ceil(1_000_000 - DRIFT_PPM) + u64::from(TICK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_times_are_those_of_one_second() {
        assert_eq!(Timing::for_suspicion(1000), Ok(Timing::default()));
    }

    #[test]
    fn derived_times_fit_each_other_for_every_suspicion() {
        for suspect_ms in (MIN_SUSPECT_MS..20_000).chain([MAX_SUSPECT_MS]) {
            let timing = Timing::for_suspicion(suspect_ms).unwrap();
            assert!(timing.lease_fused() <= timing.suspect_after());
            assert!(timing.lease_primary() * 4 >= timing.lease_fused() * 3);
        }
    }

    /// A clock of the primary that is slow and one of the fused member that is fast, each by the bound.
    #[test]
    fn the_lease_is_over_at_the_primary_first_at_the_worst_drift() {
        let timing = Timing::default();
        let real = |d: Duration, ppm: u64| d.as_secs_f64() * 1e6 / ppm as f64;
        let primary = real(timing.lease_primary(), 1_000_000 - DRIFT_PPM);
        let fused = real(timing.lease_fused(), 1_000_000 + DRIFT_PPM);
        assert!(primary < fused, "{primary} {fused}");
    }

    /// A time service that corrects a clock by 8.3 %, as chrony does, had the primary read for 67 ms after its lease was
    /// over with leases for 1 %.
    #[test]
    fn a_clock_that_is_slewed_as_far_as_kernels_allow_is_within_the_bound() {
        for suspect_ms in [50, 500, 1000, 5000, 60_000] {
            let timing = Timing::for_suspicion(suspect_ms).unwrap();
            let primary = timing.lease_primary().as_secs_f64() / (1.0 - 0.083_333 - 0.000_1);
            let fused = timing.lease_fused().as_secs_f64() / 1.000_1;
            assert!(primary < fused, "{primary} {fused}");
        }
        let of_before = Timing::new(1000, 2000, 200, 979, 1000);
        assert!(matches!(of_before, Err(TimingError::Lease { .. })));
    }

    #[test]
    fn times_that_do_not_fit_are_refused() {
        assert!(matches!(
            Timing::for_suspicion(10),
            Err(TimingError::Suspect { min: 50, .. })
        ));
        assert!(matches!(
            Timing::new(1000, 2000, 200, 990, 1000),
            Err(TimingError::Lease { least: 1211, .. })
        ));
        for (complain, heartbeat) in [(999, 200), (1000, 201), (1000, 0)] {
            assert!(matches!(
                Timing::new(1000, complain, heartbeat, 800, 1000),
                Err(TimingError::Detection { .. })
            ));
        }
    }

    #[test]
    fn moments_neither_wrap_nor_go_back() {
        assert_eq!(Time::NEVER.after(Duration::from_secs(1)), Time::NEVER);
        assert_eq!(Time(5).since(Time(9)), Duration::ZERO);
        assert_eq!(Time(5).after(Duration::from_micros(4)), Time(9));
    }
}
