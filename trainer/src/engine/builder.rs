//! From layers as data to layers that run: draws the weights of layer after layer.

use candle_core::{DType, Device, Tensor, Var};
use hpo::network::{self, Layer, Padding, Regularizer};
use hpo::rng::{Purpose, stream};

use super::Error;
use super::init;
use super::layers::{BatchNorm, Bias, Conv, Module, Recurrent};
use super::weight::Weight;
use crate::kernels::recurrent::{Cell, Recurrence};
use crate::kernels::window::Window;

/// Draws the weights of layer after layer.
pub(super) struct Builder<'a> {
    pub(super) seed: u64,
    /// Which of the seed's streams: the trial, and the run of it.
    pub(super) lane: u64,
    pub(super) device: &'a Device,
    pub(super) dtype: DType,
    pub(super) weights: Vec<Weight>,
}

/// The weights of one layer, by name.
struct LayerWeights(Vec<(String, Var)>);

impl LayerWeights {
    fn var(&self, name: &str) -> Option<&Var> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, var)| var)
    }

    /// A weight that the layer always has.
    fn required(&self, name: &str) -> Result<&Var, Error> {
        self.var(name).ok_or_else(|| Error::Invalid(format!("a layer has no {name}")))
    }

    /// The tensor of a weight that the layer always has.
    fn tensor(&self, name: &str) -> Result<Tensor, Error> {
        self.required(name).map(|var| var.as_tensor().clone())
    }
}

impl Builder<'_> {
    /// Layer number `index` for rows of shape `input`, which become rows of shape `output`, and the
    /// regulariser of its output.
    pub(super) fn layer(
        &mut self,
        index: usize,
        layer: &Layer,
        input: &[usize],
        output: &[usize],
    ) -> Result<(Module, Option<Regularizer>), Error> {
        let drawn = self.draw(index, layer, input)?;
        let channels = input.last().copied().unwrap_or(1);
        let row = || output.to_vec();
        let mut activity = None;
        let module = match layer {
            Layer::Flatten | Layer::Reshape { .. } => Module::Reshape(row()),
            Layer::Permute { dims } => Module::Permute(dims.iter().map(|dim| dim - 1).collect()),
            Layer::Rescaling { scale, offset } => Module::Rescaling { scale: *scale, offset: *offset },
            Layer::ZeroPadding2D { padding } => Module::Pad(*padding),
            Layer::Dense(dense) => {
                activity = dense.output.activity_regularizer;
                Module::Dense {
                    kernel: drawn.tensor("kernel")?,
                    bias: self.bias(&drawn, dense.units)?,
                    activation: dense.output.activation,
                }
            }
            Layer::Conv1D(conv) | Layer::Conv2D(conv) => {
                activity = conv.output.activity_regularizer;
                Module::Conv(self.conv(conv, &drawn, image(input, index)?, row())?)
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
                Module::Depthwise {
                    kernel: drawn.tensor("kernel")?,
                    bias,
                    activation: conv.output.activation,
                    window,
                }
            }
            // It is built as two layers: see `separable`.
            Layer::SeparableConv2D(_) => {
                return Err(Error::Invalid("a SeparableConv2D is built as two layers".into()));
            }
            Layer::MaxPooling1D(pool) | Layer::MaxPooling2D(pool) => {
                Module::MaxPool { window: pooled(pool, input, index)?, row: row() }
            }
            Layer::AveragePooling1D(pool) | Layer::AveragePooling2D(pool) => {
                Module::AveragePool { window: pooled(pool, input, index)?, row: row() }
            }
            Layer::GlobalMaxPooling1D { .. } | Layer::GlobalMaxPooling2D { .. } => {
                Module::GlobalMax { window: Window::whole(image(input, index)?), row: row() }
            }
            Layer::GlobalAveragePooling1D { .. } | Layer::GlobalAveragePooling2D { .. } => {
                Module::AveragePool { window: Window::whole(image(input, index)?), row: row() }
            }
            Layer::Activation { activation } => Module::Activation(*activation),
            Layer::LeakyReLU { negative_slope } => Module::LeakyRelu(*negative_slope),
            Layer::PReLU(_) => Module::Prelu(drawn.tensor("alpha")?),
            Layer::Dropout { rate } => Module::Dropout { rate: *rate },
            Layer::SpatialDropout2D { rate } => Module::SpatialDropout { rate: *rate },
            Layer::GaussianNoise { stddev } => Module::Noise { stddev: *stddev },
            Layer::BatchNormalization(norm) => Module::BatchNorm(self.batch_norm(norm, &drawn, channels)?),
            Layer::LayerNormalization(norm) => {
                let (gamma, beta) = self.affine(&drawn, channels)?;
                Module::LayerNorm { gamma, beta, epsilon: norm.epsilon }
            }
            Layer::Embedding(_) => Module::Embedding(drawn.tensor("embeddings")?),
            Layer::SimpleRNN(_) | Layer::LSTM(_) | Layer::GRU(_) => {
                Module::Recurrent(self.recurrent(layer, &drawn, "", false)?)
            }
            Layer::Bidirectional(both) => {
                let forward = self.recurrent(&both.wrapped, &drawn, "forward.", false)?;
                let backward = self.recurrent(&both.wrapped, &drawn, "backward.", true)?;
                Module::Bidirectional { forward, backward, merge: both.merge_mode }
            }
        };
        Ok((module, activity))
    }

    /// A convolution of images `(height, width, channels)`, whose output has the shape `row`.
    fn conv(
        &self,
        conv: &network::Conv,
        drawn: &LayerWeights,
        [height, width, channels]: [usize; 3],
        row: Vec<usize>,
    ) -> Result<Conv, Error> {
        let channels = channels / conv.groups;
        let input = [height, width, channels];
        let window = Window::dilated(input, conv.kernel_size, conv.strides, conv.dilation_rate, conv.padding);
        let [height, width] = conv.kernel_size;
        Ok(Conv {
            kernel: drawn.tensor("kernel")?.reshape((height, width, channels, conv.filters))?,
            bias: self.bias(drawn, conv.filters)?,
            activation: conv.output.activation,
            window,
            groups: conv.groups,
            row,
            pool: None,
        })
    }

    fn batch_norm(
        &self,
        norm: &network::BatchNormalization,
        drawn: &LayerWeights,
        channels: usize,
    ) -> Result<BatchNorm, Error> {
        let (gamma, beta) = self.affine(drawn, channels)?;
        Ok(BatchNorm {
            gamma,
            beta,
            moving_mean: drawn.required("moving_mean")?.clone(),
            moving_variance: drawn.required("moving_variance")?.clone(),
            momentum: norm.momentum,
            epsilon: norm.epsilon,
        })
    }

    /// A SeparableConv2D as two modules, and the regulariser of its output.
    pub(super) fn separable(
        &mut self,
        index: usize,
        layer: &Layer,
        conv: &network::SeparableConv2D,
        input: &[usize],
    ) -> Result<([Module; 2], Option<Regularizer>), Error> {
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
        let first = Module::Depthwise {
            kernel: drawn.tensor("depthwise_kernel")?,
            bias: nothing,
            activation: network::Activation::Linear,
            window,
        };
        let kernel = drawn.tensor("pointwise_kernel")?.reshape((depth, conv.filters))?;
        let second = Module::Dense {
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
        drawn: &LayerWeights,
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
    fn bias(&self, drawn: &LayerWeights, units: usize) -> Result<Tensor, Error> {
        match drawn.var("bias") {
            Some(bias) => Ok(bias.as_tensor().clone()),
            None => Ok(Tensor::zeros(units, self.dtype, self.device)?),
        }
    }

    /// Gamma and beta, which stay 1 and 0 if the layer has none.
    fn affine(&self, drawn: &LayerWeights, channels: usize) -> Result<(Tensor, Tensor), Error> {
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

    fn draw(&mut self, index: usize, layer: &Layer, input: &[usize]) -> Result<LayerWeights, Error> {
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
        Ok(LayerWeights(drawn))
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
