//! Collections from the network: counted while they are decoded, before they take memory. And numbers from wherever they
//! come, which have an end (PROTOCOL rule 66).
//!
//! An element may take fifty times the memory of its bytes, so that the length of a message bounds nothing.

use crate::limits::MAX_NUMBER;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// Decodes a sequence of at most `MAX` elements; to be used as `#[serde(deserialize_with)]`.
///
/// # Errors
/// Those of the elements, and one that names the bound when there are more.
pub fn vec<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(Bounded::<T, MAX>(PhantomData))
}

/// Decodes a number of at most [`MAX_NUMBER`]; to be used as `#[serde(deserialize_with)]`.
///
/// # Errors
/// Those of a `u64`, and one that names the bound when it is greater.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if number <= MAX_NUMBER {
        return Ok(number);
    }
    Err(D::Error::custom(format_args!(
        "{number} is above {MAX_NUMBER}, and was never given"
    )))
}

/// How many elements are made room for before they have come.
const TRUSTED: usize = 64;

struct Bounded<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let told = seq.size_hint().unwrap_or(0);
        if told > MAX {
            return Err(A::Error::invalid_length(told, &self));
        }
        let mut elements = Vec::with_capacity(told.min(TRUSTED));
        while let Some(element) = seq.next_element()? {
            if elements.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Few {
        #[serde(deserialize_with = "super::vec::<_, _, 3>")]
        numbers: Vec<u64>,
    }

    #[test]
    fn more_than_the_bound_is_an_error_and_takes_no_memory() {
        let decode = |numbers: Vec<u64>| {
            let bytes = postcard::to_allocvec(&Few { numbers }).unwrap();
            postcard::from_bytes::<Few>(&bytes)
        };
        assert_eq!(decode(vec![1, 2, 3]).unwrap().numbers, [1, 2, 3]);
        assert_eq!(decode(vec![]).unwrap().numbers, [0; 0]);
        assert!(decode(vec![1, 2, 3, 4]).is_err());
        // A count alone: 2^60 elements of which none comes.
        let lie = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10];
        assert!(postcard::from_bytes::<Few>(&lie).is_err());
    }
}
