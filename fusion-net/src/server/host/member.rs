//! One member that this process hosts: what it is, what it says, how it ends.

use super::Peers;
use crate::clock;
use crate::server::heir::HeirCell;
use crate::server::primary::PrimaryCell;
use crate::server::replacement::Replacement;
use crate::server::sound::{Broken, Sound};
use crate::server::successor::Successor;
use fusion_core::fused::Fused;
use fusion_core::hosting::Held;
use fusion_core::message::{Condition, MemberReport};
use fusion_core::time::Timing;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::runtime::Handle;

/// A member of a cluster in this process.
#[derive(Clone, Debug)]
pub(crate) enum Member {
    Primary(Arc<PrimaryCell>),
    Fused(Arc<Sound<Fused>>),
    Replacement(Arc<Replacement>),
    Heir(Arc<HeirCell>),
    /// A primary that was moved here and does not serve yet.
    Successor(Arc<Successor>),
    /// It was here until a fault of this program broke it.
    Broken,
}

impl Member {
    pub(super) fn held(&self) -> Held {
        match self {
            Member::Primary(_) => Held::Primary,
            Member::Fused(_) => Held::Fused,
            Member::Replacement(replacement) => Held::Replacement {
                image: replacement.has_image(),
            },
            Member::Heir(heir) => Held::Heir {
                ready: heir.is_ready(),
            },
            Member::Successor(_) => Held::Successor,
            Member::Broken => Held::Broken,
        }
    }

    /// Lets it look at the clock (rule 56); returns whether it has something new to say. A fault breaks this member alone
    /// (rule 65).
    pub(super) fn look(&mut self, timing: &Timing, peers: &Peers, ended: &mut Ended) -> bool {
        let look = catch_unwind(AssertUnwindSafe(|| self.look_at_clock(timing, peers)));
        look.unwrap_or_else(|_| {
            self.break_down(ended);
            true
        })
    }

    fn look_at_clock(&self, timing: &Timing, peers: &Peers) -> bool {
        match self {
            Member::Primary(cell) => cell.look(peers),
            Member::Fused(fused) => (fused.lock()).is_ok_and(|mut f| f.tick(clock::now())),
            Member::Replacement(replacement) => replacement.look(timing),
            Member::Heir(heir) => heir.look(),
            Member::Successor(successor) => successor.tick(),
            Member::Broken => false,
        }
    }

    /// A fault of this program struck while it was being changed: nobody may rely on it any more.
    pub(super) fn is_broken(&self) -> bool {
        match self {
            Member::Primary(cell) => cell.is_broken(),
            Member::Fused(fused) => fused.is_broken(),
            Member::Heir(heir) => heir.is_broken(),
            Member::Successor(successor) => successor.is_broken(),
            Member::Replacement(replacement) => replacement.is_broken(),
            Member::Broken => false,
        }
    }

    /// What this process has to say of it (rule 22); `blank` says nothing but its condition. A fault breaks this member
    /// alone (rule 65).
    pub(super) fn report(
        &mut self,
        timing: &Timing,
        blank: impl Fn(Condition) -> MemberReport,
        ended: &mut Ended,
    ) -> MemberReport {
        let report = catch_unwind(AssertUnwindSafe(|| self.report_now(timing, &blank)));
        report.unwrap_or_else(|_| {
            self.break_down(ended);
            blank(Condition::Missing)
        })
    }

    fn break_down(&mut self, ended: &mut Ended) {
        std::mem::replace(self, Member::Broken).end(ended);
    }

    fn report_now(
        &self,
        timing: &Timing,
        blank: impl Fn(Condition) -> MemberReport,
    ) -> MemberReport {
        match self {
            Member::Primary(cell) => cell
                .report(blank(Condition::Serving))
                .unwrap_or_else(|Broken| blank(Condition::Missing)),
            Member::Fused(fused) => match fused.lock() {
                Ok(fused) => MemberReport {
                    leases_over: fused.leases_over(clock::now()),
                    complaints: fused.complaints(),
                    page_bytes: fused.store().bytes(),
                    taken_bytes: fused.taken_bytes(),
                    frozen_bytes: fused.frozen_bytes(),
                    ..blank(fused.condition())
                },
                Err(Broken) => blank(Condition::Missing),
            },
            Member::Replacement(replacement) => MemberReport {
                complaints: replacement.complaints(timing),
                taken_bytes: replacement.taken_bytes(),
                ..blank(replacement.condition())
            },
            Member::Heir(heir) => {
                let (condition, complaints) = heir.condition();
                MemberReport {
                    complaints,
                    taken_bytes: heir.taken_bytes(),
                    ..blank(condition)
                }
            }
            Member::Successor(successor) => {
                let (condition, complaints) = successor.condition();
                MemberReport {
                    complaints,
                    ..blank(condition)
                }
            }
            Member::Broken => blank(Condition::Missing),
        }
    }

    /// It is not named any more.
    pub(super) fn end(self, ended: &mut Ended) {
        match &self {
            Member::Primary(cell) => cell.close(),
            Member::Replacement(replacement) => replacement.stop(),
            Member::Successor(successor) => successor.stop(),
            Member::Fused(_) | Member::Heir(_) | Member::Broken => {}
        }
        ended.0.push(self);
    }
}

/// Members that have ended. To give a large one's pages back to the system takes a while, in which nobody else of this
/// process should have to wait: to be dropped when no lock is held, and then away from the runtime's threads.
#[derive(Default)]
pub(super) struct Ended(Vec<Member>);

impl Drop for Ended {
    fn drop(&mut self) {
        let members = std::mem::take(&mut self.0);
        if members.is_empty() {
            return;
        }
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(|| drop(members))),
            Err(_) => drop(members),
        }
    }
}
