//! The one error type of this crate.

/// Why a call was refused. Nothing was written when one is returned.
///
/// Indices of shards count the data shards first (`0..k`), then the coding shards (`k..k + m`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The word size is not one that the field, the technique or the region function is defined for.
    #[error("w = {w} is not supported here: use {allowed}")]
    WordSize {
        /// The word size asked for, in bits.
        w: u32,
        /// Which ones are.
        allowed: &'static str,
    },

    /// A code without data or without redundancy.
    #[error("k = {k} and m = {m}: use at least one data shard and one coding shard")]
    NoShards {
        /// Data shards asked for.
        k: usize,
        /// Coding shards asked for.
        m: usize,
    },

    /// More shards than the field or the C library's integers can number.
    #[error("k = {k} and m = {m} make too many shards for w = {w}: keep k + m at or below {limit}")]
    TooManyShards {
        /// Data shards asked for.
        k: usize,
        /// Coding shards asked for.
        m: usize,
        /// Word size in bits.
        w: u32,
        /// The largest `k + m`.
        limit: usize,
    },

    /// More data shards than the technique has, for this word size.
    #[error("{technique} has at most {limit} data shards for w = {w}, not {k}: use fewer")]
    TooManyDataShards {
        /// The technique's name.
        technique: &'static str,
        /// Data shards asked for.
        k: usize,
        /// Word size in bits.
        w: u32,
        /// The most for this word size.
        limit: usize,
    },

    /// A number of coding shards that the technique does not have.
    #[error("{technique} has {expected} coding shards, not {m}: use m = {expected}")]
    CodingShards {
        /// The technique's name.
        technique: &'static str,
        /// Coding shards asked for.
        m: usize,
        /// The number that it has.
        expected: usize,
    },

    /// A packet size of nothing, or of more than any stripe has.
    #[error("packets of {bytes} bytes are not possible: use 1 to 33554432, best a multiple of 64")]
    PacketBytes {
        /// Bytes asked for.
        bytes: usize,
    },

    /// The technique works on packets, and the parameters give no packet size.
    #[error("{technique} works on packets: give their size with CodeParams::with_packet_bytes")]
    PacketsNeeded {
        /// The technique's name.
        technique: &'static str,
    },

    /// The technique or the function works on words, and the parameters give a packet size.
    #[error("{what} works on words: leave out the packet size")]
    PacketsUnused {
        /// The technique's or the function's name.
        what: &'static str,
    },

    /// No technique has this name.
    #[error(
        "there is no technique {name:?}: use reed_sol_van, reed_sol_r6_op, cauchy_orig, cauchy_good, \
         liberation, blaum_roth or liber8tion"
    )]
    UnknownTechnique {
        /// The name given.
        name: String,
    },

    /// No engine has this name.
    #[error(
        "there is no engine {name:?}: use reference, scalar, avx2, gfni256, gfni512, neon or auto"
    )]
    UnknownEngine {
        /// The name given.
        name: String,
    },

    /// This machine cannot run the engine.
    #[error("this machine has no {engine}: use one of {available}")]
    EngineUnavailable {
        /// The engine's name.
        engine: &'static str,
        /// Names of those that it can run.
        available: String,
    },

    /// A matrix that does not fit what it is used for, or whose elements are not rows times columns.
    #[error("got a matrix of {got_rows} x {got_cols}: pass one of {rows} x {cols}")]
    MatrixShape {
        /// Rows needed.
        rows: usize,
        /// Columns needed.
        cols: usize,
        /// Rows given.
        got_rows: usize,
        /// Columns given.
        got_cols: usize,
    },

    /// A matrix with more elements than the C library's integers can number.
    #[error("a matrix of {rows} x {cols} is too large: use fewer shards or a smaller w")]
    MatrixTooLarge {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
    },

    /// The points of a Cauchy matrix are not all different.
    #[error("point {value} is given twice: all X and Y must differ")]
    RepeatedPoint {
        /// The point.
        value: u32,
    },

    /// Memory whose size the caller's parameters decide could not be allocated.
    #[error("cannot allocate {bytes} bytes: use fewer or smaller shards")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },

    /// A number that is not an element of the field.
    #[error("{value} is not an element of GF(2^{w}): keep values below 2^{w}")]
    NotAnElement {
        /// The number given.
        value: u32,
        /// Word size in bits.
        w: u32,
    },

    /// A division by zero, or the inverse of zero.
    #[error("zero has no inverse in a field: check the divisor first")]
    DivisionByZero,

    /// A list of shards, codes or data of the wrong length.
    #[error("got {got} {what}: pass exactly {expected}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// The number that the code's parameters ask for.
        expected: usize,
        /// The number given.
        got: usize,
    },

    /// Two byte regions that must be of one length are not.
    #[error("a region of {got} bytes stands beside one of {expected}: make them equally long")]
    LengthMismatch {
        /// Bytes of the first region.
        expected: usize,
        /// Bytes of the region that differs.
        got: usize,
    },

    /// A region that does not hold a whole number of words.
    #[error("{bytes} bytes are not whole words of {w} bits: pad to a multiple of {} bytes", .w / 8)]
    PartialWord {
        /// Bytes of the region.
        bytes: usize,
        /// Word size in bits.
        w: u32,
    },

    /// A shard, or the part of one, that does not hold a whole number of stripes of w packets.
    #[error(
        "{bytes} bytes are not whole stripes of {stripe} bytes (w packets): pad to a multiple, see padded_len"
    )]
    PartialStripe {
        /// Bytes of the region.
        bytes: usize,
        /// Bytes of a stripe: w times the packet's bytes.
        stripe: usize,
    },

    /// An index beyond its range.
    #[error("{what} {index} is out of range: use numbers below {limit}")]
    OutOfRange {
        /// What is indexed.
        what: &'static str,
        /// The index given.
        index: usize,
        /// The number of valid indices; never 0.
        limit: usize,
    },

    /// A shard named twice in one list, or both as lost and as a source.
    #[error("shard {index} is named twice: name each shard once, as lost or as a source")]
    RepeatedShard {
        /// The shard's index.
        index: usize,
    },

    /// A shard that was asked for as lost is not among the erased ones.
    #[error("shard {index} is wanted but not erased: name it in both lists")]
    NotErased {
        /// The shard's index.
        index: usize,
    },

    /// More shards are lost than the code can bring back.
    #[error("{lost} shards are lost and only {m} can be recovered: find more survivors")]
    TooManyErasures {
        /// Shards lost.
        lost: usize,
        /// Coding shards of the code.
        m: usize,
    },

    /// Shards are wrong, and no set of so few explains how.
    #[error(
        "shards are wrong, and which ones is only told of up to {most} here: find out otherwise, and erase them"
    )]
    NotLocated {
        /// The most wrong shards that can be told.
        most: usize,
    },

    /// The sources do not determine the lost shards.
    #[error("these sources do not determine the lost shards: choose other survivors")]
    Singular,

    /// A coefficient that is not the one in the coding matrix.
    #[error(
        "coefficient {got} is not the coding matrix's {expected} at row {row}, column {column}: \
         take it from calculate_rs_matrix with the same k, m and w"
    )]
    WrongCoefficient {
        /// Coding row, `0..m`.
        row: usize,
        /// Data column, `0..k`.
        column: usize,
        /// The coefficient in the matrix.
        expected: u32,
        /// The coefficient given.
        got: u32,
    },
}
