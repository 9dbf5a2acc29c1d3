//! Allocations whose size a caller chooses: refused rather than fatal.

use crate::Error;

/// A list of `len` items.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(crate) fn list<T>(len: usize, items: impl Iterator<Item = T>) -> Result<Vec<T>, Error> {
    let mut list = Vec::new();
    reserve(&mut list, len)?;
    list.extend(items.take(len));
    Ok(list)
}

/// A list of `len` zeros.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(crate) fn zeros<T: Clone + Default>(len: usize) -> Result<Vec<T>, Error> {
    let mut list = Vec::new();
    reserve(&mut list, len)?;
    list.resize(len, T::default());
    Ok(list)
}

/// Room for `len` items in an empty list.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub(crate) fn reserve<T>(list: &mut Vec<T>, len: usize) -> Result<(), Error> {
    list.try_reserve_exact(len).map_err(|_| Error::OutOfMemory {
        bytes: len.saturating_mul(size_of::<T>()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_allocated_is_refused() {
        let bytes = usize::MAX;
        assert_eq!(zeros::<u64>(usize::MAX), Err(Error::OutOfMemory { bytes }));
        assert_eq!(zeros::<u8>(usize::MAX), Err(Error::OutOfMemory { bytes }));
        assert_eq!(
            list(usize::MAX / 4, std::iter::empty::<u64>()),
            Err(Error::OutOfMemory { bytes })
        );
        assert_eq!(list(2, 5..), Ok(vec![5, 6]));
    }
}
