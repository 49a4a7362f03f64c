use super::*;

fn rows(features: Features, labels: &[u32]) -> Rows {
    Rows { shape: vec![2], features, ..Rows::of(Labels::Classes(labels.to_vec())) }
}

fn hash_of(rows: Rows) -> String {
    rows.seal("test", None, None).unwrap().schema.hash
}

#[test]
fn the_hash_covers_features_labels_weights_shape_type_and_range() {
    let base = || rows(Features::U8(vec![1, 2, 3, 4]), &[0, 1]);
    let mut reshaped = base();
    reshaped.shape = vec![2, 1];
    let mut ranged = base();
    ranged.scale_max = Some(255.0);
    let weighted = |weights: [f32; 2]| hash_of(Rows { weights: Some(weights.to_vec()), ..base() });
    let hashes = [
        weighted([1.0, 1.0]),
        weighted([1.0, 2.0]),
        hash_of(base()),
        hash_of(rows(Features::U8(vec![1, 2, 3, 5]), &[0, 1])),
        hash_of(rows(Features::U8(vec![1, 2, 3, 4]), &[1, 0])),
        hash_of(rows(Features::F32(vec![1.0, 2.0, 3.0, 4.0]), &[0, 1])),
        hash_of(rows(Features::F64(vec![1.0, 2.0, 3.0, 4.0]), &[0, 1])),
        hash_of(rows(Features::F64(vec![1.0, 2.0, 3.0, 4.0 + f64::EPSILON * 4.0]), &[0, 1])),
        hash_of(reshaped),
        hash_of(ranged),
    ];
    assert_eq!(hashes[2], hash_of(base()));
    assert_eq!(hashes.iter().collect::<std::collections::HashSet<_>>().len(), hashes.len());
    // Computed by hand with sha256sum; it changes only with the version in the first line.
    assert_eq!(hashes[2], "caf6596aca933e3891a074850568cd2d8e3a34babb983ddef89c2590096fa30b");
}

#[test]
fn validation_rows_count_in_the_hash_but_not_as_rows() {
    let base = || rows(Features::U8(vec![1, 2, 3, 4]), &[0, 1]);
    let held_out = base().seal("a", Some((base(), "b")), None).unwrap();
    assert_eq!((held_out.schema.rows, held_out.labels.len()), (2, 4));
    assert_ne!(held_out.schema.hash, hash_of(base()));
    assert_ne!(
        held_out.schema.hash,
        hash_of(rows(Features::U8(vec![1, 2, 3, 4, 1, 2, 3, 4]), &[0, 1, 0, 1]))
    );
}

#[test]
fn validation_rows_must_fit_the_training_rows() {
    let base = || rows(Features::U8(vec![1, 2, 3, 4]), &[0, 1]);
    let message = |more: Rows| base().seal("a", Some((more, "b")), None).unwrap_err().to_string();
    assert_eq!(
        message(rows(Features::F32(vec![0.0; 4]), &[0, 1])),
        "b: validation rows are float32, training rows uint8; they must agree"
    );
    let mut wide = rows(Features::U8(vec![0; 8]), &[0, 1]);
    wide.shape = vec![4];
    assert_eq!(message(wide), "b: validation rows have the shape [4], training rows [2]; they must agree");
    let mut values = base();
    values.labels = Labels::Values(vec![0.5, 1.5]);
    assert!(message(values).contains("one has classes and one has values"));
}

#[test]
fn weights_are_at_least_0_and_not_all_0() {
    let sealed = |weights: [f32; 2], more| {
        Rows { weights: Some(weights.to_vec()), ..rows(Features::U8(vec![0; 4]), &[0, 1]) }
            .seal("a", more, None)
    };
    assert_eq!(
        sealed([0.0, 0.0], None).unwrap_err().to_string(),
        "a: all weights are 0; at least one must be larger"
    );
    assert_eq!(
        sealed([0.0, -1.0], None).unwrap_err().to_string(),
        "a: row 1 (from 0) has a weight below 0; weights are at least 0"
    );
    let more = rows(Features::U8(vec![0; 4]), &[0, 1]);
    assert_eq!(sealed([0.0, 3.0], Some((more, "b"))).unwrap().weights, Some(vec![0.0, 3.0, 1.0, 1.0]));
}

#[test]
fn a_schema_names_the_classes_in_order_and_the_positive_one() {
    let schema = |labels: &[u32], names: &[&str]| {
        let class_names = names.iter().map(|name| (*name).to_owned()).collect();
        let features = Features::U8(vec![0; 2 * labels.len()]);
        Rows { class_names, ..rows(features, labels) }.seal("a", None, None).unwrap().schema
    };
    let shown = |schema: &DatasetSchema| (schema.class_names.clone().unwrap(), schema.positive_class.clone());
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    assert_eq!(
        shown(&schema(&[1, 0], &["fraud", "legit"])),
        (owned(&["fraud", "legit"]), Some("legit".into()))
    );
    assert_eq!(shown(&schema(&[1, 0], &[])), (owned(&["0", "1"]), Some("1".into())));
    assert_eq!(shown(&schema(&[1, 2], &[])), (owned(&["0", "1", "2"]), None));
    assert!(!schema(&[1, 0], &[]).names_classes() && schema(&[1, 0], &["no", "yes"]).names_classes());
    let many = schema(&[0, 299], &[]);
    assert_eq!((many.class_names.unwrap().len(), many.classes), (limits::CLASSES_NAMED_MAX, Some(300)));
    let long = "é".repeat(limits::CLASS_NAME_SHOWN_MAX + 1);
    assert_eq!(
        shown(&schema(&[1, 0], &["a", &long])).1,
        Some(format!("{}…", "é".repeat(limits::CLASS_NAME_SHOWN_MAX)))
    );
    let values = Rows { labels: Labels::Values(vec![0.5, 1.5]), ..rows(Features::U8(vec![0; 4]), &[]) }
        .seal("a", None, None)
        .unwrap()
        .schema;
    assert_eq!((values.class_names, values.positive_class), (None, None));
}

#[test]
fn of_two_classes_the_positive_one_is_class_1() {
    let sealed = |labels: &[u32], names: &[&str], positive: &str| {
        let class_names = names.iter().map(|name| (*name).to_owned()).collect();
        let more = (rows(Features::U8(vec![0; 2]), &[0]), "b");
        Rows { class_names, ..rows(Features::U8(vec![0; 2 * labels.len()]), labels) }.seal(
            "a",
            Some(more),
            Some(positive),
        )
    };
    let found = |names: &[&str], positive: &str| {
        let dataset = sealed(&[0, 1, 1], names, positive).unwrap();
        (
            dataset.labels,
            dataset.class_names.join(" "),
            dataset.schema.positive_class.unwrap(),
            dataset.schema.class_names.unwrap().join(" "),
        )
    };
    let as_read = |names: &str, positive: &str| {
        (Labels::Classes(vec![0, 1, 1, 0]), names.to_owned(), positive.to_owned(), names.to_owned())
    };
    let turned = |names: &str, positive: &str| {
        (Labels::Classes(vec![1, 0, 0, 1]), names.to_owned(), positive.to_owned(), names.to_owned())
    };
    assert_eq!(found(&["fraud", "legit"], "legit"), as_read("fraud legit", "legit"));
    assert_eq!(found(&["fraud", "legit"], "fraud"), turned("legit fraud", "fraud"));
    assert_eq!((found(&[], "1"), found(&[], "0")), (as_read("0 1", "1"), turned("1 0", "0")));
    let message = |labels: &[u32], positive| sealed(labels, &[], positive).unwrap_err().to_string();
    assert_eq!(message(&[0, 1], "yes"), "a: there is no class \"yes\"; they are 0, 1");
    assert_eq!(
        message(&[0, 2], "1"),
        "a: positive_class needs two classes, but the labels are 3 classes; leave it out"
    );
}

#[test]
fn values_that_32_bits_make_equal_are_found_and_named() {
    let found = |values: Vec<f64>, columns: &[&str]| {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        let labels: Vec<u32> = (0..values.len() as u32 / 2).map(|row| row % 2).collect();
        Rows { columns, ..rows(Features::F64(values), &labels) }.seal("a", None, None).unwrap().collapse
    };
    let collapse = |feature: &str, low, high| Some(Collapse { feature: feature.into(), values: [low, high] });
    assert_eq!(
        found(vec![0.1, 1.7e12 + 5.0, 0.2, 1.7e12], &["a", "t"]),
        collapse("column \"t\"", 1.7e12, 1.7e12 + 5.0)
    );
    assert_eq!(
        found(vec![0.1, 1.7e12 + 5.0, 0.2, 1.7e12], &[]),
        collapse("feature 1 (from 0)", 1.7e12, 1.7e12 + 5.0)
    );
    // Rounded by much of their range, and still apart.
    assert_eq!(found(vec![0.1, 1.7e12, 0.2, 1.7e12 + 150_000.0], &[]), None);
    assert_eq!(found(vec![0.1, 0.3, 0.2, 0.1 + 0.2], &[]), None, "they differ by rounding alone");
}

#[test]
fn one_class_or_too_many_are_refused() {
    let message =
        |labels| rows(Features::U8(vec![0; 4]), labels).seal("a", None, None).unwrap_err().to_string();
    assert!(message(&[0, 0]).contains("at least two classes"));
    assert!(message(&[1, 1]).contains("at least two classes"));
    assert!(
        message(&[0, limits::DATASET_CLASSES_MAX]).contains("store the values of a regression as floats")
    );
}
