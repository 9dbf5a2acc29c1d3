//! What is said to people: bounded, whatever is in it.

use std::fmt::{Display, Write};
use std::time::Duration;

/// The most characters of somebody else's text in one message.
const MOST: usize = 256;
/// The most bytes that are shown as hexadecimal.
const MOST_BYTES: usize = 64;

/// The most characters of a whole message.
const MOST_OF_ALL: usize = 2048;

/// A text, cut in its middle when it is long; on one line.
pub(crate) fn bounded(text: &str) -> String {
    cut(text, MOST)
}

/// A whole message, which may hold several bounded texts.
pub(crate) fn message(text: impl Display) -> String {
    cut(&text.to_string(), MOST_OF_ALL)
}

/// The name of something, as it was given.
pub(crate) fn quoted(name: &str) -> String {
    format!("{:?}", cut(name, MOST))
}

fn cut(text: &str, most: usize) -> String {
    let shown = |text: &str| -> String {
        let line = |c: char| if c.is_control() { ' ' } else { c };
        text.chars().map(line).collect()
    };
    let Some((end, _)) = text.char_indices().nth(most) else {
        return shown(text);
    };
    let back = text.char_indices().rev().nth(most / 4 - 1);
    let begin = back.map_or(text.len(), |(at, _)| at).max(end);
    let head = text
        .char_indices()
        .nth(most * 3 / 4)
        .map_or(end, |(at, _)| at);
    let left_out = begin - head;
    format!(
        "{}... ({left_out} bytes) ...{}",
        shown(&text[..head]),
        shown(&text[begin..])
    )
}

/// Bytes as text where they are text, else as hexadecimal; a postcard string's length prefix is left out. Of what is long
/// the beginning, and how long it is.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let inner = match postcard::take_from_bytes::<&str>(bytes) {
        Ok((text, [])) => Some(text),
        _ => None,
    };
    let text = inner.or_else(|| std::str::from_utf8(bytes).ok());
    if let Some(text) = text.filter(|t| !t.chars().any(char::is_control)) {
        return match text.char_indices().nth(MOST) {
            None => format!("{text:?}"),
            Some((end, _)) => format!("{:?}... ({} bytes)", &text[..end], text.len()),
        };
    }
    let mut shown = "0x".to_owned();
    for byte in bytes.iter().take(MOST_BYTES) {
        let _ = write!(shown, "{byte:02x}");
    }
    if bytes.len() > MOST_BYTES {
        let _ = write!(shown, "... ({} bytes)", bytes.len());
    }
    shown
}

/// A time as people read it: three digits and a unit.
pub(crate) fn took(time: Duration) -> String {
    let (figure, unit) = match time.as_secs_f64() {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "us"),
    };
    let digits = match figure {
        f if f >= 99.5 => 0,
        f if f >= 9.95 => 1,
        _ => 2,
    };
    let text = format!("{figure:.digits$}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    let text = if text.contains('.') { short } else { &text };
    format!("{text} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_shown_as_text_where_they_are_text() {
        assert_eq!(printable(b"ada"), "\"ada\"");
        assert_eq!(printable(&postcard::to_stdvec("ada").unwrap()), "\"ada\"");
        assert_eq!(printable(&[0xff, 0x01]), "0xff01");
        // What looks like a length prefix is none where more follows.
        let text = "a".repeat(100);
        assert_eq!(printable(text.as_bytes()), format!("{text:?}"));
    }

    /// A key of 8 MiB was printed whole.
    #[test]
    fn whatever_is_in_it_a_message_is_short() {
        let long = "\u{e9}\n\"".repeat(3 << 20);
        let text = "a".repeat(8 << 20);
        let bytes = vec![0xff; 8 << 20];
        assert!(bounded(&long).len() < 2000 && !bounded(&long).contains('\n'));
        let cut = bounded(&text);
        assert!(cut.len() < 400 && cut.contains("bytes"), "{cut}");
        for bytes in [text.as_bytes(), &bytes, long.as_bytes()] {
            let shown = printable(bytes);
            assert!(shown.len() < 2000 && shown.contains("bytes"), "{shown}");
        }
        assert_eq!(bounded("short\nand on one line"), "short and on one line");
    }

    #[test]
    fn times_are_three_digits_and_a_unit() {
        let shown = |ns| took(Duration::from_nanos(ns));
        assert_eq!(shown(23_400), "23.4 us");
        assert_eq!(shown(1_000_000), "1 ms");
        assert_eq!(shown(250_000_000), "250 ms");
        assert_eq!(shown(5_000_321_000), "5 s");
        assert_eq!(shown(100_000_000_000), "100 s");
    }
}
