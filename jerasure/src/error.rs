//! The one error type of this crate.

/// Why a call was refused. Nothing was written when one is returned.
///
/// Indices of shards count the data shards first (`0..k`), then the coding shards (`k..k + m`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The word size is not one that matrix codes are defined for.
    #[error("word size {w} is not supported: use 8, 16 or 32 bits")]
    WordSize {
        /// The word size asked for, in bits.
        w: u32,
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
        /// The largest `k + m` for this word size.
        limit: usize,
    },

    /// The matrix could not be allocated.
    #[error("no memory for the coding matrix of k = {k}, m = {m}: use fewer shards")]
    OutOfMemory {
        /// Data shards.
        k: usize,
        /// Coding shards.
        m: usize,
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

    /// An index beyond its range.
    #[error("{what} {index} is out of range: use 0 to {}", .limit - 1)]
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

    /// More shards are lost than the code can bring back.
    #[error("{lost} shards are lost and only {m} can be recovered: find more survivors")]
    TooManyErasures {
        /// Shards lost.
        lost: usize,
        /// Coding shards of the code.
        m: usize,
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
