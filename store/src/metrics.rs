//! The service's metrics, gathered at scrape by two scripts and the list of trainers.

use std::collections::HashMap;

use crate::limits;
use hpo::study::DeviceClass;
use hpo::trial::{StudyState, TrialState, WaitingFor};

use crate::error::Result;
use crate::reply::{Reply, text};
use crate::script::Name;
use crate::{Args, Needs, Store, StudyId};

/// The whole service at one moment. Closed sets are complete: a state without studies is listed
/// with 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceMetrics {
    /// Studies stored, by state.
    pub studies: Vec<(StudyState, u64)>,
    /// Trials stored, by their study's device class and their state.
    pub trials: Vec<(DeviceClass, TrialState, u64)>,
    /// Studies that can be claimed from, by device class.
    pub runnable: Vec<(DeviceClass, u64)>,
    /// Studies that wait, by what they [wait for](Needs::waiting_for); the
    /// [`limits::WAITING_SCANNED_MAX`] least served of each device class are counted.
    pub waiting: Vec<(WaitingFor, u64)>,
    /// Studies that want a top-up.
    pub wanted: u64,
    /// Trainers connected.
    pub trainers: u64,
    /// Their slots.
    pub slots: u64,
    /// How long ago the oldest expired lease that was not yet taken back expired, in ms.
    pub lease_overdue_ms: u64,
    /// Leases given out, ever.
    pub claims: u64,
    /// Leases that ran out, ever.
    pub stalls: u64,
    /// Results refused because another attempt had taken over, ever.
    pub stale: u64,
    /// Reports refused because the lease was lost, ever.
    pub lost: u64,
    /// Retries after failures, ever.
    pub retries: u64,
    /// Outages of Redis that the reaper noticed, ever.
    pub outages: u64,
    /// Memory that Redis uses, in bytes.
    pub redis_memory_bytes: u64,
    /// Memory that Redis may use, in bytes; 0: no limit.
    pub redis_memory_max_bytes: u64,
}

impl Store {
    /// The metrics of the service now, within [`limits::REDIS_PROBE_MS`]. The cost does not grow
    /// with the number of studies.
    pub async fn collect(&self) -> Result<ServiceMetrics> {
        let store = self.within(limits::REDIS_PROBE_MS);
        let classes = || Args::new().list(DeviceClass::ALL.iter().map(|class| class.as_str()));
        let mut needs = Vec::new();
        let mut rows =
            Reply::of(store.call(Name::Waiting, classes().arg(limits::WAITING_SCANNED_MAX)).await?)?;
        while let Some(row) = rows.next() {
            needs.push(needs_of(Reply::of(row)?)?);
        }
        let mut numbers: HashMap<String, u64> = HashMap::new();
        let mut answer = Reply::of(store.call(Name::Collect, classes()).await?)?;
        while let Some(name) = answer.next() {
            numbers.insert(text(name)?, answer.parse()?);
        }
        let trainers = store.trainers().await?;
        let waiting: Vec<WaitingFor> = needs
            .iter()
            .filter_map(|needs| needs.waiting_for(&trainers))
            .map(|waiting| waiting.kind)
            .collect();
        let waiting_for = |kind: WaitingFor| waiting.iter().filter(|other| **other == kind).count() as u64;
        let of = |name: &str| numbers.get(name).copied().unwrap_or_default();
        let each_trial = |class: DeviceClass| TrialState::ALL.iter().map(move |state| (class, *state));
        Ok(ServiceMetrics {
            studies: StudyState::ALL.iter().map(|state| (*state, of(&format!("study:{state}")))).collect(),
            trials: DeviceClass::ALL
                .iter()
                .flat_map(|class| each_trial(*class))
                .map(|(class, state)| (class, state, of(&format!("trial:{}:{state}", class.as_str()))))
                .collect(),
            runnable: DeviceClass::ALL
                .iter()
                .map(|class| (*class, of(&format!("runnable:{}", class.as_str()))))
                .collect(),
            waiting: WaitingFor::ALL.iter().map(|kind| (*kind, waiting_for(*kind))).collect(),
            wanted: of("wanted"),
            trainers: of("trainers"),
            slots: of("slots"),
            lease_overdue_ms: of("lease_overdue_ms"),
            claims: of("claims"),
            stalls: of("stalls"),
            stale: of("stale"),
            lost: of("lost"),
            retries: of("retries"),
            outages: of("outages"),
            redis_memory_bytes: of("memory"),
            redis_memory_max_bytes: of("memory_max"),
        })
    }
}

fn needs_of(mut row: Reply) -> Result<Needs> {
    Ok(Needs {
        study: row.name(StudyId::parse)?,
        state: row.name(StudyState::parse)?,
        device: row.name(DeviceClass::parse)?,
        dataset_id: row.text()?,
        step_bytes: row.parse()?,
        queued: row.parse()?,
        running: row.parse()?,
    })
}
