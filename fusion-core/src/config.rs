//! The configuration of a cluster: who its members are, in numbered epochs (PROTOCOL rules 4 to 8).

mod check;

pub use check::{ConfigError, MAX_ADDRESS_BYTES};

use crate::fault::{Fault, planted};
use crate::id::{ClusterId, Epoch, MemberId, PrimaryIndex, Row, ServerId};
use crate::limits::MAX_MEMBERS;
use crate::message::Route;
use crate::op::Kind;
use crate::time::Timing;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use thiserror::Error;

/// A running server process and where it listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Host {
    /// The process.
    pub server: ServerId,
    /// Its address, `ip:port`.
    pub address: String,
}

/// What a primary rests on when it answers a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reads {
    /// Leases, counted by clocks that are off by at most 10 %: reads are answered at once (rule 10).
    #[default]
    Leased,
    /// Acknowledgements of messages that were sent after the read arrived, and no clock: for machines whose clocks may
    /// be stopped with them. A read takes a round trip to the fused structures (rule 58).
    Confirmed,
}

impl std::fmt::Display for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reads::Leased => "leased",
            Reads::Confirmed => "confirmed",
        })
    }
}

/// How a member of a configuration got its state, so that a server knows whether it may start one empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Made empty with the cluster: a server that does not hold it yet starts it empty.
    Created,
    /// Made from the others. A server that does not hold it must not serve it.
    Recovered,
}

/// Whether a primary serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrimaryState {
    /// It serves.
    Active,
    /// The primary is lost; the seat names the replacement under construction (rule 6).
    Lost,
}

/// Whether a fused structure counts for recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FusedState {
    /// Its codes are complete.
    InSync,
    /// A learner that has caught up: changes and leases need its acknowledgement, and it does not count for recovery yet
    /// (rules 6, 54).
    Joining,
    /// A learner that only copies yet: nobody waits for it (rule 54).
    Copying,
}

impl FusedState {
    /// Whether it does not count for recovery yet.
    #[must_use]
    pub fn learns(self) -> bool {
        self != FusedState::InSync
    }
}

/// One primary's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrimarySeat {
    /// The member: the primary itself when active, else its replacement.
    pub id: MemberId,
    /// Where it runs.
    pub host: Host,
    /// Whether it serves.
    pub state: PrimaryState,
    /// How it got its state.
    pub origin: Origin,
    /// While it is lost: the primary that was, which serves again should it answer before a replacement was ever
    /// active (rules 25, 50). `None` when its server has said that it holds nothing of it.
    pub former: Option<Former>,
    /// While it is being moved: the member that copies it, and takes its place when it can (rule 36).
    pub heir: Option<HeirSeat>,
    /// The member that this one was moved from, until this one is known to serve: it executes nothing any more, and keeps
    /// its state, should this one need it (rule 36). While the primary is lost: the one that the former one was moved from.
    pub moved_from: Option<Former>,
}

/// The place of a primary's heir.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeirSeat {
    /// The member.
    pub id: MemberId,
    /// Where it runs.
    pub host: Host,
}

/// A primary that was taken for dead, or moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Former {
    /// The member.
    pub id: MemberId,
    /// Where it ran.
    pub host: Host,
    /// How it got its state.
    pub origin: Origin,
    /// It was given up because it and others could not hear each other, and not for silence (rule 51): it serves again
    /// only where nothing else could be decided, or nobody could take its place (rule 50).
    pub blamed: bool,
}

/// One fused structure's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FusedSeat {
    /// The member.
    pub id: MemberId,
    /// Where it runs.
    pub host: Host,
    /// The row of the coding matrix.
    pub row: Row,
    /// Whether it counts for recovery.
    pub state: FusedState,
    /// How it got its state.
    pub origin: Origin,
}

/// A fused structure that was given up while it was in sync: it keeps its state, and may return (rule 52).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerCode {
    /// The member. While it returns, it sits in a seat of [`Configuration::fused`], too.
    pub id: MemberId,
    /// Where it runs.
    pub host: Host,
    /// The row of the coding matrix.
    pub row: Row,
    /// How it got its state.
    pub origin: Origin,
    /// The primaries that have been lost in every epoch since it was given up, ascending: nothing that they answered is
    /// missing in it, so that it may count while no others are lost.
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
    pub lost: Vec<PrimaryIndex>,
}

/// One epoch of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The configuration store that it comes from.
    pub store: u64,
    /// The cluster.
    pub cluster: ClusterId,
    /// The cluster's name, unique among the living ones.
    pub name: String,
    /// The kind of its structures.
    pub kind: Kind,
    /// The number of fused structures that it should have: the faults to tolerate.
    pub faults: u16,
    /// Whether members may share a server.
    pub colocate: bool,
    /// What its reads rest on (rules 10, 58).
    pub reads: Reads,
    /// With fewer codes in sync no primary executes a change (rule 53); 0: they do, whatever is lost.
    pub min_in_sync: u16,
    /// How long its leases last, and when its members are missed (rules 2, 3).
    pub timing: Timing,
    /// The epoch.
    pub epoch: Epoch,
    /// Random; tells two contents of one epoch apart, which must never be seen (rule 5).
    pub nonce: u64,
    /// Whether the cluster was removed: the last epoch.
    pub removed: bool,
    /// The primaries, by index.
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
    pub primaries: Vec<PrimarySeat>,
    /// The fused structures: at most one in sync and one learner a row.
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
    pub fused: Vec<FusedSeat>,
    /// The fused structures that were given up and may return, at most one a row, of rows that are not in sync (rule 52).
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
    pub former_codes: Vec<FormerCode>,
    /// Servers whose members were given up because others could not reach them, until the cluster is whole again: they
    /// are given members only when no other server is left (rule 22). At most one for each member that was given up.
    #[serde(deserialize_with = "crate::bounded::vec::<_, _, MAX_MEMBERS>")]
    pub shunned: Vec<ServerId>,
    /// The next member id to give.
    #[serde(deserialize_with = "crate::bounded::number")]
    pub next_id: u64,
}

/// A request for a cluster that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ShapeError {
    /// There must be a primary.
    #[error("a cluster needs at least 1 primary")]
    NoPrimaries,
    /// There must be something to survive.
    #[error("a cluster needs at least 1 fault to tolerate; 0 would keep no codes at all")]
    NoFaults,
    /// More members than coding words can tell apart.
    #[error("{primaries} primaries and {faults} faults are {} members; at most {max} are possible", primaries.saturating_add(*faults))]
    TooManyMembers {
        /// The primaries asked for.
        primaries: usize,
        /// The faults asked for.
        faults: usize,
        /// The bound on both together.
        max: usize,
    },
    /// More codes in sync are asked for than there are.
    #[error(
        "at most {faults} codes can be in sync, since that is how many there are; {asked} were asked for"
    )]
    FloorTooHigh {
        /// The codes asked for.
        asked: usize,
        /// The faults to tolerate.
        faults: usize,
    },
    /// The name is not usable.
    #[error(
        "{name:?} is not a cluster name: use 1 to 64 letters, digits, '-', '_' or '.', and begin with a letter, a digit or '_'"
    )]
    BadName {
        /// The name asked for.
        name: String,
    },
}

impl ShapeError {
    fn bad_name(name: &str) -> ShapeError {
        let name = name.chars().take(80).collect();
        ShapeError::BadName { name }
    }
}

/// A cluster as it was asked for, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterShape {
    name: String,
    kind: Kind,
    primaries: u16,
    faults: u16,
    colocate: bool,
    reads: Reads,
    min_in_sync: u16,
}

impl ClusterShape {
    /// Checks the name and the numbers.
    ///
    /// # Errors
    /// [`ShapeError`] says which is not possible and what is.
    pub fn new(
        name: &str,
        kind: Kind,
        primaries: usize,
        faults: usize,
        colocate: bool,
    ) -> Result<Self, ShapeError> {
        // A command takes a name that begins with a hyphen for an option, and `.` and `..` are no names of files.
        if name.starts_with(['-', '.']) {
            return Err(ShapeError::bad_name(name));
        }
        Self::existing(name, kind, primaries, faults, colocate)
    }

    /// As [`new`](Self::new), of a cluster that is there: its name is one that may be had, though none gets it any more.
    pub(crate) fn existing(
        name: &str,
        kind: Kind,
        primaries: usize,
        faults: usize,
        colocate: bool,
    ) -> Result<Self, ShapeError> {
        let max = crate::limits::MAX_MEMBERS;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(good) {
            return Err(ShapeError::bad_name(name));
        }
        if primaries == 0 {
            return Err(ShapeError::NoPrimaries);
        }
        if faults == 0 {
            return Err(ShapeError::NoFaults);
        }
        match (u16::try_from(primaries), u16::try_from(faults)) {
            (Ok(p), Ok(f)) if primaries + faults <= max => Ok(ClusterShape {
                name: name.to_owned(),
                kind,
                primaries: p,
                faults: f,
                colocate,
                reads: Reads::Leased,
                min_in_sync: 0,
            }),
            _ => Err(ShapeError::TooManyMembers {
                primaries,
                faults,
                max,
            }),
        }
    }

    /// The same checks again, for a shape that came over the wire.
    ///
    /// # Errors
    /// As [`ClusterShape::new`].
    pub fn validated(self) -> Result<Self, ShapeError> {
        Self::new(
            &self.name,
            self.kind,
            usize::from(self.primaries),
            usize::from(self.faults),
            self.colocate,
        )
        .map(|shape| shape.with_reads(self.reads))?
        .with_min_in_sync(usize::from(self.min_in_sync))
    }

    /// What its reads rest on; [`Reads::Leased`] if nothing is said.
    #[must_use]
    pub fn with_reads(mut self, reads: Reads) -> Self {
        self.reads = reads;
        self
    }

    /// How many codes must be in sync for its primaries to execute changes (rule 53); 0 if nothing is said.
    ///
    /// # Errors
    /// [`ShapeError::FloorTooHigh`] when there are not as many.
    pub fn with_min_in_sync(mut self, codes: usize) -> Result<Self, ShapeError> {
        let faults = usize::from(self.faults);
        match u16::try_from(codes) {
            Ok(min_in_sync) if codes <= faults => {
                self.min_in_sync = min_in_sync;
                Ok(self)
            }
            _ => Err(ShapeError::FloorTooHigh {
                asked: codes,
                faults,
            }),
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of the structures.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How many primaries.
    #[must_use]
    pub fn primaries(&self) -> usize {
        usize::from(self.primaries)
    }

    /// How many faults to tolerate.
    #[must_use]
    pub fn faults(&self) -> usize {
        usize::from(self.faults)
    }

    /// Whether members may share a server.
    #[must_use]
    pub fn colocate(&self) -> bool {
        self.colocate
    }
}

impl Configuration {
    /// The first epoch of a new cluster: `hosts` gives a server for each primary, then for each fused structure.
    ///
    /// # Panics
    /// When `hosts` has another length than the shape has members (a bug of the caller).
    #[must_use]
    pub fn create(
        store: u64,
        cluster: ClusterId,
        nonce: u64,
        shape: &ClusterShape,
        hosts: &[Host],
    ) -> Self {
        let n = shape.primaries();
        assert_eq!(hosts.len(), n + shape.faults(), "a host for each member");
        let member = |i: usize| MemberId(i as u64 + 1);
        let primaries = hosts[..n]
            .iter()
            .enumerate()
            .map(|(i, host)| PrimarySeat {
                id: member(i),
                host: host.clone(),
                state: PrimaryState::Active,
                origin: Origin::Created,
                former: None,
                heir: None,
                moved_from: None,
            })
            .collect();
        let fused = hosts[n..]
            .iter()
            .enumerate()
            .map(|(row, host)| FusedSeat {
                id: member(n + row),
                host: host.clone(),
                row: Row(row as u16),
                state: FusedState::InSync,
                origin: Origin::Created,
            })
            .collect();
        Configuration {
            store,
            cluster,
            name: shape.name.clone(),
            kind: shape.kind,
            faults: shape.faults,
            colocate: shape.colocate,
            reads: shape.reads,
            min_in_sync: shape.min_in_sync,
            timing: Timing::default(),
            epoch: Epoch(1),
            nonce,
            removed: false,
            primaries,
            fused,
            former_codes: Vec::new(),
            shunned: Vec::new(),
            next_id: hosts.len() as u64 + 1,
        }
    }

    /// A copy that is the next epoch's, still to be changed.
    #[must_use]
    pub fn successor(&self, nonce: u64) -> Self {
        Configuration {
            epoch: self.epoch.next(),
            nonce,
            ..self.clone()
        }
    }

    /// Gives out a member id that no member had before (rule 4).
    pub fn take_id(&mut self) -> MemberId {
        let id = MemberId(self.next_id);
        if !planted(Fault::IdReused) {
            self.next_id = self.next_id.saturating_add(1);
        }
        id
    }

    /// The number of primaries, n.
    #[must_use]
    pub fn n(&self) -> usize {
        self.primaries.len()
    }

    /// R(e): the fused members that must acknowledge (rule 6).
    pub fn acknowledging(&self) -> impl Iterator<Item = &FusedSeat> {
        let counts = |s: &&FusedSeat| s.state != FusedState::Copying;
        self.fused.iter().filter(counts)
    }

    /// I(e): the fused members that count for recovery (rule 6).
    pub fn in_sync(&self) -> impl Iterator<Item = &FusedSeat> {
        self.fused.iter().filter(|s| s.state == FusedState::InSync)
    }

    /// C(e): the learners that only copy yet (rules 6, 54).
    pub fn copying(&self) -> impl Iterator<Item = &FusedSeat> {
        self.fused.iter().filter(|s| s.state == FusedState::Copying)
    }

    /// All learners, those that only copy and those that have caught up.
    pub fn learners(&self) -> impl Iterator<Item = &FusedSeat> {
        self.fused.iter().filter(|s| s.state.learns())
    }

    /// The learners that have caught up.
    pub fn joining(&self) -> impl Iterator<Item = &FusedSeat> {
        self.fused.iter().filter(|s| s.state == FusedState::Joining)
    }

    /// The indices of the lost primaries, ascending.
    pub fn lost(&self) -> impl Iterator<Item = PrimaryIndex> + '_ {
        self.primaries_in(PrimaryState::Lost)
            .map(|(index, _)| index)
    }

    /// The active primaries with their indices.
    pub fn active(&self) -> impl Iterator<Item = (PrimaryIndex, &PrimarySeat)> {
        self.primaries_in(PrimaryState::Active)
    }

    fn primaries_in(
        &self,
        state: PrimaryState,
    ) -> impl Iterator<Item = (PrimaryIndex, &PrimarySeat)> {
        self.primaries
            .iter()
            .enumerate()
            .filter(move |(_, seat)| seat.state == state)
            .map(|(i, seat)| (PrimaryIndex(i as u16), seat))
    }

    /// The seat of primary `index`.
    #[must_use]
    pub fn primary(&self, index: PrimaryIndex) -> Option<&PrimarySeat> {
        self.primaries.get(index.index())
    }

    /// The index of the primary seat that `id` sits in, active or under construction.
    #[must_use]
    pub fn index_of(&self, id: MemberId) -> Option<PrimaryIndex> {
        self.primaries
            .iter()
            .position(|s| s.id == id)
            .map(|i| PrimaryIndex(i as u16))
    }

    /// Adds a learner of a row, under a new id; it only copies yet (rules 26, 54).
    pub fn add_learner(&mut self, row: Row, host: Host) {
        let id = self.take_id();
        self.fused.push(FusedSeat {
            id,
            host,
            row,
            state: FusedState::Copying,
            origin: Origin::Recovered,
        });
        self.fused.sort_by_key(|s| (s.row, s.id));
    }

    /// The fused seat that `id` sits in.
    #[must_use]
    pub fn fused_seat(&self, id: MemberId) -> Option<&FusedSeat> {
        self.fused.iter().find(|s| s.id == id)
    }

    /// All members that sit in a seat, and the heirs.
    pub fn members(&self) -> impl Iterator<Item = MemberId> + '_ {
        let primaries = self.primaries.iter().map(|s| s.id);
        let heirs = self.heirs().map(|(_, h)| h.id);
        primaries
            .chain(self.fused.iter().map(|s| s.id))
            .chain(heirs)
    }

    /// The members that copy primaries which are being moved (rule 36).
    pub fn heirs(&self) -> impl Iterator<Item = (PrimaryIndex, &HeirSeat)> {
        let seats = self.primaries.iter().enumerate();
        seats.filter_map(|(i, s)| Some((PrimaryIndex(i as u16), s.heir.as_ref()?)))
    }

    /// The heir of primary `index`.
    #[must_use]
    pub fn inheritance(&self, index: PrimaryIndex) -> Option<&HeirSeat> {
        self.primary(index)?.heir.as_ref()
    }

    /// The index of the primary whose heir `id` is.
    #[must_use]
    pub fn inherits(&self, id: MemberId) -> Option<PrimaryIndex> {
        self.heirs().find(|(_, h)| h.id == id).map(|(j, _)| j)
    }

    /// The primaries that were moved, and are not known to serve at their new place yet: with those that they were moved
    /// from (rule 36).
    pub fn moved(&self) -> impl Iterator<Item = (PrimaryIndex, &Former)> {
        let seats = self.primaries.iter().enumerate();
        seats.filter_map(|(i, s)| Some((PrimaryIndex(i as u16), s.moved_from.as_ref()?)))
    }

    /// The index of the primary that `id` is by a move that is not known to be over (rule 36).
    #[must_use]
    pub fn takes_over(&self, id: MemberId) -> Option<PrimaryIndex> {
        let index = self.index_of(id)?;
        self.moved().find(|(j, _)| *j == index).map(|(j, _)| j)
    }

    /// The lost primaries that would serve again if they answered (rule 25).
    pub fn formers(&self) -> impl Iterator<Item = (PrimaryIndex, &Former)> {
        let seats = self.primaries.iter().enumerate();
        seats.filter_map(|(i, s)| Some((PrimaryIndex(i as u16), s.former.as_ref()?)))
    }

    /// The fused structure of this id that was given up and may return, or returns (rule 52).
    #[must_use]
    pub fn former_code(&self, id: MemberId) -> Option<&FormerCode> {
        self.former_codes.iter().find(|f| f.id == id)
    }

    /// The fused structures that were given up, may return, and do not yet (rule 52).
    pub fn codes_away(&self) -> impl Iterator<Item = &FormerCode> {
        let away = |f: &&FormerCode| self.fused_seat(f.id).is_none();
        self.former_codes.iter().filter(away)
    }

    /// Whether this fused structure lacks nothing that a lost primary answered (rule 52).
    #[must_use]
    pub fn lacks_no_lost(&self, code: &FormerCode) -> bool {
        planted(Fault::ReturnLacksLost) || self.lost().all(|j| code.lost.contains(&j))
    }

    /// Where member `id` runs, or ran if it may serve again.
    #[must_use]
    pub fn host_of(&self, id: MemberId) -> Option<&Host> {
        let primary = self.primaries.iter().find(|s| s.id == id).map(|s| &s.host);
        let former = || {
            self.formers()
                .find(|(_, f)| f.id == id)
                .map(|(_, f)| &f.host)
        };
        let fused = || self.fused_seat(id).map(|s| &s.host);
        let heir = || self.heirs().find(|(_, h)| h.id == id).map(|(_, h)| &h.host);
        let moved = || self.moved().find(|(_, f)| f.id == id).map(|(_, f)| &f.host);
        let away = || self.former_code(id).map(|f| &f.host);
        primary
            .or_else(fused)
            .or_else(former)
            .or_else(away)
            .or_else(heir)
            .or_else(moved)
    }

    /// Whether a server hosts a member, or one that may serve again.
    #[must_use]
    pub fn names(&self, server: ServerId) -> bool {
        let mut formers = self.formers().chain(self.moved());
        let mut codes = self.former_codes.iter();
        formers.any(|(_, f)| f.host.server == server)
            || codes.any(|f| f.host.server == server)
            || self.servers().contains(&server)
    }

    /// The servers that host a member, each once, ascending.
    #[must_use]
    pub fn servers(&self) -> BTreeSet<ServerId> {
        let primaries = self.primaries.iter().map(|s| s.host.server);
        primaries
            .chain(self.fused.iter().map(|s| s.host.server))
            .chain(self.heirs().map(|(_, h)| h.host.server))
            .collect()
    }

    /// Whether fewer codes are in sync than the cluster was asked to keep: no change is executed then (rule 53).
    #[must_use]
    pub fn is_below_floor(&self) -> bool {
        self.in_sync().count() < usize::from(self.min_in_sync) && !planted(Fault::FloorIgnored)
    }

    /// How many more members may be lost now without losing data, if every member named is alive.
    #[must_use]
    pub fn tolerates(&self) -> usize {
        self.in_sync().count().saturating_sub(self.lost().count())
    }

    /// The route of a message from one member to another (rules 4, 61).
    #[must_use]
    pub fn route(&self, from: MemberId, to: MemberId) -> Route {
        Route {
            cluster: self.cluster,
            epoch: self.epoch,
            nonce: self.nonce,
            from,
            to,
        }
    }

    /// Whether this one is `other`'s epoch with another content: never possible with one honest store (rule 5).
    #[must_use]
    pub fn contradicts(&self, other: &Configuration) -> bool {
        self.cluster == other.cluster
            && self.epoch == other.epoch
            && (self.nonce != other.nonce || self.store != other.store)
    }
}
