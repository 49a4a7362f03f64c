//! Refuses splits in which a part lacks a class, or has no weight.

use hpo::dataset::{DatasetSpec, RowPart, RowPlace};

use super::Split;
use crate::{Dataset, Error, Labels};

/// Refuses a class that cannot be learned, since no row of it trains, and one that would not be
/// judged, since no row of it validates.
pub(super) fn check_classes(dataset: &Dataset, spec: &DatasetSpec, split: &Split) -> Result<(), Error> {
    let Labels::Classes(labels) = &dataset.labels else { return Ok(()) };
    if split.validation.is_empty() {
        return Ok(());
    }
    let count = |rows: &[u32]| {
        let mut counts = vec![0u64; dataset.schema.classes.unwrap_or(0) as usize];
        rows.iter().for_each(|row| counts[labels[*row as usize] as usize] += 1);
        counts
    };
    let (train, validation) = (count(&split.train), count(&split.validation));
    // A number that no row has is not a class: the labels of EMNIST's letters count from 1.
    let lacking =
        train.iter().zip(&validation).position(|(train, validation)| (*train == 0) != (*validation == 0));
    let Some(class) = lacking else { return Ok(()) };
    let (name, rows) = (dataset.class(class), train[class] + validation[class]);
    let (part, effect) = if train[class] == 0 {
        ("training", "cannot be learned")
    } else {
        ("validation", "would not be judged")
    };
    let cure = match SplitField::of(spec) {
        SplitField::Validation => "add some to it, or remove the class from the other part",
        SplitField::Folds | SplitField::ValidationSplit if !spec.shuffle => {
            "the rows are split in their order: set shuffle, or mix them in the file"
        }
        SplitField::Folds => "use fewer folds, or remove the class",
        SplitField::ValidationSplit => "change validation_split, add rows of the class, or remove it",
    };
    let first = labels.iter().position(|label| *label as usize == class).unwrap_or(0);
    let RowPlace { file, row } = spec.place_of(first, dataset.schema.rows as usize, RowPart::Label);
    let of = if rows == 1 {
        format!("its only row, {row} (from 0)")
    } else {
        format!("its {rows} rows, the first being {row} (from 0)")
    };
    let detail = format!("{file}: {name} {effect}: of {of}, none is in the {part} part; {cure}");
    Err(Error::Part { field: SplitField::of(spec).as_str(), detail })
}

/// Refuses a part whose rows all have the weight 0, over which there is no mean.
pub(super) fn check_weights(dataset: &Dataset, spec: &DatasetSpec, split: &Split) -> Result<(), Error> {
    let Some(weights) = &dataset.weights else { return Ok(()) };
    for (part, rows) in [("training", &split.train), ("validation", &split.validation)] {
        if !rows.is_empty() && rows.iter().all(|row| weights[*row as usize] == 0.0) {
            let detail =
                format!("all rows of the {part} part have weight 0; give some a weight, or remove them");
            return Err(Error::Part { field: SplitField::of(spec).as_str(), detail });
        }
    }
    Ok(())
}

/// The field of the study's `dataset` that makes the split.
#[derive(Debug, Clone, Copy)]
enum SplitField {
    Folds,
    Validation,
    ValidationSplit,
}

impl SplitField {
    fn of(spec: &DatasetSpec) -> SplitField {
        match (spec.folds, &spec.validation) {
            (Some(_), _) => SplitField::Folds,
            (None, Some(_)) => SplitField::Validation,
            (None, None) => SplitField::ValidationSplit,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            SplitField::Folds => "folds",
            SplitField::Validation => "validation",
            SplitField::ValidationSplit => "validation_split",
        }
    }
}
