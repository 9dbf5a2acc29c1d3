//! `fusion-judge FILE...`: judges the histories in files; status 0 only if all are accepted.

use std::fs::File;
use std::io::{BufReader, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        let _ = writeln!(std::io::stderr(), "use: fusion-judge FILE...");
        return ExitCode::from(2);
    }
    let mut clean = true;
    for path in paths {
        let file = File::open(&path).map_err(|e| e.to_string());
        let said = match file.and_then(|f| fusion_judge::judge(BufReader::new(f))) {
            Ok(verdict) => {
                let wrong = verdict.wrong.iter().map(|line| format!("\nREFUSED {line}"));
                let undecided = verdict
                    .undecided
                    .iter()
                    .map(|line| format!("\nundecided {line}"));
                let bad: String = wrong.chain(undecided).collect();
                // Were nothing decided, nothing would be known.
                let decided = verdict.histories > 2 * verdict.undecided.len();
                clean &= verdict.wrong.is_empty() && decided;
                let (histories, operations) = (verdict.histories, verdict.operations);
                let (unknown, open) = (verdict.unknown, verdict.undecided.len());
                let sums = format!(
                    "{histories} histories, {operations} operations, {unknown} of unknown outcome, {open} undecided"
                );
                let end = if verdict.wrong.is_empty() && decided {
                    ": linearizable"
                } else {
                    ""
                };
                format!("{path}: {sums}{end}{bad}")
            }
            Err(error) => {
                clean = false;
                format!("{path}: {error}")
            }
        };
        if writeln!(std::io::stdout(), "{said}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
