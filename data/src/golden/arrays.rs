//! Files of arrays.

use super::*;

#[test]
fn keras_mnist_is_read_from_its_npz() {
    let validation = Some(files("x_test", "y_test"));
    let dataset =
        load(&DatasetSpec { validation: validation.clone(), ..npz("mnist.npz", "x_train", "y_train") })
            .unwrap();
    let schema = &dataset.schema;
    assert_eq!(
        (&schema.shape[..], schema.dtype.as_str(), schema.rows, schema.classes, schema.scale_max),
        (&[2, 3][..], "uint8", 6, Some(3), Some(255.0))
    );
    let train: Vec<u8> = (0..36).map(|at| 10 * (at / 6) + at % 6).collect();
    let test: Vec<u8> = train[..18].iter().map(|value| value + 1).collect();
    assert_eq!(dataset.features, Features::U8([train, test].concat()));
    assert_eq!(dataset.labels, Labels::Classes(vec![0, 1, 2, 0, 1, 2, 0, 1, 2]));
    let stored = load(&DatasetSpec { validation, ..npz("stored.npz", "x_train", "y_train") }).unwrap();
    assert_eq!(stored.schema, dataset.schema, "deflated or stored, it is the same dataset");
}

#[test]
fn an_npz_whose_arrays_are_too_large_together_is_refused_before_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(golden().join("mnist.npz")).unwrap();
    // The uncompressed size of each entry of the ZIP's directory.
    for at in (0..bytes.len() - 28).filter(|at| bytes[*at..].starts_with(b"PK\x01\x02")).collect::<Vec<_>>() {
        bytes[at + 24..at + 28].copy_from_slice(&(600u32 << 20).to_le_bytes());
    }
    fs::write(folder.path().join("mnist.npz"), bytes).unwrap();
    let error = Catalog::new(folder.path()).schema(&npz("mnist.npz", "x_train", "y_train")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "mnist.npz: the size in bytes of its arrays together exceeds the bound of 1073741824"
    );
}

#[test]
fn every_type_of_array_is_read() {
    let types = ["i1", "i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8"].map(|name| format!("le_{name}"));
    for name in types.into_iter().chain(["be_i2", "be_i4", "be_f4", "fortran"].map(str::to_owned)) {
        let dataset =
            load(&npz("types.npz", &name, "labels")).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (&dataset.features, dataset.schema.scale_max),
            (&Features::F32(vec![0.0, 1.0, 2.0, 3.0]), None),
            "{name}"
        );
    }
    let bools = load(&npz("types.npz", "bool", "column")).unwrap();
    assert_eq!(
        (&bools.features, &bools.labels),
        (&Features::F32(vec![0.0, 1.0, 1.0, 1.0]), &Labels::Classes(vec![1, 0]))
    );
    assert_eq!(load(&npz("types.npz", "labels", "values")).unwrap().labels, Labels::Values(vec![0.5, -1.5]));
}

#[test]
fn an_array_that_cannot_be_used_is_named_with_the_reason() {
    let types = |features, labels| npz("types.npz", features, labels);
    check(
        &types("nan", "labels"),
        "features",
        "array \"nan\": row 1, value 0 (from 0) is NaN, not a finite 32-bit float",
    );
    check(&types("text", "labels"), "features", "array \"text\": has the type \"<U1\"");
    check(&types("complex", "labels"), "features", "has the type \"<c16\"");
    check(&types("structured", "labels"), "features", "has the type \"structured\"");
    check(&types("scalar", "labels"), "features", "holds a single number");
    check(&types("empty", "labels"), "features", "so no values");
    check(&types("none", "labels"), "features", "the file has no such array; its arrays are be_f4, be_i2,");
    check(&types("le_f4", "negative"), "labels", "array \"negative\": row 1 (from 0) has the label -1");
    let beyond = "types.npz, array \"huge\": row 1 (from 0) has the label 1099511627776, beyond the 65536 classes allowed; store the values of a";
    check(&types("le_f4", "huge"), "labels", beyond);
    check(
        &types("le_f4", "one_hot"),
        "labels",
        "labels need one dimension, these have [2, 2]; store class numbers (argmax)",
    );
    check(
        &types("le_f4", "le_f8"),
        "labels",
        "labels need one dimension, these have [2, 2]; labels are one number a row",
    );
    check(&types("le_f4", "three"), "labels", "3 labels for the 2 rows of le_f4; they must agree");
    let held_out = DatasetSpec { validation: Some(files("le_f4", "three")), ..types("le_f8", "labels") };
    check(&held_out, "validation/labels", "3 labels for the 2 rows of le_f4");
    check(&npz("table.parquet", "a", "b"), "source", "is not an NPZ file, or is truncated");
    check(&npz("none.npz", "a", "b"), "source", "there is no file \"none.npz\"");
}

#[test]
fn weights_come_with_the_arrays() {
    let weighted =
        |name: &str| DatasetSpec { sample_weight: Some(name.into()), ..npz("types.npz", "le_f4", "labels") };
    let plain = load(&npz("types.npz", "le_f4", "labels")).unwrap();
    let dataset = load(&weighted("weights")).unwrap();
    assert_eq!((&dataset.weights, &plain.weights), (&Some(vec![0.5, 2.0]), &None));
    assert_ne!(dataset.schema.hash, plain.schema.hash);
    check(&weighted("three"), "sample_weight", "3 weights for the 2 rows of le_f4");
    check(&weighted("negative"), "sample_weight", "row 1 (from 0) has a weight below 0");
    check(&weighted("zero_weights"), "sample_weight", "all weights are 0");
    check(&weighted("none"), "sample_weight", "the file has no such array");
}

#[test]
fn safetensors_hold_the_same_dataset_as_npz() {
    let validation = Some(files("test_images", "test_labels"));
    let dataset = load(&DatasetSpec { validation, ..safetensors("images", "labels") }).unwrap();
    let same = load(&DatasetSpec {
        validation: Some(files("x_test", "y_test")),
        ..npz("mnist.npz", "x_train", "y_train")
    })
    .unwrap();
    assert_eq!(dataset.schema, same.schema);
    let weighted =
        load(&DatasetSpec { sample_weight: Some("weights".into()), ..safetensors("images", "labels") })
            .unwrap();
    assert_eq!(weighted.weights, Some(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]));
    check(
        &safetensors("nan", "labels"),
        "features",
        "mnist.safetensors, array \"nan\": row 0, value 0 (from 0) is NaN",
    );
    check(
        &safetensors("none", "labels"),
        "features",
        "the file has no such tensor; its tensors are images, labels, nan, test_images,",
    );
}
