//! The paper's Figure 4: three lists, three fused structures, their codes, and the recovery of all three lists.

use fusion_core::change::ChangeBuf;
use fusion_core::class::ClassId;
use fusion_core::code::{Code, WordSize};
use fusion_core::decoder::Decoder;
use fusion_core::fused_store::FusedStore;
use fusion_core::id::{PrimaryIndex, Row};
use fusion_core::page::{PageId, PageTable};
use serde_json::Value;

/// Slots of one 16-bit word are not a size class; the word lies at the beginning of the smallest slot.
fn word(pages: &PageTable, class: ClassId, slot: u32) -> u16 {
    let place = class.locate(slot);
    let page = pages
        .get(PageId {
            class,
            page: place.page,
        })
        .unwrap();
    u16::from_le_bytes([page[place.offset], page[place.offset + 1]])
}

fn rows(value: &Value) -> Vec<Vec<u16>> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn the_codes_of_figure_4_come_out_and_decode() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/paper.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let figure = &golden["figure_4"];
    let (slots, codes) = (rows(&figure["slots"]), rows(&figure["codes"]));
    let class = ClassId::for_len(2).unwrap();
    let code = Code::with_word(3, 3, WordSize::W16).unwrap();

    let fused: Vec<FusedStore> = (0..3)
        .map(|row| {
            let mut fused = FusedStore::new(code.clone(), Row(row)).unwrap();
            for (primary, words) in (0..).map(PrimaryIndex).zip(&slots) {
                for (slot, word) in (0..).zip(words) {
                    // Through another value, as an update would.
                    let mut change = ChangeBuf::new();
                    change.write(class, slot, 0, &[0; 2], &[0xab, 0xcd]);
                    change.write(class, slot, 0, &[0xab, 0xcd], &word.to_le_bytes());
                    fused.apply(primary, &change.freeze()).unwrap();
                }
            }
            fused
        })
        .collect();
    for (fused, codes) in fused.iter().zip(&codes) {
        let found: Vec<u16> = (0..3)
            .map(|slot| word(fused.pages(), class, slot))
            .collect();
        assert_eq!(&found, codes);
    }

    let lost = [0, 1, 2].map(PrimaryIndex);
    for (target, expected) in lost.into_iter().zip(&slots) {
        let mut decoder = Decoder::new(&code, &lost, &[0, 1, 2].map(Row), target).unwrap();
        for fused in &fused {
            for (id, bytes) in fused.pages().iter() {
                decoder.add_fused_page(fused.row(), id, bytes).unwrap();
            }
        }
        let image = decoder.finish();
        let found: Vec<u16> = (0..3).map(|slot| word(&image, class, slot)).collect();
        assert_eq!(&found, expected);
    }
}
