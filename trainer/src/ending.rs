//! How attempts without a result end.

use hpo::trial::ErrorKind;
use store::End;

use crate::stop::Reason;
use crate::trial::Incomplete;

/// How an attempt without a result ends; none if the trial belongs to another one.
pub(crate) fn of(incomplete: Incomplete, beside_others: bool, trainer: &str) -> Option<End> {
    Some(match incomplete {
        Incomplete::Stopped(Reason::Lost) => return None,
        Incomplete::Stopped(Reason::Cancel) => End::Cancelled,
        // It goes on from its last checkpoint elsewhere, or here after a restart.
        Incomplete::Stopped(Reason::Release) => End::Released,
        Incomplete::Refused(lacking) => {
            End::Refused { why: format!("the trainer {trainer} lacks its dataset: {}", lacking.why) }
        }
        // Alone it would be as large.
        Incomplete::TooLarge(message) => {
            End::Failed { kind: ErrorKind::OutOfMemory, message, beside_others: false }
        }
        Incomplete::Failed(kind, message) => End::Failed { kind, message, beside_others },
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::refused::Lacking;

    #[test]
    fn an_incomplete_trial_ends_as_its_reason_says() {
        let failed = |kind, message: &str, beside_others| {
            Some(End::Failed { kind, message: message.into(), beside_others })
        };
        let lacking = Lacking {
            spec: hpo::dataset::DatasetSpec::new(hpo::dataset::Source::Builtin("iris".into())),
            files: 0,
            why: "there is no file".into(),
            since: Instant::now(),
        };
        for (incomplete, end) in [
            (Incomplete::Stopped(Reason::Lost), None),
            (Incomplete::Stopped(Reason::Cancel), Some(End::Cancelled)),
            (Incomplete::Stopped(Reason::Release), Some(End::Released)),
            (
                Incomplete::Refused(Box::new(lacking)),
                Some(End::Refused { why: "the trainer t lacks its dataset: there is no file".into() }),
            ),
            (Incomplete::TooLarge("large".into()), failed(ErrorKind::OutOfMemory, "large", false)),
            (
                Incomplete::Failed(ErrorKind::OutOfMemory, "memory".into()),
                failed(ErrorKind::OutOfMemory, "memory", true),
            ),
            (Incomplete::Failed(ErrorKind::Panic, "panic".into()), failed(ErrorKind::Panic, "panic", true)),
        ] {
            let name = format!("{incomplete:?}");
            assert_eq!(of(incomplete, true, "t"), end, "{name}");
        }
    }
}
