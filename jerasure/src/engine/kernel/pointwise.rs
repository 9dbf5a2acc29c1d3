//! One factor times one region: `mul`, `mul_add` and `update`.

use super::lanes::{load, load_part, planes, store, store_part, words};
use super::{Isa, Lanes, Multiply, Task, split};
use crate::engine::maps::Blocks;

/// `dst` becomes the factor times the sum of N sources, plus what it was if ADD is set.
///
/// The sources are readable and `dst` is writable for `bytes` bytes, whole words; `dst` does not overlap them.
pub(in crate::engine) struct Pointwise<'a, I: Isa, const P: usize, const N: usize, const ADD: bool>
{
    pub(super) blocks: &'a Blocks<I::Map, P>,
    pub(super) dst: *mut u8,
    pub(super) sources: [*const u8; N],
    pub(super) bytes: usize,
}

impl<I: Isa, const P: usize> Pointwise<'_, I, P, 2, true> {
    /// An update by a factor whose type is lost.
    ///
    /// # Safety
    /// `factor` is a [`Blocks<I::Map, P>`] that outlives the task.
    #[inline(always)]
    pub(in crate::engine) unsafe fn update(
        factor: *const (),
        code: *mut u8,
        old: *const u8,
        new: *const u8,
        bytes: usize,
    ) -> Self {
        Self {
            // SAFETY: the caller vouches for it.
            blocks: unsafe { &*factor.cast() },
            dst: code,
            sources: [old, new],
            bytes,
        }
    }
}

impl<I: Isa, const P: usize, const N: usize, const ADD: bool> Task<I>
    for Pointwise<'_, I, P, N, ADD>
{
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: the caller vouches for the machine and the regions, and each branch has made sure of its length.
        unsafe {
            if self.bytes >= P * I::Wide::BYTES {
                self.wide();
            } else if const { I::Middle::BYTES < I::Wide::BYTES }
                && self.bytes >= P * I::Middle::BYTES
            {
                self.pair::<I::Middle>();
            } else if self.bytes >= P * I::Narrow::BYTES {
                self.pair::<I::Narrow>();
            } else if self.bytes > 0 {
                self.part();
            }
        }
    }
}

impl<I: Isa, const P: usize, const N: usize, const ADD: bool> Pointwise<'_, I, P, N, ADD> {
    /// # Safety
    /// As [`Task::run`], for at least P wide vectors.
    #[inline(always)]
    unsafe fn wide(&self) {
        let step = P * I::Wide::BYTES;
        let last = self.bytes - step;
        // SAFETY: `at` is at most `last` wherever P vectors are loaded or stored at it.
        unsafe {
            let maps = Maps::<I, I::Wide, P>::load(self.blocks);
            // Before anything is written: it may overlap what the loop writes.
            let end = self.value(maps, last);
            let mut at = 0;
            if P == 1 {
                while at + 4 * step <= last {
                    let mut values = [[I::Wide::zero(); P]; 4];
                    for i in 0..4 {
                        values[i] = self.value(maps, at + i * step);
                    }
                    for i in 0..4 {
                        store(values[i], self.dst.add(at + i * step));
                    }
                    at += 4 * step;
                }
            }
            while at < last {
                store(self.value(maps, at), self.dst.add(at));
                at += step;
            }
            store(end, self.dst.add(last));
        }
    }

    /// # Safety
    /// As [`Task::run`], for P to 2 P vectors.
    #[inline(always)]
    unsafe fn pair<V: Lanes + Multiply<I>>(&self) {
        let last = self.bytes - P * V::BYTES;
        // SAFETY: there are P vectors at 0 and at `last`, which may overlap: all is read before anything is written.
        unsafe {
            let maps = Maps::<I, V, P>::load(self.blocks);
            let (start, end) = (self.value(maps, 0), self.value(maps, last));
            store(start, self.dst);
            store(end, self.dst.add(last));
        }
    }

    /// # Safety
    /// As [`Task::run`], with P vectors at `at`.
    #[inline(always)]
    unsafe fn value<V: Lanes + Multiply<I>>(&self, maps: Maps<'_, I, V, P>, at: usize) -> [V; P] {
        // SAFETY: the caller vouches for the machine and the place.
        unsafe {
            let mut input = load::<V, P>(self.sources[0].add(at));
            for source in 1..N {
                input = add(input, load(self.sources[source].add(at)));
            }
            let product = maps.product(input);
            if ADD {
                add(product, load(self.dst.add(at)))
            } else {
                product
            }
        }
    }

    /// # Safety
    /// As [`Task::run`].
    #[inline(always)]
    unsafe fn part(&self) {
        // SAFETY: the caller vouches for the machine and the regions.
        unsafe {
            let maps = Maps::<I, I::Narrow, P>::load(self.blocks);
            let mut input = load_part(self.sources[0], self.bytes);
            for source in 1..N {
                input = add(input, load_part(self.sources[source], self.bytes));
            }
            let mut value = maps.product(input);
            if ADD {
                value = add(value, load_part(self.dst, self.bytes));
            }
            store_part(value, self.dst, self.bytes);
        }
    }
}

/// The maps of one factor: in registers if they are few.
struct Maps<'a, I: Isa, V: Multiply<I>, const P: usize> {
    blocks: &'a Blocks<I::Map, P>,
    loaded: [[V::Loaded; P]; P],
}

impl<I: Isa, V: Multiply<I>, const P: usize> Clone for Maps<'_, I, V, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I: Isa, V: Multiply<I>, const P: usize> Copy for Maps<'_, I, V, P> {}

impl<'a, I: Isa, V: Lanes + Multiply<I>, const P: usize> Maps<'a, I, V, P> {
    /// # Safety
    /// The machine has the instruction set.
    #[inline(always)]
    unsafe fn load(blocks: &'a Blocks<I::Map, P>) -> Self {
        // SAFETY: the caller vouches for it.
        unsafe {
            let mut loaded = [[V::load_map(&blocks[0][0]); P]; P];
            for i in 0..P {
                for j in 0..P {
                    loaded[i][j] = V::load_map(&blocks[i][j]);
                }
            }
            Self { blocks, loaded }
        }
    }

    /// # Safety
    /// The machine has the instruction set.
    #[inline(always)]
    unsafe fn product(self, input: [V; P]) -> [V; P] {
        // SAFETY: the caller vouches for it.
        unsafe {
            let input = split::<I, V, P>(planes(input));
            let mut product = [V::zero(); P];
            for i in 0..P {
                for j in 0..P {
                    let map = if P < 4 {
                        self.loaded[i][j]
                    } else {
                        V::load_map(&self.blocks[i][j])
                    };
                    product[i] = product[i].add_mapped(map, input[j]);
                }
            }
            words(product)
        }
    }
}

/// # Safety
/// The machine has the instruction set.
#[inline(always)]
unsafe fn add<V: Lanes, const P: usize>(mut a: [V; P], b: [V; P]) -> [V; P] {
    // SAFETY: the caller vouches for it.
    unsafe {
        for i in 0..P {
            a[i] = a[i].xor(b[i]);
        }
    }
    a
}
