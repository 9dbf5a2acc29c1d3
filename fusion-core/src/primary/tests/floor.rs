//! The floor of codes below which nothing is written (rule 53).

use super::*;

/// What fewer codes than the cluster asked for have would be lost with them (rule 53).
#[test]
fn a_change_that_too_few_codes_have_is_not_answered_and_no_further_one_is_made() {
    let two = Configuration {
        min_in_sync: 2,
        ..(**with_two_codes().config()).clone()
    };
    let mut primary = Primary::create(Arc::new(two), MemberId(1));
    for code in [3, 4] {
        ack(&mut primary, code, Seq(1));
    }
    assert_eq!(primary.answerable(), Seq(1));
    enqueue(&mut primary, 1);
    let made = primary.applied();
    assert!(made > Seq(1));
    ack(&mut primary, 3, made);
    let mut one = (**primary.config()).successor(2);
    one.fused.retain(|s| s.id == MemberId(3));
    primary.adopt(Arc::new(one));
    assert_eq!((primary.stable(), primary.answerable()), (made, Seq(1)));
    assert_eq!(enqueue(&mut primary, 2), Submitted::BelowFloor);
    assert_eq!(primary.open_session(SessionId(99)), None);
    assert_eq!(primary.applied(), made);
    let mut again = (**primary.config()).successor(3);
    again.add_learner(Row(1), host(5));
    let learner = again.fused.iter_mut().find(|s| s.row == Row(1));
    let learner = learner.unwrap();
    learner.state = FusedState::Joining;
    let id = learner.id.0;
    primary.adopt(Arc::new(again));
    ack(&mut primary, id, made);
    assert_eq!(primary.answerable(), Seq(1), "it does not count yet");
    let mut whole = (**primary.config()).successor(4);
    whole
        .fused
        .iter_mut()
        .for_each(|s| s.state = FusedState::InSync);
    primary.adopt(Arc::new(whole));
    assert_eq!(primary.answerable(), made);
    assert!(matches!(enqueue(&mut primary, 2), Submitted::Done { .. }));
}
