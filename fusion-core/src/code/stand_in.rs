//! Plain arithmetic until the coding library can be linked; the same names.
#![allow(missing_docs)]

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WordSize {
    W8,
    W16,
    W32,
}
impl WordSize {
    pub fn bytes(self) -> usize {
        match self {
            WordSize::W8 => 1,
            WordSize::W16 => 2,
            WordSize::W32 => 4,
        }
    }
}
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused")]
pub struct Error;
pub(super) enum Technique {
    ReedSolVan,
}
pub(super) struct CodeParams(usize, usize, WordSize);
impl CodeParams {
    pub(super) fn new(k: usize, m: usize, w: WordSize) -> Result<Self, Error> {
        Ok(CodeParams(k, m, w))
    }
}
fn mul(w: WordSize, mut a: u32, mut b: u32) -> u32 {
    let (bits, poly) = if w == WordSize::W8 {
        (8, 0x11d)
    } else {
        (16, 0x1100b)
    };
    let mut p = 0;
    while b != 0 {
        if b & 1 == 1 {
            p ^= a;
        }
        b >>= 1;
        a <<= 1;
        if a >> bits & 1 == 1 {
            a ^= poly;
        }
    }
    p
}
fn inv(w: WordSize, a: u32) -> u32 {
    let bits = w.bytes() as u32 * 8;
    let mut e = (1u64 << bits) - 2;
    let (mut r, mut b) = (1, a);
    while e != 0 {
        if e & 1 == 1 {
            r = mul(w, r, b);
        }
        b = mul(w, b, b);
        e >>= 1;
    }
    r
}
#[derive(Clone)]
pub(super) struct Codec {
    k: usize,
    w: WordSize,
    rows: Vec<Vec<u32>>,
}
pub(super) struct Reconstruction(Vec<Vec<u32>>);
impl Reconstruction {
    pub(super) fn coefficient(&self, lost: usize, source: usize) -> u32 {
        self.0[lost][source]
    }
}
impl Codec {
    pub(super) fn new(_: Technique, CodeParams(k, m, w): CodeParams) -> Result<Self, Error> {
        let n = k + m;
        let mut d = vec![vec![0u32; k]; n];
        for (i, row) in d.iter_mut().enumerate() {
            let mut p = 1;
            for x in row.iter_mut() {
                *x = p;
                p = mul(w, p, i as u32);
            }
        }
        d[n - 1] = vec![0; k];
        d[n - 1][k - 1] = 1;
        for i in 1..k {
            let j = (i..n).find(|&j| d[j][i] != 0).ok_or(Error)?;
            d.swap(i, j);
            if d[i][i] != 1 {
                let t = inv(w, d[i][i]);
                d.iter_mut().for_each(|r| r[i] = mul(w, t, r[i]));
            }
            for j in 0..k {
                let t = d[i][j];
                if j != i && t != 0 {
                    d.iter_mut().for_each(|r| r[j] ^= mul(w, t, r[i]));
                }
            }
        }
        for j in 0..k {
            let t = inv(w, d[k][j]);
            d[k..].iter_mut().for_each(|r| r[j] = mul(w, t, r[j]));
        }
        for row in d[k + 1..].iter_mut() {
            let t = inv(w, row[0]);
            row.iter_mut().for_each(|x| *x = mul(w, t, *x));
        }
        Ok(Codec {
            k,
            w,
            rows: d[k..].to_vec(),
        })
    }
    pub(super) fn coefficient(&self, row: usize, column: usize) -> u32 {
        self.rows[row][column]
    }
    pub(super) fn reconstruction(
        &self,
        lost: &[usize],
        sources: &[usize],
    ) -> Result<Reconstruction, Error> {
        let k = self.k;
        let mut a: Vec<Vec<u32>> = sources
            .iter()
            .map(|&s| {
                if s < k {
                    (0..k).map(|j| u32::from(j == s)).collect()
                } else {
                    self.rows[s - k].clone()
                }
            })
            .collect();
        let mut b: Vec<Vec<u32>> = (0..k)
            .map(|i| (0..k).map(|j| u32::from(i == j)).collect())
            .collect();
        for i in 0..k {
            let j = (i..k).find(|&j| a[j][i] != 0).ok_or(Error)?;
            a.swap(i, j);
            b.swap(i, j);
            let t = inv(self.w, a[i][i]);
            for m in [&mut a, &mut b] {
                m[i].iter_mut().for_each(|x| *x = mul(self.w, t, *x));
            }
            for r in 0..k {
                let t = a[r][i];
                if r != i && t != 0 {
                    for m in [&mut a, &mut b] {
                        let top = m[i].clone();
                        m[r].iter_mut()
                            .zip(top)
                            .for_each(|(x, y)| *x ^= mul(self.w, t, y));
                    }
                }
            }
        }
        Ok(Reconstruction(lost.iter().map(|&l| b[l].clone()).collect()))
    }
}
#[derive(Clone, Debug)]
pub(crate) struct Multiplier(WordSize, u32);
impl Multiplier {
    pub(super) fn new(w: WordSize, c: u32) -> Result<Self, Error> {
        Ok(Multiplier(w, c))
    }
    pub(crate) fn mul_add(&self, dst: &mut [u8], src: &[u8]) {
        let n = self.0.bytes();
        for (d, s) in dst.chunks_exact_mut(n).zip(src.chunks_exact(n)) {
            let mut word = [0; 4];
            word[..n].copy_from_slice(s);
            let p = mul(self.0, self.1, u32::from_le_bytes(word)).to_le_bytes();
            d.iter_mut().zip(p).for_each(|(d, p)| *d ^= p);
        }
    }
}
