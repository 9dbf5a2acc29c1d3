//! The paper's test data and test cases (section 6, Tables 1 to 4), played against a list and a map cluster.
//!
//! Where a table and the states that the paper prints below it disagree, the states are what is expected:
//! - Table 1 adds 127 to List 3 at index 0; the state [126, 127, 789] needs index 1.
//! - Table 3 reads 125 at index 2 of List 1; in the state [123, 125, 456, 256] it stands at index 1.

use crate::output::say;
use crate::table::Table;
use fusion_net::client::{Client, ClusterSpec, Error, Kind, List, MapPart, Queue};
use std::collections::BTreeMap;

/// The primaries of the paper's clusters.
pub(crate) const PRIMARIES: usize = 3;
const LISTS: &str = "paper-lists";
const MAPS: &str = "paper-maps";
const QUEUES: &str = "paper-queues";

/// List, index, value, and the state after it where the paper prints one.
const TABLE_1: [(usize, u64, i64, Option<&str>); 10] = [
    (1, 0, 123, None),
    (1, 1, 456, Some("[123, 456]")),
    (1, 1, 125, Some("[123, 125, 456]")),
    (1, 3, 256, Some("[123, 125, 456, 256]")),
    (2, 0, 456, None),
    (2, 0, 420, Some("[420, 456]")),
    (2, 0, 420, Some("[420, 420, 456]")),
    (3, 0, 789, None),
    (3, 0, 126, Some("[126, 789]")),
    (3, 1, 127, Some("[126, 127, 789]")),
];

/// Map, key, value, and the state after it where the paper prints one.
const TABLE_2: [(usize, i64, i64, Option<&str>); 12] = [
    (1, 100, 1234, None),
    (1, 200, 9600, Some("{100: 1234, 200: 9600}")),
    (1, 100, 7121, Some("{100: 7121, 200: 9600}")),
    (1, 579, 420, Some("{100: 7121, 200: 9600, 579: 420}")),
    (2, 1, 6, None),
    (2, 2, 42, Some("{1: 6, 2: 42}")),
    (2, 57, 96, Some("{1: 6, 2: 42, 57: 96}")),
    (2, 59, 12, Some("{1: 6, 2: 42, 57: 96, 59: 12}")),
    (3, 5, 1, None),
    (3, 6, 2, Some("{5: 1, 6: 2}")),
    (3, 7, 4, Some("{5: 1, 6: 2, 7: 4}")),
    (3, 8, 3, Some("{5: 1, 6: 2, 7: 4, 8: 3}")),
];

/// What is looked up or removed: an index of a list or a key of a map.
#[derive(Clone, Copy)]
enum Place {
    List(usize, u64),
    Map(usize, i64),
}

use Place::{List as L, Map as M};

const TABLE_3: [(Place, &str); 9] = [
    (L(1, 0), "123"),
    (L(1, 1), "125"),
    (L(3, 2), "789"),
    (L(2, 1), "420"),
    (L(2, 4), "Index Error"),
    (M(1, 100), "7121"),
    (M(2, 57), "96"),
    (M(3, 8), "3"),
    (M(1, 7), "Key Error"),
];

const TABLE_4: [(Place, &str); 9] = [
    (L(1, 0), "[125, 456, 256]"),
    (L(2, 2), "[420, 420]"),
    (L(3, 1), "[126, 789]"),
    (L(3, 1), "[126]"),
    (L(1, 3), "Index Error"),
    (M(1, 100), "{200: 9600, 579: 420}"),
    (M(1, 579), "{200: 9600}"),
    (M(3, 7), "{5: 1, 6: 2, 8: 3}"),
    (M(1, 100), "Key Error"),
];

/// What the structures hold in the end.
const FINAL_LISTS: [&str; PRIMARIES] = ["[125, 456, 256]", "[420, 420]", "[126]"];
const FINAL_MAPS: [&str; PRIMARIES] = [
    "{200: 9600}",
    "{1: 6, 2: 42, 57: 96, 59: 12}",
    "{5: 1, 6: 2, 8: 3}",
];
const FINAL_QUEUES: [&str; PRIMARIES] = ["[3]", "[6, 5, 4]", "[]"];

/// The clusters of the paper's tests.
pub(crate) struct Paper {
    lists: Vec<List<i64>>,
    maps: Vec<MapPart<i64, i64>>,
    queues: Vec<Queue<i64>>,
}

/// Steps with what was expected and what came.
struct Played {
    table: Table,
    failed: usize,
}

impl Played {
    fn new() -> Played {
        Played {
            table: Table::new(["", "STEP", "EXPECTED", "ACTUAL"]).indent(2),
            failed: 0,
        }
    }

    fn note(&mut self, step: String, expected: &str, actual: &str) {
        let pass = expected == actual;
        self.failed += usize::from(!pass);
        let mark = if pass { "ok" } else { "FAILED" };
        self.table.row([
            mark.to_owned(),
            step,
            expected.to_owned(),
            actual.to_owned(),
        ]);
    }

    fn show(self, title: &str) -> anyhow::Result<usize> {
        say!("\n{title}\n{}", self.table)?;
        Ok(self.failed)
    }
}

impl Paper {
    /// Creates the clusters, each to tolerate `faults`.
    pub(crate) async fn create(client: &Client, faults: usize) -> Result<Paper, Error> {
        for (name, kind) in [
            (LISTS, Kind::List),
            (MAPS, Kind::Map),
            (QUEUES, Kind::Queue),
        ] {
            client
                .create(&ClusterSpec::new(name, kind, PRIMARIES, faults))
                .await?;
        }
        let mut paper = Paper {
            lists: Vec::new(),
            maps: Vec::new(),
            queues: Vec::new(),
        };
        for index in 0..PRIMARIES {
            paper.lists.push(client.list(LISTS, index).await?);
            paper.maps.push(client.map_part(MAPS, index).await?);
            paper.queues.push(client.queue(QUEUES, index).await?);
        }
        Ok(paper)
    }

    /// Plays all tables; answers how many steps did not give what is expected.
    pub(crate) async fn play(&self) -> anyhow::Result<usize> {
        Ok(self.table_1().await?
            + self.table_2().await?
            + self.table_3().await?
            + self.table_4().await?
            + self.queue().await?)
    }

    async fn table_1(&self) -> anyhow::Result<usize> {
        let mut played = Played::new();
        for (list, index, value, state) in TABLE_1 {
            self.lists[list - 1].insert(index, &value).await?;
            if let Some(expected) = state {
                let step = format!("List {list}: add {value} at index {index}");
                played.note(step, expected, &self.list(list).await?);
            }
        }
        let failed = played.show("Table 1: adding to lists")?;
        say!("  (the paper's table says index 0 for 127; the state that it prints needs index 1)")?;
        Ok(failed)
    }

    async fn table_2(&self) -> anyhow::Result<usize> {
        let mut played = Played::new();
        for (map, key, value, state) in TABLE_2 {
            self.maps[map - 1].put(&key, &value).await?;
            if let Some(expected) = state {
                let step = format!("Map {map}: add {value} with key {key}");
                played.note(step, expected, &self.map(map).await?);
            }
        }
        played.show("Table 2: adding to maps")
    }

    async fn table_3(&self) -> anyhow::Result<usize> {
        let mut played = Played::new();
        for (place, expected) in TABLE_3 {
            let (step, found) = match place {
                L(list, index) => (
                    format!("List {list}: get index {index}"),
                    self.lists[list - 1].get(index).await,
                ),
                M(map, key) => (
                    format!("Map {map}: get key {key}"),
                    self.maps[map - 1].get(&key).await,
                ),
            };
            played.note(step, expected, &told(found, |value| value.to_string())?);
        }
        let failed = played.show("Table 3: reading")?;
        say!(
            "  (the paper's table says index 2 for 125; in the state that it prints it stands at index 1)"
        )?;
        Ok(failed)
    }

    async fn table_4(&self) -> anyhow::Result<usize> {
        let mut played = Played::new();
        for (place, expected) in TABLE_4 {
            let (step, removed, state) = match place {
                L(list, index) => (
                    format!("List {list}: remove index {index}"),
                    self.lists[list - 1].remove(index).await,
                    self.list(list).await?,
                ),
                M(map, key) => (
                    format!("Map {map}: remove key {key}"),
                    self.maps[map - 1].remove(&key).await,
                    self.map(map).await?,
                ),
            };
            played.note(step, expected, &told(removed, |_| state)?);
        }
        played.show("Table 4: removing")
    }

    /// The paper has no table for its queues: the same kind of steps.
    async fn queue(&self) -> anyhow::Result<usize> {
        let mut played = Played::new();
        for (queue, values) in [(1, vec![1, 2, 3]), (2, vec![6, 5, 4])] {
            for value in &values {
                self.queues[queue - 1].enqueue(value).await?;
            }
            let step = format!("Queue {queue}: enqueue {values:?}");
            played.note(
                step,
                &format!("{values:?}"),
                &self.queue_state(queue).await?,
            );
        }
        let first = self.queues[0].dequeue().await?;
        played.note(
            "Queue 1: dequeue".to_owned(),
            "Some(1)",
            &format!("{first:?}"),
        );
        let second = self.queues[0].dequeue().await?;
        played.note(
            "Queue 1: dequeue".to_owned(),
            "Some(2)",
            &format!("{second:?}"),
        );
        let front = self.queues[1].peek().await?;
        played.note("Queue 2: peek".to_owned(), "Some(6)", &format!("{front:?}"));
        let none = self.queues[2].dequeue().await?;
        played.note("Queue 3: dequeue".to_owned(), "None", &format!("{none:?}"));
        played.show("Queues (the paper has no table for them)")
    }

    /// Compares the final states; answers what differs, and how many elements were looked at.
    pub(crate) async fn check(&self) -> Result<(Vec<String>, u64), Error> {
        let mut differences = Vec::new();
        let mut elements = 0;
        for number in 1..=PRIMARIES {
            let i = number - 1;
            let states = [
                ("List", FINAL_LISTS[i], self.list(number).await?),
                ("Map", FINAL_MAPS[i], self.map(number).await?),
                ("Queue", FINAL_QUEUES[i], self.queue_state(number).await?),
            ];
            for (what, expected, actual) in states {
                if expected != actual {
                    differences.push(format!(
                        "{what} {number} of the paper's: expected {expected}, found {actual}"
                    ));
                }
            }
            elements += self.lists[i].len().await?
                + self.maps[i].len().await?
                + self.queues[i].len().await?;
        }
        Ok((differences, elements))
    }

    async fn list(&self, number: usize) -> Result<String, Error> {
        Ok(format!("{:?}", self.lists[number - 1].to_vec().await?))
    }

    async fn map(&self, number: usize) -> Result<String, Error> {
        let entries = self.maps[number - 1].entries().await?;
        Ok(format!("{:?}", BTreeMap::from_iter(entries)))
    }

    async fn queue_state(&self, number: usize) -> Result<String, Error> {
        Ok(format!("{:?}", self.queues[number - 1].to_vec().await?))
    }
}

/// What the paper would print: its word for an error, or what `shown` makes of the value.
fn told(result: Result<i64, Error>, shown: impl FnOnce(i64) -> String) -> Result<String, Error> {
    match result {
        Ok(value) => Ok(shown(value)),
        Err(Error::IndexError { .. }) => Ok("Index Error".to_owned()),
        Err(Error::KeyError { .. }) => Ok("Key Error".to_owned()),
        Err(error) => Err(error),
    }
}
