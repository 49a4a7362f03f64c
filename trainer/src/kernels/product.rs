//! Products of matrices on one thread, with the same bits on every machine.
//!
//! Each number of a product is one chain of fused multiply-adds in the order of the inner index, begun anew every [`SUM_BLOCK`]. Tiles and vectors only decide
//! which chains run side by side, so neither the width of a machine's vectors nor its caches can change a bit.

use pulp::{Arch, Simd, WithSimd};

use super::real::Real;

/// How long a chain gets before it is added to the result: so much of a panel of `b` stays in the first-level cache.
const SUM_BLOCK: usize = 256;
/// Rows of a tile: with vectors of 256 bits its sums take 12 of 16 registers.
const TILE_ROWS: usize = 6;
/// Vectors beside each other in a row of a tile.
const TILE_VECTORS: usize = 2;

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
    fn strides(&self) -> (usize, usize) {
        if self.transposed { (1, self.rows) } else { (self.columns, 1) }
    }
}

/// Adds `a (m, k) · b (k, n)` to `out (m, n)`.
pub(crate) fn add_product<T: Real>(out: &mut [T], a: Matrix<T>, b: Matrix<T>) {
    assert_eq!(a.columns, b.rows, "the inner sizes of a product");
    assert_eq!(out.len(), a.rows * b.columns, "the size of a product");
    Arch::new().dispatch(AddProduct { out, a, b });
}

struct AddProduct<'a, T> {
    out: &'a mut [T],
    a: Matrix<'a, T>,
    b: Matrix<'a, T>,
}

impl<T: Real> WithSimd for AddProduct<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let AddProduct { out, a, b } = self;
        let tile_columns = TILE_VECTORS * lanes::<T, S>();
        let mut packed = Vec::new();
        for start in (0..a.columns).step_by(SUM_BLOCK) {
            let length = SUM_BLOCK.min(a.columns - start);
            for column in (0..b.columns).step_by(tile_columns) {
                let columns = tile_columns.min(b.columns - column);
                let panel = if b.transposed || columns < tile_columns {
                    pack(&mut packed, tile_columns, b, start, length, column, columns);
                    Panel { numbers: &packed, stride: tile_columns }
                } else {
                    Panel { numbers: &b.numbers[start * b.columns + column..], stride: b.columns }
                };
                let mut row = 0;
                while row < a.rows {
                    let out = Target { numbers: &mut out[row * b.columns + column..], stride: b.columns, columns };
                    let block = Block { a, row, start, length };
                    // The last rows are shared out evenly: a tile of one or two would wait for its own sums.
                    row += match a.rows - row {
                        1 => tile::<T, S, 1>(simd, out, block, panel),
                        2 => tile::<T, S, 2>(simd, out, block, panel),
                        3 => tile::<T, S, 3>(simd, out, block, panel),
                        4 | 7 | 8 => tile::<T, S, 4>(simd, out, block, panel),
                        5 | 9 | 10 => tile::<T, S, 5>(simd, out, block, panel),
                        _ => tile::<T, S, TILE_ROWS>(simd, out, block, panel),
                    };
                }
            }
        }
    }
}

/// Numbers in a vector.
const fn lanes<T: Real, S: Simd>() -> usize {
    size_of::<T::Vector<S>>() / size_of::<T>()
}

/// Rows of `b` as wide as a tile, `stride` apart.
#[derive(Clone, Copy)]
struct Panel<'a, T> {
    numbers: &'a [T],
    stride: usize,
}

/// The rows of `a` from `row` on, and of them `length` columns from `start`.
#[derive(Clone, Copy)]
struct Block<'a, T> {
    a: Matrix<'a, T>,
    row: usize,
    start: usize,
    length: usize,
}

/// Where a tile is added: the first `columns` of rows that are `stride` apart.
struct Target<'a, T> {
    numbers: &'a mut [T],
    stride: usize,
    columns: usize,
}

/// Copies a part of `b` into rows of `width`; what lies beyond its columns is 0.
#[inline(always)]
fn pack<T: Real>(packed: &mut Vec<T>, width: usize, b: Matrix<T>, start: usize, length: usize, column: usize, columns: usize) {
    let (b_row, b_column) = b.strides();
    packed.clear();
    packed.reserve(length * width);
    for row in start..start + length {
        let from = &b.numbers[row * b_row + column * b_column..];
        packed.extend(from.iter().step_by(b_column).take(columns));
        packed.extend(std::iter::repeat_n(T::ZERO, width - columns));
    }
}

/// Adds the products of `M` rows with a panel to their target. Returns `M`.
#[inline(always)]
fn tile<T: Real, S: Simd, const M: usize>(simd: S, out: Target<T>, block: Block<T>, panel: Panel<T>) -> usize {
    let Block { a, row, start, length } = block;
    let (a_row, a_column) = a.strides();
    let a = &a.numbers[row * a_row + start * a_column..];
    let width = TILE_VECTORS * lanes::<T, S>();
    assert!((M - 1) * a_row + (length - 1) * a_column < a.len() && (length - 1) * panel.stride + width <= panel.numbers.len());
    let mut sums = [[T::splat(simd, T::ZERO); TILE_VECTORS]; M];
    for at in 0..length {
        // SAFETY: `at < length` and `i < M`, for which the line before the loop proves that all places are inside; a vector is so many plain numbers.
        unsafe {
            let b: [T::Vector<S>; TILE_VECTORS] =
                panel.numbers.as_ptr().add(at * panel.stride).cast::<[T::Vector<S>; TILE_VECTORS]>().read_unaligned();
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = T::splat(simd, *a.get_unchecked(i * a_row + at * a_column));
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = T::mul_add(simd, a, b, *sum);
                }
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        let numbers = &mut out.numbers[i * out.stride..];
        // SAFETY: a vector is so many plain numbers.
        let sums = unsafe { std::slice::from_raw_parts(sums.as_ptr().cast::<T>(), width) };
        // A width that the compiler knows makes one vector of it.
        let numbers = if out.columns == width { &mut numbers[..width] } else { &mut numbers[..out.columns] };
        numbers.iter_mut().zip(sums).for_each(|(out, sum)| *out += *sum);
    }
    M
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_of_vectors_changes_no_bit() {
        let number = |i: usize| ((i * 7919) % 1009) as f32 / 1009.0 - 0.5;
        for (m, k, n) in [(1, 300, 1), (7, 700, 33), (32, 784, 10)] {
            let a: Vec<f32> = (0..m * k).map(number).collect();
            let b: Vec<f32> = (0..k * n).map(|i| number(i + 5)).collect();
            let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, n, k).t());
            let (mut wide, mut narrow) = (vec![0.0; m * n], vec![0.0; m * n]);
            add_product(&mut wide, a, b);
            AddProduct { out: &mut narrow, a, b }.with_simd(pulp::Scalar::new());
            assert_eq!(wide, narrow, "{m} {k} {n}");
        }
    }

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
