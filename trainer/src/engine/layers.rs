//! Layers as they run: those of the document with their weights, on the operations of [`Ops`].

use candle_core::{DType, Tensor, Var};
use hpo::network::{Activation, MergeMode, Regularizer};
use hpo::rng::{Purpose, stream};

use super::{Error, Ops};
use crate::kernels;
use crate::kernels::recurrent::Recurrence;
use crate::kernels::window::Window;

/// A layer with its weights, whose tensors share their storage with the model's.
pub(super) enum Module {
    Reshape(Vec<usize>),
    /// The dimensions of a row in another order, from 0.
    Permute(Vec<usize>),
    Rescaling {
        scale: f64,
        offset: f64,
    },
    /// Zeros above and below, left and right.
    Pad([[usize; 2]; 2]),
    Dense {
        kernel: Tensor,
        bias: Tensor,
        activation: Activation,
    },
    Conv(Conv),
    Depthwise {
        kernel: Tensor,
        bias: Tensor,
        activation: Activation,
        window: Window,
    },
    /// `row` is the output's shape.
    MaxPool {
        window: Window,
        row: Vec<usize>,
    },
    /// `window` is the whole image.
    GlobalMax {
        window: Window,
        row: Vec<usize>,
    },
    AveragePool {
        window: Window,
        row: Vec<usize>,
    },
    Activation(Activation),
    LeakyRelu(f64),
    Prelu(Tensor),
    Dropout {
        rate: f64,
    },
    /// Drops whole channels.
    SpatialDropout {
        rate: f64,
    },
    Noise {
        stddev: f64,
    },
    BatchNorm(BatchNorm),
    LayerNorm {
        gamma: Tensor,
        beta: Tensor,
        epsilon: f64,
    },
    Embedding(Tensor),
    Recurrent(Recurrent),
    Bidirectional {
        forward: Recurrent,
        backward: Recurrent,
        merge: MergeMode,
    },
}

/// A convolution, over steps or images.
pub(super) struct Conv {
    /// `(height, width, channels / groups, filters)`.
    pub(super) kernel: Tensor,
    pub(super) bias: Tensor,
    pub(super) activation: Activation,
    /// The window of one group's channels.
    pub(super) window: Window,
    pub(super) groups: usize,
    /// The output's shape.
    pub(super) row: Vec<usize>,
    /// The max pooling after it, where both are one operation.
    pub(super) pool: Option<Window>,
}

/// Normalises by mean and variance of the batch in training, by the moving ones otherwise.
pub(super) struct BatchNorm {
    pub(super) gamma: Tensor,
    pub(super) beta: Tensor,
    pub(super) moving_mean: Var,
    pub(super) moving_variance: Var,
    pub(super) momentum: f64,
    pub(super) epsilon: f64,
}

/// One direction of a recurrent layer.
pub(super) struct Recurrent {
    pub(super) kernel: Tensor,
    pub(super) recurrent_kernel: Tensor,
    pub(super) bias: Bias,
    pub(super) what: Recurrence,
    pub(super) dropout: f64,
    /// The regulariser of the output.
    pub(super) activity: Option<Regularizer>,
}

/// The bias of a recurrent layer.
pub(super) enum Bias {
    /// The bias of the inputs' product.
    Inputs(Tensor),
    /// Both, as rows: a GRU with `reset_after` also has a bias for the state's product.
    Both(Tensor),
}

/// Whether a pass trains: dropout and noise act in training only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Train,
    Evaluate,
}

/// A pass of one batch through a network.
pub(super) struct Pass {
    pub(super) ops: Ops,
    pub(super) mode: Mode,
    pub(super) rows: usize,
    /// Seed, lane and step of the random numbers.
    pub(super) stream: (u64, u64, u64),
    /// The penalties of the layers' outputs, to be added to the loss.
    pub(super) penalties: Vec<Tensor>,
}

/// The streams of random numbers that a layer may draw from in one step.
const DRAWS_PER_LAYER: u64 = 2;

impl Module {
    /// The outputs of a batch `x (rows, …)` of layer number `index`.
    pub(super) fn forward(&self, x: Tensor, index: usize, pass: &mut Pass) -> Result<Tensor, Error> {
        let ops = pass.ops;
        let shaped = |x: Tensor, row: &[usize]| x.reshape([&[pass.rows], row].concat());
        Ok(match self {
            Module::Reshape(row) => shaped(x, row)?,
            Module::Permute(dims) => x
                .permute(std::iter::once(0).chain(dims.iter().map(|dim| dim + 1)).collect::<Vec<_>>())?
                .contiguous()?,
            Module::Rescaling { scale, offset } => x.affine(*scale, *offset)?,
            Module::Pad([[above, below], [left, right]]) => {
                x.pad_with_zeros(1, *above, *below)?.pad_with_zeros(2, *left, *right)?
            }
            Module::Dense { kernel, bias, activation } => ops.dense(&x, kernel, bias, *activation)?,
            Module::Conv(conv) => conv.forward(&x, pass)?,
            Module::Depthwise { kernel, bias, activation, window } => {
                ops.depthwise(&x, kernel, bias, *window, *activation)?
            }
            Module::MaxPool { window, row } => {
                shaped(ops.max_pool(&image(x, window, pass.rows)?, *window)?, row)?
            }
            Module::GlobalMax { window, row } => {
                shaped(ops.global_max(&image(x, window, pass.rows)?, *window)?, row)?
            }
            Module::AveragePool { window, row } => {
                shaped(ops.average_pool(&image(x, window, pass.rows)?, *window)?, row)?
            }
            Module::Activation(activation) => ops.activation(&x, *activation)?,
            Module::LeakyRelu(slope) => ops.leaky_relu(&x, *slope)?,
            Module::Prelu(alpha) => ops.prelu(&x, alpha)?,
            Module::Dropout { rate } => pass.dropped(x, *rate, index, 0, Spread::Each)?,
            Module::SpatialDropout { rate } => pass.dropped(x, *rate, index, 0, Spread::Channels)?,
            Module::Noise { stddev } => pass.noisy(x, *stddev, index)?,
            Module::BatchNorm(norm) => norm.forward(&x, pass)?,
            Module::LayerNorm { gamma, beta, epsilon } => ops.layer_norm(&x, gamma, beta, *epsilon)?,
            Module::Embedding(table) => embedded(&x, table, pass)?,
            Module::Recurrent(recurrent) => recurrent.forward(&x, index, 0, pass)?,
            Module::Bidirectional { forward, backward, merge } => {
                let there = forward.forward(&x, index, 0, pass)?;
                let mut back = backward.forward(&x, index, 1, pass)?;
                if backward.what.sequences {
                    back = in_time(&back)?;
                }
                match merge {
                    MergeMode::Concat => Tensor::cat(&[&there, &back], there.rank() - 1)?,
                    MergeMode::Sum => (there + back)?,
                    MergeMode::Mul => (there * back)?,
                    MergeMode::Ave => ((there + back)? * 0.5)?,
                }
            }
        })
    }

    /// Takes in the next layer if the two are one operation on the CPU. Returns whether it did.
    pub(super) fn takes_up(&mut self, next: &Module) -> bool {
        let (Module::Conv(conv), Module::MaxPool { window, row }) = (self, next) else { return false };
        let takes =
            conv.groups == 1 && conv.pool.is_none() && kernels::conv_pool::takes(conv.activation, window);
        if takes {
            (conv.pool, conv.row) = (Some(*window), row.clone());
        }
        takes
    }

    /// The activation at the end of the layer, if it ends in one.
    pub(super) fn last_activation(&mut self) -> Option<&mut Activation> {
        match self {
            Module::Activation(activation)
            | Module::Dense { activation, .. }
            | Module::Depthwise { activation, .. } => Some(activation),
            Module::Conv(conv) if conv.pool.is_none() => Some(&mut conv.activation),
            Module::Conv(_)
            | Module::Reshape(_)
            | Module::Permute(_)
            | Module::Rescaling { .. }
            | Module::Pad(_)
            | Module::MaxPool { .. }
            | Module::GlobalMax { .. }
            | Module::AveragePool { .. }
            | Module::LeakyRelu(_)
            | Module::Prelu(_)
            | Module::Dropout { .. }
            | Module::SpatialDropout { .. }
            | Module::Noise { .. }
            | Module::BatchNorm(_)
            | Module::LayerNorm { .. }
            | Module::Embedding(_)
            | Module::Recurrent(_)
            | Module::Bidirectional { .. } => None,
        }
    }
}

/// Rows of steps as images of height 1.
fn image(x: Tensor, window: &Window, rows: usize) -> candle_core::Result<Tensor> {
    x.reshape((rows, window.input[0], window.input[1], window.channels))
}

impl Conv {
    fn forward(&self, x: &Tensor, pass: &Pass) -> candle_core::Result<Tensor> {
        let Conv { kernel, bias, activation, window, groups, row, pool } = self;
        let [height, width] = window.input;
        let x = x.reshape((pass.rows, height, width, window.channels * groups))?;
        let y = if let Some(pool) = pool {
            kernels::conv_pool::conv_pool(&x, kernel, bias, *window, *activation, *pool)?
        } else if *groups == 1 {
            pass.ops.conv(&x, kernel, bias, *window, *activation)?
        } else {
            let filters = bias.elem_count() / groups;
            let of_group = |group: usize| {
                let x = x.narrow(3, group * window.channels, window.channels)?.contiguous()?;
                let kernel = kernel.narrow(3, group * filters, filters)?.contiguous()?;
                let bias = bias.narrow(0, group * filters, filters)?.contiguous()?;
                pass.ops.conv(&x, &kernel, &bias, *window, Activation::Linear)
            };
            let groups = (0..*groups).map(of_group).collect::<candle_core::Result<Vec<_>>>()?;
            // A softmax goes over the channels of all groups.
            pass.ops.activation(&Tensor::cat(&groups, 3)?, *activation)?
        };
        y.reshape([&[pass.rows], row.as_slice()].concat())
    }
}

impl BatchNorm {
    fn forward(&self, x: &Tensor, pass: &Pass) -> candle_core::Result<Tensor> {
        let BatchNorm { gamma, beta, moving_mean, moving_variance, momentum, epsilon } = self;
        if pass.mode == Mode::Evaluate {
            let (mean, variance) = (moving_mean.as_detached_tensor(), moving_variance.as_detached_tensor());
            let scale = (gamma.detach() / (variance + *epsilon)?.sqrt()?)?;
            return x.broadcast_sub(&mean)?.broadcast_mul(&scale)?.broadcast_add(&beta.detach());
        }
        let [y, mean, variance] = pass.ops.batch_norm(x, gamma, beta, *epsilon)?;
        for (moving, batch) in [(moving_mean, mean), (moving_variance, variance)] {
            moving.set(&((moving.as_detached_tensor() * *momentum)? + (batch * (1.0 - momentum))?)?)?;
        }
        Ok(y)
    }
}

impl Recurrent {
    /// The states of a batch `x (rows, steps, features)`; `nth` tells the directions of one layer
    /// apart.
    fn forward(&self, x: &Tensor, index: usize, nth: u64, pass: &mut Pass) -> Result<Tensor, Error> {
        let x = pass.dropped(x.clone(), self.dropout, index, nth, Spread::Steps)?;
        let kernel = Tensor::cat(&[&self.kernel, &self.recurrent_kernel], 0)?;
        let bias = match &self.bias {
            Bias::Inputs(bias) => Tensor::stack(&[bias, &bias.zeros_like()?.detach()], 0)?,
            Bias::Both(bias) => bias.clone(),
        };
        let y = pass.ops.recurrence(&x, &kernel, &bias, self.what)?;
        pass.penalize(&y, self.activity)?;
        Ok(y)
    }
}

/// The steps in reverse order.
fn in_time(x: &Tensor) -> candle_core::Result<Tensor> {
    let steps = x.dims()[1] as u32;
    x.index_select(&Tensor::from_iter((0..steps).rev(), x.device())?, 1)
}

/// The rows of the table that the numbers of `x` name.
fn embedded(x: &Tensor, table: &Tensor, pass: &Pass) -> Result<Tensor, Error> {
    let (rows, width) = table.dims2()?;
    let numbers: Vec<f32> = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    if let Some(wrong) =
        numbers.iter().find(|number| number.fract() != 0.0 || **number < 0.0 || **number >= rows as f32)
    {
        return Err(Error::Invalid(format!(
            "an Embedding with input_dim {rows} takes whole numbers from 0 to {}, and a row has {wrong}",
            rows - 1
        )));
    }
    let y = pass.ops.embedding(table, numbers.iter().map(|number| *number as u32).collect())?;
    Ok(y.reshape([x.dims(), &[width]].concat())?)
}

/// The numbers that a dropout drops together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// None: each is drawn on its own.
    Each,
    /// All numbers of a row and a channel.
    Channels,
    /// All steps of a row and a feature.
    Steps,
}

impl Pass {
    /// `x` with a fraction of its numbers set to 0, and the others scaled up. The mask is a
    /// function of seed, lane, step and layer: a trial that starts over drops the same.
    fn dropped(
        &self,
        x: Tensor,
        rate: f64,
        index: usize,
        nth: u64,
        spread: Spread,
    ) -> candle_core::Result<Tensor> {
        if self.mode == Mode::Evaluate || rate == 0.0 {
            return Ok(x);
        }
        let mut rng = self.rng(index, nth);
        let mask = match spread {
            Spread::Each => kernels::dropout::mask(&mut rng, rate, x.elem_count()),
            Spread::Channels | Spread::Steps => {
                let channels = x.dims().last().copied().unwrap_or(1);
                let places = x.elem_count() / (self.rows * channels);
                let mask = kernels::dropout::mask(&mut rng, rate, self.rows * channels);
                mask.chunks_exact(channels).flat_map(|row| row.repeat(places)).collect()
            }
        };
        self.ops.masked(&x.contiguous()?, mask)
    }

    fn noisy(&self, x: Tensor, stddev: f64, index: usize) -> candle_core::Result<Tensor> {
        if self.mode == Mode::Evaluate || stddev == 0.0 {
            return Ok(x);
        }
        let mut rng = self.rng(index, 0);
        let noise: Vec<f32> = (0..x.elem_count()).map(|_| (rng.normal() * stddev) as f32).collect();
        &x + Tensor::from_vec(noise, x.shape(), x.device())?.to_dtype(x.dtype())?
    }

    fn rng(&self, index: usize, nth: u64) -> hpo::rng::Rng {
        let (seed, lane, step) = self.stream;
        stream(seed, Purpose::Dropout, lane, step << 16 | (index as u64 * DRAWS_PER_LAYER + nth))
    }

    /// Adds the penalty of a layer's output: per row, as in Keras.
    pub(super) fn penalize(
        &mut self,
        y: &Tensor,
        regularizer: Option<Regularizer>,
    ) -> candle_core::Result<()> {
        if let Some(Regularizer { l1, l2 }) = regularizer {
            let rows = self.rows as f64;
            self.penalties.push(self.ops.penalty(y, l1 / rows, l2 / rows)?);
        }
        Ok(())
    }
}
