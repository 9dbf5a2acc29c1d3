//! What a server does with a configuration (PROTOCOL rules 4, 8).

use super::process::ProcessId;
use super::replacing::Replacing;
use super::server::{Copying, Node, Server, Serving, Succeeding};
use super::world::World;
use fusion_core::config::Configuration;
use fusion_core::fused::Fused;
use fusion_core::heir::Heir;
use fusion_core::hosting::{self, Action, Held};
use fusion_core::id::MemberId;
use fusion_core::primary::Primary;
use fusion_core::takeover::Takeover;
use std::sync::Arc;

/// Little: a learner gets each primary's pages in several chunks.
const CHUNK_BYTES: usize = 1;

impl World {
    pub(super) fn adopt(&mut self, me: ProcessId, server: &mut Server, config: Arc<Configuration>) {
        let ProcessId::Server(id) = me else { return };
        match &server.config {
            None if !config.servers().contains(&id) => return,
            Some(known) if known.contradicts(&config) => {
                panic!("invariant 5: epoch {} has two contents", config.epoch)
            }
            Some(known) if known.epoch >= config.epoch => return,
            _ => {}
        }
        server.config = Some(Arc::clone(&config));
        server.missing.clear();
        let held = |node: &Node| match node {
            Node::Primary(_) => Held::Primary,
            Node::Fused(_) => Held::Fused,
            Node::Replacement(r) => Held::Replacement {
                image: r.image.is_some(),
            },
            Node::Heir(h) => Held::Heir {
                ready: h.heir.is_ready(),
            },
            Node::Successor(_) => Held::Successor,
        };
        let held = server.nodes.iter().map(|(&id, node)| (id, held(node)));
        let held = held.collect();
        for (member, action) in hosting::actions(&config, id, &held) {
            let before = server.nodes.remove(&member);
            match self.act(&config, member, before, action) {
                Some(node) => {
                    server.nodes.insert(member, node);
                }
                None if action != Action::Drop => server.missing.push(member),
                None => {}
            }
        }
    }

    fn act(
        &mut self,
        config: &Arc<Configuration>,
        member: MemberId,
        before: Option<Node>,
        action: Action,
    ) -> Option<Node> {
        let config = Arc::clone(config);
        match (before, action) {
            (Some(Node::Primary(mut s)), Action::Adopt) => {
                s.primary.adopt(config);
                Some(Node::Primary(s))
            }
            (Some(Node::Primary(mut s)), Action::Suspend) => {
                s.primary.suspend(config);
                Some(Node::Primary(s))
            }
            (Some(Node::Fused(mut f)), Action::Adopt) => {
                f.adopt(config);
                Some(Node::Fused(f))
            }
            (Some(Node::Fused(mut f)), Action::Suspend) => {
                f.step_aside(config);
                Some(Node::Fused(f))
            }
            (Some(Node::Heir(mut h)), Action::Adopt) => {
                h.heir.adopt(config);
                Some(Node::Heir(h))
            }
            (Some(Node::Primary(mut s)), Action::Retire) => {
                s.primary.retire(config);
                Some(Node::Primary(s))
            }
            (Some(Node::Heir(h)), Action::TakeOver) => {
                let takeover = Takeover::new(config, h.heir)?;
                Some(Node::Successor(Box::new(Succeeding { takeover })))
            }
            (Some(Node::Successor(mut s)), Action::Adopt | Action::Suspend) => {
                s.takeover.adopt(config);
                Some(Node::Successor(s))
            }
            (None, Action::StartHeir) => {
                let heir = Heir::create(config, member);
                Some(Node::Heir(Box::new(Copying::new(heir))))
            }
            (Some(Node::Replacement(r)), Action::Activate) => {
                let image = r.image?;
                self.stats.recoveries += 1;
                let primary = Primary::recovered(config, member, image);
                Some(self.serving(primary))
            }
            (Some(Node::Replacement(r)), Action::Restart) => {
                let started = Replacing::start(self, config, member, Some(*r))?;
                Some(Node::Replacement(Box::new(started)))
            }
            (None, Action::CreatePrimary) => {
                let primary = Primary::create(config, member);
                Some(self.serving(primary))
            }
            (None, Action::CreateFused) => {
                let code = self.code.clone();
                Some(Node::Fused(Box::new(Fused::create(config, member, code))))
            }
            (None, Action::StartReplacement) => {
                let started = Replacing::start(self, config, member, None)?;
                Some(Node::Replacement(Box::new(started)))
            }
            _ => None,
        }
    }

    pub(super) fn serving(&mut self, mut primary: Primary) -> Node {
        primary.limit_chunks(CHUNK_BYTES);
        primary.limit_sessions(self.session_slots);
        let pages = primary.structure().pages().to_sparse();
        self.truth.changed(primary.id(), primary.applied(), pages);
        Node::Primary(Serving::new(primary))
    }
}
