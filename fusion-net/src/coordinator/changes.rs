//! Changes of what a coordinator keeps: one at a time, durable before anybody is told, to the end even when the caller
//! goes away.

use super::Coordinator;
use super::registry::Registry;
use super::store::{StoreError, Swapped};
use crate::service::{AdminError, Registered, Registration};
use fusion_core::config::Configuration;
use fusion_core::id::{ClusterId, ServerId};
use fusion_core::membership::Reason;
use std::sync::Arc;

/// Why something was not changed.
pub(crate) enum Undone {
    /// It is not possible.
    Refused(AdminError),
    /// The store did not take it, or did not say that it has.
    Store(StoreError),
}

impl From<AdminError> for Undone {
    fn from(error: AdminError) -> Undone {
        Undone::Refused(error)
    }
}

impl From<StoreError> for Undone {
    fn from(error: StoreError) -> Undone {
        Undone::Store(error)
    }
}

pub(crate) fn failed(error: impl std::fmt::Display) -> AdminError {
    AdminError::Store {
        message: error.to_string(),
    }
}

fn deposed() -> AdminError {
    AdminError::NotActive {
        active: None,
        problem: None,
    }
}

/// A change under way. Until it is settled the memory of this term may differ from the store: should the change be given
/// up, or a fault of this program end it, the term ends, and the next one reads the store anew.
struct Unsettled<'a> {
    coordinator: &'a Coordinator,
    settled: bool,
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.coordinator.term.end();
        }
    }
}

/// Makes one change while no other is made, and only under a term that lasts. What came of it is in memory, too, or the
/// term is over when this returns.
pub(crate) async fn alone<T, F, W>(coordinator: &Arc<Coordinator>, work: F) -> Result<T, AdminError>
where
    F: FnOnce(Arc<Coordinator>) -> W + Send + 'static,
    W: Future<Output = Result<T, Undone>> + Send,
    T: Send + 'static,
{
    let coordinator = Arc::clone(coordinator);
    let done = tokio::spawn(async move {
        let _one_at_a_time = coordinator.deciding.lock().await;
        if coordinator.term.is_over() {
            return Err(deposed());
        }
        // Given up before the lock is: nothing else is changed by what may be wrong.
        let mut change = Unsettled {
            coordinator: &coordinator,
            settled: false,
        };
        match work(Arc::clone(&coordinator)).await {
            Ok(done) => {
                change.settled = true;
                Ok(done)
            }
            Err(Undone::Refused(error)) => {
                change.settled = true;
                Err(error)
            }
            Err(Undone::Store(StoreError::Deposed)) => Err(deposed()),
            Err(Undone::Store(error)) => {
                change.settled = !matches!(error, StoreError::Unknown(_));
                if !change.settled {
                    tracing::error!(%error, "this coordinator's term ends; the store is read anew");
                }
                let message = error.to_string();
                coordinator.registry().problem = Some(message.clone());
                Err(AdminError::Store { message })
            }
        }
    });
    done.await.map_err(failed)?
}

/// Decides on a configuration, stores it, then lets everybody know. Refused while the store may be behind (PROTOCOL
/// rule 60), whoever decides.
pub(crate) async fn commit<F>(
    coordinator: &Arc<Coordinator>,
    reason: Option<Reason>,
    decide: F,
) -> Result<Arc<Configuration>, AdminError>
where
    F: FnOnce(&mut Registry) -> Result<Configuration, AdminError> + Send + 'static,
{
    let work = async move |c: Arc<Coordinator>| {
        let next = {
            let mut registry = c.registry();
            let next = decide(&mut registry)?;
            registry.guard(&next)?;
            Arc::new(next)
        };
        store_next(&c, &next).await?;
        let now = c.now_ms();
        let mut registry = c.registry();
        registry.problem = None;
        registry.install(Arc::clone(&next), reason, now);
        drop(registry);
        c.version.send_modify(|v| *v += 1);
        c.evidence.notify_one();
        Ok(next)
    };
    alone(coordinator, work).await
}

/// Compare-and-swap, tried twice. When it finds another epoch than expected, what is stored counts: an epoch has one
/// content (rule 5).
async fn store_next(c: &Coordinator, next: &Configuration) -> Result<(), Undone> {
    let swapped = match c.store.compare_and_swap(next).await {
        Err(error @ (StoreError::Deposed | StoreError::TooLarge { .. })) => {
            return Err(error.into());
        }
        Err(first) => match c.store.compare_and_swap(next).await {
            Ok(swapped) => swapped,
            // The first one may have been made, whatever the second one says.
            Err(_) if matches!(first, StoreError::Unknown(_)) => return Err(first.into()),
            Err(second) => return Err(second.into()),
        },
        Ok(swapped) => swapped,
    };
    match swapped {
        Swapped::Stored => Ok(()),
        Swapped::Found(stored) => {
            let now = c.now_ms();
            let mut registry = c.registry();
            registry.problem = None;
            registry.detector.conflict(next.cluster);
            if let Some(stored) = stored {
                registry.install(Arc::new(*stored), None, now);
                drop(registry);
                c.version.send_modify(|v| *v += 1);
            }
            Err(failed("the configuration in it is not the one before this change").into())
        }
        Swapped::NameTaken(cluster) => {
            // By one that this term does not know of: it does not know what is in the store.
            tracing::error!(name = %next.name, %cluster, "the store knows a cluster that this coordinator does not");
            c.term.end();
            let name = next.name.clone();
            Err(AdminError::NameTaken { name }.into())
        }
    }
}

/// Gives a run of a process its id, or the one that it has already.
pub(crate) async fn add_server(
    c: &Arc<Coordinator>,
    registration: Registration,
) -> Result<Registered, AdminError> {
    let work = async move |c: Arc<Coordinator>| {
        let store = c.registry().store;
        let registration = Registration {
            draining: false,
            ..registration
        };
        let known = c.registry().registered(registration.incarnation);
        if let Some(server) = known {
            return Ok(Registered { server, store });
        }
        {
            let registry = c.registry();
            registry.guard_all()?;
            registry.check_room_for_server()?;
        }
        let server = c.store.add_server(&registration).await?;
        let now = c.now_ms();
        c.registry().add_server(server, registration, now);
        c.evidence.notify_one();
        Ok(Registered { server, store })
    };
    alone(c, work).await
}

/// Marks a server as one that an operator wants empty, or not any more; durable before it is acted on.
pub(crate) async fn drain(
    c: &Arc<Coordinator>,
    server: ServerId,
    wanted: bool,
) -> Result<(), AdminError> {
    let work = async move |c: Arc<Coordinator>| {
        let registration = {
            let registry = c.registry();
            registry.guard_all()?;
            registry.drained(server, wanted)?
        };
        c.store.put_server(server, &registration).await?;
        c.registry().set_draining(server, wanted);
        c.evidence.notify_one();
        Ok(())
    };
    alone(c, work).await
}

/// Forgets dead servers that no configuration names, and removed clusters that nobody holds a part of any more.
pub(crate) async fn forget(c: &Arc<Coordinator>, now: u64) -> Result<(), AdminError> {
    let work = async move |c: Arc<Coordinator>| {
        c.registry().guard_all()?;
        // What is to be forgotten is looked for now that nothing is decided meanwhile.
        let servers: Vec<ServerId> = c.registry().forgettable(now);
        if !servers.is_empty() {
            c.store.forget_servers(&servers).await?;
            c.registry().forget(&servers);
        }
        let clusters: Vec<ClusterId> = c.registry().remains.over(now);
        if !clusters.is_empty() {
            c.store.forget_clusters(&clusters).await?;
            c.registry().forget_clusters(&clusters);
        }
        Ok(())
    };
    alone(c, work).await
}

#[cfg(test)]
mod tests;
