//! The datasets that this machine does not have: claims leave their studies to other trainers, until
//! the files change or some time has passed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::limits;
use data::Catalog;
use hpo::dataset::DatasetSpec;
use store::RefusedDataset;
use tokio::sync::watch;

/// The datasets that this process refuses, by their identities.
#[derive(Debug)]
pub(crate) struct Refused {
    catalog: Arc<Catalog>,
    datasets: watch::Sender<Datasets>,
    /// When the files are to be looked at again.
    due: Mutex<Instant>,
}

/// The datasets by identity.
pub(crate) type Datasets = BTreeMap<String, Lacking>;

/// A dataset that this machine does not have.
#[derive(Debug, Clone)]
pub(crate) struct Lacking {
    pub(crate) spec: DatasetSpec,
    /// The state of its files when it could not be read.
    pub(crate) files: u64,
    pub(crate) why: String,
    pub(crate) since: Instant,
}

impl Refused {
    /// Nothing yet.
    pub(crate) fn new(catalog: Arc<Catalog>) -> Refused {
        Refused { catalog, datasets: watch::Sender::default(), due: Mutex::new(Instant::now()) }
    }

    /// Refuses a dataset from now on.
    pub(crate) fn add(&self, dataset_id: &str, lacking: Lacking) {
        self.datasets.send_modify(|datasets| {
            datasets.insert(dataset_id.to_owned(), lacking);
        });
    }

    /// Receives each change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Datasets> {
        self.datasets.subscribe()
    }

    /// The identities of the first [`limits::REFUSED_MAX`].
    pub(crate) fn ids(&self) -> Vec<String> {
        self.datasets.borrow().keys().take(limits::REFUSED_MAX).cloned().collect()
    }

    /// The same with the reasons, for the list of trainers.
    pub(crate) fn reasons(&self) -> Vec<RefusedDataset> {
        let reason = |(id, lacking): (&String, &Lacking)| RefusedDataset {
            dataset_id: id.clone(),
            why: lacking.why.chars().take(limits::REFUSAL_CHARACTERS_MAX).collect(),
        };
        self.datasets.borrow().iter().take(limits::REFUSED_MAX).map(reason).collect()
    }

    /// Accepts datasets again whose files have changed, or that were refused long ago. Blocks while it
    /// looks at the files; does nothing if it has looked recently.
    pub(crate) fn lift(&self) {
        let begun = Instant::now();
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let datasets = self.datasets.borrow().clone();
        if begun < *due || datasets.is_empty() {
            return;
        }
        let is_over = |lacking: &Lacking| {
            lacking.since.elapsed() >= Duration::from_secs(limits::REFUSE_SECONDS)
                || self.catalog.state(&lacking.spec) != lacking.files
        };
        let over: Vec<String> =
            datasets.into_iter().filter(|(_, lacking)| is_over(lacking)).map(|(id, _)| id).collect();
        self.datasets.send_if_modified(|datasets| {
            over.iter().for_each(|id| drop(datasets.remove(id)));
            !over.is_empty()
        });
        *due = Instant::now()
            + Duration::from_millis(limits::REFUSED_LOOK_MS)
                .max(begun.elapsed() * limits::REFUSED_LOOK_SHARE);
    }
}

#[cfg(test)]
mod tests {
    use hpo::dataset::{Source, TableFormat};

    use super::*;

    #[test]
    fn a_dataset_is_refused_until_its_files_change_and_another_copy_is_not_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = Refused::new(Arc::new(Catalog::new(folder.path())));
        for name in ["a.csv", "b.csv"] {
            let spec = DatasetSpec::new(Source::Table {
                path: name.into(),
                format: TableFormat::Csv,
                label: "y".into(),
            });
            let files = refused.catalog.state(&spec);
            refused.add(
                name,
                Lacking { spec, files, why: format!("there is no file {name}"), since: Instant::now() },
            );
        }
        let lifted = || {
            *refused.due.lock().unwrap() = Instant::now();
            refused.lift();
            refused.ids()
        };
        assert_eq!(lifted(), ["a.csv", "b.csv"]);
        std::fs::write(folder.path().join("a.csv"), "x,y\n1,0\n").unwrap();
        assert_eq!(lifted(), ["b.csv"]);
        assert_eq!(
            refused.reasons(),
            [RefusedDataset { dataset_id: "b.csv".into(), why: "there is no file b.csv".into() }]
        );
        refused.datasets.send_modify(|datasets| {
            datasets
                .values_mut()
                .for_each(|lacking| lacking.since -= Duration::from_secs(limits::REFUSE_SECONDS));
        });
        assert_eq!(lifted(), [""; 0]);
    }
}
