//! How much memory a process takes, and from where on it takes no more of clients (PROTOCOL rule 70).

use serde::{Deserialize, Serialize};

/// The memory of one process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUse {
    /// What it takes.
    pub used: u64,
    /// What it may take.
    pub limit: u64,
    /// What of that is kept for recoveries, learners, removals and what is under way: writes never take it.
    pub reserve: u64,
}

impl MemoryUse {
    /// What writes may fill.
    #[must_use]
    pub fn for_writes(&self) -> u64 {
        self.limit.saturating_sub(self.reserve)
    }

    /// Whether no write may take more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.used >= self.for_writes()
    }

    /// How many bytes a member that is made there may take.
    #[must_use]
    pub fn room(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// How much of what writes may fill is taken, in whole percent; 100 where nothing may be filled.
    #[must_use]
    pub fn percent(&self) -> u64 {
        let used = u128::from(self.used) * 100;
        let percent = used.checked_div(u128::from(self.for_writes()));
        percent.map_or(100, |p| u64::try_from(p).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_room_for_members_and_none_for_writes() {
        let at = |used| MemoryUse {
            used,
            limit: 100,
            reserve: 20,
        };
        assert_eq!((at(79).is_full(), at(80).is_full()), (false, true));
        assert_eq!((at(80).room(), at(101).room()), (20, 0));
        assert_eq!((at(64).percent(), at(72).percent()), (80, 90));
        let nothing = MemoryUse {
            used: 1,
            limit: 5,
            reserve: 9,
        };
        assert_eq!((nothing.is_full(), nothing.percent()), (true, 100));
    }
}
