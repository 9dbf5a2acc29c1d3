//! A client's session at one primary: names for its changes, so that a retry is executed once (PROTOCOL rule 38).

use fusion_core::id::{RequestId, Seq, SessionId};

/// The most changes under way at a time: one for each slot of the session.
const SLOTS: u16 = 1024;

/// A session with its slots.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// What a primary has opened it as, and every request says: it is never opened again (rule 38).
    pub(super) incarnation: Option<Seq>,
    /// The last number given in each slot, and the slots that are free.
    numbers: Vec<u64>,
    free: Vec<u16>,
}

impl Session {
    pub(super) fn new() -> Session {
        Session {
            id: SessionId(rand::random()),
            incarnation: None,
            numbers: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many changes may be given a name now.
    pub(super) fn free_slots(&self) -> usize {
        self.free.len() + usize::from(SLOTS) - self.numbers.len()
    }

    /// A name for the next change; `None` when every slot has one under way, or it is not open yet.
    pub(super) fn next(&mut self) -> Option<RequestId> {
        let incarnation = self.incarnation?;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.numbers.len() < usize::from(SLOTS) => {
                self.numbers.push(0);
                (self.numbers.len() - 1) as u16
            }
            None => return None,
        };
        let number = &mut self.numbers[usize::from(slot)];
        *number += 1;
        Some(RequestId {
            session: self.id,
            incarnation,
            slot,
            number: *number,
        })
    }

    /// The change of that name was answered or given up: its slot may be used again.
    pub(super) fn free(&mut self, id: Option<RequestId>) {
        if let Some(id) = id.filter(|id| id.session == self.id) {
            self.free.push(id.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_within_a_slot_and_slots_are_bounded() {
        let mut session = Session::new();
        assert_eq!(session.next(), None, "it is not open");
        session.incarnation = Some(Seq(7));
        let first = session.next().unwrap();
        assert_eq!((first.slot, first.number), (0, 1));
        assert_eq!(first.incarnation, Seq(7));
        assert_eq!(session.next().unwrap().slot, 1);
        session.free(Some(first));
        let again = session.next().unwrap();
        assert_eq!((again.slot, again.number), (0, 2));
        assert_eq!(session.free_slots(), usize::from(SLOTS) - 2);
        while session.next().is_some() {}
        assert_eq!(session.numbers.len(), usize::from(SLOTS));
        assert_eq!(session.free_slots(), 0);
    }

    #[test]
    fn a_slot_of_another_session_is_not_freed_here() {
        let mut old = Session::new();
        old.incarnation = Some(Seq(7));
        let id = old.next();
        assert!(id.is_some());
        let mut new = Session::new();
        new.free(id);
        assert!(new.free.is_empty());
    }
}
