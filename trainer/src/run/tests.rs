//! The training loop by itself: what it logs, what it holds, what it goes on from.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::Path;

use serde_json::{Value as Json, json};
use store::StudyId;
use store::artifact::Artifacts;

use super::*;
use crate::tests::counted;

#[test]
fn of_several_runs_means_and_deviations_are_logged() {
    assert_eq!(summary(&[vec![1.0, 2.0]]), [1.0, 2.0]);
    assert_eq!(summary(&[vec![1.0, 2.0], vec![3.0, 2.0]]), [2.0, 2.0, 1.0, 0.0]);
    assert!(summary(&[vec![1.0, 2.0], vec![f64::NAN]])[0].is_nan());
}

/// A trial of the digits that is trained here.
struct TestTrial {
    study: Study,
    folds: Vec<Fold>,
    folder: tempfile::TempDir,
}

impl TestTrial {
    fn new(network: Json, training: Json, executions: u32) -> TestTrial {
        TestTrial::split(0.5, network, training, executions)
    }

    /// One that validates on this part of the digits.
    fn split(part: f64, network: Json, training: Json, executions: u32) -> TestTrial {
        let mut document = json!({
            "name": "test", "seed": 1, "network": network, "dataset": {"source": "builtin:digits", "validation_split": part, "scale": "unit"},
            "training": {"loss": "sparse_categorical_crossentropy", "epochs": 3}, "objective": {"metric": "val_loss"}, "executions_per_trial": executions
        });
        document["training"].as_object_mut().unwrap().extend(training.as_object().unwrap().clone());
        TestTrial::of(&document, |_| {})
    }

    /// One of this study, whose files `write` puts into the datasets folder.
    fn of(document: &Json, write: impl FnOnce(&Path)) -> TestTrial {
        let study = Study::parse(document).unwrap();
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let dataset =
            data::Catalog::new(folder.path()).load(&study.dataset, data::Caller::patient(60)).unwrap();
        let plan = study.plan(&hpo::Point::default()).unwrap();
        let splits = data::splits(&dataset, &study.dataset, study.seed).unwrap().into_iter();
        let folds = splits
            .map(|split| Fold {
                data: Scaled::new(dataset.clone(), &split.train, plan.scale).unwrap(),
                split,
            })
            .collect();
        TestTrial { study, folds, folder }
    }

    fn epochs(&self) -> u32 {
        self.study.plan(&hpo::Point::default()).unwrap().training.epochs
    }

    fn key(&self, number: u64) -> CheckpointKey {
        let (dataset, runs) = (self.folds[0].data.dataset().schema.hash.clone(), self.study.runs() as usize);
        CheckpointKey { study: "01JD".into(), number, numerics: "cpu-1".into(), dataset, runs }
    }

    /// What came of work on it.
    fn with_job<T>(&self, work: impl FnOnce(&Job) -> T) -> T {
        let plan = self.study.plan(&hpo::Point::default()).unwrap();
        let key = self.key(0);
        let artifacts = Artifacts::open(self.folder.path().to_str().unwrap()).unwrap();
        let spool = || artifacts.spool(StudyId::generate(), 0);
        let (study, plan, folds, stop) = (&self.study, &plan, &self.folds[..], &Stop::default());
        let device = &Device::Cpu;
        work(&Job {
            study,
            number: 0,
            plan,
            folds,
            device,
            key: &key,
            spool: &spool,
            checkpoint_seconds: 0,
            stop,
        })
    }

    /// Trains from these checkpoints on. Returns the curve, the checkpoints and the most bytes
    /// held, in units of what the pre-flight says.
    fn run(&self, checkpoints: Vec<File>) -> (Vec<Vec<f32>>, Vec<Spool>, f64) {
        let plan = self.study.plan(&hpo::Point::default()).unwrap();
        let dataset = self.folds[0].data.dataset();
        let estimate = hpo::preflight::memory(&self.study, &plan, &dataset.schema).unwrap().1;
        let (mut curve, mut spools) = (Vec::new(), Vec::new());
        let (ended, peak) = self.with_job(|job| {
            counted::peak(|| {
                let checkpoints = checkpoints.into_iter().filter_map(|file| Checkpoint::open(file, job.key));
                train(job, checkpoints, |event| match event {
                    Event::Epoch { values, .. } => curve.push(values),
                    Event::Checkpoint(Saved { spool, .. }) => spools.push(spool),
                    Event::NoCheckpoint(error) => panic!("{error}"),
                })
            })
        });
        assert!(ended.is_ok(), "{ended:?}");
        (curve, spools, peak as f64 / estimate as f64)
    }
}

fn opened(spool: &Spool) -> File {
    let mut file = spool.file().try_clone().unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn a_trial_with_validation_and_checkpoints_takes_at_most_half_more_than_the_preflight_says() {
    let end = json!({"layer": "Dense", "units": 10, "activation": "softmax"});
    let wide = json!([{"layer": "Flatten"}, {"layer": "Dense", "units": 1500, "activation": "relu"}, {"layer": "Dense", "units": 200}, end]);
    let images = json!([
        {"layer": "Reshape", "target_shape": [8, 8, 1]}, {"layer": "Conv2D", "filters": 32, "kernel_size": 3, "activation": "relu", "padding": "same"}, {"layer": "BatchNormalization"},
        {"layer": "MaxPooling2D"}, {"layer": "Conv2D", "filters": 16, "kernel_size": 3}, {"layer": "Flatten"}, end
    ]);
    let sequence =
        json!([{"layer": "Reshape", "target_shape": [16, 4]}, {"layer": "LSTM", "units": 128}, end]);
    let wide_sequence =
        json!([{"layer": "Reshape", "target_shape": [16, 4]}, {"layer": "LSTM", "units": 512}, end]);
    let image = json!({"layer": "Reshape", "target_shape": [8, 8, 1]});
    let groups = json!([
        image, {"layer": "Conv2D", "filters": 256, "kernel_size": 8}, {"layer": "Conv2D", "filters": 512, "kernel_size": 3, "padding": "same", "groups": 2},
        {"layer": "Flatten"}, end
    ]);
    let one_filter = json!([
        image, {"layer": "Conv2D", "filters": 512, "kernel_size": 3, "padding": "same"}, {"layer": "Conv2D", "filters": 1, "kernel_size": 8}, {"layer": "Flatten"}, end
    ]);
    let dropping = json!([{"layer": "Reshape", "target_shape": [2, 32]}, {"layer": "GRU", "units": 2, "dropout": 0.3}, end]);
    for (network, training, executions) in [
        (&wide, json!({"optimizer": "adam"}), 1),
        (&wide, json!({"optimizer": "sgd"}), 1),
        (&wide, json!({"optimizer": {"name": "sgd", "momentum": 0.9, "use_ema": true}}), 3),
        (&images, json!({"optimizer": "adam", "batch_size": 4}), 1),
        (&images, json!({"optimizer": "adam", "batch_size": 200}), 1),
        (&sequence, json!({"optimizer": "nadam", "batch_size": 8}), 1),
        (&wide_sequence, json!({"optimizer": "sgd", "batch_size": 4}), 1),
        (&dropping, json!({"optimizer": "adam", "batch_size": 256}), 1),
        (&groups, json!({"optimizer": "sgd", "batch_size": 4, "epochs": 1}), 1),
        (&one_filter, json!({"optimizer": "sgd", "batch_size": 1, "epochs": 1}), 1),
    ] {
        let trial = TestTrial::new(network.clone(), training.clone(), executions);
        let (whole, checkpoints, peak) = trial.run(Vec::new());
        assert!(peak < 1.5, "{training}: {peak}");
        let (resumed, _, peak) = trial.run(checkpoints.iter().map(opened).collect());
        assert!(peak < 1.5, "resumed, {training}: {peak}");
        assert_eq!((whole.len() as u32, &resumed), (trial.epochs(), &whole), "{training}");
    }
}

#[test]
fn a_batch_larger_than_the_training_rows_validates_on_no_more_than_is_counted() {
    let network = json!([
        {"layer": "Reshape", "target_shape": [8, 8, 1]}, {"layer": "Conv2D", "filters": 32, "kernel_size": 3, "padding": "same", "activation": "relu"},
        {"layer": "GlobalAveragePooling2D"}, {"layer": "Dense", "units": 10, "activation": "softmax"}
    ]);
    let (.., peak) =
        TestTrial::split(0.95, network, json!({"optimizer": "sgd", "batch_size": 2048}), 1).run(Vec::new());
    assert!(peak < 1.5, "{peak}");
}

#[test]
fn a_step_of_whatever_layers_takes_at_most_half_more_than_the_preflight_says() {
    let end = json!({"layer": "Dense", "units": 10, "activation": "softmax"});
    let convolution = |more: Json| {
        let mut layer = json!({"layer": "Conv2D", "filters": 16, "kernel_size": 3, "padding": "same"});
        layer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        layer
    };
    let of_images = [
        convolution(json!({})),
        convolution(json!({"padding": "valid"})),
        convolution(json!({"kernel_size": 7, "filters": 2})),
        convolution(json!({"strides": 2})),
        convolution(json!({"dilation_rate": 2})),
        convolution(json!({"kernel_size": 1, "activation": "gelu"})),
        json!({"layer": "DepthwiseConv2D", "kernel_size": 3, "padding": "same", "depth_multiplier": 2}),
        json!({"layer": "SeparableConv2D", "filters": 16, "kernel_size": 3, "padding": "same"}),
        json!({"layer": "MaxPooling2D"}),
        json!({"layer": "MaxPooling2D", "strides": 1}),
        json!({"layer": "AveragePooling2D"}),
        json!({"layer": "AveragePooling2D", "padding": "same", "strides": 1}),
        json!({"layer": "BatchNormalization"}),
        json!({"layer": "PReLU"}),
        json!({"layer": "LeakyReLU"}),
        json!({"layer": "ZeroPadding2D"}),
        json!({"layer": "SpatialDropout2D", "rate": 0.3}),
        json!({"layer": "Dropout", "rate": 0.3}),
        json!({"layer": "GaussianNoise", "stddev": 0.3}),
        json!({"layer": "Permute", "dims": [2, 1, 3]}),
        json!({"layer": "Rescaling", "scale": 0.3}),
        json!({"layer": "Dense", "units": 16}),
        json!({"layer": "Activation", "activation": "gelu"}),
    ];
    // They go over the last dimension, which needs two numbers.
    let over_rows =
        [json!({"layer": "LayerNormalization"}), json!({"layer": "Activation", "activation": "softmax"})];
    let grouped = convolution(json!({"groups": 4}));
    let mut of_sequences = vec![
        json!({"layer": "Conv1D", "filters": 16, "kernel_size": 3}),
        json!({"layer": "Conv1D", "filters": 16, "kernel_size": 5, "strides": 2}),
        json!({"layer": "MaxPooling1D"}),
        json!({"layer": "GlobalMaxPooling1D"}),
        json!({"layer": "GlobalAveragePooling1D"}),
    ];
    for class in ["SimpleRNN", "LSTM", "GRU"] {
        let whole = json!({"layer": class, "units": 8, "return_sequences": true});
        of_sequences.push(json!({"layer": class, "units": 8, "dropout": 0.3}));
        of_sequences.push(json!({"layer": "Bidirectional", "wrapped": whole}));
        of_sequences.push(whole);
    }
    let image = json!({"layer": "Reshape", "target_shape": [8, 8, 1]});
    let sequence = json!({"layer": "Reshape", "target_shape": [32, 2]});
    let two_channels = json!({"layer": "Reshape", "target_shape": [8, 4, 2]});
    let alone = of_images
        .iter()
        .map(|layer| (&image, layer))
        .chain(over_rows.iter().map(|layer| (&two_channels, layer)));
    let alone = alone.map(|(image, layer)| json!([image, layer, {"layer": "Flatten"}, end]));
    let deep = of_images.iter().chain(&over_rows).chain([&grouped]);
    let deep =
        deep.map(|layer| json!([image, convolution(json!({})), layer, layer, {"layer": "Flatten"}, end]));
    let sequences = of_sequences.iter().map(|layer| json!([sequence, layer, {"layer": "Flatten"}, end]));
    for network in alone.chain(deep).chain(sequences) {
        let trial =
            TestTrial::new(network.clone(), json!({"optimizer": "adam", "batch_size": 256, "epochs": 1}), 1);
        let (.., peak) = trial.run(Vec::new());
        assert!(peak < 1.5, "{peak} of {network}");
    }
}

#[test]
fn large_numbers_that_differ_by_little_are_learned_as_small_ones() {
    // 400 times within a minute: in milliseconds since 1970 (41 bits), and since its begin. The
    // second half of the minute is the one class.
    let since_begin: Vec<i64> = (0..400).map(|row| row * 7_919 % 60_000).collect();
    let since_1970: Vec<i64> = since_begin.iter().map(|time| 1_700_000_000_000 + time).collect();
    let class = |row: usize| u8::from(since_begin[row] >= 30_000);
    let csv = |times: &[i64]| {
        let rows = times.iter().enumerate().map(|(row, time)| format!("{time},{}\n", class(row)));
        format!("time_ms,y\n{}", rows.collect::<String>())
    };
    let tensors = |numbers: Vec<u8>, dtype: safetensors::Dtype| {
        let labels: Vec<u8> = (0..400).map(class).collect();
        let view = |dtype, shape, bytes| safetensors::tensor::TensorView::new(dtype, shape, bytes).unwrap();
        let tensors = HashMap::from([
            ("x", view(dtype, vec![400, 1], &numbers)),
            ("y", view(safetensors::Dtype::U8, vec![400], &labels)),
        ]);
        safetensors::serialize(tensors, None).unwrap()
    };
    let table = |source: &str| json!({"source": source, "label": "y"});
    let arrays = |source: &str| json!({"source": source, "features": "x", "labels": "y"});
    let floats: Vec<u8> = since_1970.iter().flat_map(|time| (*time as f64).to_le_bytes()).collect();
    let integers: Vec<u8> = since_1970.iter().flat_map(|time| time.to_le_bytes()).collect();
    for (source, bytes) in [
        (table("small.csv"), csv(&since_begin).into_bytes()),
        (table("large.csv"), csv(&since_1970).into_bytes()),
        (arrays("floats.safetensors"), tensors(floats, safetensors::Dtype::F64)),
        (arrays("integers.safetensors"), tensors(integers, safetensors::Dtype::I64)),
    ] {
        for scale in ["standardize", "min_max"] {
            let mut document = json!({
                "name": "times", "seed": 7, "dataset": {"validation_split": 0.25, "scale": scale}, "objective": {"metric": "val_accuracy"},
                "network": [{"layer": "Dense", "units": 8, "activation": "relu"}, {"layer": "Dense", "units": 1, "activation": "sigmoid"}],
                "training": {"optimizer": {"name": "adam", "learning_rate": 0.05}, "loss": "binary_crossentropy", "metrics": ["accuracy"], "epochs": 60}
            });
            document["dataset"].as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
            let path = source["source"].as_str().unwrap();
            let trial = TestTrial::of(&document, |folder| fs::write(folder.join(path), &bytes).unwrap());
            let ended = trial.with_job(|job| train(job, std::iter::empty(), |_| {}));
            let Ok(best) = ended else { panic!("{path}: {ended:?}") };
            assert_eq!(best.value, 1.0, "{path}, {scale}");
            let dtype = if path == "small.csv" { candle_core::DType::F32 } else { candle_core::DType::F64 };
            let scaling: Vec<_> = best
                .weights
                .named()
                .filter(|(name, _)| name.starts_with("scale."))
                .map(|(_, tensor)| tensor.dtype())
                .collect();
            assert_eq!(scaling, [dtype, dtype], "{path}, {scale}");
        }
    }
}

#[test]
fn a_checkpoint_that_is_damaged_gives_way_to_another() {
    let trial = TestTrial::new(
        json!([{"layer": "Flatten"}, {"layer": "Dense", "units": 10, "activation": "softmax"}]),
        json!({"optimizer": "adam"}),
        1,
    );
    let (whole, checkpoints, _) = trial.run(Vec::new());
    let mut bytes = Vec::new();
    opened(&checkpoints[0]).read_to_end(&mut bytes).unwrap();
    let altered = |alter: fn(&mut Vec<u8>)| {
        let (mut bytes, mut file) = (bytes.clone(), tempfile::tempfile().unwrap());
        alter(&mut bytes);
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        file
    };
    let damaged: [fn(&mut Vec<u8>); 7] = [
        // One bit of a number.
        |bytes| *bytes.last_mut().unwrap() ^= 16,
        |bytes| bytes.truncate(3),
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes[20] ^= 255,
        |bytes| bytes[7] = 255,
        // Another name, another epoch.
        |bytes| {
            let at = bytes.windows(13).position(|window| window == b"layers.1.bias").unwrap();
            bytes[at + 9] = b'B';
        },
        |bytes| {
            let epoch = br#"\"epoch\":1"#;
            let at = bytes.windows(epoch.len()).position(|window| window == epoch).unwrap();
            bytes[at + epoch.len() - 1] = b'2';
        },
    ];
    assert!(Checkpoint::open(altered(|_| ()), &trial.key(0)).is_some());
    assert!(Checkpoint::open(altered(|_| ()), &trial.key(1)).is_none(), "another trial's");
    assert!(damaged.iter().all(|alter| Checkpoint::open(altered(*alter), &trial.key(0)).is_none()));
    // A sound one that some other version of us would have written: its first layer is restored,
    // its last does not fit.
    let wider = json!([{"layer": "Flatten"}, {"layer": "Dense", "units": 4}, {"layer": "Dense", "units": 10, "activation": "softmax"}]);
    let other = opened(&TestTrial::new(wider, json!({"optimizer": "adam"}), 1).run(Vec::new()).1[0]);
    let files = [other].into_iter().chain(damaged.map(altered)).chain([altered(|_| ())]).collect();
    let (resumed, ..) = trial.run(files);
    assert_eq!(resumed, whole);
}

#[test]
fn the_time_that_earlier_attempts_took_counts() {
    let network = json!([{"layer": "Flatten"}, {"layer": "Dense", "units": 10, "activation": "softmax"}]);
    let mut trial = TestTrial::new(network, json!({"optimizer": "sgd"}), 1);
    trial.study.max_trial_seconds = Some(3_600.0);
    // How a trial ends that has run for so long, and how long it has run at its last checkpoint.
    let resumed = |spent_ms: u64| {
        trial.with_job(|job| {
            let mut runs = [Run::new(job, 0).unwrap()];
            let progress = Progress { epoch: 1, curve: vec![vec![0; 2]], spent_ms, ..Progress::default() };
            let mut last = save(job, &runs, None, &progress).unwrap();
            let checkpoint = Checkpoint::open(opened(&last), job.key);
            let ended = train(job, checkpoint.into_iter(), |event| {
                if let Event::Checkpoint(Saved { spool, .. }) = event {
                    last = spool;
                }
            });
            let checkpoint = Checkpoint::open(opened(&last), job.key).unwrap();
            let (_, progress) = checkpoint.restore(runs.iter_mut().map(|run| &mut run.model)).unwrap();
            (ended, progress)
        })
    };
    let (ended, progress) = resumed(1_000_000);
    assert!(ended.is_ok() && progress.epoch == 2 && progress.spent_ms >= 1_000_000, "{ended:?} {progress:?}");
    assert!(matches!(resumed(3_600_000).0, Err(Unfinished::OutOfTime)));
}
