//! Numbers mean what they say: what a search is steered by, as a user of the whole service sees it.

use std::path::Path;

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tests::Service;

/// Puts the tables of tests/data into a data folder.
fn tables(data_dir: &Path) {
    std::fs::create_dir_all(data_dir.join("datasets")).unwrap();
    for name in ["two.csv", "three.csv", "fraud.csv"] {
        let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
        std::fs::copy(table, data_dir.join("datasets").join(name)).unwrap();
    }
}

/// A study of a table whose last quarter of rows validates.
fn study(table: &str, network: Json, loss: Json, objective: &str) -> Json {
    json!({
        "name": "numbers", "seed": 7, "network": network,
        "training": {
            "optimizer": {"name": "adam", "learning_rate": 0.05}, "loss": loss, "epochs": 20, "metrics": ["accuracy", "precision", "recall", "f1_score", "auc"]
        },
        "dataset": {"source": table, "label": "y", "validation_split": 0.25, "shuffle": false}, "objective": {"metric": objective}, "max_trials": 1
    })
}

fn dense(units: u32, activation: &str) -> Json {
    json!([{"layer": "Dense", "units": units, "activation": activation}])
}

/// The validation's accuracy, precision, recall, F1, AUC and loss of the first trial.
async fn validated(service: &Service, study: &Json) -> [f64; 6] {
    let path = service.create(study).await;
    service.ended(&path).await;
    let trial = service.client.get(&format!("{path}/trials/0")).await.expect(200).json();
    ["accuracy", "precision", "recall", "f1_score", "auc", "loss"]
        .map(|name| trial["metrics"][format!("val_{name}")].as_f64().unwrap_or_else(|| panic!("{trial:#}")))
}

fn assert_near(ours: &[f64], expected: &[f64]) {
    assert!(
        ours.iter().zip(expected).all(|(ours, expected)| (ours - expected).abs() < 6e-4),
        "{ours:?} instead of {expected:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_logits_are_those_of_the_probabilities() {
    let data_dir = TempDir::new().unwrap();
    tables(data_dir.path());
    let service = Service::start(data_dir.path(), &["--slots", "1"]);
    let two = ("two.csv", 1, "binary_crossentropy", "sigmoid");
    let three = ("three.csv", 3, "sparse_categorical_crossentropy", "softmax");
    let mut seen = Vec::new();
    for (table, units, loss, end) in [two, three] {
        let logits = validated(
            &service,
            &study(table, dense(units, "linear"), json!({"name": loss, "from_logits": true}), "val_loss"),
        )
        .await;
        let probabilities =
            validated(&service, &study(table, dense(units, end), json!(loss), "val_loss")).await;
        assert_eq!(logits, probabilities, "{table}");
        seen.push(logits);
    }
    // scikit-learn's, of the predictions of the first.
    assert_near(&seen[0], &[0.80, 0.765, 0.448, 0.565, 0.839]);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_two_outputs_are_of_the_second_class_and_the_right_trial_wins() {
    let data_dir = TempDir::new().unwrap();
    tables(data_dir.path());
    let service = Service::start(data_dir.path(), &["--slots", "1"]);
    let softmax = |objective| {
        study("two.csv", dense(2, "softmax"), json!("sparse_categorical_crossentropy"), objective)
    };
    assert_near(&validated(&service, &softmax("val_accuracy")).await, &[0.81, 0.857, 0.414, 0.558, 0.840]);
    let mut search = softmax("val_recall");
    search["space"] = json!([{"name": "weights", "type": "choice", "values": ["none", "four"]}]);
    search["training"]["class_weight"] = json!({"hp": "weights", "cases": {"none": null, "four": {"1": 4}}});
    search["sampler"] = json!({"name": "grid"});
    search["max_trials"] = json!(2);
    let path = service.create(&search).await;
    let view = service.ended(&path).await;
    assert_eq!(view["best"]["hyperparameters"], json!({"weights": "four"}), "{view:#}");
    let recalls: Vec<f64> =
        service.trials(&path).await.iter().map(|trial| trial["value"].as_f64().unwrap()).collect();
    // Of the 29 rows of class 1 that validate, 14 and 28 in the best epochs.
    assert_eq!(recalls.iter().map(|recall| (recall * 29.0).round() / 29.0).collect::<Vec<_>>(), recalls);
    assert_eq!(recalls, [14.0 / 29.0, 28.0 / 29.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_weights_kept_are_those_of_the_objectives_best_epoch_and_nothing_else_is_promised() {
    let data_dir = TempDir::new().unwrap();
    tables(data_dir.path());
    let service = Service::start(data_dir.path(), &["--slots", "1"]);
    let network = json!([{"layer": "Dense", "units": 32, "activation": "relu"}, {"layer": "Dense", "units": 3, "activation": "softmax"}]);
    let stopping = |arguments: Json, objective: &str| {
        let mut study =
            study("three.csv", network.clone(), json!("sparse_categorical_crossentropy"), objective);
        study["training"]["epochs"] = json!(60);
        study["training"]["callbacks"] = json!([arguments]);
        study
    };
    for restores in [true, false] {
        let callback = json!({"name": "early_stopping", "monitor": "val_loss", "patience": 5, "restore_best_weights": restores});
        let problem =
            service.client.post("/v1/studies", &stopping(callback, "val_accuracy")).await.expect(422).json();
        assert_eq!(
            problem["errors"][0]["pointer"], "/training/callbacks/0/restore_best_weights",
            "{problem:#}"
        );
    }
    let callback =
        json!({"name": "early_stopping", "monitor": "val_loss", "patience": 5, "restore_best_weights": true});
    let path = service.create(&stopping(callback, "val_loss")).await;
    let view = service.ended(&path).await;
    let curve = service.client.get(&format!("{path}/trials/0/curve")).await.expect(200).json();
    let losses: Vec<f64> = curve["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["metrics"]["val_loss"].as_f64().unwrap())
        .collect();
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    // It stops five epochs after the best, whose weights are those that it keeps.
    assert_eq!((losses.len(), losses.iter().position(|loss| *loss == least)), (8, Some(2)), "{losses:?}");
    assert!((view["best"]["value"].as_f64().unwrap() - 0.711).abs() < 1e-3, "{view:#}");
}
