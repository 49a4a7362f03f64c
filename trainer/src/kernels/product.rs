//! Products of matrices on one thread, with the same bits on every machine.
//!
//! Each number of a product is one chain of fused multiply-adds in the order of the inner index,
//! restarted every [`SUM_BLOCK`]. Tiles and vectors only decide which chains run side by side, so
//! neither the width of a machine's vectors nor its caches can change a bit.

use pulp::{Simd, WithSimd};

use super::real::Real;
use super::vectorised::arch;

/// The length of a chain before it is added to the result: this much of a panel of `b` stays in the
/// first-level cache.
const SUM_BLOCK: usize = 256;
/// Vectors beside each other in a row of a tile; one where `b` is no wider.
const TILE_VECTORS: usize = 2;
/// Rows of a tile: with two vectors each, its sums take 12 of 16 registers.
const TILE_ROWS: usize = 6;
/// Rows of a tile on machines with 32 registers.
const TALL_TILE_ROWS: usize = 12;

/// Least number of columns of a right side that is laid out once for many products. A narrower one
/// would take as much memory as this, many times its size: each product lays it out for itself, a
/// part at a time.
const PACKED_COLUMNS_MIN: usize = 16;

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
    // SAFETY: the numbers of `out` are there, and as many as the product has.
    arch().dispatch(Product { out: out.as_mut_ptr(), base: Base::There, a, b: Right::Matrix(b) });
}

/// `a (m, k) · b (k, n)`: the numbers that [`add_product`] adds to zeros, without the zeros. `k` is
/// at least 1.
pub(crate) fn product<T: Real>(a: Matrix<T>, b: Matrix<T>) -> Vec<T> {
    assert_eq!(a.columns, b.rows, "the inner sizes of a product");
    assert!(a.columns > 0, "a product of nothing");
    let count = a.rows * b.columns;
    let mut out = Vec::with_capacity(count);
    arch().dispatch(Product { out: out.as_mut_ptr(), base: Base::Nothing, a, b: Right::Matrix(b) });
    // SAFETY: the capacity is there, and the first block of the inner index writes every number of
    // it.
    unsafe { out.set_len(count) };
    out
}

/// Makes `out (m, n)` `bias + a (m, k) · b (k, n)`: the numbers that [`add_product`] adds to rows
/// of `bias (n)`, without those rows.
pub(crate) fn product_onto<T: Real>(out: &mut [T], bias: &[T], a: Matrix<T>, b: Right<T>) {
    assert_eq!(a.columns, b.rows(), "the inner sizes of a product");
    assert_eq!((out.len(), bias.len()), (a.rows * b.columns(), b.columns()), "the size of a product");
    assert!(a.columns > 0, "a product of nothing");
    arch().dispatch(Product { out: out.as_mut_ptr(), base: Base::Row(bias), a, b });
}

/// Adds `a (m, k) · b (k, n)` to `out (m, n)`, the same numbers as [`add_product`]: for a `b` that
/// many products share.
pub(crate) fn add_product_with<T: Real>(out: &mut [T], a: Matrix<T>, b: &Packed<T>) {
    assert_eq!(a.columns, b.rows, "the inner sizes of a product");
    assert_eq!(out.len(), a.rows * b.columns, "the size of a product");
    arch().dispatch(Product { out: out.as_mut_ptr(), base: Base::There, a, b: Right::Packed(b) });
}

/// A right side of products, laid out as they read it.
pub(crate) struct Packed<T> {
    /// Panel after panel of a block of the inner index, block after block.
    numbers: Vec<T>,
    rows: usize,
    columns: usize,
    /// Numbers in a row of a panel.
    width: usize,
}

impl<T: Real> Packed<T> {
    /// `b`, laid out for this machine's vectors.
    pub(crate) fn new(b: Matrix<T>) -> Packed<T> {
        arch().dispatch(Pack(b))
    }

    /// As [`Packed::new`], where `b` is wide enough for it.
    pub(crate) fn unless_narrow(b: Matrix<T>) -> Option<Packed<T>> {
        (b.columns >= PACKED_COLUMNS_MIN).then(|| Packed::new(b))
    }
}

struct Pack<'a, T>(Matrix<'a, T>);

impl<T: Real> WithSimd for Pack<'_, T> {
    type Output = Packed<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Packed<T> {
        let Pack(b) = self;
        let width = vectors::<T, S>(b.columns) * lanes::<T, S>();
        let mut numbers = Vec::with_capacity(b.rows * b.columns.next_multiple_of(width));
        let mut packed = Vec::new();
        for start in (0..b.rows).step_by(SUM_BLOCK) {
            let length = SUM_BLOCK.min(b.rows - start);
            for column in (0..b.columns).step_by(width) {
                pack(&mut packed, width, b, start, length, column, width.min(b.columns - column));
                numbers.extend_from_slice(&packed);
            }
        }
        Packed { numbers, rows: b.rows, columns: b.columns, width }
    }
}

/// The right side of a product.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a, T> {
    /// As it lies in memory.
    Matrix(Matrix<'a, T>),
    /// Laid out before.
    Packed(&'a Packed<T>),
}

impl<'a, T> Right<'a, T> {
    /// `b`, as it was laid out, if it was.
    pub(crate) fn of(b: Matrix<'a, T>, packed: Option<&'a Packed<T>>) -> Right<'a, T> {
        packed.map_or(Right::Matrix(b), Right::Packed)
    }

    fn rows(&self) -> usize {
        match self {
            Right::Matrix(b) => b.rows,
            Right::Packed(b) => b.rows,
        }
    }

    fn columns(&self) -> usize {
        match self {
            Right::Matrix(b) => b.columns,
            Right::Packed(b) => b.columns,
        }
    }
}

/// The numbers that a product is added to.
#[derive(Clone, Copy)]
enum Base<'a, T> {
    /// None: the target is overwritten.
    Nothing,
    /// Those of the target.
    There,
    /// This row, in each row.
    Row(&'a [T]),
}

/// A product as it is dispatched: `out` has room for `a.rows * b.columns` numbers, which are
/// initialised if the product is added to them.
struct Product<'a, T> {
    out: *mut T,
    base: Base<'a, T>,
    a: Matrix<'a, T>,
    b: Right<'a, T>,
}

impl<T: Real> WithSimd for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match vectors::<T, S>(self.b.columns()) {
            1 => self.with_tiles::<S, 1>(simd),
            _ => self.with_tiles::<S, TILE_VECTORS>(simd),
        }
    }
}

impl<T: Real> Product<'_, T> {
    /// With tiles of `V` vectors beside each other.
    #[inline(always)]
    fn with_tiles<S: Simd, const V: usize>(self, simd: S) {
        let all = self.b.columns();
        let Product { out, base, a, b } = self;
        let width = V * lanes::<T, S>();
        let rows_max = if S::REGISTER_COUNT < 32 { TILE_ROWS } else { TALL_TILE_ROWS };
        let mut packed = Vec::new();
        for start in (0..a.columns).step_by(SUM_BLOCK) {
            let length = SUM_BLOCK.min(a.columns - start);
            for column in (0..all).step_by(width) {
                let columns = width.min(all - column);
                // After the first block of the inner index there is something to add to.
                let part = match base {
                    _ if start > 0 => Base::There,
                    Base::Row(row) => Base::Row(&row[column..column + columns]),
                    other => other,
                };
                let tiles = a.rows.div_ceil(rows_max);
                let mut panel = match b {
                    Right::Packed(b) => {
                        assert_eq!(b.width, width, "packed for these vectors");
                        let at = start * all.next_multiple_of(width) + column * length;
                        Panel { numbers: &b.numbers[at..at + length * width], stride: width, copy: None }
                    }
                    Right::Matrix(b) if b.transposed || columns < width => {
                        pack(&mut packed, width, b, start, length, column, columns);
                        Panel { numbers: &packed, stride: width, copy: None }
                    }
                    Right::Matrix(b) => {
                        let copy = (tiles > 1).then(|| {
                            packed.resize(length * width, T::ZERO);
                            packed.as_mut_ptr()
                        });
                        Panel { numbers: &b.numbers[start * b.columns + column..], stride: b.columns, copy }
                    }
                };
                // Rows are shared out evenly: a last tile of one or two would wait for its own
                // sums.
                for tile in 0..tiles {
                    let (row, end) = (a.rows * tile / tiles, a.rows * (tile + 1) / tiles);
                    // SAFETY: `row` and `column` lie inside of the product.
                    let numbers = unsafe { out.add(row * all + column) };
                    let out = Target { numbers, stride: all, columns, base: part };
                    let block = Block { a, row, start, length };
                    match end - row {
                        1 => add_tile::<T, S, 1, V>(simd, out, block, panel),
                        2 => add_tile::<T, S, 2, V>(simd, out, block, panel),
                        3 => add_tile::<T, S, 3, V>(simd, out, block, panel),
                        4 => add_tile::<T, S, 4, V>(simd, out, block, panel),
                        5 => add_tile::<T, S, 5, V>(simd, out, block, panel),
                        6 => add_tile::<T, S, 6, V>(simd, out, block, panel),
                        7 => add_tile::<T, S, 7, V>(simd, out, block, panel),
                        8 => add_tile::<T, S, 8, V>(simd, out, block, panel),
                        9 => add_tile::<T, S, 9, V>(simd, out, block, panel),
                        10 => add_tile::<T, S, 10, V>(simd, out, block, panel),
                        11 => add_tile::<T, S, 11, V>(simd, out, block, panel),
                        _ => add_tile::<T, S, TALL_TILE_ROWS, V>(simd, out, block, panel),
                    }
                    if panel.copy.is_some() {
                        panel = Panel { numbers: &packed, stride: width, copy: None };
                    }
                }
            }
        }
    }
}

/// Vectors beside each other in the tiles of a product with this many columns.
const fn vectors<T: Real, S: Simd>(columns: usize) -> usize {
    if columns <= lanes::<T, S>() { 1 } else { TILE_VECTORS }
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
    /// Room for its rows without the gaps: the first tile copies them there for the others, while it
    /// waits for its sums.
    copy: Option<*mut T>,
}

/// The rows of `a` from `row` on, and of them `length` columns from `start`.
#[derive(Clone, Copy)]
struct Block<'a, T> {
    a: Matrix<'a, T>,
    row: usize,
    start: usize,
    length: usize,
}

/// The target of a tile: the first `columns` of rows that are `stride` apart.
struct Target<'a, T> {
    numbers: *mut T,
    stride: usize,
    columns: usize,
    base: Base<'a, T>,
}

/// Copies a part of `b` into rows of `width`; what lies beyond its columns is 0.
#[inline(always)]
fn pack<T: Real>(
    packed: &mut Vec<T>,
    width: usize,
    b: Matrix<T>,
    start: usize,
    length: usize,
    column: usize,
    columns: usize,
) {
    let (b_row, b_column) = b.strides();
    packed.resize(length * width, T::ZERO);
    if columns < width {
        packed.fill(T::ZERO);
    }
    if b_column == 1 {
        for (row, to) in packed.chunks_exact_mut(width).enumerate() {
            let from = &b.numbers[(start + row) * b_row + column..][..columns];
            if columns == width {
                to.copy_from_slice(from);
            } else {
                to[..columns].copy_from_slice(from);
            }
        }
    } else {
        let column_of = |at: usize| &b.numbers[(column + at) * b_column + start..][..length];
        let mut at = 0;
        // Four columns at a time, so that four numbers lie side by side in the panel.
        while at + 4 <= columns {
            let [p, q, r, s] = [column_of(at), column_of(at + 1), column_of(at + 2), column_of(at + 3)];
            for (row, to) in packed.chunks_exact_mut(width).enumerate() {
                to[at..at + 4].copy_from_slice(&[p[row], q[row], r[row], s[row]]);
            }
            at += 4;
        }
        for at in at..columns {
            packed[at..].iter_mut().step_by(width).zip(column_of(at)).for_each(|(to, from)| *to = *from);
        }
    }
}

/// Adds the products of `M` rows with a panel of `V` vectors to their target.
#[inline(always)]
fn add_tile<T: Real, S: Simd, const M: usize, const V: usize>(
    simd: S,
    out: Target<T>,
    block: Block<T>,
    panel: Panel<T>,
) {
    let Block { a, row, start, length } = block;
    let (a_row, a_column) = a.strides();
    let a = &a.numbers[row * a_row + start * a_column..];
    let width = V * lanes::<T, S>();
    assert!(
        (M - 1) * a_row + (length - 1) * a_column < a.len()
            && (length - 1) * panel.stride + width <= panel.numbers.len()
    );
    let mut sums = [[T::splat(simd, T::ZERO); V]; M];
    for at in 0..length {
        // SAFETY: `at < length` and `i < M`, for which the assertion before the loop proves that all
        // places are inside; a vector is an array of plain numbers. A copy has room for `length` rows
        // of `width`, and nothing else uses it meanwhile.
        unsafe {
            let from = panel.numbers.as_ptr().add(at * panel.stride).cast::<T::Vector<S>>();
            let b: [T::Vector<S>; V] = std::array::from_fn(|v| from.add(v).read_unaligned());
            if let Some(copy) = panel.copy {
                let to = copy.add(at * width).cast::<T::Vector<S>>();
                (0..V).for_each(|v| to.add(v).write_unaligned(b[v]));
            }
            #[allow(
                clippy::needless_range_loop,
                reason = "iterators over both arrays are not unrolled, and the sums then lie in memory"
            )]
            for i in 0..M {
                let a = T::splat(simd, *a.get_unchecked(i * a_row + at * a_column));
                for v in 0..V {
                    sums[i][v] = T::mul_add(simd, a, b[v], sums[i][v]);
                }
            }
        }
    }
    // The rows that the sums are added to, and their distance.
    let base = match out.base {
        Base::Nothing => None,
        Base::There => Some((out.numbers.cast_const(), out.stride)),
        Base::Row(row) => Some((row.as_ptr(), 0)),
    };
    let vector = |numbers: *const T, v: usize| numbers.cast::<T::Vector<S>>().wrapping_add(v);
    // SAFETY: a vector is an array of plain numbers; the rows of the target and of the base have
    // `columns` numbers each, which nothing else uses meanwhile.
    unsafe {
        match base {
            // Each case has loops of its own, whose ends the compiler knows: otherwise the sums would
            // lie in memory from the start.
            None if out.columns == width => {
                for (i, sums) in sums.iter().enumerate() {
                    let row = out.numbers.add(i * out.stride);
                    (0..V).for_each(|v| vector(row, v).cast_mut().write_unaligned(sums[v]));
                }
            }
            Some((base, stride)) if out.columns == width => {
                for (i, sums) in sums.iter().enumerate() {
                    let (row, base) = (out.numbers.add(i * out.stride), base.add(i * stride));
                    (0..V).for_each(|v| {
                        let sum = T::sum(simd, vector(base, v).read_unaligned(), sums[v]);
                        vector(row, v).cast_mut().write_unaligned(sum);
                    });
                }
            }
            base => {
                // A copy, for the same reason.
                let sums = std::hint::black_box(sums);
                for (i, sums) in sums.iter().enumerate() {
                    let row = out.numbers.add(i * out.stride);
                    let sums = std::slice::from_raw_parts(sums.as_ptr().cast::<T>(), out.columns);
                    for (at, sum) in sums.iter().enumerate() {
                        *row.add(at) = base.map_or(*sum, |(base, stride)| *base.add(i * stride + at) + *sum);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::vectorised::tests::{on, widths};

    #[test]
    fn the_width_of_vectors_changes_no_bit() {
        let number = |i: usize| ((i * 7919) % 1009) as f32 / 1009.0 - 0.5;
        for (m, k, n) in [(1, 300, 1), (7, 700, 33), (32, 784, 10)] {
            let a: Vec<f32> = (0..m * k).map(number).collect();
            let b: Vec<f32> = (0..k * n).map(|i| number(i + 5)).collect();
            let (a, b) = (Matrix::new(&a, m, k), Matrix::new(&b, n, k).t());
            let products: Vec<Vec<f32>> =
                widths().into_iter().map(|width| on(width, || product(a, b))).collect();
            assert!(products.iter().all(|product| *product == products[0]), "{m} {k} {n}");
        }
    }

    #[test]
    fn a_product_is_the_sum_of_products_for_all_orders_and_sizes() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (1, 1030, 7), (33, 513, 10), (64, 17, 1)] {
            let a: Vec<f64> = (0..m * k).map(|i| (i % 13) as f64 - 6.0).collect();
            let b: Vec<f64> = (0..k * n).map(|i| (i % 7) as f64 - 3.0).collect();
            let at: Vec<f64> = (0..k * m).map(|i| a[(i % m) * k + i / m]).collect();
            let bt: Vec<f64> = (0..n * k).map(|i| b[(i % k) * n + i / k]).collect();
            let expected: Vec<f64> = (0..m * n)
                .map(|i| 1.0 + (0..k).map(|j| a[i / n * k + j] * b[j * n + i % n]).sum::<f64>())
                .collect();
            for (a, b) in [
                (Matrix::new(&a, m, k), Matrix::new(&b, k, n)),
                (Matrix::new(&at, k, m).t(), Matrix::new(&b, k, n)),
                (Matrix::new(&a, m, k), Matrix::new(&bt, n, k).t()),
            ] {
                let mut out = vec![1.0; m * n];
                add_product(&mut out, a, b);
                assert_eq!(out, expected, "{m} {k} {n}");
                let mut out = vec![f64::NAN; m * n];
                product_onto(&mut out, &vec![1.0; n], a, Right::Matrix(b));
                assert_eq!(out, expected, "onto a row: {m} {k} {n}");
                let mut out = vec![1.0; m * n];
                add_product_with(&mut out, a, &Packed::new(b));
                assert_eq!(out, expected, "packed: {m} {k} {n}");
                let written: Vec<f64> = product(a, b).iter().map(|x| x + 1.0).collect();
                assert_eq!(written, expected, "{m} {k} {n}");
            }
        }
    }
}
