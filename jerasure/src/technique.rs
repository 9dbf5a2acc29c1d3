//! The ways to make a code.

use std::fmt;
use std::str::FromStr;

use crate::{BitMatrix, CodeParams, Error, Matrix, cauchy, minimal_density, vandermonde};

/// How a code's matrix is made, and whether it works on words or on packets; part of the format of stored data.
///
/// Techniques on words take w of 8, 16 or 32; a shard is a sequence of words. Techniques on packets need
/// [`CodeParams::with_packet_bytes`]; a shard is a sequence of stripes of w packets, and coding is XOR alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Technique {
    /// Reed-Solomon on words by a systematic Vandermonde matrix ([`Matrix::reed_sol_van`]). Row 0 and column 0 are all
    /// ones, so the first coding shard is the XOR of the data shards. Any m losses are recoverable.
    ReedSolVan,
    /// RAID-6 on words ([`Matrix::reed_sol_r6`]): m is 2, k at most 2^w - 1.
    ReedSolR6,
    /// Reed-Solomon on packets by a Cauchy matrix ([`Matrix::cauchy_original`]): any w, k + m at most 2^w.
    CauchyOrig,
    /// The same with a matrix of fewer ones, and so fewer XORs ([`Matrix::cauchy_good`]): for m = 2 and w of 2 to 10
    /// also k = 2^w - 1.
    CauchyGood,
    /// RAID-6 on packets ([`BitMatrix::liberation`]): m is 2, w an odd prime, k at most w.
    Liberation,
    /// RAID-6 on packets ([`BitMatrix::blaum_roth`]): m is 2, w above 2 and w + 1 a prime, k at most w.
    BlaumRoth,
    /// RAID-6 on packets ([`BitMatrix::liber8tion`]): m is 2, w is 8, k at most 8.
    Liber8tion,
}

/// A code's matrix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Generator {
    /// m rows of k elements, for words.
    Words(Matrix),
    /// m * w rows of k * w bits, for packets.
    Packets {
        /// What the bits were made of, m rows of k elements, if that is so.
        matrix: Option<Matrix>,
        bits: BitMatrix,
    },
}

impl Technique {
    /// All techniques, in Jerasure's order.
    pub const ALL: [Self; 7] = [
        Self::ReedSolVan,
        Self::ReedSolR6,
        Self::CauchyOrig,
        Self::CauchyGood,
        Self::Liberation,
        Self::BlaumRoth,
        Self::Liber8tion,
    ];

    /// The name that Jerasure's `encoder` has for it, as in `reed_sol_van`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReedSolVan => "reed_sol_van",
            Self::ReedSolR6 => "reed_sol_r6_op",
            Self::CauchyOrig => "cauchy_orig",
            Self::CauchyGood => "cauchy_good",
            Self::Liberation => "liberation",
            Self::BlaumRoth => "blaum_roth",
            Self::Liber8tion => "liber8tion",
        }
    }

    /// Whether it works on packets rather than on words.
    pub const fn uses_packets(self) -> bool {
        !matches!(self, Self::ReedSolVan | Self::ReedSolR6)
    }

    /// Checks what this technique asks of a shape.
    ///
    /// # Errors
    /// [`Error::WordSize`] for a w that it does not have; [`Error::CodingShards`] for a RAID-6 technique unless m is 2;
    /// [`Error::TooManyShards`] or [`Error::TooManyDataShards`] for more shards than its matrix can have;
    /// [`Error::PacketsUnused`] or [`Error::PacketsNeeded`] if a packet size is given or missing;
    /// [`Error::MatrixTooLarge`] if its bit matrix, or one that decodes, has more bits than an `int` can number.
    pub fn check(self, params: CodeParams) -> Result<(), Error> {
        let (k, m, w) = (params.k(), params.m(), params.w());
        match self {
            Self::ReedSolVan => w
                .check_region()
                .and_then(|()| vandermonde::check_points(k, m, w))?,
            Self::ReedSolR6 => vandermonde::check_r6(k, w)?,
            Self::CauchyOrig => vandermonde::check_points(k, m, w)?,
            Self::CauchyGood => cauchy::check_good(k, m, w)?,
            Self::Liberation => minimal_density::check_liberation(k, w)?,
            Self::BlaumRoth => minimal_density::check_blaum_roth(k, w)?,
            Self::Liber8tion => minimal_density::check_liber8tion(k, w)?,
        }
        self.check_coding_shards(m)?;
        let technique = self.name();
        if !self.uses_packets() {
            return match params.packet_bytes() {
                Some(_) => Err(Error::PacketsUnused { what: technique }),
                None => Ok(()),
            };
        }
        if params.packet_bytes().is_none() {
            return Err(Error::PacketsNeeded { technique });
        }
        let (rows, cols) = (k.max(m) * w.bits() as usize, k * w.bits() as usize);
        match rows.checked_mul(cols).map(i32::try_from) {
            Some(Ok(_)) => Ok(()),
            _ => Err(Error::MatrixTooLarge { rows, cols }),
        }
    }

    /// Makes the code's matrix.
    pub(crate) fn generator(self, params: CodeParams) -> Result<Generator, Error> {
        self.check(params)?;
        let (k, m, w) = (params.k(), params.m(), params.w());
        let of_bits = |bits| Generator::Packets { matrix: None, bits };
        match self {
            Self::ReedSolVan => Matrix::reed_sol_van(k, m, w).map(Generator::Words),
            Self::ReedSolR6 => Matrix::reed_sol_r6(k, w).map(Generator::Words),
            Self::CauchyOrig => Matrix::cauchy_original(k, m, w).and_then(Generator::expanded),
            Self::CauchyGood => Matrix::cauchy_good(k, m, w).and_then(Generator::expanded),
            Self::Liberation => BitMatrix::liberation(k, w).map(of_bits),
            Self::BlaumRoth => BitMatrix::blaum_roth(k, w).map(of_bits),
            Self::Liber8tion => BitMatrix::liber8tion(k).map(of_bits),
        }
    }

    fn check_coding_shards(self, m: usize) -> Result<(), Error> {
        match self {
            Self::ReedSolVan | Self::CauchyOrig | Self::CauchyGood => Ok(()),
            Self::ReedSolR6 | Self::Liberation | Self::BlaumRoth | Self::Liber8tion if m == 2 => {
                Ok(())
            }
            _ => Err(Error::CodingShards {
                technique: self.name(),
                m,
                expected: 2,
            }),
        }
    }
}

impl Generator {
    /// A coding matrix of the caller's own, for words or, if a packet size is given, for packets.
    pub(crate) fn of_matrix(params: CodeParams, matrix: Matrix) -> Result<Self, Error> {
        matrix.check_shape(params.m(), params.k())?;
        let (got, w) = (matrix.word_size(), params.w());
        if got != w {
            let allowed = "the matrix's own w";
            return Err(Error::WordSize {
                w: w.bits(),
                allowed,
            });
        }
        if params.packet_bytes().is_some() {
            return Self::expanded(matrix);
        }
        w.check_region()?;
        Ok(Self::Words(matrix))
    }

    /// A coding bit matrix of the caller's own.
    pub(crate) fn of_bit_matrix(params: CodeParams, bits: BitMatrix) -> Result<Self, Error> {
        let w = params.w().bits() as usize;
        bits.check_shape(params.m() * w, params.k() * w)?;
        Ok(Self::Packets { matrix: None, bits })
    }

    /// A matrix over words, to be used on packets.
    pub(crate) fn expanded(matrix: Matrix) -> Result<Self, Error> {
        let bits = matrix.to_bit_matrix()?;
        Ok(Self::Packets {
            matrix: Some(matrix),
            bits,
        })
    }
}

impl fmt::Display for Technique {
    /// The [name](Technique::name).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Technique {
    type Err = Error;

    /// Takes a [name](Technique::name), as it is written there.
    ///
    /// # Errors
    /// [`Error::UnknownTechnique`].
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|technique| technique.name() == name)
            .ok_or_else(|| Error::UnknownTechnique { name: name.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WordSize;

    fn params(k: usize, m: usize, w: u32) -> CodeParams {
        CodeParams::new(k, m, WordSize::new(w).unwrap()).unwrap()
    }

    fn packets(k: usize, m: usize, w: u32) -> CodeParams {
        params(k, m, w).with_packet_bytes(8).unwrap()
    }

    #[test]
    fn names_parse_back_and_others_do_not() {
        for technique in Technique::ALL {
            assert_eq!(technique.to_string().parse(), Ok(technique));
        }
        for name in [
            "",
            "reed_sol",
            "REED_SOL_VAN",
            "reed_sol_van ",
            "rdp",
            "no_coding",
        ] {
            let name = name.to_string();
            assert_eq!(
                name.parse::<Technique>(),
                Err(Error::UnknownTechnique { name })
            );
        }
    }

    #[test]
    fn what_is_checked_has_a_matrix_of_its_shape() {
        for technique in Technique::ALL {
            for w in 1..=32 {
                for (k, m) in [(1, 1), (1, 2), (2, 2), (3, 2), (8, 2), (4, 3), (6, 4)] {
                    let w = WordSize::new(w).unwrap();
                    let Ok(mut params) = CodeParams::new(k, m, w) else {
                        continue;
                    };
                    if technique.uses_packets() {
                        params = params.with_packet_bytes(8).unwrap();
                    }
                    let checked = technique.check(params);
                    let generator = technique.generator(params);
                    assert_eq!(checked.err(), generator.as_ref().err().cloned());
                    let bits = w.bits() as usize;
                    match generator {
                        Ok(Generator::Words(matrix)) => {
                            assert!(!technique.uses_packets());
                            assert_eq!((matrix.rows(), matrix.cols()), (m, k));
                        }
                        Ok(Generator::Packets { bits: matrix, .. }) => {
                            assert!(technique.uses_packets());
                            assert_eq!((matrix.rows(), matrix.cols()), (m * bits, k * bits));
                        }
                        Err(_) => {}
                    }
                }
            }
        }
    }

    #[test]
    fn packets_are_given_where_they_are_used() {
        for technique in Technique::ALL {
            let w = match technique {
                Technique::Liberation => 7,
                Technique::BlaumRoth => 6,
                _ => 8,
            };
            let (with, without) = (packets(3, 2, w), params(3, 2, w));
            let name = technique.name();
            if technique.uses_packets() {
                let needed = Err(Error::PacketsNeeded { technique: name });
                assert_eq!(technique.check(without), needed);
                assert_eq!(technique.check(with), Ok(()));
            } else {
                let unused = Err(Error::PacketsUnused { what: name });
                assert_eq!(technique.check(with), unused);
                assert_eq!(technique.check(without), Ok(()));
            }
        }
    }

    #[test]
    fn bit_matrices_that_overflow_an_int_are_refused() {
        // 2 * 900 * 32 * 32 bits to encode fit; 900 * 900 * 32 * 32 to decode fit; 1449 * 32 squared does not.
        for technique in [Technique::CauchyOrig, Technique::CauchyGood] {
            assert_eq!(technique.check(packets(1448, 2, 32)), Ok(()));
            assert_eq!(
                technique.check(packets(1449, 2, 32)),
                Err(Error::MatrixTooLarge {
                    rows: 46_368,
                    cols: 46_368
                })
            );
            assert!(matches!(
                technique.check(packets(2, 40_000_000 / 1024, 32)),
                Ok(())
            ));
            assert!(matches!(
                technique.check(packets(100, 40_000, 32)),
                Err(Error::MatrixTooLarge { .. })
            ));
        }
    }
}
