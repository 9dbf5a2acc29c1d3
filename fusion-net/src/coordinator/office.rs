//! A coordinator process: active now and then, standing by otherwise.

use super::{Coordinator, CoordinatorError, CoordinatorOptions, Election, decide, rebuilding};
use crate::service::{AdminError, ControlPlane, Who};
use std::sync::{Arc, Mutex, PoisonError};

pub(crate) struct Office {
    options: CoordinatorOptions,
    election: Arc<dyn Election>,
    /// Where others reach this process.
    address: String,
    active: Mutex<Option<Arc<Coordinator>>>,
}

impl Office {
    pub(crate) fn new(
        options: CoordinatorOptions,
        election: Arc<dyn Election>,
        address: String,
    ) -> Arc<Office> {
        Arc::new(Office {
            options,
            election,
            address,
            active: Mutex::default(),
        })
    }

    fn set(&self, coordinator: Option<Arc<Coordinator>>) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = coordinator;
    }

    /// The state to act on, if this is the active coordinator; the clock is looked at each time.
    pub(crate) fn active(&self) -> Result<Arc<Coordinator>, AdminError> {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        match &*active {
            Some(coordinator) if !coordinator.term.is_over() => Ok(Arc::clone(coordinator)),
            _ => Err(self.not_active()),
        }
    }

    /// As [`active`](Self::active), once its store is there: nobody is answered from one that is being made anew.
    pub(crate) fn working(&self) -> Result<Arc<Coordinator>, AdminError> {
        let coordinator = self.active()?;
        if coordinator.rebuilding().is_some() {
            return Err(AdminError::Rebuilding);
        }
        Ok(coordinator)
    }

    /// What those are told who took this for the active coordinator.
    pub(crate) fn not_active(&self) -> AdminError {
        let standing = self.election.standing().borrow().clone();
        AdminError::NotActive {
            active: standing.active.filter(|a| *a != self.address),
            problem: standing.problem,
        }
    }

    pub(crate) fn who(&self) -> Who {
        let active = self.active().is_ok();
        let named = self.election.standing().borrow().active.clone();
        Who {
            active,
            active_address: named.filter(|a| !active && *a != self.address),
            control: self.control(),
        }
    }

    pub(crate) fn control(&self) -> ControlPlane {
        let standing = self.election.standing().borrow().clone();
        ControlPlane {
            answers: self.address.clone(),
            store: self.election.describe(),
            shared: self.election.is_shared(),
            standbys: standing.standbys,
            problem: standing.problem,
        }
    }
}

/// Takes office as often as it is elected, and leaves it with everything that was believed. Ends by an error only.
pub(super) async fn hold(office: Arc<Office>) -> CoordinatorError {
    let mut options = office.options.clone();
    loop {
        let elected = match office.election.win().await {
            Ok(elected) => elected,
            Err(error) => return error.into(),
        };
        let term = elected.term.clone();
        let empty = elected.contents.configs.is_empty() && elected.contents.servers.is_empty();
        if options.rebuild.is_some() && !empty {
            return CoordinatorError::NotNew;
        }
        let coordinator = Coordinator::new(options.clone(), elected);
        office.set(Some(Arc::clone(&coordinator)));
        let held = Arc::clone(&coordinator);
        let mut deciding = tokio::spawn(async move {
            rebuilding::run(&coordinator).await?;
            decide(coordinator).await;
            Ok(())
        });
        tokio::select! {
            ended = &mut deciding => match ended {
                Ok(Err(error)) => return error,
                Ok(Ok(())) if term.is_over() => {}
                _ => return CoordinatorError::Stopped,
            },
            () = term.ended() => deciding.abort(),
        }
        office.set(None);
        if held.rebuilding().is_none() {
            // Made anew once: what the next term finds is that store.
            options.rebuild = None;
        }
        tracing::warn!("this coordinator is not the active one any more; it stands by");
    }
}
