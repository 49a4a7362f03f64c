use std::collections::HashSet;

use prost::Message;
use serde_json::json;

use super::proto::{DataType, GraphProto, ModelProto};
use crate::model::tests::{golden, model};

/// The file of a model, parsed back.
fn parsed(model: &crate::Model) -> ModelProto {
    ModelProto::decode(model.to_onnx().unwrap().as_slice()).unwrap()
}

/// The operations of a graph, in order.
fn operations(graph: &GraphProto) -> Vec<&str> {
    graph.node.iter().map(|node| node.op_type.as_str()).collect()
}

/// Every value is made once, before it is used, and every constant has the bytes that its shape
/// says.
fn check(graph: &GraphProto, outer: &HashSet<String>) {
    let mut known = outer.clone();
    for name in graph
        .input
        .iter()
        .map(|input| &input.name)
        .chain(graph.initializer.iter().map(|constant| &constant.name))
    {
        assert!(known.insert(name.clone()), "{name} is made twice");
    }
    for constant in &graph.initializer {
        let width = if constant.data_type == i32::from(DataType::Float) { 4 } else { 8 };
        let elements: i64 = constant.dims.iter().product();
        assert_eq!(constant.raw_data.len(), elements as usize * width, "{}", constant.name);
    }
    for node in &graph.node {
        for input in &node.input {
            assert!(known.contains(input), "{} uses {input} before it is made", node.name);
        }
        node.attribute
            .iter()
            .filter_map(|attribute| attribute.g.as_ref())
            .for_each(|inner| check(inner, &known));
        for output in &node.output {
            assert!(known.insert(output.clone()), "{output} is made twice");
        }
    }
    for output in &graph.output {
        assert!(known.contains(&output.name), "{} is never made", output.name);
    }
}

#[test]
fn every_graph_makes_each_value_once_and_before_its_use() {
    for (name, model) in golden() {
        let file = parsed(&model);
        assert_eq!((file.ir_version, file.opset_import[0].version), (8, 17), "{name}");
        let graph = file.graph.unwrap();
        check(&graph, &HashSet::new());
        assert_eq!((graph.input[0].name.as_str(), graph.output[0].name.as_str()), ("input", "output"));
    }
}

#[test]
fn the_document_goes_with_the_model() {
    let file = parsed(&model(&[2], json!([{"layer": "Flatten"}]), &[]));
    let document: serde_json::Value = serde_json::from_str(&file.metadata_props[0].value).unwrap();
    assert_eq!((file.metadata_props[0].key.as_str(), &document["scale"]), ("chandler", &json!("none")));
}

#[test]
fn a_chain_of_channels_first_operations_is_transposed_at_its_ends_only() {
    let network = json!([
        {"layer": "MaxPooling2D"}, {"layer": "Activation", "activation": "relu"}, {"layer": "Dropout", "rate": 0.5},
        {"layer": "AveragePooling2D"}, {"layer": "Activation", "activation": "softmax"}, {"layer": "Flatten"}
    ]);
    let graph = parsed(&model(&[8, 8, 3], network, &[])).graph.unwrap();
    let expected =
        ["Transpose", "MaxPool", "Relu", "AveragePool", "Softmax", "Transpose", "Reshape", "Identity"];
    assert_eq!(operations(&graph), expected);
    assert_eq!(graph.node[4].attribute[0].i, 1, "softmax runs over the channels");
}

#[test]
fn layers_that_act_in_training_only_leave_nothing() {
    let network = json!([{"layer": "Dropout", "rate": 0.5}, {"layer": "SpatialDropout2D", "rate": 0.5}, {"layer": "GaussianNoise", "stddev": 1}]);
    let graph = parsed(&model(&[4, 4, 1], network, &[])).graph.unwrap();
    assert_eq!(operations(&graph), ["Identity"]);
}

#[test]
fn the_gates_of_an_lstm_are_in_onnx_s_order() {
    // One unit and one feature: a number for each of i f c o.
    let weights: &[(&str, &[usize], &[f32])] = &[
        ("layers.0.kernel", &[1, 4], &[1.0, 2.0, 3.0, 4.0]),
        ("layers.0.recurrent_kernel", &[1, 4], &[5.0, 6.0, 7.0, 8.0]),
        ("layers.0.bias", &[4], &[9.0, 10.0, 11.0, 12.0]),
    ];
    let graph = parsed(&model(&[3, 1], json!([{"layer": "LSTM", "units": 1}]), weights)).graph.unwrap();
    let numbers = |at: usize| -> Vec<f32> {
        graph.initializer[at]
            .raw_data
            .chunks(4)
            .map(|number| f32::from_le_bytes(number.try_into().unwrap()))
            .collect()
    };
    assert_eq!(numbers(0), [1.0, 4.0, 2.0, 3.0]);
    assert_eq!(numbers(1), [5.0, 8.0, 6.0, 7.0]);
    assert_eq!(numbers(2), [9.0, 12.0, 10.0, 11.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn an_activation_that_the_recurrent_operations_do_not_have_becomes_a_loop() {
    let weights: &[(&str, &[usize], &[f32])] = &[
        ("layers.0.kernel", &[1, 2], &[1.0; 2]),
        ("layers.0.recurrent_kernel", &[2, 2], &[1.0; 4]),
        ("layers.0.bias", &[2], &[0.0; 2]),
    ];
    for (activation, operation) in
        [("tanh", "RNN"), ("softsign", "RNN"), ("gelu", "Scan"), ("softmax", "Scan")]
    {
        let network = json!([{"layer": "SimpleRNN", "units": 2, "activation": activation}]);
        let graph = parsed(&model(&[3, 1], network, weights)).graph.unwrap();
        assert!(operations(&graph).contains(&operation), "{activation}");
    }
}
