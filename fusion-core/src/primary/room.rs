//! Whether there is memory for what a write adds: here, and at every code that must have it (PROTOCOL rule 70).

use super::Primary;
use super::link::Part;
use crate::memory::MemoryUse;
use crate::op::Op;

impl Primary {
    /// Says how much memory the process takes that this primary is in; `None`: it has no limit. To be called before requests
    /// are submitted.
    pub fn set_memory(&mut self, own: Option<MemoryUse>) {
        self.memory = own;
    }

    /// Whose memory is full, if `op` may take more of it: this process's, or that of a member whose acknowledgement it would
    /// wait for. A learner that only copies holds up nobody (rule 54).
    pub(super) fn no_room_for(&self, op: &Op) -> Option<MemoryUse> {
        let full = |memory: &MemoryUse| memory.is_full();
        let here = self.memory.filter(full);
        let there = || {
            let mut counted = self.links.values().filter(|l| l.part == Part::Counts);
            counted.find_map(|l| l.full)
        };
        here.or_else(there).filter(|_| op.may_grow())
    }
}
