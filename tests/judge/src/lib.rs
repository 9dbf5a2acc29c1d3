//! Judges histories of lists, maps and queues by a linearizability checker that is not ours: `todc_utils`' `WGLChecker`.
//!
//! It reads the JSON lines that `docs/histories.md` describes and shares no code with what wrote them: what a structure
//! must answer is said here once more (`register`, `table`, `sequence`), and the order of operations is found by
//! search, since the lines hold no numbers of changes. Entries of a map are judged key by key, and once more as a whole
//! for what is asked of the whole. Long histories are cut where nothing is under way (`windows`),
//! and orders that later answers refute are not followed (`future`).

mod future;
mod record;
mod register;
mod sequence;
mod table;
mod verdict;
mod windows;

pub use verdict::{Verdict, judge};
