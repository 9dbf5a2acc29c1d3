//! What the SIMD engines share: the loops, written once over vectors and the ways to multiply with them.
//!
//! A word of P bytes is worked on as P planes: P neighbouring vectors hold whole words, and are rearranged so that each
//! holds one byte of every word. A product is then P times P byte maps, as in [`maps`](super::maps), whatever the
//! instruction that does them. The order of words within the planes does not matter, so long as it is undone.
//!
//! The ends of regions are not special: the last vector overlaps the one before it, and what it adds to is read before
//! anything is written. Only regions shorter than P vectors of 16 bytes are put together from smaller pieces.

mod dot;
mod lanes;
mod pointwise;
mod sum;

use std::fmt::Debug;
use std::sync::Arc;

pub(super) use lanes::{Lanes, Quarter};

use super::direct::{Direct, Update};
use super::factors::{Factors, Xor, check_dot, check_regions};
use super::maps::{Blocks, Map, blocks};
use crate::{Error, WordSize, memory};
use dot::Dot;
pub(super) use pointwise::Pointwise;
use sum::{Add, Sum};

/// An instruction set: its vectors, from wide to narrow, and how it multiplies. A value of it exists only on machines
/// that have it.
pub(super) trait Isa: Copy + Debug + Send + Sync + 'static {
    /// A byte map in memory.
    type Map: Map;
    /// For long regions.
    type Wide: Lanes + Multiply<Self>;
    /// For regions shorter than a wide vector.
    type Middle: Lanes + Multiply<Self>;
    /// 16 bytes, for the shortest.
    type Narrow: Quarter + Multiply<Self>;

    /// Outputs made at once in a dot product, for words of 1, 2 and 4 bytes: as many as the registers allow.
    const ROWS: [usize; 3];

    /// [`Pointwise`] as an update by one factor of words of P bytes, compiled for the instruction set.
    fn update<const P: usize>() -> Update;

    /// Runs a task, compiled for the instruction set.
    ///
    /// # Safety
    /// The task's own conditions hold.
    unsafe fn run(self, task: impl Task<Self>);
}

/// The functions of [`Isa`], compiled for these features of the processor, all of which the type's values prove.
macro_rules! compiled_with {
    ($isa:ident, $features:tt) => {
        fn update<const P: usize>() -> crate::engine::direct::Update {
            #[target_feature(enable = $features)]
            unsafe fn compiled<const P: usize>(
                factor: *const (),
                code: *mut u8,
                old: *const u8,
                new: *const u8,
                bytes: usize,
            ) {
                use crate::engine::kernel::{Pointwise, Task};
                // SAFETY: the caller vouches for the factor, which is one of this instruction set and word, the
                // regions and the machine.
                unsafe {
                    Pointwise::<$isa, P, 2, true>::update(factor, code, old, new, bytes).run()
                }
            }
            compiled::<P>
        }

        #[inline(always)]
        unsafe fn run(self, task: impl crate::engine::kernel::Task<Self>) {
            #[target_feature(enable = $features)]
            unsafe fn compiled(task: impl crate::engine::kernel::Task<$isa>) {
                // SAFETY: the caller vouches for the task.
                unsafe { task.run() }
            }
            // SAFETY: `self` proves that the machine has the instructions; the caller vouches for the task.
            unsafe { compiled(task) }
        }
    };
}
pub(super) use compiled_with;

/// How vectors are mapped in an instruction set.
///
/// # Safety of all functions
/// The machine has the instruction set.
pub(super) trait Multiply<I: Isa>: Copy {
    /// A byte map in registers.
    type Loaded: Copy;
    /// A vector made ready for being mapped several times.
    type Split: Copy;

    unsafe fn load_map(map: &I::Map) -> Self::Loaded;
    unsafe fn split(self) -> Self::Split;
    /// `self ^ map(split)`.
    unsafe fn add_mapped(self, map: Self::Loaded, split: Self::Split) -> Self;
}

/// Work on regions by raw pointers, generic over the instruction set.
pub(super) trait Task<I: Isa> {
    /// # Safety
    /// The machine has the instruction set; the pointers are valid as the task's type says.
    unsafe fn run(self);
}

/// Each plane made ready. Loops, here and elsewhere: a closure on vectors would be compiled without the instruction set.
///
/// # Safety
/// The machine has the instruction set.
#[inline(always)]
unsafe fn split<I: Isa, V: Multiply<I>, const P: usize>(planes: [V; P]) -> [V::Split; P] {
    // SAFETY: the caller vouches for it.
    unsafe {
        let mut split = [planes[0].split(); P];
        for i in 1..P {
            split[i] = planes[i].split();
        }
        split
    }
}

/// Prepares factors.
pub(super) fn prepare<I: Isa>(
    isa: I,
    w: WordSize,
    elements: &[u32],
) -> Result<Arc<dyn Factors>, Error> {
    Ok(match w {
        WordSize::W8 => Arc::new(Prepared::<I, 1>::new(isa, w, elements)?),
        WordSize::W16 => Arc::new(Prepared::<I, 2>::new(isa, w, elements)?),
        _ => Arc::new(Prepared::<I, 4>::new(isa, w, elements)?),
    })
}

/// Sums of regions.
pub(super) fn sums<I: Isa>(isa: I) -> &'static dyn Xor {
    // An instruction set has no size, so nothing is allocated that could leak.
    const { assert!(size_of::<I>() == 0) }
    Box::leak(Box::new(Sums(isa)))
}

/// Factors for an instruction set, as P by P byte maps each.
#[derive(Debug)]
struct Prepared<I: Isa, const P: usize> {
    isa: I,
    blocks: Box<[Blocks<I::Map, P>]>,
    /// Which factors are 1.
    ones: Box<[bool]>,
}

impl<I: Isa, const P: usize> Prepared<I, P> {
    fn new(isa: I, w: WordSize, elements: &[u32]) -> Result<Self, Error> {
        let made = elements.iter().map(|&element| blocks(w, element));
        let ones = elements.iter().map(|&element| element == 1);
        Ok(Self {
            isa,
            blocks: memory::list(elements.len(), made)?.into(),
            ones: memory::list(elements.len(), ones)?.into(),
        })
    }

    /// `dst` becomes the factor times the sum of the sources, plus what it was if ADD is set.
    #[inline]
    fn pointwise<const N: usize, const ADD: bool>(
        &self,
        index: usize,
        dst: &mut [u8],
        sources: [&[u8]; N],
    ) {
        check_regions(P, dst.len(), &sources.map(<[u8]>::len));
        let task = Pointwise::<I, P, N, ADD> {
            blocks: &self.blocks[index],
            dst: dst.as_mut_ptr(),
            sources: sources.map(<[u8]>::as_ptr),
            bytes: dst.len(),
        };
        // SAFETY: `self.isa` proves that the machine has the instruction set. The sources are readable and `dst` writable for `bytes`
        // bytes, whole words, by the check; borrowing keeps `dst` apart from them and from other threads.
        unsafe { self.isa.run(task) }
    }
}

impl<I: Isa, const P: usize> Factors for Prepared<I, P> {
    fn mul(&self, index: usize, dst: &mut [u8], src: &[u8]) {
        self.pointwise::<1, false>(index, dst, [src]);
    }

    fn mul_add(&self, index: usize, dst: &mut [u8], src: &[u8]) {
        self.pointwise::<1, true>(index, dst, [src]);
    }

    fn update(&self, index: usize, code: &mut [u8], old: &[u8], new: &[u8]) {
        self.pointwise::<2, true>(index, code, [old, new]);
    }

    fn direct(self: Arc<Self>, index: usize) -> Option<Direct> {
        let factor: *const Blocks<I::Map, P> = &raw const self.blocks[index];
        // SAFETY: `self.isa` proves that the machine has the instruction set. The factor is in a box that is not
        // touched after it was made, and `self` owns it.
        Some(unsafe { Direct::new(I::update::<P>(), factor.cast(), self) })
    }

    fn dot(&self, first: usize, sources: &[&[u8]], outputs: &mut [&mut [u8]]) {
        let bytes = check_dot(self.blocks.len(), P, first, sources, outputs);
        let task = Dot::<I, P> {
            blocks: &self.blocks[first..],
            ones: &self.ones[first..],
            sources,
            outputs,
            bytes,
        };
        // SAFETY: `self.isa` proves that the machine has the instruction set. The check has found a factor for each output and source,
        // and all regions `bytes` long, whole words.
        unsafe { self.isa.run(task) }
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.blocks) + size_of_val(&*self.ones)
    }
}

/// Sums of regions in an instruction set.
#[derive(Debug)]
struct Sums<I>(I);

impl<I: Isa> Xor for Sums<I> {
    fn xor_many(&self, dst: &mut [u8], sources: &[&[u8]]) {
        assert!(
            sources.iter().all(|source| source.len() == dst.len()),
            "unequal regions"
        );
        // SAFETY: the instruction set is there, or it would have no value; the regions are equally long.
        unsafe { self.0.run(Sum { dst, sources }) }
    }

    fn xor_add(&self, dst: &mut [u8], src: &[u8]) {
        assert_eq!(dst.len(), src.len(), "unequal regions");
        // SAFETY: the instruction set is there, or it would have no value; the regions are equally long.
        unsafe { self.0.run(Add { dst, src }) }
    }
}
