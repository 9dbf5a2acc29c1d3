//! Several outputs from several sources: encoding and decoding.

use super::lanes::{load, load_part, planes, store, store_part, words};
use super::{Isa, Lanes, Multiply, Task};
use crate::engine::maps::Blocks;

/// Each output becomes the sum of its factors times the sources.
///
/// There is a factor for each output and source, outputs in order. All regions are `bytes` long, whole words.
pub(super) struct Dot<'a, 'b, I: Isa, const P: usize> {
    pub(super) blocks: &'a [Blocks<I::Map, P>],
    pub(super) sources: &'a [&'a [u8]],
    pub(super) outputs: &'a mut [&'b mut [u8]],
    pub(super) bytes: usize,
}

/// Bytes of all sources that are worked on at a time where there are more outputs than registers, so that they stay in
/// the second-level cache until all outputs are made.
const CACHED: usize = 256 * 1024;

impl<I: Isa, const P: usize> Task<I> for Dot<'_, '_, I, P> {
    #[inline(always)]
    unsafe fn run(mut self) {
        let most = I::ROWS[P.ilog2() as usize];
        let chunk = if self.outputs.len() <= most {
            self.bytes
        } else {
            // A multiple of every step below.
            (CACHED / self.sources.len().max(1)).max(4096) & !4095
        };
        let mut start = 0;
        while start < self.bytes {
            let end = self.bytes.min(start + chunk);
            let mut row = 0;
            while row < self.outputs.len() {
                let rows = most.min(self.outputs.len() - row);
                // SAFETY: the caller vouches for the machine and the regions; the rows exist, and `start..end` is
                // within all regions.
                unsafe {
                    match rows {
                        1 => self.rows::<1>(row, start, end),
                        2 => self.rows::<2>(row, start, end),
                        3 => self.rows::<3>(row, start, end),
                        _ => self.rows::<4>(row, start, end),
                    }
                }
                row += rows.min(4);
            }
            start = end;
        }
    }
}

impl<I: Isa, const P: usize> Dot<'_, '_, I, P> {
    /// Makes `start..end` of the outputs from number `row` on.
    ///
    /// # Safety
    /// As [`Task::run`], with R outputs from `row` on; `start..end` is within the regions and whole words.
    #[inline(always)]
    unsafe fn rows<const R: usize>(&mut self, row: usize, start: usize, end: usize) {
        let mut outputs = [std::ptr::null_mut(); R];
        for (pointer, output) in outputs.iter_mut().zip(&mut self.outputs[row..]) {
            *pointer = output.as_mut_ptr();
        }
        let group = Group::<I, P, R> {
            blocks: &self.blocks[row * self.sources.len()..][..R * self.sources.len()],
            sources: self.sources,
            outputs,
        };
        // SAFETY: the caller vouches for the machine and the range, and each branch has made sure of its length.
        unsafe {
            match end - start {
                bytes if bytes >= P * I::Wide::BYTES => group.whole::<I::Wide>(start, end),
                bytes if bytes >= P * I::Middle::BYTES => group.whole::<I::Middle>(start, end),
                bytes if bytes >= P * I::Narrow::BYTES => group.whole::<I::Narrow>(start, end),
                bytes => group.part(start, bytes),
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
    /// # Safety
    /// As [`Dot::rows`], for at least P vectors.
    #[inline(always)]
    unsafe fn whole<V: Lanes + Multiply<I>>(&self, start: usize, end: usize) {
        let step = P * V::BYTES;
        let mut at = start;
        // SAFETY: each place has the vectors that are made there before `end`.
        unsafe {
            if P == 1 {
                while at + 2 * step <= end {
                    self.block::<V, 2>(at);
                    at += 2 * step;
                }
            }
            while at + step <= end {
                self.block::<V, 1>(at);
                at += step;
            }
            if at < end {
                self.block::<V, 1>(end - step);
            }
        }
    }

    /// # Safety
    /// As [`Dot::rows`], with U times P vectors at `at`.
    #[inline(always)]
    unsafe fn block<V: Lanes + Multiply<I>, const U: usize>(&self, at: usize) {
        let step = P * V::BYTES;
        // SAFETY: the caller vouches for the machine and the place; `blocks` holds R rows of one factor a source.
        unsafe {
            let mut sums = [[[V::zero(); P]; U]; R];
            for (col, source) in self.sources.iter().enumerate() {
                let source = source.as_ptr().add(at);
                let mut input = [[V::zero().split(); P]; U];
                for u in 0..U {
                    input[u] = planes(load::<V, P>(source.add(u * step))).map(|p| p.split());
                }
                self.add_products(&mut sums, col, input);
            }
            for r in 0..R {
                for u in 0..U {
                    store(words(sums[r][u]), self.outputs[r].add(at + u * step));
                }
            }
        }
    }

    /// # Safety
    /// As [`Dot::rows`], with fewer than P vectors of 16 bytes at `at`.
    #[inline(always)]
    unsafe fn part(&self, at: usize, bytes: usize) {
        // SAFETY: the caller vouches for the machine and the place.
        unsafe {
            let mut sums = [[[I::Narrow::zero(); P]; 1]; R];
            for (col, source) in self.sources.iter().enumerate() {
                let input = load_part::<I::Narrow, P>(source.as_ptr().add(at), bytes);
                self.add_products(&mut sums, col, [planes(input).map(|p| p.split())]);
            }
            for r in 0..R {
                store_part(words(sums[r][0]), self.outputs[r].add(at), bytes);
            }
        }
    }

    /// # Safety
    /// The machine has the instruction set; `col` is that of a source.
    #[inline(always)]
    unsafe fn add_products<V: Lanes + Multiply<I>, const U: usize>(
        &self,
        sums: &mut [[[V; P]; U]; R],
        col: usize,
        input: [[V::Split; P]; U],
    ) {
        // SAFETY: the caller vouches for both; `blocks` holds R rows of one factor a source.
        unsafe {
            for r in 0..R {
                let blocks = self.blocks.get_unchecked(r * self.sources.len() + col);
                for i in 0..P {
                    for j in 0..P {
                        let map = V::load_map(&blocks[i][j]);
                        for u in 0..U {
                            sums[r][u][i] = sums[r][u][i].add_mapped(map, input[u][j]);
                        }
                    }
                }
            }
        }
    }
}
