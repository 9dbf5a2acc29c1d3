//! The coordinator's tarpc service.

use super::Coordinator;
use super::office::Office;
use super::registry::Registry;
use super::store::{StoreError, Swapped};
use crate::service::{
    self, AdminError, Counted, HandOver, Registered, Registration, Status, SyncReply, SyncRequest,
    Who,
};
use crate::wire::Guest;
use fusion_core::config::{ClusterShape, Configuration};
use fusion_core::id::{Epoch, PrimaryIndex, ServerId};
use fusion_core::membership::{self, Reason, What};
use fusion_core::time::Timing;
use std::sync::Arc;
use std::time::Duration;
use tarpc::context::Context;
use tokio::time::{sleep, timeout};

/// The longest that a lookup waits for news.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// The service for one connection.
#[derive(Clone)]
pub(crate) struct CoordinatorServer {
    office: Arc<Office>,
    guest: Arc<Guest>,
}

impl CoordinatorServer {
    pub(crate) fn new(office: Arc<Office>, guest: Arc<Guest>) -> Self {
        CoordinatorServer { office, guest }
    }
}

fn failed(error: impl std::fmt::Display) -> AdminError {
    AdminError::Store {
        message: error.to_string(),
    }
}

/// Decides on a configuration, stores it, then lets everybody know; one at a time, and to the end even when the
/// caller goes away.
pub(crate) async fn commit<F>(
    coordinator: &Arc<Coordinator>,
    reason: Option<Reason>,
    decide: F,
) -> Result<Arc<Configuration>, AdminError>
where
    F: FnOnce(&mut Registry) -> Result<Configuration, AdminError> + Send + 'static,
{
    let coordinator = Arc::clone(coordinator);
    let committed = tokio::spawn(async move {
        let _one_at_a_time = coordinator.deciding.lock().await;
        let next = Arc::new(decide(&mut coordinator.registry())?);
        let swapped = match store_next(&coordinator, &next).await {
            Ok(swapped) => swapped,
            Err(StoreError::Deposed) => return Err(deposed(&coordinator)),
            Err(error) => {
                let message = error.to_string();
                coordinator.registry().problem = Some(message.clone());
                return Err(AdminError::Store { message });
            }
        };
        coordinator.registry().problem = None;
        if !swapped {
            return Err(failed(
                "the configuration in it is not the one before this change",
            ));
        }
        let now = coordinator.now_ms();
        coordinator
            .registry()
            .install(Arc::clone(&next), reason, now);
        coordinator.version.send_modify(|v| *v += 1);
        coordinator.evidence.notify_one();
        Ok(next)
    });
    committed.await.map_err(failed)?
}

/// The store says that another coordinator may be active: this one ends its term.
fn deposed(coordinator: &Coordinator) -> AdminError {
    coordinator.term.end();
    AdminError::NotActive {
        active: None,
        problem: None,
    }
}

fn refused(coordinator: &Coordinator, error: StoreError) -> AdminError {
    match error {
        StoreError::Deposed => deposed(coordinator),
        error => failed(error),
    }
}

/// Gives a run of a process its id, or the one that it has already; one at a time, so that it never has two.
async fn add_server(
    c: &Arc<Coordinator>,
    registration: Registration,
) -> Result<Registered, AdminError> {
    let _one_at_a_time = c.deciding.lock().await;
    let store = c.registry().store;
    let registration = Registration {
        draining: false,
        ..registration
    };
    let known = c.registry().registered(registration.incarnation);
    if let Some(server) = known {
        return Ok(Registered { server, store });
    }
    c.registry().check_room_for_server(&registration)?;
    let added = c.store.add_server(&registration).await;
    let id = added.map_err(|e| refused(c, e))?;
    let now = c.now_ms();
    c.registry().add_server(id, registration, now);
    c.evidence.notify_one();
    Ok(Registered { server: id, store })
}

/// Marks a server as one that an operator wants empty, or not any more; durable before it is acted on.
async fn drain(c: &Arc<Coordinator>, server: ServerId, wanted: bool) -> Result<(), AdminError> {
    let _one_at_a_time = c.deciding.lock().await;
    let registration = c.registry().drained(server, wanted)?;
    let put = c.store.put_server(server, &registration).await;
    put.map_err(|e| refused(c, e))?;
    c.registry().set_draining(server, wanted);
    c.evidence.notify_one();
    Ok(())
}

/// Compare-and-swap, tried twice. When it finds another epoch than expected, what is stored counts: an epoch has one
/// content (rule 5), and a write that failed may have come to the disk all the same.
async fn store_next(
    coordinator: &Arc<Coordinator>,
    next: &Arc<Configuration>,
) -> Result<bool, StoreError> {
    let swapped = match coordinator.store.compare_and_swap(next).await {
        Err(error @ (StoreError::Deposed | StoreError::TooLarge { .. })) => return Err(error),
        Err(first) => match coordinator.store.compare_and_swap(next).await {
            // The first one may have been made before this coordinator was deposed: that nothing was would be a lie.
            Err(StoreError::Deposed) => {
                coordinator.term.end();
                return Err(first);
            }
            again => again?,
        },
        Ok(swapped) => swapped,
    };
    match swapped {
        Swapped::Stored => Ok(true),
        Swapped::Found(stored) => {
            coordinator.registry().detector.conflict(next.cluster);
            if let Some(stored) = stored {
                let now = coordinator.now_ms();
                coordinator.registry().install(Arc::new(*stored), None, now);
                coordinator.version.send_modify(|v| *v += 1);
            }
            Ok(false)
        }
    }
}

/// The first configuration of a new cluster, if there can be one.
fn new_cluster(
    registry: &mut Registry,
    shape: &ClusterShape,
    timing: Timing,
) -> Result<Configuration, AdminError> {
    if registry.by_name(shape.name()).is_some() {
        return Err(AdminError::NameTaken {
            name: shape.name().to_owned(),
        });
    }
    registry.check_room_for_cluster()?;
    let members = shape.primaries() + shape.faults();
    let views = registry.views();
    let servers = views.values().filter(|v| v.is_usable()).count();
    let hosts = membership::place(members, shape.colocate(), &views)
        .ok_or(AdminError::NotEnoughServers { members, servers })?;
    let id = registry.new_cluster_id();
    let (store, nonce) = (registry.store, rand::random());
    Ok(Configuration {
        timing,
        ..Configuration::create(store, id, nonce, shape, &hosts)
    })
}

impl service::Coordinator for CoordinatorServer {
    async fn register(
        self,
        _: Context,
        registration: Registration,
    ) -> Result<Registered, AdminError> {
        // To the end even when the caller goes away: an id that is stored must be known, too.
        let coordinator = self.office.working()?;
        let registered = tokio::spawn(async move { add_server(&coordinator, registration).await });
        registered.await.map_err(failed)?
    }

    async fn hand_over(self, _: Context, handed: HandOver) -> Result<(), AdminError> {
        let c = self.office.active()?;
        if let Some(rebuilding) = c.rebuilding().as_mut() {
            rebuilding.hear(handed);
            c.evidence.notify_one();
        }
        Ok(())
    }

    async fn sync(self, _: Context, request: SyncRequest) -> Result<SyncReply, AdminError> {
        let c = self.office.working()?;
        let mut version = c.version.subscribe();
        let now = c.now_ms();
        if !c.registry().hear(&request, now) {
            return Err(AdminError::UnknownServer {
                server: request.server,
            });
        }
        c.evidence.notify_one();
        let configs = c.registry().news_for(&request);
        if !configs.is_empty() || !request.wait {
            return Ok(SyncReply { configs });
        }
        let news = async {
            loop {
                if version.changed().await.is_err() {
                    return Vec::new();
                }
                let configs = c.registry().news_for(&request);
                if !configs.is_empty() {
                    return configs;
                }
            }
        };
        let configs = tokio::select! {
            news = timeout(c.options.timing.heartbeat(), news) => news.unwrap_or_default(),
            () = c.term.ended() => return Err(self.office.not_active()),
        };
        Ok(SyncReply { configs })
    }

    async fn create(
        self,
        _: Context,
        shape: ClusterShape,
    ) -> Result<Arc<Configuration>, AdminError> {
        let shape = shape.validated().map_err(AdminError::BadShape)?;
        let c = &self.office.working()?;
        let timing = c.options.timing;
        let next = loop {
            let shape = shape.clone();
            match commit(c, None, move |registry| {
                new_cluster(registry, &shape, timing)
            })
            .await
            {
                // Just started: servers that are registered have yet to be heard of, or to be given up.
                Err(AdminError::NotEnoughServers { .. }) if c.registry().expects_servers() => {
                    sleep(c.options.timing.heartbeat() / 4).await;
                }
                created => break created?,
            }
        };
        tracing::info!(cluster = %next.name, "a cluster was created");
        Ok(next)
    }

    async fn remove(self, _: Context, name: String) -> Result<(), AdminError> {
        let c = self.office.active()?;
        let removed = commit(&c, None, move |registry| {
            let config = registry
                .by_name(&name)
                .ok_or(AdminError::UnknownCluster { name })?;
            let mut next = config.successor(rand::random());
            next.removed = true;
            Ok(next)
        });
        removed.await.map(|_| ())
    }

    async fn accept_loss(
        self,
        _: Context,
        name: String,
        processes_are_dead: bool,
    ) -> Result<Vec<PrimaryIndex>, AdminError> {
        let c = &self.office.active()?;
        let accept = move |registry: &Registry| {
            let config = registry
                .by_name(&name)
                .ok_or(AdminError::UnknownCluster { name: name.clone() })?;
            registry.accept_loss(&config, processes_are_dead)
        };
        let (next, lost) = accept(&c.registry())?;
        let (expected, reason) = (next.epoch, Reason::LossAccepted(lost.clone()));
        let accepted = commit(c, Some(reason), move |registry| {
            // What is lost may have changed since: then the operator must look again.
            let before = registry.epoch_of(next.cluster);
            if before.map(Epoch::next) == Some(expected) {
                Ok(next)
            } else {
                Err(failed("the configuration changed meanwhile; look again"))
            }
        });
        let accepted = accepted.await?;
        tracing::warn!(cluster = %accepted.name, ?lost, "a loss was accepted: these primaries begin empty");
        Ok(lost)
    }

    async fn move_member(
        self,
        _: Context,
        name: String,
        what: What,
        to: Option<ServerId>,
    ) -> Result<(), AdminError> {
        let c = self.office.active()?;
        let moving = commit(&c, Some(what.reason()), move |registry| {
            let config = registry
                .by_name(&name)
                .ok_or(AdminError::UnknownCluster { name })?;
            registry.move_member(&config, what, to)
        });
        moving.await.map(|_| ())
    }

    async fn cancel_move(self, _: Context, name: String, what: What) -> Result<(), AdminError> {
        let c = self.office.active()?;
        let staying = commit(&c, Some(Reason::MoveCancelled(what)), move |registry| {
            let config = registry
                .by_name(&name)
                .ok_or(AdminError::UnknownCluster { name })?;
            membership::cancel_move(&config, rand::random(), what).map_err(AdminError::Move)
        });
        staying.await.map(|_| ())
    }

    async fn drain(self, _: Context, server: ServerId, wanted: bool) -> Result<(), AdminError> {
        // To the end even when the caller goes away: what is stored must be known, too.
        let coordinator = self.office.active()?;
        let drained = tokio::spawn(async move { drain(&coordinator, server, wanted).await });
        drained.await.map_err(failed)?
    }

    async fn lookup(
        self,
        _: Context,
        name: String,
        newer_than: Option<Epoch>,
        wait_ms: u32,
    ) -> Result<Arc<Configuration>, AdminError> {
        let c = &self.office.working()?;
        let mut version = c.version.subscribe();
        let find = || {
            c.registry()
                .by_name(&name)
                .ok_or(AdminError::UnknownCluster { name: name.clone() })
        };
        let newer = async {
            loop {
                let config = find()?;
                if newer_than.is_none_or(|epoch| config.epoch > epoch)
                    || version.changed().await.is_err()
                {
                    return Ok(config);
                }
            }
        };
        let wait = Duration::from_millis(u64::from(wait_ms)).min(MAX_WAIT);
        tokio::select! {
            found = timeout(wait, newer) => found.unwrap_or_else(|_| find()),
            () = c.term.ended() => Err(self.office.not_active()),
        }
    }

    async fn status(self, _: Context) -> Result<Counted<Status>, AdminError> {
        let room = self.guest.room_for_answer().await;
        let c = self.office.active()?;
        let control = self.office.control();
        if let Some(rebuilding) = c.rebuilding().as_ref() {
            return Ok(Counted::answer(rebuilding.status(control), room));
        }
        let now = c.now_ms();
        let status = c.registry().status(now, control);
        Ok(Counted::answer(status, room))
    }

    async fn who(self, _: Context) -> Who {
        self.office.who()
    }
}
