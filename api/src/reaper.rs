//! What is due without a request: leases that ran out, studies that need suggestions, artifacts of
//! deleted studies.

use std::sync::atomic::Ordering;
use std::time::Duration;

use store::Store;
use store::artifact::Artifacts;

use crate::app::App;

/// Ticks until the process ends. Any number of processes may tick; a script skips ticks that come
/// too soon after another.
pub(crate) async fn tick_forever(app: App) {
    loop {
        tokio::time::sleep(jittered(app.store.tick())).await;
        // Its work changes something, which Redis cannot store now.
        if app.disk_full.load(Ordering::Acquire) {
            continue;
        }
        if let Err(error) = tick(&app.store, &app.artifacts).await {
            tracing::warn!("The reaper failed and will try again: {error:#}");
        }
    }
}

async fn tick(store: &Store, artifacts: &Artifacts) -> anyhow::Result<()> {
    let tended = store.tend(artifacts).await?;
    if tended.stalled > 0 {
        tracing::warn!("{} leases ran out; their trials are queued again or failed", tended.stalled);
    }
    for undone in tended.undone {
        tracing::warn!("{undone}");
    }
    Ok(())
}

/// Up to a fifth less or more, so that processes do not tick in step.
fn jittered(tick: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    tick.mul_f64(0.8 + 0.4 * f64::from(random) / f64::from(u32::MAX))
}
