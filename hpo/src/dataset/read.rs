//! Reads the `dataset` of a study's document.

use super::{ArrayFormat, DatasetSpec, Files, Format, Scale, Source, TableFormat};
use crate::document::{Fields, FromDocument, Place, bounded};
use crate::limits;

impl FromDocument for DatasetSpec {
    fn from_place(place: &Place) -> Option<DatasetSpec> {
        let mut fields = place.fields()?;
        let source = source(place, &mut fields);
        let held_out = held_out(&mut fields, source.as_ref());
        let shuffle = fields.get("shuffle").map_or(Some(true), |place| place.fixed::<bool>());
        let weight = fields.get("sample_weight");
        let sample_weight = optional(weight, |place| sample_weight(place, source.as_ref()));
        let one_hot = fields.get("one_hot").map_or(Some(Vec::new()), |place| {
            let weight = sample_weight.as_ref().and_then(Option::as_deref);
            one_hot(&place, source.as_ref(), weight)
        });
        let positive_class = optional(fields.get("positive_class"), positive_class);
        fields.get("scale").map(|place| place.read::<Scale>());
        fields.finish(&["class_weight", "test"]);
        let HeldOut { validation_split, validation, folds } = held_out?;
        Some(DatasetSpec {
            source: source?,
            validation_split,
            validation,
            folds,
            shuffle: shuffle?,
            sample_weight: sample_weight?,
            one_hot: one_hot?,
            positive_class: positive_class?,
        })
    }
}

/// `Some(None)` if nothing is given, and `None` if something wrong is.
fn optional<T>(place: Option<Place>, read: impl FnOnce(&Place) -> Option<T>) -> Option<Option<T>> {
    match place {
        None => Some(None),
        Some(place) => read(&place).map(Some),
    }
}

/// The fields that name the labels of a source, or its arrays.
struct Columns<'a> {
    label: Option<Place<'a>>,
    features: Option<Place<'a>>,
    labels: Option<Place<'a>>,
}

impl Columns<'_> {
    /// Refuses `label`, for this reason.
    fn refuse_label(&self, why: &str) {
        if let Some(label) = &self.label {
            label.invalid(format!("`label` is for a {} file; {why}", tables()));
        }
    }

    /// Refuses `features` and `labels`.
    fn refuse_pair(&self) {
        for place in [&self.features, &self.labels].into_iter().flatten() {
            place.invalid(format!(
                "this field is for a pair of IDX files or {} file; this dataset has another source",
                array_files()
            ));
        }
    }
}

/// `source` with the fields that its kind needs, or a pair of IDX files.
fn source(place: &Place, fields: &mut Fields) -> Option<Source> {
    let source = fields.get("source");
    let columns = Columns {
        label: fields.get("label"),
        features: fields.get("features"),
        labels: fields.get("labels"),
    };
    let Some(source) = source else { return idx(place, columns) };
    let name = text(&source)?;
    if let Some(builtin) = name.strip_prefix("builtin:") {
        columns.refuse_pair();
        columns.refuse_label("a built-in dataset has its labels already");
        return Some(Source::Builtin(builtin.to_owned()));
    }
    if let Some(folder) = name.strip_suffix('/') {
        columns.refuse_pair();
        columns.refuse_label("the classes of a folder of images are the folders in it");
        return below(&source, folder).map(Source::Images);
    }
    match Format::of(&name).unwrap_or(Format::Table(TableFormat::DEFAULT)) {
        Format::Table(format) => table(&source, format, columns),
        Format::Arrays(format) => arrays(&source, format, columns),
    }
}

/// A table and its label column.
fn table(source: &Place, format: TableFormat, columns: Columns) -> Option<Source> {
    columns.refuse_pair();
    let path = path(source)?;
    let Some(label) = columns.label else {
        source.invalid(format!(
            "a {} file needs a `label`, the name of the column to predict; the path of a folder of images ends in /",
            tables()
        ));
        return None;
    };
    Some(Source::Table { path, format, label: text(&label)? })
}

/// A file of arrays, and the names of two of them.
fn arrays(source: &Place, format: ArrayFormat, columns: Columns) -> Option<Source> {
    columns.refuse_label("name the arrays with `features` and `labels`");
    let path = path(source);
    let (Some(features), Some(labels)) = (columns.features, columns.labels) else {
        source.invalid("a file of arrays needs `features` and `labels`, the names of two of its arrays");
        return None;
    };
    let arrays = Files { features: text(&features)?, labels: text(&labels)? };
    Some(Source::Arrays { path: path?, format, arrays })
}

/// A pair of IDX files.
fn idx(place: &Place, columns: Columns) -> Option<Source> {
    if let Some(label) = columns.label {
        label.invalid(format!("`label` needs a {} file as `source`", tables()));
    }
    match (columns.features, columns.labels) {
        (Some(features), Some(labels)) => {
            Some(Source::Idx(Files { features: path(&features)?, labels: path(&labels)? }))
        }
        (Some(only), None) | (None, Some(only)) => {
            only.invalid("`features` and `labels` go together; one of them is missing");
            None
        }
        (None, None) => {
            place.invalid(
                "name a `source` (such as builtin:digits or a CSV file), or files with `features` and `labels`",
            );
            None
        }
    }
}

bounded! {
    /// The parts of a cross-validation.
    Folds(i64), 2, limits::FOLDS_MAX
}

/// The rows that validate: `validation_split`, `validation` or `folds`, one of them at most.
struct HeldOut {
    validation_split: f64,
    validation: Option<Files>,
    folds: Option<u32>,
}

fn held_out(fields: &mut Fields, source: Option<&Source>) -> Option<HeldOut> {
    let (split, validation, folds) =
        (fields.get("validation_split"), fields.get("validation"), fields.get("folds"));
    let validates = source.is_none_or(takes_validation) && validation.is_some();
    if let (Some(split), true) = (&split, validates) {
        split.invalid("`validation_split` and `validation` exclude each other; remove one");
    }
    if let (Some(folds), true) = (&folds, split.is_some() || validates) {
        folds.invalid("`folds` excludes `validation_split` and `validation`, since each fold validates once");
    }
    let fraction = split.map_or(Some(0.0), |split| {
        let fraction = split.fixed::<f64>()?;
        if !(0.0..1.0).contains(&fraction) {
            split.invalid(format!("must be at least 0 and less than 1, not {fraction}"));
            return None;
        }
        Some(fraction)
    });
    let validation = optional(validation, |place| validation_files(place, source));
    let folds = optional(folds, |place| place.fixed::<Folds>().map(|Folds(folds)| folds as u32));
    Some(HeldOut { validation_split: fraction?, validation: validation?, folds: folds? })
}

/// Whether `validation` can name rows beside those of the source.
fn takes_validation(source: &Source) -> bool {
    match source {
        Source::Arrays { .. } | Source::Idx(_) => true,
        Source::Builtin(_) | Source::Table { .. } | Source::Images(_) => false,
    }
}

/// `validation`: two arrays of the source's file, or a second pair of IDX files. Other sources take
/// none yet.
fn validation_files(place: &Place, source: Option<&Source>) -> Option<Files> {
    let names_one = ["features", "labels", "hp"].iter().any(|field| place.json().get(field).is_some());
    let why = match source? {
        Source::Table { .. } => {
            "a table has no validation file yet; put its rows last in the source and use `validation_split` with `shuffle` false"
        }
        Source::Images(_) => {
            "a folder of images has no validation folder yet; put its images into the folders of the classes and use `validation_split`"
        }
        Source::Builtin(_) => "a built-in dataset has no validation files; use `validation_split` or `folds`",
        Source::Arrays { .. } if names_one => {
            return place.fixed::<Arrays>().map(|Arrays(arrays)| arrays);
        }
        Source::Arrays { .. } => {
            "must name two arrays of the source's file, as {\"features\": \"x_test\", \"labels\": \"y_test\"}"
        }
        Source::Idx(_) if names_one => return place.fixed::<Files>(),
        Source::Idx(_) => {
            "must name a pair of IDX files, as {\"features\": \"t10k-images-idx3-ubyte\", \"labels\": \"t10k-labels-idx1-ubyte\"}"
        }
    };
    place.invalid(why);
    None
}

impl FromDocument for Files {
    fn from_place(place: &Place) -> Option<Files> {
        pair(place, path)
    }
}

/// The names of two arrays in one file.
struct Arrays(Files);

impl FromDocument for Arrays {
    fn from_place(place: &Place) -> Option<Arrays> {
        pair(place, text).map(Arrays)
    }
}

fn pair(place: &Place, read: fn(&Place) -> Option<String>) -> Option<Files> {
    let mut fields = place.fields()?;
    let (features, labels) = (fields.required("features"), fields.required("labels"));
    fields.finish(&[]);
    Some(Files { features: read(&features?)?, labels: read(&labels?)? })
}

/// The column or array with the weights.
fn sample_weight(place: &Place, source: Option<&Source>) -> Option<String> {
    let name = text(place)?;
    let is_taken = match source? {
        Source::Table { label, .. } => *label == name,
        Source::Arrays { arrays, .. } => arrays.features == name || arrays.labels == name,
        Source::Builtin(_) | Source::Images(_) | Source::Idx(_) => {
            place.invalid(format!(
                "needs a column of a {} file, or an array of {} file",
                tables(),
                array_files()
            ));
            return None;
        }
    };
    if is_taken {
        place.invalid(format!("{name:?} is already the label or the features"));
    }
    Some(name)
}

/// A class as the source names it: a text, or a whole number.
fn positive_class(place: &Place) -> Option<String> {
    if let Some(number) = place.json().as_u64() {
        return Some(number.to_string());
    }
    let name = place.fixed::<String>()?;
    if name.is_empty() || name.len() > limits::CLASS_NAME_BYTES_MAX {
        place.invalid(format!("must have 1 to {} bytes", limits::CLASS_NAME_BYTES_MAX));
        return None;
    }
    Some(name)
}

/// The columns of categories. `weight` is the column with the weights.
fn one_hot(place: &Place, source: Option<&Source>, weight: Option<&str>) -> Option<Vec<String>> {
    let label = match source {
        None => None,
        Some(Source::Table { label, .. }) => Some(label),
        Some(Source::Builtin(_) | Source::Arrays { .. } | Source::Images(_) | Source::Idx(_)) => {
            place.invalid(format!("needs a {} file, whose columns have names", tables()));
            return None;
        }
    };
    let mut names = Vec::new();
    for item in place.items(limits::ONE_HOT_COLUMNS_MAX)? {
        let name = text(&item)?;
        if label == Some(&name) {
            item.invalid("is the label; `one_hot` takes features only");
        }
        if weight == Some(&name) {
            item.invalid("is the sample_weight; `one_hot` takes features only");
        }
        if names.contains(&name) {
            item.invalid(format!("{name:?} is listed twice"));
        }
        names.push(name);
    }
    Some(names)
}

fn text(place: &Place) -> Option<String> {
    let text = place.fixed::<String>()?;
    if text.is_empty() || text.len() > limits::PATH_BYTES_MAX {
        place.invalid(format!("must have 1 to {} bytes", limits::PATH_BYTES_MAX));
        return None;
    }
    Some(text)
}

/// A path that stays below the datasets folder. The `data` crate checks where links lead.
fn path(place: &Place) -> Option<String> {
    let path = text(place)?;
    below(place, &path)
}

fn below(place: &Place, path: &str) -> Option<String> {
    let is_below = !path.contains(['\\', '\0'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !is_below {
        place.invalid(format!(
            "{path:?} must be a relative path below the datasets folder, without `.` or `..`"
        ));
        return None;
    }
    Some(path.to_owned())
}

/// The formats of tables, as messages list them.
fn tables() -> String {
    either(TableFormat::ALL.iter().map(|format| format.as_str()))
}

/// The formats of files of arrays, as messages list them: by the ends of their names.
fn array_files() -> String {
    format!("an {}", either(ArrayFormat::ALL.iter().flat_map(|format| format.ends()).copied()))
}

/// `a, b or c`.
fn either(names: impl Iterator<Item = &'static str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}
