//! `JERASURE_ENGINE` picks the engine. It is read once a process, so each case runs in a child: this test binary again,
//! with only the test that prints what it got.

use std::process::Command;

use jerasure::{Engine, Error, Multiplier, WordSize};

/// Set in children.
const CHILD: &str = "JERASURE_TEST_CHILD";

/// What a child finds selected, and whether a multiplier can be made so.
fn selected_with(value: Option<&str>) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "a_child_prints_what_is_selected", "--nocapture"]);
    child.env(CHILD, "1").env_remove("JERASURE_ENGINE");
    if let Some(value) = value {
        child.env("JERASURE_ENGINE", value);
    }
    let output = child.output().unwrap();
    assert!(output.status.success());
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, rest) = text.split_once("selected: ").unwrap();
    rest.lines().next().unwrap().to_owned()
}

#[test]
fn a_child_prints_what_is_selected() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let selected = Engine::selected();
    assert_eq!(Engine::selected(), selected, "the answer does not change");
    let made = Multiplier::new(WordSize::W8, 3).map(|multiplier| {
        let mut dst = [0; 3];
        multiplier.mul(&mut dst, &[1, 2, 255]).unwrap();
        assert_eq!(dst, [3, 6, 28]);
    });
    assert_eq!(made.err(), selected.clone().err());
    println!("\nselected: {selected:?}");
}

#[test]
fn the_best_is_selected_where_none_is_named() {
    let best = format!("{:?}", Ok::<_, Error>(Engine::best()));
    for value in [None, Some(""), Some("auto"), Some(" auto ")] {
        assert_eq!(selected_with(value), best, "{value:?}");
    }
}

#[test]
fn every_engine_can_be_named() {
    for engine in Engine::ALL {
        let selected = selected_with(Some(engine.name()));
        if engine.is_available() {
            assert_eq!(selected, format!("{:?}", Ok::<_, Error>(engine)));
        } else {
            assert!(selected.contains("EngineUnavailable"), "{selected}");
            assert!(selected.contains(engine.name()), "{selected}");
        }
    }
}

#[test]
fn an_unknown_name_is_an_error() {
    for name in ["avx1024", "GFNI512", "reference,scalar"] {
        let unknown = Error::UnknownEngine { name: name.into() };
        let expected = format!("{:?}", Err::<Engine, _>(unknown));
        assert_eq!(selected_with(Some(name)), expected);
    }
}
