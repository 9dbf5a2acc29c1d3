//! Histories that no structure without failures has must be refused, and their sound siblings accepted.

use fusion_judge::judge;
use std::fmt::Write;

/// A history that grows line by line; each operation takes 5 us and the next one begins after it.
struct Script {
    kind: &'static str,
    text: String,
    now: u64,
}

impl Script {
    fn new(kind: &'static str) -> Script {
        Script {
            kind,
            text: String::new(),
            now: 10,
        }
    }

    /// Adds an answered operation after everything before it.
    fn then(&mut self, op: &str, result: &str) -> &mut Script {
        self.now += 10;
        self.at(self.now, self.now + 5, op, result)
    }

    fn at(&mut self, from: u64, to: u64, op: &str, result: &str) -> &mut Script {
        self.line(
            from,
            &to.to_string(),
            &format!(r#"{op},"outcome":"ok","result":{result}"#),
        )
    }

    fn unknown(&mut self, from: u64, op: &str) -> &mut Script {
        self.line(from, "null", &format!(r#"{op},"outcome":"unknown""#))
    }

    fn failed(&mut self, op: &str) -> &mut Script {
        self.now += 10;
        self.line(
            self.now,
            &(self.now + 5).to_string(),
            &format!(r#"{op},"outcome":"failed""#),
        )
    }

    fn line(&mut self, from: u64, to: &str, rest: &str) -> &mut Script {
        let key = if self.kind == "map" && !rest.contains(r#""op":"len""#) {
            r#""k""#
        } else {
            "null"
        };
        let kind = self.kind;
        writeln!(
            self.text,
            r#"{{"structure":"c 0","kind":"{kind}","key":{key},"client":{from},"invoked_us":{from},"returned_us":{to},{rest}}}"#
        )
        .expect("a string takes all");
        self
    }

    fn is_accepted(&self) -> bool {
        let verdict = judge(self.text.as_bytes()).expect("the lines are sound");
        assert!(verdict.undecided.is_empty(), "{verdict:?}");
        assert!(verdict.histories > 0);
        verdict.wrong.is_empty()
    }
}

fn put(value: &str) -> String {
    with("put", value)
}

fn with(op: &str, value: &str) -> String {
    format!(r#""op":"{op}","args":{{"value":"{value}"}}"#)
}

const GET: &str = r#""op":"get""#;
const DEQUEUE: &str = r#""op":"dequeue""#;
const REMOVE: &str = r#""op":"remove""#;
const NEW: &str = r#"{"present":false}"#;
const OLD: &str = r#"{"present":true}"#;
const DONE: &str = r#""done""#;

fn is(value: &str) -> String {
    format!(r#"{{"value":"{value}"}}"#)
}

#[test]
fn a_lost_write_is_refused() {
    let mut map = Script::new("map");
    map.then(&put("a"), NEW).then(&put("b"), OLD);
    let mut lost = Script::new("map");
    lost.then(&put("a"), NEW).then(&put("b"), OLD);
    assert!(map.then(GET, &is("b")).is_accepted());
    assert!(!lost.then(GET, &is("a")).is_accepted());
    // The first write to a key, lost.
    let mut first = Script::new("map");
    assert!(
        !first
            .then(&put("a"), NEW)
            .then(GET, r#""missing""#)
            .is_accepted()
    );
    // Nobody reads it; the next writer is told.
    let mut told = Script::new("map");
    assert!(!told.then(&put("a"), NEW).then(&put("b"), NEW).is_accepted());
}

#[test]
fn a_stale_read_is_refused_and_a_concurrent_one_is_not() {
    let during = |from: u64, to: u64| {
        let mut map = Script::new("map");
        map.at(10, 15, &put("a"), NEW)
            .at(20, 30, &put("b"), OLD)
            .at(from, to, GET, &is("a"));
        map.is_accepted()
    };
    assert!(during(16, 18));
    assert!(during(25, 40));
    assert!(!during(31, 40));
    // Two readers: who comes after the new value has been seen sees it as well.
    let mut back = Script::new("map");
    back.at(10, 15, &put("a"), NEW).at(20, 100, &put("b"), OLD);
    back.at(30, 40, GET, &is("b")).at(50, 60, GET, &is("a"));
    assert!(!back.is_accepted());
}

#[test]
fn a_write_that_was_made_twice_is_refused() {
    let mut map = Script::new("map");
    map.then(&put("a"), NEW)
        .then(REMOVE, &is("a"))
        .then(GET, &is("a"));
    assert!(!map.is_accepted());
    let append = with("append", "a");
    let mut list = Script::new("list");
    list.then(&append, r#"{"index":0}"#);
    assert!(
        !list
            .then(r#""op":"contents""#, r#"{"values":["a","a"]}"#)
            .is_accepted()
    );
}

#[test]
fn a_dequeue_twice_is_refused() {
    let queue = |second: &str| {
        let mut queue = Script::new("queue");
        queue
            .then(&with("enqueue", "a"), DONE)
            .then(&with("enqueue", "b"), DONE);
        queue
            .then(DEQUEUE, &is("a"))
            .then(DEQUEUE, second)
            .is_accepted()
    };
    assert!(queue(&is("b")));
    assert!(!queue(&is("a")));
    assert!(!queue(r#"{"value":null}"#));
}

#[test]
fn an_order_that_was_swapped_is_refused() {
    let queue = |b_from: u64| {
        let mut queue = Script::new("queue");
        queue
            .at(10, 20, &with("enqueue", "a"), DONE)
            .at(b_from, 40, &with("enqueue", "b"), DONE);
        queue
            .at(50, 60, DEQUEUE, &is("b"))
            .at(70, 80, DEQUEUE, &is("a"))
            .is_accepted()
    };
    assert!(queue(15), "side by side, either may be the first");
    assert!(!queue(25));
    let mut list = Script::new("list");
    list.then(&with("append", "a"), r#"{"index":0}"#)
        .then(&with("append", "b"), r#"{"index":1}"#);
    assert!(
        !list
            .then(r#""op":"contents""#, r#"{"values":["b","a"]}"#)
            .is_accepted()
    );
}

#[test]
fn what_is_unknown_may_have_happened_or_not() {
    let later = |sees: &[&str]| {
        let mut map = Script::new("map");
        map.at(10, 15, &put("a"), NEW).unknown(20, &put("b"));
        map.now = 20;
        for value in sees {
            map.then(GET, &is(value));
        }
        map.is_accepted()
    };
    assert!(later(&["a", "a"]));
    assert!(later(&["b", "b"]));
    assert!(later(&["a", "b"]));
    assert!(!later(&["b", "a"]));
    // Not before it was asked.
    let mut early = Script::new("map");
    assert!(
        !early
            .at(10, 15, GET, &is("b"))
            .unknown(20, &put("b"))
            .is_accepted()
    );
}

#[test]
fn what_surely_had_no_effect_has_none() {
    let mut map = Script::new("map");
    assert!(
        map.then(&put("a"), NEW)
            .failed(&put("b"))
            .then(GET, &is("a"))
            .is_accepted()
    );
    assert!(!map.then(GET, &is("b")).is_accepted());
}

#[test]
fn a_swap_that_found_what_was_not_there_is_refused() {
    let swap = r#""op":"compare_and_swap","args":{"expected":"a","new":"b"}"#;
    let made = r#"{"swapped":{"swapped":true,"found":null}}"#;
    let mut map = Script::new("map");
    assert!(
        map.then(&put("a"), NEW)
            .then(swap, made)
            .then(GET, &is("b"))
            .is_accepted()
    );
    assert!(!map.then(swap, made).is_accepted());
}

#[test]
fn the_length_of_a_map_is_judged_with_all_its_keys() {
    let len = r#""op":"len""#;
    let mut map = Script::new("map");
    assert!(
        map.then(&put("a"), NEW)
            .then(&put("b"), OLD)
            .then(len, r#"{"len":1}"#)
            .is_accepted()
    );
    assert!(!map.then(len, r#"{"len":2}"#).is_accepted());
}

/// Far behind in a long history, where pieces end again and again.
#[test]
fn a_fault_at_the_end_of_a_long_history_is_refused() {
    let history = |last: &str| {
        let mut queue = Script::new("queue");
        for number in 0..1000 {
            queue.then(&with("enqueue", &number.to_string()), DONE);
        }
        for number in 0..999 {
            queue.then(DEQUEUE, &is(&number.to_string()));
        }
        queue.then(DEQUEUE, &is(last)).is_accepted()
    };
    assert!(history("999"));
    assert!(!history("998"));
}

#[test]
fn lines_that_say_too_little_are_refused_with_their_number() {
    let line = |rest: &str| {
        let whose = r#""structure":"c","kind":"map","key":"k","client":0"#;
        judge(format!("{{{whose},{rest}}}\n").as_bytes())
    };
    let of = |rest: &str| line(rest).expect_err("it says too little");
    let get = r#""op":"get","outcome":"ok""#;
    assert!(
        of(&format!(r#""invoked_us":1,"returned_us":2,{get}"#)).starts_with("line 1: answered")
    );
    let value = r#""result":{"value":"a"}"#;
    assert!(
        of(&format!(r#""invoked_us":3,"returned_us":2,{get},{value}"#))
            .contains("before it was asked")
    );
    assert!(
        of(&format!(
            r#""invoked_us":3,"returned_us":null,{get},{value}"#
        ))
        .contains("not when")
    );
    let unknown = r#""op":"remove","outcome":"unknown","result":"done""#;
    assert!(
        of(&format!(r#""invoked_us":3,"returned_us":null,{unknown}"#))
            .contains("without an answer")
    );
    assert!(of(r#""invoked_us":3"#).starts_with("line 1: "));
}

/// A queue and a list in which everything is put in by two clients side by side, and seen in one order only: without
/// looking ahead, both orders of each pair would have to be followed to the end.
#[test]
fn elements_put_in_side_by_side_are_told_apart_by_what_is_seen_later() {
    let (pairs, far) = (200_u64, 1_000_000);
    let queue = |last: &str| {
        let mut queue = Script::new("queue");
        for pair in 0..pairs {
            let from = 20 * pair;
            queue.at(from, from + 10, &with("enqueue", &format!("a{pair}")), DONE);
            queue.at(from, from + 10, &with("enqueue", &format!("b{pair}")), DONE);
        }
        queue.now = far;
        for pair in 0..pairs - 1 {
            queue
                .then(DEQUEUE, &is(&format!("b{pair}")))
                .then(DEQUEUE, &is(&format!("a{pair}")));
        }
        queue.then(DEQUEUE, &is(last)).is_accepted()
    };
    assert!(queue("a199") && queue("b199"));
    assert!(!queue("a198"));
    let list = |first: &str, second: &str, backwards: bool| {
        let mut list = Script::new("list");
        let mut contents = Vec::new();
        for pair in 0..pairs {
            let from = 20 * pair;
            for client in ["a", "b"] {
                let insert =
                    format!(r#""op":"insert","args":{{"index":0,"value":"{client}{pair}"}}"#);
                list.at(from, from + 10, &insert, DONE);
            }
            contents.splice(
                0..0,
                [
                    format!(r#""{first}{pair}""#),
                    format!(r#""{second}{pair}""#),
                ],
            );
        }
        if backwards {
            contents.reverse();
        }
        list.now = far;
        let contents = contents.join(",");
        list.then(
            r#""op":"contents""#,
            &format!(r#"{{"values":[{contents}]}}"#),
        )
        .is_accepted()
    };
    assert!(list("a", "b", false) && list("b", "a", false));
    assert!(!list("a", "b", true));
}
