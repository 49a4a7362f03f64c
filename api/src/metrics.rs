//! `/metrics`: the counts of this process, and those of the whole service, gathered at each scrape.

use std::time::Duration;

use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use store::ServiceMetrics;

/// The metrics of this process.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    script_seconds: HistogramVec,
    script_errors: IntCounterVec,
}

/// Buckets from a Redis round trip on a socket to the longest request.
const SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

impl Default for Metrics {
    fn default() -> Metrics {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let counter = IntCounterVec::new(Opts::new(name, help), labels).expect("a valid metric");
            registry.register(Box::new(counter.clone())).expect("each name once");
            counter
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let histogram =
                HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)
                    .expect("a valid metric");
            registry.register(Box::new(histogram.clone())).expect("each name once");
            histogram
        };
        Metrics {
            requests: counter(
                "chandler_http_requests_total",
                "HTTP requests answered.",
                &["method", "route", "status"],
            ),
            request_seconds: histogram(
                "chandler_http_request_duration_seconds",
                "Time from an HTTP request's head to its response's head.",
                &["method", "route"],
            ),
            script_seconds: histogram(
                "chandler_redis_script_duration_seconds",
                "Round trip of a script call to Redis.",
                &["script"],
            ),
            script_errors: counter(
                "chandler_redis_script_errors_total",
                "Script calls to Redis that were not answered.",
                &["script"],
            ),
            registry,
        }
    }
}

impl Metrics {
    /// Takes note of a script call.
    pub fn observe_script(&self, script: &'static str, took: Duration, ok: bool) {
        self.script_seconds.with_label_values(&[script]).observe(took.as_secs_f64());
        // It exists from the first call on: a rate needs a value from before the first error.
        self.script_errors.with_label_values(&[script]).inc_by(u64::from(!ok));
    }

    /// Takes note of an answered request. Each text must come from a closed set, or any client
    /// could fill the memory with label values.
    pub(crate) fn observe_request(&self, method: &str, route: &str, status: &str, took: Duration) {
        self.request_seconds.with_label_values(&[method, route]).observe(took.as_secs_f64());
        self.requests.with_label_values(&[method, route, status]).inc();
    }

    /// All metrics in Prometheus's text format; `service` is none if Redis did not answer.
    pub fn render(&self, service: Option<&ServiceMetrics>) -> prometheus::Result<String> {
        let mut families = service_registry(service)?.gather();
        families.extend(self.registry.gather());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

/// The metrics of the service, in a registry that is made anew for each scrape: what is gone from
/// the store is gone from here.
fn service_registry(service: Option<&ServiceMetrics>) -> prometheus::Result<Registry> {
    let scrape = Scrape(Registry::new());
    scrape.gauge(
        "chandler_redis_up",
        "Whether Redis answered this scrape.",
        f64::from(u8::from(service.is_some())),
    )?;
    if let Some(service) = service {
        scrape.add_states(service)?;
        scrape.add_levels(service)?;
        scrape.add_totals(service)?;
    }
    Ok(scrape.0)
}

/// The registry of one scrape.
struct Scrape(Registry);

impl Scrape {
    /// How many studies and trials there are of each kind.
    fn add_states(&self, service: &ServiceMetrics) -> prometheus::Result<()> {
        let studies = service.studies.iter().map(|(state, count)| (vec![state.as_str()], *count));
        self.gauges("chandler_studies", "Studies by state.", &["state"], studies)?;
        let trials =
            service.trials.iter().map(|(class, state, count)| (vec![class.as_str(), state.as_str()], *count));
        self.gauges(
            "chandler_trials",
            "Trials of all studies, by the device that their study asks for and by state.",
            &["device", "state"],
            trials,
        )?;
        let runnable = service.runnable.iter().map(|(class, count)| (vec![class.as_str()], *count));
        self.gauges(
            "chandler_runnable_studies",
            "Studies that a trainer could claim from now, by the device they ask for.",
            &["device"],
            runnable,
        )?;
        let waiting = service.waiting.iter().map(|(kind, count)| (vec![kind.as_str()], *count));
        self.gauges(
            "chandler_studies_waiting",
            "Studies whose trials no trainer can take or hand in, by what they wait for.",
            &["for"],
            waiting,
        )?;
        Ok(())
    }

    /// How much there is now.
    fn add_levels(&self, service: &ServiceMetrics) -> prometheus::Result<()> {
        self.gauge(
            "chandler_wanted_studies",
            "Studies that wait for new suggestions.",
            service.wanted as f64,
        )?;
        self.gauge(
            "chandler_trainers",
            "Connected trainers; a trainer with several GPUs counts once for each.",
            service.trainers as f64,
        )?;
        self.gauge("chandler_slots", "Slots of the connected trainers.", service.slots as f64)?;
        self.gauge(
            "chandler_lease_overdue_seconds",
            "How long ago the oldest lease ran out that was not taken back yet.",
            service.lease_overdue_ms as f64 / 1000.0,
        )?;
        self.gauge(
            "chandler_redis_memory_bytes",
            "Memory that Redis uses.",
            service.redis_memory_bytes as f64,
        )?;
        self.gauge(
            "chandler_redis_memory_max_bytes",
            "Memory that Redis may use; 0 means no limit.",
            service.redis_memory_max_bytes as f64,
        )?;
        Ok(())
    }

    /// What has happened since Redis was empty.
    fn add_totals(&self, service: &ServiceMetrics) -> prometheus::Result<()> {
        self.counter("chandler_claims_total", "Trials handed to trainers.", service.claims)?;
        self.counter("chandler_stalls_total", "Leases that ran out.", service.stalls)?;
        self.counter(
            "chandler_stale_results_total",
            "Results refused because another attempt had taken over.",
            service.stale,
        )?;
        self.counter(
            "chandler_lost_reports_total",
            "Reports refused because another attempt had taken over.",
            service.lost,
        )?;
        self.counter("chandler_retries_total", "Trials tried again after a failure.", service.retries)?;
        self.counter(
            "chandler_redis_outages_total",
            "Outages of Redis that the reaper noticed.",
            service.outages,
        )?;
        Ok(())
    }

    fn gauge(&self, name: &str, help: &str, value: f64) -> prometheus::Result<()> {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        self.0.register(Box::new(gauge))
    }

    fn gauges<'l>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: impl Iterator<Item = (Vec<&'l str>, u64)>,
    ) -> prometheus::Result<()> {
        let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
        values.for_each(|(labels, value)| gauges.with_label_values(&labels).set(value as i64));
        self.0.register(Box::new(gauges))
    }

    fn counter(&self, name: &str, help: &str, value: u64) -> prometheus::Result<()> {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        self.0.register(Box::new(counter))
    }
}
