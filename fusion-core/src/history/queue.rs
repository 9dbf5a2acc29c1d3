//! What a queue answers.

use super::model::{range, wrong_kind};
use crate::op::{Kind, Op, OpResult, Reply};
use bytes::Bytes;
use std::collections::VecDeque;

pub(super) fn apply(elements: &mut VecDeque<Bytes>, op: &Op) -> OpResult {
    match op {
        Op::Enqueue { value } => {
            elements.push_back(value.clone());
            Ok(Reply::Done)
        }
        Op::Dequeue => Ok(Reply::Maybe(elements.pop_front())),
        Op::Peek => Ok(Reply::Maybe(elements.front().cloned())),
        Op::Range { start, limit } => range(elements, *start, *limit),
        _ => wrong_kind(Kind::Queue),
    }
}
