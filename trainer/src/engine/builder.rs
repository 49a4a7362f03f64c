//! From layers as data to layers that run: draws the weights of layer after layer.

use candle_core::{DType, Device, Tensor, Var};
use hpo::network::{self, Layer, Padding, Regularizer};
use hpo::rng::{Purpose, stream};

use super::init;
use super::layers::{BatchNorm, Bias, Built, Conv, Recurrent};
use super::weight::Weight;
use super::{Error, Window};
use crate::kernels::recurrent::{Cell, Recurrence};

/// Draws the weights of layer after layer.
pub(super) struct Builder<'a> {
    pub(super) seed: u64,
    /// Which of the seed's streams: the trial, and the run of it.
    pub(super) lane: u64,
    pub(super) device: &'a Device,
    pub(super) dtype: DType,
    pub(super) weights: Vec<Weight>,
}

/// The weights of a layer by name.
struct Drawn(Vec<(String, Var)>);

impl Drawn {
    fn var(&self, name: &str) -> Option<&Var> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, var)| var)
    }

    /// A weight that the layer always has.
    fn tensor(&self, name: &str) -> Result<Tensor, Error> {
        self.var(name)
            .map(|var| var.as_tensor().clone())
            .ok_or_else(|| Error::Invalid(format!("a layer lacks its {name}")))
    }
}

impl Builder<'_> {
    /// Layer number `index` for rows of shape `input`, which become rows of shape `output`; and
    /// what its output adds to the loss.
    pub(super) fn layer(
        &mut self,
        index: usize,
        layer: &Layer,
        input: &[usize],
        output: &[usize],
    ) -> Result<(Built, Option<Regularizer>), Error> {
        let drawn = self.draw(index, layer, input)?;
        let channels = input.last().copied().unwrap_or(1);
        let row = || output.to_vec();
        let mut activity = None;
        let built = match layer {
            Layer::Flatten | Layer::Reshape { .. } => Built::Reshape(row()),
            Layer::Permute { dims } => Built::Permute(dims.iter().map(|dim| dim - 1).collect()),
            Layer::Rescaling { scale, offset } => Built::Rescaling { scale: *scale, offset: *offset },
            Layer::ZeroPadding2D { padding } => Built::Pad(*padding),
            Layer::Dense(dense) => {
                activity = dense.output.activity_regularizer;
                Built::Dense {
                    kernel: drawn.tensor("kernel")?,
                    bias: self.bias(&drawn, dense.units)?,
                    activation: dense.output.activation,
                }
            }
            Layer::Conv1D(conv) | Layer::Conv2D(conv) => {
                activity = conv.output.activity_regularizer;
                let [height, width, _] = image(input, index)?;
                let input = [height, width, channels / conv.groups];
                let window =
                    Window::dilated(input, conv.kernel_size, conv.strides, conv.dilation_rate, conv.padding);
                let [height, width] = conv.kernel_size;
                let kernel =
                    drawn.tensor("kernel")?.reshape((height, width, channels / conv.groups, conv.filters))?;
                let bias = self.bias(&drawn, conv.filters)?;
                Built::Conv(Conv {
                    kernel,
                    bias,
                    activation: conv.output.activation,
                    window,
                    groups: conv.groups,
                    row: row(),
                    pool: None,
                })
            }
            Layer::DepthwiseConv2D(conv) => {
                activity = conv.output.activity_regularizer;
                let window = Window::dilated(
                    image(input, index)?,
                    conv.kernel_size,
                    conv.strides,
                    conv.dilation_rate,
                    conv.padding,
                );
                let bias = self.bias(&drawn, channels * conv.depth_multiplier)?;
                Built::Depthwise {
                    kernel: drawn.tensor("kernel")?,
                    bias,
                    activation: conv.output.activation,
                    window,
                }
            }
            // Two layers of it are built: see `layers`.
            Layer::SeparableConv2D(_) => {
                return Err(Error::Invalid("a SeparableConv2D is built as two layers".into()));
            }
            Layer::MaxPooling1D(pool) | Layer::MaxPooling2D(pool) => {
                Built::MaxPool { window: pooled(pool, input, index)?, row: row() }
            }
            Layer::AveragePooling1D(pool) | Layer::AveragePooling2D(pool) => {
                Built::AveragePool { window: pooled(pool, input, index)?, row: row() }
            }
            Layer::GlobalMaxPooling1D { .. } | Layer::GlobalMaxPooling2D { .. } => {
                Built::GlobalMax { window: Window::whole(image(input, index)?), row: row() }
            }
            Layer::GlobalAveragePooling1D { .. } | Layer::GlobalAveragePooling2D { .. } => {
                Built::AveragePool { window: Window::whole(image(input, index)?), row: row() }
            }
            Layer::Activation { activation } => Built::Activation(*activation),
            Layer::LeakyReLU { negative_slope } => Built::LeakyRelu(*negative_slope),
            Layer::PReLU(_) => Built::Prelu(drawn.tensor("alpha")?),
            Layer::Dropout { rate } => Built::Dropout { rate: *rate },
            Layer::SpatialDropout2D { rate } => Built::SpatialDropout { rate: *rate },
            Layer::GaussianNoise { stddev } => Built::Noise { stddev: *stddev },
            Layer::BatchNormalization(norm) => {
                let moving = |name| {
                    drawn
                        .var(name)
                        .cloned()
                        .ok_or_else(|| Error::Invalid(format!("a layer lacks its {name}")))
                };
                let (moving_mean, moving_variance) = (moving("moving_mean")?, moving("moving_variance")?);
                let (gamma, beta) = self.affine(&drawn, channels)?;
                Built::BatchNorm(BatchNorm {
                    gamma,
                    beta,
                    moving_mean,
                    moving_variance,
                    momentum: norm.momentum,
                    epsilon: norm.epsilon,
                })
            }
            Layer::LayerNormalization(norm) => {
                let (gamma, beta) = self.affine(&drawn, channels)?;
                Built::LayerNorm { gamma, beta, epsilon: norm.epsilon }
            }
            Layer::Embedding(_) => Built::Embedding(drawn.tensor("embeddings")?),
            Layer::SimpleRNN(_) | Layer::LSTM(_) | Layer::GRU(_) => {
                Built::Recurrent(self.recurrent(layer, &drawn, "", false)?)
            }
            Layer::Bidirectional(both) => {
                let forward = self.recurrent(&both.wrapped, &drawn, "forward.", false)?;
                let backward = self.recurrent(&both.wrapped, &drawn, "backward.", true)?;
                Built::Bidirectional { forward, backward, merge: both.merge_mode }
            }
        };
        Ok((built, activity))
    }

    /// A SeparableConv2D as the two layers that it is; and what its output adds to the loss.
    pub(super) fn separable(
        &mut self,
        index: usize,
        layer: &Layer,
        conv: &network::SeparableConv2D,
        input: &[usize],
    ) -> Result<([Built; 2], Option<Regularizer>), Error> {
        let drawn = self.draw(index, layer, input)?;
        let [height, width, channels] = image(input, index)?;
        let depth = channels * conv.depth_multiplier;
        let window = Window::dilated(
            [height, width, channels],
            conv.kernel_size,
            conv.strides,
            conv.dilation_rate,
            conv.padding,
        );
        let nothing = Tensor::zeros(depth, self.dtype, self.device)?;
        let first = Built::Depthwise {
            kernel: drawn.tensor("depthwise_kernel")?,
            bias: nothing,
            activation: network::Activation::Linear,
            window,
        };
        let kernel = drawn.tensor("pointwise_kernel")?.reshape((depth, conv.filters))?;
        let second = Built::Dense {
            kernel,
            bias: self.bias(&drawn, conv.filters)?,
            activation: conv.output.activation,
        };
        Ok(([first, second], conv.output.activity_regularizer))
    }

    /// One direction of a recurrent layer, whose weights' names begin with `prefix`.
    fn recurrent(
        &self,
        layer: &Layer,
        drawn: &Drawn,
        prefix: &str,
        backwards: bool,
    ) -> Result<Recurrent, Error> {
        let (cell, layer): (fn(&network::Recurrent) -> Cell, _) = match layer {
            Layer::SimpleRNN(layer) => (|_| Cell::Simple, layer),
            Layer::LSTM(layer) => (|_| Cell::Lstm, layer),
            Layer::GRU(layer) => (|layer| Cell::Gru { reset_after: layer.reset_after }, layer),
            other => return Err(Error::Invalid(format!("{} is no recurrent layer", other.class()))),
        };
        let what = Recurrence {
            cell: cell(layer),
            activation: layer.output.activation,
            recurrent_activation: layer.recurrent_activation,
            sequences: layer.return_sequences,
            backwards: layer.go_backwards != backwards,
        };
        let named = |name: &str| format!("{prefix}{name}");
        let bias = match drawn.var(&named("bias")) {
            Some(bias) if layer.reset_after => Bias::Both(bias.as_tensor().clone()),
            Some(bias) => Bias::Inputs(bias.as_tensor().clone()),
            None => Bias::Inputs(Tensor::zeros(what.cell.gates() * layer.units, self.dtype, self.device)?),
        };
        Ok(Recurrent {
            kernel: drawn.tensor(&named("kernel"))?,
            recurrent_kernel: drawn.tensor(&named("recurrent_kernel"))?,
            bias,
            what,
            dropout: layer.dropout,
            activity: layer.output.activity_regularizer,
        })
    }

    /// A layer without a bias has one of zeros that never moves: the operations need no second
    /// form.
    fn bias(&self, drawn: &Drawn, units: usize) -> Result<Tensor, Error> {
        match drawn.var("bias") {
            Some(bias) => Ok(bias.as_tensor().clone()),
            None => Ok(Tensor::zeros(units, self.dtype, self.device)?),
        }
    }

    /// Gamma and beta, which are 1 and 0 for good where the layer lacks them.
    fn affine(&self, drawn: &Drawn, channels: usize) -> Result<(Tensor, Tensor), Error> {
        let gamma = drawn.var("gamma").map_or_else(
            || Tensor::ones(channels, self.dtype, self.device),
            |gamma| Ok(gamma.as_tensor().clone()),
        );
        let beta = drawn.var("beta").map_or_else(
            || Tensor::zeros(channels, self.dtype, self.device),
            |beta| Ok(beta.as_tensor().clone()),
        );
        Ok((gamma?, beta?))
    }

    fn draw(&mut self, index: usize, layer: &Layer, input: &[usize]) -> Result<Drawn, Error> {
        let mut drawn = Vec::new();
        for weight in layer.weights(input) {
            let mut rng = stream(self.seed, Purpose::Weights, self.lane, self.weights.len() as u64);
            let var = match self.dtype {
                DType::F64 => Var::from_vec(
                    init::start::<f64>(&weight, &mut rng),
                    weight.shape.as_slice(),
                    self.device,
                )?,
                _ => Var::from_vec(
                    init::start::<f32>(&weight, &mut rng),
                    weight.shape.as_slice(),
                    self.device,
                )?,
            };
            drawn.push((weight.name.clone(), var.clone()));
            self.weights.push(Weight {
                name: format!("layers.{index}.{}", weight.name),
                var,
                trainable: weight.trainable,
                regularizer: weight.regularizer.copied(),
                constraint: weight.constraint.cloned(),
            });
        }
        Ok(Drawn(drawn))
    }
}

/// `(height, width, channels)` of rows of images, or of steps, which have a height of 1.
fn image(input: &[usize], index: usize) -> Result<[usize; 3], Error> {
    match *input {
        [height, width, channels] => Ok([height, width, channels]),
        [steps, channels] => Ok([1, steps, channels]),
        _ => {
            Err(Error::Invalid(format!("layer {index} needs (height, width, channels) or (steps, channels)")))
        }
    }
}

fn pooled(pool: &network::Pool, input: &[usize], index: usize) -> Result<Window, Error> {
    let padding: Padding = pool.padding;
    Ok(Window::new(image(input, index)?, pool.pool_size, pool.strides, padding))
}
