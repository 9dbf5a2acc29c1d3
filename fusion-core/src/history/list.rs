//! What a list answers.

use super::model::{range, wrong_kind};
use crate::op::{Kind, Op, OpError, OpResult, Reply};
use bytes::Bytes;
use std::collections::VecDeque;

pub(super) fn apply(elements: &mut VecDeque<Bytes>, op: &Op) -> OpResult {
    let len = elements.len() as u64;
    let within = |index: u64, limit: u64| {
        if index < limit {
            Ok(index as usize)
        } else {
            Err(OpError::IndexError { index, len })
        }
    };
    match op {
        Op::Append { value } => {
            elements.push_back(value.clone());
            Ok(Reply::Index(len))
        }
        Op::Insert { index, value } => {
            elements.insert(within(*index, len + 1)?, value.clone());
            Ok(Reply::Done)
        }
        Op::SetIndex { index, value } => {
            elements[within(*index, len)?] = value.clone();
            Ok(Reply::Done)
        }
        Op::RemoveIndex { index } => {
            let removed = elements.remove(within(*index, len)?);
            Ok(Reply::Value(removed.unwrap_or_default()))
        }
        Op::GetIndex { index } => Ok(Reply::Value(elements[within(*index, len)?].clone())),
        Op::Range { start, limit } => range(elements, *start, *limit),
        _ => wrong_kind(Kind::List),
    }
}
