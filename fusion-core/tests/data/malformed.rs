//! Bytes that are not what they should be: typed errors, never a panic, and nothing half done.

use crate::cluster::{Cluster, Model, draft};
use fusion_core::change::{self, ChangeBuf, MalformedChange, writes};
use fusion_core::class::{ClassId, MAX_ENTRY_BYTES};
use fusion_core::code::{Code, CodeError};
use fusion_core::decoder::{DecodeError, Decoder};
use fusion_core::entry::{Descriptor, Entry, EntryError, Header};
use fusion_core::fused_store::{FusedStore, LearnError};
use fusion_core::id::{ClusterId, PrimaryIndex, RequestId, Row, Seq, SessionId};
use fusion_core::limits::{MAX_ANSWER_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES};
use fusion_core::op::{Kind, Op, OpResult, Reply};
use fusion_core::page::{PageError, PageId, PageTable};
use fusion_core::recovery::Image;
use fusion_core::structure::{RebuildError, SessionState, Structure};
use proptest::prelude::*;

/// A cluster of all kinds, after some operations.
fn cluster(drafts: &[crate::cluster::Draft]) -> Cluster {
    let mut cluster = Cluster::new(
        Code::new(3, 1).unwrap(),
        &[Kind::Map, Kind::List, Kind::Queue],
    );
    for draft in drafts {
        let j = draft.primary.index(3);
        let op = draft.op(&cluster.models[j]);
        cluster.execute(j, &op).ok();
    }
    cluster
}

/// Applies whatever it is; a refused change must leave no trace.
fn apply_any(fused: &mut FusedStore, bytes: &[u8]) {
    let before = fused.snapshot();
    let valid = change::validate(bytes);
    let applied = fused.apply(PrimaryIndex(0), bytes);
    if let Err(error) = valid {
        assert_eq!(applied, Err(error));
    }
    if applied.is_err() {
        assert!(fused.snapshot() == before);
    }
}

/// What was accepted can be used: all of it is read, changed and at last removed, and it comes back from its pages.
fn use_all(mut structure: Structure) {
    let elements = Model::of(&structure);
    elements.check(&structure);
    let session = SessionId(0xfeed);
    let _ = structure.open_session(Seq(0), session);
    let incarnation = structure.incarnation(session).unwrap();
    let mut number = 0;
    let mut execute = |structure: &mut Structure, model: &mut Model, op: Op| {
        number += 1;
        let request = RequestId {
            session,
            incarnation,
            slot: (number % 3) as u16,
            number,
        };
        // The damage may have made a record of this very session.
        if structure.lookup(request) == SessionState::Fresh {
            assert_eq!(
                structure.execute(Seq(1), request, &op).result,
                model.execute(&op)
            );
        }
    };
    let mut model = elements.clone();
    for op in elements
        .replacements()
        .into_iter()
        .chain(elements.removals())
    {
        execute(&mut structure, &mut model, op);
    }
    model.check(&structure);
    Model::of(&Structure::rebuild(structure.snapshot()).unwrap()).check(&structure);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_are_no_change_or_a_whole_one(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let count = writes(&bytes).count();
        prop_assert!(count <= bytes.len());
        let mut fused = FusedStore::new(Code::new(2, 1).unwrap(), Row(0)).unwrap();
        apply_any(&mut fused, &bytes);
        Entry::parse(&bytes).ok();
        Entry::parse_whole(&bytes).ok();
    }

    #[test]
    fn damaged_changes_are_applied_whole_or_not_at_all(
        drafts in prop::collection::vec(draft(), 1..12),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let cluster = cluster(&drafts);
        let mut fused = cluster.fused[0].clone();
        for history in &cluster.history {
            let mut bytes = history.last().unwrap().to_vec();
            for (at, byte) in &damage {
                // Headers are where damage is interesting.
                let at = at.index(bytes.len().min(24));
                bytes[at] = *byte;
            }
            apply_any(&mut fused, &bytes);
            bytes.truncate(cut.index(bytes.len()));
            apply_any(&mut fused, &bytes);
        }
    }

    #[test]
    fn damaged_pages_never_panic(
        drafts in prop::collection::vec(draft(), 1..30),
        page in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        removed in any::<bool>(),
    ) {
        let cluster = cluster(&drafts);
        for primary in &cluster.primaries {
            let pages = primary.snapshot();
            let ids: Vec<PageId> = pages.iter().map(|(id, _)| id).collect();
            let id = ids[page.index(ids.len())];
            let mut damaged = pages.clone();
            let used = pages.get(id).unwrap().iter().rposition(|&byte| byte != 0).unwrap() + 1;
            for (at, byte) in &damage {
                damaged.get_mut(id)[at.index(used)] = *byte;
            }
            if removed {
                damaged.remove(id);
            }
            // Damage to a value cannot be seen; everything else must fit together.
            if let Ok(structure) = Structure::rebuild(damaged) {
                use_all(structure);
            }
        }
    }

    #[test]
    fn arbitrary_pages_never_panic(
        class in 0..12u8,
        bytes in prop::collection::vec(prop_oneof![0..8u8, any::<u8>()], 1..400),
    ) {
        let id = PageId { class: ClassId::new(class).unwrap(), page: 0 };
        let mut pages = PageTable::new();
        pages.get_mut(id)[..bytes.len()].copy_from_slice(&bytes);
        if let Ok(structure) = Structure::rebuild(pages) {
            use_all(structure);
        }
    }
}

#[test]
fn no_pages_are_no_structure() {
    assert!(Structure::rebuild(PageTable::new()).is_err());
}

/// The largest slots have room for more than the limits allow. A larger value could be removed, but its answer could
/// not be recorded.
#[test]
fn entries_beyond_the_limits_are_no_structure() {
    let fault = |kind, header: Header, len: usize| {
        let entry = [header.as_bytes(), &vec![1; len]].concat();
        let class = ClassId::for_len(entry.len()).unwrap();
        let (structure, _) = Structure::create(kind, ClusterId(1), PrimaryIndex(0));
        let mut pages = structure.snapshot();
        let first = PageId { class, page: 0 };
        pages.get_mut(first)[..entry.len()].copy_from_slice(&entry);
        match Structure::rebuild(pages) {
            Err(RebuildError::Entry { fault, .. }) => Some(fault),
            Err(error) => panic!("{error}"),
            Ok(_) => None,
        }
    };
    for (limit, entry) in [
        (
            MAX_VALUE_BYTES,
            (|len| (Kind::Map, Header::map_entry(0, len))) as fn(usize) -> _,
        ),
        (MAX_KEY_BYTES, |len| (Kind::Map, Header::map_entry(len, 0))),
        (MAX_VALUE_BYTES, |len| {
            (Kind::List, Header::list_entry(1, 0, len))
        }),
        (MAX_VALUE_BYTES, |len| {
            (Kind::Queue, Header::queue_entry(1, len))
        }),
    ] {
        let with = |len| {
            let (kind, header) = entry(len);
            fault(kind, header, len)
        };
        assert_eq!(with(limit), None);
        let (len, max) = (limit + 1, limit);
        assert_eq!(with(len), Some(EntryError::TooLarge { len, max }));
    }
}

#[test]
fn an_answer_that_nobody_could_get_is_no_entry() {
    let request = RequestId {
        session: SessionId(1),
        incarnation: Seq(0),
        slot: 0,
        number: 1,
    };
    let entry = |len| {
        let answer: OpResult = Ok(Reply::Value(vec![1; len].into()));
        let answer = postcard::to_allocvec(&answer).unwrap();
        [Header::slot_record(request, Seq(1)).as_bytes(), &answer].concat()
    };
    Entry::parse_whole(&entry(MAX_VALUE_BYTES)).unwrap();
    assert!(matches!(
        Entry::parse_whole(&entry(MAX_ANSWER_BYTES)),
        Err(EntryError::TooLarge { .. })
    ));
}

#[test]
fn the_pages_of_another_structure_are_no_image() {
    let found = Descriptor {
        kind: Kind::Queue,
        cluster: ClusterId(77),
        index: PrimaryIndex(5),
    };
    let (structure, _) = Structure::create(found.kind, found.cluster, found.index);
    let rebuild = |expected| Image::rebuild(Seq(1), structure.snapshot(), expected);
    rebuild(found).unwrap();
    let mut others = [found; 3];
    others[0].kind = Kind::List;
    others[1].cluster = ClusterId(78);
    others[2].index = PrimaryIndex(4);
    for expected in others {
        let error = rebuild(expected).unwrap_err();
        assert_eq!(error, RebuildError::OtherStructure { found, expected });
    }
}

#[test]
fn fused_stores_refuse_what_cannot_be() {
    let code = Code::new(2, 1).unwrap();
    assert_eq!(
        FusedStore::new(code.clone(), Row(1)).unwrap_err(),
        CodeError::NoSuchRow {
            row: Row(1),
            rows: 1
        }
    );
    let mut fused = FusedStore::new(code.clone(), Row(0)).unwrap();
    let class = ClassId::for_len(64).unwrap();
    let write = |slot| {
        let mut change = ChangeBuf::new();
        change.write(class, slot, 0, &[0; 2], &[1; 2]);
        change.freeze()
    };
    let far = class.first_slot(1);
    assert_eq!(
        fused.apply(PrimaryIndex(0), &write(far)),
        Err(MalformedChange::Gap { class, slot: far })
    );
    assert_eq!(
        fused.apply(PrimaryIndex(2), &write(0)),
        Err(MalformedChange::NoSuchPrimary {
            primary: 2,
            primaries: 2
        })
    );
    assert!(fused.pages().is_empty());
    let id = PageId { class, page: 0 };
    let page = vec![1; id.bytes()];
    assert_eq!(
        fused.add_page(PrimaryIndex(0), id, &page),
        Err(LearnError::NotLearning)
    );
    assert_eq!(fused.finish_learning(), Err(LearnError::NotLearning));

    let mut learner = FusedStore::learner(code, Row(0)).unwrap();
    assert!(matches!(
        learner.add_page(PrimaryIndex(0), id, &page[1..]),
        Err(LearnError::Page(PageError::WrongLength { .. }))
    ));
    assert!(matches!(
        learner.add_page(PrimaryIndex(2), id, &page),
        Err(LearnError::Code(CodeError::NoSuchPrimary { .. }))
    ));
    learner.add_page(PrimaryIndex(0), id, &page).unwrap();
    // The primary says that the page is gone, but not that it was cleared.
    let mut change = ChangeBuf::new();
    change.extent(class, 0);
    learner.apply(PrimaryIndex(0), &change.freeze()).unwrap();
    assert_eq!(
        learner.finish_learning(),
        Err(LearnError::Incomplete { page: id })
    );
}

#[test]
fn a_page_that_is_given_up_without_being_cleared_is_kept() {
    let mut fused = FusedStore::new(Code::new(2, 1).unwrap(), Row(0)).unwrap();
    let (small, other) = (ClassId::for_len(64).unwrap(), ClassId::for_len(8).unwrap());
    let mut change = ChangeBuf::new();
    change.write(small, 0, 0, &[0; 2], &[1; 2]);
    change.write(other, 0, 0, &[0; 2], &[1; 2]);
    fused.apply(PrimaryIndex(0), &change.freeze()).unwrap();
    let before = fused.snapshot();

    // What comes before the fault must be taken back: a page cleared and freed, one changed, and one begun.
    let mut change = ChangeBuf::new();
    change.write(other, 0, 0, &[1; 2], &[0; 2]);
    change.extent(other, 0);
    change.write(ClassId::for_len(16).unwrap(), 0, 0, &[0; 2], &[1; 2]);
    change.write(small, 1, 0, &[0; 2], &[1; 2]);
    change.extent(small, 0);
    let page = PageId {
        class: small,
        page: 0,
    };
    assert_eq!(
        fused.apply(PrimaryIndex(0), &change.freeze()),
        Err(MalformedChange::NotCleared { page })
    );
    assert!(fused.snapshot() == before);

    // Another primary still has it.
    let mut change = ChangeBuf::new();
    change.write(small, 0, 0, &[0; 2], &[5; 2]);
    fused.apply(PrimaryIndex(1), &change.freeze()).unwrap();
    let mut change = ChangeBuf::new();
    change.write(small, 0, 0, &[1; 2], &[0; 2]);
    change.extent(small, 0);
    fused.apply(PrimaryIndex(0), &change.freeze()).unwrap();
    let mut change = ChangeBuf::new();
    change.write(small, 0, 0, &[5; 2], &[0; 2]);
    change.extent(small, 0);
    fused.apply(PrimaryIndex(1), &change.freeze()).unwrap();
    assert_eq!(fused.pages().len(), 1);
}

#[test]
fn a_small_change_cannot_take_much_memory() {
    let mut fused = FusedStore::new(Code::new(2, 1).unwrap(), Row(0)).unwrap();
    let begin = |len: usize, slots: u32| {
        let mut change = ChangeBuf::new();
        for slot in 0..slots {
            change.write(ClassId::for_len(len).unwrap(), slot, 0, &[0; 2], &[1; 2]);
        }
        change.freeze()
    };
    for change in [begin(MAX_ENTRY_BYTES, 2), begin(100_000, 5)] {
        assert!(matches!(
            fused.apply(PrimaryIndex(0), &change),
            Err(MalformedChange::TooManyPages { .. })
        ));
        assert!(fused.pages().is_empty());
    }
    fused
        .apply(PrimaryIndex(0), &begin(MAX_ENTRY_BYTES, 1))
        .unwrap();
    fused.apply(PrimaryIndex(0), &begin(100_000, 4)).unwrap();
}

#[test]
fn decoders_refuse_what_cannot_be() {
    let code = Code::new(3, 2).unwrap();
    let fault = |lost: &[u16], rows: &[u16], target: u16| {
        let lost: Vec<PrimaryIndex> = lost.iter().copied().map(PrimaryIndex).collect();
        let rows: Vec<Row> = rows.iter().copied().map(Row).collect();
        Decoder::new(&code, &lost, &rows, PrimaryIndex(target)).unwrap_err()
    };
    assert_eq!(
        fault(&[0, 1], &[0], 0),
        DecodeError::WrongCount { lost: 2, rows: 1 }
    );
    assert_eq!(
        fault(&[0, 0], &[0, 1], 0),
        DecodeError::RepeatedPrimary(PrimaryIndex(0))
    );
    assert_eq!(fault(&[0, 1], &[1, 1], 0), DecodeError::RepeatedRow(Row(1)));
    assert_eq!(
        fault(&[0, 1], &[0, 1], 2),
        DecodeError::NotLost(PrimaryIndex(2))
    );
    assert!(matches!(
        fault(&[3], &[0], 3),
        DecodeError::Code(CodeError::NoSuchPrimary { .. })
    ));
    assert!(matches!(
        fault(&[0], &[2], 0),
        DecodeError::Code(CodeError::NoSuchRow { .. })
    ));

    let lost = [PrimaryIndex(1)];
    let mut decoder = Decoder::new(&code, &lost, &[Row(1)], PrimaryIndex(1)).unwrap();
    let id = PageId {
        class: ClassId::new(0).unwrap(),
        page: 0,
    };
    let page = vec![1; id.bytes()];
    assert_eq!(
        decoder.add_fused_page(Row(0), id, &page),
        Err(DecodeError::NotChosen(Row(0)))
    );
    assert_eq!(
        decoder.add_primary_page(PrimaryIndex(1), id, &page),
        Err(DecodeError::NotASurvivor(PrimaryIndex(1)))
    );
    assert!(matches!(
        decoder.add_primary_page(PrimaryIndex(0), id, &page[1..]),
        Err(DecodeError::Page(PageError::WrongLength { .. }))
    ));
    assert!(matches!(
        decoder.undo_change(PrimaryIndex(0), Row(1), &[1]),
        Err(DecodeError::Change(MalformedChange::Truncated { at: 0 }))
    ));
    assert!(decoder.finish().is_empty());
}
