//! Whom a member needs and has not heard of (PROTOCOL rules 3, 22): what it complains about to the coordinators.

use crate::id::MemberId;
use crate::time::{Time, Timing};
use std::collections::BTreeMap;

/// The members that one member waits for; never more than its configuration names.
#[derive(Clone, Debug, Default)]
pub struct Listening {
    /// When it was last asked for complaints.
    looked_at: Time,
    /// When each was last heard of; `Time(0)`: listened for since after the last look.
    heard_at: BTreeMap<MemberId, Time>,
}

impl Listening {
    /// These are listened for from now on, and nobody else.
    pub fn to(&mut self, members: impl IntoIterator<Item = MemberId>) {
        let before = std::mem::take(&mut self.heard_at);
        let heard = |id| (id, before.get(&id).copied().unwrap_or_default());
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
        if let Some(at) = self.heard_at.get_mut(&member) {
            *at = now.max(*at);
        }
    }

    /// Those not heard of for T_c; asked for once a heartbeat. After a pause of its own it cannot tell who was silent,
    /// and listens afresh (rule 22).
    pub fn complaints(&mut self, now: Time, timing: &Timing) -> Vec<MemberId> {
        let paused = now.since(self.looked_at) > 2 * timing.heartbeat();
        self.looked_at = now;
        for at in self.heard_at.values_mut() {
            if paused || *at == Time(0) {
                *at = now;
            }
        }
        let silent = self
            .heard_at
            .iter()
            .filter(|(_, at)| now.since(**at) >= timing.complain_after());
        silent.map(|(&id, _)| id).collect()
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

    #[test]
    fn who_is_silent_for_long_is_named_and_nobody_who_was_not_listened_for() {
        let timing = Timing::default();
        let mut listening = Listening::default();
        listening.to([A, B]);
        for ms in (100..3000).step_by(200) {
            listening.hear(B, at(ms));
            listening.hear(MemberId(3), at(ms));
            let said = listening.complaints(at(ms), &timing);
            let expected = if ms >= 2100 { vec![A] } else { Vec::new() };
            assert_eq!(said, expected, "at {ms} ms");
        }
        listening.no_more_to(A);
        assert_eq!(listening.complaints(at(3000), &timing), []);
    }

    #[test]
    fn after_a_pause_of_its_own_it_listens_afresh() {
        let timing = Timing::default();
        let mut listening = Listening::default();
        listening.also_to(A);
        assert_eq!(listening.complaints(at(100), &timing), []);
        assert_eq!(listening.complaints(at(9000), &timing), []);
        assert_eq!(listening.complaints(at(9200), &timing), []);
    }
}
