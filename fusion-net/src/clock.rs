//! The clock that leases are counted by.

use fusion_core::time::Time;
use rustix::time::{ClockId, clock_gettime};

/// Now: the boot clock, which counts suspension and never steps (PROTOCOL rule 1).
pub(crate) fn now() -> Time {
    // In a simulation its own clock, of which all hosts have the same.
    #[cfg(feature = "turmoil")]
    if let Some(elapsed) = turmoil::sim_elapsed() {
        return Time(elapsed.as_micros() as u64);
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = ClockId::Monotonic;
    let at = clock_gettime(clock);
    Time(at.tv_sec as u64 * 1_000_000 + at.tv_nsec as u64 / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn it_goes_on_as_the_monotonic_clock_does() {
        let (began, start) = (now(), Instant::now());
        while start.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let passed = now().since(began);
        assert!(passed >= Duration::from_millis(19), "{passed:?}");
        assert!(
            passed <= start.elapsed() + Duration::from_millis(1),
            "{passed:?}"
        );
    }
}
