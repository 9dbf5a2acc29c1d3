//! Where what is kept in etcd.
//!
//! | key below the prefix | value |
//! |---|---|
//! | `format` | the number of this layout, as text |
//! | `store` | the store's random id, as text |
//! | `next-server` | the next server id to give, as text |
//! | `servers/ID` | a registration (postcard); the id in 20 decimal digits |
//! | `incarnations/INCARNATION` | the id of the server that registered with it, as text; the incarnation in 16 hexadecimal digits |
//! | `configurations/CLUSTER` | a configuration (postcard); the cluster's id in 16 hexadecimal digits |
//! | `names/NAME` | the id of the living cluster of that name, as text |
//! | `created` | the id of the cluster that was created last, as text |
//! | `coordinators/LEASE` | the address of a coordinator, for as long as its lease lasts; the active one is the one whose key was created first |

use fusion_core::id::{ClusterId, ServerId};
use std::fmt;
use std::str::FromStr;

const MAX_PREFIX: usize = 256;

/// The beginning of all keys of one deployment: `/fusion/` where nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl Default for Prefix {
    fn default() -> Self {
        Prefix("/fusion/".to_owned())
    }
}

impl FromStr for Prefix {
    type Err = String;

    /// A last `/` may be left out, so that no deployment's keys begin with another one's.
    fn from_str(text: &str) -> Result<Prefix, String> {
        let sound = text.starts_with('/')
            && text.len() <= MAX_PREFIX
            && text.bytes().all(|b| b.is_ascii_graphic());
        if !sound {
            return Err(format!(
                "give a prefix of at most {MAX_PREFIX} visible characters that begins with '/', as in /fusion/"
            ));
        }
        Ok(Prefix(format!("{}/", text.trim_end_matches('/'))))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Prefix {
    fn key(&self, rest: impl fmt::Display) -> String {
        format!("{}{rest}", self.0)
    }

    pub(super) fn format(&self) -> String {
        self.key("format")
    }

    pub(super) fn store(&self) -> String {
        self.key("store")
    }

    pub(super) fn next_server(&self) -> String {
        self.key("next-server")
    }

    pub(super) fn servers(&self) -> String {
        self.key("servers/")
    }

    pub(super) fn server(&self, id: ServerId) -> String {
        self.key(format_args!("servers/{:020}", id.0))
    }

    pub(super) fn incarnations(&self) -> String {
        self.key("incarnations/")
    }

    pub(super) fn incarnation(&self, incarnation: u64) -> String {
        self.key(format_args!("incarnations/{incarnation:016x}"))
    }

    pub(super) fn names(&self) -> String {
        self.key("names/")
    }

    pub(super) fn name(&self, name: &str) -> String {
        self.key(format_args!("names/{name}"))
    }

    pub(super) fn created(&self) -> String {
        self.key("created")
    }

    pub(super) fn configurations(&self) -> String {
        self.key("configurations/")
    }

    pub(super) fn configuration(&self, cluster: ClusterId) -> String {
        self.key(format_args!("configurations/{:016x}", cluster.0))
    }

    pub(super) fn coordinators(&self) -> String {
        self.key("coordinators/")
    }

    pub(super) fn coordinator(&self, lease: i64) -> String {
        self.key(format_args!("coordinators/{lease:016x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_with_a_slash_so_that_none_begins_with_another() {
        for text in ["/a/b", "/a/b/", "/a/b//"] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), "/a/b/");
        }
        assert_eq!("/".parse::<Prefix>().unwrap().to_string(), "/");
        for text in [
            "",
            "fusion",
            "/a b",
            "/\n",
            &format!("/{}", "a".repeat(256)),
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text:?}");
        }
    }
}
