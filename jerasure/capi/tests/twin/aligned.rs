//! Memory as upstream's regions want it.

use std::ffi::c_char;

/// Bytes at an address that upstream takes.
pub struct Aligned {
    words: Vec<u128>,
    bytes: usize,
}

impl Aligned {
    pub fn new(bytes: &[u8]) -> Aligned {
        let words = bytes.chunks(16).map(|chunk| {
            let mut word = [0; 16];
            word[..chunk.len()].copy_from_slice(chunk);
            u128::from_ne_bytes(word)
        });
        Aligned {
            words: words.collect(),
            bytes: bytes.len(),
        }
    }

    pub fn pointer(&mut self) -> *mut c_char {
        self.words.as_mut_ptr().cast()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let all = self.words.iter().flat_map(|word| word.to_ne_bytes());
        all.take(self.bytes).collect()
    }
}
