//! Whether the artifacts can be written and read. A fault there is not a trial's: nothing fails
//! because of it, results wait until it is over, and nothing more is claimed meanwhile.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::IntGauge;
use store::artifact::{self, Artifacts};
use store::jittered;
use tokio::sync::{Mutex, Notify, watch};

use crate::limits;

/// The health of the artifacts, as far as this process knows.
#[derive(Debug)]
pub(crate) struct Health {
    artifacts: Artifacts,
    /// The fault, in words.
    fault: watch::Sender<Option<String>>,
    /// Results that could not be written and have not been given up. While there are any, the fault
    /// is not over, even if a small file can be written.
    unwritten: AtomicUsize,
    /// Asks for a probe.
    suspected: Notify,
    /// A result was written, or given up.
    settled: Notify,
    /// Another try may succeed.
    try_again: Notify,
    /// Allows one probe at a time: one that hangs may keep a thread for ever.
    probing: Mutex<()>,
    /// How long a write may take before the artifacts are probed.
    patience: Duration,
    gauge: IntGauge,
}

impl Health {
    /// The health of artifacts without a fault; `gauge` is 1 while there is one.
    pub(crate) fn new(artifacts: Artifacts, gauge: IntGauge) -> Health {
        let (suspected, settled, try_again, probing) = Default::default();
        let (fault, unwritten, patience) = (
            watch::Sender::new(None),
            AtomicUsize::new(0),
            Duration::from_secs(limits::ARTIFACTS_SLOW_SECONDS),
        );
        Health { artifacts, fault, unwritten, suspected, settled, try_again, probing, patience, gauge }
    }

    /// The fault, if there is one, in words.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.borrow().clone()
    }

    /// Receives each fault as it begins and ends.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<String>> {
        self.fault.subscribe()
    }

    /// Resolves once there is no fault.
    pub(crate) async fn well(&self) {
        // The sender is in `self`: it cannot be gone.
        let _ = self.subscribe().wait_for(Option::is_none).await;
    }

    /// Has the artifacts probed soon, after an error that may be their fault.
    pub(crate) fn suspect(&self) {
        self.suspected.notify_one();
    }

    /// Probes the artifacts, and returns whether they can be used.
    pub(crate) async fn is_well(&self) -> bool {
        let _one = self.probing.lock().await;
        let mut probe = std::pin::pin!(self.artifacts.probe());
        let patience = Duration::from_secs(limits::ARTIFACTS_PROBE_SECONDS);
        let outcome = match tokio::time::timeout(patience, &mut probe).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.begin(format!(
                    "the artifact store has not answered for {} s",
                    limits::ARTIFACTS_PROBE_SECONDS
                ));
                probe.await
            }
        };
        outcome.inspect_err(|error| self.begin(error.to_string())).is_ok()
    }

    /// Repeats `put` until it succeeds, or fails for another reason than a fault of the artifacts.
    /// Dropping this gives the result up.
    pub(crate) async fn written<T, F: Future<Output = Result<T, artifact::Error>>>(
        &self,
        put: impl Fn() -> F,
    ) -> F::Output {
        let mut unwritten = None;
        loop {
            match self.unless_slow(put()).await {
                Err(error) if error.is_of_the_storage() => {
                    unwritten.get_or_insert_with(|| Unwritten::of(self));
                    self.begin(error.to_string());
                    self.try_again.notified().await;
                }
                done => return done,
            }
        }
    }

    /// Has the artifacts probed each time that `work` has taken long: they may hang.
    async fn unless_slow<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(self.patience) => self.suspect(),
            }
        }
    }

    /// Probes whenever [`Health::suspect`] asks for it, and during each fault until it is over.
    pub(crate) async fn watch(&self) {
        loop {
            self.suspected.notified().await;
            let mut pause = limits::ARTIFACTS_PAUSE_MS;
            loop {
                if self.is_well().await {
                    if self.unwritten.load(Ordering::SeqCst) == 0 {
                        break;
                    }
                    self.try_again.notify_waiters();
                }
                tokio::select! {
                    () = tokio::time::sleep(jittered(Duration::from_millis(pause))) => {}
                    () = self.settled.notified() => {}
                }
                pause = (2 * pause).min(limits::ARTIFACTS_PAUSE_MS_MAX);
            }
            self.end();
        }
    }

    fn begin(&self, why: String) {
        let has_begun = self.fault.send_if_modified(|fault| {
            let is_new = fault.is_none();
            if is_new {
                tracing::error!("The artifacts cannot be used; until they can, results wait and nothing more is claimed: {why}");
                *fault = Some(why);
            }
            is_new
        });
        if has_begun {
            self.gauge.set(1);
            self.suspect();
        }
    }

    fn end(&self) {
        if self.fault.send_if_modified(|fault| fault.take().is_some()) {
            self.gauge.set(0);
            tracing::info!("The artifacts can be used again");
        }
    }
}

/// Counts a result that waits to be written.
struct Unwritten<'h>(&'h Health);

impl Unwritten<'_> {
    fn of(health: &Health) -> Unwritten<'_> {
        health.unwritten.fetch_add(1, Ordering::SeqCst);
        Unwritten(health)
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        self.0.unwritten.fetch_sub(1, Ordering::SeqCst);
        self.0.settled.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use store::{Nonce, StudyId};

    use super::*;

    /// Artifacts in a folder, watched.
    struct TestHealth {
        _dir: tempfile::TempDir,
        place: PathBuf,
        health: Arc<Health>,
    }

    impl TestHealth {
        fn new() -> TestHealth {
            let dir = tempfile::tempdir().unwrap();
            let place = dir.path().join("artifacts");
            let artifacts = Artifacts::open(place.to_str().unwrap()).unwrap();
            let health = Arc::new(Health::new(artifacts, IntGauge::new("fault", "fault").unwrap()));
            let watched = health.clone();
            tokio::spawn(async move { watched.watch().await });
            TestHealth { _dir: dir, place, health }
        }

        fn break_artifacts(&self) {
            std::fs::rename(&self.place, self.place.with_extension("moved")).unwrap();
        }

        fn mend_artifacts(&self) {
            std::fs::rename(self.place.with_extension("moved"), &self.place).unwrap();
        }

        async fn faulty(&self) {
            self.health.subscribe().wait_for(Option::is_some).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_fault_is_found_where_it_is_suspected_and_ends_with_its_cause() {
        let test = TestHealth::new();
        test.health.suspect();
        assert!(test.health.is_well().await && test.health.fault().is_none());
        test.break_artifacts();
        test.health.suspect();
        test.faulty().await;
        assert!(test.health.fault().unwrap().starts_with("cannot keep artifacts in "));
        assert_eq!(test.health.gauge.get(), 1);
        test.mend_artifacts();
        test.health.well().await;
        assert_eq!(test.health.gauge.get(), 0);
    }

    #[tokio::test]
    async fn a_result_is_written_once_the_place_is_well() {
        let test = TestHealth::new();
        test.break_artifacts();
        let health = test.health.clone();
        let writing = tokio::spawn(async move {
            let put =
                || health.artifacts.put_model(StudyId::generate(), 4, 1, Nonce::random(), "weights".into());
            health.written(put).await
        });
        test.faulty().await;
        assert!(!writing.is_finished());
        test.mend_artifacts();
        let path = writing.await.unwrap().unwrap();
        assert_eq!(test.health.artifacts.get(&path).await.unwrap(), "weights");
        test.health.well().await;
    }

    #[tokio::test]
    async fn a_place_that_takes_small_files_only_is_at_fault_until_its_result_is_written_or_given_up() {
        let test = TestHealth::new();
        let full = || artifact::Error::Io(std::io::ErrorKind::StorageFull.into());
        let is_full = Arc::new(AtomicBool::new(true));
        let (health, asked) = (test.health.clone(), is_full.clone());
        let put = move || std::future::ready(if asked.load(Ordering::SeqCst) { Err(full()) } else { Ok(()) });
        let writing = tokio::spawn(async move { health.written(put).await });
        test.faulty().await;
        assert!(
            test.health.is_well().await && test.health.fault().is_some(),
            "a small file can be written, the result cannot"
        );
        is_full.store(false, Ordering::SeqCst);
        writing.await.unwrap().unwrap();
        test.health.well().await;

        let health = test.health.clone();
        let given_up =
            tokio::spawn(async move { health.written(|| std::future::ready(Err::<(), _>(full()))).await });
        test.faulty().await;
        given_up.abort();
        test.health.well().await;
    }

    #[tokio::test]
    async fn an_artifact_that_no_place_would_take_is_an_error_at_once() {
        let test = TestHealth::new();
        let large = || {
            std::future::ready(Err::<(), _>(artifact::Error::TooLarge {
                path: String::new(),
                bytes: 2,
                max: 1,
            }))
        };
        assert!(test.health.written(large).await.is_err() && test.health.fault().is_none());
    }

    #[tokio::test]
    async fn a_result_that_takes_long_has_the_place_probed() {
        let artifacts = Artifacts::open("memory:///").unwrap();
        let health = Health {
            patience: Duration::from_millis(1),
            ..Health::new(artifacts, IntGauge::new("fault", "fault").unwrap())
        };
        tokio::select! {
            _ = health.written(std::future::pending::<Result<(), artifact::Error>>) => unreachable!("it never ends"),
            () = health.suspected.notified() => {}
        }
    }
}
