//! `.keras`: a zip with the configuration of the model (`config.json`), the version of Keras
//! (`metadata.json`) and the weights (`model.weights.h5`), as Keras 3 writes it
//! (`keras/src/saving/saving_lib.py`).

mod config;
mod weights;

use std::io::{Cursor, Write};

use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::{Error, Model};

/// The version of Keras that has this form. Later versions read it; no program reads this number.
const KERAS_VERSION: &str = "3.0.0";

impl Model {
    /// The model as a `.keras` file (Keras 3), a Sequential without a compile configuration:
    /// `keras.models.load_model` opens it.
    pub fn to_keras(&self) -> Result<Vec<u8>, Error> {
        let names = layer_names(self);
        let config = config::model(self, &names).to_string();
        // No date, so that the same model gives the same bytes.
        let metadata = json!({"keras_version": KERAS_VERSION}).to_string();
        let weights = weights::write(self, &names)?;
        zipped(&[
            ("metadata.json", metadata.as_bytes()),
            ("config.json", config.as_bytes()),
            ("model.weights.h5", &weights),
        ])
        .map_err(|error| Error::Write(error.to_string()))
    }
}

/// Members are not compressed, since Keras reads weights by seeking in the file.
fn zipped(members: &[(&str, &[u8])]) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored))?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// A name for each layer, as Keras makes them: `dense`, `dense_1`. The weights are stored below these
/// names.
fn layer_names(model: &Model) -> Vec<String> {
    let classes: Vec<&str> = model.layers.iter().map(|trained| trained.layer.class()).collect();
    let name = |(index, class): (usize, &&str)| match classes[..index]
        .iter()
        .filter(|before| *before == class)
        .count()
    {
        0 => snake_case(class),
        earlier => format!("{}_{earlier}", snake_case(class)),
    };
    classes.iter().enumerate().map(name).collect()
}

/// `LeakyReLU` as `leaky_re_lu`, after `keras/src/utils/naming.py`: a word begins with a capital
/// after a small letter or before one.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().collect();
    let mut name = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let next_is_small = letters.get(at + 1).is_some_and(char::is_ascii_lowercase);
        if at > 0 && letter.is_ascii_uppercase() && (letters[at - 1].is_ascii_lowercase() || next_is_small) {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests;
