//! Schedules of a primary that is moved (rule 36).

use super::{FIRST, Pair};
use fusion_core::config::{Configuration, Former, HeirSeat};
use fusion_core::heir::Heir;
use fusion_core::id::{MemberId, RequestId, Seq, SessionId};
use fusion_core::message::{ClientRequest, Condition, RecoveryRequest};
use fusion_core::op::Op;
use fusion_core::primary::Submitted;
use fusion_core::structure::FollowError;
use fusion_core::takeover::Takeover;
use fusion_core::time::Time;
use std::sync::Arc;

const HEIR: MemberId = MemberId(3);
const CODE: MemberId = MemberId(2);
const START: Time = Time(1_000_000);

/// A pair whose primary is being moved: its heir has all that it was sent, and is complete.
struct Move {
    pair: Pair,
    heir: Heir,
}

impl Move {
    fn new() -> Result<Move, String> {
        let mut this = Move::copied()?;
        this.acknowledge()?;
        this.copy()?;
        match this.heir.condition() {
            Condition::Complete => Ok(this),
            other => Err(format!("invariant 9: the heir is {other:?}")),
        }
    }

    /// The heir has everything, and the code has acknowledged nothing.
    fn copied() -> Result<Move, String> {
        let mut pair = Pair::new();
        let mut moves = pair.primary.config().successor(2);
        moves.next_id = 4;
        let host = crate::sim::world::host(3);
        moves.primaries[0].heir = Some(HeirSeat { id: HEIR, host });
        let moves = Arc::new(moves);
        pair.adopt(&moves);
        let heir = Heir::create(moves, HEIR);
        let mut this = Move { pair, heir };
        this.copy()?;
        while let Some(chunk) = this.pair.primary.chunk(HEIR, 0) {
            let route = this.pair.route(HEIR.0);
            let taken = this.heir.on_chunk(route, &chunk, START);
            taken.map_err(|refusal| refusal.to_string())?;
            this.pair.primary.on_chunk_ack(route, chunk.number);
        }
        let copy = this.heir.take_copy().ok_or("it has the whole copy")?;
        let built = copy.build().map_err(FollowError::from);
        this.heir.on_built(built);
        for (to, _) in this.heir.requests(START) {
            let route = this.heir.config().route(HEIR, to);
            this.heir.on_reply(route);
        }
        Ok(this)
    }

    /// The code takes what the primary has, and acknowledges it.
    fn acknowledge(&mut self) -> Result<(), String> {
        let ack = self.pair.replicate(START, START)?;
        let route = self.pair.route(CODE.0);
        self.pair.primary.on_ack(route, ack, START);
        Ok(())
    }

    /// The heir takes what the primary has.
    fn copy(&mut self) -> Result<(), String> {
        let message = self.pair.primary.replicate(HEIR, 1 << 20, START);
        let message = message.ok_or("it is copied")?;
        let route = self.pair.route(HEIR.0);
        let ack = self.heir.on_replicate(route, &message, START);
        let ack = ack.map_err(|refusal| refusal.to_string())?;
        self.pair.primary.on_ack(route, ack, START);
        Ok(())
    }

    /// A client's write is answered, and the heir has not heard of it. Returns its number.
    fn write(&mut self) -> Result<Seq, String> {
        let session = SessionId(1);
        let incarnation = self.pair.primary.open_session(session);
        let id = RequestId {
            session,
            incarnation: incarnation.ok_or("there is room")?,
            slot: 0,
            number: 1,
        };
        let (key, value) = (vec![1].into(), vec![2].into());
        let write = ClientRequest {
            id: Some(id),
            op: Op::Put { key, value },
            follows: false,
        };
        let done = self.pair.primary.submit(&write, START);
        if !matches!(done, Submitted::Done { .. }) {
            return Err(format!("invariant 9: a write is answered by {done:?}"));
        }
        self.acknowledge()?;
        Ok(self.pair.primary.stable())
    }

    /// The heir is named, as the code and the heir hear, and the primary does not.
    fn named(mut self) -> Result<(Pair, Takeover), String> {
        let next = Arc::new(moved(self.pair.primary.config()));
        self.pair.fused.adopt(Arc::clone(&next));
        let takeover = Takeover::new(next, self.heir).ok_or("it has its structure")?;
        Ok((self.pair, takeover))
    }
}

fn moved(before: &Configuration) -> Configuration {
    let mut next = before.successor(3);
    let seat = &mut next.primaries[0];
    let heir = seat.heir.take().expect("it is being moved");
    seat.moved_from = Some(Former {
        id: seat.id,
        host: seat.host.clone(),
        origin: seat.origin,
        blamed: false,
    });
    (seat.id, seat.host) = (heir.id, heir.host);
    next
}

/// The code answers what it is asked.
fn answer(pair: &mut Pair, takeover: &mut Takeover, now: Time) {
    for (to, request) in takeover.requests(now) {
        let route = takeover.config().route(HEIR, to);
        if to == CODE
            && let Ok(reply) = pair.fused.on_recovery(route, &request, now)
        {
            takeover.on_reply(route, &request, reply, now);
        }
    }
}

/// The one that is moved is cut off from everybody but a client, and hears of nothing: its heir must not serve while that
/// one may still read, and has to when its leases are over.
pub(super) fn a_move_that_the_old_place_does_not_hear_of() -> Result<(), String> {
    let (mut pair, mut takeover) = Move::new()?.named()?;
    let timing = pair.primary.config().timing;
    let over = START.after(timing.lease_fused() * 2).0;
    for now in (START.0..over).step_by(1_000).map(Time) {
        answer(&mut pair, &mut takeover, now);
        if takeover.may_serve() {
            return match pair.reads(now) {
                true => Err("invariant 7: two primaries read, where it was and where it is".into()),
                false => Ok(()),
            };
        }
    }
    let left = pair.fused.lease_left(FIRST, Time(over));
    Err(format!("invariant 9: it never serves; {left:?} are left"))
}

/// An heir has everything, but the code lacks a change of before its snapshot: named now, it could not hand that over
/// (rule 36).
pub(super) fn a_move_while_a_code_lacks_what_was_copied() -> Result<(), String> {
    let moving = Move::copied()?;
    let lacks = moving.pair.primary.stable() < moving.pair.primary.applied();
    if lacks && moving.heir.condition() == Condition::Complete {
        return Err("invariant 8: an heir's log does not reach back to what a code lacks".into());
    }
    Move::new().map(|_| ())
}

/// A write is answered that the heir has not heard of; then the one that is moved dies. The code has that write, and hands it
/// over only after its lease is over.
pub(super) fn a_move_whose_heir_lacks_a_write() -> Result<(), String> {
    let mut moving = Move::new()?;
    let answered = moving.write()?;
    let (mut pair, mut takeover) = moving.named()?;
    let timing = pair.primary.config().timing;
    let mut now = START;
    for hands_over in [false, true] {
        let end = now.after(timing.lease_fused() * 2);
        while now < end {
            for (to, request) in takeover.requests(now) {
                let route = takeover.config().route(HEIR, to);
                let asked = request == RecoveryRequest::Vector || hands_over;
                if to == CODE
                    && asked
                    && let Ok(reply) = pair.fused.on_recovery(route, &request, now)
                {
                    takeover.on_reply(route, &request, reply, now);
                }
            }
            if takeover.may_serve() && takeover.seq() < answered {
                return Err("invariant 4: a write that was answered is lost by a move".into());
            }
            now = Time(now.0 + 1_000);
        }
    }
    match takeover.may_serve() {
        true => Ok(()),
        false => Err("invariant 9: it never serves".into()),
    }
}

/// A write is answered that the heir has not heard of; then the heir is named, and the only code dies before it has said
/// what there is. Nobody but the one that was moved knows of that write.
pub(super) fn a_move_whose_last_code_dies() -> Result<(), String> {
    let mut moving = Move::new()?;
    let answered = moving.write()?;
    let (mut pair, mut takeover) = moving.named()?;
    let mut alone = takeover.config().successor(4);
    alone.fused.clear();
    let alone = Arc::new(alone);
    takeover.adopt(Arc::clone(&alone));
    takeover.requests(START);
    if takeover.may_serve() && takeover.seq() < answered {
        return Err("invariant 4: a write that was answered is lost by a move".into());
    }
    pair.primary.retire(alone);
    let later = START.after(pair.primary.config().timing.lease_fused());
    for (to, request) in takeover.requests(later) {
        let route = takeover.config().route(HEIR, to);
        if let Ok(reply) = pair.primary.on_recovery(route, &request, later) {
            takeover.on_reply(route, &request, reply, later);
        }
    }
    match takeover.may_serve() && takeover.seq() >= answered {
        true => Ok(()),
        false => Err("invariant 9: it does not serve with the word of the old place".into()),
    }
}
