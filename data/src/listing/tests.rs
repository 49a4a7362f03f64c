use std::os::unix::fs::symlink;

use super::*;

#[test]
fn builtin_datasets_and_files_are_listed_with_their_schemas() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("datasets");
    fs::create_dir_all(folder.join("mnist")).unwrap();
    let images = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 5, 6];
    fs::write(folder.join("mnist/train-images-idx3-ubyte"), images).unwrap();
    fs::write(folder.join("mnist/train-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 2, 0, 1]).unwrap();
    fs::write(folder.join("mnist/t10k-images.idx3-ubyte"), images).unwrap();
    fs::write(folder.join("a.csv"), "x,y\n1,0\n2,1\n").unwrap();
    fs::write(folder.join("bad.csv"), "x,y\n1,0\n,1\n").unwrap();
    fs::write(folder.join("notes.txt"), "x").unwrap();
    fs::write(outer.path().join("secret.csv"), "secret,y\n1,0\n").unwrap();
    symlink("../secret.csv", folder.join("secret.csv")).unwrap();
    symlink("..", folder.join("up")).unwrap();

    let catalog = Catalog::new(&folder);
    let listed = catalog.list();

    let names: Vec<&str> =
        listed.iter().filter_map(|listed| listed.source.as_deref().or(listed.features.as_deref())).collect();
    let expect =
        ["builtin:digits", "builtin:iris", "builtin:wine", "builtin:breast_cancer", "builtin:diabetes"];
    assert_eq!(names[..5], expect);
    assert_eq!(names[5..], ["a.csv", "bad.csv", "mnist/train-images-idx3-ubyte", "secret.csv"]);
    assert!(listed[..5].iter().all(|listed| listed.schema.is_some()));
    let [csv, bad, idx, secret] = &listed[5..] else { unreachable!() };
    assert_eq!((csv.label.as_deref(), csv.schema.as_ref().unwrap().classes), (Some("y"), Some(2)));
    assert_eq!(csv.columns.as_deref().unwrap(), ["x", "y"]);
    assert_eq!(
        bad.problem.as_deref(),
        Some("bad.csv, line 3, column \"x\": the field is empty; fill it or leave the line out")
    );
    assert_eq!(
        (idx.labels.as_deref(), idx.schema.as_ref().unwrap().rows),
        (Some("mnist/train-labels-idx1-ubyte"), 2)
    );
    assert!(
        secret.problem.as_deref().unwrap().contains("leaves the datasets folder through a link")
            && secret.columns.is_none()
    );
    assert_eq!(catalog.list(), listed, "the second listing remembers");
}

#[test]
fn arrays_tables_and_folders_of_images_are_listed_as_a_study_names_them() {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let listed = Catalog::new(golden).list();
    let find = |source: &str| {
        listed
            .iter()
            .find(|listed| listed.source.as_deref() == Some(source))
            .unwrap_or_else(|| panic!("{source}"))
    };
    let rows = |listed: &Listed| listed.schema.as_ref().map(|schema| schema.rows);
    let npz = find("mnist.npz");
    assert_eq!(
        (npz.features.as_deref(), npz.labels.as_deref(), rows(npz)),
        (Some("x_train"), Some("y_train"), Some(6))
    );
    assert_eq!(npz.arrays.as_deref().unwrap(), ["x_test", "x_train", "y_test", "y_train"]);
    let tensors = find("mnist.safetensors");
    assert!(
        tensors.problem.as_deref().unwrap().contains("a study must name `features` and `labels`")
            && tensors.arrays.is_some()
    );
    let table = find("table.parquet");
    assert_eq!((table.label.as_deref(), table.columns.as_ref().map(Vec::len)), (Some("species"), Some(9)));
    assert!(table.problem.as_deref().unwrap().contains("name the column in one_hot"));
    assert!(find("refused-null.parquet").problem.as_deref().unwrap().contains("the value is missing"));
    assert_eq!(
        (rows(find("grey/")), rows(find("colour/")), rows(find("jpeg/"))),
        (Some(3), Some(3), Some(3))
    );
    assert!(listed.iter().all(|listed| listed.source.as_deref() != Some("bomb.png")));
}

#[test]
fn a_listing_reads_no_more_than_its_share() {
    let catalog = Catalog::new("/nowhere");
    let (late, early) = (Instant::now(), Instant::now() + Duration::from_secs(60));
    assert!(catalog.list_builtin("digits", late).problem.unwrap().contains("list again"));
    assert!(catalog.list_builtin("digits", early).schema.is_some());
    assert!(catalog.list_builtin("digits", late).schema.is_some(), "what is known needs no reading");
}

#[test]
fn a_listing_waits_for_no_slow_file_and_finds_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "1,0\n2,1\n".repeat(2_000_000);
    fs::write(folder.path().join("slow.csv"), format!("a,y\n{rows}")).unwrap();
    let catalog = Catalog::new(folder.path());
    let listed = |until| catalog.list_file("slow.csv", &[], until).unwrap();
    let head = listed(Instant::now() + Duration::from_millis(20));
    assert_eq!(head.problem.as_deref(), Some(NOT_YET));
    // A builtin one is shown whatever is under way.
    assert!(catalog.list_builtin("iris", Instant::now() + Duration::from_secs(60)).schema.is_some());
    assert!(
        listed(Instant::now() + Duration::from_secs(60))
            .schema
            .is_some_and(|schema| schema.rows == 4_000_000)
    );
}

#[test]
fn a_head_is_read_once_and_not_when_it_is_too_late() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "a,y\n1,0\n2,1\n").unwrap();
    let catalog = Catalog::new(folder.path());
    let head = |until, reads: &str| {
        catalog.head("a.csv", until, |reading| {
            reading.check()?;
            Ok(Head::of_table(TableFormat::Csv, vec![reads.to_owned()]))
        })
    };
    let soon = Instant::now() + Duration::from_secs(60);
    assert_eq!(head(Instant::now(), "late"), None);
    let read = |name: &str| Some(Ok(Head::of_table(TableFormat::Csv, vec![name.to_owned()])));
    assert_eq!(head(soon, "first"), read("first"));
    assert_eq!(head(Instant::now(), "second"), read("first"), "what is known needs no reading");
    fs::write(folder.path().join("a.csv"), "a,b,y\n1,0,0\n2,1,1\n").unwrap();
    assert_eq!(head(soon, "changed"), read("changed"));
}

#[test]
fn labels_are_found_by_mnists_names() {
    let paths =
        ["images/images-idx3-ubyte", "images/labels-idx1-ubyte.gz", "t-labels.idx1-ubyte"].map(str::to_owned);
    assert_eq!(labels_of("images/images-idx3-ubyte", &paths).as_deref(), Some("images/labels-idx1-ubyte.gz"));
    assert_eq!(labels_of("t-images.idx3-ubyte.gz", &paths).as_deref(), Some("t-labels.idx1-ubyte"));
    assert_eq!(labels_of("images/labels-idx1-ubyte.gz", &paths), None);
    assert_eq!(labels_of("other-images-idx3-ubyte", &paths), None);
}
