//! Products of matrices: the `gemm` crate, which is what candle itself uses, on one thread and with a blocking of our own.

use gemm::Parallelism;

use super::real::Real;

/// The longest sum taken in one go. The `gemm` crate would cut long sums where the machine's caches tell it to, and so round differently on each
/// machine; sums up to 512 it never cuts.
const SUM_BLOCK: usize = 512;

/// A view of numbers as a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a, T> {
    numbers: &'a [T],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a, T> Matrix<'a, T> {
    /// `(rows, columns)`, row by row; there must be as many numbers.
    pub(crate) fn new(numbers: &'a [T], rows: usize, columns: usize) -> Matrix<'a, T> {
        assert_eq!(numbers.len(), rows * columns, "a matrix of {rows} by {columns}");
        Matrix { numbers, rows, columns, transposed: false }
    }

    /// Its transpose, `(columns, rows)`.
    pub(crate) fn t(self) -> Matrix<'a, T> {
        Matrix { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }

    /// How many rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The steps from one row, and from one column, to the next.
    fn strides(&self) -> (isize, isize) {
        if self.transposed { (1, self.rows as isize) } else { (self.columns as isize, 1) }
    }
}

/// Adds `a (m, k) · b (k, n)` to `out (m, n)`.
pub(crate) fn add_product<T: Real>(out: &mut [T], a: Matrix<T>, b: Matrix<T>) {
    assert_eq!(a.columns, b.rows, "the inner sizes of a product");
    assert_eq!(out.len(), a.rows * b.columns, "the size of a product");
    let ((a_row, a_column), (b_row, b_column)) = (a.strides(), b.strides());
    for start in (0..a.columns).step_by(SUM_BLOCK) {
        let length = SUM_BLOCK.min(a.columns - start);
        // SAFETY: the sizes were checked above and in `Matrix::new`, so every place that strides and sizes reach lies inside the slices;
        // `out` is borrowed alone and overlaps neither.
        unsafe {
            gemm::gemm(
                a.rows,
                b.columns,
                length,
                out.as_mut_ptr(),
                1,
                b.columns as isize,
                true,
                a.numbers.as_ptr().offset(start as isize * a_column),
                a_column,
                a_row,
                b.numbers.as_ptr().offset(start as isize * b_row),
                b_column,
                b_row,
                T::ONE,
                T::ONE,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_the_sum_of_products_for_all_orders_and_sizes() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (1, 1030, 7), (33, 513, 10), (64, 17, 1)] {
            let a: Vec<f64> = (0..m * k).map(|i| (i % 13) as f64 - 6.0).collect();
            let b: Vec<f64> = (0..k * n).map(|i| (i % 7) as f64 - 3.0).collect();
            let at: Vec<f64> = (0..k * m).map(|i| a[(i % m) * k + i / m]).collect();
            let bt: Vec<f64> = (0..n * k).map(|i| b[(i % k) * n + i / k]).collect();
            let expected: Vec<f64> = (0..m * n).map(|i| 1.0 + (0..k).map(|j| a[i / n * k + j] * b[j * n + i % n]).sum::<f64>()).collect();
            for (a, b) in [
                (Matrix::new(&a, m, k), Matrix::new(&b, k, n)),
                (Matrix::new(&at, k, m).t(), Matrix::new(&b, k, n)),
                (Matrix::new(&a, m, k), Matrix::new(&bt, n, k).t()),
            ] {
                let mut out = vec![1.0; m * n];
                add_product(&mut out, a, b);
                assert_eq!(out, expected, "{m} {k} {n}");
            }
        }
    }
}
