//! A network as it is trained: layers with weights, a loss and an optimiser.

use candle_core::{DType, Device, Tensor};
use hpo::network::{Activation, Layer, Regularizer};
use hpo::shape;
use hpo::training::{Loss, Metric, Training};

use super::builder::Builder;
use super::layers::{Mode, Module, Pass};
use super::loss::{criterion, fits, takes_over};
use super::optimizer::Optimizer;
use super::state::{Part, Read, read_like, read_scalar};
use super::weight::Weight;
use super::{Error, Ops, Totals};
use crate::kernels;
use crate::targets::Targets;

/// A network, its loss and its optimiser, on one device.
///
/// Weights, dropout and therefore every result are functions of layers, recipe, seed, lane and the
/// device's numerics class alone.
pub struct Model {
    input: Vec<usize>,
    /// Numbers in a row of the output.
    width: usize,
    layers: Vec<Placed>,
    weights: Vec<Weight>,
    optimizer: Optimizer,
    loss: Loss,
    metrics: Vec<Metric>,
    seed: u64,
    lane: u64,
    steps: u64,
    device: Device,
    dtype: DType,
    ops: Ops,
}

/// Prefix of the weights' names, and name of the number of steps, in a model's state.
const WEIGHTS: &str = "weights.";
const STEPS: &str = "steps";

/// A layer at its place.
struct Placed {
    module: Module,
    /// Its number in the network; a SeparableConv2D is built as two modules.
    index: usize,
    /// The regulariser of its output.
    activity: Option<Regularizer>,
}

impl Model {
    /// The network of a study with this `seed` for rows of shape `input` and labels that are
    /// `classes`, or values without them. Each `lane` of a seed, made of a trial's number and its run,
    /// has random numbers of its own. `Invalid` if layers, loss, metrics and labels do not fit each
    /// other.
    pub fn new(
        layers: &[Layer],
        training: &Training,
        input: &[usize],
        classes: Option<u32>,
        (seed, lane): (u64, u64),
        device: &Device,
    ) -> Result<Model, Error> {
        let ops = if device.is_cpu() { Ops::Kernels } else { Ops::Composed };
        Self::build(layers, training, input, classes, (seed, lane), device, DType::F32, ops)
    }

    /// As [`Model::new`], with what only tests choose: the type of the numbers and the form of the
    /// operations.
    #[allow(clippy::too_many_arguments, reason = "two more than `new` has, for tests")]
    pub(super) fn build(
        layers: &[Layer],
        training: &Training,
        input: &[usize],
        classes: Option<u32>,
        (seed, lane): (u64, u64),
        device: &Device,
        dtype: DType,
        ops: Ops,
    ) -> Result<Model, Error> {
        let mut builder = Builder { seed, lane, device, dtype, weights: Vec::new() };
        let mut placed = Vec::new();
        let mut row = input.to_vec();
        for (index, layer) in layers.iter().enumerate() {
            let output = shape::output_shape(layer, &row)
                .map_err(|why| Error::Invalid(format!("layer {index}: {why}")))?;
            if let Layer::SeparableConv2D(conv) = layer {
                let ([first, second], activity) = builder.separable(index, layer, conv, &row)?;
                placed.extend([
                    Placed { module: first, index, activity: None },
                    Placed { module: second, index, activity },
                ]);
            } else {
                let (module, activity) = builder.layer(index, layer, &row, &output)?;
                let before = placed.last_mut().filter(|last| ops == Ops::Kernels && last.activity.is_none());
                if !before.is_some_and(|last: &mut Placed| last.module.takes_up(&module)) {
                    placed.push(Placed { module, index, activity });
                }
            }
            row = output;
        }
        fits(training, &row, classes)?;
        let loss = take_last(&mut placed, training.loss);
        let weights = builder.weights;
        let optimizer = Optimizer::new(training.optimizer.clone(), &weights, ops)?;
        let (input, width, metrics, device) =
            (input.to_vec(), row.iter().product(), training.metrics.clone(), device.clone());
        Ok(Model {
            input,
            width,
            layers: placed,
            weights,
            optimizer,
            loss,
            metrics,
            seed,
            lane,
            steps: 0,
            device,
            dtype,
            ops,
        })
    }

    /// Empty sums for labels that are these `classes`, in order, or values if there are none.
    pub fn totals(&self, classes: &[u32]) -> Totals {
        Totals::new(&self.metrics, self.loss.outputs(), self.width, classes)
    }

    /// Trains on a batch: `x` holds the rows one after the other, `y` a label for each. Adds the
    /// batch's sums to `totals`, as they were before the weights moved, and returns its loss,
    /// penalties included.
    pub fn step(&mut self, x: Vec<f32>, y: &Targets, totals: &mut Totals) -> Result<f64, Error> {
        let (output, loss) = self.pass(x, y, Mode::Train)?;
        let gradients = kernels::gradients::backward(&loss)?;
        let mean = mean(&loss)? + self.optimizer.penalty(&self.weights)?;
        self.optimizer.step(&self.weights, &gradients)?;
        self.steps += 1;
        totals.add(&output, mean, y)?;
        Ok(mean)
    }

    /// Adds the sums of a batch to `totals`, without training on it.
    pub fn evaluate(&self, x: Vec<f32>, y: &Targets, totals: &mut Totals) -> Result<(), Error> {
        let (output, loss) = self.pass(x, y, Mode::Evaluate)?;
        let mean = mean(&loss)? + self.optimizer.penalty(&self.weights)?;
        Ok(totals.add(&output, mean, y)?)
    }

    /// Exchanges the weights with their moving averages, if the optimiser keeps some: the averages
    /// are what is validated and kept. Called again, it takes the weights back.
    pub fn swap_averages(&mut self) -> Result<(), Error> {
        Ok(self.optimizer.swap_averages(&self.weights)?)
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        self.optimizer.learning_rate()
    }

    /// Steps go on with this learning rate.
    pub fn set_learning_rate(&mut self, rate: f64) {
        self.optimizer.set_learning_rate(rate);
    }

    /// The weights with their names, such as `layers.1.kernel`, in the network's order. The tensors
    /// are the model's own and move with it.
    pub fn weights(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.weights.iter().map(|weight| (weight.name.as_str(), weight.var.as_tensor()))
    }

    /// Everything that the next step depends on: a model of the same layers and recipe goes on from it
    /// to the same bits. Take it between steps, while the averages are not swapped in.
    pub fn state(&self) -> Result<Vec<Part<'_>>, Error> {
        let weights = self.weights().map(|(name, tensor)| Part::of(format!("{WEIGHTS}{name}"), tensor));
        let steps = Tensor::new(self.steps as i64, &Device::Cpu)?;
        Ok(weights
            .chain([Part::of(STEPS.to_owned(), &steps)])
            .chain(self.optimizer.state(&self.weights)?)
            .collect())
    }

    /// Restores the [state](Model::state) of another model. An error names the tensor that is missing
    /// or differs in shape or type, and leaves the model half restored.
    pub fn restore(&mut self, read: &mut Read) -> Result<(), Error> {
        for Weight { name, var, .. } in &self.weights {
            var.set(&read_like(read, &format!("{WEIGHTS}{name}"), var)?)?;
        }
        self.steps = read_scalar::<i64>(read, STEPS)? as u64;
        Ok(self.optimizer.restore(&self.weights, read)?)
    }

    /// Output `(rows, width)` and mean loss of a batch, activity penalties included.
    fn pass(&self, x: Vec<f32>, y: &Targets, mode: Mode) -> Result<(Tensor, Tensor), Error> {
        let rows = y.len();
        let shape: Vec<usize> = [&[rows], self.input.as_slice()].concat();
        let mut pass = Pass {
            ops: self.ops,
            mode,
            rows,
            stream: (self.seed, self.lane, self.steps),
            penalties: Vec::new(),
        };
        let mut x = Tensor::from_vec(x, shape, &self.device)?.to_dtype(self.dtype)?;
        for Placed { module, index, activity } in &self.layers {
            x = module.forward(x, *index, &mut pass)?;
            pass.penalize(&x, *activity)?;
            // Nothing is kept for a backward pass that will not come.
            if mode == Mode::Evaluate {
                x = x.detach();
            }
        }
        let output = x.reshape((rows, ()))?;
        let mut loss = self.ops.loss(&output, criterion(self.loss, y)?)?;
        for penalty in pass.penalties {
            loss = (loss + penalty)?;
        }
        Ok((output, loss))
    }
}

/// Removes the last activation of the network if the loss can include it, which is one pass and exact,
/// and returns the loss that does.
fn take_last(layers: &mut [Placed], loss: Loss) -> Loss {
    let last = layers.last_mut().filter(|last| last.activity.is_none());
    if let Some((wanted, taking)) = takes_over(loss)
        && let Some(activation) = last.and_then(|last| last.module.last_activation())
        && *activation == wanted
    {
        *activation = Activation::Linear;
        return taking;
    }
    loss
}

fn mean(loss: &Tensor) -> candle_core::Result<f64> {
    loss.to_dtype(DType::F64)?.to_scalar()
}

#[cfg(test)]
impl Model {
    pub(super) fn test_weights(&self) -> &[Weight] {
        &self.weights
    }

    /// The gradients of the trainable weights, those of the regularisers included.
    pub(super) fn test_gradients(&self, x: Vec<f32>, y: &Targets) -> Vec<Vec<f32>> {
        let gradients = kernels::gradients::backward(&self.pass(x, y, Mode::Train).unwrap().1).unwrap();
        let of_weight = |weight: &Weight| {
            let numbers: Vec<f32> = weight.var.flatten_all().unwrap().to_vec1().unwrap();
            let gradient = gradients
                .get(&weight.var)
                .map(|gradient| gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap());
            let mut gradient = gradient.unwrap_or_else(|| vec![0.0; numbers.len()]);
            if let Some(Regularizer { l1, l2 }) = weight.regularizer {
                let sign = |w: f32| if w == 0.0 { 0.0 } else { f64::from(w.signum()) };
                gradient
                    .iter_mut()
                    .zip(&numbers)
                    .for_each(|(g, w)| *g += (l1 * sign(*w) + 2.0 * l2 * f64::from(*w)) as f32);
            }
            gradient
        };
        self.weights.iter().filter(|weight| weight.trainable).map(of_weight).collect()
    }

    /// The outputs with the last activation, even if the `declared` loss includes it.
    pub(super) fn test_output(&self, x: Vec<f32>, y: &Targets, declared: Loss) -> Vec<f32> {
        let (output, _) = self.pass(x, y, Mode::Evaluate).unwrap();
        let taken = takes_over(declared).filter(|(_, taking)| *taking == self.loss);
        let last = taken.map_or(Activation::Linear, |(activation, _)| activation);
        self.ops.activation(&output, last).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }
}
