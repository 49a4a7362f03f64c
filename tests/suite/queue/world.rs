//! A real store and the model side by side.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hpo::dataset::DatasetSchema;
use hpo::study::{DeviceClass, Study as Document};
use hpo::trial::{ErrorKind, StudyState, TrialState};
use serde_json::{Value, json};
use store::artifact::Artifacts;
use store::audit::{audit, forget_scripts};
use store::limits;
use store::{
    Ack, Change, Claim, Config, Directive, End, EpochMetrics, Error, Lease, NewStudy, Nonce, Store, StudyId,
    TrialPage,
};
use tests::TestRedis;

use super::Step;
use super::model::{LEASE_MS, Limits, Study, TICK_MS};

const STUDIES_MAX: usize = 4;

/// Each world has a namespace of its own in a Redis that they share.
pub(crate) struct World {
    store: Store,
    now: Arc<AtomicU64>,
    tick: Option<u64>,
    grace: u64,
    ids: Vec<StudyId>,
    /// None if it was deleted.
    studies: Vec<Option<Study>>,
    leases: Vec<Lease>,
    claims: HashMap<usize, (Claim, Vec<Lease>, u64)>,
    nonces: u64,
    artifacts: Artifacts,
}

type Outcome<T = ()> = Result<T, String>;

/// An error unless `found` is `expected`.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Outcome {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: the store says {found:?}, the model {expected:?}"))
    }
}

impl World {
    pub(crate) async fn new(redis: &TestRedis) -> World {
        static WORLDS: AtomicU64 = AtomicU64::new(0);
        let now = Arc::new(AtomicU64::new(1_800_000_000_000));
        let namespace = format!("world{}", WORLDS.fetch_add(1, Ordering::Relaxed));
        let config = Config { namespace, now_ms: Some(now.clone()), ..Config::new(redis.url()) };
        let store = Store::connect(config).await.unwrap();
        let artifacts = Artifacts::open("memory:///").unwrap();
        World {
            store,
            now,
            tick: None,
            grace: 0,
            ids: vec![],
            studies: vec![],
            leases: vec![],
            claims: HashMap::new(),
            nonces: 0,
            artifacts,
        }
    }

    /// Takes one step in both, every call twice, and compares everything.
    pub(crate) async fn take(&mut self, step: &Step) -> Outcome {
        self.act(step).await?;
        self.studies.iter_mut().flatten().for_each(Study::complete);
        self.compare().await
    }

    /// Lets all time-outs pass: then nothing runs, and what was deleted left no key.
    pub(crate) async fn end(&mut self) -> Outcome {
        for _ in 0..30 {
            self.take(&Step::Pass(TICK_MS)).await?;
            self.take(&Step::Reap).await?;
        }
        same(
            "running at the end",
            self.studies.iter().flatten().map(|study| study.count(TrialState::Running)).sum(),
            0,
        )?;
        let keys = store::audit::keys(&self.store).await.unwrap();
        let gone = self.ids.iter().zip(&self.studies).filter(|(_, study)| study.is_none());
        let is_left = |key: &str, id: &StudyId| key.contains(&id.to_string()) && !key.contains(":study:");
        let left: Vec<_> = gone.flat_map(|(id, _)| keys.iter().filter(move |key| is_left(key, id))).collect();
        same("keys of deleted studies", left, vec![])
    }

    async fn act(&mut self, step: &Step) -> Outcome {
        let now = self.now.load(Ordering::Relaxed);
        match *step {
            Step::Pass(ms) => drop(self.now.fetch_add(ms, Ordering::Relaxed)),
            Step::Flush => forget_scripts(&self.store).await.unwrap(),
            Step::Reap => self.reap(now).await?,
            Step::Create(limits) => self.create(limits).await?,
            Step::TopUp(study) => self.top_up(study).await?,
            Step::Claim { trainer, count } => {
                let claim = self.claim_of(trainer, count);
                let leases = self.store.claim(&claim).await.unwrap();
                same("claim again", self.store.claim(&claim).await.unwrap(), leases.clone())?;
                self.claimed(trainer, claim, leases, now)?;
            }
            Step::ClaimAgain { trainer } => {
                if let Some((claim, leases, _)) = self.claims.get(&trainer) {
                    let expected: Vec<_> =
                        leases.iter().filter(|lease| self.is_held(lease)).cloned().collect();
                    same("a claim replayed", self.store.claim(claim).await.unwrap(), expected)?;
                }
            }
            Step::Report { lease, epoch } => self.report(lease, epoch, now).await?,
            Step::Finish { lease, end } => self.finish(lease, &end_of(end), now).await?,
            Step::Cancel { study, trial } => self.cancel(study, trial).await?,
            Step::CancelStudy(study) => self.cancel_study(study).await?,
            Step::Delete(study) => self.delete(study).await?,
            Step::Pause(study, paused) => {
                self.change(study, Change { paused: Some(paused), ..Change::default() }).await?
            }
            Step::MaxTrials(study, n) => {
                self.change(study, Change { max_trials: Some(Some(n)), ..Change::default() }).await?
            }
            Step::MaxParallel(study, n) => {
                self.change(study, Change { max_parallel: Some(Some(n)), ..Change::default() }).await?
            }
        }
        Ok(())
    }

    async fn create(&mut self, limits: Limits) -> Outcome {
        if self.ids.len() == STUDIES_MAX {
            return Ok(());
        }
        let id = StudyId::parse(&format!("{:026}", self.ids.len())).unwrap();
        let dataset = DatasetSchema {
            shape: vec![4],
            dtype: "float32".into(),
            rows: 150,
            classes: Some(3),
            hash: "abc".into(),
            ..DatasetSchema::default()
        };
        let new = NewStudy { id, study: Arc::new(document(&limits)), dataset, preflight: Value::Null };
        same("create", self.store.create_study(new.clone(), None).await.unwrap().fresh, true)?;
        same("create again", self.store.create_study(new, None).await.unwrap().fresh, false)?;
        self.ids.push(id);
        self.studies.push(Some(Study::new(limits)));
        Ok(())
    }

    async fn top_up(&mut self, study: usize) -> Outcome {
        let store = self.store.clone();
        let Some((id, study)) = self.pick(study) else { return Ok(()) };
        let expected = study.as_mut().map_or(0, Study::top_up);
        same("top_up", store.top_up(id).await.unwrap(), expected)?;
        same("top_up again", store.top_up(id).await.unwrap(), 0)
    }

    async fn report(&mut self, lease: usize, epoch: u32, now: u64) -> Outcome {
        let Some(lease) = self.lease(lease) else { return Ok(()) };
        let epochs: Vec<_> = (1..=epoch).map(|epoch| EpochMetrics { epoch, values: vec![0.5; 4] }).collect();
        let expected = self.model(&lease).map_or(Directive::Lost, |study| {
            match study.report(lease.number as usize, nonce(&lease), epoch, now) {
                false => Directive::Lost,
                true if study.is_closed() || study.trials[lease.number as usize].cancel => Directive::Cancel,
                true => Directive::GoOn,
            }
        });
        same("report", self.store.report(&lease, &epochs).await.unwrap(), expected)?;
        same("report again", self.store.report(&lease, &epochs).await.unwrap(), expected)
    }

    async fn finish(&mut self, lease: usize, end: &End, now: u64) -> Outcome {
        let Some(lease) = self.lease(lease) else { return Ok(()) };
        let expected = self
            .model(&lease)
            .is_some_and(|study| study.finish(lease.number as usize, nonce(&lease), end, now).is_some());
        same("finish", is_accepted(self.store.finish(&lease, end).await.unwrap()), expected)?;
        same("finish again", is_accepted(self.store.finish(&lease, end).await.unwrap()), expected)
    }

    async fn cancel(&mut self, study: usize, trial: usize) -> Outcome {
        let store = self.store.clone();
        let Some((id, Some(study))) = self.pick(study) else { return Ok(()) };
        if study.trials.is_empty() {
            return Ok(());
        }
        let number = trial % study.trials.len();
        let trial = &mut study.trials[number];
        if trial.state == TrialState::Running {
            trial.cancel = true;
        } else if !trial.state.is_terminal() {
            trial.state = TrialState::Cancelled;
        }
        let expected = trial.state;
        same("cancel", store.cancel_trial(id, number as u64).await.unwrap().state, expected)?;
        same("cancel again", store.cancel_trial(id, number as u64).await.unwrap().state, expected)
    }

    async fn cancel_study(&mut self, study: usize) -> Outcome {
        let store = self.store.clone();
        let Some((id, study)) = self.pick(study) else { return Ok(()) };
        let exists = study.is_some();
        let open = study.as_mut().filter(|study| !study.is_closed() && study.state != StudyState::Completed);
        if let Some(study) = open {
            study.close(StudyState::Cancelled);
        }
        same("cancel_study", store.cancel_study(id).await.is_ok(), exists)?;
        same("cancel_study again", store.cancel_study(id).await.is_ok(), exists)
    }

    async fn delete(&mut self, study: usize) -> Outcome {
        let store = self.store.clone();
        let Some((id, study)) = self.pick(study) else { return Ok(()) };
        same("delete", store.delete_study(id).await.is_ok(), study.take().is_some())?;
        same("delete again", store.delete_study(id).await.is_ok(), false)
    }

    async fn change(&mut self, study: usize, change: Change) -> Outcome {
        let store = self.store.clone();
        let Some((id, study)) = self.pick(study) else { return Ok(()) };
        let expected = match study {
            None => "missing",
            Some(study)
                if study.is_closed()
                    || (study.state == StudyState::Completed && change.paused == Some(true)) =>
            {
                "closed"
            }
            Some(study) => {
                match change.paused {
                    Some(paused) if study.state != StudyState::Completed => {
                        study.state = if paused { StudyState::Paused } else { StudyState::Running }
                    }
                    _ => {}
                }
                change.max_parallel.flatten().inspect(|n| study.limits.max_parallel = *n);
                change.max_trials.flatten().inspect(|n| study.set_max_trials(*n));
                "ok"
            }
        };
        for what in ["change", "change again"] {
            let answer = match store.update_study(id, change.clone()).await {
                Ok(_) => "ok",
                Err(Error::NoSuchStudy(_)) => "missing",
                Err(Error::Closed { .. }) => "closed",
                Err(error) => return Err(error.to_string()),
            };
            // A pause that completed the study finds it closed the second time.
            if what == "change" || change.paused != Some(true) {
                same(what, answer, expected)?;
            }
        }
        Ok(())
    }

    async fn reap(&mut self, now: u64) -> Outcome {
        let ran = self.tick.is_none_or(|tick| now - tick >= TICK_MS / 2);
        let reaped = self.store.reap().await.unwrap();
        same("reap", reaped.ran, ran)?;
        for id in reaped.deleted {
            for _ in 0..2 {
                self.store.purge(id, &self.artifacts).await.unwrap();
            }
        }
        same("reap again", self.store.reap().await.unwrap().ran, false)?;
        if ran {
            let outage = self.tick.is_some_and(|tick| now - tick > LEASE_MS / 2);
            same("outage", reaped.outage, outage)?;
            if outage {
                self.grace = now + LEASE_MS;
            }
            self.tick = Some(now);
            // A trainer that is silent for so long is forgotten, and with it what it claimed last.
            if now >= self.grace {
                self.claims.retain(|_, (.., claimed)| *claimed + limits::TRAINER_TTL_MS > now);
            }
            for study in self.studies.iter_mut().flatten() {
                if now >= self.grace {
                    study.expire(now);
                    study.complete();
                }
                study.queue_due(now);
            }
        }
        Ok(())
    }

    fn claim_of(&mut self, trainer: usize, count: usize) -> Claim {
        let nonces = (0..count as u64).map(|n| Nonce::from_number(self.nonces + n + 1)).collect();
        self.nonces += count as u64;
        Claim {
            trainer: format!("t{trainer}"),
            numerics: "cpu-1".into(),
            classes: vec![DeviceClass::Any, DeviceClass::Cpu],
            memory_bytes: u64::MAX,
            refused: vec![],
            nonces,
        }
    }

    /// Whether these leases are what the model may give out; then it has.
    fn claimed(&mut self, trainer: usize, claim: Claim, leases: Vec<Lease>, now: u64) -> Outcome {
        self.studies.iter_mut().flatten().for_each(|study| study.queue_due(now));
        for (lease, nonce) in leases.iter().zip(&claim.nonces) {
            let study = self.model(lease).ok_or("a lease on a deleted study")?;
            same("a lease on a study that can run", study.is_runnable(), true)?;
            let number = lease.number as usize;
            same("the leased trial", Some(number), study.first_queued())?;
            study.claim(number, u64::from_str_radix(&nonce.to_string(), 16).unwrap(), now);
            same(
                "lease",
                (lease.nonce, lease.attempt, lease.alone),
                (*nonce, study.trials[number].attempt, study.trials[number].alone),
            )?;
        }
        if leases.len() < claim.nonces.len() && !leases.last().is_some_and(|lease| lease.alone) {
            same("something is left to claim", self.studies.iter().flatten().any(Study::is_runnable), false)?;
        }
        self.leases.extend(leases.iter().cloned());
        if !leases.is_empty() {
            self.claims.insert(trainer, (claim, leases, now));
        }
        Ok(())
    }

    /// The lease that an index means, among all that were ever given out.
    fn lease(&self, at: usize) -> Option<Lease> {
        self.leases.get(at % self.leases.len().max(1)).cloned()
    }

    fn is_held(&self, lease: &Lease) -> bool {
        let at = self.ids.iter().position(|id| *id == lease.study).unwrap();
        let trial = self.studies[at].as_ref().map(|study| &study.trials[lease.number as usize]);
        trial.is_some_and(|trial| trial.state == TrialState::Running && trial.nonce == nonce(lease))
    }

    fn model(&mut self, lease: &Lease) -> Option<&mut Study> {
        let at = self.ids.iter().position(|id| *id == lease.study).unwrap();
        self.studies[at].as_mut()
    }

    fn pick(&mut self, study: usize) -> Option<(StudyId, &mut Option<Study>)> {
        let at = study % self.ids.len().max(1);
        Some((*self.ids.get(at)?, &mut self.studies[at]))
    }

    async fn compare(&self) -> Outcome {
        same("audit", audit(&self.store).await.unwrap(), vec![])?;
        for (id, study) in self.ids.iter().zip(&self.studies) {
            let record = self.store.study(*id).await.unwrap();
            same("the study is there", record.is_some(), study.is_some())?;
            let (Some(record), Some(study)) = (record, study) else { continue };
            same("study", record.state, study.state)?;
            let page = TrialPage { limit: 1_000, ..TrialPage::default() };
            let (trials, _) = self.store.trials(*id, page).await.unwrap();
            same("trials", trials.len(), study.trials.len())?;
            for (trial, model) in trials.iter().zip(&study.trials) {
                let nonce =
                    trial.nonce.map_or(0, |nonce| u64::from_str_radix(&nonce.to_string(), 16).unwrap());
                let found = (trial.state, trial.attempt, trial.failures, trial.stalls, trial.epoch, nonce);
                same(
                    &format!("trial {}", trial.number),
                    found,
                    (model.state, model.attempt, model.failures, model.stalls, model.epoch, model.nonce),
                )?;
                same(
                    "attempts listed",
                    trial.attempts.len(),
                    (model.attempt as usize).min(trial.attempts.len().max(16)),
                )?;
            }
        }
        Ok(())
    }
}

fn is_accepted(ack: Ack) -> bool {
    ack != Ack::Stale
}

fn nonce(lease: &Lease) -> u64 {
    u64::from_str_radix(&lease.nonce.to_string(), 16).unwrap()
}

fn end_of(which: usize) -> End {
    let failed = |kind, beside_others| End::Failed { kind, message: "it broke".into(), beside_others };
    match which % 13 {
        0..=2 => End::Completed { value: which as f64 / 7.0, best_epoch: 1 },
        3 => End::Completed { value: f64::NAN, best_epoch: 1 },
        4 => failed(ErrorKind::Panic, false),
        5 => failed(ErrorKind::Io, false),
        6 => failed(ErrorKind::OutOfMemory, true),
        7 => End::Cancelled,
        8 => failed(ErrorKind::Diverged, false),
        9 => failed(ErrorKind::OutOfTime, false),
        10 => failed(ErrorKind::Invalid, false),
        11 => End::Refused { why: "it lacks the dataset".into() },
        _ => End::Released,
    }
}

fn document(limits: &Limits) -> Document {
    let Limits { max_trials, max_parallel, max_failures, max_stalls } = limits;
    let document = json!({
        "name": "test", "seed": 7,
        "space": [{"name": "learning_rate", "type": "float", "min_value": 1e-4, "max_value": 1e-1}],
        "network": [{"layer": "Dense", "units": 3, "activation": "softmax"}],
        "training": {"optimizer": {"name": "adam", "learning_rate": {"hp": "learning_rate"}}, "loss": "sparse_categorical_crossentropy",
                     "metrics": ["accuracy"], "batch_size": 32, "epochs": 2},
        "dataset": {"source": "builtin:iris", "validation_split": 0.2},
        "objective": {"metric": "val_accuracy", "direction": "maximize"},
        "max_trials": max_trials, "max_parallel": max_parallel, "retry": {"max_failures": max_failures, "max_stalls": max_stalls}
    });
    Document::parse(&document).unwrap_or_else(|problems| panic!("{problems:?}"))
}
