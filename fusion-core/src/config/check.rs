//! What every configuration fulfils, whoever it comes from.

use super::{ClusterShape, Configuration, FusedState, PrimaryState, ShapeError};
use crate::id::{MemberId, PrimaryIndex, Row};
use crate::limits::MAX_CONFIG_NUMBER;
use crate::time::TimingError;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// The longest address, in bytes: the longest name of a host, and a port.
pub const MAX_ADDRESS_BYTES: usize = 253 + 6;

/// Why something that was decoded is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no cluster of that name or shape.
    #[error("{0}")]
    Shape(#[from] ShapeError),
    /// Its times do not fit.
    #[error("{0}")]
    Timing(#[from] TimingError),
    /// A row of codes that the cluster has not, or one that is held twice.
    #[error("row {row} of {faults} is not there, or held twice")]
    Row {
        /// The row.
        row: u16,
        /// How many there are.
        faults: u16,
    },
    /// A member id that is held twice, or was never given.
    #[error("member id {id} is held twice, or was never given")]
    Id {
        /// The id.
        id: MemberId,
    },
    /// A former primary of a seat that is not lost.
    #[error("an active primary has a former one")]
    Former,
    /// A former code of a row that is not there, is in sync or has another one, or that returns elsewhere.
    #[error("member {id} is no code that was given up and may return")]
    FormerCode {
        /// The member.
        id: MemberId,
    },
    /// A primary that is lost for good, or begins to be moved, and is still on its way from another move.
    #[error("a primary that was moved is lost, or moved again, before it serves")]
    MovedTwice,
    /// An address that nobody can have.
    #[error("an address of {bytes} bytes; at most {MAX_ADDRESS_BYTES} are possible")]
    Address {
        /// Its length.
        bytes: usize,
    },
    /// A member never holds another primary or row.
    #[error("member {id} held something else before")]
    Moved {
        /// The member.
        id: MemberId,
    },
    /// An epoch, or a next member id, that nobody came to (rule 66).
    #[error("{number} is above {MAX_CONFIG_NUMBER}: no epoch or member id is")]
    Number {
        /// The number.
        number: u64,
    },
    /// A cluster never changes its kind, its shape or what its reads rest on.
    #[error("another kind or shape than the cluster had before")]
    OtherCluster,
}

/// What a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Primary(usize),
    Row(Row),
}

impl Configuration {
    /// Makes sure that it can be worked with: what comes from the network may be anything.
    ///
    /// # Errors
    /// [`ConfigError`] says what no configuration has.
    pub fn check(&self) -> Result<(), ConfigError> {
        let faults = usize::from(self.faults);
        ClusterShape::existing(&self.name, self.kind, self.n(), faults, self.colocate)?
            .with_min_in_sync(usize::from(self.min_in_sync))?;
        self.timing.check()?;
        let number = self.epoch.0.max(self.next_id);
        if number > MAX_CONFIG_NUMBER {
            return Err(ConfigError::Number { number });
        }
        let mut ids = BTreeSet::new();
        let formers = self.formers().chain(self.moved()).map(|(_, f)| f.id);
        let away = self.codes_away().map(|f| f.id);
        for id in self.members().chain(formers).chain(away) {
            if id.0 == 0 || id.0 >= self.next_id || !ids.insert(id) {
                return Err(ConfigError::Id { id });
            }
        }
        let mut rows = BTreeSet::new();
        for seat in &self.fused {
            let row = seat.row.0;
            if row >= self.faults || !rows.insert((row, seat.state == FusedState::InSync)) {
                let faults = self.faults;
                return Err(ConfigError::Row { row, faults });
            }
        }
        self.check_former_codes()?;
        let active = |(_, seat): (_, &super::PrimarySeat)| seat.former.is_some();
        if self.primaries_in(PrimaryState::Active).any(active) {
            return Err(ConfigError::Former);
        }
        let twice = |seat: &super::PrimarySeat| {
            // The one that was moved here may return, and need it yet (rule 50).
            let lives = seat.state == PrimaryState::Active || seat.former.is_some();
            seat.moved_from.is_some() && !(lives && seat.heir.is_none())
        };
        if self.primaries.iter().any(twice) {
            return Err(ConfigError::MovedTwice);
        }
        let formers = self.formers().chain(self.moved()).map(|(_, f)| &f.host);
        let fused = self.fused.iter().map(|s| &s.host);
        let hosts = self.primaries.iter().map(|s| &s.host);
        let heirs = self.heirs().map(|(_, h)| &h.host);
        let codes = self.former_codes.iter().map(|f| &f.host);
        let hosts = hosts.chain(fused).chain(formers).chain(heirs).chain(codes);
        let longest = hosts.map(|h| h.address.len());
        match longest.max() {
            Some(bytes) if bytes > MAX_ADDRESS_BYTES => Err(ConfigError::Address { bytes }),
            _ => Ok(()),
        }
    }

    /// Rule 52.
    fn check_former_codes(&self) -> Result<(), ConfigError> {
        let mut rows = BTreeSet::new();
        for former in &self.former_codes {
            let seat = self.fused_seat(former.id);
            let returns = seat
                .is_none_or(|s| s.state.learns() && (s.row, &s.host) == (former.row, &former.host));
            let in_sync = self.in_sync().any(|s| s.row == former.row);
            let known = former.row.0 < self.faults && rows.insert(former.row);
            let lost = |j: &PrimaryIndex| {
                let seat = self.primary(*j);
                seat.is_some_and(|s| s.state == PrimaryState::Lost)
            };
            if !returns || in_sync || !known || !former.lost.iter().all(lost) {
                return Err(ConfigError::FormerCode { id: former.id });
            }
        }
        Ok(())
    }

    /// Makes sure that it can follow another one of its cluster.
    ///
    /// # Errors
    /// [`ConfigError::OtherCluster`].
    pub fn check_after(&self, before: &Configuration) -> Result<(), ConfigError> {
        let same = self.cluster == before.cluster
            && self.kind == before.kind
            && self.n() == before.n()
            && self.reads == before.reads
            && self.min_in_sync == before.min_in_sync
            && self.faults == before.faults;
        if !same {
            return Err(ConfigError::OtherCluster);
        }
        let places = before.places();
        let moved = |(id, place): (&MemberId, &Place)| places.get(id).is_some_and(|p| p != place);
        match self.places().iter().find(|&entry| moved(entry)) {
            Some((&id, _)) => Err(ConfigError::Moved { id }),
            None => Ok(()),
        }
    }

    /// What each member holds, or may hold again; that never changes.
    fn places(&self) -> BTreeMap<MemberId, Place> {
        let seats = self.primaries.iter().enumerate();
        let seats = seats.map(|(i, s)| (s.id, Place::Primary(i)));
        let formers = self.formers().chain(self.moved());
        let formers = formers.map(|(i, f)| (f.id, Place::Primary(i.index())));
        let heirs = self.heirs().map(|(i, h)| (h.id, Place::Primary(i.index())));
        let fused = self.fused.iter().map(|s| (s.id, Place::Row(s.row)));
        let codes = self.former_codes.iter();
        let codes = codes.map(|f| (f.id, Place::Row(f.row)));
        let codes = codes.chain(fused);
        seats.chain(formers).chain(heirs).chain(codes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Former, FormerCode, Host, Origin};
    use crate::id::{ClusterId, ServerId};
    use crate::op::Kind;

    fn good() -> Configuration {
        let shape = ClusterShape::new("c", Kind::Map, 2, 2, false).unwrap();
        let hosts = [1, 2, 3, 4].map(|i| Host {
            server: ServerId(i),
            address: format!("127.0.0.1:{i}"),
        });
        Configuration::create(1, ClusterId(1), 1, &shape, &hosts)
    }

    #[test]
    fn what_nobody_can_have_decided_is_refused() {
        assert_eq!(good().check(), Ok(()));
        let refused = |spoil: fn(&mut Configuration)| {
            let mut config = good();
            spoil(&mut config);
            config.check().unwrap_err()
        };
        refused(|c| c.primaries.clear());
        refused(|c| c.faults = 0);
        refused(|c| c.faults = u16::MAX);
        refused(|c| c.min_in_sync = 3);
        refused(|c| c.name = "a/b".to_owned());
        refused(|c| c.fused[0].row = Row(2));
        refused(|c| c.fused[0].row = Row(1));
        refused(|c| c.next_id = 4);
        refused(|c| c.next_id = u64::MAX);
        refused(|c| c.epoch.0 = MAX_CONFIG_NUMBER + 1);
        refused(|c| c.primaries[1].id = c.primaries[0].id);
        refused(|c| c.primaries[0].host.address = "x".repeat(1000));
        refused(|c| {
            c.next_id = 6;
            c.primaries[0].former = Some(Former {
                id: MemberId(5),
                host: c.primaries[0].host.clone(),
                origin: Origin::Created,
                blamed: false,
            });
        });
        let moved = |c: &mut Configuration| {
            c.next_id = 6;
            c.primaries[0].moved_from = Some(Former {
                id: MemberId(5),
                host: c.primaries[0].host.clone(),
                origin: Origin::Created,
                blamed: false,
            });
        };
        let mut config = good();
        moved(&mut config);
        assert_eq!(config.check(), Ok(()));
        config.primaries[0].state = PrimaryState::Lost;
        assert_eq!(config.check(), Err(ConfigError::MovedTwice));
        config.primaries[0].state = PrimaryState::Active;
        config.next_id = 5;
        let id = MemberId(5);
        assert_eq!(config.check(), Err(ConfigError::Id { id }));
    }

    #[test]
    fn a_former_code_is_of_a_row_that_is_not_in_sync_and_lacks_no_more_than_the_lost() {
        let mut away = good();
        let seat = away.fused.remove(0);
        away.former_codes.push(FormerCode {
            id: seat.id,
            host: seat.host.clone(),
            row: seat.row,
            origin: seat.origin,
            lost: Vec::new(),
        });
        assert_eq!(away.check(), Ok(()));
        let refused = |spoil: fn(&mut Configuration)| {
            let mut config = away.clone();
            spoil(&mut config);
            config.check().unwrap_err()
        };
        let id = seat.id;
        let none = ConfigError::FormerCode { id };
        assert_eq!(refused(|c| c.fused[0].row = Row(0)), none);
        assert_eq!(refused(|c| c.former_codes[0].row = Row(2)), none);
        let lost = |c: &mut Configuration| c.former_codes[0].lost.push(PrimaryIndex(1));
        assert_eq!(refused(lost), none);
        refused(|c| c.former_codes.push(c.former_codes[0].clone()));
        refused(|c| c.former_codes[0].id = c.fused[0].id);
        refused(|c| c.former_codes[0].host.address = "x".repeat(1000));
        let state = FusedState::Copying;
        let mut back = away.clone();
        back.fused.push(crate::config::FusedSeat { state, ..seat });
        assert_eq!(back.check(), Ok(()));
        back.fused[1].host.server = crate::id::ServerId(9);
        assert_eq!(back.check(), Err(none));
    }

    #[test]
    fn a_name_is_none_that_commands_take_for_something_else() {
        let named = |name| ClusterShape::new(name, Kind::Map, 1, 1, false);
        for fine in ["a", "A.b-c_d", "0", "_", "x."] {
            assert!(named(fine).is_ok(), "{fine:?}");
        }
        for bad in [
            "",
            "-x",
            "--",
            ".",
            "..",
            ".x",
            "a b",
            "a/b",
            &"x".repeat(65),
        ] {
            let error = named(bad).unwrap_err();
            assert!(matches!(error, ShapeError::BadName { .. }), "{bad:?}");
        }
        // One that has such a name from before is not lost for it.
        let mut before = good();
        before.name = ".x".to_owned();
        assert_eq!(before.check(), Ok(()));
    }

    #[test]
    fn a_cluster_keeps_its_shape() {
        let before = good();
        let mut next = before.successor(2);
        assert_eq!(next.check_after(&before), Ok(()));
        next.primaries.swap(0, 1);
        let id = MemberId(1);
        assert_eq!(next.check_after(&before), Err(ConfigError::Moved { id }));
        next.primaries.pop();
        assert_eq!(next.check_after(&before), Err(ConfigError::OtherCluster));
    }
}
