//! The order of a list: an implicit treap in an arena.
//!
//! A node's place in the list is the number of nodes to its left, so that inserting and removing anywhere takes
//! logarithmic time. Priorities are a fixed mixing of the node's number: equal histories give equal trees. Nothing
//! here is recursive, so that no shape of the tree exhausts the stack.

use crate::store::{Location, PackedLocation};

/// An arena of fewer nodes is kept, however few of them are in use.
const SMALL_ARENA: usize = 1024;

/// No node.
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Node {
    left: u32,
    right: u32,
    /// The nodes of this subtree.
    size: u32,
    location: PackedLocation,
}

/// A node's number: stays the same as long as the node is in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(u32);

impl NodeId {
    pub(super) fn number(self) -> u32 {
        self.0
    }

    pub(super) fn from_number(number: u32) -> Self {
        NodeId(number)
    }
}

/// A sequence of locations.
#[derive(Clone, Debug)]
pub(super) struct Order {
    nodes: Vec<Node>,
    free: Vec<u32>,
    root: u32,
}

/// Where a subtree hangs.
#[derive(Clone, Copy)]
enum Link {
    Root,
    Left(u32),
    Right(u32),
}

/// Who must know below which node each one hangs: nobody (`()`), or [`Places`].
pub(super) trait Watch {
    fn hangs(&mut self, node: u32, below: u32);
}

impl Watch for () {
    #[inline]
    fn hangs(&mut self, _: u32, _: u32) {}
}

/// Below which node each one hangs, so that a node's index can be told. Only who follows another structure's changes
/// needs that: it knows nodes, where an operation knows indexes.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<u32>);

impl Watch for Places {
    fn hangs(&mut self, node: u32, below: u32) {
        let place = node as usize;
        if place >= self.0.len() {
            self.0.resize(place + 1, NONE);
        }
        self.0[place] = below;
    }
}

impl Places {
    /// The places of all nodes. Takes linear time.
    pub(super) fn of(order: &Order) -> Places {
        let mut places = Places(vec![NONE; order.nodes.len()]);
        // A node that is not in use any more hangs nowhere, and what hung below it hangs elsewhere.
        let mut pending = vec![order.root];
        while let Some(at) = pending.pop() {
            if at == NONE {
                continue;
            }
            let Node { left, right, .. } = order.nodes[at as usize];
            for child in [left, right].into_iter().filter(|&child| child != NONE) {
                places.0[child as usize] = at;
                pending.push(child);
            }
        }
        places
    }
}

/// splitmix64's finalizer: looks random, and differs for each node.
fn priority(node: u32) -> u64 {
    let mut mixed = u64::from(node).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Order {
    /// The most nodes.
    pub(super) const MAX_LEN: u64 = NONE as u64 - 1;

    pub(super) fn new() -> Self {
        Order {
            nodes: Vec::new(),
            free: Vec::new(),
            root: NONE,
        }
    }

    /// The order of these locations; node i is the i-th. Takes linear time.
    pub(super) fn from_sequence(locations: impl ExactSizeIterator<Item = Location>) -> Self {
        assert!(
            locations.len() as u64 <= Self::MAX_LEN,
            "the caller bounds the length"
        );
        let mut order = Order {
            nodes: Vec::with_capacity(locations.len()),
            free: Vec::new(),
            root: NONE,
        };
        // The nodes from the root to the last one, always by right children; their sizes are not known yet.
        let mut spine: Vec<u32> = Vec::new();
        for (number, location) in (0u32..).zip(locations) {
            let mut left = NONE;
            while let Some(&top) = spine.last()
                && priority(top) < priority(number)
            {
                order.update_size(top);
                left = top;
                spine.pop();
            }
            order.nodes.push(Node {
                left,
                right: NONE,
                size: 1,
                location: location.into(),
            });
            if let Some(&parent) = spine.last() {
                order.nodes[parent as usize].right = number;
            }
            spine.push(number);
        }
        order.root = spine.first().copied().unwrap_or(NONE);
        for &node in spine.iter().rev() {
            order.update_size(node);
        }
        order
    }

    pub(super) fn len(&self) -> u64 {
        u64::from(self.size(self.root))
    }

    /// Whether so few nodes are in use that the order should be made anew.
    pub(super) fn is_sparse(&self) -> bool {
        self.nodes.len() > SMALL_ARENA && self.len() * 8 < self.nodes.len() as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.free.capacity() * size_of::<u32>()
    }

    pub(super) fn location(&self, node: NodeId) -> Location {
        self.nodes[node.0 as usize].location.into()
    }

    pub(super) fn set_location(&mut self, node: NodeId, location: Location) {
        self.nodes[node.0 as usize].location = location.into();
    }

    /// The node at an index below the length.
    pub(super) fn get(&self, index: u64) -> NodeId {
        assert!(index < self.len(), "the caller checks the index");
        let mut index = index as u32;
        let mut at = self.root;
        loop {
            let node = &self.nodes[at as usize];
            let before = self.size(node.left);
            if index < before {
                at = node.left;
            } else if index == before {
                return NodeId(at);
            } else {
                index -= before + 1;
                at = node.right;
            }
        }
    }

    /// The index of a node that is in the order.
    pub(super) fn index_of(&self, node: NodeId, places: &Places) -> u64 {
        let mut at = node.0;
        let mut index = u64::from(self.size(self.nodes[at as usize].left));
        loop {
            let above = places.0[at as usize];
            if above == NONE {
                return index;
            }
            let parent = &self.nodes[above as usize];
            if parent.right == at {
                index += u64::from(self.size(parent.left)) + 1;
            }
            at = above;
        }
    }

    /// Puts a new node before the one at `index`, or at the end.
    pub(super) fn insert(&mut self, index: u64, location: Location) -> NodeId {
        self.insert_with(index, location, &mut ())
    }

    /// The same, told to `watch`.
    pub(super) fn insert_with(
        &mut self,
        index: u64,
        location: Location,
        watch: &mut impl Watch,
    ) -> NodeId {
        assert!(
            index <= self.len() && self.len() < Self::MAX_LEN,
            "the caller checks the index"
        );
        let new = self.allocate(location);
        let rank = priority(new);
        let mut index = index as u32;
        let (mut link, mut at) = (Link::Root, self.root);
        while at != NONE && priority(at) >= rank {
            let before = self.size(self.nodes[at as usize].left);
            let node = &mut self.nodes[at as usize];
            node.size += 1;
            if index <= before {
                (link, at) = (Link::Left(at), node.left);
            } else {
                index -= before + 1;
                (link, at) = (Link::Right(at), node.right);
            }
        }
        let size = self.size(at) + 1;
        self.set(link, new, watch);
        self.split(at, index, new, watch);
        self.nodes[new as usize].size = size;
        NodeId(new)
    }

    /// Takes the node at an index below the length out; its number may be given to a new one.
    pub(super) fn remove(&mut self, index: u64) -> NodeId {
        self.remove_with(index, &mut ())
    }

    /// The same, told to `watch`.
    pub(super) fn remove_with(&mut self, index: u64, watch: &mut impl Watch) -> NodeId {
        assert!(index < self.len(), "the caller checks the index");
        let mut index = index as u32;
        let (mut link, mut at) = (Link::Root, self.root);
        loop {
            let before = self.size(self.nodes[at as usize].left);
            let node = &mut self.nodes[at as usize];
            if index == before {
                break;
            }
            node.size -= 1;
            if index < before {
                (link, at) = (Link::Left(at), node.left);
            } else {
                index -= before + 1;
                (link, at) = (Link::Right(at), node.right);
            }
        }
        let Node { left, right, .. } = self.nodes[at as usize];
        self.merge(link, left, right, watch);
        self.free.push(at);
        if self.root == NONE {
            *self = Order::new();
        }
        NodeId(at)
    }

    /// The locations from `start` on, in order.
    pub(super) fn iter_from(&self, start: u64) -> impl Iterator<Item = Location> {
        // The nodes still to come whose left subtrees are behind us; the next one is the last.
        let mut pending = Vec::new();
        let mut at = if start < self.len() { self.root } else { NONE };
        let mut index = start as u32;
        while at != NONE {
            let node = &self.nodes[at as usize];
            let before = self.size(node.left);
            if index <= before {
                pending.push(at);
                if index == before {
                    break;
                }
                at = node.left;
            } else {
                index -= before + 1;
                at = node.right;
            }
        }
        std::iter::from_fn(move || {
            let node = &self.nodes[pending.pop()? as usize];
            let mut at = node.right;
            while at != NONE {
                pending.push(at);
                at = self.nodes[at as usize].left;
            }
            Some(node.location.into())
        })
    }

    #[inline]
    fn size(&self, node: u32) -> u32 {
        if node == NONE {
            0
        } else {
            self.nodes[node as usize].size
        }
    }

    fn update_size(&mut self, node: u32) {
        let Node { left, right, .. } = self.nodes[node as usize];
        self.nodes[node as usize].size = self.size(left) + self.size(right) + 1;
    }

    #[inline]
    fn set(&mut self, link: Link, node: u32, watch: &mut impl Watch) {
        let below = match link {
            Link::Root => {
                self.root = node;
                NONE
            }
            Link::Left(parent) => {
                self.nodes[parent as usize].left = node;
                parent
            }
            Link::Right(parent) => {
                self.nodes[parent as usize].right = node;
                parent
            }
        };
        if node != NONE {
            watch.hangs(node, below);
        }
    }

    fn allocate(&mut self, location: Location) -> u32 {
        let node = Node {
            left: NONE,
            right: NONE,
            size: 1,
            location: location.into(),
        };
        if let Some(number) = self.free.pop() {
            self.nodes[number as usize] = node;
            return number;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u32
    }

    /// Parts the subtree `at`: its first `index` nodes become the left subtree of `new`, the others the right one.
    fn split(&mut self, mut at: u32, mut index: u32, new: u32, watch: &mut impl Watch) {
        let (mut smaller, mut greater) = (Link::Left(new), Link::Right(new));
        while at != NONE {
            let before = self.size(self.nodes[at as usize].left);
            let node = &mut self.nodes[at as usize];
            if index <= before {
                node.size -= index;
                let next = node.left;
                self.set(greater, at, watch);
                (greater, at) = (Link::Left(at), next);
            } else {
                node.size = index;
                index -= before + 1;
                let next = node.right;
                self.set(smaller, at, watch);
                (smaller, at) = (Link::Right(at), next);
            }
        }
        self.set(smaller, NONE, watch);
        self.set(greater, NONE, watch);
    }

    /// Joins two subtrees, all of `left` before all of `right`, and hangs them at `link`.
    fn merge(&mut self, mut link: Link, mut left: u32, mut right: u32, watch: &mut impl Watch) {
        while left != NONE && right != NONE {
            let size = self.size(left) + self.size(right);
            let top = if priority(left) >= priority(right) {
                left
            } else {
                right
            };
            self.set(link, top, watch);
            let node = &mut self.nodes[top as usize];
            node.size = size;
            if top == left {
                (link, left) = (Link::Right(top), node.right);
            } else {
                (link, right) = (Link::Left(top), node.left);
            }
        }
        self.set(link, if left == NONE { right } else { left }, watch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::ClassId;
    use proptest::prelude::*;

    fn at(slot: u32) -> Location {
        Location {
            class: ClassId::for_len(8).unwrap(),
            slot,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_vector(
            ops in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..300),
            initial in 0..50u32,
        ) {
            let mut model: Vec<u32> = (0..initial).collect();
            let mut order = Order::from_sequence(model.clone().into_iter().map(at));
            let mut places = Places::of(&order);
            for (next, (insert, index)) in (initial..).zip(ops) {
                if insert || model.is_empty() {
                    let index = index.index(model.len() + 1);
                    model.insert(index, next);
                    let node = order.insert_with(index as u64, at(next), &mut places);
                    prop_assert_eq!(order.location(node), at(next));
                } else {
                    let index = index.index(model.len());
                    let slot = model.remove(index);
                    let node = order.get(index as u64);
                    prop_assert_eq!(order.location(node), at(slot));
                    prop_assert_eq!(order.index_of(node, &places), index as u64);
                    prop_assert_eq!(order.remove_with(index as u64, &mut places), node);
                }
                prop_assert_eq!(order.len(), model.len() as u64);
                let start = model.len() / 3;
                let found: Vec<u32> = order.iter_from(start as u64).map(|at| at.slot).collect();
                prop_assert_eq!(&found[..], &model[start..]);
            }
            for (index, &slot) in model.iter().enumerate() {
                let node = order.get(index as u64);
                prop_assert_eq!(order.location(node), at(slot));
                prop_assert_eq!(order.index_of(node, &places), index as u64);
                prop_assert_eq!(order.index_of(node, &Places::of(&order)), index as u64);
            }
        }
    }
}
