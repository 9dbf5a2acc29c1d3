//! Whom a member needs and has not heard of (PROTOCOL rules 22, 56): what it complains about to the coordinators.

use crate::fault::{Fault, planted};
use crate::id::MemberId;
use crate::time::{Time, Timing};
use std::collections::BTreeMap;
use std::time::Duration;

/// The members that one member waits for; never more than its configuration names.
///
/// Whoever drives it [looks](Self::look) by a timer of its own, T_h / 4 to T_h apart. Silence is measured by a clock
/// that goes on by at most T_h with each look: what passes while nobody looks, since the process is paused or starved,
/// counts for nobody's silence beyond that, and no timer starts afresh (rule 56).
#[derive(Clone, Debug, Default)]
pub struct Listening {
    looked_at: Option<Time>,
    /// How long it has listened in all, as of the last look.
    listened: Duration,
    /// By how much one look lets that go on at most: T_h, once there was a look.
    step: Duration,
    /// How long it had listened when each was last heard of; `None`: listened for since after the last look.
    heard_at: BTreeMap<MemberId, Option<Duration>>,
}

impl Listening {
    /// These are listened for from now on, and nobody else.
    pub fn to(&mut self, members: impl IntoIterator<Item = MemberId>) {
        let before = std::mem::take(&mut self.heard_at);
        let heard = |id| (id, before.get(&id).copied().flatten());
        self.heard_at = members.into_iter().map(heard).collect();
    }

    /// This one is listened for, too.
    pub fn also_to(&mut self, member: MemberId) {
        self.heard_at.entry(member).or_default();
    }

    /// Nothing more is expected of it.
    pub fn no_more_to(&mut self, member: MemberId) {
        self.heard_at.remove(&member);
    }

    /// It was heard of.
    pub fn hear(&mut self, member: MemberId, now: Time) {
        if let Some(heard_at) = self.heard_at.get_mut(&member) {
            let passed = self.looked_at.map_or(Duration::ZERO, |at| now.since(at));
            let at = self.listened + passed.min(self.step);
            *heard_at = (*heard_at).max(Some(at));
        }
    }

    /// Some of what it was asked, or of its answer, has moved though it is not whole yet: that is a sign of life (rule 57).
    pub fn progress(&mut self, member: MemberId, now: Time) {
        if !planted(Fault::LongAnswerIsSilence) {
            self.hear(member, now);
        }
    }

    /// Looks at the clock (rule 56). Returns whether somebody is silent now who was not before: that is worth a report.
    pub fn look(&mut self, now: Time, timing: &Timing) -> bool {
        let before = self.silent(timing).count();
        let passed = self.looked_at.map_or(Duration::ZERO, |at| now.since(at));
        self.looked_at = Some(now);
        self.step = timing.heartbeat();
        self.listened += passed.min(self.step);
        let afresh = planted(Fault::PauseStartsAfresh) || planted(Fault::ComplaintsByHeartbeat);
        let afresh = afresh && passed > 2 * self.step;
        for heard_at in self.heard_at.values_mut() {
            if afresh || heard_at.is_none() {
                *heard_at = Some(self.listened);
            }
        }
        self.silent(timing).count() > before
    }

    /// Those that had not been heard of for T_c at the last look, and have not been since.
    #[must_use]
    pub fn complaints(&self, timing: &Timing) -> Vec<MemberId> {
        self.silent(timing).collect()
    }

    fn silent(&self, timing: &Timing) -> impl Iterator<Item = MemberId> {
        let long = timing.complain_after();
        let silent = self.heard_at.iter().filter(move |(_, heard_at)| {
            heard_at.is_some_and(|at| self.listened.saturating_sub(at) >= long)
        });
        silent.map(|(&id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MemberId = MemberId(1);
    const B: MemberId = MemberId(2);

    fn at(ms: u64) -> Time {
        Time(ms * 1000)
    }

    /// Looks once; T_h is 200 ms and T_c is 2 s.
    fn look(listening: &mut Listening, ms: u64) -> Vec<MemberId> {
        let timing = Timing::default();
        listening.look(at(ms), &timing);
        listening.complaints(&timing)
    }

    #[test]
    fn who_is_silent_for_long_is_named_and_nobody_who_was_not_listened_for() {
        let timing = Timing::default();
        let mut listening = Listening::default();
        listening.to([A, B]);
        for ms in (100..3000).step_by(200) {
            listening.hear(B, at(ms));
            listening.hear(MemberId(3), at(ms));
            let news = listening.look(at(ms), &timing);
            let expected = if ms >= 2100 { vec![A] } else { Vec::new() };
            assert_eq!(listening.complaints(&timing), expected, "at {ms} ms");
            assert_eq!(news, ms == 2100, "said once");
        }
        listening.no_more_to(A);
        assert_eq!(look(&mut listening, 3000), []);
    }

    #[test]
    fn a_pause_of_its_own_is_subtracted_and_nothing_starts_afresh() {
        let mut listening = Listening::default();
        listening.also_to(A);
        let mut last = 0;
        for ms in (0..=1800).step_by(200) {
            assert_eq!(look(&mut listening, ms), []);
            last = ms;
        }
        // A minute in which it did not run counts as one look.
        assert_eq!(look(&mut listening, last + 60_000), [A]);
        listening.hear(A, at(last + 60_010));
        assert_eq!(look(&mut listening, last + 120_000), []);
    }

    /// A coordinator that asked less often than twice T_h switched complaints off.
    #[test]
    fn a_listener_that_looks_seldom_still_complains() {
        let mut listening = Listening::default();
        listening.also_to(A);
        let looks = (0..).map(|i| i * 700).take(12);
        let complained = looks.map(|ms| look(&mut listening, ms).len());
        let complained: Vec<usize> = complained.collect();
        assert_eq!(complained, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    }

    /// Who was sent an answer for longer than T_c complained of its sender, was given up, and made elsewhere, for ever.
    #[test]
    fn who_sends_a_long_answer_is_not_silent() {
        let mut listening = Listening::default();
        listening.also_to(A);
        for ms in (0..=10_000).step_by(200) {
            listening.progress(A, at(ms));
            listening.progress(B, at(ms));
            assert_eq!(look(&mut listening, ms), [], "at {ms} ms");
        }
        assert_eq!(look(&mut listening, 10_200), []);
        let last = (10_400..=12_000)
            .step_by(200)
            .map(|ms| look(&mut listening, ms));
        assert_eq!(last.last(), Some(vec![A]), "and nobody else was waited for");
    }

    #[test]
    fn what_was_heard_between_two_looks_counts_from_then() {
        let mut listening = Listening::default();
        listening.also_to(A);
        look(&mut listening, 0);
        listening.hear(A, at(150));
        for ms in (200..=2000).step_by(200) {
            assert_eq!(look(&mut listening, ms), [], "at {ms} ms");
        }
        assert_eq!(look(&mut listening, 2150), [A]);
    }
}
