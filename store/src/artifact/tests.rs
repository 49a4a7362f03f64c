use std::io::{Read, Write};

use super::checkpoint::checkpoints_path;
use super::*;
use crate::limits::CHECKPOINTS_LISTED_MAX;

fn study() -> StudyId {
    StudyId::parse("01JDXA5ZK3T8Q4N6V7B9C2D0EF").unwrap()
}

fn gone() -> StudyId {
    StudyId::parse("01JDXA5ZK3T8Q4N6V7B9C2D0EG").unwrap()
}

fn nonce(number: u64) -> Nonce {
    Nonce::from_number(number)
}

fn folder() -> (tempfile::TempDir, Artifacts) {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(dir.path().join("artifacts").to_str().unwrap()).unwrap();
    (dir, artifacts)
}

async fn put(artifacts: &Artifacts, number: u64, epoch: u32, writer: &str, bytes: &[u8]) -> String {
    let spool = artifacts.spool(study(), number).unwrap();
    spool.file().write_all(bytes).unwrap();
    artifacts.put_checkpoint(study(), number, epoch, writer, spool).await.unwrap()
}

#[tokio::test]
async fn a_model_is_read_back_from_a_folder_by_another_process_and_from_memory() {
    let (dir, folder) = folder();
    let weights = Bytes::from_static(b"weights");
    let path = folder.put_model(study(), 4, 1, nonce(0xa1b2), weights.clone()).await.unwrap();
    assert_eq!(path, "studies/01JDXA5ZK3T8Q4N6V7B9C2D0EF/4/1-000000000000a1b2/model.safetensors");
    let url = Artifacts::open(&format!("file://{}/artifacts", dir.path().display())).unwrap();
    assert_eq!(url.get(&path).await.unwrap(), weights);

    let memory = Artifacts::open("memory:///some/where").unwrap();
    let path = memory.put_model(study(), 4, 1, nonce(0xa1b2), weights.clone()).await.unwrap();
    assert_eq!(memory.get(&path).await.unwrap(), weights);
}

#[tokio::test]
async fn a_probe_tells_whether_the_storage_can_be_used_and_leaves_nothing() {
    let (dir, artifacts) = folder();
    artifacts.probe().await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path().join("artifacts")).unwrap().count(), 0);
    Artifacts::open("memory:///some/where").unwrap().probe().await.unwrap();
}

#[tokio::test]
async fn every_call_fails_while_the_folder_is_gone_and_none_makes_a_new_one() {
    let (dir, artifacts) = folder();
    let weights = Bytes::from_static(b"weights");
    let model = artifacts.put_model(study(), 4, 1, nonce(0xa1b2), weights.clone()).await.unwrap();
    let checkpoint = put(&artifacts, 4, 7, "1-a", b"x").await;
    let (place, moved) = (dir.path().join("artifacts"), dir.path().join("moved"));
    std::fs::rename(&place, &moved).unwrap();
    for is_file in [false, true] {
        if is_file {
            std::fs::write(&place, "").unwrap();
        }
        for (what, outcome) in [
            ("probe", artifacts.probe().await),
            ("put_model", artifacts.put_model(study(), 4, 2, nonce(0xa1b2), weights.clone()).await.map(drop)),
            ("get", artifacts.get(&model).await.map(drop)),
            ("spool", artifacts.spool(study(), 4).map(drop)),
            ("checkpoints", artifacts.checkpoints(study(), 4).await.map(drop)),
            ("open_checkpoint", artifacts.open_checkpoint(&checkpoint).await.map(drop)),
            ("delete_checkpoints", artifacts.delete_checkpoints(study(), 4).await),
            ("delete_study", artifacts.delete_study(study()).await.map(drop)),
        ] {
            let error = outcome.expect_err(what);
            assert!(
                error.is_of_the_storage() && error.to_string().contains("artifacts: "),
                "{what}: {error}"
            );
        }
        assert!(!place.is_dir());
    }
    std::fs::remove_file(&place).unwrap();
    std::fs::rename(&moved, &place).unwrap();
    artifacts.probe().await.unwrap();
    assert_eq!(artifacts.get(&model).await.unwrap(), weights);
    for error in [
        artifacts.get("studies/none").await.unwrap_err(),
        Error::TooLarge { path: String::new(), bytes: 2, max: 1 },
    ] {
        assert!(!error.is_of_the_storage(), "{error}");
    }
}

#[tokio::test]
async fn a_late_attempt_does_not_touch_what_the_accepted_one_wrote() {
    let (_dir, artifacts) = folder();
    let accepted = artifacts.put_model(study(), 4, 2, nonce(2), Bytes::from_static(b"new")).await.unwrap();
    let late = artifacts.put_model(study(), 4, 2, nonce(1), Bytes::from_static(b"old")).await.unwrap();
    assert_ne!(accepted, late);
    assert_eq!(artifacts.get(&accepted).await.unwrap(), "new");
    artifacts.delete(&late).await.unwrap();
    artifacts.delete(&late).await.unwrap();
    assert!(matches!(artifacts.get(&late).await, Err(Error::NotFound(path)) if path == late));
}

#[tokio::test]
async fn checkpoints_are_listed_with_the_furthest_first() {
    let (dir, artifacts) = folder();
    for (epoch, writer) in [(9, "1-a"), (10, "2-b"), (2, "1-a")] {
        put(&artifacts, 4, epoch, writer, b"x").await;
    }
    put(&artifacts, 40, 99, "1-a", b"x").await;
    let paths = artifacts.checkpoints(study(), 4).await.unwrap();
    assert_eq!(paths.len(), 3);
    assert_eq!(paths[0], "studies/01JDXA5ZK3T8Q4N6V7B9C2D0EF/4/checkpoints/0000000010-2-b.safetensors");
    std::fs::write(
        dir.path()
            .join("artifacts/studies/01JDXA5ZK3T8Q4N6V7B9C2D0EF/4/checkpoints/0000000011-1-a.safetensors#1"),
        "half",
    )
    .unwrap();
    artifacts.delete_checkpoints(study(), 4).await.unwrap();
    assert_eq!(artifacts.checkpoints(study(), 4).await.unwrap(), [""; 0]);
    assert!(!dir.path().join("artifacts/studies/01JDXA5ZK3T8Q4N6V7B9C2D0EF/4/checkpoints").exists());
    assert_eq!(artifacts.checkpoints(study(), 40).await.unwrap().len(), 1);
    artifacts.delete_checkpoints(study(), 4).await.unwrap();
}

#[tokio::test]
async fn a_folder_that_cannot_be_removed_is_an_error() {
    let (dir, artifacts) = folder();
    let studies = dir.path().join("artifacts/studies");
    // What lies there is no folder, so no list shows it, and whoever runs the tests may remove
    // files.
    std::fs::create_dir_all(studies.join("01JDXA5ZK3T8Q4N6V7B9C2D0EF/4")).unwrap();
    std::fs::write(studies.join("01JDXA5ZK3T8Q4N6V7B9C2D0EF/4/checkpoints"), "").unwrap();
    std::fs::write(studies.join(gone().to_string()), "").unwrap();
    let errors = [
        artifacts.delete_checkpoints(study(), 4).await.unwrap_err(),
        artifacts.delete_study(gone()).await.unwrap_err(),
    ];
    assert!(errors.iter().all(|error| matches!(error, Error::Io(_))), "{errors:?}");
}

#[tokio::test]
async fn all_checkpoints_are_removed_even_if_there_are_more_than_a_list_shows() {
    let artifacts = Artifacts::open("memory:///some/where").unwrap();
    for epoch in 0..=CHECKPOINTS_LISTED_MAX {
        let path = checkpoints_path(study(), 4).join(format!("{epoch:010}-1-a.safetensors"));
        artifacts.store.put(&path, Bytes::from_static(b"x").into()).await.unwrap();
    }
    artifacts.delete_checkpoints(study(), 4).await.unwrap();
    assert_eq!(artifacts.checkpoints(study(), 4).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_checkpoint_is_whole_or_not_there_in_a_folder_and_in_a_bucket() {
    // More than one part of an upload.
    let bytes: Vec<u8> = (0..25_000_000_u32).map(|at| (at >> 8) as u8).collect();
    let (_dir, folder) = folder();
    for artifacts in [folder, Artifacts::open("memory:///some/where").unwrap()] {
        let half = artifacts.spool(study(), 4).unwrap();
        half.file().write_all(b"half").unwrap();
        assert_eq!(artifacts.checkpoints(study(), 4).await.unwrap(), [""; 0]);
        drop(half);
        let path = put(&artifacts, 4, 7, "1-a", &bytes).await;
        assert_eq!(artifacts.checkpoints(study(), 4).await.unwrap(), [path.as_str()]);
        let mut read = Vec::new();
        artifacts.open_checkpoint(&path).await.unwrap().read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        let missing = artifacts
            .open_checkpoint("studies/01JDXA5ZK3T8Q4N6V7B9C2D0EF/4/checkpoints/none")
            .await
            .unwrap_err();
        assert!(matches!(&missing, Error::NotFound(_)), "{missing}");
    }
}

#[tokio::test]
async fn others_may_read_a_checkpoint_as_they_may_read_a_model() {
    let (dir, folder) = folder();
    let model = folder.put_model(study(), 4, 1, nonce(1), Bytes::from_static(b"x")).await.unwrap();
    let checkpoint = put(&folder, 4, 1, "1-a", b"x").await;
    let rights = |path: &str| dir.path().join("artifacts").join(path).metadata().unwrap().permissions();
    assert_eq!(rights(&checkpoint), rights(&model));
}

#[tokio::test]
async fn a_study_is_deleted_in_bounded_steps_and_leaves_nothing() {
    for place in ["memory:///", ""] {
        let (dir, folder) = folder();
        let artifacts = if place.is_empty() { folder } else { Artifacts::open(place).unwrap() };
        // Written without the sync that the product pays for each.
        let unsynced = Artifacts {
            store: Arc::new(LocalFileSystem::new_with_prefix(dir.path().join("artifacts")).unwrap()),
            folder: None,
            scratch: PathBuf::new(),
        };
        let writer = if place.is_empty() { &unsynced } else { &artifacts };
        for number in 0..ARTIFACT_DELETE_BATCH as u64 + 1 {
            writer.put_model(gone(), number, 1, nonce(1), Bytes::from_static(b"x")).await.unwrap();
        }
        let kept = artifacts.put_model(study(), 0, 1, nonce(1), Bytes::from_static(b"x")).await.unwrap();
        if place.is_empty() {
            std::fs::write(
                dir.path().join(
                    "artifacts/studies/01JDXA5ZK3T8Q4N6V7B9C2D0EG/0/1-0000000000000001/model.safetensors#1",
                ),
                "half",
            )
            .unwrap();
        }
        assert!(!artifacts.delete_study(gone()).await.unwrap());
        assert!(artifacts.delete_study(gone()).await.unwrap());
        assert!(artifacts.delete_study(gone()).await.unwrap(), "again is no error");
        assert!(!dir.path().join("artifacts/studies/01JDXA5ZK3T8Q4N6V7B9C2D0EG").exists());
        assert_eq!(artifacts.get(&kept).await.unwrap(), "x");
    }
}

#[tokio::test]
async fn no_path_leads_out_of_the_store() {
    let (dir, artifacts) = folder();
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    for path in ["../secret", "studies/../../secret", "/../secret", "", "a//b", "%2e%2e/secret", "a\0b"] {
        let error = artifacts.get(path).await.unwrap_err();
        assert!(matches!(&error, Error::NotFound(_) | Error::Store(_)), "{path}: {error}");
    }
}

#[test]
fn a_storage_that_cannot_be_opened_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (place, why) in [
        (file.to_str().unwrap(), "exists"),
        ("ftp://host/folder", "need a build with the feature"),
        ("file://host/folder", "not a path on this machine"),
        ("://", "relative URL"),
    ] {
        let error = Artifacts::open(place).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("cannot keep artifacts in {place}: ")) && error.contains(why),
            "{error}"
        );
    }
}
