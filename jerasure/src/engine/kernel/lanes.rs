//! Vectors of bytes, and the pieces shorter than one.

/// A vector.
///
/// # Safety of all functions
/// The machine has the vector's instruction set.
pub(in crate::engine) trait Lanes: Copy {
    /// Bytes of a vector.
    const BYTES: usize;

    /// `from` is readable for a vector, at any alignment.
    unsafe fn load(from: *const u8) -> Self;
    /// `to` is writable for a vector, at any alignment.
    unsafe fn store(self, to: *mut u8);
    unsafe fn zero() -> Self;
    unsafe fn xor(self, other: Self) -> Self;
    /// From words of two bytes to a plane of low and one of high bytes, in any order.
    unsafe fn planes2(words: [Self; 2]) -> [Self; 2];
    /// Undoes `planes2`.
    unsafe fn words2(planes: [Self; 2]) -> [Self; 2];
    /// From words of four bytes to a plane of each byte, lowest first, in any order.
    unsafe fn planes4(words: [Self; 4]) -> [Self; 4];
    /// Undoes `planes4`.
    unsafe fn words4(planes: [Self; 4]) -> [Self; 4];
}

/// A vector of 16 bytes: two halves of eight, the first at the lower address.
///
/// # Safety of all functions
/// The machine has the vector's instruction set.
pub(in crate::engine) trait Quarter: Lanes {
    unsafe fn from_halves(halves: [u64; 2]) -> Self;
    unsafe fn halves(self) -> [u64; 2];
}

/// [`Lanes::planes2`] or [`Lanes::planes4`], as P says.
///
/// # Safety
/// The machine has the vector's instruction set.
#[inline(always)]
pub(super) unsafe fn planes<V: Lanes, const P: usize>(mut v: [V; P]) -> [V; P] {
    // SAFETY: the caller vouches for the machine.
    unsafe {
        if P == 2 {
            [v[0], v[1]] = V::planes2([v[0], v[1]]);
        } else if P == 4 {
            [v[0], v[1], v[2], v[3]] = V::planes4([v[0], v[1], v[2], v[3]]);
        }
    }
    v
}

/// Undoes [`planes`].
///
/// # Safety
/// The machine has the vector's instruction set.
#[inline(always)]
pub(super) unsafe fn words<V: Lanes, const P: usize>(mut v: [V; P]) -> [V; P] {
    // SAFETY: the caller vouches for the machine.
    unsafe {
        if P == 2 {
            [v[0], v[1]] = V::words2([v[0], v[1]]);
        } else if P == 4 {
            [v[0], v[1], v[2], v[3]] = V::words4([v[0], v[1], v[2], v[3]]);
        }
    }
    v
}

/// P neighbouring vectors.
///
/// # Safety
/// The machine has the vector's instruction set; `from` is readable for P vectors.
#[inline(always)]
pub(super) unsafe fn load<V: Lanes, const P: usize>(from: *const u8) -> [V; P] {
    // SAFETY: the caller vouches for both.
    unsafe {
        let mut v = [V::zero(); P];
        for (i, v) in v.iter_mut().enumerate() {
            *v = V::load(from.add(i * V::BYTES));
        }
        v
    }
}

/// Stores P neighbouring vectors.
///
/// # Safety
/// The machine has the vector's instruction set; `to` is writable for P vectors.
#[inline(always)]
pub(super) unsafe fn store<V: Lanes, const P: usize>(v: [V; P], to: *mut u8) {
    // SAFETY: the caller vouches for both.
    unsafe {
        for (i, v) in v.into_iter().enumerate() {
            v.store(to.add(i * V::BYTES));
        }
    }
}

/// The first `bytes` of P vectors, the rest zero. Puts registers together: a detour over a buffer in memory would wait
/// for small stores to reach a large load.
///
/// # Safety
/// The machine has the vector's instruction set; `from` is readable for `bytes` bytes.
#[inline(always)]
pub(super) unsafe fn load_part<V: Quarter, const P: usize>(
    from: *const u8,
    bytes: usize,
) -> [V; P] {
    // SAFETY: the caller vouches for both; no piece reaches beyond `bytes`.
    unsafe {
        let mut v = [V::zero(); P];
        for (i, v) in v.iter_mut().enumerate() {
            if bytes > 16 * i {
                let (from, bytes) = (from.add(16 * i), bytes - 16 * i);
                *v = match bytes {
                    16.. => V::load(from),
                    _ => V::from_halves(read_part(from, bytes)),
                };
            }
        }
        v
    }
}

/// Stores the first `bytes` of P vectors.
///
/// # Safety
/// The machine has the vector's instruction set; `to` is writable for `bytes` bytes.
#[inline(always)]
pub(super) unsafe fn store_part<V: Quarter, const P: usize>(v: [V; P], to: *mut u8, bytes: usize) {
    // SAFETY: the caller vouches for both; no piece reaches beyond `bytes`.
    unsafe {
        for (i, v) in v.into_iter().enumerate() {
            if bytes > 16 * i {
                let (to, bytes) = (to.add(16 * i), bytes - 16 * i);
                match bytes {
                    16.. => v.store(to),
                    _ => write_part(v.halves(), to, bytes),
                }
            }
        }
    }
}

/// 1 to 15 bytes. Two reads overlap where one is too small.
///
/// # Safety
/// `from` is readable for `bytes` bytes.
#[inline(always)]
unsafe fn read_part(from: *const u8, bytes: usize) -> [u64; 2] {
    // SAFETY: each piece lies within `bytes`, and is read at any alignment.
    unsafe {
        let u64_at = |at| u64::from_le(from.add(at).cast::<u64>().read_unaligned());
        let u32_at = |at| u64::from(u32::from_le(from.add(at).cast::<u32>().read_unaligned()));
        let u16_at = |at| u64::from(u16::from_le(from.add(at).cast::<u16>().read_unaligned()));
        match bytes {
            9.. => [u64_at(0), u64_at(bytes - 8) >> (8 * (16 - bytes))],
            8 => [u64_at(0), 0],
            4.. => [u32_at(0) | u32_at(bytes - 4) << (8 * (bytes - 4)), 0],
            2.. => [u16_at(0) | u16_at(bytes - 2) << (8 * (bytes - 2)), 0],
            _ => [u64::from(from.read()), 0],
        }
    }
}

/// Undoes [`read_part`].
///
/// # Safety
/// `to` is writable for `bytes` bytes.
#[inline(always)]
unsafe fn write_part([low, high]: [u64; 2], to: *mut u8, bytes: usize) {
    // SAFETY: each piece lies within `bytes`, and is written at any alignment.
    unsafe {
        let put_u64 = |at, v: u64| to.add(at).cast::<u64>().write_unaligned(v.to_le());
        let put_u32 = |at, v: u64| to.add(at).cast::<u32>().write_unaligned((v as u32).to_le());
        let put_u16 = |at, v: u64| to.add(at).cast::<u16>().write_unaligned((v as u16).to_le());
        match bytes {
            9.. => {
                put_u64(0, low);
                put_u64(
                    bytes - 8,
                    low >> (8 * (bytes - 8)) | high << (8 * (16 - bytes)),
                );
            }
            8 => put_u64(0, low),
            4.. => {
                put_u32(0, low);
                put_u32(bytes - 4, low >> (8 * (bytes - 4)));
            }
            2.. => {
                put_u16(0, low);
                put_u16(bytes - 2, low >> (8 * (bytes - 2)));
            }
            _ => to.write(low as u8),
        }
    }
}
