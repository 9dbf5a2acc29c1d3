//! Histories that are right, and the same ones made wrong in each way: each is found.

use super::*;
use crate::op::{OpError, Reply};
use bytes::Bytes;

/// A structure that never fails, asked by three clients of which each waits for its answers.
struct Run {
    history: History,
    model: Model,
    seq: u64,
    chance: u64,
}

fn value(number: u64) -> Bytes {
    Bytes::from(format!("value {number}"))
}

impl Run {
    fn new(kind: Kind) -> Run {
        Run {
            history: History {
                kind,
                operations: Vec::new(),
                others: 1,
                contents: None,
            },
            model: Model::new(kind),
            // The session was opened by change 1.
            seq: 1,
            chance: 7,
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.chance >> 33) % n
    }

    fn push(&mut self, op: Op, outcome: Outcome) {
        let i = self.history.operations.len() as u64;
        self.history.operations.push(Operation {
            client: i % 3,
            op,
            // Three at a time overlap.
            invoked_us: (i / 3) * 100,
            returned_us: (i / 3) * 100 + 90,
            outcome,
        });
    }

    fn execute(&mut self, op: Op) {
        let result = self.model.apply(&op);
        self.seq += u64::from(op.is_mutation());
        let seq = Seq(self.seq);
        self.push(op, Outcome::Answered { result, seq });
    }

    fn any(&mut self) -> Op {
        let unique = value(self.history.operations.len() as u64);
        let key = value(self.below(5));
        let index = self.below(6);
        match (self.history.kind, self.below(7)) {
            (_, 0) => Op::Len,
            (Kind::Map, 1) => Op::Remove { key },
            (Kind::Map, 2) => Op::Get { key },
            (Kind::Map, 3) => Op::CompareAndSwap {
                key,
                expected: None,
                new: Some(unique),
            },
            (Kind::Map, _) => Op::Put { key, value: unique },
            (Kind::Queue, 1) => Op::Peek,
            (Kind::Queue, 2 | 3) => Op::Dequeue,
            (Kind::Queue, _) => Op::Enqueue { value: unique },
            (Kind::List, 1) => Op::GetIndex { index },
            (Kind::List, 2) => Op::RemoveIndex { index },
            (Kind::List, 3) => Op::SetIndex {
                index,
                value: unique,
            },
            (Kind::List, 4) => Op::Insert {
                index,
                value: unique,
            },
            (Kind::List, 5) => Op::Range {
                start: index,
                limit: 3,
            },
            (Kind::List, _) => Op::Append { value: unique },
        }
    }

    fn of(kind: Kind, operations: usize) -> Run {
        let mut run = Run::new(kind);
        for _ in 0..operations {
            let op = run.any();
            run.execute(op);
        }
        run
    }

    fn end(mut self) -> History {
        let (seq, model) = (Seq(self.seq), self.model);
        self.history.contents = Some(Contents { seq, model });
        self.history
    }
}

fn queue_of(values: u64) -> Run {
    let mut run = Run::new(Kind::Queue);
    for number in 0..values {
        run.execute(Op::Enqueue {
            value: value(number),
        });
    }
    run
}

/// What the operation at `at` was told, to be made wrong.
fn told(history: &mut History, at: usize) -> (&mut OpResult, &mut Seq) {
    match &mut history.operations[at].outcome {
        Outcome::Answered { result, seq } => (result, seq),
        other => panic!("{other:?}"),
    }
}

#[test]
fn histories_of_structures_that_never_fail_are_right() {
    for kind in [Kind::Map, Kind::List, Kind::Queue] {
        let mut run = Run::of(kind, 3000);
        run.push(Op::Len, Outcome::NoEffect);
        let mut history = run.end();
        assert_eq!(check(&history), []);
        // The order in which they were noted down says nothing.
        history.operations.reverse();
        assert_eq!(check(&history), []);
    }
}

#[test]
fn an_acknowledged_change_whose_number_was_given_again_is_found() {
    let mut history = queue_of(30).end();
    // A recovery forgot change 11, and the next one got its number.
    for at in 10..30 {
        let (_, seq) = told(&mut history, at);
        seq.0 -= 1;
    }
    let found = check(&history);
    assert!(
        matches!(
            &found[..],
            [Violation::OneNumber { .. }, ..] | [Violation::OutOfOrder { .. }, ..]
        ),
        "{found:?}"
    );
    assert!(
        found.iter().any(
            |v| matches!(v, Violation::OneNumber { first, .. } if first.seq() == Some(Seq(11)))
        )
    );
}

#[test]
fn an_acknowledged_change_that_is_gone_in_the_end_is_found() {
    for kind in [Kind::Map, Kind::List, Kind::Queue] {
        let mut run = Run::of(kind, 300);
        match &mut run.model {
            Model::Sequence(_, elements) => drop(elements.pop_back()),
            Model::Map(entries) => drop(entries.pop_last()),
        }
        let found = check(&run.end());
        assert!(
            matches!(&found[..], [Violation::WrongContents { .. }]),
            "{found:?}"
        );
    }
}

#[test]
fn a_change_made_twice_is_found_by_its_second_number() {
    let mut run = queue_of(10);
    run.model.apply(&Op::Enqueue { value: value(9) }).unwrap();
    run.seq += 1;
    run.execute(Op::Enqueue { value: value(10) });
    let found = check(&run.end());
    let twice = Violation::Unasked {
        seqs: vec![Seq(1), Seq(12)],
        count: 2,
        allowed: 1,
    };
    assert_eq!(found, [twice]);
}

#[test]
fn a_change_made_twice_is_found_by_what_it_did() {
    let mut run = queue_of(10);
    // As above, but there might have been another session.
    run.history.others += 1;
    run.model.apply(&Op::Enqueue { value: value(9) }).unwrap();
    run.seq += 1;
    run.execute(Op::Enqueue { value: value(10) });
    let found = check(&run.end());
    assert!(
        matches!(&found[..], [Violation::WrongContents { .. }]),
        "{found:?}"
    );
}

#[test]
fn a_change_after_the_last_answer_that_nobody_asked_for_is_found_though_it_shows_nothing() {
    let mut run = Run::new(Kind::Map);
    run.execute(Op::Put {
        key: value(1),
        value: value(2),
    });
    // A removal of what is not there.
    run.seq += 1;
    let found = check(&run.end());
    let unasked = Violation::Unasked {
        seqs: vec![Seq(1), Seq(3)],
        count: 2,
        allowed: 1,
    };
    assert_eq!(found, [unasked]);
}

#[test]
fn a_change_before_anybody_asked_for_it_is_found() {
    let mut run = queue_of(3);
    // A number that nothing explains: what is of unknown outcome was asked later.
    run.seq += 1;
    run.execute(Op::Dequeue);
    run.execute(Op::Len);
    run.execute(Op::Len);
    run.push(Op::Dequeue, Outcome::Unknown);
    let found = check(&run.end());
    assert!(
        matches!(&found[..], [Violation::Unasked { .. }]),
        "{found:?}"
    );
}

#[test]
fn a_stale_read_is_found() {
    for kind in [Kind::Map, Kind::List, Kind::Queue] {
        let mut history = Run::of(kind, 300).end();
        let reads = |o: &Operation| !o.op.is_mutation() && o.seq() > Some(Seq(40));
        let at = history.operations.iter().position(reads).unwrap();
        told(&mut history, at).1.0 -= 5;
        let found = check(&history);
        assert!(
            matches!(&found[..], [Violation::OutOfOrder { .. }]),
            "{found:?}"
        );
    }
}

#[test]
fn a_read_of_the_right_number_and_the_wrong_value_is_found() {
    let mut run = Run::new(Kind::Map);
    let key = value(0);
    for number in 1..5 {
        run.execute(Op::Put {
            key: key.clone(),
            value: value(number),
        });
    }
    run.execute(Op::Get { key: key.clone() });
    let mut history = run.end();
    *told(&mut history, 4).0 = Ok(Reply::Value(value(3)));
    let found = check(&history);
    let expected = Ok(Reply::Value(value(4)));
    assert!(
        matches!(&found[..], [Violation::WrongAnswer { expected: e, .. }] if *e == expected),
        "{found:?}"
    );
}

#[test]
fn a_queue_that_gives_its_elements_in_another_order_is_found() {
    let mut run = queue_of(5);
    run.execute(Op::Dequeue);
    run.execute(Op::Dequeue);
    let mut history = run.end();
    *told(&mut history, 5).0 = Ok(Reply::Maybe(Some(value(1))));
    *told(&mut history, 6).0 = Ok(Reply::Maybe(Some(value(0))));
    let found = check(&history);
    assert!(
        matches!(&found[..], [Violation::WrongAnswer { .. }]),
        "{found:?}"
    );
}

#[test]
fn an_element_given_to_two_takers_is_found() {
    let mut run = queue_of(5);
    run.execute(Op::Dequeue);
    run.execute(Op::Dequeue);
    let mut history = run.end();
    *told(&mut history, 6).0 = Ok(Reply::Maybe(Some(value(0))));
    assert_eq!(check(&history).len(), 1);
}

#[test]
fn a_value_that_nobody_wrote_is_found() {
    for (kind, op) in [
        (Kind::Map, Op::Get { key: value(0) }),
        (Kind::List, Op::GetIndex { index: 0 }),
        (Kind::Queue, Op::Peek),
    ] {
        let mut run = Run::of(kind, 30);
        run.execute(op);
        let mut history = run.end();
        let phantom = Bytes::from("phantom");
        *told(&mut history, 30).0 = match kind {
            Kind::Queue => Ok(Reply::Maybe(Some(phantom))),
            _ => Ok(Reply::Value(phantom)),
        };
        assert_eq!(check(&history).len(), 1, "{kind}");
    }
}

#[test]
fn a_refused_change_that_was_made_is_found() {
    let mut run = queue_of(5);
    let op = Op::Enqueue { value: value(5) };
    run.model.apply(&op).unwrap();
    run.push(op, Outcome::NoEffect);
    run.execute(Op::Enqueue { value: value(6) });
    assert_eq!(check(&run.end()).len(), 1);
}

#[test]
fn a_wrong_error_is_found() {
    let mut run = Run::new(Kind::List);
    run.execute(Op::Append { value: value(0) });
    run.execute(Op::GetIndex { index: 3 });
    let right = run.end();
    assert_eq!(check(&right), []);
    for wrong in [
        Err(OpError::IndexError { index: 3, len: 2 }),
        Err(OpError::KeyError { key: value(0) }),
        Ok(Reply::Done),
    ] {
        let mut history = right.clone();
        *told(&mut history, 1).0 = wrong;
        assert!(matches!(
            &check(&history)[..],
            [Violation::WrongAnswer { .. }]
        ));
    }
}

#[test]
fn ranges_and_scans_may_be_cut_short_but_not_wrong() {
    let mut run = Run::new(Kind::List);
    for number in 0..4 {
        run.execute(Op::Append {
            value: value(number),
        });
    }
    run.execute(Op::Range { start: 1, limit: 9 });
    let mut history = run.end();
    let answer = |values: &[u64]| Ok(Reply::Values(values.iter().copied().map(value).collect()));
    for (told_values, wrong) in [
        (&[1, 2, 3][..], 0),
        (&[1], 0),
        (&[], 1),
        (&[2, 3], 1),
        (&[1, 2, 3, 4], 1),
    ] {
        *told(&mut history, 4).0 = answer(told_values);
        assert_eq!(check(&history).len(), wrong, "{told_values:?}");
    }
}

#[test]
fn a_scan_that_tells_one_key_twice_and_leaves_one_out_is_found() {
    let mut run = Run::new(Kind::Map);
    for number in 0..3 {
        run.execute(Op::Put {
            key: value(number),
            value: value(10 + number),
        });
    }
    run.execute(Op::Scan {
        cursor: None,
        limit: 9,
    });
    let mut history = run.end();
    assert_eq!(check(&history), []);
    let (Ok(Reply::Entries { entries, .. }), _) = told(&mut history, 3) else {
        panic!("a scan")
    };
    entries[0] = entries[1].clone();
    let found = check(&history);
    assert!(
        matches!(&found[..], [Violation::WrongAnswer { .. }]),
        "{found:?}"
    );
}

/// Both histories, with the change that nobody heard of made and not made, are right; made twice is wrong.
#[test]
fn a_change_of_unknown_outcome_happens_once_or_never() {
    for times in 0..3 {
        let mut run = queue_of(20);
        let op = Op::Enqueue { value: value(100) };
        run.push(op.clone(), Outcome::Unknown);
        for _ in 0..4 {
            run.execute(Op::Enqueue {
                value: value(run.seq),
            });
        }
        for _ in 0..times {
            run.model.apply(&op).unwrap();
            run.seq += 1;
        }
        for _ in 0..10 {
            run.execute(Op::Dequeue);
        }
        let found = check(&run.end());
        assert_eq!(
            found.len(),
            usize::from(times > 1),
            "{times} times: {found:?}"
        );
    }
}

/// Which of several changes of unknown outcome happened, and in which order, shows only much later.
#[test]
fn of_several_unknown_changes_the_right_ones_are_chosen() {
    let mut run = queue_of(3);
    let ops: Vec<Op> = (50..54).map(|n| Op::Enqueue { value: value(n) }).collect();
    for op in &ops {
        run.push(op.clone(), Outcome::Unknown);
    }
    for op in [&ops[2], &ops[0]] {
        run.model.apply(op).unwrap();
        run.seq += 1;
    }
    for number in 60..90 {
        run.execute(Op::Enqueue {
            value: value(number),
        });
    }
    for _ in 0..20 {
        run.execute(Op::Dequeue);
    }
    assert_eq!(check(&run.end()), []);
}

#[test]
fn an_unknown_change_does_not_happen_before_it_is_asked() {
    let mut run = queue_of(6);
    // One number too many that nobody has, before anybody asked for what was done.
    let op = Op::Enqueue { value: value(100) };
    run.model.apply(&op).unwrap();
    run.seq += 1;
    for number in 10..16 {
        run.execute(Op::Enqueue {
            value: value(number),
        });
    }
    run.push(op, Outcome::Unknown);
    let found = check(&run.end());
    assert!(
        matches!(&found[..], [Violation::Unasked { .. }]),
        "{found:?}"
    );
}
