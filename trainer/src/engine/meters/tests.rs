//! The metrics against Keras's.

use candle_core::Device;
use hpo::document::Reading;
use serde_json::Value as Json;

use super::*;

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
        let mut totals = Totals::new(&[metric], width, Activation::Linear);
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
fn an_activation_that_was_left_to_the_loss_is_made_up_for() {
    let metrics = [Metric::CategoricalAccuracy, Metric::Precision, Metric::Recall, Metric::Auc, Metric::F1Score];
    let logits = [2.0, -1.0, 0.5, -3.0, 0.1, 4.0, 0.2, 0.3, -0.1];
    for (last, width) in [(Activation::Softmax, 3), (Activation::Sigmoid, 3), (Activation::Sigmoid, 1)] {
        let targets = if width == 1 { classes(&[1, 0, 1, 0, 0, 1, 1, 1, 0]) } else { classes(&[0, 1, 2]) };
        let metrics = if width == 1 { &metrics[1..] } else { &metrics };
        let mut probabilities = logits.to_vec();
        activate(last, &mut probabilities, width);
        let mut left = Totals::new(metrics, width, last);
        left.add(&output(logits.to_vec(), width), 1.0, &targets).unwrap();
        let mut done = Totals::new(metrics, width, Activation::Linear);
        done.add(&output(probabilities, width), 1.0, &targets).unwrap();
        assert!((0..metrics.len()).all(|index| left.value(index) == done.value(index)), "{last:?} {left:?} {done:?}");
    }
}

#[test]
fn a_smaller_batch_counts_for_fewer_rows() {
    let mut totals = Totals::new(&[Metric::Accuracy], 2, Activation::Linear);
    totals.add(&output(vec![0.9, 0.1, 0.2, 0.8, 0.7, 0.3], 2), 1.0, &classes(&[0, 1, 0])).unwrap();
    totals.add(&output(vec![0.9, 0.1], 2), 3.0, &classes(&[1])).unwrap();
    assert_eq!((totals.rows, totals.mean_loss(), totals.value(0)), (4, 1.5, 0.75));
}

#[test]
fn of_equal_outputs_the_first_is_the_largest_and_all_are_on_top() {
    let metrics = [Metric::Accuracy, Metric::TopKCategoricalAccuracy { k: 1 }];
    let mut totals = Totals::new(&metrics, 3, Activation::Linear);
    totals.add(&output(vec![0.4, 0.4, 0.2], 3), 0.0, &classes(&[1])).unwrap();
    assert_eq!((totals.value(0), totals.value(1)), (0.0, 1.0));
}

#[test]
fn labels_without_variance_explain_nothing() {
    let mut totals = Totals::new(&[Metric::R2Score], 1, Activation::Linear);
    let targets = Targets { labels: Labels::Values([0.1, 0.1, 0.1].into()), weights: None };
    totals.add(&output(vec![0.1, 0.1, 0.1], 1), 0.0, &targets).unwrap();
    assert_eq!(totals.value(0), 0.0);
}
