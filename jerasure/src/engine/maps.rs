//! Products as linear maps: what a factor does to each bit of a word.

use crate::WordSize;

/// The product with x, the element 2.
pub(super) const fn double(w: WordSize, a: u32) -> u32 {
    let doubled = (a << 1) & w.max_element();
    if a >> (w.bits() - 1) == 0 {
        doubled
    } else {
        doubled ^ w.polynomial()
    }
}
