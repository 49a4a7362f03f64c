//! The id of a study, and the nonce that fences an attempt.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

/// The id of a study: a ULID, 26 characters of Crockford's base 32, so that ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StudyId(Ulid);

impl StudyId {
    /// The length of every id.
    pub const BYTES: usize = ulid::ULID_LEN;

    /// A fresh one.
    pub fn generate() -> StudyId {
        StudyId(Ulid::generate())
    }

    /// The id in `text`; none unless it is a ULID in upper case.
    pub fn parse(text: &str) -> Option<StudyId> {
        // The crate reads lower case as well, and letters that look like digits.
        Ulid::from_string(text).ok().filter(|id| id.to_string() == text).map(StudyId)
    }
}

impl FromStr for StudyId {
    type Err = String;

    fn from_str(text: &str) -> Result<StudyId, String> {
        StudyId::parse(text)
            .ok_or_else(|| format!("{text:?} is not the id of a study (26 characters of a ULID)"))
    }
}

impl fmt::Display for StudyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.array_to_str(&mut [0; StudyId::BYTES]))
    }
}

impl Serialize for StudyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StudyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StudyId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Identifies one attempt at a trial. It is random, because after a fail-over Redis can issue the
/// same attempt number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub(crate) u64);

impl Nonce {
    /// A fresh one.
    pub fn random() -> Nonce {
        Nonce(getrandom::u64().expect("the operating system gives random numbers"))
    }

    /// The nonce of that number, for tests that must repeat.
    pub fn from_number(number: u64) -> Nonce {
        Nonce(number)
    }
}

/// 16 hexadecimal digits.
impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ulid_is_a_study_id() {
        assert_eq!(
            StudyId::parse("01JDXA5ZK3T8Q4N6V7B9C2D0EF").map(|id| id.to_string()).as_deref(),
            Some("01JDXA5ZK3T8Q4N6V7B9C2D0EF")
        );
        for text in [
            "",
            "01JDXA5ZK3T8Q4N6V7B9C2D0E",
            "01jdxa5zk3t8q4n6v7b9c2d0ef",
            "01JDXA5ZK3T8Q4N6V7B9C2D0IL",
            "81JDXA5ZK3T8Q4N6V7B9C2D0EF",
            "01JDXA5ZK3T8Q4N6V7B9C2D:EF",
        ] {
            assert_eq!(StudyId::parse(text), None, "{text}");
        }
    }
}
