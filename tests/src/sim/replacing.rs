//! Replacements: they drive a recovery as the real ones do, and ask again what was not answered.

use super::checks;
use super::network::Packet;
use super::process::ProcessId;
use super::server::{Node, Server};
use super::world::World;
use fusion_core::config::Configuration;
use fusion_core::id::{MemberId, RecoveryId, Seq};
use fusion_core::message::{Condition, RecoveryReply, RecoveryRequest, Refusal, Route};
use fusion_core::recovery::{Image, Recovered, Recovery};
use fusion_core::time::Time;
use std::sync::Arc;
use std::time::Duration;

/// A question that was not answered is asked again after this time.
const ASK_AGAIN: Duration = Duration::from_millis(60);
/// A recovery in which nothing was answered for so long begins anew.
const STUCK: Duration = Duration::from_millis(1500);

/// A replacement, asking again what was not answered.
#[derive(Debug)]
pub struct Replacing {
    pub(super) recovery: Recovery,
    asked: Vec<(MemberId, RecoveryRequest, Time)>,
    pub(super) image: Option<Image>,
    done: Option<Seq>,
    answered_at: Time,
    attempts: u64,
}

impl Replacing {
    pub(super) fn start(
        world: &World,
        config: Arc<Configuration>,
        id: MemberId,
        before: Option<Replacing>,
    ) -> Option<Replacing> {
        let (image, attempts) = before.map_or((None, 0), |b| (b.image, b.attempts));
        let kept = image.as_ref().map(Image::seq);
        let attempt = RecoveryId(attempts + 1);
        // Less in sync than lost: nothing to try until the next epoch.
        let recovery = Recovery::new(config, id, world.code.clone(), attempt, kept).ok()?;
        Some(Replacing {
            recovery,
            asked: Vec::new(),
            image,
            done: None,
            answered_at: Time(0),
            attempts: attempts + 1,
        })
    }

    /// The last change that the finished image includes.
    #[must_use]
    pub fn image_seq(&self) -> Option<Seq> {
        self.image.as_ref().map(Image::seq)
    }

    pub(super) fn condition(&self) -> Condition {
        match self.done {
            Some(seq) if self.recovery.leases_are_over() => Condition::Ready { seq },
            _ => Condition::Recovering { done: 0, total: 0 },
        }
    }
}

impl World {
    pub(super) fn ask_on(
        &mut self,
        me: ProcessId,
        id: MemberId,
        replacing: &mut Replacing,
        now: Time,
    ) {
        let config = Arc::clone(replacing.recovery.config());
        if replacing.answered_at == Time(0) {
            replacing.answered_at = now;
        }
        if replacing.done.is_none() && now.since(replacing.answered_at) >= STUCK {
            self.begin_anew(config, id, replacing);
            return;
        }
        // What is under way to or from who owes an answer is a sign of life (rule 57).
        for from in replacing.recovery.owing().collect::<Vec<_>>() {
            if self.moves_between(me, &config, from) {
                replacing.recovery.on_progress(from, now);
                replacing.answered_at = now;
            }
        }
        let new = replacing.recovery.requests(now);
        replacing
            .asked
            .extend(new.into_iter().map(|(to, request)| (to, request, Time(0))));
        for (to, request, at) in &mut replacing.asked {
            if *at > Time(0) && now.since(*at) < ASK_AGAIN {
                continue;
            }
            let Some(place) = World::place(&config, *to) else {
                continue;
            };
            // A call goes on as long as it or its answer moves (rule 57).
            if *at > Time(0) && self.moves_between(me, &config, *to) {
                continue;
            }
            *at = now;
            let route = World::route(&config, id, *to);
            self.send(me, place, Packet::Ask(route, request.clone()));
        }
    }

    fn begin_anew(&mut self, config: Arc<Configuration>, id: MemberId, replacing: &mut Replacing) {
        let attempts = replacing.attempts;
        let empty = Replacing::start(self, Arc::clone(&config), id, None);
        let Some(empty) = empty else { return };
        let mut before = std::mem::replace(replacing, empty);
        before.attempts = attempts;
        if let Some(next) = Replacing::start(self, config, id, Some(before)) {
            *replacing = next;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a message taken apart")]
    pub(super) fn on_answer(
        &mut self,
        me: ProcessId,
        server: &mut Server,
        from: ProcessId,
        route: Route,
        request: &RecoveryRequest,
        answer: Result<RecoveryReply, Refusal>,
        now: Time,
    ) {
        match (server.nodes.get_mut(&route.from), &answer) {
            (Some(Node::Heir(h)), Ok(_)) => h.heir.on_reply(route),
            (Some(Node::Successor(s)), Ok(reply)) => {
                s.takeover.on_reply(route, request, reply.clone(), now);
            }
            (Some(Node::Successor(s)), Err(refusal)) => {
                s.takeover.on_refusal(route, request, refusal);
            }
            _ => {}
        }
        let Some(Node::Replacement(replacing)) = server.nodes.get_mut(&route.from) else {
            if let Err(refusal) = answer {
                self.settle(me, server, from, route, refusal);
            }
            return;
        };
        if replacing.recovery.config().epoch != route.epoch {
            return;
        }
        let mut asked = replacing.asked.iter();
        let Some(asked) = asked.position(|(to, q, _)| *to == route.to && q == request) else {
            return;
        };
        match answer {
            Ok(reply) => {
                replacing.asked.swap_remove(asked);
                replacing.answered_at = now;
                let taken = replacing.recovery.on_reply(route.to, request, reply, now);
                taken.expect("members answer what was asked");
                match replacing.recovery.take_result() {
                    Some(Recovered::Image { seq, decoder }) => {
                        let expected = replacing.recovery.expected();
                        let pages = decoder.finish();
                        checks::images::on_decoded(self, route.from, expected.index, seq, &pages);
                        let image = Image::rebuild(seq, pages, expected);
                        replacing.image = Some(image.expect("invariant 2: not a structure"));
                        replacing.done = Some(seq);
                    }
                    Some(Recovered::Kept) => {
                        replacing.done = replacing.image.as_ref().map(Image::seq);
                    }
                    None => {}
                }
            }
            Err(Refusal::NotThere) => {
                let config = Arc::clone(replacing.recovery.config());
                self.begin_anew(config, route.from, replacing);
            }
            Err(refusal) => self.settle(me, server, from, route, refusal),
        }
    }
}
