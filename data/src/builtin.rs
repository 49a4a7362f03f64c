//! The datasets inside the binary: small, well known, and on every machine. Their sources and licences
//! are in `builtin/README.md`.

use crate::bits::Bits;
use crate::dataset::Features;
use crate::reading::Reading;
use crate::rows::Rows;
use crate::table::{self, Wanted};
use crate::{Error, folder};

struct Builtin {
    name: &'static str,
    packed: &'static [u8],
    /// The shape of a row and the largest value, if the features are bytes of an image.
    image: Option<([usize; 2], f64)>,
}

const fn vectors(name: &'static str, packed: &'static [u8]) -> Builtin {
    Builtin { name, packed, image: None }
}

const BUILTINS: [Builtin; 5] = [
    Builtin {
        name: "digits",
        packed: include_bytes!("../builtin/digits.csv.gz"),
        image: Some(([8, 8], 16.0)),
    },
    vectors("iris", include_bytes!("../builtin/iris.csv.gz")),
    vectors("wine", include_bytes!("../builtin/wine.csv.gz")),
    vectors("breast_cancer", include_bytes!("../builtin/breast_cancer.csv.gz")),
    vectors("diabetes", include_bytes!("../builtin/diabetes.csv.gz")),
];

/// The names, in the order of a listing.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    BUILTINS.iter().map(|builtin| builtin.name)
}

/// The rows of the dataset `name`.
pub(crate) fn read(name: &str, reading: &Reading) -> Result<Rows, Error> {
    let builtin = BUILTINS
        .iter()
        .find(|builtin| builtin.name == name)
        .ok_or_else(|| Error::Builtin { name: name.to_owned() })?;
    let path = format!("builtin:{name}");
    let input = folder::inflate(builtin.packed).map_err(|source| folder::io_error(&path, source))?;
    let wanted = Wanted { label: "label", weight: None, one_hot: &[], bits: Bits::Narrow };
    let mut rows = table::csv::read(&path, input, wanted, reading)?;
    if let (Some((shape, largest)), Features::F32(values)) = (builtin.image, &rows.features) {
        rows.features = Features::U8(values.iter().map(|value| *value as u8).collect());
        (rows.shape, rows.scale_max) = (shape.to_vec(), Some(largest));
        rows.columns.clear(); // Pixels.
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use crate::limits;

    use super::*;
    use crate::dataset::Labels;
    use crate::room::Room;

    fn read(name: &str) -> Result<Rows, Error> {
        super::read(name, &Reading::brief(name, Room::of(limits::DATASET_BYTES_MAX)))
    }

    /// Shape, sum of features and (rows per class or sum of labels) are those of scikit-learn
    /// 1.9.1: `data.sum()` and `bincount(target)` of its `load_*` functions, `diabetes` with
    /// `scaled=False`.
    #[test]
    fn the_builtin_datasets_are_those_of_scikit_learn() {
        check("digits", &[8, 8], 561_718.0, &[178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        check("iris", &[4], 2_078.7, &[50, 50, 50]);
        check("wine", &[13], 159_975.295_999, &[59, 71, 48]);
        check("breast_cancer", &[30], 1_056_474.459_635_6, &[212, 357]);
        check("diabetes", &[10], 276_404.233_6, &[]);
        let Labels::Values(values) = read("diabetes").unwrap().labels else {
            panic!("diabetes is a regression")
        };
        assert_eq!((values.len(), values.iter().sum::<f32>()), (442, 67_243.0));
    }

    fn check(name: &str, shape: &[usize], sum: f64, per_class: &[usize]) {
        let rows = read(name).unwrap();
        assert_eq!(rows.shape, shape);
        let total: f64 = match &rows.features {
            Features::U8(values) => values.iter().map(|value| f64::from(*value)).sum(),
            Features::F32(values) => values.iter().map(|value| f64::from(*value)).sum(),
            Features::F64(values) => values.iter().sum(),
        };
        // A float32 rounds each value by at most 6e-8 of it.
        assert!((total - sum).abs() <= 6e-8 * sum, "{name}: {total} instead of {sum}");
        if let Labels::Classes(labels) = &rows.labels {
            let counts: Vec<usize> = (0..per_class.len() as u32)
                .map(|class| labels.iter().filter(|label| **label == class).count())
                .collect();
            assert_eq!((labels.len(), counts.as_slice()), (per_class.iter().sum(), per_class), "{name}");
        }
    }

    #[test]
    fn digits_are_bytes_from_0_to_16() {
        let rows = read("digits").unwrap();
        let Features::U8(values) = &rows.features else { panic!("digits are bytes") };
        assert_eq!((values.len(), values.iter().max(), rows.scale_max), (1_797 * 64, Some(&16), Some(16.0)));
        // The first row of scikit-learn's digits.images[0] and the last of images[-1].
        assert_eq!(
            (&values[..8], &values[values.len() - 8..]),
            (&[0, 0, 5, 13, 9, 1, 0, 0][..], &[0, 1, 8, 12, 14, 12, 1, 0][..])
        );
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let message = read("mnist").unwrap_err().to_string();
        assert_eq!(
            message,
            "there is no built-in dataset \"mnist\"; available: digits, iris, wine, breast_cancer, diabetes"
        );
    }
}
