//! What is run, and how much of it.

use super::action::{Action, Block, Workload};
use super::entries::KEY_BYTES;
use super::keys::Popularity;
use serde::Serialize;

/// The keys of one value size take no more memory than this, so that large values need not fill the machine.
const DATA_BYTES: u64 = 32 << 20;
/// Writes that are sent together, where there are many.
const MANY: usize = 32;

/// Which primaries of Redis there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peers {
    /// None.
    None,
    /// One.
    One,
    /// As many as ours, of which the first has all keys, too.
    Several,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    /// This project, as its client comes.
    Fusion,
    /// Each call a request of its own.
    FusionSingle,
    /// Many writes in one call of the client.
    FusionMany,
    /// A connection for each task; a WAIT after each write.
    Redis,
    /// As [`Side::Redis`], but the WAIT is sent when the write was answered.
    RedisTwoTrips,
    /// All tasks on one connection.
    RedisShared,
    /// Many writes before one WAIT.
    RedisMany,
    /// All tasks on one connection; those that write at the same time share a WAIT.
    RedisGathered,
    /// As many primaries of Redis as there are of ours, keys spread over them; else as [`Side::Redis`].
    RedisSpread,
}

impl Side {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Fusion => "Fusion",
            Side::FusionSingle => "Fusion, each call a request",
            Side::FusionMany => "Fusion, up to 32 writes a call",
            Side::Redis => "Redis",
            Side::RedisTwoTrips => "Redis, WAIT after the answer",
            Side::RedisShared => "Redis, one connection",
            Side::RedisMany => "Redis, up to 32 writes a WAIT",
            Side::RedisGathered => "Redis, one connection, a WAIT for all",
            Side::RedisSpread => "Redis, as many primaries",
        }
    }

    /// Whether it is this project's.
    pub(crate) fn is_fusion(self) -> bool {
        matches!(self, Side::Fusion | Side::FusionSingle | Side::FusionMany)
    }

    /// Whether others are compared with it.
    pub(crate) fn is_reference(self) -> bool {
        !self.is_fusion() && !matches!(self, Side::RedisMany | Side::RedisGathered)
    }

    /// Who does that.
    fn of(action: Action, redis: Peers) -> Vec<Side> {
        let mut sides = vec![Side::Fusion];
        match action {
            Action::Put => sides.extend([
                Side::FusionSingle,
                Side::FusionMany,
                Side::Redis,
                Side::RedisTwoTrips,
                Side::RedisMany,
                Side::RedisGathered,
            ]),
            Action::Get => sides.extend([Side::FusionSingle, Side::Redis, Side::RedisShared]),
            action if action.redis().is_some() => sides.push(Side::Redis),
            _ => {}
        }
        if action.is_steady() && redis == Peers::Several {
            sides.push(Side::RedisSpread);
        }
        sides.retain(|side| redis != Peers::None || side.is_fusion());
        sides
    }

    /// Whether writes go together that others send one by one.
    fn has_many(self) -> bool {
        matches!(
            self,
            Side::FusionMany | Side::RedisMany | Side::RedisGathered
        )
    }

    /// How many tasks, and how many steps each has under way, make so many in flight.
    pub(crate) fn tasks(self, in_flight: usize) -> (usize, usize) {
        match self {
            Side::FusionMany | Side::RedisMany => ((in_flight / MANY).max(1), MANY.min(in_flight)),
            _ => (in_flight, 1),
        }
    }
}

/// A block for one side at one setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    /// What is done.
    pub(crate) block: Block,
    /// The length of a value.
    pub(crate) value_bytes: usize,
    /// Which keys; of steady blocks only.
    pub(crate) popularity: Popularity,
    /// How many operations at a time.
    pub(crate) in_flight: usize,
    /// By whom.
    pub(crate) side: Side,
}

/// Everything that is asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    /// Which workloads.
    pub(crate) workloads: Vec<Workload>,
    /// Lengths of values.
    pub(crate) values: Vec<usize>,
    /// Popularities of keys.
    pub(crate) popularities: Vec<Popularity>,
    /// Numbers in flight.
    pub(crate) in_flight: Vec<usize>,
    /// The most keys of a map that is there.
    pub(crate) keys: u64,
}

impl Plan {
    /// How many keys with values of that size are there.
    pub(crate) fn keys(&self, value_bytes: usize) -> u64 {
        let most = DATA_BYTES / (value_bytes + KEY_BYTES) as u64;
        self.keys.min(most.max(1))
    }

    /// All cells of one repetition.
    pub(crate) fn cells(&self, redis: Peers) -> Vec<Cell> {
        let mut cells = Vec::new();
        for block in self.workloads.iter().flat_map(|w| w.blocks()) {
            let steady = block.first().is_steady();
            let popularities = if steady {
                &self.popularities[..]
            } else {
                &[Popularity::Uniform]
            };
            for &value_bytes in &self.values {
                for &popularity in popularities {
                    for &in_flight in &self.in_flight {
                        let mut sides = Side::of(block.first(), redis);
                        // One write at a time is what both are measured by anyway.
                        sides.retain(|side| !side.has_many() || in_flight > 1);
                        for side in sides {
                            cells.push(Cell {
                                block,
                                value_bytes,
                                popularity,
                                in_flight,
                                side,
                            });
                        }
                    }
                }
            }
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            workloads: vec![Workload::Put, Workload::List],
            values: vec![64, 16384],
            popularities: vec![Popularity::Uniform, Popularity::Zipf],
            in_flight: vec![1, 64],
            keys: 100_000,
        }
    }

    #[test]
    fn what_redis_has_no_equal_for_is_not_compared() {
        let cells = plan().cells(Peers::One);
        let anywhere = |cell: &&Cell| cell.block.first() == Action::InsertAny;
        assert!(
            cells
                .iter()
                .filter(anywhere)
                .all(|c| c.side == Side::Fusion)
        );
        assert!(cells.iter().any(|c| c.side == Side::RedisMany));
        assert!(plan().cells(Peers::None).iter().all(|c| c.side.is_fusion()));
        // 2 sizes, 2 popularities, 4 sides with 1 in flight and 7 with 64; lists have no popularities, and 5 blocks with
        // sides.
        assert_eq!(cells.len(), 2 * 2 * (4 + 7) + 2 * 2 * 5);
        // Where Redis has several primaries, too, maps have one more.
        let more = plan().cells(Peers::Several);
        assert_eq!(more.len(), cells.len() + 2 * 2 * 2);
    }

    #[test]
    fn large_values_come_with_few_keys() {
        assert_eq!(plan().keys(64), 100_000);
        assert_eq!(plan().keys(16384), 2046);
    }

    #[test]
    fn a_batch_is_no_more_than_is_in_flight() {
        assert_eq!(Side::RedisMany.tasks(1), (1, 1));
        assert_eq!(Side::RedisMany.tasks(16), (1, 16));
        assert_eq!(Side::RedisMany.tasks(256), (8, 32));
        assert_eq!(Side::Redis.tasks(256), (256, 1));
    }
}
