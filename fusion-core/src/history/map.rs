//! What a map answers.

use super::model::wrong_kind;
use crate::op::{Kind, Op, OpError, OpResult, Reply};
use bytes::Bytes;
use std::collections::BTreeMap;

pub(super) fn apply(entries: &mut BTreeMap<Bytes, Bytes>, op: &Op) -> OpResult {
    let missing = |key: &Bytes| Err(OpError::KeyError { key: key.clone() });
    match op {
        Op::Put { key, value } => {
            let before = entries.insert(key.clone(), value.clone());
            Ok(Reply::Bool(before.is_some()))
        }
        Op::Remove { key } => match entries.remove(key) {
            Some(value) => Ok(Reply::Value(value)),
            None => missing(key),
        },
        Op::CompareAndSwap { key, expected, new } => {
            let found = entries.get(key).cloned();
            let swapped = found == *expected;
            match new {
                Some(new) if swapped => drop(entries.insert(key.clone(), new.clone())),
                None if swapped => drop(entries.remove(key)),
                _ => {}
            }
            let found = if swapped { None } else { found };
            Ok(Reply::Swapped { swapped, found })
        }
        Op::Get { key } => match entries.get(key) {
            Some(value) => Ok(Reply::Value(value.clone())),
            None => missing(key),
        },
        Op::Contains { key } => Ok(Reply::Bool(entries.contains_key(key))),
        Op::Scan { .. } => {
            let all = entries
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()));
            Ok(Reply::Entries {
                entries: all.collect(),
                next: None,
            })
        }
        _ => wrong_kind(Kind::Map),
    }
}
