//! Long lists cut to what an operator looks for: what is not well.

use crate::status::plural;
use std::fmt;

/// A list that is longer shows only what is not well, and no more of that than so many.
const FEW: usize = 20;

/// What is listed, and how many are not.
#[derive(Debug)]
pub(crate) struct Shown<'a, T> {
    pub(crate) listed: Vec<&'a T>,
    /// Those left out that are well, and those that are not.
    well: usize,
    unwell: usize,
}

impl<'a, T> Shown<'a, T> {
    /// Chooses of `items`; with `all` nothing is left out.
    pub(crate) fn of(items: &'a [T], all: bool, well: impl Fn(&T) -> bool) -> Shown<'a, T> {
        if all || items.len() <= FEW {
            return Shown {
                listed: items.iter().collect(),
                well: 0,
                unwell: 0,
            };
        }
        let mut listed: Vec<&T> = items.iter().filter(|i| !well(i)).collect();
        let unwell = listed.len();
        listed.truncate(FEW);
        Shown {
            well: items.len() - unwell,
            unwell: unwell - listed.len(),
            listed,
        }
    }

    /// Writes the table of what is listed, then what is not; without the last line's end.
    pub(crate) fn write(
        &self,
        f: &mut fmt::Formatter<'_>,
        indent: &str,
        noun: &str,
        table: &impl fmt::Display,
    ) -> fmt::Result {
        let left = match (self.well, self.unwell) {
            (0, 0) => return write!(f, "{table}"),
            (well, 0) => format!("{} well", plural(well as u64, noun)),
            (well, unwell) => format!("{} well, {unwell} more not", plural(well as u64, noun)),
        };
        if !self.listed.is_empty() {
            writeln!(f, "{table}")?;
        }
        write!(f, "{indent}{left}; --all lists them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_shows_what_is_not_well_and_not_too_much_of_it() {
        let shown = |items: &[bool], all| {
            let shown = Shown::of(items, all, |&well| well);
            (shown.listed.len(), shown.well, shown.unwell)
        };
        assert_eq!(shown(&[true; FEW], false), (FEW, 0, 0));
        assert_eq!(shown(&[true; 300], false), (0, 300, 0));
        assert_eq!(shown(&[true; 300], true), (300, 0, 0));
        let mut some = [true; 300];
        some[7] = false;
        assert_eq!(shown(&some, false), (1, 299, 0));
        some[100..150].fill(false);
        assert_eq!(shown(&some, false), (FEW, 249, 31));
    }
}
