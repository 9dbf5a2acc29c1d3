//! What a cluster's members hold together, and what copies would.

use crate::table::bytes;
use fusion_net::service::{ClusterStatus, MemberState, Role};
use serde::Serialize;
use std::fmt;

/// What a cluster's members hold together, as far as they have told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Memory {
    /// Elements of all primaries.
    pub(crate) elements: u64,
    /// Primaries that have not told their figures.
    pub(crate) unknown_primaries: usize,
    /// Bytes of their keys and values.
    pub(crate) payload_bytes: u64,
    /// Bytes of the primaries' pages.
    pub(crate) primary_page_bytes: u64,
    /// Bytes of the fused members' pages.
    pub(crate) fused_page_bytes: u64,
    /// What the primaries' pages would take in f + 1 copies.
    pub(crate) copies_page_bytes: u64,
    /// Against replication; `None` while members are made, or hold nothing.
    pub(crate) saving: Option<Saving>,
}

/// What codes save against f more copies of each primary.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Saving {
    /// What f more copies of the primaries' pages would take.
    pub(crate) more_copies_bytes: u64,
    /// What the codes take in their place: the pages of all fused members.
    pub(crate) fused_page_bytes: u64,
    /// Of all pages, in per cent of what f + 1 copies would take; below 0 when copies would take less.
    pub(crate) saved_percent: f64,
    /// Bytes of fused pages that would not be there if each primary had as many bytes of pages as the others: a fused
    /// structure is at least as large as the largest.
    pub(crate) uneven_size_bytes: u64,
    /// Bytes of fused pages that are there beyond that, since the primaries fill different size classes: in each class a
    /// fused structure is as long as the primary that has most of it.
    pub(crate) uneven_class_bytes: u64,
}

impl Memory {
    /// The sums over a cluster's members.
    pub(crate) fn of(cluster: &ClusterStatus) -> Memory {
        let mut memory = Memory::default();
        for member in &cluster.members {
            let pages = member.page_bytes.unwrap_or(0);
            memory.payload_bytes += member.payload_bytes.unwrap_or(0);
            match member.role {
                Role::Primary => {
                    memory.elements += member.elements.unwrap_or(0);
                    memory.unknown_primaries += usize::from(member.elements.is_none());
                    memory.primary_page_bytes += pages;
                }
                Role::Fused => memory.fused_page_bytes += pages,
            }
        }
        memory.copies_page_bytes = memory.primary_page_bytes * (cluster.faults as u64 + 1);
        memory.saving = Saving::of(cluster, &memory);
        memory
    }
}

impl Saving {
    fn of(cluster: &ClusterStatus, memory: &Memory) -> Option<Saving> {
        let whole = cluster.members.len() == cluster.primaries + cluster.faults
            && (cluster.members.iter()).all(|m| {
                matches!(m.state, MemberState::Active | MemberState::Moving { .. })
                    && m.page_bytes.is_some()
            });
        if !whole || memory.primary_page_bytes == 0 {
            return None;
        }
        let (rows, all) = (cluster.faults as u64, memory.primary_page_bytes);
        let fused = memory.fused_page_bytes;
        let primaries = (cluster.members.iter()).filter(|m| m.role == Role::Primary);
        let largest = primaries.filter_map(|m| m.page_bytes).max().unwrap_or(0);
        // Members report at different moments, and while they are written to these are not quite of one.
        let even = rows * all / cluster.primaries as u64;
        Some(Saving {
            more_copies_bytes: rows * all,
            fused_page_bytes: fused,
            saved_percent: tenths(
                100.0 - 100.0 * (all + fused) as f64 / memory.copies_page_bytes as f64,
            ),
            uneven_size_bytes: (rows * largest).saturating_sub(even),
            uneven_class_bytes: fused.saturating_sub(rows * largest),
        })
    }
}

fn tenths(percent: f64) -> f64 {
    (percent * 10.0).round() / 10.0
}

impl fmt::Display for Saving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (saved, codes) = (self.saved_percent, bytes(self.fused_page_bytes));
        let more = if saved < 0.0 { "more" } else { "saved" };
        write!(
            f,
            "memory {more} against replication: {:.1} % (codes {codes}, more copies {}); of the codes {} for primaries of \
             unequal size, {} for unequal size classes",
            saved.abs(),
            bytes(self.more_copies_bytes),
            bytes(self.uneven_size_bytes),
            bytes(self.uneven_class_bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::{cluster, member};

    const MIB: u64 = 1 << 20;

    fn of(primaries: &[u64], fused: &[u64]) -> ClusterStatus {
        let primaries = primaries.iter().map(|&b| (Role::Primary, b));
        let all = primaries.chain(fused.iter().map(|&b| (Role::Fused, b)));
        cluster(
            all.enumerate()
                .map(|(i, (role, b))| member(role, i, Some(b * MIB)))
                .collect(),
        )
    }

    #[test]
    fn codes_of_even_primaries_save_what_the_paper_says() {
        // 5 + 2 against 5 times 3.
        let saving = Memory::of(&of(&[10; 5], &[10; 2])).saving.unwrap();
        assert_eq!(saving.saved_percent, 53.3);
        assert_eq!(saving.more_copies_bytes, 100 * MIB);
        assert_eq!(
            (saving.uneven_size_bytes, saving.uneven_class_bytes),
            (0, 0)
        );
    }

    #[test]
    fn what_unequal_primaries_cost_is_told_apart_from_unequal_size_classes() {
        // The largest has 6 more than the mean of 6; and of each row 3 are there since no one primary has most of all classes.
        let saving = Memory::of(&of(&[12, 4, 2], &[15, 15])).saving.unwrap();
        assert_eq!(saving.uneven_size_bytes, 12 * MIB);
        assert_eq!(saving.uneven_class_bytes, 6 * MIB);
        assert_eq!(saving.more_copies_bytes, 36 * MIB);
        assert_eq!(saving.saved_percent, 11.1);
        let text = saving.to_string();
        assert!(text.contains("saved against replication: 11.1 %"), "{text}");
        // One primary, and many classes: codes are copies, and no less.
        let saving = Memory::of(&of(&[4, 0], &[5])).saving.unwrap();
        assert_eq!(saving.saved_percent, -12.5);
        assert!(
            saving
                .to_string()
                .contains("more against replication: 12.5 %")
        );
    }

    #[test]
    fn nothing_is_told_of_savings_while_a_member_is_missing_or_empty() {
        assert_eq!(Memory::of(&of(&[0, 0], &[0])).saving, None);
        let mut unknown = of(&[4, 4], &[4]);
        unknown.members[0].page_bytes = None;
        unknown.members[0].elements = None;
        let memory = Memory::of(&unknown);
        assert_eq!((memory.saving, memory.unknown_primaries), (None, 1));
        let mut joins = of(&[4, 4], &[4]);
        joins.members[2].state = MemberState::Joining { done: 1, total: 2 };
        assert_eq!(Memory::of(&joins).saving, None);
        joins.members[2].state = MemberState::Dead;
        assert_eq!(Memory::of(&joins).saving, None);
    }
}
