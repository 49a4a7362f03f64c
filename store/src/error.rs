//! What can go wrong between a caller and Redis.

use hpo::space::Misfit;
use hpo::trial::StudyState;

use crate::StudyId;
use crate::refusal::Refused;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The URL of Redis, the certificates or the server at that address cannot be used. Waiting
    /// does not help.
    #[error("{0}")]
    Misconfigured(String),
    /// Redis does not answer, not even on a fresh connection. Nothing was changed.
    #[error("Redis does not answer: {0}")]
    Unavailable(String),
    /// Redis was asked to change something and did not answer, or did only a part of it: the effect
    /// is not known. Every call may be repeated.
    #[error("it is not known whether Redis has carried it out: {0}")]
    Unanswered(String),
    /// Redis refuses. Nothing was changed.
    #[error("{0}")]
    Refused(Refused),
    /// No study has that id, or it was deleted.
    #[error("no study {0}")]
    NoSuchStudy(StudyId),
    /// The study that this request created was deleted, and its id is not used again.
    #[error("study {0} was deleted")]
    Deleted(StudyId),
    /// The study has no trial of that number.
    #[error("study {study} has no trial {number}")]
    NoSuchTrial {
        /// The study.
        study: StudyId,
        /// The number asked for.
        number: u64,
    },
    /// The study has ended and does not allow this change.
    #[error("study {study} is {state}")]
    Closed {
        /// The study.
        study: StudyId,
        /// Its state.
        state: StudyState,
    },
    /// Another request was made under that idempotency key.
    #[error("the idempotency key belongs to another request")]
    IdempotencyMismatch,
    /// The cursor is not from this list.
    #[error("not a cursor of this list")]
    BadCursor,
    /// An argument is over its bound.
    #[error("{what} has {bytes} bytes; at most {bytes_max} are allowed")]
    TooLong {
        /// Which argument.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// Stored data cannot be read: another version wrote it, or it is damaged.
    #[error("stored data cannot be read: {0}")]
    Corrupt(String),
    /// A script of ours failed in Redis.
    #[error("a script failed in Redis: {0}")]
    Redis(String),
}

/// A result of the store.
pub type Result<T> = std::result::Result<T, Error>;

/// Hyperparameters were read that are no point of their study's space.
impl From<Misfit> for Error {
    fn from(misfit: Misfit) -> Error {
        Error::Corrupt(misfit.to_string())
    }
}

impl Error {
    /// Whether the same call may succeed later without a change by the caller.
    pub fn may_pass(&self) -> bool {
        match self {
            Error::Unavailable(_) | Error::Unanswered(_) => true,
            Error::Refused(refused) => refused.refusal.may_pass(),
            _ => false,
        }
    }

    /// This error, if it comes after the first of several steps.
    pub(crate) fn in_its_course(self) -> Error {
        match self {
            Error::Unavailable(_) | Error::Refused(_) => Error::Unanswered(self.to_string()),
            error => error,
        }
    }
}
