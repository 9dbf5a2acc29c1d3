//! The plain structures that say what a fused one must answer and hold, and how tests drive them.

use bytes::Bytes;
pub use fusion_core::history::Model;
use fusion_core::op::{Kind, Op, OpError, Reply, ScanCursor};
use fusion_net::client::{Error, Raw};
use rand::Rng;
use rand::rngs::StdRng;

/// What tests do with a model beside asking it.
#[expect(
    async_fn_in_trait,
    reason = "only tests of this workspace call it, on one thread"
)]
pub trait Drive {
    /// A random change: more additions than removals, of sizes from nothing to a few KiB, some of them mistakes.
    fn random_op(&self, rng: &mut StdRng) -> Op;

    /// Executes a change here and there, and compares the answers.
    ///
    /// # Panics
    /// When they differ, or the outcome there is unknown.
    async fn apply_to_both(&mut self, raw: &Raw, op: Op);

    /// Compares all contents.
    ///
    /// # Panics
    /// When they differ.
    async fn verify(&self, raw: &Raw, who: &str);
}

impl Drive for Model {
    fn random_op(&self, rng: &mut StdRng) -> Op {
        let len = self.len() as u64;
        match self {
            Model::Sequence(Kind::Queue, _) => match rng.random_range(0..10) {
                0..6 => Op::Enqueue { value: value(rng) },
                _ => Op::Dequeue,
            },
            Model::Sequence(..) => match rng.random_range(0..10) {
                0..3 => Op::Append { value: value(rng) },
                3..6 => Op::Insert {
                    index: rng.random_range(0..=len + 1),
                    value: value(rng),
                },
                6..8 => Op::SetIndex {
                    index: rng.random_range(0..=len),
                    value: value(rng),
                },
                _ => Op::RemoveIndex {
                    index: rng.random_range(0..=len),
                },
            },
            Model::Map(_) => {
                // Few keys, so that there are hits and misses alike.
                let key = Bytes::from(format!("{:03}", rng.random_range(0..200)));
                match rng.random_range(0..10) {
                    0..6 => Op::Put {
                        key,
                        value: value(rng),
                    },
                    _ => Op::Remove { key },
                }
            }
        }
    }

    async fn apply_to_both(&mut self, raw: &Raw, op: Op) {
        let expected = self.apply(&op);
        let answer = raw.call(op.clone()).await;
        assert!(
            same(&expected, &answer),
            "{op:?} answered {answer:?}, not {expected:?}"
        );
    }

    async fn verify(&self, raw: &Raw, who: &str) {
        let found = contents(raw, self.kind()).await;
        if let (Model::Sequence(_, wanted), Model::Sequence(_, found)) = (self, &found) {
            let first = wanted.iter().zip(found).position(|(w, f)| w != f);
            assert!(
                first.is_none() && wanted.len() == found.len(),
                "{who}: {} elements instead of {}; the first wrong one is at {first:?}",
                found.len(),
                wanted.len()
            );
        }
        if let (Model::Map(wanted), Model::Map(found)) = (self, &found) {
            let missing: Vec<_> = wanted.keys().filter(|k| !found.contains_key(*k)).collect();
            let extra: Vec<_> = found.keys().filter(|k| !wanted.contains_key(*k)).collect();
            assert!(
                missing.is_empty() && extra.is_empty(),
                "{who}: missing {missing:?}, never put or removed {extra:?}"
            );
            let wrong: Vec<_> = wanted.keys().filter(|k| wanted[*k] != found[*k]).collect();
            assert!(wrong.is_empty(), "{who}: other values of {wrong:?}");
        }
        assert!(*self == found, "{who} holds another kind of thing");
        assert_eq!(raw.len().await.expect("a length"), self.len() as u64);
    }
}

fn value(rng: &mut StdRng) -> Bytes {
    let len = match rng.random_range(0..20) {
        0 => 0,
        1..16 => rng.random_range(1..64),
        16..19 => rng.random_range(64..600),
        _ => rng.random_range(600..6000),
    };
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes[..]);
    bytes.into()
}

fn same(expected: &Result<Reply, OpError>, answer: &Result<Reply, Error>) -> bool {
    match (expected, answer) {
        (Ok(expected), Ok(answer)) => expected == answer,
        (Err(OpError::IndexError { index: i, len: l }), Err(Error::IndexError { index, len })) => {
            (i, l) == (index, len)
        }
        (Err(OpError::KeyError { key: k }), Err(Error::KeyError { key })) => k == key,
        _ => false,
    }
}

/// All that a primary structure holds.
///
/// # Panics
/// When it does not answer, or gives an entry twice.
pub async fn contents(raw: &Raw, kind: Kind) -> Model {
    let mut model = Model::new(kind);
    let mut cursor: Option<ScanCursor> = None;
    loop {
        let op = match &model {
            Model::Sequence(_, elements) => Op::Range {
                start: elements.len() as u64,
                limit: u32::MAX,
            },
            Model::Map(_) => Op::Scan {
                cursor,
                limit: u32::MAX,
            },
        };
        match (&mut model, raw.call(op).await.expect("its contents")) {
            (Model::Sequence(..), Reply::Values(values)) if values.is_empty() => return model,
            (Model::Sequence(_, elements), Reply::Values(values)) => elements.extend(values),
            (Model::Map(all), Reply::Entries { entries, next }) => {
                for (key, value) in entries {
                    let before = all.insert(key.clone(), value);
                    assert!(before.is_none(), "{key:?} is there twice");
                }
                cursor = next;
                if cursor.is_none() {
                    return model;
                }
            }
            (_, reply) => panic!("{reply:?}"),
        }
    }
}
