//! The queue as plain data: what the scripts must do, without Redis. The store chooses the study of a
//! claim (the fair share); everything else is decided here.

use hpo::trial::{ErrorKind, InARow, StudyState, TrialState, TriedAgain};
use store::End;

pub(crate) const LEASE_MS: u64 = 30_000;
pub(crate) const TICK_MS: u64 = LEASE_MS / 10;
pub(crate) const BACKOFF_MS: u64 = 1_000;
const FAILURES_IN_A_ROW: u32 = 3;

#[derive(Debug, Clone)]
pub(crate) struct Trial {
    pub(crate) state: TrialState,
    pub(crate) attempt: u32,
    pub(crate) failures: u32,
    pub(crate) stalls: u32,
    pub(crate) epoch: u32,
    pub(crate) nonce: u64,
    /// The last nonce's end was settled.
    done: bool,
    pub(crate) cancel: bool,
    pub(crate) alone: bool,
    /// Ready-at of a delayed trial, deadline of a running one.
    until: u64,
}

/// The limits of a study that a history chooses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_trials: u64,
    pub(crate) max_parallel: u64,
    pub(crate) max_failures: u32,
    pub(crate) max_stalls: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Study {
    pub(crate) state: StudyState,
    pub(crate) limits: Limits,
    failures_in_a_row: u32,
    pub(crate) trials: Vec<Trial>,
}

impl Study {
    pub(crate) fn new(limits: Limits) -> Study {
        Study { state: StudyState::Running, limits, failures_in_a_row: 0, trials: vec![] }
    }

    pub(crate) fn count(&self, state: TrialState) -> u64 {
        self.trials.iter().filter(|trial| trial.state == state).count() as u64
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, StudyState::Cancelled | StudyState::Failed)
    }

    pub(crate) fn is_runnable(&self) -> bool {
        self.state == StudyState::Running
            && self.count(TrialState::Queued) > 0
            && self.count(TrialState::Running) < self.limits.max_parallel
    }

    /// The number that a claim must get.
    pub(crate) fn first_queued(&self) -> Option<usize> {
        self.trials.iter().position(|trial| trial.state == TrialState::Queued)
    }

    pub(crate) fn top_up(&mut self) -> u64 {
        let missing = if self.state == StudyState::Running {
            self.limits.max_trials.saturating_sub(self.trials.len() as u64)
        } else {
            0
        };
        let fresh = Trial {
            state: TrialState::Queued,
            attempt: 0,
            failures: 0,
            stalls: 0,
            epoch: 0,
            nonce: 0,
            done: false,
            cancel: false,
            alone: false,
            until: 0,
        };
        self.trials.extend((0..missing).map(|_| fresh.clone()));
        missing
    }

    pub(crate) fn claim(&mut self, number: usize, nonce: u64, now: u64) {
        let trial = &mut self.trials[number];
        trial.state = TrialState::Running;
        trial.attempt += 1;
        (trial.nonce, trial.done, trial.until) = (nonce, false, now + LEASE_MS);
    }

    pub(crate) fn queue_due(&mut self, now: u64) {
        for trial in
            self.trials.iter_mut().filter(|trial| trial.state == TrialState::Delayed && trial.until <= now)
        {
            trial.state = TrialState::Queued;
        }
    }

    /// None if the nonce is stale.
    pub(crate) fn finish(&mut self, number: usize, nonce: u64, end: &End, now: u64) -> Option<()> {
        let (closed, max_failures) = (self.is_closed(), self.limits.max_failures);
        let trial = self.trials.get_mut(number).filter(|trial| trial.nonce == nonce)?;
        if trial.done || trial.state.is_terminal() {
            return trial.done.then_some(());
        }
        trial.done = true;
        let back = if closed || trial.cancel { TrialState::Cancelled } else { TrialState::Queued };
        trial.state = match end {
            End::Completed { value, .. } if !value.is_finite() => TrialState::Failed,
            End::Completed { .. } => TrialState::Completed,
            End::Cancelled => TrialState::Cancelled,
            End::Released | End::Refused { .. } => back,
            End::Failed { kind: ErrorKind::OutOfMemory, beside_others: true, .. } if !trial.alone => {
                trial.alone = true;
                back
            }
            End::Failed { kind, .. } if kind.tried_again() == TriedAgain::WithinMaxFailures => {
                trial.failures += 1;
                trial.until = now + BACKOFF_MS * (1 << (trial.failures - 1));
                if back == TrialState::Cancelled {
                    back
                } else if trial.failures <= max_failures {
                    TrialState::Delayed
                } else {
                    TrialState::Failed
                }
            }
            End::Failed { .. } => TrialState::Failed,
        };
        match (trial.state, end) {
            (TrialState::Failed, End::Failed { kind, .. }) => self.failed(*kind),
            (TrialState::Failed, _) => self.failed(ErrorKind::Diverged),
            (_, End::Completed { .. }) => self.failures_in_a_row = 0,
            _ => {}
        }
        Some(())
    }

    fn failed(&mut self, kind: ErrorKind) {
        match kind.in_a_row() {
            InARow::Counts => self.failures_in_a_row += 1,
            InARow::Resets => self.failures_in_a_row = 0,
            InARow::Leaves => {}
        }
        if kind.in_a_row() == InARow::Counts
            && self.failures_in_a_row >= FAILURES_IN_A_ROW
            && !self.is_closed()
        {
            self.close(StudyState::Failed);
        }
    }

    pub(crate) fn close(&mut self, state: StudyState) {
        self.state = state;
        self.trials
            .iter_mut()
            .filter(|trial| !trial.state.is_terminal() && trial.state != TrialState::Running)
            .for_each(|trial| trial.state = TrialState::Cancelled);
    }

    pub(crate) fn expire(&mut self, now: u64) {
        // The longest silent first: the failure that closes the study cancels those after it.
        let is_silent = |trial: &Trial| trial.state == TrialState::Running && trial.until <= now;
        let mut silent: Vec<usize> =
            (0..self.trials.len()).filter(|number| is_silent(&self.trials[*number])).collect();
        silent.sort_by_key(|number| (self.trials[*number].until, *number));
        for number in silent {
            let (closed, max_stalls) = (self.is_closed(), self.limits.max_stalls);
            let trial = &mut self.trials[number];
            trial.stalls += 1;
            trial.state = match trial.stalls > max_stalls {
                _ if closed || trial.cancel => TrialState::Cancelled,
                true => TrialState::Failed,
                false => TrialState::Queued,
            };
            if trial.state == TrialState::Failed {
                self.failed(ErrorKind::Stalled);
            }
        }
    }

    /// Whether its lease was renewed.
    pub(crate) fn report(&mut self, number: usize, nonce: u64, epoch: u32, now: u64) -> bool {
        match self.trials.get_mut(number) {
            Some(trial) if trial.state == TrialState::Running && trial.nonce == nonce => {
                (trial.until, trial.epoch) = (now + LEASE_MS, trial.epoch.max(epoch));
                true
            }
            _ => false,
        }
    }

    pub(crate) fn set_max_trials(&mut self, max_trials: u64) {
        self.limits.max_trials = max_trials;
        if self.state == StudyState::Completed && (self.trials.len() as u64) < max_trials {
            self.state = StudyState::Running;
        }
        while self.trials.len() as u64 > max_trials
            && self.trials.last().is_some_and(|trial| trial.state == TrialState::Queued && trial.attempt == 0)
        {
            self.trials.pop();
        }
        for trial in self.trials.iter_mut().skip(max_trials as usize) {
            if trial.state.is_waiting() {
                trial.state = TrialState::Cancelled;
            }
        }
    }

    /// What must follow from every change.
    pub(crate) fn complete(&mut self) {
        let open = self.trials.iter().any(|trial| !trial.state.is_terminal());
        if matches!(self.state, StudyState::Running | StudyState::Paused)
            && !open
            && self.trials.len() as u64 >= self.limits.max_trials
        {
            self.state = StudyState::Completed;
        }
    }
}
