//! `model.weights.h5`: HDF5 with a group `layers/{name}/vars` for each layer, its weights in it as
//! `0`, `1`, ….
//!
//! A recurrent layer's weights are those of its cell (`layers/lstm/cell/vars`), a Bidirectional's
//! those of its two layers' (`layers/bidirectional/forward_layer/cell/vars`).

use hdf5_writer::{AttributeBuilder, DatasetBuilder, Error as Hdf5Error, Hdf5Builder, WriteOptions};
use hpo::network::Layer;

use super::config::cell;
use crate::model::{TrainedLayer, Weight};
use crate::{Error, Model};

/// The file.
pub(crate) fn write(model: &Model, names: &[String]) -> Result<Vec<u8>, Error> {
    let mut groups =
        vec![Group { path: "vars".to_owned(), name: "chandler".to_owned(), weights: Vec::new() }];
    for (trained, name) in model.layers.iter().zip(names) {
        groups.extend(groups_of(trained, name));
    }
    file(&groups).map_err(|error| Error::Write(error.to_string()))
}

/// A group of weights.
struct Group<'a> {
    path: String,
    /// What Keras called the object that the weights are of: an attribute of the group.
    name: String,
    weights: Vec<&'a Weight>,
}

fn groups_of<'a>(trained: &'a TrainedLayer, name: &str) -> Vec<Group<'a>> {
    let group = |path: String, name: &str, prefix: &str| {
        let weights = trained.weights.iter().filter(|weight| weight.name.starts_with(prefix)).collect();
        Group { path: format!("layers/{path}/vars"), name: name.to_owned(), weights }
    };
    let empty = |path: String, name: &str| Group { weights: Vec::new(), ..group(path, name, "") };
    match &trained.layer {
        Layer::Bidirectional(bidirectional) => {
            let class = super::snake_case(bidirectional.wrapped.class());
            let cell = cell(&bidirectional.wrapped).unwrap_or_default();
            let direction = |direction: &str| {
                let path = format!("{name}/{direction}_layer");
                let own = empty(path.clone(), &format!("{direction}_{class}"));
                [own, group(format!("{path}/cell"), cell, &format!("{direction}."))]
            };
            std::iter::once(empty(name.to_owned(), name))
                .chain(direction("forward"))
                .chain(direction("backward"))
                .collect()
        }
        layer => match cell(layer) {
            Some(cell) => vec![empty(name.to_owned(), name), group(format!("{name}/cell"), cell, "")],
            None => vec![group(name.to_owned(), name, "")],
        },
    }
}

fn file(groups: &[Group]) -> Result<Vec<u8>, Hdf5Error> {
    let mut builder = Hdf5Builder::new();
    for Group { path, name, weights } in groups {
        builder = builder.group_attribute(path, AttributeBuilder::fixed_string("name", name));
        for (index, weight) in weights.iter().enumerate() {
            let shape: Vec<u64> = weight.shape.iter().map(|size| *size as u64).collect();
            builder = builder.dataset(DatasetBuilder::typed_data(
                format!("{path}/{index}"),
                shape,
                &weight.numbers,
            )?);
        }
    }
    builder.into_plan()?.encode(WriteOptions::default())
}
