use std::fs;
use std::io::Write as _;

use hpo::dataset::TableFormat;

use super::*;
use crate::Labels;

fn spec(source: Source) -> DatasetSpec {
    DatasetSpec::new(source)
}

fn csv(path: &str) -> DatasetSpec {
    spec(Source::Table { path: path.into(), format: TableFormat::Csv, label: "y".into() })
}

fn files(features: &str, labels: &str) -> Files {
    Files { features: features.into(), labels: labels.into() }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A tiny MNIST: `rows` images of 2×2 and their labels, as IDX.
fn mnist(rows: u8) -> (Vec<u8>, Vec<u8>) {
    let images =
        [&[0, 0, 8, 3, 0, 0, 0, rows, 0, 0, 0, 2, 0, 0, 0, 2][..], &(0..4 * rows).collect::<Vec<_>>()]
            .concat();
    let labels =
        [&[0, 0, 8, 1, 0, 0, 0, rows][..], &(0..rows).map(|row| row % 3).collect::<Vec<_>>()].concat();
    (images, labels)
}

#[test]
fn datasets_in_memory_that_are_not_in_use_go_first() {
    let catalog = Catalog::new("/nowhere");
    let load = |name: &str| catalog.loaded(&spec(Source::Builtin(name.into()))).unwrap();
    let used = load("iris");
    drop(load("digits"));
    let mut loaded = lock(&catalog.inner.loaded);
    let all = bytes(&loaded);
    shrink(&mut loaded, all);
    assert_eq!(loaded.len(), 2);
    shrink(&mut loaded, used.bytes() - 1);
    assert!(
        loaded.len() == 1 && Arc::ptr_eq(&loaded[0].1, &used),
        "what is in use stays, however much it is"
    );
}

#[test]
fn a_builtin_dataset_needs_no_folder() {
    let catalog = Catalog::new("/nowhere/at/all");
    let schema = catalog.schema(&spec(Source::Builtin("digits".into()))).unwrap();
    assert_eq!(
        (schema.shape, schema.dtype.as_str(), schema.rows, schema.classes, schema.scale_max),
        (vec![8, 8], "uint8", 1_797, Some(10), Some(16.0))
    );
    // Pinned in studies: a change here makes every trainer refuse the studies of before.
    assert_eq!(schema.hash, "4eca48485efb2e9f50fe575abb34406247fb46e066e45fc0ccc295ed942814e7");
    let diabetes = catalog.loaded(&spec(Source::Builtin("diabetes".into()))).unwrap();
    assert_eq!(
        (diabetes.schema.classes, diabetes.schema.dtype.as_str(), diabetes.width()),
        (None, "float32", 10)
    );
}

#[test]
fn gzipped_or_not_idx_files_are_the_same_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let (images, labels) = mnist(6);
    fs::write(folder.path().join("x"), &images).unwrap();
    fs::write(folder.path().join("y"), &labels).unwrap();
    fs::write(folder.path().join("x.gz"), gzip(&images)).unwrap();
    fs::write(folder.path().join("y.gz"), gzip(&labels)).unwrap();
    let catalog = Catalog::new(folder.path());
    let (plain, packed) = (spec(Source::Idx(files("x", "y"))), spec(Source::Idx(files("x.gz", "y.gz"))));
    let schema = catalog.schema(&plain).unwrap();
    assert_eq!(
        (&schema.shape[..], schema.rows, schema.classes, schema.scale_max),
        (&[2, 2][..], 6, Some(3), Some(255.0))
    );
    assert_eq!(schema, catalog.schema(&packed).unwrap());
    fs::write(folder.path().join("cut.gz"), &gzip(&images)[..30]).unwrap();
    assert!(matches!(catalog.loaded(&spec(Source::Idx(files("cut.gz", "y.gz")))), Err(Error::Io { .. })));
}

#[test]
fn validation_files_follow_the_training_rows() {
    let folder = tempfile::tempdir().unwrap();
    for (name, rows) in [("train", 6), ("test", 4)] {
        let (images, labels) = mnist(rows);
        fs::write(folder.path().join(format!("{name}-x")), images).unwrap();
        fs::write(folder.path().join(format!("{name}-y")), labels).unwrap();
    }
    let catalog = Catalog::new(folder.path());
    let train = spec(Source::Idx(files("train-x", "train-y")));
    let both = DatasetSpec { validation: Some(files("test-x", "test-y")), ..train.clone() };
    let dataset = catalog.loaded(&both).unwrap();
    assert_eq!(dataset.labels, Labels::Classes(vec![0, 1, 2, 0, 1, 2, 0, 1, 2, 0]));
    assert_eq!((dataset.schema.rows, catalog.schema(&both).unwrap()), (6, dataset.schema.clone()));
    assert_ne!(dataset.schema.hash, catalog.schema(&train).unwrap().hash);
}

#[test]
fn validation_files_may_take_what_the_training_rows_leave() {
    let folder = tempfile::tempdir().unwrap();
    let (images, labels) = mnist(6);
    fs::write(folder.path().join("x"), images).unwrap();
    fs::write(folder.path().join("y"), labels).unwrap();
    // 1,024 rows of 2^20 bytes, as its header says: all that a dataset may take.
    fs::write(folder.path().join("vx"), [0, 0, 8, 2, 0, 0, 4, 0, 0, 0x10, 0, 0]).unwrap();
    let validation = Some(files("vx", "y"));
    let spec = DatasetSpec { validation, ..spec(Source::Idx(files("x", "y"))) };
    let message = Catalog::new(folder.path()).schema(&spec).unwrap_err().to_string();
    assert_eq!(
        message,
        "vx: the size in bytes of [1024, 1048576] and of the arrays before it, exceeds the bound of 1073741824"
    );
}

#[test]
fn all_slots_share_one_copy_until_the_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    fs::write(&file, "x,y\n1,0\n2,1\n").unwrap();
    let catalog = Catalog::new(folder.path());
    let load = || catalog.loaded(&csv("a.csv")).unwrap();
    let copies: Vec<Arc<Dataset>> = std::thread::scope(|scope| {
        let slots: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
        slots.into_iter().map(|slot| slot.join().unwrap()).collect()
    });
    assert!(copies.iter().all(|copy| Arc::ptr_eq(copy, &copies[0])));
    assert_eq!(catalog.outcome(&csv("a.csv"), Instant::now()).unwrap(), Some(Ok(copies[0].schema.clone())));
    fs::write(&file, "x,y\n1,0\n2,1\n3,1\n").unwrap();
    assert_eq!(catalog.outcome(&csv("a.csv"), Instant::now()).unwrap(), None);
    let changed = catalog.loaded(&csv("a.csv")).unwrap();
    assert_eq!(changed.schema.rows, 3);
    assert_ne!(changed.schema.hash, copies[0].schema.hash);
}

#[test]
fn a_schema_is_not_read_twice() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.csv");
    fs::write(&file, "x,y\n1,0\n2,1\n").unwrap();
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let catalog = Catalog::new(folder.path());
    let first = catalog.schema(&csv("a.csv")).unwrap();
    // Same size and time, other content: only a second read could tell.
    fs::write(&file, "x,y\n1,0\n9,1\n").unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    assert_eq!(catalog.schema(&csv("a.csv")).unwrap(), first);
}

#[test]
fn a_file_that_is_gone_is_missed_even_if_its_schema_is_known() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "x,y\n1,0\n2,1\n").unwrap();
    let catalog = Catalog::new(folder.path());
    catalog.schema(&csv("a.csv")).unwrap();
    fs::remove_file(folder.path().join("a.csv")).unwrap();
    assert!(matches!(catalog.schema(&csv("a.csv")), Err(Error::Missing { .. })));
    assert!(matches!(catalog.loaded(&csv("../a.csv")), Err(Error::Path { .. })));
    assert!(matches!(catalog.loaded(&spec(Source::Builtin("x".into()))), Err(Error::Builtin { .. })));
}
