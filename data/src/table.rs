//! Tables, as CSV and Parquet files hold them: one column has the labels, one may have the weights, all others are features in the file's order.
//!
//! What the labels are is told by what they say. All numbers: classes where they are whole (in a CSV `3`, not `3.0`; in a Parquet file of an integer
//! type) and exactly 0, 1, … k−1 occur, k ≥ 2; else the values of a regression. All texts: classes, numbered in the order of their bytes. Numbers mixed
//! with texts are an error: that is a slip more often than it is meant.
//!
//! A column that `one_hot` names becomes as many columns of 0 and 1, in its place, as it has categories: integers by size, else in the order of their
//! bytes. The categories are those of the whole file, not of the training rows, so that every split and every fold has rows of one shape.

use std::collections::{HashMap, HashSet};

use hpo::limits;

use crate::Error;
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
    /// What there is room for, in bytes.
    pub(crate) bytes_max: u64,
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
    Number(f64),
}

/// The columns of a table while it is read. Until the end, a category is a number: how many others were met before it.
#[derive(Debug)]
pub(crate) struct Columns<'a> {
    path: &'a str,
    /// The names of the features in a row of the file.
    names: Vec<String>,
    /// What each column of the file is.
    pub(crate) roles: Vec<Role>,
    /// The features in a row of the file.
    pub(crate) width: usize,
    /// `(rows, width)`, row by row.
    pub(crate) features: Vec<f32>,
    /// By column of categories: the categories and the order in which they were met.
    categories: Vec<HashMap<String, u32>>,
    labels: LabelColumn,
    weights: Option<Vec<f32>>,
    /// What there is room for, in bytes.
    pub(crate) bytes_max: u64,
}

impl<'a> Columns<'a> {
    /// The columns named by `header`, still without rows.
    pub(crate) fn new(path: &'a str, header: &[String], wanted: Wanted) -> Result<Columns<'a>, Error> {
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
            let detail = "has no column beside its label and its weights; it needs at least one feature".into();
            return Err(Error::Format { path: path.to_owned(), detail });
        }
        let weights = wanted.weight.map(|_| Vec::new());
        Ok(Columns {
            path,
            names,
            roles,
            width,
            features: Vec::new(),
            categories,
            labels: LabelColumn::None,
            weights,
            bytes_max: wanted.bytes_max,
        })
    }

    /// Checks that `rows` rows are within bounds.
    pub(crate) fn check_size(&self, rows: u64) -> Result<(), Error> {
        // With the label and the weight.
        check_size(self.path, rows, self.width + 1 + usize::from(self.weights.is_some()), self.bytes_max)
    }

    /// A value of a column of features, as it is kept in `features`.
    pub(crate) fn feature(&mut self, role: Role, cell: Cell) -> Result<f32, String> {
        match (role, cell) {
            (Role::Category(_, at), Cell::Text(text)) => category(&mut self.categories[at], text),
            (Role::Category(_, at), Cell::Integer(number)) => category(&mut self.categories[at], &number.to_string()),
            (Role::Category(..), Cell::Number(number)) => Err(format!("{number} is no category; one_hot takes texts and integers")),
            (_, Cell::Text(text)) => Err(format!(
                "{} is not a number; name the column in one_hot if it holds categories, else encode it or leave it out",
                shown(text)
            )),
            (_, number) => float(number),
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
        let weight = float(cell)?;
        if weight < 0.0 {
            return Err(format!("the weight {weight} is below 0; weights are at least 0"));
        }
        self.weights.get_or_insert_default().push(weight);
        Ok(())
    }

    /// The rows, once all are read.
    pub(crate) fn finish(self) -> Result<Rows, Error> {
        let (labels, class_names) = self.labels.finish();
        let (columns, features) = if self.categories.is_empty() {
            (self.names, self.features)
        } else {
            expand(self.path, &self.roles, &self.names, self.features, self.categories, self.bytes_max)?
        };
        let (shape, features) = (vec![columns.len()], Features::F32(features));
        Ok(Rows { shape, features, class_names, columns, weights: self.weights, ..Rows::of(labels) })
    }
}

/// Checks what must hold for the header of any table.
pub(crate) fn check_header(path: &str, header: &[String]) -> Result<(), Error> {
    let format = |detail: String| Error::Format { path: path.to_owned(), detail };
    let mut seen = HashSet::new();
    if let [only] = header {
        let hint = if only.contains([';', '\t']) { "; separate them by commas" } else { "" };
        return Err(format(format!("has one column; it needs a label column and at least one feature{hint}")));
    }
    if header.len().saturating_sub(1) > limits::DATASET_ROW_VALUES_MAX {
        let max = limits::DATASET_ROW_VALUES_MAX as u64;
        return Err(Error::TooLarge { path: path.to_owned(), what: "the number of columns".into(), max });
    }
    if let Some(empty) = header.iter().position(String::is_empty) {
        return Err(format(format!("column {} has no name; the first line must name every column", empty + 1)));
    }
    if let Some(long) = header.iter().position(|name| name.len() > limits::CLASS_NAME_BYTES_MAX) {
        let (bytes, max) = (header[long].len(), limits::CLASS_NAME_BYTES_MAX);
        return Err(format(format!("column {} has a name of {bytes} bytes, at most {max} are possible; shorten it", long + 1)));
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
        let hint = if headless { "; the first line must name the columns, this one holds numbers" } else { "" };
        Error::NoColumn {
            path: path.to_owned(),
            field,
            detail: format!("has no column {name:?}; its columns are {}{hint}", listed(header)),
        }
    })
}

fn check_size(path: &str, rows: u64, width: usize, bytes_max: u64) -> Result<(), Error> {
    if rows > limits::DATASET_ROWS_MAX {
        return Err(Error::TooLarge { path: path.to_owned(), what: "the number of rows".into(), max: limits::DATASET_ROWS_MAX });
    }
    if rows * 4 * width as u64 > bytes_max {
        return Err(Room::of(bytes_max).exceeded(path, "the size in bytes".into()));
    }
    Ok(())
}

fn float(cell: Cell) -> Result<f32, String> {
    let value = match cell {
        Cell::Integer(number) => number as f32,
        Cell::Number(number) => number as f32,
        Cell::Text(text) => return Err(format!("{} is not a number", shown(text))),
    };
    if value.is_finite() { Ok(value) } else { Err(format!("{value} is not a finite 32-bit float; clean the file")) }
}

fn category(ids: &mut HashMap<String, u32>, text: &str) -> Result<f32, String> {
    // No more than a thousand: a float holds them exactly.
    if let Some(id) = ids.get(text) {
        return Ok(*id as f32);
    }
    check_name("category", text)?;
    let next = ids.len();
    if next == limits::CATEGORIES_MAX {
        return Err(format!("more than {next} categories; is this a column of categories?"));
    }
    ids.insert(text.to_owned(), next as u32);
    Ok(next as f32)
}

/// A text that is kept, as the name of a class or of a category, is short.
fn check_name(what: &str, text: &str) -> Result<(), String> {
    let (bytes, max) = (text.len(), limits::CLASS_NAME_BYTES_MAX);
    if bytes > max {
        return Err(format!("the {what} {}… has {bytes} bytes, at most {max} are possible; is this the right column?", shown(text)));
    }
    Ok(())
}

/// Gives each category a column of its own: the names of the new columns and the new features.
fn expand(
    path: &str,
    roles: &[Role],
    names: &[String],
    features: Vec<f32>,
    categories: Vec<HashMap<String, u32>>,
    bytes_max: u64,
) -> Result<(Vec<String>, Vec<f32>), Error> {
    let width = names.len();
    let ranks: Vec<Vec<usize>> = categories.into_iter().map(ranks).collect();
    let rows = features.len() / width;
    let wide = width - ranks.len() + ranks.iter().map(Vec::len).sum::<usize>();
    if wide > limits::DATASET_ROW_VALUES_MAX {
        let what = "the number of values in a row, categories included,".into();
        return Err(Error::TooLarge { path: path.to_owned(), what, max: limits::DATASET_ROW_VALUES_MAX as u64 });
    }
    check_size(path, rows as u64, wide + 1, bytes_max)?; // with the label
    let mut expanded = Vec::with_capacity(rows * wide);
    for row in features.chunks_exact(width) {
        for role in roles {
            match role {
                Role::Number(at) => expanded.push(row[*at]),
                Role::Category(at, column) => {
                    let begin = expanded.len();
                    expanded.resize(begin + ranks[*column].len(), 0.0);
                    expanded[begin + ranks[*column][row[*at] as usize]] = 1.0;
                }
                Role::Label | Role::Weight => {}
            }
        }
    }
    let columns = roles.iter().flat_map(|role| match role {
        Role::Number(at) => std::iter::repeat_n(names[*at].clone(), 1),
        Role::Category(at, column) => std::iter::repeat_n(names[*at].clone(), ranks[*column].len()),
        Role::Label | Role::Weight => std::iter::repeat_n(String::new(), 0),
    });
    Ok((columns.collect(), expanded))
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
    Numbers { values: Vec<f32>, whole: bool },
    Texts { ids: HashMap<String, u32>, rows: Vec<u32> },
}

impl LabelColumn {
    fn push(&mut self, cell: Cell) -> Result<(), String> {
        if let LabelColumn::None = self {
            *self = match cell {
                Cell::Text(_) => LabelColumn::Texts { ids: HashMap::new(), rows: Vec::new() },
                _ => LabelColumn::Numbers { values: Vec::new(), whole: true },
            };
        }
        match (self, cell) {
            (LabelColumn::Texts { ids, rows }, Cell::Text(text)) => {
                let next = ids.len() as u32;
                rows.push(match ids.get(text) {
                    Some(id) => *id,
                    None if next == limits::DATASET_CLASSES_MAX => {
                        return Err(format!("more than {next} different texts; is this the label column?"));
                    }
                    None => {
                        check_name("label", text)?;
                        *ids.entry(text.to_owned()).or_insert(next)
                    }
                });
            }
            (LabelColumn::Numbers { .. }, Cell::Text(text)) => {
                return Err(format!("the label {} is a text, those before are numbers; use one or the other", shown(text)));
            }
            (LabelColumn::Numbers { values, whole }, number) => {
                values.push(float(number).map_err(|detail| format!("the label {detail}"))?);
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
            LabelColumn::Texts { ids, rows } => {
                let mut names: Vec<(String, u32)> = ids.into_iter().collect();
                names.sort_unstable();
                let mut class = vec![0; names.len()];
                names.iter().enumerate().for_each(|(position, (_, id))| class[*id as usize] = position as u32);
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
