//! The memory that members which are being made will take yet (PROTOCOL rule 70).

use super::Registry;
use fusion_core::config::{Configuration, PrimaryState};
use fusion_core::id::ServerId;
use std::collections::BTreeMap;

impl Registry {
    /// About the most bytes that a member of this cluster takes.
    pub(super) fn largest_member(&self, config: &Configuration) -> u64 {
        let bytes = |id| {
            let report = self.detector.report(config.cluster, id);
            report.map_or(0, |r| r.page_bytes)
        };
        config.members().map(bytes).max().unwrap_or(0)
    }

    /// What replacements, learners and move targets will take yet, by server: it is not to be promised twice.
    pub(super) fn promised(&self) -> BTreeMap<ServerId, u64> {
        let mut promised = BTreeMap::new();
        for config in self.living() {
            let lost = config.primaries.iter();
            let lost = lost.filter(|s| s.state == PrimaryState::Lost);
            let lost = lost.map(|s| (s.id, s.host.server));
            let learners = config.fused.iter().filter(|s| s.state.learns());
            let learners = learners.map(|s| (s.id, s.host.server));
            let heirs = config.heirs().map(|(_, h)| (h.id, h.host.server));
            for (id, server) in lost.chain(learners).chain(heirs) {
                let report = self.detector.report(config.cluster, id);
                let has = report.map_or(0, |r| r.page_bytes.max(r.taken_bytes));
                let lacks = self.largest_member(config).saturating_sub(has);
                *promised.entry(server).or_default() += lacks;
            }
        }
        promised
    }
}
