//! The metadata file of an encoding, as upstream's `encoder` writes it. No input or output, nothing but this crate's
//! `scheme` beside it: a fuzz target can include both files.
//!
//! ```text
//! report.pdf                  the file's name; nothing is ever opened by it
//! 81920                       its bytes
//! 4 2 8 1024 524288           k m w packetsize buffersize
//! cauchy_good                 the technique
//! 3                           and its number
//! 1                           read-ins: the buffers that the file was read in
//! ```
//!
//! A file of at most one buffer has 1 read-in and its own size in place of the buffer's. The file is padded to whole
//! read-ins; of each read-in, data piece i holds the i-th of k equal blocks.

use std::fmt;

use jerasure::Technique;

use crate::scheme::{Scheme, number_of};

/// Larger files are not metadata.
pub(crate) const MAX_BYTES: u64 = 16 * 1024;

/// What upstream's programs hold a size in.
pub(crate) const UPSTREAM_MAX: u64 = i32::MAX as u64;

/// An encoding, checked: no number contradicts another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata {
    name: Vec<u8>,
    size: u64,
    scheme: Scheme,
    buffer: u64,
    read_ins: u64,
}

/// Why bytes are not metadata, or a file cannot be encoded so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contradiction(String);

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Contradiction {}

impl Metadata {
    /// How upstream's `encoder` would lay out a file of `size` bytes, and the bytes of each piece.
    ///
    /// `buffer` is rounded as upstream rounds it: to the next multiple of the padding unit, or, with a packet size of
    /// 0, to the nearest one; 0 stands for the whole file.
    pub(crate) fn lay_out(
        name: &[u8],
        size: u64,
        scheme: Scheme,
        buffer: u64,
    ) -> Result<(Self, u64), Contradiction> {
        let too_large = || Contradiction("the padded file would exceed 2^64 bytes".into());
        let unit = scheme.padding_unit();
        let buffer = round_buffer(buffer, unit, scheme.packet_size()).ok_or_else(too_large)?;
        let mut padded = size.checked_next_multiple_of(unit).ok_or_else(too_large)?;
        if buffer != 0 {
            padded = padded
                .checked_next_multiple_of(buffer)
                .ok_or_else(too_large)?;
        }
        let (buffer, read_ins) = if buffer != 0 && size > buffer {
            (buffer, padded / buffer)
        } else {
            (size, 1)
        };
        // Upstream's `decoder` reads the name into a short buffer, and as one word.
        let name = name
            .iter()
            .map(|&byte| {
                if byte.is_ascii_whitespace() || byte == 0x0b {
                    b'_'
                } else {
                    byte
                }
            })
            .collect();
        let metadata = Self {
            name,
            size,
            scheme,
            buffer,
            read_ins,
        };
        Ok((metadata, padded / scheme.k() as u64))
    }

    /// Reads a metadata file and checks every number against the others.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Contradiction> {
        if bytes.len() as u64 > MAX_BYTES {
            return refuse(format!("it is larger than {MAX_BYTES} bytes"));
        }
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        // From the end, because a file's name may contain line breaks.
        let mut lines = body.rsplitn(6, |&byte| byte == b'\n');
        let mut line = |what: &str| {
            let line = lines
                .next()
                .ok_or_else(|| Contradiction(format!("the line with {what} is missing")))?;
            match std::str::from_utf8(line) {
                Ok(text) => Ok(text.trim_ascii()),
                Err(_) => refuse(format!("the line with {what} is not text")),
            }
        };
        let read_ins = number("the number of read-ins", line("the number of read-ins")?)?;
        let technique_number = number("the technique's number", line("the technique's number")?)?;
        let technique = line("the technique")?;
        let parameters = line("k, m, w, packetsize and buffersize")?;
        let size = number("the file's size", line("the file's size")?)?;
        let name = lines
            .next()
            .ok_or_else(|| Contradiction("the line with the file's name is missing".into()))?
            .to_vec();

        let technique: Technique = technique
            .parse()
            .map_err(|error: jerasure::Error| Contradiction(error.to_string()))?;
        if technique_number != number_of(technique) as u64 {
            return refuse(format!(
                "{technique} has the number {}, not {technique_number}",
                number_of(technique)
            ));
        }
        let mut values = [0; 5];
        let mut texts = parameters.split_ascii_whitespace();
        for (value, what) in values
            .iter_mut()
            .zip(["k", "m", "w", "packetsize", "buffersize"])
        {
            *value = number(what, texts.next().unwrap_or_default())?;
        }
        if let Some(extra) = texts.next() {
            return refuse(format!("{extra:?} follows the buffersize"));
        }
        let [k, m, w, packet_size, buffer] = values;
        let scheme = Scheme::new(
            technique,
            narrow("k", k)?,
            narrow("m", m)?,
            narrow("w", w)?,
            narrow("packetsize", packet_size)?,
        )
        .map_err(|error| Contradiction(error.to_string()))?;
        let metadata = Self {
            name,
            size,
            scheme,
            buffer,
            read_ins,
        };
        metadata.check_layout()?;
        Ok(metadata)
    }

    /// The file that upstream's `encoder` would write.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let scheme = &self.scheme;
        let mut bytes = self.name.clone();
        let numbers = format!(
            "\n{}\n{} {} {} {} {}\n{}\n{}\n{}\n",
            self.size,
            scheme.k(),
            scheme.m(),
            scheme.w(),
            scheme.packet_size(),
            self.buffer,
            scheme.technique(),
            number_of(scheme.technique()),
            self.read_ins
        );
        bytes.extend_from_slice(numbers.as_bytes());
        bytes
    }

    /// The name that the file had. Only good for telling the user, or choosing among names that are known already.
    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The code.
    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The buffer's size as upstream stores it: the file's, if there is one read-in.
    pub(crate) fn buffer(&self) -> u64 {
        self.buffer
    }

    /// How often the buffer was filled.
    pub(crate) fn read_ins(&self) -> u64 {
        self.read_ins
    }

    /// The bytes of every piece; `None` if the metadata does not tell, which is so for one read-in: then the padding
    /// may be of any size.
    pub(crate) fn piece_bytes(&self) -> Option<u64> {
        (self.read_ins > 1).then(|| self.read_ins * (self.buffer / self.scheme.k() as u64))
    }

    /// Whether all pieces may have so many bytes.
    pub(crate) fn allows_piece_bytes(&self, bytes: u64) -> bool {
        match self.piece_bytes() {
            Some(exact) => bytes == exact,
            None => {
                bytes.is_multiple_of(self.scheme.step())
                    && bytes >= self.size.div_ceil(self.scheme.k() as u64)
            }
        }
    }

    /// Refuses read-ins, a buffer and a size that do not belong together.
    fn check_layout(&self) -> Result<(), Contradiction> {
        let Self {
            size,
            buffer,
            read_ins,
            ..
        } = *self;
        if read_ins == 0 {
            return refuse("the number of read-ins is 0".into());
        }
        if read_ins == 1 {
            if buffer != size {
                return refuse(format!(
                    "one read-in of {buffer} bytes contradicts the file's {size} bytes"
                ));
            }
            return Ok(());
        }
        // One block of each read-in must be whole steps.
        let block = self.scheme.step().checked_mul(self.scheme.k() as u64);
        if block.is_none_or(|block| buffer == 0 || !buffer.is_multiple_of(block)) {
            return refuse(format!("a buffer of {buffer} bytes does not fit the code"));
        }
        if size.div_ceil(buffer) != read_ins || buffer.checked_mul(read_ins).is_none() {
            return refuse(format!(
                "{read_ins} read-ins of {buffer} bytes contradict the file's {size} bytes"
            ));
        }
        Ok(())
    }
}

/// Upstream's rounding; `None` beyond 64 bits.
fn round_buffer(buffer: u64, unit: u64, packet_size: u32) -> Option<u64> {
    let excess = buffer % unit;
    // Upstream searches up and down at once if there is no packet size, and only up otherwise.
    if excess != 0 && packet_size == 0 && excess < unit - excess {
        return Some(buffer - excess);
    }
    buffer.checked_next_multiple_of(unit)
}

fn refuse<T>(why: String) -> Result<T, Contradiction> {
    Err(Contradiction(why))
}

/// Plain digits only.
fn number(what: &str, text: &str) -> Result<u64, Contradiction> {
    if text.is_empty() {
        return refuse(format!("{what} is missing"));
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(number),
        _ => refuse(format!("{what} is {text:?}, not a number")),
    }
}

fn narrow<T: TryFrom<u64>>(what: &str, number: u64) -> Result<T, Contradiction> {
    T::try_from(number)
        .map_err(|_| Contradiction(format!("{what} is {number}, which is too large")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Metadata, String> {
        Metadata::parse(text.as_bytes()).map_err(|error| error.to_string())
    }

    fn scheme(k: usize, m: usize, w: u32, packet_size: u32) -> Scheme {
        Scheme::new(Technique::ReedSolVan, k, m, w, packet_size).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        for size in [0, 1, 191, 192, 193, 5000, 1 << 40] {
            for buffer in [0, 1, 95, 96, 97, 192, 4096] {
                for packet_size in [0, 5] {
                    let scheme = scheme(3, 2, 8, packet_size);
                    let (laid_out, piece) =
                        Metadata::lay_out(b"a b\n", size, scheme, buffer).unwrap();
                    let read = Metadata::parse(&laid_out.to_bytes()).unwrap();
                    assert_eq!(read, laid_out);
                    assert_eq!(read.name(), b"a_b_");
                    assert!(read.allows_piece_bytes(piece));
                    assert!(piece * 3 >= size);
                }
            }
        }
    }

    #[test]
    fn buffers_are_rounded_as_upstream_does() {
        // Up and down at once, up first; to nothing below half a unit.
        for (buffer, rounded) in [
            (0, 0),
            (95, 0),
            (96, 192),
            (97, 192),
            (192, 192),
            (287, 192),
            (288, 384),
        ] {
            assert_eq!(round_buffer(buffer, 192, 0), Some(rounded));
        }
        for (buffer, rounded) in [(0, 0), (1, 960), (960, 960), (961, 1920)] {
            assert_eq!(round_buffer(buffer, 960, 5), Some(rounded));
        }
        assert_eq!(round_buffer(u64::MAX, 192, 1), None);
    }

    #[test]
    fn a_name_may_have_spaces_and_line_breaks() {
        let read = parse("my\nold file\n5\n3 2 8 0 5\nreed_sol_van\n0\n1\n").unwrap();
        assert_eq!(read.name(), b"my\nold file");
        assert_eq!(read.size(), 5);
    }

    #[test]
    fn lies_and_garbage_are_refused() {
        let good = "a\n1000\n3 2 8 0 384\nreed_sol_van\n0\n3\n";
        assert!(parse(good).is_ok());
        for (from, to, why) in [
            ("a\n", "", "the line with the file's name is missing"),
            ("1000", "", "the file's size is missing"),
            ("1000", "+1000", "not a number"),
            ("1000", "-1", "not a number"),
            ("1000", "1e3", "not a number"),
            ("1000", "99999999999999999999999", "not a number"),
            ("1000", "1153", "3 read-ins of 384 bytes contradict"),
            ("1000", "768", "3 read-ins of 384 bytes contradict"),
            ("1000", "18446744073709551615", "contradict"),
            ("3 2 8 0 384", "3 2 8 0", "buffersize is missing"),
            (
                "3 2 8 0 384",
                "3 2 8 0 384 1",
                "\"1\" follows the buffersize",
            ),
            ("3 2 8 0 384", "0 2 8 0 384", "at least one data shard"),
            ("3 2 8 0 384", "3 0 8 0 384", "at least one data shard"),
            ("3 2 8 0 384", "3 2 0 0 384", "w = 0"),
            ("3 2 8 0 384", "3 2 7 0 384", "w = 7"),
            ("3 2 8 0 384", "3 2 4294967304 0 384", "too large"),
            ("3 2 8 0 384", "255 2 8 0 384", "too many shards"),
            (
                "3 2 8 0 384",
                "18446744073709551615 2 8 0 384",
                "too many shards",
            ),
            (
                "3 2 8 0 384",
                "3 2 8 4294967296 384",
                "packetsize is 4294967296",
            ),
            ("3 2 8 0 384", "3 2 8 0 385", "does not fit the code"),
            ("3 2 8 0 384", "3 2 8 0 0", "does not fit the code"),
            ("reed_sol_van", "no_coding", "there is no technique"),
            (
                "reed_sol_van\n0",
                "reed_sol_van\n1",
                "has the number 0, not 1",
            ),
            ("0\n3\n", "0\n0\n", "read-ins is 0"),
            ("0\n3\n", "0\n1\n", "one read-in of 384 bytes contradicts"),
            ("0\n3\n", "0\n4\n", "4 read-ins"),
            ("0\n3\n", "0\n3\n\n", "read-ins is missing"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            let refused = parse(&bad).unwrap_err();
            assert!(refused.contains(why), "{bad:?}: {refused}");
        }
        assert!(Metadata::parse(&[0xff; 40]).is_err());
        assert!(Metadata::parse(&vec![b'\n'; 20_000]).is_err());
        for end in 0..good.len() - 1 {
            assert!(parse(&good[..end]).is_err(), "{:?}", &good[..end]);
        }
    }

    #[test]
    fn pieces_of_one_read_in_may_have_more_padding() {
        let read = parse("a\n1000\n3 2 16 0 1000\nreed_sol_van\n0\n1\n").unwrap();
        assert_eq!(read.piece_bytes(), None);
        assert!(read.allows_piece_bytes(334) && read.allows_piece_bytes(4096));
        assert!(!read.allows_piece_bytes(333) && !read.allows_piece_bytes(332));
    }

    proptest::proptest! {
        /// Whatever is accepted is what would be written, and no arithmetic on it overflows.
        #[test]
        fn what_is_accepted_is_sound(
            changes in proptest::collection::vec((0..48_usize, proptest::prelude::any::<u8>()), 0..4),
            numbers in proptest::collection::vec(
                proptest::prop_oneof![0..9_u64, 0..10_000_u64, proptest::prelude::any::<u64>()], 4),
            one_read_in: bool,
        ) {
            let mut text = b"a.txt\n1000\n3 2 8 0 384\nreed_sol_van\n0\n3\n".to_vec();
            for (at, byte) in changes {
                let at = at % text.len();
                text[at] = byte;
            }
            let [size, k, buffer, read_ins] = numbers[..] else { unreachable!() };
            let (buffer, read_ins) = if one_read_in { (size, 1) } else { (buffer, read_ins) };
            let made = format!("a\n{size}\n{k} 2 8 0 {buffer}\nreed_sol_van\n0\n{read_ins}\n");
            for text in [&text[..], made.as_bytes()] {
                if let Ok(accepted) = Metadata::parse(text) {
                    proptest::prop_assert_eq!(Metadata::parse(&accepted.to_bytes()), Ok(accepted.clone()));
                    let k = accepted.scheme().k() as u64;
                    for piece in [0, 1, size, u64::MAX] {
                        let fits = accepted.allows_piece_bytes(piece);
                        proptest::prop_assert!(!fits || piece.saturating_mul(k) >= accepted.size());
                    }
                }
            }
        }
    }
}
