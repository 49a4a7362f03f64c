//! A trial's states and ends, a study's, and the order of a list.

/// Declares a closed set of names: `as_str`, `parse` and `ALL`; in JSON each is its name.
macro_rules! closed_set {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $name { $($(#[$vdoc])* #[cfg_attr(feature = "openapi", schema(rename = $text))] $variant),+ }
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
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let name = String::deserialize(deserializer)?;
                $name::parse(&name).ok_or_else(|| serde::de::Error::unknown_variant(&name, &[$($text),+]))
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
    /// Why a study ended.
    pub enum StopReason {
        /// All trials that it may have have ended.
        MaxTrials = "max_trials",
        /// The sampler has no further point.
        SpaceExhausted = "space_exhausted",
        /// Too many trials failed one after the other.
        FailuresInARow = "failures_in_a_row",
        /// A user stopped it.
        Cancelled = "cancelled",
    }
}

closed_set! {
    /// How an attempt at a trial ended.
    pub enum AttemptEnd {
        /// Trained to its end.
        Completed = "completed",
        /// Stopped early by the pruner.
        Pruned = "pruned",
        /// Reached a rung.
        Paused = "paused",
        /// Ended without a value.
        Failed = "failed",
        /// Stopped by a user.
        Cancelled = "cancelled",
        /// Its trainer handed it back.
        Released = "released",
        /// Its trainer was silent for too long.
        Stalled = "stalled",
    }
}

closed_set! {
    /// The order of a list of trials.
    #[derive(Default)]
    pub enum Sort {
        /// By number.
        #[default]
        Number = "number",
        /// The completed ones, best first, ties by number; then the others by number.
        Value = "value",
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
