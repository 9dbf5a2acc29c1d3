//! Random operations against plain models, with the code invariant after every step; random losses of up to f members.

use crate::cluster::{Cluster, Draft, Model, draft};
use bytes::Bytes;
use fusion_core::code::{Code, WordSize};
use fusion_core::decoder::Decoder;
use fusion_core::fused_store::FusedStore;
use fusion_core::id::{PrimaryIndex, Row};
use fusion_core::op::Kind;
use fusion_core::page::{PageId, PageTable};
use fusion_core::structure::Structure;
use proptest::prelude::*;

const ALL: [Kind; 3] = [Kind::Map, Kind::List, Kind::Queue];

fn run(cluster: &mut Cluster, drafts: &[Draft]) {
    for draft in drafts {
        let j = draft.primary.index(cluster.primaries.len());
        let op = draft.op(&cluster.models[j]);
        cluster.execute(j, &op).ok();
        cluster.check_codes();
    }
    cluster.check_models();
}

fn any_code() -> impl Strategy<Value = Code> {
    prop_oneof![
        Just((1, 1, WordSize::W8)),
        Just((1, 3, WordSize::W8)),
        Just((3, 3, WordSize::W16)),
        Just((5, 2, WordSize::W8)),
        Just((4, 1, WordSize::W16)),
    ]
    .prop_map(|(n, f, word)| Code::with_word(n, f, word).unwrap())
}

fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    prop_oneof![
        Just(vec![Kind::Map]),
        Just(vec![Kind::List]),
        Just(vec![Kind::Queue]),
        Just(ALL.to_vec()),
    ]
}

/// Everything of a page table, in an order that `seed` chooses.
fn shuffled<T>(items: impl IntoIterator<Item = T>, seed: u64) -> Vec<T> {
    let mut state = seed | 1;
    let mut keyed: Vec<(u64, T)> = items
        .into_iter()
        .map(|item| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state, item)
        })
        .collect();
    keyed.sort_by_key(|&(key, _)| key);
    keyed.into_iter().map(|(_, item)| item).collect()
}

/// Decodes `target` from the survivors' pages and as many fused structures as primaries are lost.
fn decode(cluster: &Cluster, lost: &[usize], rows: &[Row], target: usize, seed: u64) -> PageTable {
    let indexes: Vec<PrimaryIndex> = lost.iter().map(|&j| PrimaryIndex(j as u16)).collect();
    let target = PrimaryIndex(target as u16);
    let mut decoder = Decoder::new(&cluster.code, &indexes, rows, target).unwrap();
    let survivors = (0..cluster.primaries.len()).filter(|j| !lost.contains(j));
    let sources = survivors.map(Err).chain(rows.iter().map(|&row| Ok(row)));
    let pages = sources.flat_map(|source| {
        let pages = match source {
            Ok(row) => cluster.fused[row.index()].snapshot(),
            Err(j) => cluster.primaries[j].snapshot(),
        };
        let pages: Vec<(PageId, Vec<u8>)> = pages
            .iter()
            .map(|(id, bytes)| (id, bytes.to_vec()))
            .collect();
        pages
            .into_iter()
            .map(move |(id, bytes)| (source, id, bytes))
    });
    for (source, id, bytes) in shuffled(pages, seed) {
        match source {
            Ok(row) => decoder.add_fused_page(row, id, &bytes).unwrap(),
            Err(j) => decoder
                .add_primary_page(PrimaryIndex(j as u16), id, &bytes)
                .unwrap(),
        }
    }
    decoder.finish()
}

/// Which members are lost: any up to f of the n + f, by the bits of `choice`.
fn losses(n: usize, f: usize, choice: u64) -> (Vec<usize>, Vec<usize>) {
    let chosen = shuffled(0..n + f, choice | 1);
    let count = 1 + choice as usize % f;
    let mut lost: Vec<usize> = chosen[..count].to_vec();
    lost.sort_unstable();
    let (primaries, fused) = lost.into_iter().partition(|&member| member < n);
    (primaries, fused)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn structures_agree_with_models_and_codes_with_structures(
        code in any_code(),
        kinds in kinds(),
        drafts in prop::collection::vec(draft(), 0..60),
    ) {
        run(&mut Cluster::new(code, &kinds), &drafts);
    }

    #[test]
    fn any_f_losses_are_recovered_and_operations_go_on(
        code in any_code(),
        kinds in kinds(),
        before in prop::collection::vec(draft(), 0..60),
        meanwhile in prop::collection::vec(draft(), 0..20),
        after in prop::collection::vec(draft(), 0..20),
        choice in any::<u64>(),
    ) {
        let (n, f) = (code.primaries(), code.rows());
        let mut cluster = Cluster::new(code.clone(), &kinds);
        run(&mut cluster, &before);

        let (lost, lost_rows) = losses(n, f, choice);
        let rows: Vec<Row> = (0..f)
            .filter(|&row| !lost_rows.contains(&(n + row)))
            .map(|row| Row(row as u16))
            .collect();
        let chosen = &shuffled(rows, choice)[..lost.len()];
        for &j in &lost {
            let pages = decode(&cluster, &lost, chosen, j, choice);
            prop_assert!(pages == cluster.primaries[j].snapshot(), "primary {} differs", j);
            let rebuilt = Structure::rebuild(pages).unwrap();
            prop_assert_eq!(rebuilt.kind(), cluster.primaries[j].kind());
            prop_assert_eq!(rebuilt.index(), PrimaryIndex(j as u16));
            prop_assert_eq!(rebuilt.cluster(), cluster.primaries[j].cluster());
            cluster.primaries[j] = rebuilt;
        }
        cluster.check_models();

        // The lost fused structures are learned anew while the primaries go on.
        let mut joining = Vec::new();
        for member in lost_rows {
            let row = Row((member - n) as u16);
            let snapshots: Vec<PageTable> =
                cluster.primaries.iter().map(Structure::snapshot).collect();
            let first: Vec<usize> = cluster.history.iter().map(Vec::len).collect();
            joining.push((row, snapshots, first));
        }
        run(&mut cluster, &meanwhile);
        for (row, snapshots, first) in joining {
            let learned = learn(&cluster, row, &snapshots, &first, choice);
            prop_assert!(learned.pages() == cluster.fused[row.index()].pages());
            cluster.fused[row.index()] = learned;
        }
        run(&mut cluster, &after);
    }

    #[test]
    fn survivors_may_be_ahead_of_the_fused_snapshots(
        code in any_code(),
        kinds in kinds(),
        before in prop::collection::vec(draft(), 0..40),
        meanwhile in prop::collection::vec(draft(), 1..40),
        choice in any::<u64>(),
    ) {
        let n = code.primaries();
        let mut cluster = Cluster::new(code.clone(), &kinds);
        run(&mut cluster, &before);
        let lost: Vec<usize> = shuffled(0..n, choice)[..1 + choice as usize % n.min(code.rows())].to_vec();
        let rows: Vec<Row> = shuffled(0..code.rows() as u16, choice)[..lost.len()]
            .iter().map(|&row| Row(row)).collect();
        let images: Vec<PageTable> =
            lost.iter().map(|&j| cluster.primaries[j].snapshot()).collect();

        // The survivors go on; each chosen fused structure takes its snapshot at a moment of its own.
        let base: Vec<usize> = cluster.history.iter().map(Vec::len).collect();
        let moments: Vec<usize> = (0..rows.len())
            .map(|i| (choice.rotate_left(11 * i as u32) % (meanwhile.len() as u64 + 1)) as usize)
            .collect();
        let mut snapshots = Vec::new();
        for step in 0..=meanwhile.len() {
            for (&row, &moment) in rows.iter().zip(&moments) {
                if moment == step {
                    let vector: Vec<usize> = cluster.history.iter().map(Vec::len).collect();
                    snapshots.push((row, cluster.fused[row.index()].snapshot(), vector));
                }
            }
            if let Some(draft) = meanwhile.get(step) {
                let j = draft.primary.index(n);
                if !lost.contains(&j) {
                    let op = draft.op(&cluster.models[j]);
                    cluster.execute(j, &op).ok();
                }
            }
        }

        let indexes: Vec<PrimaryIndex> = lost.iter().map(|&j| PrimaryIndex(j as u16)).collect();
        for (&target, image) in indexes.iter().zip(&images) {
            let mut decoder = Decoder::new(&code, &indexes, &rows, target).unwrap();
            for (row, pages, vector) in &snapshots {
                for (id, bytes) in pages.iter() {
                    decoder.add_fused_page(*row, id, bytes).unwrap();
                }
                for j in (0..n).filter(|j| !lost.contains(j)) {
                    prop_assert!(vector[j] >= base[j]);
                    for change in shuffled(&cluster.history[j][vector[j]..], choice) {
                        decoder.undo_change(PrimaryIndex(j as u16), *row, change).unwrap();
                    }
                }
            }
            for j in (0..n).filter(|j| !lost.contains(j)) {
                for (id, bytes) in cluster.primaries[j].snapshot().iter() {
                    decoder.add_primary_page(PrimaryIndex(j as u16), id, bytes).unwrap();
                }
            }
            prop_assert!(&decoder.finish() == image, "primary {} differs", target);
        }
    }
}

/// Learns a row from snapshots and all later changes, pages and changes mixed.
fn learn(
    cluster: &Cluster,
    row: Row,
    snapshots: &[PageTable],
    first: &[usize],
    seed: u64,
) -> FusedStore {
    enum Step<'a> {
        Page(PrimaryIndex, PageId, &'a [u8]),
        Change(PrimaryIndex),
    }
    let mut steps = Vec::new();
    let mut pending: Vec<std::slice::Iter<'_, Bytes>> = Vec::new();
    for (j, snapshot) in snapshots.iter().enumerate() {
        let primary = PrimaryIndex(j as u16);
        steps.extend(
            snapshot
                .iter()
                .map(|(id, bytes)| Step::Page(primary, id, bytes)),
        );
        let changes = cluster.history[j][first[j]..].iter();
        steps.extend(changes.clone().map(|_| Step::Change(primary)));
        pending.push(changes);
    }
    let mut learner = FusedStore::learner(cluster.code.clone(), row).unwrap();
    for step in shuffled(steps, seed) {
        match step {
            Step::Page(primary, id, bytes) => learner.add_page(primary, id, bytes).unwrap(),
            // The changes of one primary come in their order.
            Step::Change(primary) => {
                learner
                    .apply(primary, pending[primary.index()].next().unwrap())
                    .unwrap();
            }
        }
    }
    learner.finish_learning().unwrap();
    learner
}

#[test]
fn learners_and_decoders_follow_structures_that_grow_and_shrink_by_pages() {
    // Large and small values, so that pages come and go while a learner learns.
    let code = Code::new(3, 2).unwrap();
    let mut cluster = Cluster::new(code.clone(), &[Kind::Queue, Kind::List, Kind::Map]);
    let value = |i: usize| Bytes::from(vec![i as u8 | 1; 500 + i % 7 * 300]);
    let fill = |cluster: &mut Cluster, range: std::ops::Range<usize>| {
        use fusion_core::op::Op;
        for i in range {
            cluster
                .execute(0, &Op::Enqueue { value: value(i) })
                .unwrap();
            cluster
                .execute(
                    1,
                    &Op::Insert {
                        index: 0,
                        value: value(i),
                    },
                )
                .unwrap();
            let key = Bytes::from(i.to_string());
            cluster
                .execute(
                    2,
                    &Op::Put {
                        key,
                        value: value(i),
                    },
                )
                .unwrap();
        }
    };
    let drain = |cluster: &mut Cluster, range: std::ops::Range<usize>| {
        use fusion_core::op::Op;
        for i in range {
            cluster.execute(0, &Op::Dequeue).unwrap();
            cluster.execute(1, &Op::RemoveIndex { index: 0 }).unwrap();
            cluster
                .execute(
                    2,
                    &Op::Remove {
                        key: Bytes::from(i.to_string()),
                    },
                )
                .unwrap();
        }
    };
    fill(&mut cluster, 0..300);
    let snapshots: Vec<PageTable> = cluster.primaries.iter().map(Structure::snapshot).collect();
    let first: Vec<usize> = cluster.history.iter().map(Vec::len).collect();
    drain(&mut cluster, 0..290);
    fill(&mut cluster, 300..320);
    cluster.check_codes();
    for seed in 1..6 {
        let learned = learn(&cluster, Row(1), &snapshots, &first, seed * 0x9e37_79b9);
        assert!(learned.pages() == cluster.fused[1].pages());
    }
    drain(&mut cluster, 290..320);
    cluster.check_codes();
    cluster.check_models();
    assert!(cluster.models.iter().all(|model| Model::len(model) == 0));
}
