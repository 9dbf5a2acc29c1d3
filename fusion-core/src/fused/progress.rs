//! What a fused member knows of each primary: the changes that it keeps, its lease, and a learner's snapshot (PROTOCOL rules 18
//! to 20, 36, 63).

use crate::config::{PrimarySeat, PrimaryState};
use crate::fault::{Fault, planted};
use crate::fused_store::FusedStore;
use crate::id::{MemberId, PrimaryIndex, Seq};
use crate::log::ChangeLog;
use crate::message::{ChangeRun, JoinSnapshot, Refusal, Replicate};
use crate::time::Time;

/// What a fused member knows of one primary.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) stable: Seq,
    /// `(stable, v]`: its last change is v.
    pub(super) log: ChangeLog,
    pub(super) join: Option<Learned>,
    pub(super) lease: Option<Lease>,
    /// A learner stood at or above the stable mark that it was told in this epoch (rule 54).
    pub(super) caught_up: bool,
}

/// Until when a primary may answer reads, as far as this member has a say (rules 18, 20, 33).
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) to: MemberId,
    pub(super) until: Time,
    /// The latest moment, by the primary's clock, of a message that asked for it.
    pub(super) asked_at: Time,
    /// The greatest stable mark that this primary told.
    pub(super) told: Seq,
}

/// What a learner has of one primary's snapshot (rule 19).
#[derive(Clone, Debug)]
pub(super) struct Learned {
    pub(super) about: JoinSnapshot,
    pub(super) added: Vec<bool>,
    /// How many of them.
    pub(super) count: u32,
    /// Of the pages added.
    pub(super) bytes: u64,
}

impl Learned {
    pub(super) fn is_whole(&self) -> bool {
        self.count as usize == self.added.len()
    }
}

impl Progress {
    /// Rule 18.
    pub(super) fn leased_to_other(&self, id: MemberId, now: Time) -> bool {
        self.lease.is_some_and(|l| l.to != id && l.until > now)
    }

    /// A message begins after what this member had acknowledged when it was sent, and says how many chunks it had. A
    /// member loses neither while it lives, however messages overtake each other: this one was set back (rule 63).
    pub(super) fn lacks_what_it_acknowledged(&self, message: &Replicate) -> bool {
        let has = self.join.as_ref().map_or(0, |join| join.count);
        message.changes.first > self.log.last().next() || message.taken > has
    }

    /// Whether the primary, not a message that was late, knows less than it said before (rule 63): a later message tells a
    /// lower stable mark, or another content of a change that is in the log here. Whose clock was set back, too, is told
    /// by the acknowledgement, which echoes a moment of which it knows nothing.
    pub(super) fn was_told_more(&self, from: MemberId, message: &Replicate) -> bool {
        let lease = self.lease.filter(|l| l.to == from);
        let later = lease.is_some_and(|l| message.sent_at > l.asked_at);
        let lower = lease.is_some_and(|l| message.stable < l.told);
        later && (lower || self.log.contradicts(&message.changes))
    }
}

/// Applies a run in order: what is there already is skipped, a gap ends it, a change is applied whole or not at all
/// (rules 9, 19, 20).
pub(super) fn apply_run(
    store: &mut FusedStore,
    progress: &mut Progress,
    index: PrimaryIndex,
    run: &ChangeRun,
) -> Result<(), Refusal> {
    for (seq, writes) in run.unpack()? {
        let next = progress.log.last().next();
        if seq < next {
            if planted(Fault::AppliedTwice) {
                let _ = store.apply(index, &writes);
            }
            continue;
        }
        if seq > next {
            break;
        }
        store
            .apply(index, &writes)
            .map_err(|_| Refusal::Malformed)?;
        progress.log.push(writes);
    }
    Ok(())
}

/// Whether a move is over, since the primary serves at its new place, and the lease is of the one that was moved: that one
/// reads nothing any more (rule 36).
pub(super) fn ends_move(before: &PrimarySeat, now: &PrimarySeat, lease: Option<Lease>) -> bool {
    let serves = now.id == before.id && now.moved_from.is_none();
    let from = before.moved_from.as_ref().map(|f| f.id);
    serves && now.state == PrimaryState::Active && from.is_some() && lease.map(|l| l.to) == from
}
