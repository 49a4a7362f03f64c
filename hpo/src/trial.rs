//! The states and ends of trials and studies, what a study waits for, and the order of a list of
//! trials.

use crate::document::names;

names! {
    /// The state of a trial. Terminal states never change.
    pub enum TrialState {
        /// Waits for a trainer.
        Queued = "queued",
        /// Waits before a retry after a failure.
        Delayed = "delayed",
        /// A trainer holds its lease.
        Running = "running",
        /// Trained to its end, with a value.
        Completed = "completed",
        /// Ended without a value.
        Failed = "failed",
        /// Stopped by a user.
        Cancelled = "cancelled",
    }
}

impl TrialState {
    /// Whether it never changes again.
    pub fn is_terminal(self) -> bool {
        match self {
            TrialState::Queued | TrialState::Delayed | TrialState::Running => false,
            TrialState::Completed | TrialState::Failed | TrialState::Cancelled => true,
        }
    }

    /// Whether it is open and no trainer has the trial.
    pub fn is_waiting(self) -> bool {
        match self {
            TrialState::Queued | TrialState::Delayed => true,
            TrialState::Running | TrialState::Completed | TrialState::Failed | TrialState::Cancelled => false,
        }
    }
}

names! {
    /// The state of a study.
    pub enum StudyState {
        /// Its trials are given to trainers.
        Running = "running",
        /// No new trial is given to a trainer.
        Paused = "paused",
        /// Every trial has ended, and there will be no more.
        Completed = "completed",
        /// Stopped by a user; its results are kept.
        Cancelled = "cancelled",
        /// Too many trials failed in a row.
        Failed = "failed",
    }
}

names! {
    /// Why a study ended.
    pub enum StopReason {
        /// `max_trials` trials have ended.
        MaxTrials = "max_trials",
        /// The sampler has no further point.
        SpaceExhausted = "space_exhausted",
        /// Too many trials failed one after the other.
        FailuresInARow = "failures_in_a_row",
        /// A user stopped it.
        Cancelled = "cancelled",
    }
}

names! {
    /// How an attempt at a trial ended.
    pub enum AttemptEnd {
        /// Trained to its end.
        Completed = "completed",
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

impl AttemptEnd {
    /// Whether a trainer reports this end; the reaper records the others.
    pub fn is_handed_in(self) -> bool {
        match self {
            AttemptEnd::Completed | AttemptEnd::Failed | AttemptEnd::Cancelled | AttemptEnd::Released => true,
            AttemptEnd::Stalled => false,
        }
    }
}

names! {
    /// The order of a list of trials.
    #[derive(Default)]
    pub enum Sort {
        /// By number.
        #[default]
        Number = "number",
        /// Completed trials first, the best one at the top and ties by number; then the others by
        /// number.
        Value = "value",
    }
}

names! {
    /// Why a trial failed or was handed back.
    pub enum ErrorKind {
        /// The loss was not a finite number: a result of the search.
        Diverged = "diverged",
        /// The training code panicked.
        Panic = "panic",
        /// The hyperparameters of the trial do not make a working network.
        Invalid = "invalid",
        /// The trainer's machine refused something that training needs, such as a thread. A trial
        /// does not fail if the artifact store cannot be reached: it waits.
        Io = "io",
        /// The device ran out of memory: first tried again alone, then as long as
        /// `retry.max_failures` allows.
        OutOfMemory = "out_of_memory",
        /// `max_trial_seconds` ran out before the first epoch ended: a result of the search under
        /// that limit.
        OutOfTime = "out_of_time",
        /// A trainer handed it back because its machine does not have the dataset or has a
        /// different one: it waits for a trainer that has it.
        Refused = "refused",
        /// Its trainers vanished more than `retry.max_stalls` times.
        Stalled = "stalled",
    }
}

names! {
    /// How a failed trial affects the row of failures that ends its study
    /// (`early_stop.max_failures_in_a_row`).
    pub enum InARow {
        /// The row gets longer: the cause may affect the next trial too.
        Counts = "counts",
        /// The row ends: dataset, device and network have worked.
        Resets = "resets",
        /// The row does not change: the failure says nothing about the next trial.
        Leaves = "leaves",
    }
}

/// When a trial is tried again after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriedAgain {
    /// Never: it has failed.
    Never,
    /// After a pause, as long as `retry.max_failures` allows; then it has failed.
    WithinMaxFailures,
    /// At once, without counting as a failure.
    AtOnce,
}

impl ErrorKind {
    /// When a trial with this failure is tried again. The scripts of the queue are generated from
    /// this.
    pub fn tried_again(self) -> TriedAgain {
        match self {
            ErrorKind::Io | ErrorKind::OutOfMemory => TriedAgain::WithinMaxFailures,
            ErrorKind::Refused => TriedAgain::AtOnce,
            ErrorKind::Diverged
            | ErrorKind::Panic
            | ErrorKind::Invalid
            | ErrorKind::OutOfTime
            | ErrorKind::Stalled => TriedAgain::Never,
        }
    }

    /// How a trial with this failure affects the row of failures that ends its study. The scripts
    /// of the queue are generated from this.
    pub fn in_a_row(self) -> InARow {
        match self {
            // It trained, so the next trial can train too.
            ErrorKind::Diverged => InARow::Resets,
            // The network may be too slow for the limit, or the machine too busy: it is not known
            // which, and other networks may succeed.
            ErrorKind::OutOfTime | ErrorKind::Refused => InARow::Leaves,
            ErrorKind::Panic
            | ErrorKind::Invalid
            | ErrorKind::Io
            | ErrorKind::OutOfMemory
            | ErrorKind::Stalled => InARow::Counts,
        }
    }
}

names! {
    /// What a study with queued trials waits for when no trainer can take one.
    pub enum WaitingFor {
        /// No trainer is connected.
        Trainer = "trainer",
        /// No connected trainer has the device that the study needs.
        Device = "device",
        /// No trainer with its device has enough memory for its smallest network.
        Memory = "memory",
        /// Every trainer with enough memory does not have the dataset, or has a different one.
        Dataset = "dataset",
        /// No trainer that has the dataset, or that trains one of its trials, can use the artifact
        /// store.
        Artifacts = "artifacts",
        /// Every trainer that could run it is busy with other studies.
        Slots = "slots",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_says_whether_its_trial_is_tried_again_and_what_it_is_to_the_row() {
        use InARow::*;
        use TriedAgain::*;
        let table = [
            (ErrorKind::Diverged, Never, Resets),
            (ErrorKind::Panic, Never, Counts),
            (ErrorKind::Invalid, Never, Counts),
            (ErrorKind::Io, WithinMaxFailures, Counts),
            (ErrorKind::OutOfMemory, WithinMaxFailures, Counts),
            (ErrorKind::OutOfTime, Never, Leaves),
            (ErrorKind::Refused, AtOnce, Leaves),
            (ErrorKind::Stalled, Never, Counts),
        ];
        assert_eq!(table.map(|(kind, ..)| kind), ErrorKind::ALL);
        for (kind, tried_again, in_a_row) in table {
            assert_eq!((kind.tried_again(), kind.in_a_row()), (tried_again, in_a_row), "{kind}");
        }
    }

    #[test]
    fn every_name_reads_back() {
        assert!(ErrorKind::ALL.iter().all(|kind| ErrorKind::parse(kind.as_str()) == Some(*kind)));
        assert!(WaitingFor::ALL.iter().all(|kind| serde_json::json!(kind) == kind.as_str()));
    }
}
