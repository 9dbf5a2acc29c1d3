//! Codes of packets: bit matrices of one's own and of data that exist, packets of any size, survivors that do not suffice.

use super::*;

/// A code of two groups with a parity each and one over all: not every three losses can be recovered.
fn two_groups(packet_bytes: Option<usize>) -> Codec {
    let mut params = CodeParams::new(4, 3, WordSize::W8).unwrap();
    if let Some(bytes) = packet_bytes {
        params = params.with_packet_bytes(bytes).unwrap();
    }
    let rows = [[1, 1, 0, 0], [0, 0, 1, 1], [1, 2, 4, 8]].concat();
    Codec::from_matrix(params, Matrix::new(WordSize::W8, 3, 4, rows).unwrap()).unwrap()
}

#[test]
fn survivors_are_looked_for_where_the_first_ones_do_not_suffice() {
    for codec in [two_groups(None), two_groups(Some(8))] {
        let whole = encoded(&codec, codec.unit() * 5);
        for set in 0_u32..1 << 7 {
            let erased: Vec<usize> = (0..7).filter(|i| set >> i & 1 == 1).collect();
            if erased.len() > 3 {
                continue;
            }
            let mut shards = whole.clone();
            for &lost in &erased {
                shards[lost].fill(0xcc);
            }
            let before = shards.clone();
            // A group has two equations of its own, its parity and the one over all. One is left for two unknowns, or
            // none for one, where three of a group, its parity and the last shard are lost.
            let of_group = |group: [usize; 4]| erased.iter().filter(|&i| group.contains(i)).count();
            let solvable = of_group([0, 1, 4, 6]) < 3 && of_group([2, 3, 5, 6]) < 3;
            let decoded = codec.decode(&mut shards, &erased);
            if solvable {
                assert_eq!(decoded, Ok(()), "{erased:?}");
                assert!(shards == whole, "{erased:?}");
            } else {
                assert_eq!(decoded, Err(Error::Singular), "{erased:?}");
                assert!(shards == before, "{erased:?}");
            }
        }
    }
}

/// Such a shard holds nothing, so that it is made from nothing, and nothing is solved by it.
#[test]
fn a_coding_shard_of_no_data_is_zero_and_helps_nobody() {
    let params = CodeParams::new(3, 2, WordSize::W8).unwrap();
    for params in [params, params.with_packet_bytes(8).unwrap()] {
        let rows = vec![0, 0, 0, 1, 1, 1];
        let matrix = Matrix::new(WordSize::W8, 2, 3, rows).unwrap();
        let codec = Codec::from_matrix(params, matrix).unwrap();
        let whole = encoded(&codec, codec.unit() * 3);
        assert!(whole[3].iter().all(|&byte| byte == 0));
        for erased in [vec![3], vec![3, 4], vec![3, 0], vec![0], vec![4]] {
            let mut shards = whole.clone();
            for &lost in &erased {
                shards[lost].fill(0xcc);
            }
            codec.decode(&mut shards, &erased).unwrap();
            assert!(shards == whole, "{erased:?}");
        }
        let mut shards = whole.clone();
        assert_eq!(codec.decode(&mut shards, &[0, 4]), Err(Error::Singular));
        assert_eq!(codec.decode(&mut shards, &[0, 1]), Err(Error::Singular));
    }
}

#[test]
fn rows_of_zeros_clear_their_packets() {
    let w = WordSize::new(2).unwrap();
    let params = CodeParams::new(2, 1, w)
        .unwrap()
        .with_packet_bytes(8)
        .unwrap();
    let bits = BitMatrix::new(2, 4, |row, col| row == 1 && col >= 2).unwrap();
    let codec = Codec::from_bit_matrix(params, bits).unwrap();
    let data = [vec![1; 16], [[2; 8], [4; 8]].concat()];
    let mut coding = [vec![9; 16]];
    codec.encode(&data, &mut coding).unwrap();
    assert_eq!(coding[0], [[0; 8], [6; 8]].concat());
}

#[test]
fn packets_of_any_size_are_summed_alike() {
    // Below, at and beyond what is handed to the engine, and cut into columns; rows of more than 64 sources.
    let w = WordSize::W8;
    for packet in [8, 56, 64, 72, 2048, 2056, 5000] {
        let params = CodeParams::new(20, 3, w).unwrap();
        let params = params.with_packet_bytes(packet).unwrap();
        let length = 2 * 8 * packet;
        let mut want: Option<Vec<Vec<u8>>> = None;
        for engine in Engine::available() {
            let codec = Codec::with_engine(Technique::CauchyOrig, params, engine).unwrap();
            let got = encoded(&codec, length);
            let matrix = codec.matrix().unwrap();
            // The first packet of the first coding shard, bit by bit.
            let bits = codec.bit_matrix().unwrap();
            assert!(matrix.rows() == 3 && bits.row(0).count() > 64);
            let mut sum = vec![0; packet];
            for one in bits.row(0) {
                let source = &got[one / 8][one % 8 * packet..][..packet];
                sum.iter_mut().zip(source).for_each(|(s, b)| *s ^= b);
            }
            assert!(got[20][..packet] == sum, "{engine}, {packet}");
            assert!(want.get_or_insert_with(|| got.clone()) == &got, "{engine}");
        }
    }
}

/// One stripe after another by the schedule's operations, byte for byte, as `jerasure_schedule_encode` does.
fn by_schedule(codec: &Codec, packet: usize, shards: &mut [Vec<u8>]) {
    let (k, m, w) = (codec.params().k(), codec.params().m(), codec.params().w());
    let schedule = Schedule::dumb(codec.bit_matrix().unwrap(), k, m, w).unwrap();
    let stripe = packet * w.bits() as usize;
    for start in (0..shards[0].len()).step_by(stripe) {
        for operation in schedule.operations() {
            let ((from, a), (to, b)) = (operation.from, operation.to);
            for at in 0..packet {
                let byte = shards[from][start + a * packet + at];
                let target = &mut shards[to][start + b * packet + at];
                *target = if operation.copy { byte } else { *target ^ byte };
            }
        }
    }
}

#[test]
fn packets_of_any_size_are_those_of_the_schedule() {
    for packet in [1, 3, 4, 12, 65, 1000] {
        for engine in Engine::available() {
            let params = CodeParams::new(4, 2, WordSize::new(5).unwrap()).unwrap();
            let params = params.with_packet_bytes(packet).unwrap();
            let codec = Codec::with_engine(Technique::Liberation, params, engine).unwrap();
            let shards = encoded(&codec, 3 * codec.unit());
            let mut want = shards.clone();
            by_schedule(&codec, packet, &mut want);
            assert!(shards == want, "{engine}, {packet}");
            for lost in 0..6 {
                let mut broken = shards.clone();
                for shard in [lost, (lost + 1) % 6] {
                    broken[shard].fill(0xa5);
                }
                codec.decode(&mut broken, &[lost, (lost + 1) % 6]).unwrap();
                assert!(broken == shards, "{engine}, {packet}, lost {lost}");
            }
        }
    }
}

/// Ceph's default for `blaum_roth` is w = 7, which recovers every pair of losses only for k of 2; C answers the others with
/// success and wrong data.
#[test]
fn codes_of_existing_data_decode_what_they_can_and_refuse_the_rest() {
    let w = WordSize::new(7).unwrap();
    for (k, all) in [(2, true), (4, false)] {
        let params = CodeParams::new(k, 2, w)
            .unwrap()
            .with_packet_bytes(8)
            .unwrap();
        let bits = BitMatrix::existing_blaum_roth(k, w).unwrap();
        let codec = Codec::from_bit_matrix(params, bits).unwrap();
        let shards = encoded(&codec, codec.unit());
        let mut refused = 0;
        for a in 0..k + 2 {
            for b in 0..a {
                let mut broken = shards.clone();
                [a, b]
                    .into_iter()
                    .for_each(|shard| broken[shard].fill(0xa5));
                match codec.decode(&mut broken, &[a, b]) {
                    Ok(()) => assert!(broken == shards, "k = {k}, lost {a} and {b}"),
                    Err(error) => {
                        assert_eq!(error, Error::Singular);
                        refused += 1;
                    }
                }
            }
        }
        assert_eq!(refused == 0, all, "k = {k}: {refused} refused");
    }
}
