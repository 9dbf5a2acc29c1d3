//! A structure that follows another one by its changes is at every moment what would be rebuilt from the same pages.

use crate::cluster::{Draft, Model, draft};
use bytes::Bytes;
use fusion_core::id::{ClusterId, PrimaryIndex, RequestId, Seq, SessionId};
use fusion_core::op::{Kind, Op};
use fusion_core::structure::{Follower, Structure};
use proptest::prelude::*;

/// One step of the structure that is followed.
#[derive(Clone, Debug)]
enum Step {
    Op(Draft, u8, u8),
    Open(u8),
    Close(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (draft(), 0..4u8, 0..3u8).prop_map(|(draft, s, slot)| Step::Op(draft, s, slot)),
        2 => (0..4u8).prop_map(Step::Open),
        1 => (0..4u8).prop_map(Step::Close),
    ]
}

fn session(s: u8) -> SessionId {
    SessionId(u128::from(s) << 64)
}

/// A structure, what it should hold, and who follows it.
struct Pair {
    structure: Structure,
    model: Model,
    follower: Option<Follower>,
    number: u64,
    /// The number of the last change.
    seq: u64,
    told: Vec<Bytes>,
}

impl Pair {
    fn new(kind: Kind) -> Pair {
        let (structure, _) = Structure::create(kind, ClusterId(7), PrimaryIndex(0));
        Pair {
            structure,
            model: Model::new(kind),
            follower: None,
            number: 0,
            seq: 1,
            told: Vec::new(),
        }
    }

    fn request(&self, s: u8, slot: u8) -> RequestId {
        let session = session(s);
        RequestId {
            session,
            incarnation: self.structure.incarnation(session).unwrap_or_default(),
            slot: slot.into(),
            number: self.number,
        }
    }

    fn next(&self) -> Seq {
        Seq(self.seq + 1)
    }

    /// The same session is opened again and again, as another incarnation.
    fn open(&mut self, s: u8) -> bool {
        let change = self.structure.open_session(self.next(), session(s));
        self.tell(&change)
    }

    fn close(&mut self, s: u8) -> bool {
        let incarnation = self.structure.incarnation(session(s)).unwrap_or_default();
        let change = self.structure.close_session(session(s), incarnation);
        self.tell(&change.unwrap_or_default())
    }

    fn execute(&mut self, s: u8, slot: u8, op: &Op) -> bool {
        self.open(s);
        let (next, request) = (self.next(), self.request(s, slot));
        let executed = self.structure.execute(next, request, op);
        assert_eq!(executed.result, self.model.execute(op));
        self.tell(&executed.change)
    }

    fn begin(&mut self) {
        let rebuilt = Structure::rebuild(self.structure.snapshot()).unwrap();
        self.follower = Some(Follower::new(rebuilt));
    }

    /// Answers whether there was a change.
    fn step(&mut self, step: &Step) -> bool {
        self.number += 1;
        match step {
            Step::Op(draft, s, slot) => {
                let op = draft.op(&self.model);
                self.execute(*s, *slot, &op)
            }
            Step::Open(s) => self.open(*s),
            Step::Close(s) => self.close(*s),
        }
    }

    fn tell(&mut self, change: &Bytes) -> bool {
        self.seq += u64::from(!change.is_empty());
        if let Some(follower) = self.follower.as_mut().filter(|_| !change.is_empty()) {
            follower.follow(change).unwrap();
            self.told.push(change.clone());
        }
        !change.is_empty()
    }

    /// The same pages, answers, sessions and figures as a structure that was rebuilt.
    fn check(&self) {
        let Some(followed) = self.follower.as_ref().map(Follower::structure) else {
            return;
        };
        assert!(followed.snapshot() == self.structure.snapshot());
        let rebuilt = Structure::rebuild(self.structure.snapshot()).unwrap();
        self.model.check(followed);
        let (a, b) = (followed.stats(), rebuilt.stats());
        assert_eq!(
            (a.elements, a.entry_bytes, a.page_bytes),
            (b.elements, b.entry_bytes, b.page_bytes)
        );
        for s in 0..4 {
            for slot in 0..3 {
                for back in 0..8 {
                    let mut request = self.request(s, slot);
                    request.number = request.number.saturating_sub(back);
                    assert_eq!(followed.lookup(request), rebuilt.lookup(request));
                }
            }
        }
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Map), Just(Kind::List), Just(Kind::Queue)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn who_follows_is_what_would_be_rebuilt(
        kind in kinds(),
        before in prop::collection::vec(step(), 0..40),
        steps in prop::collection::vec(step(), 1..120),
        after in prop::collection::vec(step(), 0..20),
    ) {
        let mut pair = Pair::new(kind);
        for s in &before {
            pair.step(s);
        }
        pair.begin();
        for s in &steps {
            if pair.step(s) {
                pair.check();
            }
        }
        // It goes on in the other one's place.
        let follower = pair.follower.take().unwrap();
        pair.structure = follower.into_structure();
        for s in &after {
            pair.step(s);
        }
        pair.begin();
        pair.check();
    }

    #[test]
    fn what_is_no_change_of_that_structure_is_refused_or_followed_and_never_panics(
        kind in kinds(),
        steps in prop::collection::vec(step(), 2..30),
        at in any::<prop::sample::Index>(),
        flip in any::<prop::sample::Index>(),
        bits in 0..=255u8,
    ) {
        let mut pair = Pair::new(kind);
        let mut changes = Vec::new();
        for s in &steps {
            pair.begin();
            let before = pair.structure.snapshot();
            pair.told.clear();
            pair.step(s);
            changes.extend(pair.told.drain(..).map(|change| (before.clone(), change)));
        }
        prop_assume!(!changes.is_empty());
        // One is damaged, or comes at another moment.
        let (pages, change) = &changes[at.index(changes.len())];
        let mut damaged = change.to_vec();
        let byte = flip.index(damaged.len());
        damaged[byte] ^= bits;
        for (change, pages) in [(&damaged[..], pages), (change, &changes[0].0)] {
            let mut follower = Follower::new(Structure::rebuild(pages.clone()).unwrap());
            if follower.follow(change).is_ok() {
                Structure::rebuild(follower.structure().snapshot()).ok();
            }
        }
    }
}

/// Thousands of operations on a structure that grows and shrinks by pages, the index of which is made anew on its way.
#[test]
fn who_follows_a_long_history_answers_alike() {
    for kind in [Kind::Map, Kind::List, Kind::Queue] {
        let mut pair = Pair::new(kind);
        pair.begin();
        let mut state = 1u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..6000u32 {
            let len = pair.model.len() as u64;
            // Grows, shrinks to little, and grows again.
            let grows = (round / 2000) % 2 == 0 || random() % 10 == 0;
            let value = Bytes::from(vec![random() as u8; (random() % 60) as usize]);
            let key = Bytes::from((random() % 1500).to_le_bytes().to_vec());
            let index = random() % len.max(1);
            let op = match (kind, grows) {
                (Kind::Map, true) => Op::Put { key, value },
                (Kind::Map, false) => Op::Remove { key },
                (Kind::List, true) => Op::Insert { index, value },
                (Kind::List, false) => Op::RemoveIndex { index },
                (Kind::Queue, true) => Op::Enqueue { value },
                (Kind::Queue, false) => Op::Dequeue,
            };
            let s = (random() % 4) as u8;
            if random() % 50 == 0 {
                pair.step(&Step::Close(s));
            }
            pair.number += 1;
            let slot = (random() % 3) as u8;
            pair.execute(s, slot, &op);
            if round % 97 == 0 {
                pair.check();
            }
        }
        pair.check();
    }
}
