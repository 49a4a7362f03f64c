//! Tests of every format with files that NumPy, PyArrow and Pillow wrote: `data/tests/golden`, made
//! by the `make.py` there.

mod arrays;
mod damage;
mod images;
mod parquet;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::write::GzEncoder;
use hpo::dataset::{ArrayFormat, DatasetSpec, Files, Source, TableFormat};

use crate::{Catalog, Dataset, Error, Features, Labels, limits};

fn golden() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

fn files(features: &str, labels: &str) -> Files {
    Files { features: features.into(), labels: labels.into() }
}

fn arrays(format: ArrayFormat, path: &str, features: &str, labels: &str) -> DatasetSpec {
    DatasetSpec::new(Source::Arrays { path: path.into(), format, arrays: files(features, labels) })
}

fn npz(path: &str, features: &str, labels: &str) -> DatasetSpec {
    arrays(ArrayFormat::Npz, path, features, labels)
}

fn safetensors(features: &str, labels: &str) -> DatasetSpec {
    arrays(ArrayFormat::Safetensors, "mnist.safetensors", features, labels)
}

fn csv(path: &str, label: &str) -> DatasetSpec {
    DatasetSpec::new(Source::Table { path: path.into(), format: TableFormat::Csv, label: label.into() })
}

fn parquet(path: &str, label: &str) -> DatasetSpec {
    DatasetSpec::new(Source::Table { path: path.into(), format: TableFormat::Parquet, label: label.into() })
}

fn table(label: &str) -> DatasetSpec {
    let one_hot =
        ["colour", "species"].into_iter().filter(|name| *name != label).map(str::to_owned).collect();
    DatasetSpec { one_hot, ..parquet("table.parquet", label) }
}

fn images(path: &str) -> DatasetSpec {
    DatasetSpec::new(Source::Images(path.into()))
}

fn load(spec: &DatasetSpec) -> Result<Arc<Dataset>, Error> {
    Catalog::new(golden()).loaded(spec)
}

/// Why the dataset is refused, and at which field.
#[track_caller]
fn refused(spec: &DatasetSpec) -> (&'static str, String) {
    let error = load(spec).expect_err("must be refused");
    (error.field(spec), error.to_string())
}

#[track_caller]
fn check(spec: &DatasetSpec, field: &str, detail: &str) {
    let (at, message) = refused(spec);
    assert!(at == field && message.contains(detail), "{at}: {message:?} should say {detail:?} at {field}");
}

#[test]
fn a_dataset_larger_than_memory_is_refused_before_it_is_read() {
    let gzipped = tempfile::tempdir().unwrap();
    let mut file = GzEncoder::new(
        fs::File::create(gzipped.path().join("long.csv")).unwrap(),
        flate2::Compression::best(),
    );
    file.write_all(format!("x,y\n{}", "1,0\n2,1\n".repeat(10_000)).as_bytes()).unwrap();
    file.finish().unwrap();
    let long = csv("long.csv", "y");
    let refused = |folder: &Path, spec: &DatasetSpec, free: fn() -> u64, what: &str| {
        let message =
            Catalog::with_memory(folder, free).loaded(spec).expect_err("there is no room").to_string();
        assert!(
            message.contains(what) && message.contains("half of this machine's free memory"),
            "{message}"
        );
        assert!(Catalog::with_memory(folder, || 1 << 20).loaded(spec).is_ok(), "{spec:?}");
    };
    let sizes = "mnist.npz: the size in bytes of its arrays together exceeds 30 bytes";
    refused(golden(), &npz("mnist.npz", "x_train", "y_train"), || 60, sizes);
    refused(
        golden(),
        &safetensors("images", "labels"),
        || 60,
        "mnist.safetensors: the size in bytes of [6, 2, 3] of the array",
    );
    refused(golden(), &table("species"), || 60, "table.parquet: the size in bytes");
    refused(golden(), &images("colour"), || 20, "the size in bytes of ");
    // It is small as long as it is not inflated.
    refused(gzipped.path(), &long, || 4_000, "long.csv: the size in bytes exceeds 2000 bytes");
}

#[test]
fn a_dataset_that_nobody_uses_makes_room_for_another() {
    static FULL: AtomicBool = AtomicBool::new(false);
    // As if the first took all there is, until it has been asked for.
    let catalog =
        Catalog::with_memory(golden(), || if FULL.swap(false, Ordering::Relaxed) { 60 } else { 1 << 20 });
    let first = catalog.loaded(&npz("mnist.npz", "x_train", "y_train")).unwrap();
    FULL.store(true, Ordering::Relaxed);
    assert!(
        matches!(catalog.loaded(&safetensors("images", "labels")), Err(Error::Memory { .. })),
        "the first is in use"
    );
    drop(first);
    FULL.store(true, Ordering::Relaxed);
    catalog.loaded(&safetensors("images", "labels")).unwrap();
}

#[test]
fn the_schema_is_refused_where_the_split_would_be() {
    let catalog = Catalog::new(golden());
    let spec = npz("mnist.npz", "x_train", "y_train");
    let folds = |folds| catalog.schema(&DatasetSpec { folds: Some(folds), ..spec.clone() });
    assert_eq!(folds(2).unwrap(), catalog.schema(&spec).unwrap());
    let error = folds(3).unwrap_err();
    assert!(
        error.field(&spec) == "folds"
            && error
                .to_string()
                .starts_with("mnist.npz, array \"y_train\": class 2 would not be judged: of its 2 rows"),
        "{error}"
    );
}

/// An NPY file of `dims` in this type, whose values are these bytes.
fn npy(descr: &str, dims: &str, values: &[u8]) -> Vec<u8> {
    let fields = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {dims}, }}\n");
    [b"\x93NUMPY\x01\x00", &(fields.len() as u16).to_le_bytes()[..], fields.as_bytes(), values].concat()
}

#[test]
fn times_in_milliseconds_are_kept_in_64_bits_whatever_the_format() {
    let folder = tempfile::tempdir().unwrap();
    // 400 times of one minute; in 32 bits they are one number or two.
    let times: Vec<i64> = (0..400).map(|row| 1_700_000_000_000 + row * 7_919 % 60_000).collect();
    let labels: Vec<u8> = (0..400).map(|row| (row % 2) as u8).collect();
    let rows = times.iter().zip(&labels).map(|(time, label)| format!("{time},{label}\n"));
    fs::write(folder.path().join("times.csv"), format!("t,y\n{}", rows.collect::<String>())).unwrap();
    let mut zip = zip::ZipWriter::new(fs::File::create(folder.path().join("times.npz")).unwrap());
    let floats: Vec<u8> = times.iter().flat_map(|time| (*time as f64).to_le_bytes()).collect();
    let integers: Vec<u8> = times.iter().flat_map(|time| time.to_be_bytes()).collect();
    for (name, file) in [
        ("f", npy("<f8", "(400, 1)", &floats)),
        ("i", npy(">i8", "(400, 1)", &integers)),
        ("y", npy("|u1", "(400,)", &labels)),
    ] {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&file).unwrap();
    }
    zip.finish().unwrap();
    let catalog = Catalog::new(folder.path());
    let csv = catalog.loaded(&csv("times.csv", "y")).unwrap();
    assert_eq!(csv.features, Features::F64(times.iter().map(|time| *time as f64).collect()));
    assert_eq!((csv.schema.dtype.as_str(), csv.bytes()), ("float64", 400 * 12));
    assert!(
        csv.collapse.as_ref().is_some_and(|collapse| collapse.feature == "column \"t\""),
        "{:?}",
        csv.collapse
    );
    for array in ["f", "i"] {
        let dataset = catalog.loaded(&npz("times.npz", array, "y")).unwrap();
        assert_eq!(dataset.schema.hash, csv.schema.hash, "{array}: one dataset, in whatever format");
        // The rows that validate are kept as those that train, by whose spread they are scaled.
        let spec = DatasetSpec { validation: Some(files("i", "y")), ..npz("times.npz", array, "y") };
        assert!(
            matches!(&catalog.loaded(&spec).unwrap().features, Features::F64(values) if values.len() == 800)
        );
    }
}

#[test]
fn datasets_that_32_bits_hold_stay_in_them() {
    for name in ["iris", "wine", "breast_cancer", "diabetes"] {
        let folder = tempfile::tempdir().unwrap();
        // As a file, where it is told from the values.
        let packed =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/builtin")).join(format!("{name}.csv.gz"));
        fs::copy(packed, folder.path().join("a.csv.gz")).unwrap();
        let catalog = Catalog::new(folder.path());
        let file = catalog.loaded(&csv("a.csv.gz", "label")).unwrap();
        let builtin = catalog.loaded(&DatasetSpec::new(Source::Builtin(name.into()))).unwrap();
        assert_eq!(
            (file.schema.dtype.as_str(), &file.schema.hash),
            ("float32", &builtin.schema.hash),
            "{name}"
        );
    }
}
