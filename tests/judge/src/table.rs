//! A map as a whole.

use crate::record::{Asked, Told};
use crate::register::Register;
use crate::windows::Structure;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Table(BTreeMap<Arc<str>, Arc<str>>);

/// An operation and the key that it is about, if it is about one.
#[derive(Clone, Debug)]
pub(crate) struct Keyed {
    pub(crate) key: Option<Arc<str>>,
    pub(crate) asked: Asked,
}

impl Structure for Table {
    type Operation = Keyed;

    fn apply(&mut self, keyed: &Keyed, told: Option<&Told>) -> bool {
        let Some(key) = &keyed.key else {
            return told.is_none_or(|told| self.whole(&keyed.asked, told));
        };
        let mut register = Register(self.0.get(key).cloned());
        let agrees = register.apply(&keyed.asked, told);
        match register.0 {
            Some(value) => self.0.insert(Arc::clone(key), value),
            None => self.0.remove(key),
        };
        agrees
    }
}

impl Table {
    fn whole(&self, asked: &Asked, told: &Told) -> bool {
        match (asked, told) {
            (Asked::Len, Told::Len(len)) => *len == self.0.len(),
            // A scan may be cut short, and says each entry once.
            (Asked::Scan { first }, Told::Entries { entries, more }) => {
                let is_there = |(key, value): &(String, String)| {
                    self.0.get(key.as_str()).is_some_and(|v| **v == **value)
                };
                let keys: BTreeSet<&String> = entries.iter().map(|(key, _)| key).collect();
                let all = !first || *more || entries.len() == self.0.len();
                all && keys.len() == entries.len() && entries.iter().all(is_there)
            }
            _ => false,
        }
    }
}
