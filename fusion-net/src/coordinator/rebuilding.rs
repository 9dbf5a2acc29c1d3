//! A coordinator whose store is made anew from what the servers know (PROTOCOL rule 39). Until that is done it answers
//! nobody but servers that hand over.

use super::changes::failed;
use super::registry::{MAX_CLUSTERS, MAX_SERVERS, Registry, check_registration};
use super::store::StoreContents;
use super::{Coordinator, CoordinatorError};
use crate::service::{AdminError, ControlPlane, HandOver, Registration, Status};
use fusion_core::id::ServerId;
use fusion_core::rebuild::{Handed, Rebuild, RebuildError, Rebuilt, Wishes};
use fusion_core::time::Timing;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio::time::timeout;

/// Between two lines in the log that say what is waited for.
const SAY: Duration = Duration::from_secs(2);
/// Between two looks at what was heard, though nothing new was.
const LOOK: Duration = Duration::from_millis(100);
/// Servers try again at least so often while the store is made anew: one that is silent for longer is not connected.
const MIN_QUIET_MS: u64 = 1000;

/// How a store is made anew.
#[derive(Clone, Debug, Default)]
pub struct RebuildOptions {
    /// An operator's word that so many servers know all that is to be known; `None`: all that are named must be heard.
    pub servers: Option<usize>,
    /// Clusters that look as if they had been removed, and were not: names or ids.
    pub keep: Vec<String>,
    /// Clusters that are to be removed: names or ids.
    pub drop: Vec<String>,
}

/// A process that has found this coordinator.
struct Caller {
    address: String,
    heard_ms: u64,
    /// It has handed over all that it has.
    done: bool,
}

/// What was handed over.
pub(crate) struct Rebuilding {
    rebuild: Rebuild,
    registrations: BTreeMap<ServerId, Registration>,
    /// By incarnation.
    callers: BTreeMap<u64, Caller>,
    /// When something came last that was not known before.
    news_ms: u64,
    /// For so long nothing must come.
    quiet_ms: u64,
}

impl Rebuilding {
    pub(crate) fn new(options: RebuildOptions, timing: &Timing) -> Rebuilding {
        let wishes = Wishes {
            servers: options.servers,
            keep: options.keep,
            drop: options.drop,
            nonce: rand::random(),
            max_servers: MAX_SERVERS,
            max_clusters: MAX_CLUSTERS,
        };
        let quiet = timing.suspect_after().as_millis() as u64;
        Rebuilding {
            rebuild: Rebuild::new(wishes),
            registrations: BTreeMap::new(),
            callers: BTreeMap::new(),
            news_ms: 0,
            quiet_ms: quiet.max(MIN_QUIET_MS),
        }
    }

    /// A process wants to register: it is about to hand over what it has.
    pub(crate) fn called(
        &mut self,
        registration: &Registration,
        now: u64,
    ) -> Result<(), AdminError> {
        check_registration(registration)?;
        let incarnation = registration.incarnation;
        if let Some(caller) = self.callers.get_mut(&incarnation) {
            caller.heard_ms = now;
            return Ok(());
        }
        if self.callers.len() >= MAX_SERVERS {
            let quiet = self.quiet_ms;
            self.callers
                .retain(|_, c| now.saturating_sub(c.heard_ms) < quiet);
        }
        if self.callers.len() >= MAX_SERVERS {
            return Err(AdminError::TooMany {
                what: "servers".to_owned(),
                max: MAX_SERVERS as u64,
            });
        }
        let caller = Caller {
            address: registration.address.clone(),
            heard_ms: now,
            done: false,
        };
        self.callers.insert(incarnation, caller);
        self.news_ms = now;
        Ok(())
    }

    pub(crate) fn hear(&mut self, handed: HandOver, now: u64) -> Result<(), AdminError> {
        self.called(&handed.registration, now)?;
        let incarnation = handed.registration.incarnation;
        let done = match handed.identity {
            // It was never registered, and has nothing.
            None => true,
            Some(identity) => {
                let server = identity.server;
                let taken = self.rebuild.hear(Handed {
                    server,
                    store: identity.store,
                    incarnation,
                    of: handed.of as usize,
                    config: handed.config,
                });
                if taken.map_err(failed)? {
                    self.news_ms = now;
                }
                self.registrations.insert(server, handed.registration);
                self.rebuild.has_heard(server)
            }
        };
        if let Some(caller) = self.callers.get_mut(&incarnation) {
            caller.done = done;
        }
        Ok(())
    }

    /// Who is connected and has not handed over all that it has.
    fn pending(&self, now: u64) -> impl Iterator<Item = &str> {
        let connected =
            move |c: &&Caller| !c.done && now.saturating_sub(c.heard_ms) < self.quiet_ms;
        self.callers.values().filter(connected).map(|c| &*c.address)
    }

    fn outcome(&self, now: u64) -> Result<Option<Rebuilt>, RebuildError> {
        let quiet = now.saturating_sub(self.news_ms) >= self.quiet_ms;
        self.rebuild
            .outcome(quiet && self.pending(now).next().is_none())
    }

    /// How it stands, for operators.
    fn progress(&self, now: u64) -> String {
        let heard = self.rebuild.heard().count();
        let missing: Vec<String> = self
            .rebuild
            .missing()
            .iter()
            .map(ToString::to_string)
            .collect();
        let wait = match missing.is_empty() {
            true => "waits for servers".to_owned(),
            false => format!("waits for servers {}", missing.join(", ")),
        };
        let pending: Vec<&str> = self.pending(now).take(8).collect();
        let pending = match pending.is_empty() {
            true => String::new(),
            false => format!("; waits for all that {} has to say", pending.join(", ")),
        };
        let (were, advice) = match heard {
            0 => ("no server was heard".to_owned(), String::new()),
            1 => ("1 server was heard".to_owned(), advice(1)),
            more => (format!("{more} servers were heard"), advice(more)),
        };
        format!("the store is being made anew: {were}{pending}; {wait}{advice}")
    }

    /// All that an operator can be told meanwhile.
    pub(crate) fn status(&self, control: ControlPlane, now: u64) -> Status {
        Status {
            servers: Vec::new(),
            clusters: Vec::new(),
            events: Vec::new(),
            problem: Some(self.progress(now)),
            strangers: Vec::new(),
            control,
        }
    }

    fn contents(&self, rebuilt: Rebuilt) -> StoreContents {
        let servers = self.registrations.iter();
        StoreContents {
            store: rebuilt.store,
            configs: rebuilt.configs,
            servers: servers.map(|(&id, s)| (id, s.clone())).collect(),
            next_server: ServerId(rebuilt.next_server),
        }
    }
}

/// What to do when nobody else is left. Without any server there is nothing to make a store of.
fn advice(heard: usize) -> String {
    format!(
        ". If no others are left alive, start the coordinator again with --rebuild --servers {heard}"
    )
}

/// Waits until enough servers were heard, and stores what they know.
///
/// # Errors
/// [`CoordinatorError::Rebuild`] when they contradict each other or only an operator can decide, [`CoordinatorError::NotNew`] when the store holds
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
            let now = coordinator.now_ms();
            let outcome = rebuilding.outcome(now)?;
            if outcome.is_none() && said.elapsed() >= SAY {
                said = Instant::now();
                tracing::warn!("{}", rebuilding.progress(now));
            }
            outcome.map(|rebuilt| rebuilding.contents(rebuilt))
        };
        let Some(contents) = contents else {
            continue;
        };
        if !coordinator.store.restore(&contents).await? {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Registered;
    use fusion_core::config::{ClusterShape, Configuration, Host};
    use fusion_core::id::ClusterId;
    use fusion_core::op::Kind;

    const QUIET: u64 = MIN_QUIET_MS;

    fn config() -> Arc<Configuration> {
        let shape = ClusterShape::new("c", Kind::Map, 1, 1, false).unwrap();
        let hosts = [1, 2].map(|i| Host {
            server: ServerId(i),
            address: format!("a:{i}"),
        });
        Arc::new(Configuration::create(7, ClusterId(1), 1, &shape, &hosts))
    }

    fn registration(server: u64) -> Registration {
        Registration {
            incarnation: server,
            // At port 0 nobody can be reached.
            address: format!("a:{}", server.max(1)),
            pid: 1,
            draining: false,
            labels: crate::labels::Labels::default(),
        }
    }

    fn handed(server: u64, of: u32, config: Option<Arc<Configuration>>) -> HandOver {
        HandOver {
            registration: registration(server),
            identity: Some(Registered {
                server: ServerId(server),
                store: 7,
            }),
            of,
            config,
        }
    }

    fn rebuilding(servers: usize) -> Rebuilding {
        let options = RebuildOptions {
            servers: Some(servers),
            ..RebuildOptions::default()
        };
        Rebuilding::new(options, &Timing::for_suspicion(700).unwrap())
    }

    #[test]
    fn an_operators_number_of_servers_is_not_the_first_ones_that_connect() {
        let mut rebuilding = rebuilding(1);
        let first = config();
        let second = Arc::new(first.successor(2));
        rebuilding.hear(handed(1, 1, Some(first)), 0).unwrap();
        assert_eq!(rebuilding.outcome(QUIET - 1), Ok(None));
        // Another one comes, with a higher epoch: it is waited for all that it has.
        rebuilding.called(&registration(2), QUIET - 1).unwrap();
        assert_eq!(rebuilding.outcome(QUIET + 1), Ok(None));
        let piece = handed(2, 2, Some(Arc::clone(&second)));
        rebuilding.hear(piece, QUIET + 1).unwrap();
        for again in 1..10 {
            let now = again * QUIET;
            rebuilding.called(&registration(2), now).unwrap();
            assert_eq!(rebuilding.outcome(now + QUIET - 1), Ok(None));
            assert!(rebuilding.progress(now).contains("a:2"));
        }
        rebuilding
            .hear(handed(2, 1, Some(second)), 9 * QUIET)
            .unwrap();
        let rebuilt = rebuilding.outcome(10 * QUIET).unwrap().unwrap();
        assert_eq!(rebuilt.configs[0].epoch.0, 2);
    }

    #[test]
    fn who_was_never_registered_or_has_gone_is_not_waited_for() {
        let mut rebuilding = rebuilding(1);
        rebuilding.hear(handed(1, 1, Some(config())), 0).unwrap();
        let nobody = HandOver {
            identity: None,
            ..handed(3, 0, None)
        };
        rebuilding.hear(nobody, 0).unwrap();
        rebuilding.called(&registration(4), 0).unwrap();
        assert_eq!(rebuilding.outcome(QUIET - 1), Ok(None));
        rebuilding.called(&registration(3), QUIET - 1).unwrap();
        assert!(rebuilding.outcome(QUIET).unwrap().is_some());
    }

    /// It said to give --servers alone, which is refused, and of none.
    #[test]
    fn the_advice_is_a_command_that_does_and_never_of_no_servers() {
        let mut rebuilding = rebuilding(2);
        let nobody = rebuilding.progress(0);
        assert!(nobody.contains("no server was heard"), "{nobody}");
        assert!(!nobody.contains("--servers"), "{nobody}");
        rebuilding.hear(handed(1, 1, Some(config())), 0).unwrap();
        let one = rebuilding.progress(0);
        assert!(one.contains("1 server was heard"), "{one}");
        assert!(one.ends_with("with --rebuild --servers 1"), "{one}");
    }

    #[test]
    fn processes_without_end_are_refused_and_the_silent_ones_make_room() {
        let mut rebuilding = rebuilding(1);
        for incarnation in 0..MAX_SERVERS as u64 {
            rebuilding.called(&registration(incarnation), 0).unwrap();
        }
        let one_more = registration(u64::MAX);
        let address = "no address".to_owned();
        let nowhere = Registration {
            address,
            ..one_more.clone()
        };
        let refused = rebuilding.called(&nowhere, 0);
        assert!(matches!(refused, Err(AdminError::BadAddress { .. })));
        let one_more = Registration {
            address: "a:1".to_owned(),
            ..one_more
        };
        let refused = rebuilding.called(&one_more, 0);
        assert!(matches!(refused, Err(AdminError::TooMany { .. })));
        rebuilding.called(&one_more, QUIET).unwrap();
    }
}
