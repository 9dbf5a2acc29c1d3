//! Lost shards of codes on words as equations over GF(2^w).

use crate::matrix::{Span, survivors};
use crate::{Error, Matrix};

/// Of all survivors' equations for the erased data shards, the first that are independent; with them the surviving
/// data shards, and whatever other survivors make k.
pub(super) fn choose_sources(
    matrix: &Matrix,
    erased: &[usize],
    wanted: &[usize],
) -> Result<Vec<usize>, Error> {
    let (k, m) = (matrix.cols(), matrix.rows());
    let survivors = survivors(k, m, erased)?;
    let mut unknown: Vec<usize> = erased.iter().copied().filter(|&s| s < k).collect();
    unknown.sort_unstable();
    let (mut sources, coding): (Vec<usize>, Vec<usize>) = survivors.iter().partition(|&&s| s < k);

    let mut span = span(matrix, &unknown, coding.len());
    let mut spare = Vec::new();
    for shard in coding {
        if span.rank() < unknown.len() && span.add(&part(matrix.row(shard - k), &unknown)) {
            sources.push(shard);
        } else {
            spare.push(shard);
        }
    }
    for &shard in wanted {
        let target = part(&row(matrix, shard), &unknown);
        span.express(&target).ok_or(Error::Singular)?;
    }
    let missing = k - sources.len();
    sources.extend(spare.into_iter().take(missing));
    sources.sort_unstable();
    Ok(sources)
}

/// For equations in the unknown data shards.
pub(super) fn span(matrix: &Matrix, unknown: &[usize], equations: usize) -> Span {
    Span::new(matrix.word_size(), unknown.len(), equations)
}

/// The elements of a row for these data shards.
pub(super) fn part(row: &[u32], shards: &[usize]) -> Vec<u32> {
    shards.iter().map(|&shard| row[shard]).collect()
}

/// What a shard is of the data shards.
pub(super) fn row(matrix: &Matrix, shard: usize) -> Vec<u32> {
    let k = matrix.cols();
    if shard >= k {
        return matrix.row(shard - k).to_vec();
    }
    let mut unit = vec![0; k];
    unit[shard] = 1;
    unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reconstruction, WordSize};

    fn subsets(shards: usize, most: usize) -> impl Iterator<Item = Vec<usize>> {
        (0_u32..1 << shards)
            .filter(move |set| set.count_ones() as usize <= most)
            .map(move |set| (0..shards).filter(|i| set >> i & 1 == 1).collect())
    }

    #[test]
    fn of_a_code_that_recovers_everything_the_first_survivors_are_chosen() {
        let matrix = Matrix::reed_sol_van(4, 3, WordSize::W8).unwrap();
        for erased in subsets(7, 3) {
            let first: Vec<usize> = (0..7).filter(|s| !erased.contains(s)).take(4).collect();
            assert_eq!(choose_sources(&matrix, &erased, &erased), Ok(first));
        }
    }

    /// Two parities, each of two of the four data shards, and one of all: 0 and 1, or 2 and 3, need the last one.
    fn local_parities() -> Matrix {
        let rows = [1, 1, 0, 0, 0, 0, 1, 1, 1, 2, 3, 4];
        Matrix::new(WordSize::W8, 3, 4, rows).unwrap()
    }

    #[test]
    fn later_survivors_are_chosen_where_the_first_ones_do_not_do() {
        let matrix = local_parities();
        assert_eq!(choose_sources(&matrix, &[0], &[0]), Ok(vec![1, 2, 3, 4]));
        // The parity of 0 and 1 says nothing of 2.
        assert_eq!(choose_sources(&matrix, &[2], &[2]), Ok(vec![0, 1, 3, 5]));
        assert_eq!(
            choose_sources(&matrix, &[0, 1], &[0, 1]),
            Ok(vec![2, 3, 4, 6])
        );
        assert_eq!(
            choose_sources(&matrix, &[2, 3], &[2, 3]),
            Ok(vec![0, 1, 5, 6])
        );
        assert_eq!(
            choose_sources(&matrix, &[2, 6], &[2, 6]),
            Ok(vec![0, 1, 3, 5])
        );
    }

    #[test]
    fn what_is_determined_is_recovered_even_if_other_shards_are_not() {
        let matrix = local_parities();
        // Of 2 and 3, only the lost parity's sum is left, and 0 comes back on its own.
        let erased = [0, 2, 6];
        assert_eq!(
            choose_sources(&matrix, &erased, &erased),
            Ok(vec![1, 3, 4, 5])
        );
        let erased = [2, 3, 6];
        assert_eq!(choose_sources(&matrix, &erased, &[2]), Err(Error::Singular));
        assert_eq!(choose_sources(&matrix, &erased, &[6]), Err(Error::Singular));
        let erased = [0, 1, 6];
        assert_eq!(choose_sources(&matrix, &erased, &[6]), Err(Error::Singular));
        let sum = Matrix::new(WordSize::W8, 3, 2, [1, 1, 2, 2, 3, 3]).unwrap();
        // All codes are multiples of the sum: it comes back, the data do not.
        let sources = choose_sources(&sum, &[0, 1, 3], &[3]).unwrap();
        assert_eq!(sources, [2, 4]);
        let plan = Reconstruction::new(&sum, &[3], &sources).unwrap();
        assert_eq!(plan.row(0), [2, 0]);
        assert_eq!(choose_sources(&sum, &[0, 1, 3], &[0]), Err(Error::Singular));
    }

    #[test]
    fn every_recoverable_set_of_losses_of_a_poor_code_is_recovered() {
        let matrix = local_parities();
        let (k, m) = (4, 3);
        let w = WordSize::W8;
        let mut recovered = 0;
        for erased in subsets(k + m, m) {
            let Ok(sources) = choose_sources(&matrix, &erased, &erased) else {
                continue;
            };
            recovered += 1;
            assert_eq!(sources.len(), k);
            let plan = Reconstruction::new(&matrix, &erased, &sources).unwrap();
            // The combination of the sources' rows is the lost shard's row.
            for (position, &lost) in erased.iter().enumerate() {
                let factors = Matrix::new(w, 1, k, plan.row(position)).unwrap();
                let rows: Vec<u32> = sources.iter().flat_map(|&s| row(&matrix, s)).collect();
                let rows = Matrix::new(w, k, k, rows).unwrap();
                let sum = factors.multiply(&rows).unwrap();
                assert_eq!(sum.as_slice(), row(&matrix, lost), "lost {erased:?}");
            }
        }
        // Not three of 0, 1, their parity and the last shard, and not three of 2, 3, theirs and the last.
        assert_eq!(recovered, 64 - 8);
    }
}
