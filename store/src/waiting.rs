//! What a study waits for. It is not a state of the queue but derived on request, from what the
//! study needs and what the trainers say about themselves.

use std::collections::BTreeMap;

use hpo::study::DeviceClass;
use hpo::trial::{StudyState, TrialState, WaitingFor};

use crate::error::Result;
use crate::{Store, StudyId, StudyRecord, Trainer, TrainerRecord};

/// What decides which trainers could run a study, and whether one does.
#[derive(Debug, Clone, PartialEq)]
pub struct Needs {
    /// The study.
    pub study: StudyId,
    /// Where it stands.
    pub state: StudyState,
    /// The device class that it asks for.
    pub device: DeviceClass,
    /// Which dataset it trains on, as [`Lease::dataset_id`](crate::Lease::dataset_id).
    pub dataset_id: String,
    /// The bytes of a training step of its smallest network.
    pub step_bytes: u64,
    /// Its queued trials.
    pub queued: u64,
    /// Its running trials.
    pub running: u64,
}

/// What a study waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What kind of thing.
    pub kind: WaitingFor,
    /// In words: what the study needs, and what there is.
    pub detail: String,
}

impl Store {
    /// What a study waits for, with the trainers that are connected now: one call, or none if the
    /// study does not run.
    pub async fn waiting_for(&self, study: &StudyRecord) -> Result<Option<Waiting>> {
        match study.state {
            StudyState::Running => Ok(study.needs().waiting_for(&self.trainers().await?)),
            StudyState::Paused | StudyState::Completed | StudyState::Cancelled | StudyState::Failed => {
                Ok(None)
            }
        }
    }
}

impl StudyRecord {
    /// What the study needs of trainers.
    pub fn needs(&self) -> Needs {
        Needs {
            study: self.id,
            state: self.state,
            device: self.device,
            dataset_id: self.dataset_id.clone(),
            step_bytes: self.step_bytes,
            queued: self.counts.get(TrialState::Queued),
            running: self.counts.get(TrialState::Running),
        }
    }
}

/// The trainers that meet the needs checked so far, or the need that none of them meets.
type Able<'t> = std::result::Result<Vec<&'t Trainer>, Waiting>;

impl Needs {
    /// What the study waits for; none if a trainer trains one of its trials or could take one, or
    /// if it has nothing to train now.
    ///
    /// Each need is checked against the trainers that meet the needs before it. The study waits for
    /// the first need that none of them meets.
    pub fn waiting_for(&self, trainers: &[TrainerRecord]) -> Option<Waiting> {
        let all: Vec<&Trainer> = trainers.iter().map(|record| &record.trainer).collect();
        if self.state != StudyState::Running {
            return None;
        }
        if self.running > 0 {
            let train_it = all
                .into_iter()
                .filter(|trainer| trainer.running.iter().any(|(study, _)| *study == self.study));
            return without_fault(train_it.collect()).err();
        }
        if self.queued == 0 {
            return None;
        }
        self.of_its_device(all)
            .and_then(|able| self.with_memory(able))
            .and_then(|able| self.with_its_dataset(able))
            .and_then(without_fault)
            .and_then(|able| self.with_a_free_slot(able))
            .err()
    }

    fn of_its_device<'t>(&self, all: Vec<&'t Trainer>) -> Able<'t> {
        let mut connected: BTreeMap<&str, u64> = BTreeMap::new();
        all.iter().for_each(|trainer| *connected.entry(trainer.class.as_str()).or_default() += 1);
        let connected: Vec<String> =
            connected.iter().map(|(class, count)| format!("{count} of {class}")).collect();
        let (kind, detail) = match all.is_empty() {
            true => (
                WaitingFor::Trainer,
                "no trainer is connected; start one, or look at the log of the one that should be connected"
                    .into(),
            ),
            false => (
                WaitingFor::Device,
                format!(
                    "no connected trainer serves {}; connected are {}",
                    self.device.as_str(),
                    connected.join(" and ")
                ),
            ),
        };
        some(all.into_iter().filter(|trainer| trainer.classes().contains(&self.device)).collect(), || {
            Waiting { kind, detail }
        })
    }

    fn with_memory<'t>(&self, able: Vec<&'t Trainer>) -> Able<'t> {
        let most = able.iter().map(|trainer| trainer.memory_bytes).max().unwrap_or_default();
        some(able.into_iter().filter(|trainer| trainer.memory_bytes >= self.step_bytes).collect(), || {
            Waiting {
                kind: WaitingFor::Memory,
                detail: format!(
                    "a training step of its smallest network takes {} bytes, the connected trainers that serve {} have at most {most}; \
                 bound its layers or its batch, or start a trainer with more memory",
                    self.step_bytes,
                    self.device.as_str()
                ),
            }
        })
    }

    fn with_its_dataset<'t>(&self, able: Vec<&'t Trainer>) -> Able<'t> {
        let (lack_it, have_it): (Vec<&Trainer>, Vec<&Trainer>) =
            able.into_iter().partition(|trainer| trainer.lacks(&self.dataset_id).is_some());
        some(have_it, || {
            let first = lack_it
                .first()
                .map(|trainer| (trainer.id.as_str(), trainer.lacks(&self.dataset_id).unwrap_or_default()));
            let (id, why) = first.unwrap_or_default();
            let others = if lack_it.len() > 1 {
                format!(", and {} more lack it", lack_it.len() - 1)
            } else {
                String::new()
            };
            Waiting {
                kind: WaitingFor::Dataset,
                detail: format!("the trainer {id} lacks its dataset{others}: {why}"),
            }
        })
    }

    fn with_a_free_slot<'t>(&self, able: Vec<&'t Trainer>) -> Able<'t> {
        let slots: u64 = able.iter().map(|trainer| u64::from(trainer.slots)).sum();
        let is_free = |trainer: &&Trainer| {
            // A trial of this study that has just ended may still be listed.
            let others = trainer.running.iter().filter(|(study, _)| *study != self.study).count();
            others < trainer.slots as usize
        };
        some(able.into_iter().filter(is_free).collect(), || Waiting {
            kind: WaitingFor::Slots,
            detail: format!(
                "all {slots} slots of the trainers that could run it are busy with other studies"
            ),
        })
    }
}

fn without_fault(able: Vec<&Trainer>) -> Able<'_> {
    let fault = able.iter().find_map(|trainer| Some((trainer.id.as_str(), trainer.faults.first()?.as_str())));
    let Some((id, fault)) = fault else { return Ok(able) };
    let detail = format!("the trainer {id} cannot use the artifacts: {fault}");
    some(able.into_iter().filter(|trainer| trainer.faults.is_empty()).collect(), || Waiting {
        kind: WaitingFor::Artifacts,
        detail,
    })
}

/// The trainers, if there are any; otherwise what the study waits for.
fn some(trainers: Vec<&Trainer>, waiting: impl FnOnce() -> Waiting) -> Able<'_> {
    if trainers.is_empty() { Err(waiting()) } else { Ok(trainers) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RefusedDataset;
    use crate::tests::new_id;

    fn trainer(id: &str) -> Trainer {
        Trainer { memory_bytes: 100, ..crate::tests::trainer(id) }
    }

    fn lacking(id: &str) -> Trainer {
        Trainer {
            refused: vec![RefusedDataset {
                dataset_id: "iris".into(),
                why: "there is no file \"iris.csv\"".into(),
            }],
            ..trainer(id)
        }
    }

    fn faulty(id: &str) -> Trainer {
        Trainer { faults: vec!["no space left".into()], ..trainer(id) }
    }

    fn small(id: &str) -> Trainer {
        Trainer { memory_bytes: 10, ..trainer(id) }
    }

    fn gpu(id: &str) -> Trainer {
        Trainer { class: DeviceClass::Cuda, ..trainer(id) }
    }

    #[test]
    fn a_study_waits_for_the_first_need_that_no_trainer_meets() {
        let (study, other) = (new_id(), new_id());
        let busy = |id: &str| Trainer { running: vec![(other, 0), (other, 1)], ..trainer(id) };
        let done = |id: &str| Trainer { running: vec![(study, 0), (study, 1)], ..trainer(id) };
        let needs = Needs {
            study,
            state: StudyState::Running,
            device: DeviceClass::Cpu,
            dataset_id: "iris".into(),
            step_bytes: 50,
            queued: 3,
            running: 0,
        };
        let check = |needs: &Needs, trainers: &[Trainer], kind: Option<WaitingFor>, words: &str| {
            let trainers: Vec<_> = trainers
                .iter()
                .map(|trainer| TrainerRecord { trainer: trainer.clone(), seen_at_ms: 0 })
                .collect();
            let waiting = needs.waiting_for(&trainers);
            assert_eq!(waiting.as_ref().map(|waiting| waiting.kind), kind, "{words}: {waiting:?}");
            assert!(waiting.is_none_or(|waiting| waiting.detail.contains(words)), "{words}");
        };
        use WaitingFor as For;
        check(&needs, &[], Some(For::Trainer), "no trainer is connected");
        check(
            &needs,
            &[gpu("a"), gpu("b")],
            Some(For::Device),
            "no connected trainer serves cpu; connected are 2 of cuda",
        );
        check(
            &needs,
            &[gpu("a"), small("b")],
            Some(For::Memory),
            "takes 50 bytes, the connected trainers that serve cpu have at most 10",
        );
        check(
            &needs,
            &[lacking("a"), small("b")],
            Some(For::Dataset),
            "the trainer a lacks its dataset: there is no file \"iris.csv\"",
        );
        check(
            &needs,
            &[lacking("a"), lacking("b")],
            Some(For::Dataset),
            "a lacks its dataset, and 1 more lack it: ",
        );
        check(
            &needs,
            &[lacking("a"), faulty("b")],
            Some(For::Artifacts),
            "the trainer b cannot use the artifacts: no space left",
        );
        check(
            &needs,
            &[faulty("a"), busy("b")],
            Some(For::Slots),
            "all 2 slots of the trainers that could run it",
        );
        check(&needs, &[busy("a"), trainer("b")], None, "");
        check(&needs, &[done("a")], None, "its own trials make no slot busy");
        check(&Needs { device: DeviceClass::Any, ..needs.clone() }, &[gpu("a")], None, "any device does");
        check(
            &Needs { dataset_id: "digits".into(), ..needs.clone() },
            &[lacking("a")],
            None,
            "another dataset",
        );
        check(&Needs { queued: 0, ..needs.clone() }, &[], None, "nothing to train now");
        for state in [StudyState::Paused, StudyState::Completed, StudyState::Cancelled, StudyState::Failed] {
            check(&Needs { state, ..needs.clone() }, &[], None, "it does not run");
        }
        let trained = Needs { running: 2, ..needs };
        check(&trained, &[gpu("a")], None, "what runs makes progress, whoever is listed");
        check(&trained, &[done("a"), faulty("b")], None, "its trainer is well");
        let held = |id: &str| Trainer { running: vec![(study, 0)], ..faulty(id) };
        check(
            &trained,
            &[held("a"), trainer("b")],
            Some(For::Artifacts),
            "the trainer a cannot use the artifacts: no space left",
        );
        check(&Needs { queued: 0, ..trained.clone() }, &[held("a")], Some(For::Artifacts), "no space left");
        check(&trained, &[held("a"), done("b")], None, "one of two goes on");
    }
}
