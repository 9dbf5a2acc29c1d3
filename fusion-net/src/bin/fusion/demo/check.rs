//! Compares what the clusters hold with what was loaded and acknowledged.

use super::load::Loaded;
use super::writers::{Diaries, Diary, counter_key, parse_late};
use fusion_net::client::{Error, List, Map, Queue};
use futures::StreamExt;
use std::collections::HashSet;

/// Of the loaded keys at most so many are looked up one by one, beside the comparison of everything.
const MAX_LOOKUPS: u64 = 20_000;

/// What differs, and how much was looked at.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What differs.
    pub(crate) differences: Vec<String>,
    /// Elements that were compared.
    pub(crate) elements: u64,
}

impl Findings {
    fn differs(&mut self, what: String) {
        self.differences.push(what);
    }

    /// Compares the map: everything by scans of its parts, some keys by lookups.
    pub(crate) async fn map(
        &mut self,
        map: &Map<String, String>,
        loaded: &Loaded,
        diaries: &Diaries,
    ) -> Result<(), Error> {
        let mut late: Vec<Vec<u64>> = vec![Vec::new(); diaries.map.len()];
        let mut found = 0;
        let mut counters = vec![None; diaries.counters.len()];
        for part in map.parts() {
            for (key, value) in part.entries().await? {
                self.elements += 1;
                if let Some((writer, number)) = parse_late(&key) {
                    match late.get_mut(writer) {
                        Some(numbers) if value == number.to_string() => numbers.push(number),
                        _ => self.differs(format!("map: {key:?} has the value {value:?}")),
                    }
                } else if let Some(writer) = (0..counters.len()).find(|&w| key == counter_key(w)) {
                    counters[writer] = value.parse::<u64>().ok();
                } else {
                    found += 1;
                    match loaded.expected(&key) {
                        Some(expected) if expected == value => {}
                        Some(expected) => self.differs(format!(
                            "map: {key:?} has the value {value:?} instead of {expected:?}"
                        )),
                        None => self.differs(format!("map: {key:?} was never put")),
                    }
                }
            }
        }
        if found != loaded.len() {
            self.differs(format!(
                "map: {found} of the {} loaded elements are there",
                loaded.len()
            ));
        }
        let lens = map.len().await?;
        if lens != self.elements {
            self.differs(format!(
                "map: says it has {lens} elements, and shows {}",
                self.elements
            ));
        }
        for (writer, mut numbers) in late.into_iter().enumerate() {
            numbers.sort_unstable();
            self.writer(
                &format!("map, writer {writer}"),
                &diaries.map[writer],
                &numbers,
                0,
            );
        }
        for (writer, value) in counters.into_iter().enumerate() {
            self.counter(writer, value, &diaries.counters[writer]);
        }
        self.lookups(map, loaded).await
    }

    async fn lookups(&mut self, map: &Map<String, String>, loaded: &Loaded) -> Result<(), Error> {
        let keys = loaded.sample(MAX_LOOKUPS).into_iter();
        let gets = keys.map(|key| async move { (map.get(&key).await, key) });
        let mut gets = futures::stream::iter(gets).buffer_unordered(256);
        while let Some((value, key)) = gets.next().await {
            let value = match value {
                Err(Error::KeyError { .. }) => None,
                value => Some(value?),
            };
            if value != loaded.expected(&key) {
                self.differs(format!("map: looking up {key:?} gives {value:?}"));
            }
        }
        Ok(())
    }

    /// A key that one writer put 0, 1, 2 and so on to holds the last acknowledged number, or a later unknown one.
    fn counter(&mut self, writer: usize, value: Option<u64>, diary: &Diary) {
        let last = diary.acknowledged.last().copied();
        let later = |v: u64| diary.unknown.contains(&v) && last.is_none_or(|l| v > l);
        if value != last && !value.is_some_and(later) {
            self.differs(format!(
                "map: counter {writer} is {value:?}, and {last:?} was acknowledged last"
            ));
        }
    }

    /// Compares the lists, each with what its writer was told.
    pub(crate) async fn lists(
        &mut self,
        lists: &[List<String>],
        diaries: &Diaries,
    ) -> Result<(), Error> {
        for (i, (list, diary)) in lists.iter().zip(&diaries.lists).enumerate() {
            let values = self.numbers(&format!("list {i}"), list.to_vec().await?);
            self.writer(&format!("list {i}"), diary, &values, 0);
        }
        Ok(())
    }

    /// Compares the queues: what was taken, and then what is left.
    pub(crate) async fn queues(
        &mut self,
        queues: &[Queue<String>],
        diaries: &Diaries,
    ) -> Result<(), Error> {
        for (i, (queue, diary)) in queues.iter().zip(&diaries.queues).enumerate() {
            let (taker, taken) = &diaries.dequeuer;
            let (mut values, lost) = match i {
                0 => (taken.clone(), taker.unknown.len()),
                _ => (Vec::new(), 0),
            };
            values.extend(queue.to_vec().await?);
            let values = self.numbers(&format!("queue {i}"), values);
            self.writer(&format!("queue {i}"), diary, &values, lost);
        }
        Ok(())
    }

    fn numbers(&mut self, name: &str, values: Vec<String>) -> Vec<u64> {
        self.elements += values.len() as u64;
        let parsed = values.iter().map(|value| value.parse().map_err(|_| value));
        let (good, bad): (Vec<_>, Vec<_>) = parsed.partition(Result::is_ok);
        if let Some(Err(value)) = bad.first() {
            self.differs(format!("{name}: {value:?} was never written"));
        }
        good.into_iter().flatten().collect()
    }

    /// What one writer wrote must be there in its order, what was acknowledged all and what was refused not at all;
    /// `may_miss` of them may have been taken by calls whose outcome is unknown.
    fn writer(&mut self, name: &str, diary: &Diary, found: &[u64], may_miss: usize) {
        if let Some(pair) = found.windows(2).find(|pair| pair[0] >= pair[1]) {
            self.differs(format!(
                "{name}: {} stands after {}: twice or out of order",
                pair[1], pair[0]
            ));
        }
        let there: HashSet<u64> = found.iter().copied().collect();
        let missing: Vec<u64> = diary
            .acknowledged
            .iter()
            .copied()
            .filter(|n| !there.contains(n))
            .collect();
        if missing.len() > may_miss {
            self.differs(format!(
                "{name}: {} acknowledged writes are lost, the first is {}",
                missing.len(),
                missing[0]
            ));
        }
        let told: HashSet<u64> = diary
            .acknowledged
            .iter()
            .chain(&diary.unknown)
            .copied()
            .collect();
        if let Some(number) = found.iter().find(|n| !told.contains(n)) {
            self.differs(format!(
                "{name}: {number} is there, but was refused or never written"
            ));
        }
        if let Some((number, error)) = diary.refused.first() {
            self.differs(format!("{name}: write {number} failed: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(acknowledged: &[u64], unknown: &[u64], found: &[u64], may_miss: usize) -> usize {
        let diary = Diary {
            acknowledged: acknowledged.to_vec(),
            unknown: unknown.to_vec(),
            ..Diary::default()
        };
        let mut findings = Findings::default();
        findings.writer("w", &diary, found, may_miss);
        findings.differences.len()
    }

    #[test]
    fn acknowledged_writes_must_be_there_once_and_in_order() {
        assert_eq!(differences(&[0, 1, 3], &[2], &[0, 1, 3], 0), 0);
        assert_eq!(differences(&[0, 1, 3], &[2], &[0, 1, 2, 3], 0), 0);
        assert_eq!(differences(&[0, 1, 3], &[2], &[0, 3], 0), 1, "lost");
        assert_eq!(
            differences(&[0, 1, 3], &[2], &[0, 3], 1),
            0,
            "taken by an unknown call"
        );
        assert_eq!(differences(&[0, 1], &[], &[0, 1, 1], 0), 1, "twice");
        assert_eq!(differences(&[0, 1], &[], &[1, 0], 0), 1, "out of order");
        assert_eq!(
            differences(&[0, 1], &[], &[0, 1, 2], 0),
            1,
            "never acknowledged"
        );
    }

    #[test]
    fn a_counter_is_never_older_than_what_was_acknowledged() {
        let diary = Diary {
            acknowledged: vec![0, 1, 3],
            unknown: vec![2, 4],
            ..Diary::default()
        };
        for (value, wrong) in [
            (Some(3), 0),
            (Some(4), 0),
            (Some(2), 1),
            (Some(5), 1),
            (None, 1),
        ] {
            let mut findings = Findings::default();
            findings.counter(0, value, &diary);
            assert_eq!(findings.differences.len(), wrong, "{value:?}");
        }
    }
}
