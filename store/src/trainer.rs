//! Connected trainers.

use crate::limits;
use hpo::study::DeviceClass;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::script::Name;
use crate::{Args, Store, StudyId};

/// What a trainer says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trainer {
    /// Its id, unique among all that are connected; at most [`limits::TRAINER_ID_BYTES_MAX`] bytes.
    pub id: String,
    /// The numerics class that it computes in: the same class computes the same bits.
    pub numerics: String,
    /// The name of its device, for people.
    pub device: String,
    /// Its device's class.
    #[serde(with = "class_name")]
    pub class: DeviceClass,
    /// How many trials it runs at once.
    pub slots: u32,
    /// How much memory its device offers these trials, in bytes.
    pub memory_bytes: u64,
    /// The trials that it runs now.
    pub running: Vec<(StudyId, u64)>,
    /// The datasets that its machine lacks; at most [`limits::REFUSED_MAX`].
    pub refused: Vec<RefusedDataset>,
    /// Why it claims nothing, in words; empty unless something is wrong with its machine.
    pub faults: Vec<String>,
}

/// A dataset that a trainer's machine lacks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RefusedDataset {
    /// Which one, as [`Lease::dataset_id`](crate::Lease::dataset_id).
    pub dataset_id: String,
    /// Why, in words that name the file.
    pub why: String,
}

impl Trainer {
    /// The device classes of the studies that it serves: `any` and its own.
    pub fn classes(&self) -> Vec<DeviceClass> {
        if self.class == DeviceClass::Any {
            vec![DeviceClass::Any]
        } else {
            vec![DeviceClass::Any, self.class]
        }
    }

    /// Why its machine lacks a dataset; none if it does not.
    pub fn lacks(&self, dataset_id: &str) -> Option<&str> {
        self.refused
            .iter()
            .find(|refusal| refusal.dataset_id == dataset_id)
            .map(|refusal| refusal.why.as_str())
    }
}

/// A connected trainer.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainerRecord {
    /// What it last said about itself.
    pub trainer: Trainer,
    /// When it was last heard of, ms since 1970 by Redis's clock.
    pub seen_at_ms: u64,
}

impl Store {
    /// Registers a trainer, or tells that it is still there. After [`limits::TRAINER_TTL_MS`] of
    /// silence it is no longer listed. This is the heartbeat of the process: [`Store::report`]
    /// renews leases. Errors: [`Error::TooLong`].
    pub async fn heartbeat_trainer(&self, trainer: &Trainer) -> Result<()> {
        for (what, text) in [("the trainer's id", &trainer.id), ("the numerics class", &trainer.numerics)] {
            if text.len() > limits::TRAINER_ID_BYTES_MAX {
                return Err(Error::TooLong {
                    what,
                    bytes: text.len(),
                    bytes_max: limits::TRAINER_ID_BYTES_MAX,
                });
            }
        }
        let info = serde_json::to_string(trainer).map_err(|error| Error::Corrupt(error.to_string()))?;
        self.call(Name::Trainer, Args::new().arg(&trainer.id).arg(trainer.slots).arg(info)).await.map(drop)
    }

    /// Removes a trainer from the list. Its leases are not touched: release them first.
    pub async fn forget_trainer(&self, id: &str) -> Result<()> {
        self.call(Name::Trainer, Args::new().arg(id).arg("").arg("")).await.map(drop)
    }

    /// The connected trainers, by id.
    pub async fn trainers(&self) -> Result<Vec<TrainerRecord>> {
        let mut rows = Reply::of(self.call(Name::Trainers, Args::new()).await?)?;
        let mut trainers = Vec::new();
        while let Some(row) = rows.next() {
            let mut row = Reply::of(row)?;
            let info = row.text()?;
            let trainer = serde_json::from_str(&info)
                .map_err(|error| Error::Corrupt(format!("trainer {info}: {error}")))?;
            trainers.push(TrainerRecord { trainer, seen_at_ms: row.parse()? });
        }
        trainers.sort_by(|a: &TrainerRecord, b| a.trainer.id.cmp(&b.trainer.id));
        Ok(trainers)
    }
}

/// A device class as its name.
mod class_name {
    use hpo::study::DeviceClass;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(class: &DeviceClass, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(class.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DeviceClass, D::Error> {
        let name = String::deserialize(deserializer)?;
        DeviceClass::parse(&name).ok_or_else(|| serde::de::Error::custom(format!("device class {name:?}")))
    }
}
