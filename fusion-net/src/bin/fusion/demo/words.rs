//! Words of a text of any length, in memory for one word.

use std::io::{self, BufRead};

/// A longer word is cut: what has no spaces is no text.
const MAX_WORD_BYTES: usize = 128;

/// Calls `take` with each word in lower case. What is not UTF-8 counts as U+FFFD, which is no letter.
pub(crate) struct Words<R> {
    reader: R,
    word: Vec<u8>,
    /// Bytes read so far.
    pub(crate) bytes: u64,
}

impl<R: BufRead> Words<R> {
    /// The words of `reader`.
    pub(crate) fn new(reader: R) -> Words<R> {
        Words {
            reader,
            word: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes the words of the next block; `false` at the end.
    pub(crate) fn block(&mut self, mut take: impl FnMut(String)) -> io::Result<bool> {
        let block = self.reader.fill_buf()?;
        for &byte in block {
            if byte.is_ascii_alphanumeric() || byte == b'\'' || !byte.is_ascii() {
                self.word.push(byte);
            }
            // A cut goes between characters: a byte that only continues one is waited for.
            let full = self.word.len() >= MAX_WORD_BYTES && byte.is_ascii();
            if full || !(byte.is_ascii_alphanumeric() || byte == b'\'' || !byte.is_ascii()) {
                finish(&mut self.word, &mut take);
            }
            if self.word.len() >= 2 * MAX_WORD_BYTES {
                finish(&mut self.word, &mut take);
            }
        }
        let len = block.len();
        self.reader.consume(len);
        self.bytes += len as u64;
        if len == 0 {
            finish(&mut self.word, &mut take);
        }
        Ok(len > 0)
    }
}

fn finish(word: &mut Vec<u8>, take: &mut impl FnMut(String)) {
    let text = String::from_utf8_lossy(word).to_lowercase();
    // Quotes and dashes beyond ASCII end words too.
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '\'') {
        let word = word.trim_matches('\'');
        if !word.is_empty() {
            take(word.to_owned());
        }
    }
    word.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[u8], block: usize) -> Vec<String> {
        let mut words = Words::new(io::BufReader::with_capacity(block, text));
        let mut all = Vec::new();
        while words.block(|word| all.push(word)).unwrap() {}
        all
    }

    #[test]
    fn words_are_the_same_however_the_text_is_cut_into_blocks() {
        let text = "The cat's \u{201c}na\u{ef}ve\u{201d} 'hat'\u{2014}the\r\nend".as_bytes();
        let expected = ["the", "cat's", "na\u{ef}ve", "hat", "the", "end"];
        for block in 1..text.len() {
            assert_eq!(words(text, block), expected, "blocks of {block}");
        }
    }

    #[test]
    fn what_is_no_text_is_taken_as_it_comes() {
        assert_eq!(words(b"", 8), [""; 0]);
        assert_eq!(words(b"a\xff\xfeb\0c", 8), ["a", "b", "c"]);
        let long = words(&[b'x'; 1000], 64);
        assert!(long.iter().all(|w| w.len() <= MAX_WORD_BYTES) && long.concat().len() == 1000);
        assert_eq!(words(&[0xff; 1000], 64), [""; 0]);
    }
}
