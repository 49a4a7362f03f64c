//! Damaged files.

use super::*;

/// Flips bits of each byte in turn and cuts the file at each length; `same` where a checksum guards
/// the data.
fn damage(name: &str, spec: &DatasetSpec, same: bool) {
    let folder = tempfile::tempdir().unwrap();
    let bytes = fs::read(golden().join(name)).unwrap();
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let other = golden().join(Path::new(name).parent().unwrap()).join("../white/a.jpg");
    if name.contains('/') {
        let beside = path.parent().unwrap().join("../white");
        fs::create_dir_all(&beside).unwrap();
        fs::copy(other, beside.join("a.jpg")).unwrap();
    }
    let load = |bytes: &[u8]| {
        // A new file: ext4 writes one that was cut to nothing and filled anew to the disk at once.
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).unwrap();
        // A catalog of its own: times are too coarse to tell the versions of the file apart.
        Catalog::new(folder.path())
            .loaded(spec)
            .map(|dataset| dataset.schema.hash.clone())
            .map_err(|error| error.to_string())
    };
    let whole = load(&bytes).unwrap();
    for length in 0..bytes.len() {
        let outcome = load(&bytes[..length]);
        assert!(outcome.is_err() || !same, "{name} cut after {length} bytes is read");
    }
    for at in 0..bytes.len() {
        for flip in [0x01, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            if let Ok(hash) = load(&damaged) {
                assert!(hash == whole || !same, "{name} with byte {at} changed by {flip:#x} is other data");
            }
        }
    }
}

#[test]
fn a_damaged_npz_is_refused_or_the_same() {
    damage("mnist.npz", &npz("mnist.npz", "x_train", "y_train"), true);
    damage("stored.npz", &npz("stored.npz", "x_train", "y_train"), true);
}

#[test]
fn a_damaged_safetensors_file_does_not_panic() {
    damage("mnist.safetensors", &safetensors("images", "labels"), false);
}

#[test]
fn a_damaged_parquet_file_does_not_panic() {
    damage("table.parquet", &table("species"), false);
    for path in ["table-gzip.parquet", "table-zstd.parquet", "table-lz4.parquet"] {
        damage(path, &DatasetSpec { one_hot: table("species").one_hot, ..parquet(path, "species") }, false);
    }
    damage("half.parquet", &parquet("half.parquet", "y"), false);
}

#[test]
fn a_damaged_image_does_not_panic() {
    damage("jpeg/red/a.jpg", &images("jpeg"), false);
}
