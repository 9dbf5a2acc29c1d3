//! Members of one cluster that hold something, to be sent anything: two primaries, two fused structures of which one may
//! be a learner, and what a coordinator knows. Driven as the services drive them, without their network.

use fusion_core::code::Code;
use fusion_core::config::{
    ClusterShape, Configuration, Former, FusedSeat, FusedState, Host, Origin, PrimaryState,
};
use fusion_core::detector::Detector;
use fusion_core::fused::Fused;
use fusion_core::hosting::{self, Held};
use fusion_core::id::{ClusterId, MemberId, RequestId, Row, ServerId, SessionId};
use fusion_core::membership::{self, ServerView};
use fusion_core::message::{ClientBatch, ClientRequest, RecoveryRequest, Refusal};
use fusion_core::op::{Kind, Op};
use fusion_core::primary::{Primary, Submitted};
use fusion_core::time::{Time, Timing};
use fusion_net::express;
use fusion_net::service::{CoordinatorRequest, FusedRequest, PrimaryRequest};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The session that the members know, so that the fuzzer finds it.
const SESSION: SessionId = SessionId(1);

/// All of it.
pub struct Members {
    config: Arc<Configuration>,
    primaries: Vec<Primary>,
    fused: Vec<Fused>,
    detector: Detector,
    now: u64,
}

impl Members {
    /// A cluster (1) of two primaries (members 1 and 2) and two rows (3 and 4), of a kind and in a state that `scene`
    /// chooses: whole, primary 1 lost (its replacement is member 5), or with a learner (member 5) in the place of 4.
    pub fn new(scene: u8) -> Members {
        let kind = [Kind::Map, Kind::List, Kind::Queue][usize::from(scene % 3)];
        let shape = ClusterShape::new("c", kind, 2, 2, false).expect("a shape");
        let hosts = [1, 2, 3, 4].map(|i| Host {
            server: ServerId(i),
            address: "127.0.0.1:1".to_owned(),
        });
        let config = Configuration::create(1, ClusterId(1), 1, &shape, &hosts);
        let config = Arc::new(config);
        let primary = |id| Primary::create(Arc::clone(&config), MemberId(id));
        let fused = |id| Fused::create(Arc::clone(&config), MemberId(id), code());
        let mut members = Members {
            primaries: vec![primary(1), primary(2)],
            fused: vec![fused(3), fused(4)],
            detector: Detector::new(&Timing::default(), 0),
            config: Arc::clone(&config),
            now: 1_000_000,
        };
        members.fill(kind);
        let mut next = config.successor(2);
        match scene / 3 % 3 {
            1 => {
                let id = next.take_id();
                let seat = &mut next.primaries[0];
                let former = Former {
                    id: seat.id,
                    host: seat.host.clone(),
                    origin: seat.origin,
                    blamed: false,
                };
                seat.former = Some(former);
                (seat.id, seat.state, seat.origin) = (id, PrimaryState::Lost, Origin::Recovered);
            }
            2 => {
                let id = next.take_id();
                next.fused[1] = FusedSeat {
                    id,
                    host: next.fused[1].host.clone(),
                    row: Row(1),
                    state: FusedState::Joining,
                    origin: Origin::Recovered,
                };
            }
            _ => {}
        }
        members.adopt(&Arc::new(next));
        members
    }

    /// A few elements in each primary, known to every fused structure.
    fn fill(&mut self, kind: Kind) {
        for primary in &mut self.primaries {
            let incarnation = primary.open_session(SESSION).expect("there is room");
            for number in 1..=5_u64 {
                let value = vec![number as u8; 20 * number as usize].into();
                let op = match kind {
                    Kind::Map => Op::Put {
                        key: vec![number as u8].into(),
                        value,
                    },
                    Kind::List => Op::Append { value },
                    Kind::Queue => Op::Enqueue { value },
                };
                let id = Some(RequestId {
                    session: SESSION,
                    incarnation,
                    slot: 0,
                    number,
                });
                let request = ClientRequest { id, op, follows: false };
                let done = primary.submit(&request, Time(self.now));
                assert!(matches!(done, Submitted::Done { .. }));
            }
            for fused in &mut self.fused {
                let route = self.config.route(primary.id(), fused.id());
                let changes = primary.replicate(fused.id(), usize::MAX, Time(self.now));
                let changes = changes.expect("a link");
                let ack = fused.on_replicate(route, &changes, Time(self.now));
                let _ = primary.on_ack(route, ack.expect("it fits"), Time(self.now));
            }
        }
    }

    /// As a server does with a configuration that it was told.
    fn adopt(&mut self, config: &Arc<Configuration>) {
        let follows = config
            .check()
            .and_then(|()| config.check_after(&self.config));
        if follows.is_err()
            || config.store != self.config.store
            || config.epoch <= self.config.epoch
        {
            return;
        }
        let held = self.primaries.iter().map(|p| (p.id(), Held::Primary));
        let held: BTreeMap<_, _> = held
            .chain(self.fused.iter().map(|f| (f.id(), Held::Fused)))
            .collect();
        for server in 1..=5 {
            let _ = hosting::actions(config, ServerId(server), &held);
        }
        // Whoever is named otherwise than before is another member, and would be made anew.
        self.primaries
            .retain_mut(|p| match config.index_of(p.id()) {
                Some(index) if index == p.index() && config.active().any(|(i, _)| i == index) => {
                    p.adopt(Arc::clone(config));
                    true
                }
                None if config.formers().any(|(_, f)| f.id == p.id()) => {
                    p.suspend(Arc::clone(config));
                    true
                }
                _ => false,
            });
        self.fused.retain_mut(|f| {
            let seat = config.fused_seat(f.id());
            let learner = !f.config().in_sync().any(|s| s.id == f.id());
            let stays = seat
                .is_some_and(|s| s.row == f.row() && s.state.learns() == learner);
            if stays {
                f.adopt(Arc::clone(config));
            }
            stays
        });
        for seat in config.learners() {
            if !self.fused.iter().any(|f| f.id() == seat.id)
                && self.fused.len() < 8
                && config.n() == 2
            {
                self.fused
                    .push(Fused::create(Arc::clone(config), seat.id, code()));
            }
        }
        self.config = Arc::clone(config);
    }

    /// Takes the bytes for a request of a service.
    pub fn take(&mut self, service: u8, message: &[u8]) {
        self.now += 1_000;
        match service % 5 {
            0 => {
                if let Some(request) = decoded::<PrimaryRequest>(message) {
                    self.ask_primary(request);
                }
            }
            1 => {
                if let Some(request) = decoded::<FusedRequest>(message) {
                    self.ask_fused(request);
                }
            }
            // As they come by streams.
            3 => {
                if let Ok((_, batch)) = express::decode_operations(message) {
                    self.execute(&batch);
                }
            }
            4 => {
                if let Ok((_, route, message)) = express::decode_changes(message) {
                    self.ask_fused(FusedRequest::Replicate { route, message });
                }
            }
            _ => {
                if let Some(request) = decoded::<CoordinatorRequest>(message) {
                    self.ask_coordinator(request);
                }
            }
        }
    }

    fn ask_primary(&mut self, request: PrimaryRequest) {
        match request {
            PrimaryRequest::Execute { batch } => self.execute(&batch.message),
            PrimaryRequest::Recover { route, request } => {
                let primary = self.primaries.iter_mut().find(|p| p.id() == route.to);
                if let Some(primary) = primary {
                    let answer = primary.on_recovery(route, &request, Time(self.now));
                    answered(&answer);
                }
            }
            PrimaryRequest::Adopt { config } => self.adopt(&config),
            PrimaryRequest::Streams {} => {}
        }
    }

    fn execute(&mut self, batch: &ClientBatch) {
        let now = Time(self.now);
        let primary = self.primaries.iter_mut().find(|p| p.id() == batch.member);
        let Some(primary) = primary.filter(|_| batch.cluster == self.config.cluster) else {
            return;
        };
        if primary.is_suspended() {
            return;
        }
        if let Some(session) = batch.open {
            primary.open_session(session);
        }
        for request in &batch.requests {
            if let Submitted::Done { after, .. } = primary.submit(request, now) {
                assert!(after <= primary.applied());
            }
        }
        if let Some((session, incarnation)) = batch.close {
            primary.close_session(session, incarnation);
        }
    }

    fn ask_fused(&mut self, request: FusedRequest) {
        let now = Time(self.now);
        let to = match &request {
            FusedRequest::Replicate { route, .. }
            | FusedRequest::Chunk { route, .. }
            | FusedRequest::Recover { route, .. } => route.to,
            FusedRequest::Adopt { config } => return self.adopt(&Arc::clone(config)),
            FusedRequest::Streams {} => return,
        };
        let Some(fused) = self.fused.iter_mut().find(|f| f.id() == to) else {
            return;
        };
        match request {
            FusedRequest::Replicate { route, message } => {
                let answer = fused.on_replicate(route, &message, now);
                if let Ok(ack) = &answer {
                    let vector = fused.vector();
                    assert_eq!(Some(&ack.seq), vector.get(message.index.index()));
                }
                answered(&answer);
            }
            FusedRequest::Chunk { route, chunk } => answered(&fused.on_chunk(route, &chunk, now)),
            FusedRequest::Recover { route, request } => {
                let answer = fused.on_recovery(route, &request, now);
                if matches!(request, RecoveryRequest::Pin { .. }) {
                    assert!(answer.is_err(), "only primaries are pinned");
                }
                answered(&answer);
            }
            FusedRequest::Adopt { .. } | FusedRequest::Streams {} => {}
        }
        let _ = (fused.condition(), fused.leases_over(now));
        fused.tick(now);
    }

    fn ask_coordinator(&mut self, request: CoordinatorRequest) {
        let now_ms = self.now / 1000;
        match request {
            CoordinatorRequest::Sync { request } => {
                self.detector.add_server(request.server);
                self.detector.hear(request.server, now_ms);
                for known in request.known {
                    self.detector
                        .hear_epoch(request.server, known.cluster, known.epoch, known.nonce);
                }
                for report in request.reports {
                    if self.config.host_of(report.member).is_some() {
                        self.detector.hear_of(report, now_ms);
                    }
                }
                self.plan(now_ms);
            }
            CoordinatorRequest::Create { shape } => {
                if let Ok(shape) = shape.validated() {
                    assert!(shape.primaries() >= 1 && shape.faults() >= 1);
                }
            }
            _ => {}
        }
    }

    /// What a coordinator would decide now: a configuration that can be.
    fn plan(&mut self, now_ms: u64) {
        let _ = self.detector.tick(now_ms);
        let view = |id| {
            let seen = self.detector.seen(id).unwrap_or_default();
            let view = ServerView {
                address: "127.0.0.1:1".to_owned(),
                last_heard_ms: seen.last_heard_ms,
                suspected_since_ms: seen.suspected_since_ms,
                load: 0,
                draining: false,
                ..ServerView::default()
            };
            (id, view)
        };
        let servers = (1..=6).map(|i| view(ServerId(i))).collect();
        let evidence = self.detector.evidence(&self.config, servers);
        if let membership::Plan::Change(next, _) = membership::plan(&self.config, &evidence, 7) {
            assert_eq!(next.check(), Ok(()));
            assert_eq!(next.check_after(&self.config), Ok(()));
        }
    }
}

fn code() -> Code {
    Code::new(2, 2).expect("a code")
}

/// The request, if it is one; it encodes to what decodes to the same.
fn decoded<T: Serialize + for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    let request: T = postcard::from_bytes(bytes).ok()?;
    let encoded = postcard::to_stdvec(&request).expect("it encodes");
    let again: T = postcard::from_bytes(&encoded).expect("it decodes");
    assert_eq!(postcard::to_stdvec(&again).expect("it encodes"), encoded);
    Some(request)
}

/// An answer fits into a frame.
fn answered<T: Serialize>(answer: &Result<T, Refusal>) {
    let bytes = postcard::to_stdvec(answer).expect("it encodes");
    assert!(bytes.len() <= fusion_net::wire::MAX_FRAME_BYTES);
}
