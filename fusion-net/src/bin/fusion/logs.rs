//! What a process logs: each line bounded, and one that comes again and again told once, and then with a count.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing_subscriber::fmt::MakeWriter;

/// The longest line, in bytes.
const MOST_BYTES: usize = 4096;
/// How long the first repetitions of a line are counted before they are told; twice as long each time after that.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);
/// The most different lines that are remembered.
const MOST_LINES: usize = 1024;

/// A line that was told.
#[derive(Debug)]
struct Told {
    /// Since when its repetitions are counted, for how long, and how many there were.
    since: Instant,
    pause: Duration,
    more: u64,
}

/// The lines that were told lately, without their times.
#[derive(Debug, Default)]
struct Lines(HashMap<Vec<u8>, Told>);

impl Lines {
    /// What is to be written for a line that is logged now.
    fn take(&mut self, line: &[u8], now: Instant) -> Vec<u8> {
        let line = bounded(line);
        let mut out = Vec::new();
        let said = said(&line).to_vec();
        if let Some(told) = self.0.get_mut(&said) {
            told.more += 1;
            if now < told.since + told.pause {
                return out;
            }
        }
        self.tell_due(now, &mut out);
        if !self.0.contains_key(&said) {
            if self.0.len() < MOST_LINES {
                let told = Told {
                    since: now,
                    pause: FIRST,
                    more: 0,
                };
                self.0.insert(said, told);
            }
            out.extend(line);
        }
        out
    }

    /// Tells of the lines whose time is over how often they came again; forgets those that did not.
    fn tell_due(&mut self, now: Instant, out: &mut Vec<u8>) {
        self.0.retain(|said, told| {
            let passed = now.saturating_duration_since(told.since);
            if passed < told.pause {
                return true;
            }
            if told.more == 0 {
                return false;
            }
            let (more, seconds) = (told.more, passed.as_secs());
            let text = String::from_utf8_lossy(said);
            let again = format!("again, {more} times in {seconds} s:{}\n", text.trim_end());
            out.extend(again.as_bytes());
            told.since = now;
            told.pause = (told.pause * 2).min(LONGEST);
            told.more = 0;
            true
        });
    }
}

/// A line without its time, which comes first.
fn said(line: &[u8]) -> &[u8] {
    let at = line.iter().position(|&byte| byte == b' ');
    at.map_or(line, |at| &line[at..])
}

/// A line, cut when it is long.
fn bounded(line: &[u8]) -> Vec<u8> {
    if line.len() <= MOST_BYTES {
        return line.to_vec();
    }
    let mut cut = line[..MOST_BYTES].to_vec();
    cut.extend(format!("... ({} bytes)\n", line.len()).into_bytes());
    cut
}

/// Makes the writers of a log: each event is one write.
#[derive(Debug)]
pub(crate) struct Repeats<M> {
    to: M,
    lines: Arc<Mutex<Lines>>,
}

impl<M> Repeats<M> {
    /// Writes to what `to` makes.
    pub(crate) fn new(to: M) -> Repeats<M> {
        Repeats {
            to,
            lines: Arc::default(),
        }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Repeats<M> {
    type Writer = Line<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line {
            to: self.to.make_writer(),
            lines: Arc::clone(&self.lines),
        }
    }
}

/// The writer of one event.
pub(crate) struct Line<W> {
    to: W,
    lines: Arc<Mutex<Lines>>,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let out = lines.take(line, Instant::now());
        drop(lines);
        self.to.write_all(&out)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: u64, text: &str) -> Vec<u8> {
        format!("2026-11-30T20:00:{second:02}Z  WARN fusion_net: {text}\n").into_bytes()
    }

    /// Four a second for ever, of a server that was refused.
    #[test]
    fn a_line_that_comes_again_and_again_is_told_once_and_then_with_a_count() {
        let (mut lines, begun) = (Lines::default(), Instant::now());
        let mut written = Vec::new();
        for quarter in 0..240 {
            let now = begun + Duration::from_millis(250 * quarter);
            let out = lines.take(&line(quarter / 4, "the coordinator was lost"), now);
            written.extend(String::from_utf8(out).unwrap().lines().map(str::to_owned));
        }
        assert_eq!(written.len(), 3, "{written:#?}");
        assert!(written[0].starts_with("2026"), "{written:#?}");
        let again = "again, 40 times in 10 s:  WARN fusion_net: the coordinator was lost";
        assert_eq!(written[1], again);
        assert!(
            written[2].starts_with("again, 80 times in 20 s:"),
            "{written:#?}"
        );
    }

    #[test]
    fn other_lines_are_told_at_once_and_what_did_not_come_again_is_forgotten() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        assert_eq!(lines.take(&line(1, "a"), now), line(1, "a"));
        assert_eq!(lines.take(&line(2, "b"), now), line(2, "b"));
        assert!(lines.take(&line(3, "b"), now).is_empty());
        let later = now + FIRST;
        let out = String::from_utf8(lines.take(&line(12, "c"), later)).unwrap();
        assert!(
            out.contains("again, 1 times in 10 s:") && out.ends_with(": c\n"),
            "{out}"
        );
        assert_eq!(
            lines.take(&line(13, "a"), later),
            line(13, "a"),
            "news again"
        );
    }

    #[test]
    fn a_line_is_no_longer_than_is_allowed() {
        let long = line(1, &"k".repeat(8 << 20));
        let out = Lines::default().take(&long, Instant::now());
        assert!(out.len() < MOST_BYTES + 64 && out.ends_with(b"bytes)\n"));
    }

    #[test]
    fn no_more_lines_are_remembered_than_is_allowed() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        for i in 0..2 * MOST_LINES {
            assert!(!lines.take(&line(1, &i.to_string()), now).is_empty());
        }
        assert_eq!(lines.0.len(), MOST_LINES);
    }
}
