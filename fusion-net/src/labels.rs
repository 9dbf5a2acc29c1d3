//! What a server says of where it stands: its host, its zone, and whatever operators want to know (PROTOCOL rule 69).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The most labels of one server.
pub const MAX_LABELS: usize = 16;
/// The longest label, as text: `key=value`.
pub const MAX_LABEL_BYTES: usize = 64;
/// The key of the host: servers of one are lost together.
pub const HOST: &str = "host";
/// The key of the zone that the host is in.
pub const ZONE: &str = "zone";

/// Why labels are not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LabelError {
    /// It is no `key=value`, or too long.
    #[error(
        "{label:?} is no label: give KEY=VALUE in printable ASCII without spaces, {MAX_LABEL_BYTES} bytes at most, as in host=h1 or zone=a"
    )]
    Bad {
        /// The beginning of it.
        label: String,
    },
    /// A key is there twice.
    #[error("label {key} is given twice; give it one value")]
    Twice {
        /// The key.
        key: String,
    },
    /// There are more than [`MAX_LABELS`].
    #[error("{labels} labels are more than the {MAX_LABELS} that a server may have")]
    TooMany {
        /// How many there are.
        labels: usize,
    },
}

/// One label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// What it is of.
    pub key: String,
    /// What it says.
    pub value: String,
}

impl Label {
    fn check(&self) -> Result<(), LabelError> {
        let printable = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        let fits = self.key.len() + 1 + self.value.len() <= MAX_LABEL_BYTES;
        if fits && printable(&self.key) && printable(&self.value) && !self.key.contains('=') {
            return Ok(());
        }
        let label = self.to_string().chars().take(MAX_LABEL_BYTES).collect();
        Err(LabelError::Bad { label })
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Label, LabelError> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        let label = Label {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        label.check()?;
        Ok(label)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// The labels of one server: at most [`MAX_LABELS`], each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels(
    #[serde(deserialize_with = "fusion_core::bounded::vec::<_, _, MAX_LABELS>")] Vec<Label>,
);

impl Labels {
    /// All of these.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn new(labels: Vec<Label>) -> Result<Labels, LabelError> {
        let labels = Labels(labels);
        labels.check()?;
        Ok(labels)
    }

    /// What [`new`](Self::new) checks, of labels that came from elsewhere.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn check(&self) -> Result<(), LabelError> {
        let labels = self.0.len();
        if labels > MAX_LABELS {
            return Err(LabelError::TooMany { labels });
        }
        for (i, label) in self.0.iter().enumerate() {
            label.check()?;
            if self.0[..i].iter().any(|l| l.key == label.key) {
                let key = label.key.clone();
                return Err(LabelError::Twice { key });
            }
        }
        Ok(())
    }

    fn get(&self, key: &str) -> Option<&str> {
        let label = self.0.iter().find(|l| l.key == key)?;
        Some(&label.value)
    }

    /// The host: what the label says, or the host part of the address that the server is reached at.
    #[must_use]
    pub fn host<'a>(&'a self, address: &'a str) -> &'a str {
        let part = address.rsplit_once(':').map_or(address, |(host, _)| host);
        self.get(HOST).unwrap_or(part)
    }

    /// The zone, if it is said.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.get(ZONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(texts: &[&str]) -> Result<Labels, LabelError> {
        let labels = texts.iter().map(|t| t.parse()).collect::<Result<_, _>>()?;
        Labels::new(labels)
    }

    #[test]
    fn the_host_is_the_addresses_where_no_label_says_it() {
        let none = Labels::default();
        assert_eq!(none.host("10.0.0.1:7500"), "10.0.0.1");
        assert_eq!(none.host("[::1]:7500"), "[::1]");
        assert_eq!(none.zone(), None);
        let both = labels(&["zone=a", "host=h1", "rack=7=b"]).unwrap();
        assert_eq!((both.host("10.0.0.1:7500"), both.zone()), ("h1", Some("a")));
    }

    #[test]
    fn labels_that_nobody_could_read_or_that_are_too_many_are_refused() {
        let long = format!("zone={}", "a".repeat(MAX_LABEL_BYTES));
        for bad in [
            "", "host", "host=", "=h1", "host=h 1", "host=\n", "höst=1", &long,
        ] {
            let refused = labels(&[bad]).unwrap_err();
            assert!(matches!(refused, LabelError::Bad { .. }), "{bad:?}");
            assert!(!refused.to_string().contains(char::is_control));
        }
        let twice = labels(&["host=h1", "host=h2"]).unwrap_err();
        assert!(matches!(twice, LabelError::Twice { .. }), "{twice}");
        let many: Vec<String> = (0..=MAX_LABELS).map(|i| format!("k{i}=v")).collect();
        let many: Vec<&str> = many.iter().map(|l| &**l).collect();
        assert!(labels(&many[1..]).is_ok());
        let labels = many.len();
        assert_eq!(
            super::tests::labels(&many),
            Err(LabelError::TooMany { labels })
        );
    }
}
