//! A trial's states and ends.

/// Declares a closed set of names: `as_str`, `parse` and `ALL`.
macro_rules! closed_set {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
        impl $name {
            /// Every one, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            /// Its name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
            /// The one of that name.
            pub fn parse(name: &str) -> Option<$name> {
                match name { $($text => Some($name::$variant),)+ _ => None }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

closed_set! {
    /// Where a trial stands. Terminal states never change.
    pub enum TrialState {
        /// Waits for a trainer.
        Queued = "queued",
        /// Waits for its time: a retry after a failure.
        Delayed = "delayed",
        /// A trainer holds its lease.
        Running = "running",
        /// Reached a rung and waits for a promotion.
        Paused = "paused",
        /// Trained to its end, with a value.
        Completed = "completed",
        /// Stopped early by the pruner.
        Pruned = "pruned",
        /// Ended without a value.
        Failed = "failed",
        /// Stopped by a user.
        Cancelled = "cancelled",
    }
}

impl TrialState {
    /// Whether it never changes again.
    pub fn is_terminal(self) -> bool {
        matches!(self, TrialState::Completed | TrialState::Pruned | TrialState::Failed | TrialState::Cancelled)
    }
}

closed_set! {
    /// Where a study stands.
    pub enum StudyState {
        /// Its trials are handed out.
        Running = "running",
        /// No new trial is handed out.
        Paused = "paused",
        /// Every trial has ended and no more will come.
        Completed = "completed",
        /// Stopped by a user; its results are kept.
        Cancelled = "cancelled",
        /// Too many trials failed in a row.
        Failed = "failed",
    }
}

closed_set! {
    /// Why a trial failed. The kind decides whether it is tried again.
    pub enum ErrorKind {
        /// The loss was not a finite number: final.
        Diverged = "diverged",
        /// The training code panicked: final.
        Panic = "panic",
        /// The trial's hyperparameters make no network that works: final.
        Invalid = "invalid",
        /// A file or the artifact store could not be read or written: tried again while failures are left.
        Io = "io",
        /// The device ran out of memory: tried again alone, then final.
        OutOfMemory = "out_of_memory",
        /// Its trainers vanished too often: final.
        Stalled = "stalled",
    }
}
