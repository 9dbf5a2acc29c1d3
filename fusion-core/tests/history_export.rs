//! The lines that histories are written in for checkers of other people, letter by letter: docs/histories.md.

use bytes::Bytes;
use fusion_core::history::export::records;
use fusion_core::history::{Contents, History, Model, Operation, Outcome};
use fusion_core::id::Seq;
use fusion_core::op::{Kind, Op, OpError, OpResult, Reply};
use std::collections::BTreeMap;

fn operation(client: u64, op: Op, at: u64, outcome: Outcome) -> Operation {
    Operation {
        client,
        op,
        invoked_us: at,
        returned_us: at + 5,
        outcome,
    }
}

fn answered(result: OpResult) -> Outcome {
    let seq = Seq(77_777);
    Outcome::Answered { result, seq }
}

fn lines(history: &History) -> Vec<String> {
    let json = |record| serde_json::to_string(&record).expect("it has a form");
    records("c 0", history).into_iter().map(json).collect()
}

#[test]
fn a_line_says_what_the_client_saw_and_no_number_of_a_change() {
    let (key, value) = (Bytes::from("k"), Bytes::from("a-1"));
    let put = Op::Put {
        key: key.clone(),
        value: value.clone(),
    };
    let get = Op::Get { key: key.clone() };
    let missing = Err(OpError::KeyError { key: key.clone() });
    let history = History {
        kind: Kind::Map,
        operations: vec![
            operation(1, put, 20, Outcome::Unknown),
            operation(0, get.clone(), 10, answered(missing)),
            operation(0, get, 40, Outcome::NoEffect),
        ],
        others: 3,
        contents: Some(Contents {
            seq: Seq(77_777),
            model: Model::Map(BTreeMap::from([(key, value)])),
        }),
    };
    let whose = r#"{"structure":"c 0","kind":"map","#;
    assert_eq!(
        lines(&history),
        [
            r#""key":"k","client":0,"invoked_us":10,"returned_us":15,"op":"get","outcome":"ok","result":"missing"}"#,
            r#""key":"k","client":1,"invoked_us":20,"returned_us":null,"op":"put","args":{"value":"a-1"},"outcome":"unknown"}"#,
            r#""key":"k","client":0,"invoked_us":40,"returned_us":45,"op":"get","outcome":"failed"}"#,
            r#""key":"k","client":2,"invoked_us":46,"returned_us":47,"op":"get","outcome":"ok","result":{"value":"a-1"}}"#,
            r#""key":null,"client":2,"invoked_us":48,"returned_us":49,"op":"len","outcome":"ok","result":{"len":1}}"#,
        ]
        .map(|line| format!("{whose}{line}"))
    );
}

#[test]
fn a_list_and_a_queue_have_no_keys_and_their_contents_come_last() {
    let element = Bytes::from("a-1");
    let insert = Op::Insert {
        index: 3,
        value: element.clone(),
    };
    let outside = Err(OpError::IndexError { index: 3, len: 1 });
    let history = |kind, operations| History {
        kind,
        operations,
        others: 0,
        contents: Some(Contents {
            seq: Seq(1),
            model: Model::Sequence(kind, [element.clone()].into()),
        }),
    };
    let list = history(Kind::List, vec![operation(0, insert, 1, answered(outside))]);
    let taken = Ok(Reply::Maybe(None));
    let taken = vec![operation(0, Op::Dequeue, 1, answered(taken))];
    let queue = history(Kind::Queue, taken);
    let first = r#""key":null,"client":0,"invoked_us":1,"returned_us":6,"#;
    let last = r#""key":null,"client":1,"invoked_us":7,"returned_us":8,"op":"contents","outcome":"ok","result":{"values":["a-1"]}}"#;
    let insert = r#""op":"insert","args":{"index":3,"value":"a-1"},"outcome":"ok","result":{"out_of_range":{"len":1}}}"#;
    let dequeue = r#""op":"dequeue","outcome":"ok","result":{"value":null}}"#;
    let whose = |kind| format!(r#"{{"structure":"c 0","kind":"{kind}","#);
    let (of_list, of_queue) = (whose("list"), whose("queue"));
    assert_eq!(
        lines(&list),
        [
            format!("{of_list}{first}{insert}"),
            format!("{of_list}{last}")
        ]
    );
    assert_eq!(
        lines(&queue),
        [
            format!("{of_queue}{first}{dequeue}"),
            format!("{of_queue}{last}")
        ]
    );
}
