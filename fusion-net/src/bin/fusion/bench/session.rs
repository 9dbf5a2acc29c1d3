//! How one task reaches one side.

use super::action::{Answer, Step};
use super::entries::{Target, key, mix};
use super::redis::resp::Resp;
use super::redis::{Connection, Shared};
use anyhow::bail;
use bytes::Bytes;
use fusion_core::op::{Op, Reply};
use fusion_net::client::{Error, Raw};
use std::slice;

/// The longest that Redis may wait for its replicas.
const WAIT_MS: &[u8] = b"30000";

/// What steps go to.
#[derive(Clone, Debug)]
pub(crate) enum Structures {
    /// Maps.
    Maps(Target),
    /// Lists or queues, one on each primary.
    Parts(Vec<Raw>),
}

/// What a task calls.
#[derive(Debug)]
pub(crate) enum Session {
    /// Fusion; one step at a time.
    Fusion(Structures),
    /// A connection of its own, on which writes are followed by a WAIT for so many replicas.
    Redis {
        /// The connection.
        connection: Connection,
        /// How many replicas must have it.
        replicas: usize,
    },
    /// As [`Session::Redis`], with a primary for each share of the keys.
    RedisSpread {
        /// One to each primary.
        connections: Vec<Connection>,
        /// How many replicas each must have.
        replicas: usize,
    },
    /// A connection that all share; reads only.
    RedisShared(Shared),
}

impl Session {
    /// Executes the steps and answers each; several at a time only on a connection to Redis, before one WAIT.
    ///
    /// # Errors
    /// When the side is gone or does not answer; a wrong answer is none.
    pub(crate) async fn run(&mut self, steps: &[Step]) -> anyhow::Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(steps.len());
        match self {
            Session::Fusion(structures) => {
                for step in steps {
                    answers.push(fusion(structures, step).await?);
                }
            }
            Session::RedisShared(shared) => {
                for step in steps {
                    let Step::Get { number } = step else {
                        bail!("{step:?} is no read");
                    };
                    let answer = shared.ask(&[b"GET", &key(*number)]).await?;
                    answers.push(meaning(step, answer));
                }
            }
            Session::Redis {
                connection,
                replicas,
            } => answers = redis(connection, *replicas, steps).await?,
            Session::RedisSpread {
                connections,
                replicas,
            } => {
                for step in steps {
                    let at = share(step.number()?, connections.len());
                    let answer = redis(&mut connections[at], *replicas, slice::from_ref(step));
                    answers.extend(answer.await?);
                }
            }
        }
        Ok(answers)
    }
}

/// Which of so many primaries of Redis has a key.
pub(crate) fn share(number: u64, primaries: usize) -> usize {
    (mix(number) % primaries as u64) as usize
}

/// All steps in one write, with a WAIT behind them if anything may change.
async fn redis(
    connection: &mut Connection,
    replicas: usize,
    steps: &[Step],
) -> anyhow::Result<Vec<Answer>> {
    let writes = steps.iter().any(Step::is_write);
    for step in steps {
        queue(connection, step)?;
    }
    let wanted = replicas.to_string();
    if writes {
        connection.queue(&[b"WAIT", wanted.as_bytes(), WAIT_MS]);
    }
    connection.send().await?;
    let mut answers = Vec::with_capacity(steps.len());
    for step in steps {
        answers.push(meaning(step, connection.answer().await?));
    }
    if writes {
        let waited = connection.answer().await?;
        let enough = matches!(waited, Resp::Integer(n) if n >= replicas as i64);
        if let Some(last) = answers.last_mut().filter(|_| !enough) {
            *last = Answer::Wrong(format!("WAIT {replicas} was answered by {waited:?}"));
        }
    }
    Ok(answers)
}

/// The name of a list in Redis.
pub(crate) fn list_name(list: usize) -> String {
    format!("bench-list-{list:05}")
}

fn queue(connection: &mut Connection, step: &Step) -> anyhow::Result<()> {
    match step {
        Step::Put { number, value, .. } => connection.queue(&[b"SET", &key(*number), value]),
        Step::Get { number } => connection.queue(&[b"GET", &key(*number)]),
        Step::Delete { number } => connection.queue(&[b"GETDEL", &key(*number)]),
        Step::Append { list, value } | Step::Enqueue { list, value } => {
            connection.queue(&[b"RPUSH", list_name(*list).as_bytes(), value]);
        }
        Step::Insert {
            list,
            index: 0,
            value,
        } => connection.queue(&[b"LPUSH", list_name(*list).as_bytes(), value]),
        Step::Remove { list, index: 0 } | Step::Dequeue { list } => {
            connection.queue(&[b"LPOP", list_name(*list).as_bytes()]);
        }
        Step::Insert { .. } | Step::Remove { .. } => bail!("Redis has nothing like {step:?}"),
    }
    Ok(())
}

/// What Redis says by that.
fn meaning(step: &Step, answer: Resp) -> Answer {
    match (step, answer) {
        (Step::Put { .. }, Resp::Simple(ok)) if ok == "OK" => Answer::Done,
        (
            Step::Get { .. } | Step::Delete { .. } | Step::Remove { .. } | Step::Dequeue { .. },
            Resp::Bulk(value),
        ) => Answer::Value(value),
        // The length of the list.
        (Step::Append { .. } | Step::Enqueue { .. } | Step::Insert { .. }, Resp::Integer(1..)) => {
            Answer::Done
        }
        (_, answer) => Answer::Wrong(format!("{answer:?}")),
    }
}

async fn fusion(structures: &Structures, step: &Step) -> anyhow::Result<Answer> {
    let reply = match (structures, step) {
        (Structures::Maps(maps), step) => {
            let number = step.number()?;
            let bytes = Bytes::copy_from_slice(&key(number));
            let op = match step {
                Step::Put { value, .. } => Op::Put {
                    key: bytes,
                    value: value.clone(),
                },
                Step::Get { .. } => Op::Get { key: bytes },
                _ => Op::Remove { key: bytes },
            };
            match maps.of(number)?.call(op).await {
                Err(Error::KeyError { .. }) => {
                    return Ok(Answer::Wrong(format!("key {number} is not there")));
                }
                reply => reply?,
            }
        }
        (Structures::Parts(parts), step) => {
            let (list, op) = match step.clone() {
                Step::Append { list, value } => (list, Op::Append { value }),
                Step::Insert { list, index, value } => (list, Op::Insert { index, value }),
                Step::Remove { list, index } => (list, Op::RemoveIndex { index }),
                Step::Enqueue { list, value } => (list, Op::Enqueue { value }),
                Step::Dequeue { list } => (list, Op::Dequeue),
                step => bail!("{step:?} is for a map"),
            };
            match parts[list].call(op).await {
                Err(error @ Error::IndexError { .. }) => {
                    return Ok(Answer::Wrong(error.to_string()));
                }
                reply => reply?,
            }
        }
    };
    Ok(match (step, reply) {
        (Step::Put { known, .. }, Reply::Bool(was)) if was == *known => Answer::Done,
        (Step::Append { .. }, Reply::Index(_))
        | (Step::Enqueue { .. } | Step::Insert { .. }, Reply::Done) => Answer::Done,
        (Step::Get { .. } | Step::Delete { .. } | Step::Remove { .. }, Reply::Value(value)) => {
            Answer::Value(Some(value))
        }
        (Step::Dequeue { .. }, Reply::Maybe(value)) => Answer::Value(value),
        (_, reply) => Answer::Wrong(format!("{reply:?}")),
    })
}
