//! What is read, what is refused.

use super::*;

fn parse(text: &str) -> Result<Metadata, String> {
    Metadata::parse(text.as_bytes()).map_err(|error| error.to_string())
}

fn scheme(k: usize, m: usize, w: u32, packet_size: u32) -> Scheme {
    Scheme::new(Technique::ReedSolVan, k, m, w, packet_size).unwrap()
}

#[test]
fn what_is_written_is_read() {
    for size in [0, 1, 191, 192, 193, 5000, 1 << 40] {
        for buffer in [0, 1, 95, 96, 97, 192, 4096] {
            for packet_size in [0, 5] {
                let scheme = scheme(3, 2, 8, packet_size);
                let (laid_out, piece) = Metadata::lay_out(b"a b\n", size, scheme, buffer).unwrap();
                let read = Metadata::parse(&laid_out.to_bytes()).unwrap();
                assert_eq!(read, laid_out);
                assert_eq!(read.name(), b"a_b_");
                assert!(read.allows_piece_bytes(piece));
                assert!(piece * 3 >= size);
            }
        }
    }
}

#[test]
fn buffers_are_rounded_as_upstream_does() {
    // Up and down at once, up first; to nothing below half a unit.
    for (buffer, rounded) in [
        (0, 0),
        (95, 0),
        (96, 192),
        (97, 192),
        (192, 192),
        (287, 192),
        (288, 384),
    ] {
        assert_eq!(round_buffer(buffer, 192, 0), Some(rounded));
    }
    for (buffer, rounded) in [(0, 0), (1, 960), (960, 960), (961, 1920)] {
        assert_eq!(round_buffer(buffer, 960, 5), Some(rounded));
    }
    assert_eq!(round_buffer(u64::MAX, 192, 1), None);
}

#[test]
fn a_name_may_have_spaces_and_line_breaks() {
    let read = parse("my\nold file\n5\n3 2 8 0 5\nreed_sol_van\n0\n1\n").unwrap();
    assert_eq!(read.name(), b"my\nold file");
    assert_eq!(read.size(), 5);
}

#[test]
fn lies_and_garbage_are_refused() {
    let good = "a\n1000\n3 2 8 0 384\nreed_sol_van\n0\n3\n";
    assert!(parse(good).is_ok());
    for (from, to, why) in [
        ("a\n", "", "the line with the file's name is missing"),
        ("1000", "", "the file's size is missing"),
        ("1000", "+1000", "not a number"),
        ("1000", "-1", "not a number"),
        ("1000", "1e3", "not a number"),
        ("1000", "99999999999999999999999", "not a number"),
        ("1000", "1153", "3 read-ins of 384 bytes contradict"),
        ("1000", "768", "3 read-ins of 384 bytes contradict"),
        ("1000", "18446744073709551615", "contradict"),
        ("3 2 8 0 384", "3 2 8 0", "buffersize is missing"),
        (
            "3 2 8 0 384",
            "3 2 8 0 384 1",
            "\"1\" follows the buffersize",
        ),
        ("3 2 8 0 384", "0 2 8 0 384", "at least one data shard"),
        ("3 2 8 0 384", "3 0 8 0 384", "at least one data shard"),
        ("3 2 8 0 384", "3 2 0 0 384", "w = 0"),
        ("3 2 8 0 384", "3 2 7 0 384", "w = 7"),
        ("3 2 8 0 384", "3 2 4294967304 0 384", "too large"),
        ("3 2 8 0 384", "255 2 8 0 384", "too many shards"),
        (
            "3 2 8 0 384",
            "18446744073709551615 2 8 0 384",
            "too many shards",
        ),
        (
            "3 2 8 0 384",
            "3 2 8 4294967296 384",
            "packetsize is 4294967296",
        ),
        ("3 2 8 0 384", "3 2 8 0 385", "does not fit the code"),
        ("3 2 8 0 384", "3 2 8 0 0", "does not fit the code"),
        ("reed_sol_van", "no_coding", "there is no technique"),
        (
            "reed_sol_van\n0",
            "reed_sol_van\n1",
            "has the number 0, not 1",
        ),
        ("0\n3\n", "0\n0\n", "read-ins is 0"),
        ("0\n3\n", "0\n1\n", "one read-in of 384 bytes contradicts"),
        ("0\n3\n", "0\n4\n", "4 read-ins"),
        ("0\n3\n", "0\n3\n\n", "read-ins is missing"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        let refused = parse(&bad).unwrap_err();
        assert!(refused.contains(why), "{bad:?}: {refused}");
    }
    assert!(Metadata::parse(&[0xff; 40]).is_err());
    assert!(Metadata::parse(&vec![b'\n'; 20_000]).is_err());
    for end in 0..good.len() - 1 {
        assert!(parse(&good[..end]).is_err(), "{:?}", &good[..end]);
    }
}

#[test]
fn pieces_of_one_read_in_may_have_more_padding() {
    let read = parse("a\n1000\n3 2 16 0 1000\nreed_sol_van\n0\n1\n").unwrap();
    assert_eq!(read.piece_bytes(), None);
    assert!(read.allows_piece_bytes(334) && read.allows_piece_bytes(4096));
    assert!(!read.allows_piece_bytes(333) && !read.allows_piece_bytes(332));
}

proptest::proptest! {
    /// Whatever is accepted is what would be written, and no arithmetic on it overflows.
    #[test]
    fn what_is_accepted_is_sound(
        changes in proptest::collection::vec((0..48_usize, proptest::prelude::any::<u8>()), 0..4),
        numbers in proptest::collection::vec(
            proptest::prop_oneof![0..9_u64, 0..10_000_u64, proptest::prelude::any::<u64>()], 4),
        one_read_in: bool,
    ) {
        let mut text = b"a.txt\n1000\n3 2 8 0 384\nreed_sol_van\n0\n3\n".to_vec();
        for (at, byte) in changes {
            let at = at % text.len();
            text[at] = byte;
        }
        let [size, k, buffer, read_ins] = numbers[..] else { unreachable!() };
        let (buffer, read_ins) = if one_read_in { (size, 1) } else { (buffer, read_ins) };
        let made = format!("a\n{size}\n{k} 2 8 0 {buffer}\nreed_sol_van\n0\n{read_ins}\n");
        for text in [&text[..], made.as_bytes()] {
            if let Ok(accepted) = Metadata::parse(text) {
                proptest::prop_assert_eq!(Metadata::parse(&accepted.to_bytes()), Ok(accepted.clone()));
                let k = accepted.scheme().k() as u64;
                for piece in [0, 1, size, u64::MAX] {
                    let fits = accepted.allows_piece_bytes(piece);
                    proptest::prop_assert!(!fits || piece.saturating_mul(k) >= accepted.size());
                }
            }
        }
    }
}
