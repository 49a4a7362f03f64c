//! The service's metrics, gathered at scrape by one script a lane.

use std::collections::HashMap;

use hpo::study::DeviceClass;
use hpo::trial::{StudyState, TrialState};

use crate::error::Result;
use crate::reply::Reply;
use crate::script::Name;
use crate::{Args, Store};

/// The whole service at one moment. Closed sets are complete: what there is none of stands with 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceMetrics {
    /// Studies stored, by state.
    pub studies: Vec<(StudyState, u64)>,
    /// Trials stored, by their study's device class and their state.
    pub trials: Vec<(DeviceClass, TrialState, u64)>,
    /// Studies that can be claimed from, by device class.
    pub runnable: Vec<(DeviceClass, u64)>,
    /// Studies that want a top-up.
    pub wanted: u64,
    /// Trainers connected.
    pub trainers: u64,
    /// Their slots.
    pub slots: u64,
    /// How late the most overdue lease is that was not yet taken back, in ms.
    pub lease_overdue_ms: u64,
    /// Leases given out, ever.
    pub claims: u64,
    /// Leases that ran out, ever.
    pub stalls: u64,
    /// Results refused because another attempt had taken over, ever.
    pub stale: u64,
    /// Reports answered LOST, ever.
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
    /// The metrics of the service now, within [`hpo::limits::REDIS_PROBE_MS`]; costs the same however many studies there are.
    pub async fn collect(&self) -> Result<ServiceMetrics> {
        self.within(hpo::limits::REDIS_PROBE_MS).collect_lanes().await
    }

    async fn collect_lanes(&self) -> Result<ServiceMetrics> {
        let mut sums: HashMap<String, u64> = HashMap::new();
        // Every lane hears every trainer, and lanes of one server share its memory: these do not add up.
        let shared = ["trainers", "slots", "memory", "memory_max", "lease_overdue_ms"];
        for lane in 0..self.inner.lanes.len() {
            let classes: Vec<_> = DeviceClass::ALL.iter().map(|class| class.as_str()).collect();
            let mut answer = Reply::of(self.call_lane(Name::Collect, lane, Args::new().list(classes)).await?)?;
            while let Some(name) = answer.next() {
                let (name, number) = (crate::reply::text(name)?, answer.parse::<u64>()?);
                let sum = sums.entry(name.clone()).or_default();
                *sum = if shared.contains(&name.as_str()) { number.max(*sum) } else { number + *sum };
            }
        }
        let of = |name: &str| sums.get(name).copied().unwrap_or_default();
        let each_trial = |class: DeviceClass| TrialState::ALL.iter().map(move |state| (class, *state));
        Ok(ServiceMetrics {
            studies: StudyState::ALL.iter().map(|state| (*state, of(&format!("study:{state}")))).collect(),
            trials: DeviceClass::ALL
                .iter()
                .flat_map(|class| each_trial(*class))
                .map(|(class, state)| (class, state, of(&format!("trial:{}:{state}", class.as_str()))))
                .collect(),
            runnable: DeviceClass::ALL.iter().map(|class| (*class, of(&format!("runnable:{}", class.as_str())))).collect(),
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
