//! The coordinator's tarpc service.

use super::Coordinator;
use super::changes::{add_server, commit, drain};
use super::office::Office;
use super::registry::{Registry, check_registration};
use crate::service::{
    self, AdminError, Counted, HandOver, Past, Registered, Registration, Status, SyncReply,
    SyncRequest, Untold, Who,
};
use crate::wire::Guest;
use fusion_core::config::{ClusterShape, Configuration};
use fusion_core::id::{Epoch, PrimaryIndex, ServerId};
use fusion_core::membership::{self, Acceptance, Foreseen, Reason, What};
use fusion_core::time::Timing;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tarpc::context::Context;
use tokio::time::{Instant, sleep, timeout};

/// How long the servers of a cluster that was removed are waited for.
const TELLING: Duration = Duration::from_secs(3);
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

    /// The state to act on at an operator's wish. Just started, a coordinator has yet to hear of the servers that are
    /// registered, or to give them up: until then nobody knows whether its store is behind (PROTOCOL rule 60).
    async fn heard(&self) -> Result<Arc<Coordinator>, AdminError> {
        let c = self.office.working()?;
        let all = async {
            while c.registry().detector.unheard().is_some() {
                sleep(c.options.timing.heartbeat() / 4).await;
            }
        };
        tokio::select! {
            // Whoever is not heard by then is named when the change is refused.
            _ = timeout(MAX_WAIT, all) => Ok(Arc::clone(&c)),
            () = c.term.ended() => Err(self.office.not_active()),
        }
    }
}

/// The first configuration of a new cluster, if there can be one.
fn new_cluster(
    registry: &mut Registry,
    shape: &ClusterShape,
    timing: Timing,
) -> Result<Configuration, AdminError> {
    registry.guard_all()?;
    if registry.by_name(shape.name()).is_some() {
        return Err(AdminError::NameTaken {
            name: shape.name().to_owned(),
        });
    }
    registry.check_room_for_cluster()?;
    let members = shape.primaries() + shape.faults();
    let views = registry.views();
    let hosts = membership::place(members, shape.faults(), shape.colocate(), &views);
    let hosts = hosts.ok_or_else(|| {
        let usable = || views.values().filter(|v| v.is_usable());
        let hosts: BTreeSet<&str> = usable().map(|v| &*v.host).collect();
        AdminError::NotEnoughServers {
            members,
            servers: usable().count(),
            hosts: hosts.len(),
        }
    })?;
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
        past: Option<Past>,
    ) -> Result<Registered, AdminError> {
        let c = self.office.active()?;
        if let Some(rebuilding) = c.rebuilding().as_mut() {
            rebuilding.called(&registration, c.now_ms())?;
            return Err(AdminError::Rebuilding);
        }
        check_registration(&registration)?;
        let now = c.now_ms();
        c.registry().check_origin(&registration, past, now)?;
        add_server(&c, registration).await
    }

    async fn hand_over(self, _: Context, handed: HandOver) -> Result<(), AdminError> {
        let c = self.office.active()?;
        if let Some(rebuilding) = c.rebuilding().as_mut() {
            rebuilding.hear(handed, c.now_ms())?;
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
        let suspect_ms = c.options.timing.suspect_after().as_millis() as u32;
        let reply = |configs| SyncReply {
            configs,
            suspect_ms,
        };
        if !configs.is_empty() || !request.wait {
            return Ok(reply(configs));
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
        Ok(reply(configs))
    }

    async fn create(
        self,
        _: Context,
        shape: ClusterShape,
    ) -> Result<Arc<Configuration>, AdminError> {
        let shape = shape.validated().map_err(AdminError::BadShape)?;
        let c = &self.heard().await?;
        let timing = c.options.timing;
        let create = move |registry: &mut Registry| new_cluster(registry, &shape, timing);
        let next = commit(c, None, create).await?;
        tracing::info!(cluster = %next.name, "a cluster was created");
        Ok(next)
    }

    async fn remove(self, _: Context, name: String) -> Result<Vec<Untold>, AdminError> {
        let c = self.heard().await?;
        let removed = commit(&c, None, move |registry| {
            let config = registry.to_change(&name)?;
            let mut next = config.successor(rand::random());
            next.removed = true;
            Ok(next)
        });
        let removed = removed.await?;
        // Who is alive hears of it at once, and says so with its next heartbeat.
        let until = Instant::now() + TELLING;
        loop {
            let untold = c.registry().untold(&removed);
            if untold.is_empty() || Instant::now() >= until {
                return Ok(untold);
            }
            sleep(c.options.timing.heartbeat() / 4).await;
        }
    }

    async fn foresee_loss(self, _: Context, name: String) -> Result<Foreseen, AdminError> {
        let c = self.office.working()?;
        let registry = c.registry();
        let config = registry.by_name(&name);
        registry.foresee_loss(&*config.ok_or(AdminError::UnknownCluster { name })?)
    }

    async fn accept_loss(
        self,
        _: Context,
        name: String,
        acceptance: Acceptance,
    ) -> Result<Vec<PrimaryIndex>, AdminError> {
        let c = &self.heard().await?;
        let (lost, named) = (acceptance.lose.clone(), acceptance.wipe.clone());
        let reason = Reason::LossAccepted(lost.clone());
        // Judged where nothing else is changed meanwhile: who came back since the operator looked is seen.
        let accepted = commit(c, Some(reason), move |registry| {
            let config = registry.to_change(&name)?;
            let (next, _) = registry.accept_loss(&config, &acceptance)?;
            Ok(next)
        });
        let accepted = accepted.await?;
        tracing::warn!(cluster = %accepted.name, ?lost, wiped = ?named, "a loss was accepted: these primaries begin empty");
        Ok(lost)
    }

    async fn move_member(
        self,
        _: Context,
        name: String,
        what: What,
        to: Option<ServerId>,
    ) -> Result<(), AdminError> {
        let c = self.heard().await?;
        let moving = commit(&c, Some(what.reason()), move |registry| {
            let config = registry.to_change(&name)?;
            registry.move_member(&config, what, to)
        });
        moving.await.map(|_| ())
    }

    async fn cancel_move(self, _: Context, name: String, what: What) -> Result<(), AdminError> {
        let c = self.heard().await?;
        let staying = commit(&c, Some(Reason::MoveCancelled(what)), move |registry| {
            let config = registry.to_change(&name)?;
            membership::cancel_move(&config, rand::random(), what).map_err(AdminError::Move)
        });
        staying.await.map(|_| ())
    }

    async fn drain(self, _: Context, server: ServerId, wanted: bool) -> Result<(), AdminError> {
        drain(&self.heard().await?, server, wanted).await
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
            return Ok(Counted::answer(
                rebuilding.status(control, c.now_ms()),
                room,
            ));
        }
        let now = c.now_ms();
        let status = c.registry().status(now, control);
        Ok(Counted::answer(status, room))
    }

    async fn who(self, _: Context) -> Who {
        self.office.who()
    }
}
