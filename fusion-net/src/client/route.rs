//! Where the primaries of a cluster are, as a client knows it.

use super::Error;
use crate::coordinators::{Coordinators, Found};
use crate::express::Operations;
use crate::peer::{Pool, within};
use crate::service::AdminError;
use fusion_core::config::Configuration;
use fusion_core::id::MemberId;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// How long the coordinator may take to say where a primary is now.
const NEWS: Duration = Duration::from_secs(2);

/// What all lanes of a client share.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pub(crate) coordinators: Coordinators,
    pub(crate) primaries: Pool<Operations>,
    /// The tasks of all lanes, so that their end can be waited for.
    pub(crate) lanes: TaskTracker,
    /// How long a call may take, all retries together.
    pub(crate) timeout: Duration,
    /// Whether concurrent calls go together in one request.
    pub(crate) coalesce: bool,
}

impl Connections {
    pub(crate) async fn coordinator(&self, limit: Duration) -> Result<Found, Error> {
        let found = self.coordinators.active(limit).await;
        found.map_err(|tried| Error::NoCoordinator { tried })
    }
}

/// The configuration of a cluster as a client knows it, shared by its lanes.
#[derive(Debug)]
pub(crate) struct Route {
    config: Mutex<Arc<Configuration>>,
}

impl Route {
    pub(crate) fn new(config: Arc<Configuration>) -> Arc<Route> {
        Arc::new(Route {
            config: Mutex::new(config),
        })
    }

    pub(crate) fn config(&self) -> Arc<Configuration> {
        Arc::clone(&self.config.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether `member` is a primary, as far as is known.
    pub(crate) fn names(&self, member: MemberId) -> bool {
        let config = self.config();
        config.active().any(|(_, seat)| seat.id == member)
    }

    /// Takes a newer configuration of the same cluster; answers whether it is one.
    pub(crate) fn learn(&self, config: Arc<Configuration>) -> bool {
        let mut known = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = config.cluster == known.cluster && config.epoch > known.epoch;
        if newer {
            *known = config;
        }
        newer
    }

    /// Asks the coordinator for a newer configuration, which may take up to `wait` to come.
    pub(crate) async fn refresh(&self, connections: &Connections, wait: Duration) -> Refreshed {
        let known = self.config();
        let coordinator = match connections.coordinator(NEWS).await {
            Ok(coordinator) => coordinator,
            Err(error) => return Refreshed::Unknown(error.to_string()),
        };
        let (name, wait_ms) = (known.name.clone(), wait.as_millis() as u32);
        let call = coordinator
            .client
            .lookup(within(NEWS), name, Some(known.epoch), wait_ms);
        match call.await {
            // Another cluster of the same name is another one, of another shape perhaps.
            Ok(Ok(config)) if config.cluster != known.cluster => Refreshed::Removed,
            Ok(Ok(config)) if config.epoch > known.epoch => {
                self.learn(config);
                Refreshed::Newer
            }
            Ok(Err(AdminError::UnknownCluster { .. })) => Refreshed::Removed,
            Ok(Ok(_)) => Refreshed::Same,
            failed => {
                connections.coordinators.lost(&coordinator);
                let why = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "it does not answer".to_owned(),
                };
                let address = &coordinator.address;
                Refreshed::Unknown(format!("the coordinator at {address}: {why}"))
            }
        }
    }
}

/// What the coordinator had to say.
pub(crate) enum Refreshed {
    Newer,
    Same,
    Removed,
    /// Nobody could be asked, and why.
    Unknown(String),
}
