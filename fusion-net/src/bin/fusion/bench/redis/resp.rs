//! The protocol of Redis, version 2: commands as arrays of strings, and what comes back.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// The most elements of an answer that is an array, and how deep arrays may stand in one another.
const MAX_ELEMENTS: i64 = 1 << 20;
const MAX_DEPTH: usize = 4;
/// The longest string that Redis knows.
const MAX_STRING: i64 = 512 << 20;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resp {
    /// A short text, as `OK`.
    Simple(String),
    /// The command failed.
    Error(String),
    /// A number.
    Integer(i64),
    /// Bytes, or nothing.
    Bulk(Option<Bytes>),
    /// Several, or nothing.
    Array(Option<Vec<Resp>>),
}

/// What came is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the server does not speak the protocol of Redis: {what} in {line:?}")]
pub(crate) struct RespError {
    what: &'static str,
    line: String,
}

/// Appends one command to `out`.
pub(crate) fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    length(out, b'*', words.len());
    for word in words {
        length(out, b'$', word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn length(out: &mut Vec<u8>, sign: u8, length: usize) {
    out.push(sign);
    out.extend_from_slice(length.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Takes the first answer out of `buffer`; `None` while it is not all there.
///
/// # Errors
/// [`RespError`] when no answer begins so.
pub(crate) fn take(buffer: &mut BytesMut) -> Result<Option<Resp>, RespError> {
    match parse(buffer, 0, MAX_DEPTH)? {
        Some((resp, end)) => {
            buffer.advance(end);
            Ok(Some(resp))
        }
        None => Ok(None),
    }
}

/// The answer that begins at `start`, and where it ends.
fn parse(buffer: &[u8], start: usize, depth: usize) -> Result<Option<(Resp, usize)>, RespError> {
    let rest = &buffer[start..];
    let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
        return Ok(None);
    };
    let line = &rest[..end];
    let text = || String::from_utf8_lossy(&line[1..]).into_owned();
    let fail = |what| RespError {
        what,
        line: String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned(),
    };
    let number = || {
        text()
            .parse::<i64>()
            .map_err(|_| fail("a number was expected"))
    };
    let next = start + end + 2;
    let sign = line.first().ok_or_else(|| fail("an empty line"))?;
    match sign {
        b'+' => Ok(Some((Resp::Simple(text()), next))),
        b'-' => Ok(Some((Resp::Error(text()), next))),
        b':' => Ok(Some((Resp::Integer(number()?), next))),
        b'$' => match number()? {
            -1 => Ok(Some((Resp::Bulk(None), next))),
            len @ 0..=MAX_STRING => {
                let len = len as usize;
                match buffer.get(next..next + len + 2) {
                    Some([body @ .., b'\r', b'\n']) => Ok(Some((
                        Resp::Bulk(Some(Bytes::copy_from_slice(body))),
                        next + len + 2,
                    ))),
                    Some(_) => Err(fail("a string without its end")),
                    None => Ok(None),
                }
            }
            _ => Err(fail("an impossible length")),
        },
        b'*' => match number()? {
            -1 => Ok(Some((Resp::Array(None), next))),
            count @ 0..=MAX_ELEMENTS if depth > 0 => {
                let mut elements = Vec::new();
                let mut at = next;
                for _ in 0..count {
                    let Some((element, end)) = parse(buffer, at, depth - 1)? else {
                        return Ok(None);
                    };
                    elements.push(element);
                    at = end;
                }
                Ok(Some((Resp::Array(Some(elements)), at)))
            }
            _ => Err(fail("an impossible number of elements")),
        },
        _ => Err(fail("an unknown kind of answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERS: &[u8] =
        b"+OK\r\n-ERR no\r\n:-42\r\n$5\r\na\r\nbc\r\n$-1\r\n$0\r\n\r\n*2\r\n:1\r\n*1\r\n+x\r\n*-1\r\n";

    fn expected() -> Vec<Resp> {
        let bulk = |bytes: &'static [u8]| Resp::Bulk(Some(Bytes::from_static(bytes)));
        let x = Resp::Array(Some(vec![Resp::Simple("x".to_owned())]));
        vec![
            Resp::Simple("OK".to_owned()),
            Resp::Error("ERR no".to_owned()),
            Resp::Integer(-42),
            bulk(b"a\r\nbc"),
            Resp::Bulk(None),
            bulk(b""),
            Resp::Array(Some(vec![Resp::Integer(1), x])),
            Resp::Array(None),
        ]
    }

    #[test]
    fn answers_are_read_however_they_are_cut() {
        for piece in [1, 2, 3, 7, ANSWERS.len()] {
            let mut buffer = BytesMut::new();
            let mut answers = Vec::new();
            for bytes in ANSWERS.chunks(piece) {
                buffer.extend_from_slice(bytes);
                while let Some(answer) = take(&mut buffer).unwrap() {
                    answers.push(answer);
                }
            }
            assert_eq!(answers, expected(), "in pieces of {piece}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for bytes in [
            &b"hello\r\n"[..],
            b"\r\n",
            b":x\r\n",
            b"$-2\r\n",
            b"$1\r\nabc\r\n",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        ] {
            assert!(take(&mut BytesMut::from(bytes)).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn commands_are_arrays_of_strings() {
        let mut out = Vec::new();
        command(&mut out, &[b"SET", b"k", b"a\r\n"]);
        command(&mut out, &[b"WAIT", b"2", b"0"]);
        assert_eq!(
            out,
            b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na\r\n\r\n*3\r\n$4\r\nWAIT\r\n$1\r\n2\r\n$1\r\n0\r\n"
        );
    }
}
