//! For tests: checks of what is stored.

use crate::error::Result;
use crate::link::Effect;
use crate::reply::{Reply, text};
use crate::script::Name;
use crate::{Args, Store};

/// A line for each invariant of the queue that does not hold.
pub async fn audit(store: &Store) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let mut lines = Reply::of(store.call(Name::Audit, Args::new()).await?)?;
    while let Some(line) = lines.next() {
        wrong.push(text(line)?);
    }
    Ok(wrong)
}

/// Makes the server forget every script, as a restart or a fail-over does.
pub async fn forget_scripts(store: &Store) -> Result<()> {
    store.inner.link.run(redis::cmd("SCRIPT").arg("FLUSH"), Effect::None, store.until()).await.map(drop)
}

/// Every key of this store's namespace, sorted.
pub async fn keys(store: &Store) -> Result<Vec<String>> {
    let pattern = format!("{}:*", store.inner.namespace);
    let mut found =
        Reply::of(store.inner.link.run(redis::cmd("KEYS").arg(pattern), Effect::None, store.until()).await?)?;
    let mut keys = Vec::new();
    while let Some(key) = found.next() {
        keys.push(text(key)?);
    }
    keys.sort();
    Ok(keys)
}
