//! The label column of a table.

use std::collections::HashMap;

use super::{Cell, check_name};
use crate::dataset::Labels;
use crate::error::shown;
use crate::limits;

/// The labels read so far, of the kind of the first.
#[derive(Debug)]
pub(super) enum LabelColumn {
    None,
    Numbers {
        values: Vec<f32>,
        whole: bool,
    },
    /// `bytes` counts those of the different texts.
    Texts {
        ids: HashMap<String, u32>,
        rows: Vec<u32>,
        bytes: usize,
    },
}

impl LabelColumn {
    pub(super) fn push(&mut self, cell: Cell) -> Result<(), String> {
        if let LabelColumn::None = self {
            *self = match cell {
                Cell::Text(_) => LabelColumn::Texts { ids: HashMap::new(), rows: Vec::new(), bytes: 0 },
                _ => LabelColumn::Numbers { values: Vec::new(), whole: true },
            };
        }
        match (self, cell) {
            (LabelColumn::Texts { ids, rows, bytes }, Cell::Text(text)) => {
                let next = ids.len() as u32;
                rows.push(match ids.get(text) {
                    Some(id) => *id,
                    None if next == limits::DATASET_CLASSES_MAX => {
                        return Err(format!("more than {next} different texts; is this the label column?"));
                    }
                    None => {
                        check_name("label", text)?;
                        *bytes += text.len();
                        if *bytes > limits::CLASS_NAMES_BYTES_MAX {
                            let max = limits::CLASS_NAMES_BYTES_MAX;
                            return Err(format!("the different texts have more than {max} bytes together; is this the label column?"));
                        }
                        *ids.entry(text.to_owned()).or_insert(next)
                    }
                });
            }
            (LabelColumn::Numbers { .. }, Cell::Text(text)) => {
                return Err(format!(
                    "the label {} is a text, but the labels before it are numbers; use one kind",
                    shown(text)
                ));
            }
            (LabelColumn::Numbers { values, whole }, number) => {
                values.push(super::number(number).map_err(|detail| format!("the label {detail}"))?.narrow);
                *whole &= matches!(number, Cell::Integer(0..=0xffff_ffff));
            }
            (_, Cell::Integer(_) | Cell::Number(_)) => {
                return Err("the label is a number, but the labels before it are texts; use one kind".into());
            }
            (LabelColumn::None, Cell::Text(_)) => unreachable!("the first label has set the kind"),
        }
        Ok(())
    }

    /// The labels, and the names of the classes where they have some.
    pub(super) fn finish(self) -> (Labels, Vec<String>) {
        match self {
            LabelColumn::Texts { ids, rows, .. } => {
                let mut names: Vec<(String, u32)> = ids.into_iter().collect();
                names.sort_unstable();
                let mut class = vec![0; names.len()];
                names
                    .iter()
                    .enumerate()
                    .for_each(|(position, (_, id))| class[*id as usize] = position as u32);
                let labels = Labels::Classes(rows.into_iter().map(|id| class[id as usize]).collect());
                (labels, names.into_iter().map(|(name, _)| name).collect())
            }
            LabelColumn::Numbers { values, whole } if whole && are_classes(&values) => {
                (Labels::Classes(values.into_iter().map(|value| value as u32).collect()), Vec::new())
            }
            LabelColumn::Numbers { values, .. } => (Labels::Values(values), Vec::new()),
            LabelColumn::None => (Labels::Values(Vec::new()), Vec::new()),
        }
    }
}

/// Whether exactly 0, 1, … k−1 occur among whole numbers, for a k ≥ 2.
fn are_classes(values: &[f32]) -> bool {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(*value));
    if largest < 1.0 || largest >= limits::DATASET_CLASSES_MAX as f32 {
        return false;
    }
    let mut seen = vec![false; largest as usize + 1];
    values.iter().for_each(|value| seen[*value as usize] = true);
    seen.into_iter().all(|seen| seen)
}
