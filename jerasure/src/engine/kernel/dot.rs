//! Several outputs from several sources: encoding and decoding.

use super::lanes::{load, load_part, planes, store, store_part, words};
use super::{Isa, Lanes, Multiply, Task, split};
use crate::engine::maps::Blocks;

/// Each output becomes the sum of its factors times the sources.
///
/// There is a factor for each output and source, outputs in order. All regions are `bytes` long, whole words.
pub(super) struct Dot<'a, 'b, I: Isa, const P: usize> {
    pub(super) blocks: &'a [Blocks<I::Map, P>],
    /// Which factors are 1.
    pub(super) ones: &'a [bool],
    pub(super) sources: &'a [&'a [u8]],
    pub(super) outputs: &'a mut [&'b mut [u8]],
    pub(super) bytes: usize,
}

/// Bytes of all sources that are worked on at a time where there are more outputs than registers, so that they stay in
/// the second-level cache until all outputs are made.
const CACHED: usize = 256 * 1024;

/// Outputs made at once, 1 to 4.
const fn at_once<I: Isa, const P: usize>() -> usize {
    let most = I::ROWS[P.ilog2() as usize];
    assert!(1 <= most && most <= 4);
    most
}

impl<I: Isa, const P: usize> Task<I> for Dot<'_, '_, I, P> {
    #[inline(always)]
    unsafe fn run(mut self) {
        let bytes = self.bytes;
        if bytes < P * I::Wide::BYTES {
            for row in 0..self.outputs.len() {
                // SAFETY: the caller vouches for the machine and the regions; the row exists.
                unsafe { self.rows::<1>(row).short(bytes) }
            }
            return;
        }
        let most = const { at_once::<I, P>() };
        let chunk = if self.outputs.len() <= most {
            self.bytes
        } else {
            // A multiple of every step below.
            (CACHED / self.sources.len().max(1)).max(4096) & !4095
        };
        let mut start = 0;
        while start < self.bytes {
            // What is shorter than a wide vector goes with the rest.
            let end = match self.bytes - start {
                rest if rest < chunk + P * I::Wide::BYTES => self.bytes,
                _ => start + chunk,
            };
            let mut row = 0;
            while row < self.outputs.len() {
                let rows = most.min(self.outputs.len() - row);
                // SAFETY: the caller vouches for the machine and the regions; the rows exist, and `start..end` is
                // within all regions and at least P wide vectors. The constants spare the compiler what is not used.
                unsafe {
                    if rows == 1 {
                        self.wide::<1>(row, start, end);
                    } else if const { at_once::<I, P>() >= 2 } && rows == 2 {
                        self.wide::<2>(row, start, end);
                    } else if const { at_once::<I, P>() >= 3 } && rows == 3 {
                        self.wide::<3>(row, start, end);
                    } else if const { at_once::<I, P>() >= 4 } {
                        self.wide::<4>(row, start, end);
                    }
                }
                row += rows;
            }
            start = end;
        }
    }
}

impl<I: Isa, const P: usize> Dot<'_, '_, I, P> {
    /// R outputs from number `row` on.
    #[inline(always)]
    fn rows<const R: usize>(&mut self, row: usize) -> Group<'_, I, P, R> {
        let mut outputs = [std::ptr::null_mut(); R];
        for (pointer, output) in outputs.iter_mut().zip(&mut self.outputs[row..]) {
            *pointer = output.as_mut_ptr();
        }
        Group {
            blocks: &self.blocks[row * self.sources.len()..][..R * self.sources.len()],
            sources: self.sources,
            outputs,
        }
    }

    /// Makes `start..end` of R outputs from number `row` on.
    ///
    /// # Safety
    /// As [`Task::run`], with R outputs from `row` on; `start..end` is within the regions and at least P wide vectors.
    #[inline(always)]
    unsafe fn wide<const R: usize>(&mut self, row: usize, start: usize, end: usize) {
        // Most matrices begin with a row of ones.
        let ones = &self.ones[row * self.sources.len()..][..self.sources.len()];
        let ones = ones.iter().all(|&one| one);
        let group = self.rows::<R>(row);
        // SAFETY: the caller vouches for the machine and the range.
        unsafe {
            if ones {
                group.wide::<true>(start, end);
            } else {
                group.wide::<false>(start, end);
            }
        }
    }
}

/// R outputs that are made at once.
struct Group<'a, I: Isa, const P: usize, const R: usize> {
    blocks: &'a [Blocks<I::Map, P>],
    sources: &'a [&'a [u8]],
    outputs: [*mut u8; R],
}

impl<I: Isa, const P: usize, const R: usize> Group<'_, I, P, R> {
    /// With ONES, the factors of the first output are all 1.
    ///
    /// # Safety
    /// As [`Dot::wide`].
    #[inline(always)]
    unsafe fn wide<const ONES: bool>(&self, start: usize, end: usize) {
        let step = P * I::Wide::BYTES;
        let mut at = start;
        // SAFETY: each place has the vectors that are made there before `end`.
        unsafe {
            if P == 1 {
                while at + 2 * step <= end {
                    self.block::<I::Wide, 2, ONES>(at);
                    at += 2 * step;
                }
            }
            while at < end {
                // The last one may overlap the one before it.
                self.block::<I::Wide, 1, ONES>(at.min(end - step));
                at += step;
            }
        }
    }

    /// # Safety
    /// As [`Task::run`].
    #[inline(always)]
    unsafe fn short(&self, bytes: usize) {
        let step = P * I::Narrow::BYTES;
        let mut at = 0;
        // SAFETY: each place has the vectors that are made there before `bytes`.
        unsafe {
            while at < bytes && step <= bytes {
                self.block::<I::Narrow, 1, false>(at.min(bytes - step));
                at += step;
            }
            if at < bytes {
                self.part(bytes);
            }
        }
    }

    /// # Safety
    /// As [`Task::run`], with U times P vectors at `at`.
    #[inline(always)]
    unsafe fn block<V: Lanes + Multiply<I>, const U: usize, const ONES: bool>(&self, at: usize) {
        let step = P * V::BYTES;
        // SAFETY: the caller vouches for the machine and the place; `blocks` holds R rows of one factor a source.
        unsafe {
            let mut sums = [[[V::zero(); P]; U]; R];
            for (col, source) in self.sources.iter().enumerate() {
                let source = source.as_ptr().add(at);
                let mut input = [[V::zero(); P]; U];
                for u in 0..U {
                    input[u] = planes(load::<V, P>(source.add(u * step)));
                }
                self.add_products::<V, U, ONES>(&mut sums, col, input);
            }
            for r in 0..R {
                for u in 0..U {
                    store(words(sums[r][u]), self.outputs[r].add(at + u * step));
                }
            }
        }
    }

    /// # Safety
    /// As [`Task::run`], with fewer than P vectors of 16 bytes.
    #[inline(always)]
    unsafe fn part(&self, bytes: usize) {
        // SAFETY: the caller vouches for the machine and the regions.
        unsafe {
            let mut sums = [[[I::Narrow::zero(); P]; 1]; R];
            for (col, source) in self.sources.iter().enumerate() {
                let input = load_part::<I::Narrow, P>(source.as_ptr(), bytes);
                self.add_products::<I::Narrow, 1, false>(&mut sums, col, [planes(input)]);
            }
            for r in 0..R {
                store_part(words(sums[r][0]), self.outputs[r], bytes);
            }
        }
    }

    /// # Safety
    /// The machine has the instruction set; `col` is that of a source.
    #[inline(always)]
    unsafe fn add_products<V: Lanes + Multiply<I>, const U: usize, const ONES: bool>(
        &self,
        sums: &mut [[[V; P]; U]; R],
        col: usize,
        input: [[V; P]; U],
    ) {
        // SAFETY: the caller vouches for both; `blocks` holds R rows of one factor a source.
        unsafe {
            let mut ready = [split::<I, V, P>(input[0]); U];
            for u in 1..U {
                ready[u] = split::<I, V, P>(input[u]);
            }
            if ONES {
                for u in 0..U {
                    for i in 0..P {
                        sums[0][u][i] = sums[0][u][i].xor(input[u][i]);
                    }
                }
            }
            for r in usize::from(ONES)..R {
                let blocks = self.blocks.get_unchecked(r * self.sources.len() + col);
                for i in 0..P {
                    for j in 0..P {
                        let map = V::load_map(&blocks[i][j]);
                        for u in 0..U {
                            sums[r][u][i] = sums[r][u][i].add_mapped(map, ready[u][j]);
                        }
                    }
                }
            }
        }
    }
}
