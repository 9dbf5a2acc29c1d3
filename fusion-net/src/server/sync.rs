//! The server's side of the heartbeat: registers, reports, and hears of configurations.

use super::host::Host;
use crate::addresses::Addresses;
use crate::coordinators::Coordinators;
use crate::labels::Labels;
use crate::peer::{Backoff, within};
use crate::service::{AdminError, CoordinatorClient, HandOver, Registration, SyncRequest};
use fusion_core::id::ServerId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How long a call to the coordinator may take at most, with its wait for news.
const CALL: Duration = Duration::from_secs(3);
/// How long an active coordinator is sought before the log says so.
const SEARCH: Duration = Duration::from_secs(3);
const MAX_BACKOFF: Duration = Duration::from_millis(250);

/// Runs for ever: no coordinator is needed while nobody fails, so its absence is only waited out.
pub(crate) async fn run(host: Arc<Host>, coordinators: Addresses, address: String, labels: Labels) {
    let coordinators = Coordinators::new(coordinators, host.peers.network.clone());
    let registration = Registration {
        incarnation: rand::random(),
        address,
        pid: std::process::id(),
        draining: false,
        labels,
    };
    let mut backoff = Backoff::new(MAX_BACKOFF);
    let mut said = false;
    let mut handed = false;
    loop {
        match coordinators.active(SEARCH).await {
            Ok(found) => {
                let ended = session(
                    &host,
                    &found.client,
                    &registration,
                    &mut backoff,
                    &mut handed,
                );
                if let Err(error) = ended.await {
                    tracing::warn!(coordinator = %found.address, %error, "the coordinator was lost");
                }
                coordinators.lost(&found);
                said = false;
            }
            Err(tried) if !said => {
                tracing::warn!("{tried}; trying on");
                said = true;
            }
            Err(_) => {}
        }
        sleep(backoff.wait()).await;
    }
}

async fn session(
    host: &Arc<Host>,
    client: &CoordinatorClient,
    registration: &Registration,
    backoff: &mut Backoff,
    handed: &mut bool,
) -> Result<(), String> {
    let registered = client
        .register(within(CALL), registration.clone(), host.past())
        .await
        .map_err(|e| e.to_string())?;
    if registered == Err(AdminError::Rebuilding) {
        hand_over(host, client, registration).await?;
        *handed = true;
    }
    let registered = registered.map_err(|e| e.to_string())?;
    if !host.set_identity(registered) {
        return Err(AdminError::OtherStore.to_string());
    }
    if std::mem::take(handed) {
        // Nobody handed over another content than this server, or the store would not have been made.
        host.go_on();
    }
    let server = registered.server;
    backoff.reset();
    // One that waits for news is answered after T_h: a fifth of T_s, and a second at most. Who does not answer for T_s is
    // left: a new coordinator gives its servers twice that time to find it (rule 22).
    let (mut wait, mut limit) = (false, CALL);
    loop {
        wait = match beat(host, client, server, wait, limit).await? {
            Beat::Answered { suspect_after } => {
                limit = suspect_after.min(CALL);
                true
            }
            Beat::News => false,
        };
    }
}

/// The coordinator's store is made anew: tells it all that this server knows (rule 39). Who was never registered knows
/// nothing, and says so: it is not waited for.
async fn hand_over(
    host: &Arc<Host>,
    client: &CoordinatorClient,
    registration: &Registration,
) -> Result<(), String> {
    let identity = host.identity();
    let configs = host.configs();
    let of = configs.len() as u32;
    let none = configs.is_empty().then_some(None);
    for config in configs.into_iter().map(Some).chain(none) {
        let handed = HandOver {
            registration: registration.clone(),
            identity,
            of,
            config,
        };
        let taken = client.hand_over(within(CALL), handed).await;
        taken
            .map_err(|e| e.to_string())?
            .map_err(|e| e.to_string())?;
    }
    Ok(())
}

enum Beat {
    Answered { suspect_after: Duration },
    News,
}

/// One heartbeat; something to report ends its wait.
async fn beat(
    host: &Arc<Host>,
    client: &CoordinatorClient,
    server: ServerId,
    wait: bool,
    limit: Duration,
) -> Result<Beat, String> {
    let request = SyncRequest {
        server,
        known: host.known(),
        reports: host.reports(),
        wait,
        memory: host.memory.in_use(),
    };
    let call = client.sync(within(limit), request);
    let reply = tokio::select! {
        reply = call => reply.map_err(|e| e.to_string())?,
        // What is answered at once is waited for: who has news all the time would never see that nobody answers.
        () = host.news.notified(), if wait => return Ok(Beat::News),
    };
    match reply {
        Ok(reply) => {
            for config in reply.configs {
                host.adopt(config);
            }
            let suspect_after = Duration::from_millis(reply.suspect_ms.into());
            Ok(Beat::Answered { suspect_after })
        }
        Err(AdminError::UnknownServer { .. }) => {
            Err("it does not know this server any more".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}
