//! Servers and the members that they host.

use super::world::World;
use fusion_core::code::Code;
use fusion_core::config::Configuration;
use fusion_core::fused::Fused;
use fusion_core::hosting::{self, Action, Held};
use fusion_core::id::*;
use fusion_core::message::*;
use fusion_core::primary::Primary;
use fusion_core::recovery::{Image, Recovery};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) enum Node {
    Primary(Box<Primary>),
    Fused(Box<Fused>),
    Replacement(Box<Replacement>),
}

/// As a server drives it: asks again what was not answered.
pub(crate) struct Replacement {
    pub(crate) recovery: Recovery,
    pub(crate) asked: Vec<(MemberId, RecoveryRequest)>,
    pub(crate) image: Option<Image>,
    pub(crate) ready: Option<Seq>,
}

#[derive(Default)]
pub(crate) struct Server {
    pub(crate) config: Option<Arc<Configuration>>,
    pub(crate) nodes: BTreeMap<MemberId, Node>,
    pub(crate) missing: Vec<MemberId>,
}

impl World {
    pub(crate) fn node(&mut self, id: MemberId) -> Option<&mut Node> {
        self.servers.values_mut().find_map(|s| s.nodes.get_mut(&id))
    }

    pub(crate) fn on_fused<T>(
        &mut self,
        route: Route,
        act: impl FnOnce(&mut Fused) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        match self.node(route.to) {
            Some(Node::Fused(f)) => act(f),
            _ => Err(Refusal::NotMember {
                cluster: route.cluster,
                member: route.to,
            }),
        }
    }

    pub(crate) fn adopt(&mut self, id: ServerId, config: Arc<Configuration>) {
        let code = self.code.clone();
        let Some(server) = self.servers.get_mut(&id) else {
            return;
        };
        if server
            .config
            .as_ref()
            .is_some_and(|c| c.epoch >= config.epoch)
        {
            return;
        }
        server.config = Some(Arc::clone(&config));
        server.missing.clear();
        let held = |node: &Node| match node {
            Node::Primary(_) => Held::Primary,
            Node::Fused(_) => Held::Fused,
            Node::Replacement(r) => Held::Replacement {
                image: r.image.is_some(),
            },
        };
        let held = server
            .nodes
            .iter()
            .map(|(&id, node)| (id, held(node)))
            .collect();
        let mut started = Vec::new();
        for (member, action) in hosting::actions(&config, id, &held) {
            let before = server.nodes.remove(&member);
            let config = Arc::clone(&config);
            let after = match (before, action) {
                (Some(Node::Primary(mut p)), Action::Adopt) => {
                    p.adopt(config);
                    Node::Primary(p)
                }
                (Some(Node::Primary(mut p)), Action::Suspend) => {
                    p.suspend(config);
                    Node::Primary(p)
                }
                (Some(Node::Fused(mut f)), Action::Adopt) => {
                    f.adopt(config);
                    Node::Fused(f)
                }
                (Some(Node::Replacement(r)), Action::Activate) => {
                    let image = r.image.expect("activated with an image");
                    started.push((member, config.index_of(member).unwrap(), image.seq()));
                    Node::Primary(Box::new(Primary::recovered(config, member, image)))
                }
                (Some(Node::Replacement(r)), Action::Restart) => {
                    let image = r.image;
                    Node::Replacement(Replacement::start(config, member, code.clone(), image, 0))
                }
                (None, Action::CreatePrimary) => {
                    Node::Primary(Box::new(Primary::create(config, member)))
                }
                (None, Action::CreateFused) => {
                    Node::Fused(Box::new(Fused::create(config, member, code.clone())))
                }
                (None, Action::StartReplacement) => {
                    Node::Replacement(Replacement::start(config, member, code.clone(), None, 0))
                }
                (_, Action::Drop) => continue,
                _ => {
                    server.missing.push(member);
                    continue;
                }
            };
            server.nodes.insert(member, after);
        }
        for (member, index, seq) in started {
            self.inherit(member, index, seq);
        }
    }

    /// The replacement's history is its predecessor's up to what was recovered, and that must hold all that was
    /// answered.
    pub(crate) fn inherit(&mut self, member: MemberId, index: PrimaryIndex, seq: Seq) {
        let before = std::mem::replace(&mut self.active[index.index()], member);
        let history = self.histories.get(&before).cloned().unwrap_or_default();
        let kept: BTreeMap<_, _> = history.into_iter().filter(|(s, _)| *s <= seq).collect();
        for (id, _) in &self.lanes[index.index()].answered {
            assert!(
                kept.values().any(|(k, _)| k == id),
                "{id:?} was answered and is lost at {index}"
            );
        }
        self.histories.insert(member, kept);
    }
}

impl Replacement {
    pub(crate) fn start(
        config: Arc<Configuration>,
        id: MemberId,
        code: Code,
        image: Option<Image>,
        attempt: u64,
    ) -> Box<Replacement> {
        let kept = image.as_ref().map(Image::seq);
        let recovery = RecoveryId(config.epoch.0 << 32 | attempt);
        let recovery =
            Recovery::new(config, id, code, recovery, kept).expect("enough codes are in sync");
        Box::new(Replacement {
            recovery,
            asked: Vec::new(),
            image,
            ready: None,
        })
    }
}
