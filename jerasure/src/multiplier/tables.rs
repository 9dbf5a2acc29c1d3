//! Products looked up: for short regions, and for w = 32.

use std::array;
use std::sync::Arc;

use crate::WordSize;

/// Every product in GF(2^8): row a holds a times 0, 1, ... 255.
static PRODUCTS: [[u8; 256]; 256] = products();

/// The products of one coefficient with every value of each byte of a word. Their XOR over a word's bytes is the
/// product with the word, because multiplication distributes over XOR.
#[derive(Debug, Clone)]
pub(super) enum Tables {
    W8(&'static [u8; 256]),
    W16(Arc<[[u16; 256]; 2]>),
    W32(Arc<[[u32; 256]; 4]>),
}

impl Tables {
    pub(super) fn new(w: WordSize, coefficient: u32) -> Self {
        // Table i starts at coefficient * x^(8 i), and each further bit doubles it.
        let mut power = coefficient;
        let mut table = || {
            let mut table = [0; 256];
            for bit in 0..8 {
                for low in 0..1 << bit {
                    table[1 << bit | low] = table[low] ^ power;
                }
                power = double(w, power);
            }
            table
        };
        match w {
            WordSize::W8 => Self::W8(&PRODUCTS[coefficient as usize]),
            WordSize::W16 => Self::W16(Arc::new(array::from_fn(|_| {
                table().map(|product| product as u16)
            }))),
            _ => Self::W32(Arc::new(array::from_fn(|_| table()))),
        }
    }

    /// `dst ^= coefficient * src` over equally long regions of whole words.
    pub(super) fn mul_add(&self, dst: &mut [u8], src: &[u8]) {
        self.each_word(dst, src, |dst, product| *dst ^= product);
    }

    /// `dst = coefficient * src` over equally long regions of whole words.
    pub(super) fn mul(&self, dst: &mut [u8], src: &[u8]) {
        self.each_word(dst, src, |dst, product| *dst = product);
    }

    /// Hands each byte of `dst` and of the product to `store`.
    #[inline(always)]
    fn each_word(&self, dst: &mut [u8], src: &[u8], store: impl Fn(&mut u8, u8)) {
        match self {
            Self::W8(table) => {
                for (d, s) in dst.iter_mut().zip(src) {
                    store(d, table[usize::from(*s)]);
                }
            }
            Self::W16(tables) => {
                let [low, high] = &**tables;
                for (d, s) in dst.as_chunks_mut().0.iter_mut().zip(src.as_chunks().0) {
                    let word = u16::from_ne_bytes(*s);
                    let product = low[usize::from(word & 0xff)] ^ high[usize::from(word >> 8)];
                    store_each(d, product.to_ne_bytes(), &store);
                }
            }
            Self::W32(tables) => {
                for (d, s) in dst.as_chunks_mut().0.iter_mut().zip(src.as_chunks().0) {
                    let bytes = u32::from_ne_bytes(*s).to_le_bytes();
                    let product = (0..4).fold(0, |sum, i| sum ^ tables[i][usize::from(bytes[i])]);
                    store_each(d, product.to_ne_bytes(), &store);
                }
            }
        }
    }
}

#[inline(always)]
fn store_each<const N: usize>(dst: &mut [u8; N], product: [u8; N], store: impl Fn(&mut u8, u8)) {
    for (d, p) in dst.iter_mut().zip(product) {
        store(d, p);
    }
}

/// The product with x, the element 2.
const fn double(w: WordSize, a: u32) -> u32 {
    let doubled = (a << 1) & w.max_element();
    if a >> (w.bits() - 1) == 0 {
        doubled
    } else {
        doubled ^ w.polynomial()
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
