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

/// What upstream pads with where it says so.
pub(crate) const PADDING: u8 = b'0';

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
        let metadata = Self {
            name: recorded(name),
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

    /// The [`name`](Self::name) without the folders before it.
    pub(crate) fn base_name(&self) -> &[u8] {
        let parts = self.name().rsplit(|&byte| byte == b'/');
        parts.into_iter().next().unwrap_or_default()
    }

    /// Bytes of the encoded file.
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

/// A name as it is recorded: upstream's `decoder` reads it as one word.
pub(crate) fn recorded(name: &[u8]) -> Vec<u8> {
    name.iter()
        .map(|&byte| match byte {
            0x0b => b'_',
            _ if byte.is_ascii_whitespace() => b'_',
            _ => byte,
        })
        .collect()
}

#[cfg(test)]
mod tests;
