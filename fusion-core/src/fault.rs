//! Deliberate faults, so that the simulation can show that it would find them.
//!
//! Without the feature `planted-faults` every question here is a constant `false`. With it, a build without debug
//! assertions does not compile: no release can have it. A fault is chosen at run time, for one thread.

#[cfg(all(feature = "planted-faults", not(debug_assertions)))]
compile_error!(
    "planted faults are for tests with debug assertions (`--profile sim`), never for a release"
);

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident $text:literal,)*) => {
        /// One way to break the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault {
            $($(#[doc = $doc])* $name,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];

            /// Its name on the command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Fault::$name => $text,)*
                }
            }

            /// What is broken.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self {
                    $(Fault::$name => concat!($($doc),*).trim_ascii(),)*
                }
            }
        }
    };
}

faults! {
    /// Rule 8: members answer messages of other epochs.
    NoSeal "no-seal",
    /// Rule 10: reads need no lease.
    NoLease "no-lease",
    /// Rule 20: a fused member drops its log at its own acknowledgement.
    TruncateAtOwnAck "truncate-at-own-ack",
    /// Rule 27: a learner is complete before it has every chunk.
    CompleteTooSoon "complete-too-soon",
    /// Rule 27: a learner is complete while its snapshot is not stable.
    UnstableSnapshot "unstable-snapshot",
    /// Rule 14: learners do not count for the stable mark.
    LearnerNotInStable "learner-not-in-stable",
    /// Rule 10: learners give no lease.
    LearnerNotInLease "learner-not-in-lease",
    /// Rule 32: what survivors did after a fused snapshot is not undone.
    SnapshotWithoutVector "snapshot-without-vector",
    /// Rule 38: which incarnation of a session a request or closing belongs to is ignored.
    ClosedSessionReopens "closed-session-reopens",
    /// Rule 61: members with two contents of one epoch talk to each other.
    ContradictionServes "contradiction-serves",
    /// Rule 9: a retry is executed again.
    ReplyNotStored "reply-not-stored",
    /// Rule 9: the record of a request comes with the next change.
    ReplyInNextSeq "reply-in-next-seq",
    /// Rule 9: a change that has no effect is not recorded.
    NoEffectNotRecorded "no-effect-not-recorded",
    /// Rule 14: stable is what the first fused member has.
    AckAfterFirst "ack-after-first",
    /// Rule 29: nobody is rolled forward.
    NoRollForward "no-roll-forward",
    /// Rule 29: lost primaries are recovered to the least that a fused member has.
    RollToLeast "roll-to-least",
    /// Rule 11: a retry is answered before its change is stable.
    RetryBeforeStable "retry-before-stable",
    /// Rule 11: a read is answered before what it saw is stable.
    UnstableReads "unstable-reads",
    /// Rule 30: a pin keeps nothing.
    LogNotPinned "log-not-pinned",
    /// Rule 31: asked again, a fused member freezes again.
    ChoiceNotFrozen "choice-not-frozen",
    /// Rule 19: a chunk that comes twice is added twice.
    ChunkTwice "chunk-twice",
    /// Rule 33: a fused member says at once that a lease is over.
    LeaseOverAtOnce "lease-over-at-once",
    /// Rule 33: a replacement is ready before the leases are over.
    ReadyBeforeLeaseOver "ready-before-lease-over",
    /// Rule 13: a lease counts from the arrival of the acknowledgement.
    LeaseFromArrival "lease-from-arrival",
    /// Rule 2: the fused member counts no longer than the primary.
    DriftIgnored "drift-ignored",
    /// Rule 4: a member id is given again.
    IdReused "id-reused",
    /// Rule 24: learners stay when a primary is lost.
    LearnerKept "learner-kept",
    /// Rule 8: a primary that is not named any more goes on.
    DeposedGoesOn "deposed-goes-on",
    /// Rule 28: vectors of as many fused members as primaries are lost are enough.
    EnoughVectors "enough-vectors",
    /// Rule 7: compare-and-swap does not compare.
    BlindSwap "blind-swap",
    /// Rule 25: a former primary may return after its replacement served.
    LateReturn "late-return",
    /// Rule 36: an heir's index does not follow what its primary does.
    WrongFollow "wrong-follow",
    /// Rule 54: a learner that only copies counts for the stable mark and leases.
    CopyingCounts "copying-counts",
    /// Rule 54: the log is not kept for a learner that only copies.
    CopyingForgotten "copying-forgotten",
    /// Rule 54: a learner is in sync without a message of the epoch in which it began to count.
    PromotedUnheard "promoted-unheard",
    /// Rule 36: a primary that was moved reads on.
    DeposedReadsOn "deposed-reads-on",
    /// Rule 36: an heir takes over without knowing what the codes have.
    TakesOverWithoutVectors "takes-over-without-vectors",
    /// Rule 36: an heir takes over while a lease of its predecessor runs.
    TakesOverUnderALease "takes-over-under-a-lease",
    /// Rule 36: an heir takes over without the changes that it lacks.
    TargetNotCaughtUp "target-not-caught-up",
    /// Rule 36: an heir is complete before its log reaches back to what every code has.
    HeirLogTooShort "heir-log-too-short",
    /// Rule 36: where no code is left, an heir takes over without its predecessor's word.
    AloneWithoutItsWord "alone-without-its-word",
    /// Rule 51: a primary that nobody reaches, and that cannot be spared, stays where it is.
    UnreachedStays "unreached-stays",
    /// Rule 53: a primary executes and answers, however few codes are in sync.
    FloorIgnored "floor-ignored",
    /// Rule 63: a fused member that lacks what it has acknowledged goes on.
    RollbackUnnoticed "rollback-unnoticed",
    /// Rule 63: a primary that has forgotten changes which others know goes on.
    PrimaryWentBack "primary-went-back",
    /// Rule 20: a change that was applied is applied again when it comes again.
    AppliedTwice "applied-twice",
    /// Rule 50: a former primary that answers is looked for after the losses.
    FormerIgnored "former-ignored",
    /// Rule 50: a replacement that was Active and lost before its server heard so is dropped.
    UnheardFormerDropped "unheard-former-dropped",
    /// Rule 51: of a primary and the last code the code is blamed, though the primary could be recovered.
    CodeBeforePrimary "code-before-primary",
    /// Rule 51: members that are being made are blamed, however many of them miss the same one.
    CommonEndSpared "common-end-spared",
    /// Rule 51: of two alike the code is blamed, whatever is lost.
    BlameTheLastCode "blame-the-last-code",
    /// Rule 62: a loss is accepted of primaries whose former ones answer.
    LossCountsFormers "loss-counts-formers",
    /// Rule 55: a server where members are given up is tried again at once.
    NoBackOff "no-back-off",
    /// Rule 22: a new coordinator takes for dead who has yet to find it, and for silent the members of who just has.
    NewcomerNotAwaited "newcomer-not-awaited",
    /// Rule 58: a read is confirmed by whatever was acknowledged before it arrived.
    ConfirmedByAnOlderMessage "confirmed-by-an-older-message",
    /// Rule 57: bytes that move are no sign of life.
    LongMessageIsSilence "long-message-is-silence",
    /// Rule 56: whoever was paused listens afresh.
    PauseStartsAfresh "pause-starts-afresh",
    /// Rule 56: who was suspected wrongly is suspected as soon again.
    FlappingUndamped "flapping-undamped",
    /// Rule 56: members look only when a coordinator asks, and listen afresh when that was long ago.
    ComplaintsByHeartbeat "complaints-by-heartbeat",
    /// Rule 60: a store that is behind what servers know is changed all the same.
    GuardIgnored "guard-ignored",
    /// Rule 69: two servers of one host are two hosts.
    HostsIgnored "hosts-ignored",
}

#[cfg(feature = "planted-faults")]
mod chosen {
    use super::Fault;
    use std::cell::Cell;

    thread_local! {
        static CHOSEN: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// Breaks this thread's protocol in one way, or mends it.
    pub fn plant(fault: Option<Fault>) {
        CHOSEN.set(fault);
    }

    /// Whether it is broken in that way.
    #[must_use]
    pub fn planted(fault: Fault) -> bool {
        CHOSEN.get() == Some(fault)
    }
}

#[cfg(feature = "planted-faults")]
pub use chosen::{plant, planted};

/// Never: this build has no faults to plant.
#[cfg(not(feature = "planted-faults"))]
#[must_use]
#[inline(always)]
pub const fn planted(_: Fault) -> bool {
    false
}
