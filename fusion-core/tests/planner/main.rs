//! The coordinator's decisions in every order of a few faults, reports and commands.
//!
//! A small model of servers, members and links: a server lives, is paused or gone; two servers hear each other or do not;
//! a server is cut off from the coordinator or not. What a member reports follows from that, and what a server does with a
//! configuration is the core's `hosting::actions`. What is decided is the core's `membership::plan`, `accept_loss` and
//! `move_member`. All orders of events are taken, up to a number of faults; states that differ by the names of servers
//! alone are one. Time is not counted: a suspicion or a complaint may come at any moment at which somebody is not heard.
//!
//! The properties are in `properties`: what nobody may decide, and that everything becomes whole once faults stop.
//!
//! `FUSION_PLANNER=2,2,2,2,0 cargo test --profile sim -p fusion-core --features planted-faults --test planner -- --nocapture`
//! looks further: primaries, codes, spares, faults, commands.

mod events;
mod explore;
mod properties;
mod state;

use explore::{Bounds, explore};
use std::time::Instant;

const fn bounds(n: usize, f: usize, spares: usize, faults: u8, commands: u8) -> Bounds {
    Bounds {
        n,
        f,
        spares,
        faults,
        commands,
        states: usize::MAX,
    }
}

/// What every run looks at.
const USUAL: [Bounds; 5] = [
    bounds(1, 1, 0, 2, 0),
    bounds(1, 1, 1, 2, 0),
    bounds(1, 1, 1, 1, 1),
    bounds(1, 1, 2, 1, 0),
    bounds(2, 1, 1, 1, 0),
];

/// What `FUSION_PLANNER` asks for: `n,f,spares,faults,commands`, several with `;` between them.
fn wanted() -> Vec<Bounds> {
    let Ok(wanted) = std::env::var("FUSION_PLANNER") else {
        return USUAL.to_vec();
    };
    let one = |text: &str| {
        let numbers = text.split(',').map(|n| n.trim().parse::<u8>().ok());
        match numbers.collect::<Option<Vec<u8>>>().as_deref() {
            Some(&[n, f, spares, faults, commands]) => {
                bounds(n.into(), f.into(), spares.into(), faults, commands)
            }
            _ => panic!("FUSION_PLANNER is n,f,spares,faults,commands, not {text}"),
        }
    };
    wanted.split(';').map(one).collect()
}

#[test]
fn nothing_that_can_be_recovered_is_lost_in_any_order_of_faults() {
    let mut wrong = Vec::new();
    for bounds in wanted() {
        let began = Instant::now();
        match explore(&bounds) {
            Ok(explored) => {
                let seconds = began.elapsed().as_secs_f64();
                println!("{bounds}: {explored:?} in {seconds:.1} s");
                if !explored.complete {
                    wrong.push(format!("{bounds}: not all was looked at"));
                }
            }
            Err(found) => wrong.push(format!("{bounds}: {found}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each mend taken out again is found, by few events.
#[cfg(feature = "planted-faults")]
#[test]
fn a_planner_that_is_broken_is_found() {
    use fusion_core::fault::{Fault, plant};
    let broken = [
        (Fault::FormerIgnored, bounds(1, 1, 0, 2, 0)),
        (Fault::UnheardFormerDropped, bounds(1, 1, 0, 3, 0)),
        (Fault::BlameTheLastCode, bounds(1, 1, 2, 1, 0)),
    ];
    let mut missed = Vec::new();
    for (fault, bounds) in broken {
        plant(Some(fault));
        let explored = explore(&bounds);
        plant(None);
        match explored {
            Err(found) => println!("{}: {} after {:?}", fault.name(), found.what, found.way),
            Ok(explored) => missed.push(format!("{}: {bounds}: {explored:?}", fault.name())),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
