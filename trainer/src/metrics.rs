//! The metrics of a trainer. Names and meanings are part of the product; no label carries a study or
//! a trial.

use hpo::trial::AttemptEnd;
use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::device::DeviceInfo;

/// The end of a trial that is no longer this trainer's.
pub(crate) const LOST: &str = "lost";

/// The metrics of one trainer.
pub(crate) struct Metrics {
    registry: Registry,
    /// Epochs trained.
    pub(crate) epochs: IntCounter,
    /// Training samples seen.
    pub(crate) samples: IntCounter,
    /// Trials handed back, by end.
    pub(crate) trials: IntCounterVec,
    /// Seconds from claim to end of a trial.
    pub(crate) trial_duration: Histogram,
    /// Slots that train now.
    pub(crate) busy: IntGauge,
    /// 1 while the artifacts cannot be used.
    pub(crate) artifacts_fault: IntGauge,
}

impl Metrics {
    /// All metrics at zero, for a trainer with this many slots on these devices.
    pub(crate) fn new(slots: u32, devices: &[DeviceInfo]) -> prometheus::Result<Metrics> {
        let registry = Registry::new();
        let duration = HistogramOpts::new(
            "chandler_trainer_trial_duration_seconds",
            "Time from claim to end of a trial.",
        )
        .buckets(vec![0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0]);
        let fault = Opts::new(
            "chandler_trainer_fault",
            "1 while the trainer cannot use this part of its place, and so claims nothing.",
        );
        let faults = IntGaugeVec::new(fault, &["place"])?;
        let metrics = Metrics {
            epochs: IntCounter::new("chandler_trainer_epochs_total", "Epochs trained.")?,
            samples: IntCounter::new("chandler_trainer_samples_total", "Training samples seen.")?,
            trials: IntCounterVec::new(
                Opts::new("chandler_trainer_trials_total", "Trials handed back, by end."),
                &["end"],
            )?,
            trial_duration: Histogram::with_opts(duration)?,
            busy: IntGauge::new("chandler_trainer_slots_busy", "Slots of this trainer that train now.")?,
            artifacts_fault: faults.with_label_values(&["artifacts"]),
            registry,
        };
        let all_slots = IntGauge::new("chandler_trainer_slots", "Slots of this trainer.")?;
        let info = Opts::new(
            "chandler_trainer_device_info",
            "1 for each device this trainer trains on and its numerics class.",
        );
        let info = GaugeVec::new(info, &["device", "numerics"])?;
        all_slots.set(i64::from(slots));
        for device in devices {
            info.with_label_values(&[device.name().as_str(), &device.numerics]).set(1.0);
        }
        // A series that appears with its first event has no rate.
        let ends = AttemptEnd::ALL.iter().filter(|end| end.is_handed_in()).map(|end| end.as_str());
        ends.chain([LOST]).for_each(|end| metrics.trials.with_label_values(&[end]).reset());
        let Metrics { registry, epochs, samples, trials, trial_duration, busy, artifacts_fault: _ } =
            &metrics;
        registry.register(Box::new(epochs.clone()))?;
        registry.register(Box::new(samples.clone()))?;
        registry.register(Box::new(trials.clone()))?;
        registry.register(Box::new(trial_duration.clone()))?;
        registry.register(Box::new(busy.clone()))?;
        registry.register(Box::new(faults))?;
        registry.register(Box::new(all_slots))?;
        registry.register(Box::new(info))?;
        Ok(metrics)
    }

    /// All of them in Prometheus's text format.
    pub(crate) fn render(&self) -> String {
        let mut text = Vec::new();
        // It cannot fail: the names are ours, and a vector takes everything.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use hpo::study::DeviceClass;

    use super::*;

    #[test]
    fn every_series_is_there_before_its_first_event() {
        let cpu = DeviceInfo {
            class: DeviceClass::Cpu,
            ordinal: 0,
            model: String::new(),
            numerics: "cpu-1".into(),
        };
        let text = Metrics::new(3, &[cpu]).unwrap().render();
        for line in [
            "chandler_trainer_epochs_total 0",
            "chandler_trainer_samples_total 0",
            "chandler_trainer_trials_total{end=\"lost\"} 0",
            "chandler_trainer_trial_duration_seconds_count 0",
            "chandler_trainer_slots 3",
            "chandler_trainer_slots_busy 0",
            "chandler_trainer_fault{place=\"artifacts\"} 0",
            "chandler_trainer_device_info{device=\"cpu\",numerics=\"cpu-1\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in:\n{text}");
        }
    }
}
