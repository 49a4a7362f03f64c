//! The state of a model, tensor by tensor: a copy of all would be as large as the model.

use std::cell::Ref;
use std::io::{self, Write};

use candle_core::{CpuStorage, DType, Result, Tensor, WithDType, bail};

/// A named tensor of a model's state. Its numbers stay where they are until they are written.
pub struct Part<'a> {
    /// Such as `weights.layers.1.kernel`, or `optimizer.velocity.layers.1.kernel`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The type of its numbers.
    pub dtype: DType,
    numbers: Numbers<'a>,
}

enum Numbers<'a> {
    Tensor(Tensor),
    Slot(Ref<'a, CpuStorage>),
}

/// Reads the tensor that was written as the [`Part`] of this name, if there is one.
pub type Read<'a> = dyn FnMut(&str) -> Result<Option<Tensor>> + 'a;

impl<'a> Part<'a> {
    /// A tensor, which is shared.
    pub fn of(name: String, tensor: &Tensor) -> Part<'static> {
        Part {
            name,
            shape: tensor.dims().to_vec(),
            dtype: tensor.dtype(),
            numbers: Numbers::Tensor(tensor.clone()),
        }
    }

    /// A slot of a weight, with its shape and type.
    pub(super) fn of_slot(name: String, weight: &Tensor, slot: Ref<'a, CpuStorage>) -> Part<'a> {
        Part { name, shape: weight.dims().to_vec(), dtype: weight.dtype(), numbers: Numbers::Slot(slot) }
    }

    /// The same with this prefix to its name.
    pub fn below(mut self, prefix: &str) -> Part<'a> {
        self.name.insert_str(0, prefix);
        self
    }

    /// The bytes of its numbers.
    pub fn bytes(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * self.dtype.size_in_bytes() as u64
    }

    /// Writes its numbers, little-endian.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match &self.numbers {
            Numbers::Tensor(tensor) => tensor.write_bytes(out).map_err(io::Error::other),
            Numbers::Slot(slot) => match &**slot {
                CpuStorage::F32(numbers) => {
                    numbers.iter().try_for_each(|number| out.write_all(&number.to_le_bytes()))
                }
                CpuStorage::F64(numbers) => {
                    numbers.iter().try_for_each(|number| out.write_all(&number.to_le_bytes()))
                }
                _ => Err(io::Error::other("an optimiser remembers numbers of another type than f32 and f64")),
            },
        }
    }
}

/// The tensor `name`, which must be of the shape and type of `like`.
pub(super) fn read_like(read: &mut Read, name: &str, like: &Tensor) -> Result<Tensor> {
    let Some(tensor) = read(name)? else { bail!("{name} is missing") };
    if (tensor.shape(), tensor.dtype()) != (like.shape(), like.dtype()) {
        bail!(
            "{name} is {:?} of {:?}, not {:?} of {:?}",
            tensor.shape(),
            tensor.dtype(),
            like.shape(),
            like.dtype()
        );
    }
    tensor.to_device(like.device())
}

/// The one number `name`.
pub(super) fn read_scalar<T: WithDType>(read: &mut Read, name: &str) -> Result<T> {
    match read(name)? {
        Some(tensor) if tensor.elem_count() == 1 && tensor.dtype() == T::DTYPE => {
            tensor.flatten_all()?.get(0)?.to_scalar()
        }
        Some(tensor) => {
            bail!("{name} is {:?} of {:?}, not one {:?}", tensor.shape(), tensor.dtype(), T::DTYPE)
        }
        None => bail!("{name} is missing"),
    }
}
