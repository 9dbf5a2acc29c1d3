//! What processes take of the processors.

use std::time::Duration;

/// The processor time that a process has had so far, in itself and in the kernel; `None` when it is gone. In nanoseconds
/// where the kernel counts them, of the threads that are there; else in ticks, of all that ever were.
fn time(pid: u32) -> Option<Duration> {
    threads(pid).or_else(|| ticks(pid))
}

fn threads(pid: u32) -> Option<Duration> {
    let mut all = Duration::ZERO;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // One that ends meanwhile.
        let Ok(text) = std::fs::read_to_string(thread.ok()?.path().join("schedstat")) else {
            continue;
        };
        all += on_processor(&text)?;
    }
    (all > Duration::ZERO).then_some(all)
}

/// The first of three figures.
fn on_processor(schedstat: &str) -> Option<Duration> {
    let nanoseconds = schedstat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

fn ticks(pid: u32) -> Option<Duration> {
    let ticks = parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    Some(Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32)
}

/// Of several processes together.
pub(crate) fn time_of(pids: &[u32]) -> Duration {
    pids.iter().filter_map(|pid| time(*pid)).sum()
}

/// User and system ticks. The name before them may hold anything, brackets and spaces as well.
fn parse(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_read() {
        let stat = "77 (a) 1 (b) R 1 2 3 4 5 6 7 8 9 10 1200 34 5 6 20 0 1 0 99";
        assert_eq!(parse(stat), Some(1234));
        assert_eq!(parse("77 (a) R 1"), None);
        let nanoseconds = on_processor("1234567 89 10\n");
        assert_eq!(nanoseconds, Some(Duration::from_nanos(1_234_567)));
        assert_eq!(on_processor(""), None);
    }

    #[test]
    fn work_takes_time() {
        let me = [std::process::id()];
        let before = time_of(&me);
        let begun = std::time::Instant::now();
        while time_of(&me) == before {
            assert!(begun.elapsed() < Duration::from_secs(30));
        }
        assert!(time_of(&me) > before);
        assert!(ticks(me[0]).is_some());
    }
}
