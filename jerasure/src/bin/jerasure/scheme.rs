//! Which code an encoding uses, with the packet size that upstream's programs allow. No input or output.

use jerasure::{CodeParams, Error, Technique, WordSize};

/// The techniques by upstream's number, which is the fifth line of the metadata.
const NUMBERED: [&str; 7] = [
    "reed_sol_van",
    "reed_sol_r6_op",
    "cauchy_orig",
    "cauchy_good",
    "liberation",
    "blaum_roth",
    "liber8tion",
];

/// Upstream's number of a technique.
pub(crate) fn number_of(technique: Technique) -> usize {
    let name = technique.name();
    let number = NUMBERED.iter().position(|&numbered| numbered == name);
    number.expect("every technique has a number")
}

/// Upstream pads to multiples of this many machine words, and its words have 8 bytes.
const LONG: u64 = 8;

/// A technique with checked parameters.
///
/// The library's packets are multiples of 8 bytes. Upstream's `encoder` takes any size for the Cauchy codes, so a
/// packet size that is not a multiple of 8 is served by [`Regrouping`]: eight stripes are read as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scheme {
    technique: Technique,
    params: CodeParams,
    packet_size: u32,
}

impl Scheme {
    /// Checks everything that the technique asks for. `packet_size` is 0 or larger; techniques on words only pad by it.
    pub(crate) fn new(
        technique: Technique,
        k: usize,
        m: usize,
        w: u32,
        packet_size: u32,
    ) -> Result<Self, Error> {
        let mut params = CodeParams::new(k, m, WordSize::new(w)?)?;
        if uses_packets(technique) {
            let bytes = packet_size as usize;
            let whole = if bytes.is_multiple_of(8) {
                bytes
            } else {
                bytes.saturating_mul(8)
            };
            params = params
                .with_packet_bytes(whole)
                .map_err(|_| Error::PacketBytes { bytes })?;
        }
        technique.check(params)?;
        Ok(Self {
            technique,
            params,
            packet_size,
        })
    }

    /// The technique.
    pub(crate) fn technique(&self) -> Technique {
        self.technique
    }

    /// The shape that the library computes with.
    pub(crate) fn params(&self) -> CodeParams {
        self.params
    }

    /// Data pieces.
    pub(crate) fn k(&self) -> usize {
        self.params.k()
    }

    /// Coding pieces.
    pub(crate) fn m(&self) -> usize {
        self.params.m()
    }

    /// All pieces.
    pub(crate) fn pieces(&self) -> usize {
        self.params.shards()
    }

    /// The indices of all pieces but these, in order.
    pub(crate) fn without(&self, indices: &[usize]) -> Vec<usize> {
        let mut named = vec![false; self.pieces()];
        indices.iter().for_each(|&index| named[index] = true);
        (0..self.pieces()).filter(|&index| !named[index]).collect()
    }

    /// Bits of a word.
    pub(crate) fn w(&self) -> u32 {
        self.params.w().bits()
    }

    /// The packet size as the metadata has it: bytes, also for techniques that only pad by it.
    pub(crate) fn packet_size(&self) -> u32 {
        self.packet_size
    }

    /// A piece's part can be computed by itself if it is a multiple of this many bytes: a word, or a stripe of w packets.
    pub(crate) fn step(&self) -> u64 {
        match self.params.packet_bytes() {
            Some(bytes) => u64::from(self.w()) * bytes as u64,
            None => self.params.w().bytes() as u64,
        }
    }

    /// What upstream pads a file to a multiple of: `k * w * packetsize * sizeof(long)`. Fits: 2^16 * 2^5 * 2^32 * 2^3.
    pub(crate) fn padding_unit(&self) -> u64 {
        let packet = u64::from(self.packet_size.max(1));
        self.k() as u64 * u64::from(self.w()) * packet * LONG
    }

    /// How stripes are regrouped, if the packet size is not a multiple of 8.
    pub(crate) fn regrouping(&self) -> Option<Regrouping> {
        let bytes = self.packet_size as usize;
        (uses_packets(self.technique) && !bytes.is_multiple_of(8)).then(|| Regrouping {
            packet: bytes,
            w: self.w() as usize,
        })
    }
}

/// Eight stripes of w packets seen as one stripe of w packets that are eight times as long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Regrouping {
    packet: usize,
    w: usize,
}

impl Regrouping {
    /// From the order of the file to the library's order.
    pub(crate) fn group(self, region: &mut [u8]) {
        self.transpose(region, 8, self.w);
    }

    /// Back.
    pub(crate) fn ungroup(self, region: &mut [u8]) {
        self.transpose(region, self.w, 8);
    }

    /// Takes every eight stripes as `rows` rows of `columns` packets and writes them column by column.
    fn transpose(self, region: &mut [u8], rows: usize, columns: usize) {
        let mut before = vec![0; rows * columns * self.packet];
        for stripes in region.chunks_exact_mut(before.len()) {
            before.copy_from_slice(stripes);
            for (place, packet) in stripes.chunks_exact_mut(self.packet).enumerate() {
                let (column, row) = (place / rows, place % rows);
                let from = (row * columns + column) * self.packet;
                packet.copy_from_slice(&before[from..][..self.packet]);
            }
        }
    }
}

/// Whether a piece is stripes of packets rather than words.
pub(crate) fn uses_packets(technique: Technique) -> bool {
    technique.uses_packets()
}

/// The word size if none is given: 8, or the first one that the technique has for k.
pub(crate) fn default_w(technique: Technique, k: usize) -> u32 {
    let least = u32::try_from(k).unwrap_or(u32::MAX).max(4);
    let is_prime = |n: u32| (2..n).all(|divisor| !n.is_multiple_of(divisor));
    let first = |fits: &dyn Fn(u32) -> bool| (least..=32).find(|&w| fits(w)).unwrap_or(8);
    match technique {
        Technique::Liberation => first(&|w| is_prime(w)),
        Technique::BlaumRoth => first(&|w| is_prime(w + 1)),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_word_sizes_are_allowed() {
        for (technique, k, w) in [
            (Technique::ReedSolVan, 200, 8),
            (Technique::Liberation, 2, 5),
            (Technique::Liberation, 5, 5),
            (Technique::Liberation, 6, 7),
            (Technique::BlaumRoth, 2, 4),
            (Technique::BlaumRoth, 11, 12),
            (Technique::Liber8tion, 3, 8),
        ] {
            assert_eq!(default_w(technique, k), w);
            assert!(Scheme::new(technique, k, 2, w, 8).is_ok());
        }
        assert!(default_w(Technique::Liberation, 40) > 0);
    }

    #[test]
    fn eight_stripes_become_one_and_eight_again() {
        let regrouping = Regrouping { packet: 3, w: 2 };
        // Packet p of stripe s holds the bytes s * 10 + p; there are two groups of eight stripes.
        let file: Vec<u8> = (0..16)
            .flat_map(|stripe| [stripe * 10; 3].into_iter().chain([stripe * 10 + 1; 3]))
            .collect();
        let mut region = file.clone();
        regrouping.group(&mut region);
        for (group, grouped) in region.chunks(48).enumerate() {
            for (index, packets) in grouped.chunks(24).enumerate() {
                let expected: Vec<u8> = (0..8)
                    .flat_map(|stripe| [((group * 8 + stripe) * 10 + index) as u8; 3])
                    .collect();
                assert_eq!(packets, expected);
            }
        }
        regrouping.ungroup(&mut region);
        assert_eq!(region, file);
    }
}
