//! A network as it is trained: layers with weights, a loss and an optimiser.

use candle_core::{DType, Device, Tensor, Var};
use hpo::network::{Activation, Initializer, Layer};
use hpo::rng::{Purpose, stream};
use hpo::shape;
use hpo::training::{Loss, Metric, Training};

use super::judge::{judge, tally};
use super::optimizer::Optimizer;
use super::{Error, Targets, Totals, Window, composed, init};
use crate::kernels;

/// A network, its loss and its optimiser, on one device.
///
/// Weights, dropout and therefore every result are functions of layers, recipe, seed, trial number and the device's numerics class alone.
pub struct Model {
    input: Vec<usize>,
    layers: Vec<Built>,
    weights: Vec<Var>,
    names: Vec<String>,
    optimizer: Optimizer,
    loss: Loss,
    /// The last softmax is the loss's work: exact, and one pass.
    logits: bool,
    seed: u64,
    number: u64,
    steps: u64,
    device: Device,
    dtype: DType,
    /// The kernels of the CPU; else candle's own operations.
    fused: bool,
}

/// A layer that is ready to run. Tensors of weights share their storage with [`Model::weights`].
enum Built {
    Reshape(Vec<usize>),
    Rescaling { scale: f64, offset: f64 },
    Dense { kernel: Tensor, bias: Tensor, activation: Activation },
    Conv { kernel: Tensor, bias: Tensor, activation: Activation, window: Window },
    MaxPool(Window),
    Activation(Activation),
    Dropout { rate: f64 },
}

/// Whether a pass trains: dropout acts in training only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Train,
    Evaluate,
}

impl Model {
    /// The network of trial `number` of a study with this `seed`, for rows of shape `input` and labels that are `classes`, or values where there are none.
    /// `Invalid` where layers, loss, metrics and labels don't fit each other.
    pub fn new(
        layers: &[Layer],
        training: &Training,
        input: &[usize],
        classes: Option<u32>,
        (seed, number): (u64, u64),
        device: &Device,
    ) -> Result<Model, Error> {
        Self::build(layers, training, input, classes, (seed, number), device, DType::F32, device.is_cpu())
    }

    /// As [`Model::new`], with the choices that only tests make: the type of the numbers, and whether the CPU's kernels run.
    #[allow(clippy::too_many_arguments, reason = "two more than `new` has, for tests")]
    pub(super) fn build(
        layers: &[Layer],
        training: &Training,
        input: &[usize],
        classes: Option<u32>,
        (seed, number): (u64, u64),
        device: &Device,
        dtype: DType,
        fused: bool,
    ) -> Result<Model, Error> {
        let mut builder = Builder { seed, number, device, dtype, weights: Vec::new(), names: Vec::new() };
        let mut built = Vec::new();
        let mut row = input.to_vec();
        for (index, layer) in layers.iter().enumerate() {
            let output = shape::output_shape(layer, &row).map_err(|why| Error::Invalid(format!("layer {index}: {why}")))?;
            built.push(builder.layer(index, layer, &row, &output)?);
            row = output;
        }
        fits(training, &row, classes)?;
        let logits = training.loss.is_classification() && take_softmax(&mut built);
        let Builder { weights, names, .. } = builder;
        let optimizer = Optimizer::new(training.optimizer.clone(), &weights, fused)?;
        let (input, device, loss) = (input.to_vec(), device.clone(), training.loss);
        Ok(Model { input, layers: built, weights, names, optimizer, loss, logits, seed, number, steps: 0, device, dtype, fused })
    }

    /// Trains on a batch: `x` holds the rows one after the other, `y` a label for each. Returns the batch's sums, as they were before the weights moved.
    pub fn step(&mut self, x: Vec<f32>, y: &Targets) -> Result<Totals, Error> {
        let (output, loss) = self.pass(x, y, Mode::Train)?;
        let gradients = loss.backward()?;
        self.optimizer.step(&self.weights, &gradients)?;
        self.steps += 1;
        Ok(tally(&output, mean(&loss)?, y)?)
    }

    /// The sums of a batch, without training on it.
    pub fn evaluate(&self, x: Vec<f32>, y: &Targets) -> Result<Totals, Error> {
        let (output, loss) = self.pass(x, y, Mode::Evaluate)?;
        Ok(tally(&output, mean(&loss)?, y)?)
    }

    /// The weights with their names, such as `layers.1.kernel`, in the network's order. They are the model's own: copy what must not move.
    pub fn weights(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.names.iter().map(String::as_str).zip(self.weights.iter().map(Var::as_tensor))
    }

    /// Output `(rows, width)` and mean loss of a batch.
    fn pass(&self, x: Vec<f32>, y: &Targets, mode: Mode) -> Result<(Tensor, Tensor), Error> {
        let rows = y.len();
        let shape: Vec<usize> = [&[rows], self.input.as_slice()].concat();
        let x = Tensor::from_vec(x, shape, &self.device)?.to_dtype(self.dtype)?;
        let output = self.forward(x, mode)?.reshape((rows, ()))?;
        // Nothing is kept for a backward pass that will not come.
        let output = if mode == Mode::Evaluate { output.detach() } else { output };
        let judge = judge(self.loss, self.logits, y)?;
        let loss = if self.fused { kernels::loss::loss(&output, judge)? } else { composed::loss(&output, &judge)? };
        Ok((output, loss))
    }

    fn forward(&self, mut x: Tensor, mode: Mode) -> Result<Tensor, Error> {
        let rows = x.dims()[0];
        for (index, layer) in self.layers.iter().enumerate() {
            x = match layer {
                Built::Reshape(row) => x.reshape([&[rows], row.as_slice()].concat())?,
                Built::Rescaling { scale, offset } => x.affine(*scale, *offset)?,
                Built::Dense { kernel, bias, activation } if self.fused => kernels::dense::dense(&x, kernel, bias, *activation)?,
                Built::Dense { kernel, bias, activation } => composed::dense(&x, kernel, bias, *activation)?,
                Built::Conv { kernel, bias, activation, window } if self.fused => {
                    kernels::conv::conv(&x, kernel, bias, *window, *activation)?
                }
                Built::Conv { kernel, bias, activation, window } => composed::conv(&x, kernel, bias, window, *activation)?,
                Built::MaxPool(window) if self.fused => kernels::pool::max_pool(&x, *window)?,
                Built::MaxPool(window) => composed::max_pool(&x, window)?,
                Built::Activation(activation) if self.fused => kernels::activation::activation(&x, *activation)?,
                Built::Activation(activation) => composed::activation(&x, *activation)?,
                Built::Dropout { rate } if mode == Mode::Train && *rate > 0.0 => self.dropout(&x, index, *rate)?,
                Built::Dropout { .. } => x,
            };
        }
        Ok(x)
    }

    /// The mask is a function of seed, trial, step and layer: a trial that starts over drops the same.
    fn dropout(&self, x: &Tensor, layer: usize, rate: f64) -> Result<Tensor, Error> {
        let mut rng = stream(self.seed, Purpose::Dropout, self.number, self.steps << 16 | layer as u64);
        let mask = kernels::dropout::mask(&mut rng, rate, x.elem_count());
        if self.fused {
            return Ok(kernels::dropout::masked(x, mask)?);
        }
        Ok((x * Tensor::from_vec(mask, x.shape(), &self.device)?.to_dtype(self.dtype)?)?)
    }
}

/// Draws the weights of layer after layer.
struct Builder<'a> {
    seed: u64,
    number: u64,
    device: &'a Device,
    dtype: DType,
    weights: Vec<Var>,
    names: Vec<String>,
}

impl Builder<'_> {
    fn layer(&mut self, index: usize, layer: &Layer, input: &[usize], output: &[usize]) -> Result<Built, Error> {
        let channels = input.last().copied().unwrap_or(1);
        let image = || <[usize; 3]>::try_from(input).map_err(|_| Error::Invalid(format!("layer {index} needs (height, width, channels)")));
        Ok(match layer {
            Layer::Flatten | Layer::Reshape { .. } => Built::Reshape(output.to_vec()),
            Layer::Rescaling { scale, offset } => Built::Rescaling { scale: *scale, offset: *offset },
            Layer::Activation { activation } => Built::Activation(*activation),
            Layer::Dropout { rate } => Built::Dropout { rate: *rate },
            Layer::MaxPooling2D(pool) => Built::MaxPool(Window::new(image()?, pool.pool_size, pool.strides, pool.padding)),
            Layer::Dense(dense) => {
                let kernel = self.weight(index, "kernel", &[channels, dense.units], dense.kernel_initializer)?;
                let bias = self.bias(index, dense.units, dense.use_bias.then_some(dense.bias_initializer))?;
                Built::Dense { kernel, bias, activation: dense.activation }
            }
            Layer::Conv2D(conv) => {
                let [height, width] = conv.kernel_size;
                let kernel = self.weight(index, "kernel", &[height, width, channels, conv.filters], conv.kernel_initializer)?;
                let bias = self.bias(index, conv.filters, conv.use_bias.then_some(conv.bias_initializer))?;
                let window = Window::new(image()?, conv.kernel_size, conv.strides, conv.padding);
                Built::Conv { kernel, bias, activation: conv.activation, window }
            }
        })
    }

    /// A layer without a bias has one of zeros that never moves: the operations need no second form.
    fn bias(&mut self, index: usize, units: usize, initializer: Option<Initializer>) -> Result<Tensor, Error> {
        match initializer {
            Some(initializer) => self.weight(index, "bias", &[units], initializer),
            None => Ok(Tensor::zeros(units, self.dtype, self.device)?),
        }
    }

    fn weight(&mut self, index: usize, name: &str, shape: &[usize], initializer: Initializer) -> Result<Tensor, Error> {
        let mut rng = stream(self.seed, Purpose::Weights, self.number, self.weights.len() as u64);
        let drawn = Tensor::from_vec(init::draw(initializer, shape, &mut rng), shape, &Device::Cpu)?;
        let weight = Var::from_tensor(&drawn.to_dtype(self.dtype)?.to_device(self.device)?)?;
        let tensor = weight.as_tensor().clone();
        self.weights.push(weight);
        self.names.push(format!("layers.{index}.{name}"));
        Ok(tensor)
    }
}

/// Whether the outputs are such as loss, metrics and labels need.
fn fits(training: &Training, output: &[usize], classes: Option<u32>) -> Result<(), Error> {
    let shown = shape::show(output);
    let invalid = |why: String| Err(Error::Invalid(why));
    match (training.loss, classes, output) {
        (Loss::MeanSquaredError, _, [1]) => {}
        (Loss::MeanSquaredError, ..) => {
            return invalid(format!("mean_squared_error needs an output of (1): one number for the label; it gets {shown}"));
        }
        (loss, None, _) => return invalid(format!("{} needs labels that are classes; these are values", loss.as_str())),
        (_, Some(classes), [width]) if *width >= classes as usize => {}
        (loss, Some(classes), _) => {
            return invalid(format!("{} needs an output of ({classes}): one number for each class; it gets {shown}", loss.as_str()));
        }
    }
    let wrong = if training.loss.is_classification() { Metric::Mae } else { Metric::Accuracy };
    if training.metrics.contains(&wrong) {
        return invalid(format!("the metric {} does not go with {}", wrong.as_str(), training.loss.as_str()));
    }
    Ok(())
}

/// Takes the softmax off the end of the network, if there is one.
fn take_softmax(layers: &mut Vec<Built>) -> bool {
    match layers.last_mut() {
        Some(Built::Activation(Activation::Softmax)) => layers.pop().is_some(),
        Some(Built::Dense { activation, .. } | Built::Conv { activation, .. }) if *activation == Activation::Softmax => {
            *activation = Activation::Linear;
            true
        }
        _ => false,
    }
}

fn mean(loss: &Tensor) -> candle_core::Result<f64> {
    loss.to_dtype(DType::F64)?.to_scalar()
}

#[cfg(test)]
impl Model {
    pub(super) fn test_weights(&self) -> &[Var] {
        &self.weights
    }

    pub(super) fn test_gradients(&self, x: Vec<f32>, y: &Targets) -> Vec<Vec<f32>> {
        let gradients = self.pass(x, y, Mode::Train).unwrap().1.backward().unwrap();
        self.weights.iter().map(|weight| gradients.get(weight).unwrap().flatten_all().unwrap().to_vec1().unwrap()).collect()
    }
}
