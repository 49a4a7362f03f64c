//! A dense layer in one operation: product, bias and activation, and their gradients.

use candle_core::{Result, Tensor};
use hpo::network::Activation;

use super::activation::{self, activate, activation_gradient};
use super::operation::{Custom, Operation};
use super::product::{Matrix, Right, product, product_onto};
use super::real::Real;
use super::vectorised;

/// `activation(x · kernel + bias)` on the CPU: `x (…, inputs)`, `kernel (inputs, units)`, `bias
/// (units)` → `(…, units)`.
pub(crate) fn dense(x: &Tensor, kernel: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    if activation.needs_input() {
        return activation::activation(&dense(x, kernel, bias, Activation::Linear)?, activation);
    }
    x.contiguous()?.apply_op3(kernel, bias, Custom(Dense(activation)))
}

struct Dense(Activation);

impl Operation<3> for Dense {
    fn dims(&self, [x, _, bias]: [&[usize]; 3]) -> Vec<usize> {
        [&x[..x.len() - 1], bias].concat()
    }

    fn forward<T: Real>(&self, [x, kernel, bias]: [&[T]; 3]) -> Vec<T> {
        let [x, kernel] = matrices(x, kernel, bias.len());
        let mut y = vec![T::ZERO; x.rows() * bias.len()];
        product_onto(&mut y, bias, x, Right::Matrix(kernel));
        activate(self.0, &mut y, bias.len());
        y
    }

    fn backward<T: Real>(
        &self,
        [x, kernel, bias]: [&[T]; 3],
        y: &[T],
        gradient: &[T],
        wanted: [bool; 3],
    ) -> [Option<Vec<T>>; 3] {
        let [x, kernel] = matrices(x, kernel, bias.len());
        let mut before = gradient.to_vec();
        activation_gradient(self.0, &[], y, &mut before, bias.len());
        let g = Matrix::new(&before, x.rows(), bias.len());
        let of_kernel = product(x.t(), g);
        // The gradient of the data is not wanted: the first layer saves a product as large as its
        // forward pass.
        let of_x = wanted[0].then(|| product(g, kernel.t()));
        [of_x, Some(of_kernel), wanted[2].then(|| sums_of_columns(&before, bias.len()))]
    }
}

fn matrices<'a, T: Real>(x: &'a [T], kernel: &'a [T], units: usize) -> [Matrix<'a, T>; 2] {
    let inputs = kernel.len() / units;
    [Matrix::new(x, x.len() / inputs, inputs), Matrix::new(kernel, inputs, units)]
}

vectorised! {
    /// Adds the columns of rows to `sums`, which is as wide as a row.
    pub(crate) fn add_columns<T: Real>(sums: &mut [T], rows: &[T]) {
        for row in rows.chunks_exact(sums.len()) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += *x);
        }
    }
}

/// The sums of the columns of rows of `width` numbers: the gradient of a bias, from that of the sum
/// that it is part of.
pub(crate) fn sums_of_columns<T: Real>(rows: &[T], width: usize) -> Vec<T> {
    let mut sums = vec![T::ZERO; width];
    add_columns(&mut sums, rows);
    sums
}
