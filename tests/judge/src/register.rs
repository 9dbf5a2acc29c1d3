//! One entry of a map: a register that may be empty.

use crate::record::{Asked, Told};
use crate::windows::Structure;
use std::sync::Arc;

/// The value, if the key is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Register(pub(crate) Option<Arc<str>>);

impl Structure for Register {
    type Operation = Asked;

    fn apply(&mut self, asked: &Asked, told: Option<&Told>) -> bool {
        let value = self.0.clone();
        let expected = match asked {
            Asked::Get => value.map_or(Told::Missing, |v| Told::Value(Some(v.to_string()))),
            Asked::Contains => Told::Present(value.is_some()),
            Asked::Put { value: new } => {
                self.0 = Some(new.as_str().into());
                Told::Present(value.is_some())
            }
            Asked::Remove => {
                self.0 = None;
                value.map_or(Told::Missing, |v| Told::Value(Some(v.to_string())))
            }
            Asked::CompareAndSwap { expected, new } => {
                let found = value.as_deref();
                let swapped = found == expected.as_deref();
                let found = found.filter(|_| !swapped).map(str::to_owned);
                if swapped {
                    self.0 = new.as_deref().map(Arc::from);
                }
                Told::Swapped { swapped, found }
            }
            _ => return false,
        };
        told.is_none_or(|told| *told == expected)
    }
}
