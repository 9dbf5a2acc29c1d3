//! Regions of bytes multiplied by one coefficient.

use std::sync::Arc;

use crate::engine::{Direct, Factors};
use crate::{Engine, Error, WordSize};

/// One coefficient, prepared for multiplying regions.
///
/// Cheap to clone and to share between threads. Regions may be anywhere in memory and of any length that is a
/// whole number of words; words are in the machine's byte order, as in the C library.
#[derive(Debug, Clone)]
pub struct Multiplier {
    w: WordSize,
    coefficient: u32,
    /// The coefficient alone.
    factors: Arc<dyn Factors>,
    direct: Option<Direct>,
}

impl Multiplier {
    /// Prepares `coefficient` for the [selected](Engine::selected) engine.
    ///
    /// # Errors
    /// [`Error::WordSize`] unless w is 8, 16 or 32; [`Error::NotAnElement`] if `coefficient` is 2^w or more; those of
    /// [`Engine::selected`].
    pub fn new(w: WordSize, coefficient: u32) -> Result<Self, Error> {
        Self::with_engine(w, coefficient, Engine::selected()?)
    }

    /// Prepares `coefficient` for one engine. It takes 8 bytes to 4 KiB, shared by clones.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::EngineUnavailable`] if this machine cannot run the engine.
    pub fn with_engine(w: WordSize, coefficient: u32, engine: Engine) -> Result<Self, Error> {
        let factors = engine.prepare(w, &[coefficient])?;
        Ok(Self {
            w,
            coefficient,
            direct: Arc::clone(&factors).direct(0),
            factors,
        })
    }

    /// The coefficient.
    pub fn coefficient(&self) -> u32 {
        self.coefficient
    }

    /// The word size.
    pub fn word_size(&self) -> WordSize {
        self.w
    }

    /// `dst ^= coefficient * src`, word by word. Empty regions are fine.
    ///
    /// # Errors
    /// [`Error::LengthMismatch`] if the regions differ in length, [`Error::PartialWord`] if they are not whole words;
    /// nothing is written then.
    #[inline]
    pub fn mul_add(&self, dst: &mut [u8], src: &[u8]) -> Result<(), Error> {
        self.check(dst, src)?;
        self.factors.mul_add(0, dst, src);
        Ok(())
    }

    /// `dst = coefficient * src`, word by word.
    ///
    /// # Errors
    /// As [`mul_add`](Self::mul_add).
    #[inline]
    pub fn mul(&self, dst: &mut [u8], src: &[u8]) -> Result<(), Error> {
        self.check(dst, src)?;
        self.factors.mul(0, dst, src);
        Ok(())
    }

    /// `code ^= coefficient * (old ^ new)` over equally long regions, in one pass.
    ///
    /// # Errors
    /// As [`mul_add`](Self::mul_add).
    #[inline]
    pub fn update(&self, code: &mut [u8], old: &[u8], new: &[u8]) -> Result<(), Error> {
        self.check(code, old)?;
        self.check(code, new)?;
        match &self.direct {
            Some(direct) => direct.update(code, old, new),
            None => self.factors.update(0, code, old, new),
        }
        Ok(())
    }

    #[inline]
    fn check(&self, dst: &[u8], src: &[u8]) -> Result<(), Error> {
        if dst.len() == src.len() && self.w.divides(dst.len()) {
            return Ok(());
        }
        self.refuse(dst.len(), src.len())
    }

    /// Apart, so that it does not weigh on what is called for every few bytes.
    #[cold]
    fn refuse(&self, expected: usize, got: usize) -> Result<(), Error> {
        if got != expected {
            return Err(Error::LengthMismatch { expected, got });
        }
        self.w.check_length(got)
    }
}
