use super::*;
use crate::op::Reply;

fn slot(parts: &[&[u8]], zeros: usize) -> Vec<u8> {
    let mut slot = parts.concat();
    slot.resize(slot.len() + zeros, 0);
    slot
}

#[test]
fn what_is_written_is_read() {
    for (key_len, value_len) in [(0, 0), (16, 64), (127, 128), (1, 20_000), (3 << 20, 5)] {
        let (key, value) = (vec![7; key_len], vec![8; value_len]);
        let header = Header::map_entry(key_len, value_len);
        let bytes = slot(&[header.as_bytes(), &key, &value], 5);
        let expected = Entry::Map(MapEntry {
            key: &key,
            value: &value,
        });
        assert_eq!(Entry::parse_whole(&bytes), Ok((expected, bytes.len() - 5)));
    }
    assert_eq!(Header::map_entry(16, 64).as_bytes().len() + 80, 83);

    let header = Header::list_entry(5, ID_LIMIT - 1, 3);
    let bytes = slot(&[header.as_bytes(), b"abc"], 2);
    assert_eq!(bytes[NEXT_OFFSET..][..6], u48(ID_LIMIT - 1));
    let expected = ListEntry {
        id: 5,
        next: ID_LIMIT - 1,
        value: b"abc",
    };
    assert_eq!(
        Entry::parse_whole(&bytes),
        Ok((Entry::List(expected), bytes.len() - 2))
    );

    let bytes = slot(&[Header::queue_entry(9, 0).as_bytes()], 0);
    assert_eq!(
        Entry::parse(&bytes),
        Ok(Entry::Queue(QueueEntry { seq: 9, value: b"" }))
    );

    let descriptor = Descriptor {
        kind: Kind::Queue,
        cluster: ClusterId(77),
        index: PrimaryIndex(3),
    };
    let bytes = slot(&[Header::descriptor(descriptor).as_bytes()], 3);
    assert_eq!(
        Entry::parse_whole(&bytes),
        Ok((Entry::Descriptor(descriptor), 13))
    );

    let request = RequestId {
        session: SessionId(1 << 100),
        incarnation: Seq(3),
        slot: 4,
        number: 5,
    };
    let answer = postcard::to_stdvec::<OpResult>(&Ok(Reply::Index(300))).unwrap();
    let bytes = slot(
        &[Header::slot_record(request, Seq(9)).as_bytes(), &answer],
        6,
    );
    let expected = SlotRecord {
        session: request.session,
        slot: request.slot,
        number: request.number,
        seq: Seq(9),
        answer: &answer,
    };
    assert_eq!(
        Entry::parse_whole(&bytes),
        Ok((Entry::SlotRecord(expected), bytes.len() - 6))
    );
    let bytes = slot(&[Header::session(SessionId(6), Seq(7)).as_bytes()], 0);
    assert_eq!(
        Entry::parse(&bytes),
        Ok(Entry::Session(SessionId(6), Seq(7)))
    );
}

#[test]
fn malformed_entries_are_told_apart() {
    let fault = |bytes: &[u8]| Entry::parse_whole(bytes).unwrap_err();
    assert_eq!(fault(&[0; 8]), EntryError::UnknownTag(0));
    assert_eq!(fault(&[]), EntryError::Truncated);
    assert_eq!(fault(&[MAP, 3, 3, 1, 2, 3, 4, 5]), EntryError::Truncated);
    assert_eq!(fault(&[MAP, 0x80, 0, 0, 0, 0, 0, 0]), EntryError::BadLength);
    assert_eq!(
        fault(&[MAP, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]),
        EntryError::BadLength
    );
    assert_eq!(fault(&[MAP, 1, 1, 1, 2, 3, 0, 0]), EntryError::NotCleared);
    let descriptor = Descriptor {
        kind: Kind::Map,
        cluster: ClusterId(1),
        index: PrimaryIndex(0),
    };
    let good = slot(&[Header::descriptor(descriptor).as_bytes()], 3);
    let with = |at: usize, byte| {
        let mut bad = good.clone();
        bad[at] = byte;
        fault(&bad)
    };
    assert_eq!(with(1, 9), EntryError::UnknownKind(9));
    assert_eq!(with(2, 9), EntryError::UnknownVersion(9));
    let request = RequestId {
        session: SessionId(0),
        incarnation: Seq(0),
        slot: 0,
        number: 0,
    };
    let record = slot(
        &[Header::slot_record(request, Seq(1)).as_bytes(), &[9; 5]],
        0,
    );
    assert_eq!(fault(&record), EntryError::BadAnswer);
    let number = u64::MAX;
    let mark = Header::session(SessionId(0), Seq(number));
    assert_eq!(fault(mark.as_bytes()), EntryError::Number { number });
    let answer = postcard::to_stdvec::<OpResult>(&Ok(Reply::Done)).unwrap();
    for (request, seq) in [(RequestId { number, ..request }, 1), (request, number)] {
        let header = Header::slot_record(request, Seq(seq));
        let record = slot(&[header.as_bytes(), &answer], 0);
        assert_eq!(fault(&record), EntryError::Number { number });
    }
}
