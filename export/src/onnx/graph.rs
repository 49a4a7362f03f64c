//! A graph in the making: nodes, and the constants they use.

use super::proto::{
    AttributeProto, AttributeType, DataType, Dimension, DimensionProto, GraphProto, NodeProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// A graph in the making. Values have names; each name is made once.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    /// The start of the names of new nodes and constants: the layer.
    pub(crate) scope: String,
    pub(crate) nodes: Vec<NodeProto>,
    pub(crate) constants: Vec<TensorProto>,
}

impl Graph {
    /// Adds an operation with one output, and returns that.
    pub(crate) fn node(
        &mut self,
        operation: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        let [output] = self.node_of(operation, inputs, attributes);
        output
    }

    /// Adds an operation with several outputs, and returns them.
    pub(crate) fn node_of<const N: usize>(
        &mut self,
        operation: &str,
        inputs: &[&str],
        attribute: Vec<AttributeProto>,
    ) -> [String; N] {
        let name = format!("{}/{operation}_{}", self.scope, self.nodes.len());
        let outputs = std::array::from_fn(|at| format!("{name}:{at}"));
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: outputs.to_vec(),
            name,
            op_type: operation.to_owned(),
            attribute,
        });
        outputs
    }

    /// Adds a constant of f32, and returns its name; `shape` is empty for a single number.
    pub(crate) fn floats(&mut self, name: &str, shape: &[usize], numbers: &[f32]) -> String {
        self.constant(
            name,
            DataType::Float,
            shape,
            numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        )
    }

    /// Adds a single number, and returns its name.
    pub(crate) fn float(&mut self, name: &str, number: f32) -> String {
        self.floats(name, &[], &[number])
    }

    /// Adds a list of integers, such as a shape or axes, and returns its name.
    pub(crate) fn integers(&mut self, name: &str, numbers: &[i64]) -> String {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.constant(name, DataType::Int64, &[numbers.len()], bytes)
    }

    fn constant(&mut self, name: &str, data_type: DataType, shape: &[usize], raw_data: Vec<u8>) -> String {
        let name = format!("{}/{name}:{}", self.scope, self.constants.len());
        let dims = shape.iter().map(|size| *size as i64).collect();
        self.constants.push(TensorProto { dims, data_type: data_type.into(), name: name.clone(), raw_data });
        name
    }
}

/// An attribute that is a number.
pub(crate) fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { f, ..attribute(name, AttributeType::Float) }
}

/// An attribute that is an integer.
pub(crate) fn integer(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i, ..attribute(name, AttributeType::Int) }
}

/// An attribute that is a text.
pub(crate) fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto { s: s.into(), ..attribute(name, AttributeType::String) }
}

/// An attribute that is a list of numbers.
pub(crate) fn floats(name: &str, floats: Vec<f32>) -> AttributeProto {
    AttributeProto { floats, ..attribute(name, AttributeType::Floats) }
}

/// An attribute that is a list of integers.
pub(crate) fn integers<T: Copy + TryInto<i64>>(name: &str, ints: &[T]) -> AttributeProto {
    // Sizes of layers, which `crate::limits` keeps far below.
    let ints = ints.iter().map(|int| (*int).try_into().unwrap_or(i64::MAX)).collect();
    AttributeProto { ints, ..attribute(name, AttributeType::Ints) }
}

/// An attribute that is a list of texts.
pub(crate) fn texts(name: &str, texts: &[&str]) -> AttributeProto {
    AttributeProto {
        strings: texts.iter().map(|text| (*text).into()).collect(),
        ..attribute(name, AttributeType::Strings)
    }
}

/// An attribute that is a graph.
pub(crate) fn graph(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(graph), ..attribute(name, AttributeType::Graph) }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), kind: kind.into(), ..AttributeProto::default() }
}

/// A tensor of f32 with rows of `shape`, any number of them.
pub(crate) fn value_info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let batch = DimensionProto { value: Some(Dimension::Name("batch".to_owned())) };
    let sizes = shape.iter().map(|size| DimensionProto { value: Some(Dimension::Size(*size as i64)) });
    let shape = TensorShapeProto { dim: std::iter::once(batch).chain(sizes).collect() };
    let tensor = TensorTypeProto { elem_type: DataType::Float.into(), shape: Some(shape) };
    ValueInfoProto { name: name.to_owned(), value_type: Some(TypeProto { tensor_type: Some(tensor) }) }
}
