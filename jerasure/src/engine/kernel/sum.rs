//! Sums of regions.

use super::lanes::{load, load_part, store, store_part};
use super::{Isa, Lanes, Task};

/// Vectors summed at a time: as many loads under way as hide their latency.
const UNROLL: usize = 4;

/// `dst` becomes the sum of all sources, which are as long.
pub(super) struct Sum<'a> {
    pub(super) dst: &'a mut [u8],
    pub(super) sources: &'a [&'a [u8]],
}

impl<I: Isa> Task<I> for Sum<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        // SAFETY: the caller vouches for the machine and the regions, and each branch has made sure of its length.
        unsafe {
            match self.dst.len() {
                bytes if bytes >= I::Wide::BYTES => self.whole::<I::Wide>(),
                bytes if bytes >= I::Narrow::BYTES => self.whole::<I::Narrow>(),
                0 => {}
                bytes => {
                    let mut sum = [I::Narrow::zero()];
                    for source in self.sources {
                        let [part] = load_part(source.as_ptr(), bytes);
                        sum = [sum[0].xor(part)];
                    }
                    store_part(sum, self.dst.as_mut_ptr(), bytes);
                }
            }
        }
    }
}

impl Sum<'_> {
    /// # Safety
    /// As [`Task::run`], for at least one vector.
    #[inline(always)]
    unsafe fn whole<V: Lanes>(self) {
        let (bytes, mut at) = (self.dst.len(), 0);
        let dst = self.dst.as_mut_ptr();
        // SAFETY: each place has the vectors that are made there before the end of the regions.
        unsafe {
            while at + UNROLL * V::BYTES <= bytes {
                store(sum_at::<V, UNROLL>(self.sources, at), dst.add(at));
                at += UNROLL * V::BYTES;
            }
            while at + V::BYTES <= bytes {
                store(sum_at::<V, 1>(self.sources, at), dst.add(at));
                at += V::BYTES;
            }
            if at < bytes {
                let at = bytes - V::BYTES;
                store(sum_at::<V, 1>(self.sources, at), dst.add(at));
            }
        }
    }
}

/// # Safety
/// The machine has the instruction set; the sources have U vectors at `at`.
#[inline(always)]
unsafe fn sum_at<V: Lanes, const U: usize>(sources: &[&[u8]], at: usize) -> [V; U] {
    // SAFETY: the caller vouches for both.
    unsafe {
        let mut sum = [V::zero(); U];
        for source in sources {
            let terms: [V; U] = load(source.as_ptr().add(at));
            for u in 0..U {
                sum[u] = sum[u].xor(terms[u]);
            }
        }
        sum
    }
}

/// `dst ^= src`, which is as long.
pub(super) struct Add<'a> {
    pub(super) dst: &'a mut [u8],
    pub(super) src: &'a [u8],
}

impl<I: Isa> Task<I> for Add<'_> {
    #[inline(always)]
    unsafe fn run(self) {
        let (dst, src) = (self.dst.as_mut_ptr(), self.src.as_ptr());
        // SAFETY: the caller vouches for the machine and the regions, and each branch has made sure of its length.
        unsafe {
            match self.dst.len() {
                bytes if bytes >= I::Wide::BYTES => add::<I::Wide>(dst, src, bytes),
                bytes if bytes >= I::Narrow::BYTES => add::<I::Narrow>(dst, src, bytes),
                0 => {}
                bytes => {
                    let [a]: [I::Narrow; 1] = load_part(dst, bytes);
                    let [b] = load_part(src, bytes);
                    store_part([a.xor(b)], dst, bytes);
                }
            }
        }
    }
}

/// # Safety
/// The machine has the instruction set; the regions have `bytes` bytes, at least a vector, and do not overlap.
#[inline(always)]
unsafe fn add<V: Lanes>(dst: *mut u8, src: *const u8, bytes: usize) {
    let last = bytes - V::BYTES;
    let mut at = 0;
    // SAFETY: each place has the vectors that are made there before `bytes`.
    unsafe {
        // Before anything is written: it may overlap what the loop writes.
        let end = V::load(dst.add(last)).xor(V::load(src.add(last)));
        while at + UNROLL * V::BYTES <= last {
            let (mut a, b) = (
                load::<V, UNROLL>(dst.add(at)),
                load::<V, UNROLL>(src.add(at)),
            );
            for u in 0..UNROLL {
                a[u] = a[u].xor(b[u]);
            }
            store(a, dst.add(at));
            at += UNROLL * V::BYTES;
        }
        while at < last {
            let sum = V::load(dst.add(at)).xor(V::load(src.add(at)));
            sum.store(dst.add(at));
            at += V::BYTES;
        }
        end.store(dst.add(last));
    }
}
