//! Brings the pages of a lost primary back from the survivors' (the recovery of the paper's section 6, Figure 4).
//!
//! A lost primary is a sum over its sources: each surviving primary and each chosen fused structure, times a
//! coefficient. Each page of each source is multiplied once and may come in any order.

use crate::change::{MalformedChange, add_to_pages};
use crate::code::{Code, CodeError, add_product};
use crate::id::{PrimaryIndex, Row};
use crate::page::{PageError, PageId, PageTable};
use jerasure::Multiplier;
use std::collections::BTreeMap;
use thiserror::Error;

/// The image of one lost primary while it is being summed up.
#[derive(Debug)]
pub struct Decoder {
    code: Code,
    /// By primary; `None` for the lost ones.
    survivors: Vec<Option<Multiplier>>,
    chosen: BTreeMap<Row, Chosen>,
    undo: BTreeMap<(Row, PrimaryIndex), Multiplier>,
    image: PageTable,
}

#[derive(Debug)]
struct Chosen {
    coefficient: u32,
    multiplier: Multiplier,
}

/// Why something cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not as many rows as lost primaries.
    #[error("{lost} primaries are lost and {rows} rows were chosen; choose as many")]
    WrongCount {
        /// The number of lost primaries.
        lost: usize,
        /// The number of rows.
        rows: usize,
    },
    /// A primary is named twice as lost.
    #[error("primary {0} is named twice")]
    RepeatedPrimary(PrimaryIndex),
    /// A row is chosen twice.
    #[error("row {0} is chosen twice")]
    RepeatedRow(Row),
    /// The primary to decode is not among the lost ones.
    #[error("primary {0} is not lost")]
    NotLost(PrimaryIndex),
    /// A page or change of a primary that is lost.
    #[error("primary {0} is lost and cannot be a source")]
    NotASurvivor(PrimaryIndex),
    /// A page or change of a row that was not chosen.
    #[error("row {0} was not chosen")]
    NotChosen(Row),
    /// No such primary or row, or the code cannot be solved.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// The page is not one.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The change is not one.
    #[error(transparent)]
    Change(#[from] MalformedChange),
}

impl Decoder {
    /// Begins decoding `target` when exactly the primaries `lost` are lost, from the other primaries and the fused
    /// structures `rows`, of which as many are chosen as primaries are lost.
    ///
    /// # Errors
    /// [`DecodeError`] if the choice does not fit the code or the losses.
    pub fn new(
        code: &Code,
        lost: &[PrimaryIndex],
        rows: &[Row],
        target: PrimaryIndex,
    ) -> Result<Decoder, DecodeError> {
        for (at, &primary) in lost.iter().enumerate() {
            code.check_primary(primary)?;
            if lost[..at].contains(&primary) {
                return Err(DecodeError::RepeatedPrimary(primary));
            }
        }
        for (at, &row) in rows.iter().enumerate() {
            code.check_row(row)?;
            if rows[..at].contains(&row) {
                return Err(DecodeError::RepeatedRow(row));
            }
        }
        if !lost.contains(&target) {
            return Err(DecodeError::NotLost(target));
        }
        if lost.len() != rows.len() {
            return Err(DecodeError::WrongCount {
                lost: lost.len(),
                rows: rows.len(),
            });
        }
        let mut coefficients = code.reconstruction(lost, rows, target)?.into_iter();
        let mut next = || coefficients.next().expect("there is one for each source");
        let survivors = (0..code.primaries() as u16)
            .map(|primary| match lost.contains(&PrimaryIndex(primary)) {
                true => Ok(None),
                false => code.prepare(next()).map(Some),
            })
            .collect::<Result<_, _>>()?;
        let chosen = rows
            .iter()
            .map(|&row| {
                let coefficient = next();
                Ok((
                    row,
                    Chosen {
                        coefficient,
                        multiplier: code.prepare(coefficient)?,
                    },
                ))
            })
            .collect::<Result<_, CodeError>>()?;
        Ok(Decoder {
            code: code.clone(),
            survivors,
            chosen,
            undo: BTreeMap::new(),
            image: PageTable::new(),
        })
    }

    /// Adds a page of the snapshot of a chosen fused structure; each exactly once.
    ///
    /// # Errors
    /// [`DecodeError`] if the row was not chosen or the page is none; nothing has changed then.
    pub fn add_fused_page(
        &mut self,
        row: Row,
        id: PageId,
        bytes: &[u8],
    ) -> Result<(), DecodeError> {
        let chosen = self.chosen.get(&row).ok_or(DecodeError::NotChosen(row))?;
        id.check(bytes.len())?;
        add_product(&chosen.multiplier, self.image.get_mut(id), bytes);
        Ok(())
    }

    /// Adds a page of the snapshot of a surviving primary; each exactly once.
    ///
    /// # Errors
    /// [`DecodeError`] if the primary is no survivor or the page is none; nothing has changed then.
    pub fn add_primary_page(
        &mut self,
        primary: PrimaryIndex,
        id: PageId,
        bytes: &[u8],
    ) -> Result<(), DecodeError> {
        self.code.check_primary(primary)?;
        let survivor = self.survivors[primary.index()].as_ref();
        let multiplier = survivor.ok_or(DecodeError::NotASurvivor(primary))?;
        id.check(bytes.len())?;
        add_product(multiplier, self.image.get_mut(id), bytes);
        Ok(())
    }

    /// Evens out a change of a survivor that is in its pages but not yet in the snapshot of fused structure `row`
    /// (rule 32): as if the fused structure had applied it before its snapshot.
    ///
    /// # Errors
    /// [`DecodeError`] if the primary is no survivor, the row was not chosen, or the change is malformed; nothing has
    /// changed then.
    pub fn undo_change(
        &mut self,
        primary: PrimaryIndex,
        row: Row,
        change: &[u8],
    ) -> Result<(), DecodeError> {
        self.code.check_primary(primary)?;
        if self.survivors[primary.index()].is_none() {
            return Err(DecodeError::NotASurvivor(primary));
        }
        let chosen = self.chosen.get(&row).ok_or(DecodeError::NotChosen(row))?;
        if !self.undo.contains_key(&(row, primary)) {
            let coefficient = self.code.coefficient(row, primary)?;
            let both = self.code.product(chosen.coefficient, coefficient)?;
            self.undo.insert((row, primary), self.code.prepare(both)?);
        }
        let multiplier = &self.undo[&(row, primary)];
        add_to_pages(&mut self.image, change, |page, bytes| {
            add_product(multiplier, page, bytes);
        })?;
        Ok(())
    }

    /// The pages of the lost primary, when all has been added. Pages that are zero, because only other members have
    /// them, are dropped.
    #[must_use]
    pub fn finish(self) -> PageTable {
        let mut image = self.image;
        image.drop_zeros();
        image
    }
}
