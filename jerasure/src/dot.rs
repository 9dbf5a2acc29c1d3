//! Dot products of regions by values: matrices, bit matrices and schedules at work without a codec.

use crate::codec::Map;
use crate::shards::{check_count, common_length, inputs, outputs};
use crate::{BitMatrix, CodeParams, Engine, Error, Matrix, WordSize};

impl Matrix {
    /// Each output becomes the sum of its row's elements times the sources (`jerasure_matrix_dotprod`, for all rows), on the
    /// [selected](Engine::selected) engine: `cols` sources, `rows` outputs. A row of zeros clears its output.
    ///
    /// Prepares the matrix in each call; [`Codec::from_matrix`](crate::Codec::from_matrix) does it once.
    ///
    /// # Errors
    /// [`Error::WordSize`] unless w is 8, 16 or 32; [`Error::Count`], [`Error::LengthMismatch`] and
    /// [`Error::PartialWord`] for the regions; nothing is written then. [`Error::OutOfMemory`]; those of
    /// [`Engine::selected`].
    pub fn dot(
        &self,
        sources: &[impl AsRef<[u8]>],
        targets: &mut [impl AsMut<[u8]>],
    ) -> Result<(), Error> {
        let shape = (self.rows(), self.cols());
        let engine = Engine::selected()?;
        of_words(
            engine,
            self.word_size(),
            self.as_slice(),
            shape,
            sources,
            targets,
        )
    }
}

impl BitMatrix {
    /// Each packet of the outputs becomes the sum of the packets of the sources that its row names
    /// (`jerasure_bitmatrix_dotprod`, for all rows), on the [selected](Engine::selected) engine. Sources and outputs are
    /// as many as columns and rows make of w packets. A row of zeros clears its packet.
    ///
    /// Makes a schedule in each call; [`Codec::from_bit_matrix`](crate::Codec::from_bit_matrix) does it once.
    ///
    /// # Errors
    /// [`Error::MatrixShape`] unless rows and columns are multiples of w; [`Error::PacketBytes`]; [`Error::Count`],
    /// [`Error::LengthMismatch`] and [`Error::PartialStripe`] for the regions; nothing is written then. Those of
    /// [`Engine::selected`].
    pub fn dot(
        &self,
        w: WordSize,
        packet_bytes: usize,
        sources: &[impl AsRef<[u8]>],
        targets: &mut [impl AsMut<[u8]>],
    ) -> Result<(), Error> {
        let (k, m) = self.code_shape(w)?;
        let params = CodeParams::new(k, m, w)?.with_packet_bytes(packet_bytes)?;
        let map = Map::of_packets(Engine::selected()?, params, self)?;
        check_count("sources", k, sources.len())?;
        check_count("outputs", m, targets.len())?;
        let (sources, mut targets) = (inputs(sources), outputs(targets));
        let lengths = sources.iter().map(|source| source.len());
        let bytes = common_length(lengths.chain(targets.iter().map(|target| target.len())))?;
        let stripe = packet_bytes * w.bits() as usize;
        if !bytes.is_multiple_of(stripe) {
            return Err(Error::PartialStripe { bytes, stripe });
        }
        map.run(&sources, &mut targets);
        Ok(())
    }
}

/// `target` becomes the sum (XOR) of all sources, each read once, on the [selected](Engine::selected) engine: zeros if
/// there are none (`jerasure_do_parity`). Regions may be anywhere in memory and of any length.
///
/// # Errors
/// [`Error::LengthMismatch`]; nothing is written then. Those of [`Engine::selected`].
pub fn parity(target: &mut [u8], sources: &[impl AsRef<[u8]>]) -> Result<(), Error> {
    let sources = inputs(sources);
    let lengths = sources.iter().map(|source| source.len());
    common_length(std::iter::once(target.len()).chain(lengths))?;
    Engine::selected()?.xor()?.xor_many(target, &sources);
    Ok(())
}

/// `target ^= source` (`galois_region_xor`), otherwise as [`parity`].
///
/// # Errors
/// As [`parity`].
pub fn xor(target: &mut [u8], source: &[u8]) -> Result<(), Error> {
    common_length([target.len(), source.len()])?;
    Engine::selected()?.xor()?.xor_add(target, source);
    Ok(())
}

/// The dot products of rows of elements.
pub(crate) fn of_words(
    engine: Engine,
    w: WordSize,
    elements: &[u32],
    (rows, cols): (usize, usize),
    sources: &[impl AsRef<[u8]>],
    targets: &mut [impl AsMut<[u8]>],
) -> Result<(), Error> {
    w.check_region()?;
    check_count("sources", cols, sources.len())?;
    check_count("outputs", rows, targets.len())?;
    let (sources, mut targets) = (inputs(sources), outputs(targets));
    let lengths = sources.iter().map(|source| source.len());
    let bytes = common_length(lengths.chain(targets.iter().map(|target| target.len())))?;
    w.check_length(bytes)?;
    Map::of_words(engine, w, elements)?.run(&sources, &mut targets);
    Ok(())
}
