//! Products looked up, in plain Rust: for machines without the instructions of the other engines, and for Miri.

use std::array;
use std::fmt::Debug;
use std::ops::BitXor;
use std::sync::Arc;

use super::factors::{Factors, Xor, check_dot, check_regions};
use super::maps::double;
use crate::memory;
use crate::shards::blocks_of;
use crate::{Error, WordSize};

/// Prepares factors.
pub(super) fn prepare(w: WordSize, elements: &[u32]) -> Result<Arc<dyn Factors>, Error> {
    Ok(match w {
        WordSize::W8 => Arc::new(Scalar::<u8>::new(elements)?),
        WordSize::W16 => Arc::new(Scalar::<u16>::new(elements)?),
        _ => Arc::new(Scalar::<u32>::new(elements)?),
    })
}

/// Factors, each with its small tables; large ones are made where a region is long enough to repay them.
#[derive(Debug)]
struct Scalar<W: Word> {
    factors: Box<[W::Factor]>,
    /// Which factors are 1: the first row of most matrices.
    ones: Box<[bool]>,
}

/// Bytes of a region worked on at a time where several sources are added: they stay in the second-level cache, and are
/// many enough for large tables.
const BLOCK: usize = 32768;

/// Bytes of a region from which on large tables are repaid.
const LONG: usize = 1024;

impl<W: Word> Scalar<W> {
    fn new(elements: &[u32]) -> Result<Self, Error> {
        let factors = elements.iter().map(|&element| W::factor(element));
        let ones = elements.iter().map(|&element| element == 1);
        Ok(Self {
            factors: memory::list(elements.len(), factors)?.into(),
            ones: memory::list(elements.len(), ones)?.into(),
        })
    }

    /// Each word of `dst` becomes what `store` makes of it and of the factor's product with the word of `src`.
    #[inline(always)]
    fn each(
        &self,
        index: usize,
        dst: &mut [u8],
        src: impl Iterator<Item = W>,
        store: impl Fn(W, W) -> W,
    ) {
        let factor = &self.factors[index];
        let long = dst.len() >= LONG;
        let words = dst.chunks_exact_mut(size_of::<W>()).zip(src);
        if long {
            let table = W::table(factor);
            for (dst, src) in words {
                store(W::read(dst), W::look_up(&table, src)).write(dst);
            }
        } else {
            for (dst, src) in words {
                store(W::read(dst), W::product(factor, src)).write(dst);
            }
        }
    }
}

/// The words of a region.
#[inline(always)]
fn words<W: Word>(region: &[u8]) -> impl Iterator<Item = W> {
    region.chunks_exact(size_of::<W>()).map(W::read)
}

impl<W: Word> Factors for Scalar<W> {
    fn mul(&self, index: usize, dst: &mut [u8], src: &[u8]) {
        check_regions(size_of::<W>(), dst.len(), &[src.len()]);
        if self.ones[index] {
            return dst.copy_from_slice(src);
        }
        self.each(index, dst, words(src), |_, product| product);
    }

    fn mul_add(&self, index: usize, dst: &mut [u8], src: &[u8]) {
        check_regions(size_of::<W>(), dst.len(), &[src.len()]);
        if self.ones[index] {
            return ScalarXor.xor_add(dst, src);
        }
        self.each(index, dst, words(src), BitXor::bitxor);
    }

    fn update(&self, index: usize, code: &mut [u8], old: &[u8], new: &[u8]) {
        check_regions(size_of::<W>(), code.len(), &[old.len(), new.len()]);
        let difference = words::<W>(old).zip(words(new)).map(|(old, new)| old ^ new);
        self.each(index, code, difference, BitXor::bitxor);
    }

    fn dot(&self, first: usize, sources: &[&[u8]], outputs: &mut [&mut [u8]]) {
        let bytes = check_dot(self.factors.len(), size_of::<W>(), first, sources, outputs);
        for block in blocks_of::<BLOCK>(bytes) {
            for (row, output) in outputs.iter_mut().enumerate() {
                let output = &mut output[block.clone()];
                let first = first + row * sources.len();
                if sources.is_empty() {
                    output.fill(0);
                }
                for (col, source) in sources.iter().enumerate() {
                    let source = &source[block.clone()];
                    match col {
                        0 => self.mul(first, output, source),
                        _ => self.mul_add(first + col, output, source),
                    }
                }
            }
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.factors) + size_of_val(&*self.ones)
    }
}

/// A word of a region: u8, u16 or u32.
trait Word: Copy + BitXor<Output = Self> + Debug + Send + Sync + 'static {
    /// What is kept of a factor.
    type Factor: Debug + Send + Sync;
    /// What is made of it for a long region.
    type Table;

    fn read(bytes: &[u8]) -> Self;
    fn write(self, bytes: &mut [u8]);
    fn factor(element: u32) -> Self::Factor;
    fn table(factor: &Self::Factor) -> Self::Table;
    fn product(factor: &Self::Factor, word: Self) -> Self;
    fn look_up(table: &Self::Table, word: Self) -> Self;
}

/// Every product in GF(2^8): row a holds a times 0, 1, ... 255.
static PRODUCTS: [[u8; 256]; 256] = products();

impl Word for u8 {
    type Factor = &'static [u8; 256];
    type Table = &'static [u8; 256];

    #[inline(always)]
    fn read(bytes: &[u8]) -> Self {
        bytes[0]
    }

    #[inline(always)]
    fn write(self, bytes: &mut [u8]) {
        bytes[0] = self;
    }

    fn factor(element: u32) -> Self::Factor {
        &PRODUCTS[element as usize]
    }

    #[inline(always)]
    fn table(factor: &Self::Factor) -> Self::Table {
        factor
    }

    #[inline(always)]
    fn product(factor: &Self::Factor, word: Self) -> Self {
        factor[usize::from(word)]
    }

    #[inline(always)]
    fn look_up(table: &Self::Table, word: Self) -> Self {
        table[usize::from(word)]
    }
}

/// Words of several bytes: the product is the sum of the products with each four bits of the word, or with each byte,
/// because multiplication distributes over addition.
macro_rules! wide_word {
    ($word:ty, $w:expr, $bytes:literal) => {
        impl Word for $word {
            type Factor = [[$word; 16]; 2 * $bytes];
            type Table = [[$word; 256]; $bytes];

            #[inline(always)]
            fn read(bytes: &[u8]) -> Self {
                Self::from_ne_bytes(bytes.try_into().expect("one word"))
            }

            #[inline(always)]
            fn write(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_ne_bytes());
            }

            fn factor(element: u32) -> Self::Factor {
                // Table i starts at the element times x^(4 i), and each further bit doubles it.
                let mut power = element;
                array::from_fn(|_| {
                    let mut table = [0; 16];
                    for bit in 0..4 {
                        for low in 0..1 << bit {
                            table[1 << bit | low] = table[low] ^ power as $word;
                        }
                        power = double($w, power);
                    }
                    table
                })
            }

            #[inline(always)]
            fn table(factor: &Self::Factor) -> Self::Table {
                array::from_fn(|byte| {
                    let (low, high) = (&factor[2 * byte], &factor[2 * byte + 1]);
                    array::from_fn(|value| low[value & 15] ^ high[value >> 4])
                })
            }

            #[inline(always)]
            fn product(factor: &Self::Factor, word: Self) -> Self {
                (0..2 * $bytes).fold(0, |sum, i| {
                    sum ^ factor[i][usize::from((word >> (4 * i)) as u8 & 15)]
                })
            }

            #[inline(always)]
            fn look_up(table: &Self::Table, word: Self) -> Self {
                (0..$bytes).fold(0, |sum, i| {
                    sum ^ table[i][usize::from((word >> (8 * i)) as u8)]
                })
            }
        }
    };
}

wide_word!(u16, WordSize::W16, 2);
wide_word!(u32, WordSize::W32, 4);

/// Sums of regions in plain Rust.
#[derive(Debug)]
pub(super) struct ScalarXor;

impl Xor for ScalarXor {
    fn xor_many(&self, dst: &mut [u8], sources: &[&[u8]]) {
        let Some((first, others)) = sources.split_first() else {
            return dst.fill(0);
        };
        for block in blocks_of::<BLOCK>(dst.len()) {
            let dst = &mut dst[block.clone()];
            dst.copy_from_slice(&first[block.clone()]);
            for source in others {
                self.xor_add(dst, &source[block.clone()]);
            }
        }
    }

    fn xor_add(&self, dst: &mut [u8], src: &[u8]) {
        assert_eq!(dst.len(), src.len(), "unequal regions");
        for (d, s) in dst.iter_mut().zip(src) {
            *d ^= s;
        }
    }
}

const fn products() -> [[u8; 256]; 256] {
    let mut products = [[0; 256]; 256];
    let mut a = 1;
    while a < 256 {
        let mut power = a as u32;
        let mut bit = 0;
        while bit < 8 {
            let mut low = 0;
            while low < 1 << bit {
                products[a][1 << bit | low] = products[a][low] ^ power as u8;
                low += 1;
            }
            power = double(WordSize::W8, power);
            bit += 1;
        }
        a += 1;
    }
    products
}
