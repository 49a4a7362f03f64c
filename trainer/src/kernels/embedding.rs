//! Rows of a table by number.

use candle_core::{Result, Tensor};

use super::operation::{Custom, Operation};
use super::real::Real;

/// The rows of `table (rows, width)` with these numbers, on the CPU: `(numbers, width)`. Numbers
/// are below the table's rows.
pub(crate) fn embedding(table: &Tensor, rows: Vec<u32>) -> Result<Tensor> {
    table.apply_op1(Custom(Rows { rows, width: table.dim(1)? }))
}

struct Rows {
    rows: Vec<u32>,
    width: usize,
}

impl Operation<1> for Rows {
    fn dims(&self, _: [&[usize]; 1]) -> Vec<usize> {
        vec![self.rows.len(), self.width]
    }

    fn forward<T: Real>(&self, [table]: [&[T]; 1]) -> Vec<T> {
        let mut y = Vec::with_capacity(self.rows.len() * self.width);
        self.rows
            .iter()
            .for_each(|row| y.extend_from_slice(&table[*row as usize * self.width..][..self.width]));
        y
    }

    fn backward<T: Real>(
        &self,
        [table]: [&[T]; 1],
        _y: &[T],
        gradient: &[T],
        _: [bool; 1],
    ) -> [Option<Vec<T>>; 1] {
        let mut of_table = vec![T::ZERO; table.len()];
        for (row, g) in self.rows.iter().zip(gradient.chunks_exact(self.width)) {
            of_table[*row as usize * self.width..][..self.width]
                .iter_mut()
                .zip(g)
                .for_each(|(of_table, g)| *of_table += *g);
        }
        [Some(of_table)]
    }
}
