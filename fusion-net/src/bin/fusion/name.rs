//! Names of structures as the command line writes them.

use std::fmt;
use std::str::FromStr;

/// `NAME` or `NAME/I`: a whole cluster, or one primary of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AnyName {
    pub(crate) cluster: String,
    pub(crate) primary: Option<usize>,
}

/// `NAME/I`: one primary of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrimaryName {
    pub(crate) cluster: String,
    pub(crate) primary: usize,
}

impl FromStr for AnyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (cluster, primary) = match text.split_once('/') {
            Some((cluster, index)) => (cluster, Some(parse_index(index)?)),
            None => (text, None),
        };
        if cluster.is_empty() {
            return Err("the cluster's name is missing".to_owned());
        }
        Ok(AnyName {
            cluster: cluster.to_owned(),
            primary,
        })
    }
}

impl FromStr for PrimaryName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let AnyName { cluster, primary } = text.parse()?;
        let primary = primary.ok_or_else(|| {
            format!("say which primary of the cluster, from 0 on: {cluster}/0, for example")
        })?;
        Ok(PrimaryName { cluster, primary })
    }
}

impl fmt::Display for PrimaryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.primary)
    }
}

fn parse_index(text: &str) -> Result<usize, String> {
    if text.bytes().all(|b| b.is_ascii_digit())
        && let Ok(index) = text.parse::<u16>()
    {
        return Ok(usize::from(index));
    }
    Err(format!(
        "{text:?} is not the index of a primary: write NAME/0, NAME/1 and so on"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_say_which_primary() {
        let name = |cluster: &str, primary| AnyName {
            cluster: cluster.to_owned(),
            primary,
        };
        assert_eq!("scores".parse(), Ok(name("scores", None)));
        assert_eq!("scores/0".parse(), Ok(name("scores", Some(0))));
        assert_eq!("a.b-c/12".parse(), Ok(name("a.b-c", Some(12))));
        for wrong in [
            "", "/0", "a/", "a/b", "a/-1", "a/+1", "a/1/2", "a/65536", "a/ 1",
        ] {
            assert!(wrong.parse::<AnyName>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn lists_and_queues_need_the_primary() {
        let name: PrimaryName = "jobs/2".parse().unwrap();
        assert_eq!((name.cluster.as_str(), name.primary), ("jobs", 2));
        assert_eq!(name.to_string(), "jobs/2");
        assert!(
            "jobs"
                .parse::<PrimaryName>()
                .unwrap_err()
                .contains("jobs/0")
        );
    }
}
