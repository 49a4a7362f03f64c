//! The columns of a table while it is read.

use std::collections::{HashMap, HashSet};

use super::categories::{Expansion, category, ranks};
use super::labels::LabelColumn;
use super::{Cell, Wanted, number};
use crate::Error;
use crate::bits::{Bits, Number, Rounding};
use crate::dataset::Features;
use crate::error::{listed, shown};
use crate::limits;
use crate::room::Room;
use crate::rows::Rows;

/// The role of a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Role {
    Label,
    Weight,
    /// A feature: its position in a row.
    Number(usize),
    /// A feature of categories: its position in a row, and its number among such columns.
    Category(usize, usize),
}

/// The columns of a table while it is read. Until the end, a category is the number of categories
/// that were met before it.
///
/// Formats that are read by rows set one cell after another; those that are read by columns
/// [`prepare`](Columns::prepare) the features of all rows before. The labels and the weights come in
/// the order of the rows either way.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    path: &'a str,
    /// The names of the features in a row of the file.
    names: Vec<String>,
    /// The role of each column of the file.
    roles: Vec<Role>,
    /// The number of features in a row of the file.
    width: usize,
    /// `(rows, width)`, row by row; floats.
    features: Features,
    /// What rounding does to each feature of a row; empty if the bits are given.
    roundings: Vec<Rounding>,
    /// By column of categories: each category with the number of those that were met before it.
    categories: Vec<HashMap<String, u32>>,
    labels: LabelColumn,
    weights: Option<Vec<f32>>,
    room: &'a Room,
}

impl<'a> Columns<'a> {
    /// The columns named by `header`, still without rows.
    pub(super) fn new(
        path: &'a str,
        header: &[String],
        wanted: Wanted,
        room: &'a Room,
    ) -> Result<Columns<'a>, Error> {
        check_header(path, header)?;
        position(path, header, "label", wanted.label)?;
        wanted.weight.map_or(Ok(0), |name| position(path, header, "sample_weight", name))?;
        wanted.one_hot.iter().try_for_each(|name| position(path, header, "one_hot", name).map(drop))?;
        let (mut names, mut categories) = (Vec::new(), Vec::new());
        let role = |name: &String| {
            if name == wanted.label {
                return Role::Label;
            }
            if wanted.weight == Some(name) {
                return Role::Weight;
            }
            names.push(name.clone());
            if !wanted.one_hot.contains(name) {
                return Role::Number(names.len() - 1);
            }
            categories.push(HashMap::new());
            Role::Category(names.len() - 1, categories.len() - 1)
        };
        let roles = header.iter().map(role).collect();
        let width = names.len();
        if width == 0 {
            let detail = "has only a label and weights; it needs at least one feature column".into();
            return Err(Error::Format { path: path.to_owned(), detail });
        }
        let weights = wanted.weight.map(|_| Vec::new());
        let features =
            if wanted.bits == Bits::Wide { Features::F64(Vec::new()) } else { Features::F32(Vec::new()) };
        let roundings = vec![Rounding::NONE; if wanted.bits == Bits::AsNeeded { width } else { 0 }];
        Ok(Columns {
            path,
            names,
            roles,
            width,
            features,
            roundings,
            categories,
            labels: LabelColumn::None,
            weights,
            room,
        })
    }

    /// The role of a column of the file.
    pub(super) fn role(&self, column: usize) -> Role {
        self.roles[column]
    }

    /// Takes the memory of `rows` rows in all, if they are within bounds.
    pub(super) fn hold(&self, rows: u64) -> Result<(), Error> {
        hold(
            self.path,
            rows,
            self.width as u64 * self.features.value_bytes() + self.bytes_beside(),
            self.room,
        )
    }

    /// The bytes of a row's label and weight.
    fn bytes_beside(&self) -> u64 {
        if self.weights.is_some() { 8 } else { 4 }
    }

    /// Makes room for the features of `rows` rows, to be set in any order.
    pub(super) fn prepare(&mut self, rows: u64) {
        // The system hands out zeros as they are written to, so a claim alone takes no memory.
        let values = rows as usize * self.width;
        match &mut self.features {
            Features::F64(features) => *features = vec![0.0; values],
            features => *features = Features::F32(vec![0.0; values]),
        }
    }

    /// Sets the value of a column of the file in a row, both counted from 0. Errors say what is
    /// wrong with the value.
    pub(super) fn set(&mut self, row: usize, column: usize, cell: Cell) -> Result<(), String> {
        let role = self.roles[column];
        let position = match role {
            Role::Label => return self.labels.push(cell),
            Role::Weight => return self.push_weight(cell),
            Role::Number(position) | Role::Category(position, _) => position,
        };
        let number = self.feature(role, cell)?;
        let at = row * self.width + position;
        match &mut self.features {
            Features::F64(features) => set(features, at, number.wide),
            Features::F32(features) => set(features, at, number.narrow),
            Features::U8(_) => {}
        }
        Ok(())
    }

    /// A value of a column of features.
    fn feature(&mut self, role: Role, cell: Cell) -> Result<Number, String> {
        match (role, cell) {
            (Role::Category(_, at), Cell::Text(text)) => category(&mut self.categories[at], text),
            (Role::Category(_, at), Cell::Integer(number)) => {
                category(&mut self.categories[at], &number.to_string())
            }
            (Role::Category(..), Cell::Number(number)) => {
                Err(format!("{} is not a category; one_hot takes texts and integers", number.narrow))
            }
            (_, Cell::Text(text)) => Err(format!(
                "{} is not a number; name the column in one_hot if it holds categories; otherwise encode it or remove it",
                shown(text)
            )),
            (role, cell) => {
                let number = number(cell)?;
                if let Role::Number(at) = role
                    && let Some(rounding) = self.roundings.get_mut(at)
                {
                    rounding.add(number);
                }
                Ok(number)
            }
        }
    }

    /// The weight of the next row.
    fn push_weight(&mut self, cell: Cell) -> Result<(), String> {
        if let Cell::Text(text) = cell {
            return Err(format!("{} is not a number; a weight must be one", shown(text)));
        }
        let weight = number(cell)?.narrow;
        if weight < 0.0 {
            return Err(format!("the weight {weight} is below 0; weights are at least 0"));
        }
        self.weights.get_or_insert_default().push(weight);
        Ok(())
    }

    /// The rows, once all are read.
    pub(super) fn finish(self) -> Result<Rows, Error> {
        let beside = self.bytes_beside();
        let needs_64 = self.roundings.iter().any(Rounding::needs_64);
        let (labels, class_names) = self.labels.finish();
        let (mut columns, mut features) = (self.names, self.features);
        if !self.categories.is_empty() {
            let expansion =
                Expansion { roles: &self.roles, ranks: self.categories.into_iter().map(ranks).collect() };
            columns = expansion.columns(&columns);
            if columns.len() > limits::DATASET_ROW_VALUES_MAX {
                let what = "the number of values in a row, categories included,".into();
                return Err(Error::TooLarge {
                    path: self.path.to_owned(),
                    what,
                    max: limits::DATASET_ROW_VALUES_MAX as u64,
                });
            }
            hold(
                self.path,
                labels.len() as u64,
                columns.len() as u64 * features.value_bytes() + beside,
                self.room,
            )?;
            features = match features {
                Features::F64(values) => Features::F64(expansion.rows(&values, self.width, columns.len())),
                Features::F32(values) => Features::F32(expansion.rows(&values, self.width, columns.len())),
                bytes => bytes,
            };
        }
        Ok(Rows {
            shape: vec![columns.len()],
            features,
            class_names,
            columns,
            weights: self.weights,
            needs_64,
            ..Rows::of(labels)
        })
    }
}

/// Sets the value at this position, or adds it at the end.
fn set<T>(values: &mut Vec<T>, at: usize, value: T) {
    match values.get_mut(at) {
        Some(there) => *there = value,
        None => values.push(value),
    }
}

/// Checks what must hold for the header of any table.
pub(super) fn check_header(path: &str, header: &[String]) -> Result<(), Error> {
    let format = |detail: String| Error::Format { path: path.to_owned(), detail };
    let mut seen = HashSet::new();
    if let [only] = header {
        let hint = if only.contains([';', '\t']) { "; separate them by commas" } else { "" };
        return Err(format(format!(
            "has one column; it needs a label column and at least one feature{hint}"
        )));
    }
    if header.len().saturating_sub(1) > limits::DATASET_ROW_VALUES_MAX {
        let max = limits::DATASET_ROW_VALUES_MAX as u64;
        return Err(Error::TooLarge { path: path.to_owned(), what: "the number of columns".into(), max });
    }
    if let Some(empty) = header.iter().position(String::is_empty) {
        return Err(format(format!(
            "column {} has no name; the first line must name every column",
            empty + 1
        )));
    }
    if let Some(long) = header.iter().position(|name| name.len() > limits::CLASS_NAME_BYTES_MAX) {
        let (bytes, max) = (header[long].len(), limits::CLASS_NAME_BYTES_MAX);
        return Err(format(format!(
            "column {} has a name of {bytes} bytes, at most {max} are possible; shorten it",
            long + 1
        )));
    }
    if let Some(twice) = header.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(format(format!("two columns are named {twice:?}; rename one")));
    }
    Ok(())
}

/// The position of the column called `name`, which the study's `field` names.
fn position(path: &str, header: &[String], field: &'static str, name: &str) -> Result<usize, Error> {
    header.iter().position(|column| column == name).ok_or_else(|| {
        let headless = header.iter().all(|name| name.parse::<f64>().is_ok());
        let hint =
            if headless { "; the first line must name the columns, this one holds numbers" } else { "" };
        Error::NoColumn {
            path: path.to_owned(),
            field,
            detail: format!("has no column {name:?}; its columns are {}{hint}", listed(header)),
        }
    })
}

/// Takes the memory of `rows` rows of `row_bytes` bytes, if they are within bounds.
fn hold(path: &str, rows: u64, row_bytes: u64, room: &Room) -> Result<(), Error> {
    if rows > limits::DATASET_ROWS_MAX {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            what: "the number of rows".into(),
            max: limits::DATASET_ROWS_MAX,
        });
    }
    if !room.hold(u128::from(rows) * u128::from(row_bytes)) {
        return Err(room.exceeded(path, "the size in bytes".into()));
    }
    Ok(())
}
