//! The metrics against Keras's.

use candle_core::Device;
use hpo::dataset::{DatasetSchema, Findings};
use hpo::document::Reading;
use hpo::preflight::preflight;
use hpo::{Point, Problem, Study};
use serde_json::{Value as Json, json};

use super::*;
use crate::engine::{Model, RowWeights};

fn output(numbers: Vec<f32>, width: usize) -> Tensor {
    Tensor::from_vec(numbers, ((), width), &Device::Cpu).unwrap()
}

fn classes(classes: &[u32]) -> Targets {
    Targets { labels: Labels::Classes(classes.into()), weights: None }
}

#[test]
fn metrics_are_what_keras_makes_of_them() {
    let cases: Json = serde_json::from_str(include_str!("../../../../tests/golden/metrics.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let metric: Metric = Reading::default().root(&case["metric"], None).read().unwrap();
        let width = case["width"].as_u64().unwrap() as usize;
        let present: Vec<u32> = (0..case["classes"].as_u64().unwrap_or(0) as u32).collect();
        // Outputs of these cases are probabilities.
        let mut totals = Totals::new(
            &[metric],
            if present.is_empty() { Outputs::Values } else { Outputs::Probabilities },
            width,
            &present,
        );
        for batch in case["batches"].as_array().unwrap() {
            let floats = |json: &Json| -> Vec<f32> { serde_json::from_value(json.clone()).unwrap() };
            let targets = match case["classes"].is_null() {
                true => Targets { labels: Labels::Values(floats(&batch["y"]).into()), weights: None },
                false => classes(&serde_json::from_value::<Vec<u32>>(batch["y"].clone()).unwrap()),
            };
            totals.add(&output(floats(&batch["output"]), width), 0.0, &targets).unwrap();
        }
        let (ours, keras) = (totals.value(0), case["value"].as_f64().unwrap());
        assert!((ours - keras).abs() < 1e-6 * (1.0 + keras.abs()), "{}: {ours} {keras}", case["name"]);
    }
}

#[test]
fn logits_count_as_the_probabilities_that_they_stand_for() {
    let metrics =
        [Metric::CategoricalAccuracy, Metric::Precision, Metric::Recall, Metric::Auc, Metric::F1Score];
    let logits = [2.0, -1.0, 0.5, -3.0, 0.1, 4.0, 0.2, 0.3, -0.1];
    for (outputs, activation, width) in [
        (Outputs::ClassLogits, Activation::Softmax, 3),
        (Outputs::Logits, Activation::Sigmoid, 3),
        (Outputs::Logits, Activation::Sigmoid, 1),
    ] {
        let targets = if width == 1 { classes(&[1, 0, 1, 0, 0, 1, 1, 1, 0]) } else { classes(&[0, 1, 2]) };
        let (metrics, present) =
            if width == 1 { (&metrics[1..], &[0, 1][..]) } else { (&metrics[..], &[0, 1, 2][..]) };
        let mut probabilities = logits.to_vec();
        activate(activation, &mut probabilities, width);
        let mut of_logits = Totals::new(metrics, outputs, width, present);
        of_logits.add(&output(logits.to_vec(), width), 1.0, &targets).unwrap();
        let mut done = Totals::new(metrics, Outputs::Probabilities, width, present);
        done.add(&output(probabilities, width), 1.0, &targets).unwrap();
        assert!(
            (0..metrics.len()).all(|index| of_logits.value(index) == done.value(index)),
            "{outputs:?} {of_logits:?} {done:?}"
        );
    }
}

#[test]
fn a_smaller_batch_counts_for_fewer_rows() {
    let mut totals = Totals::new(&[Metric::Accuracy], Outputs::Distribution, 2, &[0, 1]);
    totals.add(&output(vec![0.9, 0.1, 0.2, 0.8, 0.7, 0.3], 2), 1.0, &classes(&[0, 1, 0])).unwrap();
    totals.add(&output(vec![0.9, 0.1], 2), 3.0, &classes(&[1])).unwrap();
    assert_eq!((totals.rows, totals.mean_loss(), totals.value(0)), (4, 1.5, 0.75));
}

#[test]
fn of_equal_outputs_the_first_is_the_largest_and_all_are_on_top() {
    let metrics = [Metric::Accuracy, Metric::TopKCategoricalAccuracy { k: 1 }];
    let mut totals = Totals::new(&metrics, Outputs::Distribution, 3, &[0, 1, 2]);
    totals.add(&output(vec![0.4, 0.4, 0.2], 3), 0.0, &classes(&[1])).unwrap();
    assert_eq!((totals.value(0), totals.value(1)), (0.0, 1.0));
}

#[test]
fn labels_without_variance_explain_nothing() {
    let mut totals = Totals::new(&[Metric::R2Score], Outputs::Values, 1, &[]);
    let targets = Targets { labels: Labels::Values([0.1, 0.1, 0.1].into()), weights: None };
    totals.add(&output(vec![0.1, 0.1, 0.1], 1), 0.0, &targets).unwrap();
    assert_eq!(totals.value(0), 0.0);
}

/// Every metric × loss × end of the network × kind of labels (tests/golden/metric_table.py):
/// scikit-learn's value, or a refusal with its pointer.
#[test]
fn a_metric_is_of_what_it_names_or_refused() {
    let table: Json =
        serde_json::from_str(include_str!("../../../../tests/golden/metric_table.json")).unwrap();
    let (mut values, mut refusals, mut wrong) = (0, 0, Vec::new());
    for group in table["groups"].as_array().unwrap() {
        let Some(expected) = group["metrics"].as_array() else {
            let pointers = judged(&table, group, None).err().unwrap_or_default();
            let at_fault = pointers
                .iter()
                .any(|pointer| pointer.starts_with("/training/loss") || pointer.starts_with("/network"));
            refusals += table["metrics"].as_array().unwrap().len();
            wrong.extend((!at_fault).then(|| format!("{group}: {pointers:?}")));
            continue;
        };
        for (metric, expected) in table["metrics"].as_array().unwrap().iter().zip(expected) {
            let ours = judged(&table, group, Some(metric));
            let right = match (&ours, expected.as_f64()) {
                (Ok(ours), Some(expected)) => (ours - expected).abs() < 1e-6 * (1.0 + expected.abs()),
                (Err(pointers), None) => pointers == &["/training/metrics/0"],
                _ => false,
            };
            *(if expected.is_null() { &mut refusals } else { &mut values }) += 1;
            wrong.extend((!right).then(|| format!("{metric} of {group}: {ours:?} instead of {expected}")));
        }
    }
    assert!(wrong.is_empty(), "{} cells differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(values > 1_000 && refusals > 10_000, "{values} values, {refusals} refusals");
}

/// The value of a metric in a group of the table, as a trial computes it, 0 without a metric; or
/// the pointers of what the pre-flight refuses.
fn judged(table: &Json, group: &Json, metric: Option<&Json>) -> std::result::Result<f64, Vec<String>> {
    let width = group["width"].as_u64().unwrap() as usize;
    let labels = &table["labels"][group["labels"].as_str().unwrap()];
    let labels = match labels[0].is_f64() {
        true => data::Labels::Values(serde_json::from_value(labels.clone()).unwrap()),
        false => data::Labels::Classes(serde_json::from_value(labels.clone()).unwrap()),
    };
    let study = Study::parse(&json!({
        "name": "table", "seed": 1, "network": [{"layer": "Dense", "units": width, "activation": group["end"]}], "dataset": {"source": "builtin:iris"},
        "training": {"optimizer": "sgd", "loss": group["loss"], "metrics": metric.map_or(json!([]), |metric| json!([metric]))},
        "objective": {"metric": "loss"}
    }))
    .unwrap();
    let classes = labels.classes().last().map(|last| last + 1);
    let rows = labels.len();
    let schema = DatasetSchema {
        shape: vec![width],
        dtype: "float32".into(),
        rows: rows as u64,
        classes,
        ..DatasetSchema::default()
    };
    let pointers =
        |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.pointer).collect::<Vec<_>>();
    preflight(&study, &schema, &Findings::default()).map_err(pointers)?;
    let plan = study.plan(&Point::default()).unwrap();
    let model =
        Model::new(&plan.layers, &plan.training, &schema.shape, classes, (1, 0), &Device::Cpu).unwrap();
    // What comes in leaves through the activation alone.
    let identity = (0..width * width).map(|at| f32::from(u8::from(at / width == at % width))).collect();
    model.test_weights()[0]
        .var
        .set(&Tensor::from_vec(identity, (width, width), &Device::Cpu).unwrap())
        .unwrap();
    let x: Vec<f32> = serde_json::from_value(
        table["inputs"][format!("{}, {width}", group["labels"].as_str().unwrap())].clone(),
    )
    .unwrap();
    let mut totals = model.totals(&labels.classes());
    // Two batches, the second smaller.
    for (x, rows) in x.chunks(16 * width).zip((0..rows as u32).collect::<Vec<_>>().chunks(16)) {
        model
            .evaluate(x.to_vec(), &Targets::of(&labels, rows, &RowWeights::evaluation(None)), &mut totals)
            .unwrap();
    }
    Ok(if metric.is_some() { totals.value(0) } else { 0.0 })
}
