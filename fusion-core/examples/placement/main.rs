//! Placement of a thousand servers: a simulation of what correlated failures lose, and a model on paper.
//!
//! `cargo run --release -p fusion-core --example placement -- --help`; docs/scale.md shows the tables.

#![forbid(unsafe_code)]

mod args;
mod churn;
mod compare;
mod fleet;
mod layout;
mod loss;
mod markov;
mod model;
mod rng;
mod table;
#[cfg(test)]
mod tests;

use args::{Arguments, Mode};
use clap::{CommandFactory, Parser, error::ErrorKind};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let checked = match &arguments.mode {
        Some(Mode::Model(model)) => model.fleet.check(),
        None => arguments.simulation.check(),
    };
    if let Err(line) = checked {
        Arguments::command()
            .error(ErrorKind::ValueValidation, line)
            .exit();
    }
    let done = match arguments.mode {
        Some(Mode::Model(model)) => model::run(&model),
        None => compare::run(&arguments.simulation),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
