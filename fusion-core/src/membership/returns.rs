//! Fused structures that were given up and come back with what they have (PROTOCOL rule 52).

use super::{Planner, Reason, Step};
use crate::config::{Configuration, FormerCode, FusedSeat, FusedState, PrimaryState};
use crate::fault::{Fault, planted};
use crate::id::{MemberId, Row};
use crate::message::Condition;

/// Those that are of no use any more are not named: of rows in sync, and where another member stands. Whoever serves again
/// may have answered without the others.
pub(super) fn settle_former_codes(next: &mut Configuration) {
    let mut codes = std::mem::take(&mut next.former_codes);
    codes.retain(|f| {
        let in_sync = next.in_sync().any(|s| s.row == f.row);
        let seats = next.primaries.iter().map(|s| (s.id, &s.host));
        let seats = seats.chain(next.fused.iter().map(|s| (s.id, &s.host)));
        let mut seats = seats.chain(next.heirs().map(|(_, h)| (h.id, &h.host)));
        let taken = seats.any(|(id, host)| id != f.id && host.server == f.host.server);
        !in_sync && (next.colocate || !taken)
    });
    for code in &mut codes {
        let lost = |j: &_| {
            let seat = next.primary(*j);
            seat.is_some_and(|s| s.state == PrimaryState::Lost)
        };
        code.lost.retain(lost);
    }
    next.former_codes = codes;
}

impl Planner<'_> {
    /// Whoever is removed while it is in sync may return, unless it has said that it has nothing to come back with. Who was
    /// to return and is blamed for a link, or lacks too much, does not again.
    pub(super) fn keep_formers(&self, next: &mut Configuration, removed: &[MemberId]) {
        let useless = |id| {
            let missing = self.condition(id) == Some(Condition::Missing);
            missing || self.blamed.contains(&id)
        };
        next.former_codes
            .retain(|f| !(removed.contains(&f.id) && useless(f.id)));
        // While one takes over that was moved, nobody else knows how far codes may be ahead of it (rule 36).
        if self.config.moved().next().is_some() {
            return;
        }
        let in_sync = self.config.in_sync();
        let removed = in_sync.filter(|s| removed.contains(&s.id));
        let may = removed.filter(|s| self.condition(s.id) != Some(Condition::Missing));
        let formers = may.map(|s| FormerCode {
            id: s.id,
            host: s.host.clone(),
            row: s.row,
            origin: s.origin,
            lost: self.config.lost().collect(),
        });
        next.former_codes.extend(formers);
        next.former_codes.sort_by_key(|f| f.row);
    }

    /// Whether this learner may count: nobody is lost, or it returns and has what the lost ones answered.
    pub(super) fn lacks_no_lost(&self, seat: &FusedSeat) -> bool {
        let config = self.config;
        let former = config.former_code(seat.id);
        config.lost().next().is_none() || former.is_some_and(|f| config.lacks_no_lost(f))
    }

    /// Whether it answers in this epoch, and has what everybody who is lost or gone answered.
    fn may_return(&self, code: &FormerCode) -> bool {
        let lost = self.lost_or_gone();
        let lacks = lost.iter().any(|j| !code.lost.contains(j));
        self.suspected_since(&code.host).is_none()
            && !self.evidence.silent.contains_key(&code.id)
            && self.condition(code.id) == Some(Condition::Suspended)
            && (!lacks || planted(Fault::ReturnLacksLost))
            && !planted(Fault::CodeNeverReturns)
    }

    /// A primary does not have in its log any more what it lacks, or it has lost its state.
    fn is_useless(&self, code: &FormerCode) -> bool {
        let mut active = self.config.active().filter_map(|(_, s)| self.heard(s.id));
        active.any(|h| h.report.complaints.contains(&code.id))
            || self.condition(code.id) == Some(Condition::Missing)
    }

    /// The codes for which a place is kept: those that live, and lack nothing of who is lost.
    pub(super) fn awaited_codes(&self) -> impl Iterator<Item = &FormerCode> {
        let config = self.config;
        let away = config.codes_away();
        away.filter(|f| !self.gone(f.id, &f.host) && config.lacks_no_lost(f) && !self.is_useless(f))
    }

    /// Rule 52: who was given up and answers is sent what it lacks, instead of a learner of its row that only copies. While
    /// somebody is lost, only where nothing else could be decided: recoveries begin again with each epoch (rule 35).
    pub(super) fn return_codes(&mut self, next: &mut Configuration) -> Step {
        let config = self.config;
        let useless = config.codes_away().filter(|f| self.is_useless(f));
        let useless: Vec<Row> = useless.map(|f| f.row).collect();
        if !useless.is_empty() {
            next.former_codes.retain(|f| !useless.contains(&f.row));
            return Step::Change(Reason::CodesForgotten(useless));
        }
        let lost = self.lost_or_gone().len();
        if lost > 0 && lost <= self.codes_left() {
            return Step::Nothing;
        }
        let joining = |row: Row| config.joining().any(|s| s.row == row);
        let back = config.codes_away();
        let back = back.filter(|f| self.may_return(f) && !joining(f.row));
        let mut rows = Vec::new();
        for code in back {
            next.fused.retain(|s| s.row != code.row);
            next.fused.push(FusedSeat {
                id: code.id,
                host: code.host.clone(),
                row: code.row,
                state: match planted(Fault::ReturnCountsAtOnce) {
                    true => FusedState::InSync,
                    false => FusedState::Copying,
                },
                origin: code.origin,
            });
            rows.push(code.row);
        }
        next.fused.sort_by_key(|s| (s.row, s.id));
        match (rows.is_empty(), lost) {
            (false, _) => Step::Change(Reason::CodesReturn(rows)),
            // What comes next would not be come to: "more than f" is said before.
            (true, 1..) => self.let_count(next),
            (true, 0) => Step::Nothing,
        }
    }
}
