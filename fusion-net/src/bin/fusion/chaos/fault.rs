//! What the nemesis does, in the words in which it is told.

use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// SIGKILL, and a new process at the same address later.
    Kill,
    /// SIGSTOP for less than the time of suspicion.
    ShortPause,
    /// SIGSTOP for longer.
    LongPause,
    /// No way between a server and the coordinator.
    FromCoordinator,
    /// No way between two servers.
    FromServer,
    /// Reached by clients only.
    FromMembers,
    /// No way between a server and the clients.
    FromClients,
    /// Everything from and to it comes late.
    Slow,
    /// All its connections are reset.
    Reset,
    /// No way between a server and one of a cluster that it could be given a member of: a spare with a bad link.
    BadSpare,
    /// SIGSTOP of more servers at once than may be lost, for longer than the time of suspicion; all go on.
    StopBeyondF,
}

/// Faults of a server, each as often as it stands here.
pub(super) const OF_SERVERS: [Kind; 16] = [
    Kind::Kill,
    Kind::Kill,
    Kind::Kill,
    Kind::ShortPause,
    Kind::LongPause,
    Kind::LongPause,
    Kind::FromCoordinator,
    Kind::FromCoordinator,
    Kind::FromServer,
    Kind::FromServer,
    Kind::FromMembers,
    Kind::FromClients,
    Kind::Slow,
    Kind::Reset,
    Kind::BadSpare,
    Kind::BadSpare,
];

/// Faults of the coordinator.
pub(super) const OF_THE_COORDINATOR: [Kind; 7] = [
    Kind::Kill,
    Kind::Kill,
    Kind::ShortPause,
    Kind::LongPause,
    Kind::FromMembers,
    Kind::FromClients,
    Kind::Reset,
];

impl Kind {
    /// How long it lasts, in parts of a thousand of the time of suspicion.
    pub(super) fn lasts(self) -> std::ops::Range<u64> {
        match self {
            Kind::Kill => 0..3000,
            Kind::ShortPause => 50..600,
            Kind::LongPause | Kind::StopBeyondF => 1300..4000,
            Kind::FromCoordinator | Kind::FromMembers | Kind::FromClients => 300..4000,
            // Complaints come after twice that time.
            Kind::FromServer => 500..5000,
            // So long that other faults of the round want a spare.
            Kind::BadSpare => 3000..10_000,
            Kind::Slow => 1000..4000,
            Kind::Reset => 0..1,
        }
    }

    /// Whether it is between two servers.
    pub(super) fn is_of_a_pair(self) -> bool {
        matches!(self, Kind::FromServer | Kind::BadSpare)
    }

    /// Whether the process is stopped and goes on.
    pub(super) fn is_a_pause(self) -> bool {
        matches!(self, Kind::ShortPause | Kind::LongPause | Kind::StopBeyondF)
    }

    /// Whether there are one-way faults of this kind.
    pub(super) fn has_directions(self) -> bool {
        matches!(
            self,
            Kind::FromCoordinator
                | Kind::FromServer
                | Kind::FromMembers
                | Kind::FromClients
                | Kind::BadSpare
        )
    }
}

/// In which directions something is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Both,
    /// What the victim says is not heard.
    Out,
    /// It hears nothing.
    In,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Both => "both ways",
            Direction::Out => "outwards",
            Direction::In => "inwards",
        })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Kill => "kill",
            Kind::ShortPause => "short pause",
            Kind::LongPause => "long pause",
            Kind::FromCoordinator => "cut from the coordinator",
            Kind::FromServer => "cut from a server",
            Kind::FromMembers => "cut from all members",
            Kind::FromClients => "cut from clients",
            Kind::Slow => "slow links",
            Kind::Reset => "connections reset",
            Kind::BadSpare => "spare cut from a member",
            Kind::StopBeyondF => "stop beyond f",
        })
    }
}

/// So many thousandths of a time.
pub(super) fn thousandths(of: Duration, parts: u64) -> Duration {
    of.mul_f64(parts as f64 / 1000.0)
}
