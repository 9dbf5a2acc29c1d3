//! Every bound of the core in one place.

use std::time::Duration;

/// The greatest epoch, sequence number, member id, attempt at a recovery and request number that is decoded (rule 66): who
/// counts on from there does not come to the end of 64 bits.
pub const MAX_NUMBER: u64 = 1 << 62;
/// The greatest epoch of a configuration, and member id that it gives next: half of [`MAX_NUMBER`], so that successors of
/// one that somebody made up can be told, too.
pub const MAX_CONFIG_NUMBER: u64 = 1 << 61;
/// The longest value, in bytes: 8 MiB.
pub const MAX_VALUE_BYTES: usize = 8 << 20;
/// The longest key, in bytes: 8 MiB.
pub const MAX_KEY_BYTES: usize = 8 << 20;
/// The longest answer that a session slot's record holds, encoded: the longest key or value and what says that it is.
pub const MAX_ANSWER_BYTES: usize = 16
    + if MAX_VALUE_BYTES > MAX_KEY_BYTES {
        MAX_VALUE_BYTES
    } else {
        MAX_KEY_BYTES
    };
/// The most bytes that one change may carry, with headers.
///
/// The greatest one replaces a map entry by one of another class and a large stored answer by a small one: it writes
/// the new entry (16 MiB), clears the old one and moves another of its class into the hole (2 times up to 15 MiB), and
/// does the same with the old answer (2 times up to 9 MiB): 64 MiB. Closing all other sessions for the room of their
/// answers adds less than 5 MiB.
pub const MAX_CHANGE_BYTES: usize = 72 << 20;
/// The most pages of one primary that one change may begin. An operation makes one entry and one record, so that two
/// would do.
pub const MAX_NEW_PAGES: u32 = 4;
/// The most bytes of the pages of one primary that one change may begin: room for the largest entry and the largest
/// record in slots of their own.
pub const MAX_NEW_PAGE_BYTES: usize = 32 << 20;
/// The most slots of one size class of one primary.
pub const MAX_SLOTS: u64 = u32::MAX as u64;
/// The most bytes of the slots of one size class of one primary: 1 TiB.
pub const MAX_CLASS_BYTES: u64 = 1 << 40;
/// The most primaries and fused structures together in one cluster.
pub const MAX_MEMBERS: usize = 1 << 12;
/// The most session slots that one primary remembers; beyond it the least recently used session goes.
pub const MAX_SESSION_SLOTS: usize = 1 << 16;
/// The most bytes that the recorded answers of one primary's sessions take, 64 MiB; beyond it the least recently used
/// sessions go, but never the one that asks.
pub const MAX_SESSION_BYTES: u64 = 64 << 20;
/// The most bytes of changes that a primary holds unacknowledged before it answers `Busy` (rule 11).
pub const MAX_UNSTABLE_BYTES: usize = 128 << 20;
/// The most bytes of changes that a primary holds for a pin or an heir, with those of [`MAX_UNSTABLE_BYTES`], before it
/// answers `Busy`.
pub const MAX_LOG_BYTES: usize = 512 << 20;
/// About how many bytes of pages go into one chunk for a learner, or one answer to a replacement.
pub const TRANSFER_BYTES: usize = 1 << 20;
/// The most requests in one batch of a client.
pub const MAX_BATCH_REQUESTS: usize = 4096;
/// The most pages in one message. Pages have 8 bytes at least, and those of one message about [`TRANSFER_BYTES`].
pub const MAX_MESSAGE_PAGES: usize = TRANSFER_BYTES / 8 + 1;
/// The most answers to one batch: one for each request, and one for the opening of a session.
pub const MAX_BATCH_ANSWERS: usize = MAX_BATCH_REQUESTS + 1;
/// The most members that one process may report of, and the most clusters that it may know.
pub const MAX_REPORTS: usize = 1 << 16;

/// How much a member holds before it says `Busy`. Tests take smaller ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// [`MAX_UNSTABLE_BYTES`].
    pub(crate) unstable_bytes: usize,
    /// [`MAX_LOG_BYTES`].
    pub(crate) log_bytes: usize,
    /// [`TRANSFER_BYTES`].
    pub(crate) transfer_bytes: usize,
    /// [`MAX_FROZEN_BYTES`].
    pub(crate) frozen_bytes: u64,
}

impl Bounds {
    /// Those of this module.
    pub(crate) const USUAL: Bounds = Bounds {
        unstable_bytes: MAX_UNSTABLE_BYTES,
        log_bytes: MAX_LOG_BYTES,
        transfer_bytes: TRANSFER_BYTES,
        frozen_bytes: MAX_FROZEN_BYTES,
    };
}

/// What a member keeps of frozen pages for recoveries, beyond what it shares with them, before it refuses a further snapshot
/// as `Busy`: so much, or as much as its own pages if they are more (rule 67).
pub const MAX_FROZEN_BYTES: u64 = 256 << 20;
/// A pin or snapshot that its replacement has not asked about for so long goes; the replacement starts again (rule 34).
pub const MAX_PIN_IDLE: Duration = Duration::from_secs(60);
/// An heir follows at most about so many bytes of changes while others wait for it.
pub const FOLLOW_BYTES: usize = 64 << 10;
/// The most entries that one `range` or `scan` call returns.
pub const MAX_SCAN_ENTRIES: usize = 4096;
/// About the most bytes that one `range` or `scan` call returns (one entry is always returned).
pub const MAX_SCAN_BYTES: usize = 1 << 20;
