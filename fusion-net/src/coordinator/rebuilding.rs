//! A coordinator whose store is made anew from what the servers know (PROTOCOL rule 39). Until that is done it answers
//! nobody but servers that hand over.

use super::registry::Registry;
use super::store::StoreContents;
use super::{Coordinator, CoordinatorError};
use crate::service::{ControlPlane, HandOver, Registration, Status};
use fusion_core::id::ServerId;
use fusion_core::rebuild::{Rebuild, Rebuilt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::timeout;

/// Between two lines in the log that say what is waited for.
const SAY: Duration = Duration::from_secs(2);
/// Between two looks at what was heard, though nothing new was.
const LOOK: Duration = Duration::from_millis(100);

/// How a store is made anew.
#[derive(Clone, Copy, Debug, Default)]
pub struct RebuildOptions {
    /// An operator's word that so many servers know all that is to be known; `None`: all that are named must be heard.
    pub servers: Option<usize>,
}

/// What was handed over.
pub(crate) struct Rebuilding {
    rebuild: Rebuild,
    registrations: BTreeMap<ServerId, Registration>,
}

impl Rebuilding {
    pub(crate) fn new(options: RebuildOptions) -> Rebuilding {
        Rebuilding {
            rebuild: Rebuild::new(options.servers),
            registrations: BTreeMap::new(),
        }
    }

    pub(crate) fn hear(&mut self, handed: HandOver) {
        let server = handed.identity.server;
        self.registrations.insert(server, handed.registration);
        let of = handed.of as usize;
        let store = handed.identity.store;
        self.rebuild.hear(server, store, of, handed.config);
    }

    /// How it stands, for operators.
    fn progress(&self) -> String {
        let heard = self.rebuild.heard().count();
        let missing: Vec<String> = self
            .rebuild
            .missing()
            .iter()
            .map(ToString::to_string)
            .collect();
        let wait = if missing.is_empty() {
            "waits for servers".to_owned()
        } else {
            format!("waits for servers {}", missing.join(", "))
        };
        format!(
            "the store is being made anew: {heard} servers were heard; {wait}. If they are dead, start the coordinator again with --servers {heard}"
        )
    }

    /// All that an operator can be told meanwhile.
    pub(crate) fn status(&self, control: ControlPlane) -> Status {
        Status {
            servers: Vec::new(),
            clusters: Vec::new(),
            events: Vec::new(),
            problem: Some(self.progress()),
            control,
        }
    }

    fn contents(&self, rebuilt: Rebuilt) -> StoreContents {
        let servers = self.registrations.iter();
        StoreContents {
            store: rebuilt.store,
            configs: rebuilt.configs,
            servers: servers.map(|(&id, s)| (id, s.clone())).collect(),
        }
    }
}

/// Waits until enough servers were heard, and stores what they know.
///
/// # Errors
/// [`CoordinatorError::Rebuild`] when they contradict each other, [`CoordinatorError::NotNew`] when the store holds
/// something already.
pub(crate) async fn run(coordinator: &Arc<Coordinator>) -> Result<(), CoordinatorError> {
    let mut said = Instant::now();
    loop {
        let _ = timeout(LOOK, coordinator.evidence.notified()).await;
        let contents = {
            let rebuilding = coordinator.rebuilding();
            let Some(rebuilding) = rebuilding.as_ref() else {
                return Ok(());
            };
            let outcome = rebuilding.rebuild.outcome()?;
            if outcome.is_none() && said.elapsed() >= SAY {
                said = Instant::now();
                tracing::warn!("{}", rebuilding.progress());
            }
            outcome.map(|rebuilt| {
                let next_server = ServerId(rebuilt.next_server);
                (rebuilding.contents(rebuilt), next_server)
            })
        };
        let Some((contents, next_server)) = contents else {
            continue;
        };
        if !coordinator.store.restore(&contents, next_server).await? {
            return Err(CoordinatorError::NotNew);
        }
        let timing = &coordinator.options.timing;
        let (clusters, servers) = (contents.configs.len(), contents.servers.len());
        *coordinator.registry() = Registry::new(contents, timing);
        let now = coordinator.now_ms();
        coordinator.registry().detector.restart_timers(now);
        *coordinator.rebuilding() = None;
        tracing::warn!(
            clusters,
            servers,
            "the store was made anew from the servers"
        );
        return Ok(());
    }
}
