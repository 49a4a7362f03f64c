//! Tables, as CSV and Parquet files hold them: one column has the labels, one may have the weights,
//! all others are features in the file's order.
//!
//! What the labels are is told by what they say. All numbers: classes where they are whole (in a
//! CSV `3`, not `3.0`; in a Parquet file of an integer type) and exactly 0, 1, … k−1 occur, k ≥ 2;
//! else the values of a regression. All texts: classes, numbered in the order of their bytes.
//! Numbers mixed with texts are an error: that is a slip more often than it is meant.
//!
//! A column that `one_hot` names becomes as many columns of 0 and 1, in its place, as it has
//! categories: integers by size, else in the order of their bytes. The categories are those of the
//! whole file, not of the training rows, so that every split and every fold has rows of one shape.

use std::collections::{HashMap, HashSet};

use crate::limits;

use crate::Error;
use crate::bits::{Bits, Number, Rounding};
use crate::dataset::{Features, Labels, Rows};
use crate::room::Room;

/// What a study wants of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The column with the labels.
    pub(crate) label: &'a str,
    /// The column with the weights.
    pub(crate) weight: Option<&'a str>,
    /// The columns of categories.
    pub(crate) one_hot: &'a [String],
    /// In how many bits numbers are kept.
    pub(crate) bits: Bits,
}

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Role {
    Label,
    Weight,
    /// A feature: its place in a row.
    Number(usize),
    /// A feature of categories: its place in a row, and which of the columns of categories it is.
    Category(usize, usize),
}

/// One value of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    Text(&'a str),
    /// A number that counts something.
    Integer(i64),
    Number(Number),
}

/// The columns of a table while it is read. Until the end, a category is a number: how many others
/// were met before it.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    path: &'a str,
    /// The names of the features in a row of the file.
    names: Vec<String>,
    /// What each column of the file is.
    pub(crate) roles: Vec<Role>,
    /// The features in a row of the file.
    pub(crate) width: usize,
    /// `(rows, width)`, row by row; of floats.
    features: Features,
    /// By feature in a row, where it is to be told whether 32 bits do; else empty.
    roundings: Vec<Rounding>,
    /// By column of categories: the categories and the order in which they were met.
    categories: Vec<HashMap<String, u32>>,
    labels: LabelColumn,
    weights: Option<Vec<f32>>,
    room: &'a Room,
}

impl<'a> Columns<'a> {
    /// The columns named by `header`, still without rows.
    pub(crate) fn new(
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
            let detail =
                "has no column beside its label and its weights; it needs at least one feature".into();
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

    /// Takes the memory of `rows` rows in all, if they are within bounds.
    pub(crate) fn hold(&self, rows: u64) -> Result<(), Error> {
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

    /// Makes place for the features of `rows` rows, to be set one by one.
    pub(crate) fn prepare(&mut self, rows: u64) {
        // The system gives zeros when they are written to, so that a claim alone takes no memory.
        let values = rows as usize * self.width;
        match &mut self.features {
            Features::F64(features) => *features = vec![0.0; values],
            features => *features = Features::F32(vec![0.0; values]),
        }
    }

    /// Sets the feature at this place, counted through all rows, or adds it where that is their
    /// end.
    pub(crate) fn set_feature(&mut self, at: usize, role: Role, cell: Cell) -> Result<(), String> {
        let number = self.feature(role, cell)?;
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
                Err(format!("{} is no category; one_hot takes texts and integers", number.narrow))
            }
            (_, Cell::Text(text)) => Err(format!(
                "{} is not a number; name the column in one_hot if it holds categories, else encode it or leave it out",
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

    /// The label of the next row.
    pub(crate) fn push_label(&mut self, cell: Cell) -> Result<(), String> {
        self.labels.push(cell)
    }

    /// The weight of the next row.
    pub(crate) fn push_weight(&mut self, cell: Cell) -> Result<(), String> {
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
    pub(crate) fn finish(self) -> Result<Rows, Error> {
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

/// Sets or adds a value.
fn set<T>(values: &mut Vec<T>, at: usize, value: T) {
    match values.get_mut(at) {
        Some(place) => *place = value,
        None => values.push(value),
    }
}

/// Checks what must hold for the header of any table.
pub(crate) fn check_header(path: &str, header: &[String]) -> Result<(), Error> {
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

/// The first of `names`, as an error lists them.
pub(crate) fn listed(names: &[String]) -> String {
    let more = if names.len() > limits::COLUMNS_NAMED_MAX { ", …" } else { "" };
    let cut = |name: &String| match name.char_indices().nth(limits::CELL_SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.clone(),
    };
    names.iter().take(limits::COLUMNS_NAMED_MAX).map(cut).collect::<Vec<_>>().join(", ") + more
}

/// A text of a file as an error shows it: its begin, quoted.
pub(crate) fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(limits::CELL_SHOWN_MAX).collect::<String>())
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

fn number(cell: Cell) -> Result<Number, String> {
    let number = match cell {
        Cell::Integer(whole) => Number::from(whole),
        Cell::Number(number) => number,
        Cell::Text(text) => return Err(format!("{} is not a number", shown(text))),
    };
    let narrow = number.narrow;
    if narrow.is_finite() {
        Ok(number)
    } else {
        Err(format!("{narrow} is not a finite 32-bit float; clean the file"))
    }
}

fn category(ids: &mut HashMap<String, u32>, text: &str) -> Result<Number, String> {
    // No more than a thousand: a float holds them exactly.
    if let Some(id) = ids.get(text) {
        return Ok(Number::from(i64::from(*id)));
    }
    check_name("category", text)?;
    let next = ids.len();
    if next == limits::CATEGORIES_MAX {
        return Err(format!("more than {next} categories; is this a column of categories?"));
    }
    ids.insert(text.to_owned(), next as u32);
    Ok(Number::from(next as i64))
}

/// A text that is kept, as the name of a class or of a category, is short.
fn check_name(what: &str, text: &str) -> Result<(), String> {
    let (bytes, max) = (text.len(), limits::CLASS_NAME_BYTES_MAX);
    if bytes > max {
        return Err(format!(
            "the {what} {}… has {bytes} bytes, at most {max} are possible; is this the right column?",
            shown(text)
        ));
    }
    Ok(())
}

/// The expansion of categories into columns of their own.
struct Expansion<'r> {
    roles: &'r [Role],
    /// By column of categories, and by the order in which they were met.
    ranks: Vec<Vec<usize>>,
}

impl Expansion<'_> {
    /// The names of the columns that those of these `names` become.
    fn columns(&self, names: &[String]) -> Vec<String> {
        let columns = self.roles.iter().flat_map(|role| match role {
            Role::Number(at) => std::iter::repeat_n(names[*at].clone(), 1),
            Role::Category(at, column) => std::iter::repeat_n(names[*at].clone(), self.ranks[*column].len()),
            Role::Label | Role::Weight => std::iter::repeat_n(String::new(), 0),
        });
        columns.collect()
    }

    /// The rows of `width` numbers, each expanded to `wide` numbers.
    fn rows<T: Copy + From<u8> + Into<f64>>(&self, features: &[T], width: usize, wide: usize) -> Vec<T> {
        let mut expanded = Vec::with_capacity(features.len() / width * wide);
        for row in features.chunks_exact(width) {
            for role in self.roles {
                match role {
                    Role::Number(at) => expanded.push(row[*at]),
                    Role::Category(at, column) => {
                        let begin = expanded.len();
                        expanded.resize(begin + self.ranks[*column].len(), T::from(0));
                        let met: f64 = row[*at].into();
                        expanded[begin + self.ranks[*column][met as usize]] = T::from(1);
                    }
                    Role::Label | Role::Weight => {}
                }
            }
        }
        expanded
    }
}

/// By the order in which categories were met: their places among the sorted ones.
fn ranks(ids: HashMap<String, u32>) -> Vec<usize> {
    let mut sorted: Vec<(String, u32)> = ids.into_iter().collect();
    let number = |text: &str| text.parse::<i64>().ok();
    if sorted.iter().all(|(text, _)| number(text).is_some()) {
        sorted.sort_unstable_by(|a, b| (number(&a.0), &a.0).cmp(&(number(&b.0), &b.0)));
    } else {
        sorted.sort_unstable();
    }
    let mut ranks = vec![0; sorted.len()];
    sorted.iter().enumerate().for_each(|(rank, (_, id))| ranks[*id as usize] = rank);
    ranks
}

/// The labels read so far, of the kind of the first.
#[derive(Debug)]
enum LabelColumn {
    None,
    Numbers {
        values: Vec<f32>,
        whole: bool,
    },
    /// `bytes` are those of the different texts.
    Texts {
        ids: HashMap<String, u32>,
        rows: Vec<u32>,
        bytes: usize,
    },
}

impl LabelColumn {
    fn push(&mut self, cell: Cell) -> Result<(), String> {
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
                    "the label {} is a text, those before are numbers; use one or the other",
                    shown(text)
                ));
            }
            (LabelColumn::Numbers { values, whole }, number) => {
                values.push(self::number(number).map_err(|detail| format!("the label {detail}"))?.narrow);
                *whole &= matches!(number, Cell::Integer(0..=0xffff_ffff));
            }
            (_, Cell::Integer(_) | Cell::Number(_)) => {
                return Err("the label is a number, those before are texts; use one or the other".into());
            }
            (LabelColumn::None, Cell::Text(_)) => unreachable!("the first label made it another"),
        }
        Ok(())
    }

    /// The labels, and the names of the classes where they have some.
    fn finish(self) -> (Labels, Vec<String>) {
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
