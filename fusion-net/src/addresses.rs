//! Where the coordinators of a deployment listen: one address, or a list.

use crate::text::{bounded, quoted};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The most addresses in a list.
pub const MAX_ADDRESSES: usize = 16;

/// One to [`MAX_ADDRESSES`] different addresses `HOST:PORT`, written with commas between them. Whether the hosts exist
/// shows later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Vec<String>);

/// Why a text is no list of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressesError {
    /// One of them is none.
    #[error(
        "{} is no address; give HOST:PORT as in 127.0.0.1:7400, or several with commas between them",
        quoted(text)
    )]
    NoAddress {
        /// The part of the text.
        text: String,
    },
    /// Nobody can be reached there.
    #[error(
        "nobody is reached at {}; give the host and the port that others connect to",
        bounded(address)
    )]
    Nowhere {
        /// The address.
        address: String,
    },
    /// One stands there twice.
    #[error("{} stands in the list twice", bounded(address))]
    Twice {
        /// Which.
        address: String,
    },
    /// There are too many.
    #[error("{count} addresses are more than the {MAX_ADDRESSES} that are allowed")]
    TooMany {
        /// How many there are.
        count: usize,
    },
}

/// Checks one address `HOST:PORT`, in printable ASCII without spaces.
///
/// # Errors
/// [`AddressesError::NoAddress`].
pub fn address(text: &str) -> Result<String, AddressesError> {
    // Operators are shown it as it is: nothing that their terminals would obey.
    let of_host = |c: char| c.is_ascii_graphic() && c != ',' && c != '/';
    let parts = text
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty() && host.chars().all(of_host));
    match parts.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err(AddressesError::NoAddress {
            text: text.to_owned(),
        }),
    }
}

/// Checks one address at which others reach a process: an [`address`] with a port, and a host that is not all of them.
///
/// # Errors
/// [`AddressesError::NoAddress`], [`AddressesError::Nowhere`].
pub fn reachable(text: &str) -> Result<String, AddressesError> {
    let address = address(text)?;
    let socket = address.parse::<std::net::SocketAddr>();
    if address.ends_with(":0") || socket.is_ok_and(|s| s.port() == 0 || s.ip().is_unspecified()) {
        return Err(AddressesError::Nowhere { address });
    }
    Ok(address)
}

impl FromStr for Addresses {
    type Err = AddressesError;

    fn from_str(text: &str) -> Result<Addresses, AddressesError> {
        let mut addresses = Vec::new();
        for part in text.split(',') {
            let address = address(part.trim())?;
            if addresses.contains(&address) {
                return Err(AddressesError::Twice { address });
            }
            addresses.push(address);
        }
        match addresses.len() {
            count if count > MAX_ADDRESSES => Err(AddressesError::TooMany { count }),
            _ => Ok(Addresses(addresses)),
        }
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl Addresses {
    /// Each of them, in the order given.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_they_are_written() {
        for text in ["a:1", "a:1,b:2", "[::1]:7400,10.0.0.1:7400,c.example:65535"] {
            let addresses: Addresses = text.parse().unwrap();
            assert_eq!(addresses.to_string(), text);
        }
        let spaced: Addresses = "a:1, b:2".parse().unwrap();
        assert_eq!(spaced.iter().collect::<Vec<_>>(), ["a:1", "b:2"]);
    }

    #[test]
    fn an_address_where_nobody_is_reached_is_refused() {
        for nowhere in ["0.0.0.0:7400", "[::]:7400", "127.0.0.1:0", "c.example:0"] {
            let address = nowhere.to_owned();
            assert_eq!(reachable(nowhere), Err(AddressesError::Nowhere { address }));
        }
        for fine in ["127.0.0.1:7400", "c.example:10", "[::1]:1"] {
            assert_eq!(reachable(fine), Ok(fine.to_owned()));
        }
    }

    #[test]
    fn what_is_no_list_is_refused_and_named() {
        for (text, part) in [
            ("", ""),
            ("a:1,", ""),
            ("a:1,b", "b"),
            (":1", ":1"),
            ("a:70000", "a:70000"),
            ("http://a:1", "http://a:1"),
            ("a b:1", "a b:1"),
            ("\u{1b}[2J:1", "\u{1b}[2J:1"),
            ("\u{7f}:1", "\u{7f}:1"),
            ("\u{202e}:1", "\u{202e}:1"),
        ] {
            let refused = text.parse::<Addresses>();
            assert_eq!(
                refused,
                Err(AddressesError::NoAddress {
                    text: part.to_owned()
                })
            );
        }
        assert_eq!(
            "a:1,b:1,a:1".parse::<Addresses>(),
            Err(AddressesError::Twice {
                address: "a:1".to_owned()
            })
        );
        let many: Vec<String> = (0..17).map(|i| format!("a:{i}")).collect();
        assert_eq!(
            many.join(",").parse::<Addresses>(),
            Err(AddressesError::TooMany { count: 17 })
        );
    }
}
