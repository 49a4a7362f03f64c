//! The API in this process, on a port and a Redis of its own.

use std::io::Write;

use api::auth::Keys;
use store::Store;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::{ChaosProxy, Client, TestRedis};

/// The key that [`TestApp::with_keys`] accepts.
pub const API_KEY: &str = "a-key-for-tests-only";

/// A running API without a trainer.
pub struct TestApp {
    /// Its Redis.
    pub redis: TestRedis,
    /// Its data folder.
    pub data_dir: TempDir,
    /// Its store.
    pub store: Store,
    /// A client of it.
    pub client: Client,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<anyhow::Result<()>>>,
}

impl TestApp {
    /// Starts one that serves loopback without keys.
    pub async fn start() -> TestApp {
        TestApp::start_on(TestRedis::start()).await
    }

    /// Starts one on this Redis.
    pub async fn start_on(redis: TestRedis) -> TestApp {
        let url = redis.url();
        TestApp::start_with(redis, &url, None).await
    }

    /// Starts one that is told so where its Redis is.
    pub async fn start_at(redis: TestRedis, url: impl FnOnce(&TestRedis) -> String) -> TestApp {
        let url = url(&redis);
        TestApp::start_with(redis, &url, None).await
    }

    /// Starts one that reaches its Redis through a proxy.
    pub async fn behind(proxy: &ChaosProxy, redis: TestRedis) -> TestApp {
        TestApp::start_with(redis, &proxy.url(), None).await
    }

    /// Starts one that wants [`API_KEY`].
    pub async fn with_keys() -> TestApp {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        writeln!(file, "# keys\n\n{API_KEY}").expect("a written file");
        let redis = TestRedis::start();
        let url = redis.url();
        TestApp::start_with(redis, &url, Some(Keys::read(file.path()).expect("readable keys"))).await
    }

    async fn start_with(redis: TestRedis, url: &str, keys: Option<Keys>) -> TestApp {
        let data_dir = TempDir::new().expect("a temporary folder");
        let artifacts = data_dir.path().join("artifacts").display().to_string();
        let app =
            api::serve::assemble(store::Config::new(url), data_dir.path().join("datasets"), &artifacts, keys)
                .await
                .expect("an assembled app");
        let listener = api::serve::listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let client = Client::new(format!("http://{}", listener.local_addr().expect("a local address")));
        let (stop, stopped) = oneshot::channel::<()>();
        let store = app.store.clone();
        let server = tokio::spawn(api::run(listener, app, async {
            let _ = stopped.await;
        }));
        TestApp { redis, data_dir, store, client, stop: Some(stop), server: Some(server) }
    }

    /// Stops it as a signal would, and waits for its end.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            server.await.expect("no panic").expect("an orderly end");
        }
    }
}
