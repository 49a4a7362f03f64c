//! The bounds of exports, each with its reason. Those of `hpo` come with them.

pub(crate) use hpo::limits::*;

/// A model that is exported, in bytes: three copies of it are in memory then, and a protobuf file
/// such as ONNX ends at 2 GiB.
pub(crate) const EXPORT_BYTES_MAX: usize = 1 << 30;
