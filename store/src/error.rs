//! What can go wrong between a caller and Redis.

use hpo::trial::StudyState;

use crate::StudyId;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Redis did not answer, also not on a fresh connection. The call may have been carried out; every call may be repeated.
    #[error("Redis does not answer: {0}")]
    Unavailable(String),
    /// Redis has used its `maxmemory`: no new study, no new trial; what runs can finish.
    #[error("Redis is out of memory")]
    OutOfMemory,
    /// No study has that id, or it was deleted.
    #[error("no study {0}")]
    NoSuchStudy(StudyId),
    /// The study that this request created is gone, and its id is not used again.
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
    /// The study has ended and cannot be changed so.
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
    /// A cursor that no list has handed out.
    #[error("not a cursor of this list")]
    BadCursor,
    /// An argument is over its bound.
    #[error("{what} has {bytes} bytes, the most is {bytes_max}")]
    TooLong {
        /// Which argument.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// What is stored cannot be read: another version wrote it, or it is damaged.
    #[error("stored data cannot be read: {0}")]
    Corrupt(String),
    /// Redis refused a command.
    #[error("Redis refused: {0}")]
    Redis(String),
}

/// A result of the store.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What a refusal or a dead connection means.
    pub(crate) fn from_redis(error: &redis::RedisError) -> Error {
        if is_lost(error) {
            return Error::Unavailable(error.to_string());
        }
        match error.code() {
            Some("OOM") => Error::OutOfMemory,
            _ => Error::Redis(error.to_string()),
        }
    }
}

/// Whether a fresh connection may help: time-outs, broken sockets, a server that loads, or that became a replica.
pub(crate) fn is_lost(error: &redis::RedisError) -> bool {
    let code = matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN"));
    code || error.is_io_error() || error.is_timeout() || error.is_connection_dropped() || error.is_connection_refusal()
}
