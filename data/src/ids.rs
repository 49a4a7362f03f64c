//! The feature of a dataset that an Embedding, which takes features as ids, is the least able to use.

use hpo::dataset::{DatasetSpec, RowPart, RowPlace, WorstId};

use crate::{Dataset, Features};

/// The first feature that is not an id (below 0, or not whole), otherwise the largest; with its
/// place.
pub(crate) fn worst(dataset: &Dataset, spec: &DatasetSpec) -> WorstId {
    let (at, value) = match &dataset.features {
        Features::U8(values) => {
            let largest = values.iter().copied().fold(0, u8::max); // vectorised, unlike `max`
            (values.iter().position(|value| *value == largest), f32::from(largest))
        }
        Features::F32(values) => {
            let largest = values.iter().copied().fold(0.0, f32::max);
            let at = values.iter().position(|value| *value < 0.0 || value.fract() != 0.0);
            let at = at.or_else(|| values.iter().position(|value| *value == largest));
            (at, at.map_or(0.0, |at| values[at]))
        }
        // A value that needs 64 bits is far beyond the rows of any Embedding.
        Features::F64(values) => {
            let largest = values.iter().copied().fold(0.0, f64::max);
            let at = values.iter().position(|value| *value < 0.0 || value.fract() != 0.0);
            let at = at.or_else(|| values.iter().position(|value| *value == largest));
            (at, at.map_or(0.0, |at| values[at] as f32))
        }
    };
    WorstId { value, place: place(dataset, spec, at.unwrap_or(0)) }
}

/// The place of the feature `at`, counted through all rows.
fn place(dataset: &Dataset, spec: &DatasetSpec, at: usize) -> String {
    let (width, rows) = (dataset.width(), dataset.schema.rows as usize);
    let (row, within) = (at / width, at % width);
    let RowPlace { file, row } = spec.place_of(row, rows, RowPart::Features);
    match dataset.columns.get(within) {
        Some(column) => format!("{file}, row {row} (from 0), column {column:?}"),
        None => format!("{file}, row {row}, value {within} (from 0)"),
    }
}

#[cfg(test)]
mod tests {
    use hpo::dataset::{ArrayFormat, Files, Source, TableFormat};

    use super::*;
    use crate::{Caller, Catalog};

    #[test]
    fn the_worst_id_of_a_table_is_named_with_row_and_column() {
        let folder = tempfile::tempdir().unwrap();
        let spec = |one_hot: &[&str]| DatasetSpec {
            one_hot: one_hot.iter().map(|name| (*name).to_owned()).collect(),
            ..DatasetSpec::new(Source::Table {
                path: "w.csv".into(),
                format: TableFormat::Csv,
                label: "y".into(),
            })
        };
        for (text, one_hot, value, place) in [
            ("a,y,b\n3,0,1\n2,1,7\n7,0,7\n", &[][..], 7.0, "w.csv, row 1 (from 0), column \"b\""),
            ("a,y,b\n3,0,1\n2,1,0.5\n-7,0,9\n", &[], 0.5, "w.csv, row 1 (from 0), column \"b\""),
            ("a,y,b\n3,0,1\n-2,1,0.5\n", &[], -2.0, "w.csv, row 1 (from 0), column \"a\""),
            // Two columns of categories before the number.
            ("a,y,b\nu,0,1\nv,1,8\n", &["a"], 8.0, "w.csv, row 1 (from 0), column \"b\""),
            ("a,y,b\nu,0,0\nv,1,0\n", &["a"], 1.0, "w.csv, row 0 (from 0), column \"a\""),
        ] {
            std::fs::write(folder.path().join("w.csv"), text).unwrap();
            let worst = Catalog::new(folder.path())
                .described(&spec(one_hot), Caller::patient(60))
                .unwrap()
                .findings
                .worst_id;
            assert_eq!(worst, WorstId { value, place: place.to_owned() }, "{text}");
        }
    }

    #[test]
    fn the_worst_id_of_an_array_is_named_with_file_and_place() {
        let golden = Catalog::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
        let files = |features: &str, labels: &str| Files { features: features.into(), labels: labels.into() };
        let arrays = |array: &str, validation| {
            let source = Source::Arrays {
                path: "mnist.npz".into(),
                format: ArrayFormat::Npz,
                arrays: files(array, "y_train"),
            };
            golden
                .described(&DatasetSpec { validation, ..DatasetSpec::new(source) }, Caller::patient(60))
                .unwrap()
                .findings
                .worst_id
        };
        let named = |value, place: &str| WorstId { value, place: place.to_owned() };
        assert_eq!(
            arrays("x_train", None),
            named(55.0, "mnist.npz, array \"x_train\", row 5, value 5 (from 0)")
        );
        // Its own largest is 26, below the 55 of the rows that train.
        let validation = Some(files("x_test", "y_test"));
        assert_eq!(
            arrays("x_train", validation),
            named(55.0, "mnist.npz, array \"x_train\", row 5, value 5 (from 0)")
        );
        let folder = tempfile::tempdir().unwrap();
        for (name, most) in [("x", 8), ("vx", 9)] {
            std::fs::write(folder.path().join(name), [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 2, most])
                .unwrap();
        }
        std::fs::write(folder.path().join("y"), [0, 0, 8, 1, 0, 0, 0, 2, 0, 1]).unwrap();
        let spec = DatasetSpec {
            validation: Some(files("vx", "y")),
            ..DatasetSpec::new(Source::Idx(files("x", "y")))
        };
        assert_eq!(
            Catalog::new(folder.path()).described(&spec, Caller::patient(60)).unwrap().findings.worst_id,
            named(9.0, "vx, row 1, value 1 (from 0)")
        );
        let digits = golden
            .described(&DatasetSpec::new(Source::Builtin("digits".into())), Caller::patient(60))
            .unwrap()
            .findings
            .worst_id;
        assert_eq!(digits.value, 16.0);
        assert!(digits.place.starts_with("builtin:digits, row 1, value 12 "), "{}", digits.place);
    }
}
