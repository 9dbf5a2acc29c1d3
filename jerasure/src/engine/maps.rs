//! Products as linear maps: what a factor does to the bits of a word.
//!
//! A factor of GF(2^w) is a w by w matrix of bits. It is cut into blocks of 8 by 8, each of which maps one byte of a word
//! to one byte of the product; w = 8 has one block, w = 16 four, w = 32 sixteen.

use crate::WordSize;

/// One block in the form that an instruction takes.
pub(super) trait Map: Copy + std::fmt::Debug + Send + Sync + 'static {
    /// The blocks of all factors of GF(2^8).
    const BYTES: &'static [Self; 256];

    /// `columns[i]` is what bit i alone is mapped to.
    fn new(columns: [u8; 8]) -> Self;
}

/// The blocks of a factor: `[i][j]` maps byte j of a word to its share of byte i of the product. Bytes are counted from
/// the least significant.
pub(super) type Blocks<M, const P: usize> = [[M; P]; P];

/// The blocks of an element of the field of w = 8 P.
pub(super) fn blocks<M: Map, const P: usize>(w: WordSize, element: u32) -> Blocks<M, P> {
    assert_eq!(w.bits() as usize, 8 * P);
    if P == 1 {
        return [[M::BYTES[element as usize]; P]; P];
    }
    // What bit i of the word alone gives: the element times x^i, each twice the one before.
    let powers = std::iter::successors(Some(element), |&power| Some(double(w, power)));
    let mut columns = [[[0; 8]; P]; P];
    for (bit, power) in powers.take(8 * P).enumerate() {
        for (row, byte) in columns.iter_mut().zip(power.to_le_bytes()) {
            row[bit / 8][bit % 8] = byte;
        }
    }
    columns.map(|row| row.map(M::new))
}

/// A block as eight rows of eight bits for `vgf2p8affineqb`, which takes the row of bit 0 from the highest byte
/// (Intel's instruction set reference).
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(super) struct Affine(pub(super) u64);

#[cfg(target_arch = "x86_64")]
impl Affine {
    const fn of(columns: [u8; 8]) -> Self {
        let mut rows = 0;
        let mut bit = 0;
        while bit < 8 {
            // Bit `bit` of each column, spread to one bit of each byte, column 0 into the least significant bit.
            let mut column = 0;
            while column < 8 {
                let set = (columns[column] >> bit & 1) as u64;
                rows |= set << (8 * (7 - bit) + column);
                column += 1;
            }
            bit += 1;
        }
        Self(rows)
    }
}

#[cfg(target_arch = "x86_64")]
impl Map for Affine {
    const BYTES: &'static [Self; 256] = {
        static BLOCKS: [Affine; 256] = {
            let mut blocks = [Affine(0); 256];
            let mut element = 0;
            while element < 256 {
                blocks[element] = Affine::of(columns(element as u32));
                element += 1;
            }
            blocks
        };
        &BLOCKS
    };

    fn new(columns: [u8; 8]) -> Self {
        Self::of(columns)
    }
}

/// A block as what each value of the lower and of the higher four bits is mapped to, for byte shuffles.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Nibbles {
    pub(super) low: [u8; 16],
    pub(super) high: [u8; 16],
}

impl Nibbles {
    const fn of(columns: [u8; 8]) -> Self {
        let (mut low, mut high) = ([0; 16], [0; 16]);
        let mut value = 1_usize;
        while value < 16 {
            // The highest bit and the rest, which is known already.
            let bit = value.ilog2() as usize;
            let rest = value & !(1 << bit);
            low[value] = low[rest] ^ columns[bit];
            high[value] = high[rest] ^ columns[bit + 4];
            value += 1;
        }
        Self { low, high }
    }
}

impl Map for Nibbles {
    const BYTES: &'static [Self; 256] = {
        static BLOCKS: [Nibbles; 256] = {
            let mut blocks = [Nibbles::of([0; 8]); 256];
            let mut element = 0;
            while element < 256 {
                blocks[element] = Nibbles::of(columns(element as u32));
                element += 1;
            }
            blocks
        };
        &BLOCKS
    };

    fn new(columns: [u8; 8]) -> Self {
        Self::of(columns)
    }
}

/// The one block of an element of GF(2^8): the element times each power of x.
const fn columns(element: u32) -> [u8; 8] {
    let mut columns = [0; 8];
    let mut power = element;
    let mut bit = 0;
    while bit < 8 {
        columns[bit] = power as u8;
        power = double(WordSize::W8, power);
        bit += 1;
    }
    columns
}

/// The product with x, the element 2.
pub(super) const fn double(w: WordSize, a: u32) -> u32 {
    let doubled = (a << 1) & w.max_element();
    if a >> (w.bits() - 1) == 0 {
        doubled
    } else {
        doubled ^ w.polynomial()
    }
}
