//! What every function of the library is wrapped in.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; answers `otherwise` where it gives up, or where a fault of this library would unwind into C.
pub(crate) fn guard<T>(otherwise: T, body: impl FnOnce() -> Option<T>) -> T {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Some(value)) => value,
        Ok(None) | Err(_) => otherwise,
    }
}
