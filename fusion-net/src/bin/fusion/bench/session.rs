//! How one task reaches one side.

use super::action::{Answer, Step};
use super::entries::{Target, key, mix};
use super::redis::resp::Resp;
use super::redis::{Connection, Gathered, Shared};
use anyhow::bail;
use bytes::Bytes;
use fusion_core::op::{Op, Reply};
use fusion_net::client::{Error, Raw};
use futures::future::join_all;
use std::{ptr, slice};

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
    /// Fusion.
    Fusion(Structures),
    /// A connection of its own, on which writes are followed by a WAIT for so many replicas.
    Redis {
        /// The connection.
        connection: Connection,
        /// How many replicas must have it.
        replicas: usize,
        /// The WAIT is sent when the writes were answered, not with them.
        apart: bool,
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
    /// A connection that all share; writes only, which have a WAIT in common.
    RedisGathered {
        /// The connection.
        connection: Gathered,
        /// How many replicas must have it.
        replicas: usize,
    },
}

impl Session {
    /// Executes the steps and answers each; several at a time in one call of Fusion's client to each primary, or on a
    /// connection to Redis before one WAIT.
    ///
    /// # Errors
    /// When the side is gone or does not answer; a wrong answer is none.
    pub(crate) async fn run(&mut self, steps: &[Step]) -> anyhow::Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(steps.len());
        match self {
            Session::Fusion(Structures::Maps(maps)) if steps.len() > 1 => {
                answers = together(maps, steps).await?;
            }
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
            Session::RedisGathered {
                connection,
                replicas,
            } => {
                for step in steps {
                    let Step::Put { number, value, .. } = step else {
                        bail!("{step:?} is no put");
                    };
                    let (answer, waited) =
                        connection.write(&[b"SET", &key(*number), value]).await?;
                    let wrong = not_enough(&waited, *replicas);
                    answers.push(wrong.unwrap_or_else(|| meaning(step, answer)));
                }
            }
            Session::Redis {
                connection,
                replicas,
                apart,
            } => answers = redis(connection, *replicas, steps, *apart).await?,
            Session::RedisSpread {
                connections,
                replicas,
            } => {
                for step in steps {
                    let at = share(step.number()?, connections.len());
                    let (connection, step) = (&mut connections[at], slice::from_ref(step));
                    answers.extend(redis(connection, *replicas, step, false).await?);
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

/// All steps in one write, with a WAIT behind them if anything may change: in that write, too, or apart, when they were
/// answered.
async fn redis(
    connection: &mut Connection,
    replicas: usize,
    steps: &[Step],
    apart: bool,
) -> anyhow::Result<Vec<Answer>> {
    let writes = steps.iter().any(Step::is_write);
    for step in steps {
        queue(connection, step)?;
    }
    let wanted = replicas.to_string();
    let wait = wait(&wanted);
    if writes && !apart {
        connection.queue(&wait);
    }
    connection.send().await?;
    let mut answers = Vec::with_capacity(steps.len());
    for step in steps {
        answers.push(meaning(step, connection.answer().await?));
    }
    if writes {
        if apart {
            connection.queue(&wait);
            connection.send().await?;
        }
        let waited = connection.answer().await?;
        if let (Some(last), Some(wrong)) = (answers.last_mut(), not_enough(&waited, replicas)) {
            *last = wrong;
        }
    }
    Ok(answers)
}

/// The command that waits until so many replicas have all that was written before it on its connection.
pub(crate) fn wait(replicas: &str) -> [&[u8]; 3] {
    [b"WAIT", replicas.as_bytes(), WAIT_MS]
}

/// What is wrong with an answer to that, if anything.
fn not_enough(waited: &Resp, replicas: usize) -> Option<Answer> {
    let enough = matches!(waited, Resp::Integer(n) if *n >= replicas as i64);
    (!enough).then(|| Answer::Wrong(format!("WAIT {replicas} was answered by {waited:?}")))
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
            match maps.of(number)?.call(map_op(step)?).await {
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
    Ok(said(step, reply))
}

fn map_op(step: &Step) -> anyhow::Result<Op> {
    let key = Bytes::copy_from_slice(&key(step.number()?));
    Ok(match step {
        Step::Put { value, .. } => Op::Put {
            key,
            value: value.clone(),
        },
        Step::Get { .. } => Op::Get { key },
        _ => Op::Remove { key },
    })
}

/// All steps at once, in a call to each primary that has any of their keys.
async fn together(maps: &Target, steps: &[Step]) -> anyhow::Result<Vec<Answer>> {
    let mut parts: Vec<(&Raw, Vec<usize>, Vec<Op>)> = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        let raw = maps.of(step.number()?)?;
        let part = parts.iter().position(|(known, ..)| ptr::eq(*known, raw));
        let part = part.unwrap_or_else(|| {
            parts.push((raw, Vec::new(), Vec::new()));
            parts.len() - 1
        });
        parts[part].1.push(place);
        parts[part].2.push(map_op(step)?);
    }
    let calls = parts.into_iter().map(|(raw, places, ops)| async move {
        let replies = raw.call_all(ops).await;
        places.into_iter().zip(replies)
    });
    let mut answers = vec![Answer::Wrong("no answer".to_owned()); steps.len()];
    for (place, reply) in join_all(calls).await.into_iter().flatten() {
        answers[place] = match reply {
            Err(Error::KeyError { .. }) => Answer::Wrong("the key is not there".to_owned()),
            reply => said(&steps[place], reply?),
        };
    }
    Ok(answers)
}

/// What Fusion says by that.
fn said(step: &Step, reply: Reply) -> Answer {
    match (step, reply) {
        (Step::Put { known, .. }, Reply::Bool(was)) if was == *known => Answer::Done,
        (Step::Append { .. }, Reply::Index(_))
        | (Step::Enqueue { .. } | Step::Insert { .. }, Reply::Done) => Answer::Done,
        (Step::Get { .. } | Step::Delete { .. } | Step::Remove { .. }, Reply::Value(value)) => {
            Answer::Value(Some(value))
        }
        (Step::Dequeue { .. }, Reply::Maybe(value)) => Answer::Value(value),
        (_, reply) => Answer::Wrong(format!("{reply:?}")),
    }
}
