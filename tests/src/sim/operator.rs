//! Operators that accept losses, rightly or not (PROTOCOL rules 37, 62).

use super::checks;
use super::coordinator::Swap;
use super::process::{Process, ProcessId};
use super::truth::{Line, Place};
use super::world::World;
use fusion_core::id::PrimaryIndex;
use fusion_core::membership::{self, LossError, Reason};

impl World {
    /// An operator accepts a loss at a coordinator; answers what is lost. He names what he is told that it costs, and
    /// gives his word that processes are dead only where they are.
    ///
    /// # Errors
    /// What the core says against it.
    pub fn accept_loss(&mut self, id: u64) -> Result<Vec<PrimaryIndex>, LossError> {
        let coordinator = &self.coordinators[id as usize];
        let config = coordinator.config.clone();
        let evidence = coordinator.detector.evidence(&config, self.views(id));
        let nonce = self.rng.below(u64::MAX);
        let foreseen = membership::foresee_loss(&config, &evidence)?;
        let acceptance = membership::Acceptance {
            wipe: foreseen.wiped_servers().into_iter().collect(),
            processes_are_dead: foreseen.lost.iter().all(|&j| self.is_dead(j)),
            lose: foreseen.lost,
        };
        let (next, lost) = membership::accept_loss(&config, &evidence, nonce, &acceptance)?;
        checks::beyond_f::are_unheard(&config, &evidence, "a loss is accepted");
        let actives: Vec<_> = next.primaries.iter().map(|s| s.id).collect();
        let swap = Swap {
            by: id,
            warned: self.is_warned(id),
            next,
            reason: Reason::LossAccepted(lost.clone()),
            unheard: Vec::new(),
        };
        if !self.swap(swap) {
            return Err(LossError::NothingLost);
        }
        for &j in &lost {
            self.truth.lines[j.index()] = Line {
                active: actives[j.index()],
                ..Line::default()
            };
        }
        self.truth.begin_codes_anew();
        self.clients.iter_mut().for_each(|c| c.lose(&lost));
        Ok(lost)
    }

    /// Whether the server of the one that served last is dead for good.
    fn is_dead(&self, j: PrimaryIndex) -> bool {
        let holder = self.truth.holders.get(&Place::Primary(j));
        holder.is_some_and(|h| !self.servers.contains_key(&h.server))
    }

    /// An operator tries it, whatever the state of things is: a coordinator that cannot know refuses (rule 60).
    pub fn accept_a_loss(&mut self, id: u64) {
        let is_stopped = |p: &Process| p.paused_until > self.now;
        let process = self.processes.get(&ProcessId::Coordinator(id));
        let coordinator = &self.coordinators[id as usize];
        if process.is_none_or(is_stopped)
            || coordinator.detector.guard(&coordinator.config).is_err()
        {
            return;
        }
        match self.accept_loss(id) {
            Ok(_) => self.stats.losses_accepted += 1,
            Err(_) => self.stats.acceptances_refused += 1,
        }
    }
}
