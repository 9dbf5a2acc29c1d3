//! The engines: implementations of the same arithmetic for different machines.

#[allow(
    unsafe_code,
    reason = "a factor is named by a pointer whose type is lost"
)]
mod direct;
mod factors;
#[allow(unsafe_code, reason = "vectors are loaded and stored by raw pointers")]
#[allow(
    clippy::needless_range_loop,
    reason = "loops over small arrays that are unrolled: several are indexed at once"
)]
mod kernel;
mod maps;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
#[allow(unsafe_code, reason = "instructions that not every machine has")]
mod neon;
#[cfg(feature = "reference")]
mod reference;
mod scalar;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "instructions that not every machine has")]
mod x86;

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

pub(crate) use direct::Direct;
pub(crate) use factors::{Factors, Xor};

use crate::{Error, WordSize};

/// What multiplies and adds regions: the instructions that codes run on. All give the same bytes.
///
/// The environment variable `JERASURE_ENGINE` holds the name of the one to use. Where it is not set, empty or `auto`,
/// the [best](Self::best) is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Engine {
    /// The C library, called as its users call it: what the others are compared with. Only with the crate's feature
    /// `reference`, which is on by default.
    Reference,
    /// Tables and plain Rust, on every machine.
    Scalar,
    /// AVX2: 32 products by byte shuffles, four bits of the factor at a time.
    Avx2,
    /// GFNI and AVX2: 32 products by one bit-matrix instruction.
    Gfni256,
    /// GFNI and AVX-512 (F, BW, VL): 64 products by one bit-matrix instruction.
    Gfni512,
    /// NEON, on little-endian 64-bit ARM: 16 products by byte shuffles.
    Neon,
}

impl Engine {
    /// All engines, also those that this machine cannot run; slow before fast.
    pub const ALL: [Self; 6] = [
        Self::Reference,
        Self::Scalar,
        Self::Avx2,
        Self::Gfni256,
        Self::Gfni512,
        Self::Neon,
    ];

    /// The engines that this machine can run.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|engine| engine.is_available())
    }

    /// Whether this machine can run the engine.
    pub fn is_available(self) -> bool {
        match self {
            // Miri runs no C.
            Self::Reference => cfg!(all(feature = "reference", not(miri))),
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni256 => x86::Gfni256::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni512 => x86::Gfni512::detect().is_some(),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => neon::Neon::detect().is_some(),
            _ => false,
        }
    }

    /// The fastest engine that this machine can run.
    pub fn best() -> Self {
        Self::available().last().unwrap_or(Self::Scalar)
    }

    /// The engine that is used where none is asked for: the one named by the environment variable `JERASURE_ENGINE`, or
    /// the [best](Self::best). The variable is read once a process.
    ///
    /// # Errors
    /// [`Error::UnknownEngine`] or [`Error::EngineUnavailable`] for what the variable names, now and in every later call.
    pub fn selected() -> Result<Self, Error> {
        static SELECTED: OnceLock<Result<Engine, Error>> = OnceLock::new();
        SELECTED
            .get_or_init(|| {
                let name = std::env::var_os("JERASURE_ENGINE").unwrap_or_default();
                match name.to_string_lossy().trim() {
                    "" | "auto" => Ok(Self::best()),
                    name => name.parse::<Self>()?.check(),
                }
            })
            .clone()
    }

    /// The name that [`FromStr`] takes, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Gfni256 => "gfni256",
            Self::Gfni512 => "gfni512",
            Self::Neon => "neon",
        }
    }

    /// Prepares a list of factors, usually a matrix row after row, for multiplying regions of words of w bits.
    ///
    /// # Errors
    /// [`Error::WordSize`] unless w is 8, 16 or 32; [`Error::NotAnElement`] for a factor of 2^w or more;
    /// [`Error::EngineUnavailable`]; [`Error::OutOfMemory`].
    pub(crate) fn prepare(self, w: WordSize, elements: &[u32]) -> Result<Arc<dyn Factors>, Error> {
        w.check_region()?;
        elements
            .iter()
            .try_for_each(|&element| w.check_element(element))?;
        let factors: Option<Result<Arc<dyn Factors>, Error>> = match self {
            #[cfg(feature = "reference")]
            Self::Reference if self.is_available() => {
                let made = reference::Reference::new(w, elements);
                Some(made.map(|made| Arc::new(made) as Arc<dyn Factors>))
            }
            Self::Scalar => Some(scalar::prepare(w, elements)),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::Avx2::detect().map(|isa| kernel::prepare(isa, w, elements)),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni256 => x86::Gfni256::detect().map(|isa| kernel::prepare(isa, w, elements)),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni512 => x86::Gfni512::detect().map(|isa| kernel::prepare(isa, w, elements)),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => neon::Neon::detect().map(|isa| kernel::prepare(isa, w, elements)),
            _ => None,
        };
        factors.unwrap_or_else(|| Err(self.unavailable()))
    }

    /// The engine's sums of regions.
    ///
    /// # Errors
    /// [`Error::EngineUnavailable`].
    pub(crate) fn xor(self) -> Result<&'static dyn Xor, Error> {
        let sums: Option<&'static dyn Xor> = match self {
            #[cfg(feature = "reference")]
            Self::Reference if self.is_available() => Some(&reference::ReferenceXor),
            Self::Scalar => Some(&scalar::ScalarXor),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => x86::Avx2::detect().map(kernel::sums),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni256 => x86::Gfni256::detect().map(kernel::sums),
            #[cfg(target_arch = "x86_64")]
            Self::Gfni512 => x86::Gfni512::detect().map(kernel::sums),
            #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
            Self::Neon => neon::Neon::detect().map(kernel::sums),
            _ => None,
        };
        sums.ok_or_else(|| self.unavailable())
    }

    pub(crate) fn check(self) -> Result<Self, Error> {
        if self.is_available() {
            Ok(self)
        } else {
            Err(self.unavailable())
        }
    }

    fn unavailable(self) -> Error {
        let available: Vec<&str> = Self::available().map(Self::name).collect();
        Error::EngineUnavailable {
            engine: self.name(),
            available: available.join(", "),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Engine {
    type Err = Error;

    /// Takes what [`Engine::name`] gives.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|engine| engine.name() == name)
            .ok_or_else(|| Error::UnknownEngine { name: name.into() })
    }
}

#[cfg(test)]
mod tests;
