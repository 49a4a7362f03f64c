//! Why a running trial has to stop, shared by the async side, which says so, and the training
//! thread, which looks before every batch.

use tokio::sync::watch;

/// Why a trial stops before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A user cancelled it.
    Cancel,
    /// The trainer shuts down, or another trainer is idle.
    Release,
    /// The lease is lost: another attempt owns the trial, or it is gone.
    Lost,
}

/// The reason to stop, once there is one.
#[derive(Debug, Default)]
pub(crate) struct Stop(watch::Sender<Option<Reason>>);

impl Stop {
    /// Sets the reason, unless there is one already; only the loss of the lease overrules another.
    pub(crate) fn set(&self, reason: Reason) {
        self.0.send_if_modified(|current| {
            let is_new = current.is_none() || (reason == Reason::Lost && *current != Some(reason));
            if is_new {
                *current = Some(reason);
            }
            is_new
        });
    }

    /// The reason to stop, if there is one.
    pub(crate) fn reason(&self) -> Option<Reason> {
        *self.0.borrow()
    }

    /// Whether the lease is lost.
    pub(crate) fn is_lost(&self) -> bool {
        self.reason() == Some(Reason::Lost)
    }

    /// Resolves with the first reason, once there is one.
    pub(crate) async fn stopped(&self) -> Reason {
        self.wait_for(|_| true).await
    }

    /// Resolves once the lease is lost.
    pub(crate) async fn lost(&self) {
        self.wait_for(|reason| reason == Reason::Lost).await;
    }

    async fn wait_for(&self, is_wanted: impl Fn(Reason) -> bool) -> Reason {
        let mut reasons = self.0.subscribe();
        match reasons.wait_for(|reason| reason.is_some_and(&is_wanted)).await.map(|reason| *reason) {
            Ok(Some(reason)) => reason,
            // The sender is in `self`: it cannot be gone.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn the_first_reason_counts_and_only_a_lost_lease_overrules_it() {
        let stop = Stop::default();
        assert_eq!(stop.reason(), None);
        let (mut stopped, mut lost) = (pin!(stop.stopped()), pin!(stop.lost()));
        tokio::select! {
            biased;
            _ = &mut stopped => panic!("there is no reason yet"),
            () = &mut lost => panic!("the lease is not lost yet"),
            () = std::future::ready(()) => {}
        }
        stop.set(Reason::Release);
        stop.set(Reason::Cancel);
        assert_eq!((stopped.await, stop.is_lost()), (Reason::Release, false));
        stop.set(Reason::Lost);
        stop.set(Reason::Cancel);
        lost.await;
        assert_eq!(stop.reason(), Some(Reason::Lost));
    }
}
