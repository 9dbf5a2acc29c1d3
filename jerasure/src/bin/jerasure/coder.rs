//! The codec over windows: equal parts of all pieces, small enough for memory.

use std::mem;

use anyhow::{Result, bail};
use jerasure::Codec;

use crate::scheme::{Regrouping, Scheme};

/// All windows together, unless a single step of the code is larger.
const WINDOWS_BYTES: u64 = 8 << 20;

/// No code needs as much: a stripe of the largest packets that upstream's programs can handle fits.
const MAX_WINDOWS_BYTES: u64 = 1 << 30;

/// Encodes, rebuilds and checks windows. A window is one buffer a piece, data first, all of one length.
pub(crate) struct Coder {
    codec: Codec,
    scheme: Scheme,
    regrouping: Option<Regrouping>,
    window: usize,
}

/// What a check of a window found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    /// All pieces belong together, as far as there are more than k.
    Agree,
    /// They do not; the first disagreement is in the step at this byte of the window.
    Disagree {
        /// A byte offset, a multiple of the code's step.
        at: usize,
    },
}

impl Coder {
    /// Makes the code's matrix.
    pub(crate) fn new(scheme: Scheme) -> Result<Self> {
        let step = scheme.step();
        let pieces = scheme.pieces() as u64;
        // A machine word at least, so that windows stay aligned.
        let grain = step.next_multiple_of(if step < 64 { 64 } else { 1 });
        let window = (WINDOWS_BYTES / pieces / grain).max(1) * grain;
        if window.saturating_mul(pieces) > MAX_WINDOWS_BYTES {
            bail!(
                "a stripe of {pieces} pieces takes {} bytes, and {MAX_WINDOWS_BYTES} are the limit: use smaller packets",
                window.saturating_mul(pieces)
            );
        }
        Ok(Self {
            codec: Codec::new(scheme.technique(), scheme.params())?,
            scheme,
            regrouping: scheme.regrouping(),
            window: window as usize,
        })
    }

    /// The largest window, in bytes a piece.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// The windows of a block: offset and bytes of each.
    pub(crate) fn windows(&self, block_bytes: u64) -> impl Iterator<Item = (u64, usize)> + use<> {
        let window = self.window as u64;
        (0..block_bytes.div_ceil(window)).map(move |index| {
            let offset = index * window;
            (offset, window.min(block_bytes - offset) as usize)
        })
    }

    /// Empty buffers, one a piece.
    pub(crate) fn buffers(&self) -> Vec<Vec<u8>> {
        vec![Vec::new(); self.scheme.pieces()]
    }

    /// Computes the coding pieces.
    pub(crate) fn encode(&self, pieces: &mut [Vec<u8>]) -> Result<()> {
        self.grouped(pieces, |pieces| {
            let (data, coding) = pieces.split_at_mut(self.scheme.k());
            self.codec.encode(data, coding)
        })
    }

    /// Computes the pieces `wanted`, which are among the `lost`.
    pub(crate) fn rebuild(
        &self,
        pieces: &mut [Vec<u8>],
        lost: &[usize],
        wanted: &[usize],
    ) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        self.grouped(pieces, |pieces| {
            self.codec.reconstruct(pieces, lost, wanted)
        })
    }

    /// Whether the pieces that are not lost belong together. The buffers of lost pieces are overwritten with anything.
    ///
    /// With e pieces lost, which are at most m, up to m - e wrong ones are noticed.
    pub(crate) fn check(&self, pieces: &mut [Vec<u8>], lost: &[usize]) -> Result<Check> {
        let spare = self.scheme.without(lost).split_off(self.scheme.k());
        if spare.is_empty() {
            return Ok(Check::Agree);
        }
        // Quicker, but it does not tell where they disagree.
        if lost.is_empty() && self.grouped(pieces, |pieces| self.codec.verify(pieces))? {
            return Ok(Check::Agree);
        }
        let mut held = Vec::with_capacity(spare.len());
        for &index in &spare {
            let bytes = pieces[index].len();
            held.push(mem::replace(&mut pieces[index], vec![0; bytes]));
        }
        let unknown: Vec<usize> = lost.iter().chain(&spare).copied().collect();
        let outcome = self.rebuild(pieces, &unknown, &spare);
        let mut first = None;
        for (&index, held) in spare.iter().zip(held) {
            let computed = mem::replace(&mut pieces[index], held);
            let differs = pieces[index]
                .iter()
                .zip(&computed)
                .position(|(a, b)| a != b);
            first = [first, differs].into_iter().flatten().min();
        }
        outcome?;
        let step = self.scheme.step() as usize;
        Ok(match first {
            Some(at) => Check::Disagree { at: at - at % step },
            None => Check::Agree,
        })
    }

    /// The one piece without which a window's pieces agree; `None` if there is no such piece, or if it cannot be told
    /// because fewer than k + 2 are left.
    pub(crate) fn culprit(&self, pieces: &mut [Vec<u8>], lost: &[usize]) -> Result<Option<usize>> {
        let left = self.scheme.pieces() - lost.len();
        if left < self.scheme.k() + 2 {
            return Ok(None);
        }
        let mut found = None;
        for index in self.scheme.without(lost) {
            let without: Vec<usize> = lost.iter().chain([&index]).copied().collect();
            let held = pieces[index].clone();
            let check = self.check(pieces, &without);
            pieces[index] = held;
            if check? == Check::Agree && found.replace(index).is_some() {
                return Ok(None);
            }
        }
        Ok(found)
    }

    /// Runs `work` in the library's order of packets.
    fn grouped<T>(
        &self,
        pieces: &mut [Vec<u8>],
        work: impl FnOnce(&mut [Vec<u8>]) -> Result<T, jerasure::Error>,
    ) -> Result<T> {
        if let Some(regrouping) = self.regrouping {
            pieces.iter_mut().for_each(|piece| regrouping.group(piece));
        }
        let outcome = work(pieces);
        if let Some(regrouping) = self.regrouping {
            pieces
                .iter_mut()
                .for_each(|piece| regrouping.ungroup(piece));
        }
        Ok(outcome?)
    }
}
