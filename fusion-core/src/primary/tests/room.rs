//! Memory ends writes, and nothing else (rule 70).

use super::*;
use crate::memory::MemoryUse;

const FULL: MemoryUse = MemoryUse {
    used: 90,
    limit: 100,
    reserve: 10,
};

fn dequeue(primary: &mut Primary, number: u64) -> Submitted {
    let incarnation = primary.open_session(SESSION).unwrap_or_default();
    let id = RequestId {
        session: SESSION,
        incarnation,
        slot: 0,
        number,
    };
    let request = ClientRequest {
        id: Some(id),
        op: Op::Dequeue,
        follows: false,
    };
    primary.submit(&request, Time(0))
}

/// The member acknowledges everything, and says what memory its process has.
fn says(primary: &mut Primary, from: u64, full: Option<MemoryUse>) {
    let now = Time(10);
    let message = primary.replicate(MemberId(from), 1 << 20, now).unwrap();
    let ack = Ack {
        seq: primary.applied(),
        sent_at: message.sent_at,
        number: message.number,
        full,
    };
    primary.on_ack(route(primary, from), ack, now);
}

fn is_done(submitted: &Submitted) -> bool {
    matches!(submitted, Submitted::Done { .. })
}

/// The process aborted, wherever memory ended first.
#[test]
fn a_write_that_would_not_fit_here_is_refused_before_it_is_executed() {
    let mut primary = with_two_codes();
    assert!(is_done(&enqueue(&mut primary, 1)));
    primary.set_memory(Some(FULL));
    let applied = primary.applied();
    assert_eq!(enqueue(&mut primary, 2), Submitted::Full(FULL));
    assert_eq!((primary.applied(), primary.structure().len()), (applied, 1));
    assert!(is_done(&enqueue(&mut primary, 1)), "a retry has its answer");
    assert!(is_done(&dequeue(&mut primary, 2)), "removals go on");
    // What was refused is recorded nowhere: it may come again.
    assert_eq!(enqueue(&mut primary, 3), Submitted::Full(FULL));
    let less = MemoryUse { used: 89, ..FULL };
    primary.set_memory(Some(less));
    assert!(is_done(&enqueue(&mut primary, 3)));
}

/// Codes are as long as the longest primary: the first to be full may be another process.
#[test]
fn a_write_that_would_not_fit_at_any_code_is_refused_until_that_says_that_it_has_room() {
    let mut primary = with_two_codes();
    assert!(is_done(&enqueue(&mut primary, 1)));
    says(&mut primary, 4, Some(FULL));
    says(&mut primary, 3, None);
    assert_eq!(enqueue(&mut primary, 2), Submitted::Full(FULL));
    assert!(is_done(&read(&mut primary, 11)), "reads go on");
    assert!(is_done(&dequeue(&mut primary, 2)), "removals go on");
    says(&mut primary, 4, None);
    assert!(is_done(&enqueue(&mut primary, 3)));
}

/// Rule 54: it holds up nobody, and this neither.
#[test]
fn that_the_process_of_a_learner_is_full_refuses_no_write() {
    let mut primary = with_two_codes();
    let mut next = primary.config().successor(2);
    next.fused[1] = FusedSeat {
        id: MemberId(5),
        state: FusedState::Copying,
        ..next.fused[1].clone()
    };
    next.next_id = 6;
    primary.adopt(Arc::new(next));
    assert!(is_done(&enqueue(&mut primary, 1)));
    says(&mut primary, 5, Some(FULL));
    assert!(is_done(&enqueue(&mut primary, 2)));
}
