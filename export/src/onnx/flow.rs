//! The tensor that runs through the layers, and its layout.

use super::graph::{Graph, integers};
use super::proto::AttributeProto;

/// The tensor that runs through the layers.
pub(crate) struct Flow {
    pub(crate) graph: Graph,
    /// Its name.
    value: String,
    /// A row's shape, channels last whatever the layout.
    pub(crate) shape: Vec<usize>,
    layout: Layout,
}

/// The order of the dimensions of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    ChannelsLast,
    ChannelsFirst,
}

impl Flow {
    /// The graph's input.
    pub(crate) fn new(input_shape: &[usize]) -> Flow {
        Flow {
            graph: Graph::default(),
            value: "input".to_owned(),
            shape: input_shape.to_vec(),
            layout: Layout::ChannelsLast,
        }
    }

    /// Names the result `output`, and returns its shape and the graph.
    pub(crate) fn finish(mut self) -> (Vec<usize>, Graph) {
        self.channels_last();
        // Even a model without any operation needs an output of its own.
        self.graph.nodes.push(super::proto::NodeProto {
            input: vec![self.value],
            output: vec!["output".to_owned()],
            name: "output/Identity".to_owned(),
            op_type: "Identity".to_owned(),
            attribute: Vec::new(),
        });
        (self.shape, self.graph)
    }

    /// Applies an operation to the tensor and `others`.
    pub(crate) fn apply(&mut self, operation: &str, others: &[&str], attributes: Vec<AttributeProto>) {
        let inputs = [&[self.value.as_str()], others].concat();
        self.value = self.graph.node(operation, &inputs, attributes);
    }

    /// Applies `with` to the tensor.
    pub(crate) fn map(&mut self, with: impl FnOnce(&mut Graph, &str) -> String) {
        self.value = with(&mut self.graph, &self.value);
    }

    /// The dimension of the tensor that holds the channels; the batch is dimension 0.
    pub(crate) fn channel_axis(&self) -> i64 {
        match self.layout {
            Layout::ChannelsLast => self.shape.len() as i64,
            Layout::ChannelsFirst => 1,
        }
    }

    /// The dimensions of the tensor between batch and channels.
    pub(crate) fn place_axes(&self) -> Vec<i64> {
        let first = if self.layout == Layout::ChannelsFirst { 2 } else { 1 };
        (first..first + self.shape.len() as i64 - 1).collect()
    }

    /// Transposes the tensor to (batch, channels, …), unless it has that layout.
    pub(crate) fn channels_first(&mut self) {
        if self.layout == Layout::ChannelsLast && self.shape.len() > 1 {
            let rank = self.shape.len();
            let order: Vec<usize> = [0, rank].into_iter().chain(1..rank).collect();
            self.apply("Transpose", &[], vec![integers("perm", &order)]);
            self.layout = Layout::ChannelsFirst;
        }
    }

    /// Transposes the tensor to (batch, …, channels), unless it has that layout.
    pub(crate) fn channels_last(&mut self) {
        if self.layout == Layout::ChannelsFirst {
            let rank = self.shape.len();
            let order: Vec<usize> = std::iter::once(0).chain(2..=rank).chain([1]).collect();
            self.apply("Transpose", &[], vec![integers("perm", &order)]);
            self.layout = Layout::ChannelsLast;
        }
    }

    /// A constant with the shape of a row, or 1 in some dimensions, in the layout of the tensor.
    pub(crate) fn row_constant(&mut self, name: &str, shape: &[usize], numbers: &[f32]) -> String {
        if self.layout == Layout::ChannelsLast {
            return self.graph.floats(name, shape, numbers);
        }
        let channels = shape.last().copied().unwrap_or(1);
        let turned: Vec<f32> = (0..channels)
            .flat_map(|channel| numbers.iter().skip(channel).step_by(channels))
            .copied()
            .collect();
        let shape = [&[channels], &shape[..shape.len() - 1]].concat();
        self.graph.floats(name, &shape, &turned)
    }

    /// Says that the tensor has no dimensions between batch and channels, so that both layouts are the
    /// same.
    pub(crate) fn lies_flat(&mut self) {
        self.layout = Layout::ChannelsLast;
    }
}
