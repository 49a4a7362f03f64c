//! `/metrics`: what this process counts, and what the service as a whole holds, gathered at scrape.

use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Data;
use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use store::ServiceMetrics;

use crate::app::App;

/// What this process counts.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    script_seconds: HistogramVec,
    script_errors: IntCounterVec,
}

/// From a Redis round trip on a socket to the longest request that is waited for.
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
        // Named from the first call on: a rate can only be seen of a counter that was there before
        // it rose.
        self.script_errors.with_label_values(&[script]).inc_by(u64::from(!ok));
    }

    /// Everything in Prometheus's text format; `service` is none where Redis could not be asked.
    pub fn render(&self, service: Option<&ServiceMetrics>) -> prometheus::Result<String> {
        let mut families = service_registry(service)?.gather();
        families.extend(self.registry.gather());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

/// Counts a request and times it, under its route's pattern: no id becomes a label.
pub(crate) async fn measure(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let app = request.app_data::<Data<App>>().expect("the server registers its App").clone();
    // Methods and routes are closed sets, or anybody could fill the memory with label values.
    let method = match request.method().as_str() {
        method @ ("GET" | "POST" | "PATCH" | "DELETE" | "HEAD" | "PUT" | "OPTIONS") => method.to_owned(),
        _ => "other".to_owned(),
    };
    let started = Instant::now();
    let response = next.call(request).await;
    let (route, status) = match &response {
        Ok(response) => (response.request().match_pattern(), response.status()),
        Err(error) => (None, error.as_response_error().status_code()),
    };
    let route = route.filter(|route| !route.is_empty()).unwrap_or_else(|| "none".to_owned());
    app.metrics
        .request_seconds
        .with_label_values(&[&method, &route])
        .observe(started.elapsed().as_secs_f64());
    app.metrics.requests.with_label_values(&[&method, &route, &status.as_str().to_owned()]).inc();
    response
}

/// The service's metrics in a registry of their own, made anew for each scrape: what is gone from
/// the store is gone from here.
fn service_registry(service: Option<&ServiceMetrics>) -> prometheus::Result<Registry> {
    let scrape = Scrape(Registry::new());
    scrape.gauge(
        "chandler_redis_up",
        "Whether Redis answered this scrape.",
        f64::from(u8::from(service.is_some())),
    )?;
    if let Some(service) = service {
        let studies = service.studies.iter().map(|(state, count)| (vec![state.as_str()], *count));
        scrape.gauges("chandler_studies", "Studies by state.", &["state"], studies)?;
        let trials =
            service.trials.iter().map(|(class, state, count)| (vec![class.as_str(), state.as_str()], *count));
        scrape.gauges(
            "chandler_trials",
            "Trials of all studies, by the device that their study asks for and by state.",
            &["device", "state"],
            trials,
        )?;
        let runnable = service.runnable.iter().map(|(class, count)| (vec![class.as_str()], *count));
        scrape.gauges(
            "chandler_runnable_studies",
            "Studies that a trainer could claim from now, by the device they ask for.",
            &["device"],
            runnable,
        )?;
        let waiting = service.waiting.iter().map(|(kind, count)| (vec![kind.as_str()], *count));
        scrape.gauges(
            "chandler_studies_waiting",
            "Studies with trials that no trainer can take, or hand in, by what they wait for.",
            &["for"],
            waiting,
        )?;
        scrape.gauge(
            "chandler_wanted_studies",
            "Studies that wait for new suggestions.",
            service.wanted as f64,
        )?;
        scrape.gauge(
            "chandler_trainers",
            "Connected trainers; of one with several GPUs, each GPU.",
            service.trainers as f64,
        )?;
        scrape.gauge("chandler_slots", "Slots of the connected trainers.", service.slots as f64)?;
        scrape.gauge(
            "chandler_lease_overdue_seconds",
            "How late the most overdue lease is that was not taken back yet.",
            service.lease_overdue_ms as f64 / 1000.0,
        )?;
        scrape.gauge(
            "chandler_redis_memory_bytes",
            "Memory that Redis uses.",
            service.redis_memory_bytes as f64,
        )?;
        scrape.gauge(
            "chandler_redis_memory_max_bytes",
            "Memory that Redis may use; 0 means no limit.",
            service.redis_memory_max_bytes as f64,
        )?;
        scrape.counter("chandler_claims_total", "Trials handed to trainers.", service.claims)?;
        scrape.counter("chandler_stalls_total", "Leases that ran out.", service.stalls)?;
        scrape.counter(
            "chandler_stale_results_total",
            "Results refused because another attempt had taken over.",
            service.stale,
        )?;
        scrape.counter(
            "chandler_lost_reports_total",
            "Reports refused because another attempt had taken over.",
            service.lost,
        )?;
        scrape.counter("chandler_retries_total", "Trials tried again after a failure.", service.retries)?;
        scrape.counter(
            "chandler_redis_outages_total",
            "Outages of Redis that the reaper noticed.",
            service.outages,
        )?;
    }
    Ok(scrape.0)
}

struct Scrape(Registry);

impl Scrape {
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
