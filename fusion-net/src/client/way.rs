//! The way from callers to a lane's driver. The driver is a task of the runtime that it was started in; where that has
//! ended, another one is started in the runtime of the next caller.

use super::call::Ask;
use std::sync::OnceLock;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// The most drivers that one call starts: a runtime that is just ending takes none.
const STARTS: usize = 2;

/// Why a driver does not have a call.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// Its time was over before there was room.
    Late,
    /// The runtime is ending, and takes no driver.
    NoRuntime,
}

/// The way to one driver, and, since that has ended, to the next one. A look at it takes no lock. One that has ended costs
/// some kilobytes until the last handle goes: there is one for each runtime that a handle outlives.
#[derive(Debug)]
pub(super) struct Way {
    calls: mpsc::Sender<Ask>,
    next: OnceLock<Box<Way>>,
}

impl Way {
    pub(super) fn new(calls: mpsc::Sender<Ask>) -> Way {
        Way {
            calls,
            next: OnceLock::new(),
        }
    }

    /// Hands a call to the driver that lives; `start` makes the next one.
    pub(super) async fn hand_over(
        &self,
        deadline: Instant,
        mut ask: Ask,
        start: impl Fn() -> mpsc::Sender<Ask>,
    ) -> Result<(), NotTaken> {
        let mut way = self;
        let mut starts = 0;
        loop {
            while let Some(next) = way.next.get() {
                way = next;
            }
            ask = match timeout_at(deadline, way.calls.send(ask)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(mpsc::error::SendError(ask))) => ask,
                Err(_) => return Err(NotTaken::Late),
            };
            if starts == STARTS {
                return Err(NotTaken::NoRuntime);
            }
            starts += 1;
            way = way.next.get_or_init(|| Box::new(Way::new(start())));
        }
    }
}
