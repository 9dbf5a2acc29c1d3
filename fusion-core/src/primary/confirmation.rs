//! Reads without clocks: a read counts when every member that must acknowledge has answered a message that was sent after
//! the read arrived, so that none of them had heard of a successor by then (PROTOCOL rule 58).

use super::Primary;
use super::link::Part;
use crate::config::Reads;
use crate::fault::{Fault, planted};
use crate::id::MemberId;

/// Numbers of messages; all are 0 where reads rest on leases.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Confirmation {
    /// The number of the last message.
    sent: u64,
    /// The greatest number that a read waits for.
    asked: u64,
    /// What everybody has acknowledged, as far as a read has waited for it.
    confirmed: u64,
}

impl Confirmation {
    /// Gives the next message its number.
    pub(super) fn number(&mut self, reads: Reads) -> u64 {
        if reads == Reads::Confirmed {
            self.sent += 1;
        }
        self.sent
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }
}

impl Primary {
    /// A read was executed just now: returns the number of the message that has to be acknowledged before it is
    /// answered. Nothing that was sent before it arrived is.
    pub(super) fn ask_for_confirmation(&mut self) -> u64 {
        if self.config.reads == Reads::Leased {
            return 0;
        }
        if planted(Fault::ConfirmedByAnOlderMessage) {
            return self.confirmation.sent.min(1);
        }
        let round = self.confirmation.sent + 1;
        self.confirmation.asked = round;
        self.settle_confirmation();
        round
    }

    pub(super) fn settle_confirmation(&mut self) {
        let Confirmation {
            asked, confirmed, ..
        } = self.confirmation;
        if confirmed < asked {
            // Without anybody who must acknowledge nobody can replace it (rule 17).
            let least = self.acknowledging().map(|l| l.echoed).min();
            let least = least.unwrap_or(u64::MAX).min(asked);
            self.confirmation.confirmed = confirmed.max(least);
        }
    }

    /// Reads whose round is not above this one may be answered (rule 58); 0 where reads rest on leases.
    #[must_use]
    pub fn confirmed(&self) -> u64 {
        if planted(Fault::ConfirmedByAnOlderMessage) {
            return self.confirmation.sent;
        }
        self.confirmation.confirmed
    }

    /// The greatest round that a read waits for: whoever [does not confirm it yet](Self::awaits) is to be sent a message,
    /// one for all reads that have come until then.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.confirmation.asked
    }

    /// Whether reads wait for `to` to acknowledge a message that was sent after they came (rule 58).
    #[must_use]
    pub fn awaits(&self, to: MemberId) -> bool {
        let Confirmation {
            asked, confirmed, ..
        } = self.confirmation;
        let lags = |link: &super::Link| link.part == Part::Counts && link.echoed < asked;
        confirmed < asked && self.links.get(&to).is_some_and(lags)
    }
}
