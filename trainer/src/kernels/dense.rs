//! A dense layer in one operation: product, bias and activation, and their gradients.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType};
use hpo::network::Activation;

use super::activation::{self, activate, activation_gradient, needs_input};
use super::gradients::hand_over;
use super::product::{Matrix, Right, product, product_onto};
use super::real::Real;
use super::{slice, tensor_like, values, vectorised, with_real};

/// `activation(x · kernel + bias)` on the CPU: `x (…, inputs)`, `kernel (inputs, units)`, `bias (units)` → `(…, units)`.
pub(crate) fn dense(x: &Tensor, kernel: &Tensor, bias: &Tensor, activation: Activation) -> Result<Tensor> {
    if needs_input(activation) {
        return activation::activation(&dense(x, kernel, bias, Activation::Linear)?, activation);
    }
    x.contiguous()?.apply_op3(kernel, bias, Dense(activation))
}

struct Dense(Activation);

impl CustomOp3 for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (inputs, units) = lk.shape().dims2()?;
        let mut shape = lx.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = units;
        }
        with_real!(x, T => {
            let x = Matrix::new(slice::<T>(x, lx)?, lx.shape().elem_count() / inputs, inputs);
            let y = forward(x, Matrix::new(slice(k, lk)?, inputs, units), slice(b, lb)?, self.0);
            Ok((T::to_cpu_storage_owned(y), Shape::from(shape)))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        kernel: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (inputs, units) = kernel.dims2()?;
        let rows = x.elem_count() / inputs;
        let gradient = gradient.contiguous()?;
        with_real!(x, T => {
            let (xs, ks) = (x.storage_and_layout(), kernel.storage_and_layout());
            let (ys, gs) = (y.storage_and_layout(), gradient.storage_and_layout());
            let mut before = values::<T>(&gs)?.to_vec();
            activation_gradient(self.0, &[], values(&ys)?, &mut before, units);
            let g = Matrix::new(&before, rows, units);
            let of_kernel = product(Matrix::new(values::<T>(&xs)?, rows, inputs).t(), g);
            // Nobody wants the gradient of the data: the first layer saves a product as large as its forward pass.
            let of_x = if x.track_op() {
                let of_x = product(g, Matrix::new(values::<T>(&ks)?, inputs, units).t());
                Some(tensor_like(of_x, x)?)
            } else {
                None
            };
            Ok((of_x, hand_over(kernel, tensor_like(of_kernel, kernel)?), bias_gradient(bias, &before)?))
        })
    }
}

/// `activation(x · kernel + bias)`, row by row.
pub(crate) fn forward<T: Real>(x: Matrix<T>, kernel: Matrix<T>, bias: &[T], activation: Activation) -> Vec<T> {
    let mut y = vec![T::ZERO; x.rows() * bias.len()];
    product_onto(&mut y, bias, x, Right::Matrix(kernel));
    activate(activation, &mut y, bias.len());
    y
}

vectorised! {
    /// Adds the columns of rows to `sums`, which is as wide as a row.
    pub(crate) fn add_columns<T: Real>(sums: &mut [T], rows: &[T]) {
        for row in rows.chunks_exact(sums.len()) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += *x);
        }
    }
}

/// The gradient of a bias like `bias`, from that of the sums it was added to; none where it never moves.
pub(crate) fn bias_gradient<T: Real>(bias: &Tensor, gradient: &[T]) -> Result<Option<Tensor>> {
    if !bias.track_op() {
        return Ok(None);
    }
    let mut sums = vec![T::ZERO; bias.elem_count()];
    add_columns(&mut sums, gradient);
    Ok(hand_over(bias, tensor_like(sums, bias)?))
}
