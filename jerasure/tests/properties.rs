//! Properties of the whole crate against slow oracles that share no code with it.

use jerasure::{CodeParams, Codec, Multiplier, Technique, WordSize, galois};
use proptest::prelude::*;

const ALL: [WordSize; 3] = [WordSize::W8, WordSize::W16, WordSize::W32];

/// Multiplication as the definition has it: shift, add, reduce by the full polynomial.
fn naive_multiply(w: WordSize, a: u32, b: u32) -> u32 {
    let polynomial: u64 = match w {
        WordSize::W8 => 0x11d,
        WordSize::W16 => 0x1100b,
        _ => 0x1_0040_0007,
    };
    let mut product: u64 = 0;
    for bit in (0..w.bits()).rev() {
        product <<= 1;
        if product >> w.bits() & 1 == 1 {
            product ^= polynomial;
        }
        if b >> bit & 1 == 1 {
            product ^= u64::from(a);
        }
    }
    product as u32
}

/// `dst ^ coefficient * src`, word by word.
fn naive_mul_add(w: WordSize, coefficient: u32, dst: &[u8], src: &[u8]) -> Vec<u8> {
    let words = dst.chunks(w.bytes()).zip(src.chunks(w.bytes()));
    words
        .flat_map(|(d, s)| {
            let product = naive_multiply(w, coefficient, word(s)) ^ word(d);
            product_bytes(w, product)
        })
        .collect()
}

fn word(bytes: &[u8]) -> u32 {
    match *bytes {
        [a] => u32::from(a),
        [a, b] => u32::from(u16::from_ne_bytes([a, b])),
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]),
        _ => unreachable!("words have 1, 2 or 4 bytes"),
    }
}

fn product_bytes(w: WordSize, word: u32) -> Vec<u8> {
    match w {
        WordSize::W8 => vec![word as u8],
        WordSize::W16 => (word as u16).to_ne_bytes().to_vec(),
        _ => word.to_ne_bytes().to_vec(),
    }
}

fn random_bytes(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn random_shards(seed: u64, shards: usize, bytes: usize) -> Vec<Vec<u8>> {
    (0..shards as u64)
        .map(|shard| random_bytes(seed ^ (shard + 1) << 40, bytes))
        .collect()
}

fn codec(k: usize, m: usize, w: WordSize) -> Codec {
    Codec::new(Technique::ReedSolVan, CodeParams::new(k, m, w).unwrap()).unwrap()
}

/// All k + m shards of random data.
fn encoded(codec: &Codec, seed: u64, bytes: usize) -> Vec<Vec<u8>> {
    let (k, m) = (codec.params().k(), codec.params().m());
    let mut shards = random_shards(seed, k, bytes);
    let mut coding = vec![vec![0xaa; bytes]; m];
    codec.encode(&shards, &mut coding).unwrap();
    shards.extend(coding);
    shards
}

fn subsets(shards: usize, most: usize) -> impl Iterator<Item = Vec<usize>> {
    (0_u32..1 << shards)
        .filter(move |set| set.count_ones() as usize <= most)
        .map(move |set| (0..shards).filter(|i| set >> i & 1 == 1).collect())
}

fn word_size() -> impl Strategy<Value = WordSize> {
    prop::sample::select(ALL.to_vec())
}

#[test]
fn every_length_and_alignment_multiplies_as_defined() {
    let (source, target) = (random_bytes(1, 4352), random_bytes(2, 4352));
    for w in ALL {
        for coefficient in [0, 1, 2, 0x53, w.max_element()] {
            let multiplier = Multiplier::new(w, coefficient).unwrap();
            for bytes in (0_usize..=257)
                .chain([511, 512, 514, 516, 1536, 1539, 1544, 4096, 4097, 4112, 4300])
            {
                if !bytes.is_multiple_of(w.bytes()) {
                    continue;
                }
                // One byte of displacement in each, then congruent and incongruent pairs of them.
                for (d, s) in [
                    (0, 0),
                    (1, 0),
                    (0, 1),
                    (1, 1),
                    (3, 6),
                    (8, 24),
                    (15, 2),
                    (7, 23),
                ] {
                    let src = &source[s..][..bytes];
                    let mut got = target.clone();
                    multiplier.mul_add(&mut got[d..][..bytes], src).unwrap();
                    let mut want = target.clone();
                    want[d..][..bytes].copy_from_slice(&naive_mul_add(
                        w,
                        coefficient,
                        &target[d..][..bytes],
                        src,
                    ));
                    assert!(
                        got == want,
                        "{w:?} * {coefficient}, {bytes} bytes at {d} and {s}"
                    );

                    let mut got = target.clone();
                    multiplier.mul(&mut got[d..][..bytes], src).unwrap();
                    want[d..][..bytes].copy_from_slice(&naive_mul_add(
                        w,
                        coefficient,
                        &vec![0; bytes],
                        src,
                    ));
                    assert!(
                        got == want,
                        "{w:?} = {coefficient}, {bytes} bytes at {d} and {s}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_product_of_bytes_is_as_defined() {
    for a in 0..=255 {
        let multiplier = Multiplier::new(WordSize::W8, a).unwrap();
        let all: Vec<u8> = (0..=255).collect();
        let mut products = [0; 256];
        multiplier.mul(&mut products, &all).unwrap();
        for b in 0..=255 {
            let want = naive_multiply(WordSize::W8, a, b);
            assert_eq!(galois::multiply(WordSize::W8, a, b), Ok(want));
            assert_eq!(u32::from(products[b as usize]), want);
        }
    }
}

#[test]
fn every_erasure_set_decodes_in_small_codes() {
    for w in ALL {
        for (k, m) in [(1, 1), (1, 4), (2, 2), (3, 3), (4, 2), (5, 3), (6, 4)] {
            let codec = codec(k, m, w);
            let whole = encoded(&codec, 7, 36);
            for erased in subsets(k + m, m) {
                let mut shards = whole.clone();
                for &lost in &erased {
                    shards[lost].fill(0x55);
                }
                codec.decode(&mut shards, &erased).unwrap();
                assert!(shards == whole, "{w:?}, k = {k}, m = {m}, lost {erased:?}");
            }
        }
    }
}

#[test]
fn every_choice_of_sources_gives_the_lost_shards() {
    for w in ALL {
        let (k, m) = (3, 3);
        let codec = codec(k, m, w);
        let words: Vec<u32> = encoded(&codec, 11, w.bytes())
            .iter()
            .map(|s| word(s))
            .collect();
        for mut sources in subsets(k + m, k).filter(|set| set.len() == k) {
            sources.reverse();
            let lost: Vec<usize> = (0..k + m).filter(|i| !sources.contains(i)).collect();
            let plan = codec.reconstruction(&lost, &sources).unwrap();
            for (l, &shard) in lost.iter().enumerate() {
                let sum = (0..k).fold(0, |sum, s| {
                    sum ^ naive_multiply(w, plan.coefficient(l, s), words[sources[s]])
                });
                assert_eq!(sum, words[shard], "{w:?}: shard {shard} of {sources:?}");
            }
        }
    }
}

#[test]
fn the_largest_byte_code_decodes() {
    let codec = codec(200, 56, WordSize::W8);
    let whole = encoded(&codec, 13, 8);
    let erased: Vec<usize> = (0..56).map(|i| i * 4 + 3).collect();
    let mut shards = whole.clone();
    for &lost in &erased {
        shards[lost].fill(0);
    }
    codec.decode(&mut shards, &erased).unwrap();
    assert!(shards == whole);
}

proptest! {
    #[test]
    fn single_products_and_quotients_are_as_defined(w in word_size(), a: u32, b: u32) {
        let (a, b) = (a & w.max_element(), b & w.max_element());
        let product = naive_multiply(w, a, b);
        prop_assert_eq!(galois::multiply(w, a, b), Ok(product));
        if b != 0 {
            prop_assert_eq!(galois::divide(w, product, b), Ok(a));
        }
    }

    #[test]
    fn any_region_multiplies_as_defined(
        w in word_size(), coefficient: u32, words in 0_usize..3000, d in 0_usize..32, s in 0_usize..32, seed: u64,
    ) {
        let coefficient = coefficient & w.max_element();
        let bytes = words * w.bytes();
        let src = &random_bytes(seed, s + bytes)[s..];
        let mut dst = random_bytes(!seed, d + bytes);
        let want = naive_mul_add(w, coefficient, &dst[d..], src);
        Multiplier::new(w, coefficient).unwrap().mul_add(&mut dst[d..], src).unwrap();
        prop_assert!(dst[d..] == want[..]);
    }

    #[test]
    fn what_is_encoded_decodes(
        w in word_size(), k in 1_usize..12, m in 1_usize..6, words in 0_usize..6000, seed: u64,
    ) {
        let codec = codec(k, m, w);
        let whole = encoded(&codec, seed, words * w.bytes());
        let erased: Vec<usize> = (0..m).map(|i| (seed as usize % (k + m) + i) % (k + m)).collect();
        let mut shards = whole.clone();
        for &lost in &erased {
            shards[lost].fill(0);
        }
        codec.decode(&mut shards, &erased).unwrap();
        prop_assert!(shards == whole);
    }

    #[test]
    fn an_update_equals_encoding_anew(
        w in word_size(), k in 1_usize..8, m in 1_usize..5, words in 0_usize..2500, skew in 0_usize..17, seed: u64,
    ) {
        let codec = codec(k, m, w);
        let bytes = words * w.bytes();
        let mut data = random_shards(seed, k, bytes);
        let mut coding = vec![vec![0; bytes]; m];
        codec.encode(&data, &mut coding).unwrap();

        let changed = seed as usize % k;
        let new = random_bytes(!seed, bytes);
        let old = std::mem::replace(&mut data[changed], new);
        let mut anew = vec![vec![0; bytes]; m];
        codec.encode(&data, &mut anew).unwrap();

        for (row, (code, want)) in coding.iter().zip(&anew).enumerate() {
            let mut moved = [vec![0; skew], code.clone()].concat();
            codec.update(row, changed, &old, &data[changed], &mut moved[skew..]).unwrap();
            prop_assert!(moved[skew..] == want[..]);
        }
    }
}
