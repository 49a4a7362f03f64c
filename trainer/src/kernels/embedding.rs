//! Rows of a table by number.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};

use super::gradients::hand_over;
use super::{slice, tensor_like, values, with_real};

/// The rows of `table (rows, width)` with these numbers, on the CPU: `(numbers, width)`. Numbers are below the table's rows.
pub(crate) fn embedding(table: &Tensor, rows: Vec<u32>) -> Result<Tensor> {
    table.apply_op1(Rows(rows))
}

struct Rows(Vec<u32>);

impl CustomOp1 for Rows {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        with_real!(table, T => {
            let table = slice::<T>(table, layout)?;
            let mut y = Vec::with_capacity(self.0.len() * width);
            self.0.iter().for_each(|row| y.extend_from_slice(&table[*row as usize * width..][..width]));
            Ok((T::to_cpu_storage_owned(y), Shape::from((self.0.len(), width))))
        })
    }

    fn bwd(&self, table: &Tensor, _y: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (_, width) = table.dims2()?;
        let gradient = gradient.contiguous()?;
        let g = gradient.storage_and_layout();
        with_real!(table, T => {
            let mut of_table = vec![<T as super::real::Real>::ZERO; table.elem_count()];
            for (row, g) in self.0.iter().zip(values::<T>(&g)?.chunks_exact(width)) {
                of_table[*row as usize * width..][..width].iter_mut().zip(g).for_each(|(of_table, g)| *of_table += *g);
            }
            Ok(hand_over(table, tensor_like(of_table, table)?))
        })
    }
}
