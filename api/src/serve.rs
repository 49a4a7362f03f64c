//! `chandler serve`: the API, and without a Redis URL the whole service on one machine.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::limits;
use actix_web::middleware::{Compress, from_fn};
use actix_web::web::{self, Data};
use actix_web::{App as HttpApp, HttpServer};
use anyhow::Context;
use data::Catalog;
use store::artifact::Artifacts;
use store::embedded::Embedded;
use store::{Store, Tick};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use utoipa::OpenApi;
use utoipa_actix_web::AppExt;
use utoipa_swagger_ui::SwaggerUi;

use crate::app::App;
use crate::auth::Keys;
use crate::children::{TrainerChild, TrainerCommand};
use crate::client::ServerUrl;
use crate::config::{Serve, datasets_folder};
use crate::contract;
use crate::metrics::Metrics;
use crate::report::{say, shell_word};
use crate::{middleware, router};

/// Serves until a signal, or until the embedded Redis is given up.
pub async fn serve(config: Serve) -> anyhow::Result<()> {
    let keys = config.api_keys_file.as_deref().map(Keys::read).transpose()?;
    anyhow::ensure!(
        keys.is_some() || config.listen.ip().is_loopback(),
        "{} is not loopback: give API keys with --api-keys-file (CHANDLER_API_KEYS_FILE), or listen on 127.0.0.1",
        config.listen
    );
    let listener = listen(config.listen)?;
    let (machine, service) = (&config.machine, &config.service);
    let datasets = datasets_folder(machine)?;
    let embedded = match &config.redis_url {
        Some(_) => None,
        None => {
            service.tls.expect_none("a socket of its own without --redis-url (REDIS_URL)")?;
            Some(start_redis(&machine.data_dir)?)
        }
    };
    let redis_url = embedded
        .as_ref()
        .map_or_else(|| config.redis_url.clone().unwrap_or_default(), |redis| redis.url().to_owned());
    let artifacts = service.artifacts(machine);
    let redis = store::Config {
        tls: service.tls.clone(),
        lease_ms: service.lease_seconds * 1_000,
        ..store::Config::new(&redis_url)
    };
    let mut app = assemble(redis, datasets.clone(), &artifacts, keys).await?;
    if let Some(redis) = &embedded {
        app.disk_full = redis.disk_full();
    }
    let trainer = match &embedded {
        Some(_) => Some(TrainerChild::start(TrainerCommand {
            redis_url,
            machine: machine.clone(),
            artifacts,
            lease_seconds: service.lease_seconds,
            quiet: false,
        })?),
        None => None,
    };
    let address = listener.local_addr()?;
    tracing::info!("Listening on http://{address}");
    say(welcome(address, &datasets, config.api_keys_file.as_deref()));
    let outcome = tokio::select! {
        outcome = run(listener, app, stopped(embedded.as_ref())) => outcome,
        () = unwatched(trainer.as_ref()) => Err(anyhow::anyhow!("the thread that watches the trainer has ended")),
    };
    let stopped = stop_children(trainer, embedded).await;
    outcome.and(stopped)
}

/// Stops the trainer, which hands its trials back while Redis is still there to take them, and then
/// Redis. Errors: why the embedded Redis was given up, if it was.
async fn stop_children(trainer: Option<TrainerChild>, embedded: Option<Embedded>) -> anyhow::Result<()> {
    if let Some(trainer) = trainer {
        trainer.stop().await;
    }
    let Some(redis) = embedded else { return Ok(()) };
    let given_up = tokio::time::timeout(Duration::ZERO, redis.failed()).await;
    redis.stop().await;
    given_up.map_or(Ok(()), |error| Err(error.into()))
}

/// Where everything is, and a first command.
fn welcome(address: SocketAddr, datasets: &Path, api_keys_file: Option<&Path>) -> String {
    let ip = match address.ip() {
        // It listens everywhere: on this machine, loopback leads there.
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let url = format!("http://{}", SocketAddr::new(ip, address.port()));
    let server = if url == ServerUrl::DEFAULT { String::new() } else { format!(" --server {url}") };
    let key = api_keys_file.map_or(String::new(), |file| format!(" --api-key-file {}", shell_word(file)));
    format!(
        "Chandler serves {url}\n  \
           documentation  {url}/docs/\n  \
           datasets       {}\n  \
           to begin       chandler submit{server}{key} openapi/examples/digits-random.json",
        datasets.display()
    )
}

/// A private Redis on `<data_dir>/redis`.
pub(crate) fn start_redis(data_dir: &Path) -> anyhow::Result<Embedded> {
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot make the data folder {}", data_dir.display()))?;
    Ok(Embedded::start(data_dir)?)
}

/// The shared data of an API on this Redis; waits a while for one that is just starting.
pub async fn assemble(
    redis: store::Config,
    datasets: PathBuf,
    artifacts: &str,
    keys: Option<Keys>,
) -> anyhow::Result<App> {
    let metrics = Arc::new(Metrics::default());
    let observer = metrics.clone();
    let observe: Option<store::Observe> =
        Some(Arc::new(move |script, took, ok| observer.observe_script(script, took, ok)));
    let store = connect(store::Config { observe, ..redis }).await.context("cannot connect to Redis")?;
    if let Err(error) = store.ready().await {
        tracing::warn!("Redis accepts no changes now; reads are served: {error}");
    }
    Ok(App {
        store,
        catalog: Arc::new(Catalog::new(datasets)),
        artifacts: Artifacts::open(artifacts)?,
        keys: keys.map(Arc::new),
        metrics,
        draining: Arc::default(),
        disk_full: Arc::default(),
    })
}

/// The store, once Redis is there. It does not wait for a Redis that refuses for good, for instance
/// because of a wrong password.
async fn connect(config: store::Config) -> store::Result<Store> {
    let until = Instant::now() + Duration::from_secs(limits::REDIS_START_SECONDS_MAX);
    loop {
        match Store::connect(config.clone()).await {
            Err(error) if error.may_pass() && Instant::now() < until => {
                tracing::warn!("Waiting for Redis: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            outcome => return outcome,
        }
    }
}

/// Takes part in what any process does with every tick.
async fn tend(app: App) {
    // A tick changes something, which an embedded Redis refuses while its disk is full.
    let next = || if app.disk_full.load(Ordering::Acquire) { Tick::Skip } else { Tick::Take };
    app.store.tend_forever(&app.artifacts, next).await;
}

/// Serves `app` on `listener` until `shutdown` is ready, then lets requests in flight end. Errors: the
/// server or the reaper ended before.
pub async fn run(listener: TcpListener, app: App, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let mut reaper = tokio::spawn(tend(app.clone()));
    let draining = app.draining.clone();
    let document = Data::new(contract::document());
    let known = Data::new(contract::Known::of(&document));
    let app = Data::new(app);
    let server = HttpServer::new(move || {
        HttpApp::new()
            .into_utoipa_app()
            .openapi(contract::Info::openapi())
            .map(|app| {
                let app = app.wrap(Compress::default()).wrap(from_fn(middleware::keep_contract));
                app.wrap(from_fn(middleware::authorize)).wrap(from_fn(middleware::measure))
            })
            .app_data(app.clone())
            .app_data(document.clone())
            .app_data(known.clone())
            .configure(router::routes)
            .split_for_parts()
            .0
            .service(SwaggerUi::new("/docs/{_:.*}").config(utoipa_swagger_ui::Config::from("/openapi.json")))
            .service(web::redirect("/docs", "/docs/"))
            .default_service(web::to(router::no_route))
    })
    .workers(limits::HTTP_WORKERS)
    .worker_max_blocking_threads(limits::HTTP_BLOCKING_THREADS)
    .max_connections(limits::HTTP_CONNECTIONS_MAX)
    // A client that has left wants no answer: the work for its request, such as reading a dataset, is
    // given up.
    .h1_allow_half_closed(false)
    .client_request_timeout(Duration::from_secs(limits::HTTP_HEAD_SECONDS_MAX))
    .shutdown_timeout(limits::HTTP_DRAIN_SECONDS_MAX)
    .disable_signals()
    .listen(listener)?
    .run();
    let handle = server.handle();
    let mut server = tokio::spawn(server);
    let ended = tokio::select! {
        () = shutdown => Ok(()),
        error = ended_early(&mut server, &mut reaper) => Err(error),
    };
    draining.store(true, Ordering::Relaxed);
    handle.stop(true).await;
    reaper.abort();
    if ended.is_ok() {
        server.await??;
    }
    ended
}

/// Waits for the first of two tasks to end, which should go on as long as the process, and says why.
async fn ended_early(
    server: &mut JoinHandle<std::io::Result<()>>,
    reaper: &mut JoinHandle<()>,
) -> anyhow::Error {
    let (task, cause) = tokio::select! {
        ended = server => ("HTTP server", ended.map_err(anyhow::Error::from).and_then(|served| served.map_err(anyhow::Error::from))),
        ended = reaper => ("reaper", ended.map_err(anyhow::Error::from)),
    };
    cause
        .map_or_else(|cause| cause, |()| anyhow::anyhow!("nothing asked it to"))
        .context(format!("the {task} has ended by itself"))
}

/// A listener on this address. The system closes a connection whose client has read nothing for
/// [`limits::HTTP_STUCK_SECONDS_MAX`]: connections inherit the option, so it is set before there are
/// any. actix has no time limit for writes, and systems other than Linux have no such option.
pub fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_tcp_user_timeout(&listener, limits::HTTP_STUCK_SECONDS_MAX as u32 * 1_000)?;
    Ok(listener)
}

async fn unwatched(trainer: Option<&TrainerChild>) {
    match trainer {
        Some(trainer) => trainer.unwatched().await,
        None => std::future::pending().await,
    }
}

/// Ready at SIGTERM or SIGINT, or when the embedded Redis is given up.
pub(crate) async fn stopped(embedded: Option<&Embedded>) {
    let given_up = async {
        match embedded {
            Some(redis) => drop(redis.failed().await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = signalled() => {}
        () = given_up => {}
    }
}

/// Ready at SIGTERM or SIGINT.
pub(crate) async fn signalled() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lines_lead_to_the_service_from_this_machine() {
        let said = |address: &str, keys| welcome(address.parse().unwrap(), Path::new("data/datasets"), keys);
        assert_eq!(
            said("127.0.0.1:8080", None),
            "Chandler serves http://127.0.0.1:8080\n  \
               documentation  http://127.0.0.1:8080/docs/\n  \
               datasets       data/datasets\n  \
               to begin       chandler submit openapi/examples/digits-random.json"
        );
        let said = [said("0.0.0.0:80", Some(Path::new("keys.txt"))), said("[::]:80", None)];
        assert!(
            said[0].contains("submit --server http://127.0.0.1:80 --api-key-file keys.txt openapi/"),
            "{said:?}"
        );
        assert!(said[1].contains("Chandler serves http://[::1]:80\n"), "{said:?}");
    }

    fn goes_on<T: Send + 'static>() -> JoinHandle<T> {
        tokio::spawn(std::future::pending())
    }

    #[tokio::test]
    async fn a_task_that_ends_or_panics_is_told_of_by_its_name_and_cause() {
        for (mut server, mut reaper, said) in [
            (
                tokio::spawn(async { Ok(()) }),
                goes_on(),
                ["the HTTP server has ended by itself", "nothing asked it to"],
            ),
            (
                tokio::spawn(async { Err(std::io::Error::other("no more sockets")) }),
                goes_on(),
                ["the HTTP server", "no more sockets"],
            ),
            (tokio::spawn(async { panic!("on purpose") }), goes_on(), ["the HTTP server", "panicked"]),
            (
                goes_on(),
                tokio::spawn(async { panic!("on purpose") }),
                ["the reaper has ended by itself", "panicked"],
            ),
            (goes_on(), tokio::spawn(async {}), ["the reaper", "nothing asked it to"]),
        ] {
            let error = format!("{:#}", ended_early(&mut server, &mut reaper).await);
            assert!(said.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
