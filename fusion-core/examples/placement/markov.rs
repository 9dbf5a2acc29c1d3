//! Mean time to data loss.

/// The mean time, in units of `mtbf` and `repair`, until more than `faults` of `members` are down together: each fails at
/// rate 1/mtbf, and with any down, one comes back at rate 1/repair (one repair at a time: the cautious choice).
pub(crate) fn mean_time_to_loss(members: usize, faults: usize, mtbf: f64, repair: f64) -> f64 {
    let mut total = 0.0;
    let mut onward = 0.0;
    for down in 0..=faults {
        let fails = (members - down) as f64 / mtbf;
        let back = if down == 0 { 0.0 } else { 1.0 / repair };
        // The mean time from `down` to `down + 1`, with all that is mended in between.
        onward = 1.0 / fails + back / fails * onward;
        total += onward;
    }
    total
}
