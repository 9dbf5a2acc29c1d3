//! The service that reaches the fused structures of this process, and the heirs of primaries that are being moved: both
//! copy.

use super::host::{Host, Member};
use crate::clock;
use crate::service::{self, Counted};
use crate::wire::Guest;
use fusion_core::config::Configuration;
use fusion_core::fused::Fused;
use fusion_core::message::{
    Ack, Chunk, Condition, RecoveryReply, RecoveryRequest, Refusal, Replicate, Route,
};
use std::sync::Arc;
use tarpc::context::Context;

/// The tarpc service of all fused structures of this process. Its handlers wait for nothing but room for
/// what they answer.
#[derive(Clone)]
pub(crate) struct FusedServer {
    host: Arc<Host>,
    guest: Arc<Guest>,
}

impl FusedServer {
    pub(crate) fn new(host: Arc<Host>, guest: Arc<Guest>) -> Self {
        FusedServer { host, guest }
    }

    fn with<T>(
        &self,
        route: Route,
        act: impl FnOnce(&mut Fused) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        match self.host.member(route.cluster, route.to) {
            Some(Member::Fused(fused)) => {
                let Ok(mut fused) = fused.lock() else {
                    // It broke while this one waited: it is given up with the next report (rule 65).
                    self.host.news.notify_one();
                    return Err(self.host.not_here(route));
                };
                let before = fused.condition();
                if self.host.memory.is_exhausted() {
                    fused.leave_for_want_of_memory();
                }
                let result = act(&mut fused);
                let now = fused.condition();
                if before != now && matches!(now, Condition::Complete | Condition::Missing) {
                    self.host.news.notify_one();
                }
                result
            }
            _ => Err(self.host.not_here(route)),
        }
    }
}

impl FusedServer {
    /// Takes changes of a primary.
    pub(crate) fn take_changes(&self, route: Route, message: &Replicate) -> Result<Ack, Refusal> {
        if let Some(Member::Heir(heir)) = self.host.member(route.cluster, route.to) {
            return heir.replicate(&self.host, route, message);
        }
        let full = self.host.memory.full();
        self.with(route, |fused| {
            let ack = fused.on_replicate(route, message, clock::now())?;
            Ok(Ack { full, ..ack })
        })
    }
}

impl service::Fused for FusedServer {
    async fn replicate(self, _: Context, route: Route, message: Replicate) -> Result<Ack, Refusal> {
        self.take_changes(route, &message)
    }

    async fn streams(self, _: Context) -> Option<u16> {
        self.host.streams()
    }

    async fn chunk(self, _: Context, route: Route, chunk: Chunk) -> Result<(), Refusal> {
        if let Some(Member::Heir(heir)) = self.host.member(route.cluster, route.to) {
            return heir.chunk(&self.host, route, &chunk);
        }
        self.with(route, |fused| fused.on_chunk(route, &chunk, clock::now()))
    }

    async fn recover(
        self,
        _: Context,
        route: Route,
        request: RecoveryRequest,
    ) -> Result<Counted<RecoveryReply>, Refusal> {
        let room = self.guest.room_for_recovery().await;
        let reply = self.with(route, |fused| {
            fused.on_recovery(route, &request, clock::now())
        })?;
        Ok(Counted::answer(reply, room))
    }

    async fn adopt(self, _: Context, config: Arc<Configuration>) {
        self.host.adopt(config);
    }
}
