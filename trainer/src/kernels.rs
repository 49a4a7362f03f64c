//! Custom candle operations for the CPU: one pass where a composition of candle's takes ten, and
//! the right gradient where candle's is wrong.
//!
//! Each file has one operation with its forward and backward pass, generic over
//! [`Real`](real::Real) so that tests hold its gradient against finite differences in `f64` while
//! production runs the very same code in `f32`. [`operation`] has what candle needs around each.
//! Nothing here uses more than the thread that calls it.
//!
//! Bits: no number depends on the machine's libm, on the width of its vectors (what is fused is
//! fused everywhere, nothing is reassociated) or on its caches: all CPUs are of one [numerics
//! class](crate::device::DeviceInfo::numerics).

pub(crate) mod activation;
pub(crate) mod average;
pub(crate) mod constraint;
pub(crate) mod conv;
pub(crate) mod conv_pool;
pub(crate) mod dense;
pub(crate) mod depthwise;
pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod gradients;
pub(crate) mod loss;
pub(crate) mod normalization;
pub(crate) mod operation;
pub(crate) mod penalty;
pub(crate) mod pool;
pub(crate) mod prelu;
pub(crate) mod product;
pub(crate) mod real;
pub(crate) mod recurrent;
pub(crate) mod sums;
pub(crate) mod update;
pub(crate) mod vectorised;
pub(crate) mod window;

pub(crate) use vectorised::vectorised;

use std::any::Any;

use candle_core::{CpuStorage, Layout, Result, Storage, bail};

/// Runs the body with a type of the name given, `f32` or `f64`, by the element type of a tensor or
/// storage.
macro_rules! with_real {
    ($numbers:expr, $real:ident => $body:expr) => {{
        #[allow(unused_imports, reason = "a tensor needs no trait for its type, a storage does")]
        use candle_core::backend::BackendStorage as _;
        match $numbers.dtype() {
            candle_core::DType::F64 => {
                type $real = f64;
                $body
            }
            _ => {
                type $real = f32;
                $body
            }
        }
    }};
}
pub(crate) use with_real;

/// The numbers of a tensor on the CPU: `let x = xs.storage_and_layout(); let x =
/// values::<f32>(&x)?;`.
pub(crate) fn values<'a, T: real::Real>(
    held: &'a (impl std::ops::Deref<Target = Storage>, &Layout),
) -> Result<&'a [T]> {
    match &*held.0 {
        Storage::Cpu(storage) => slice(storage, held.1),
        _ => bail!("a kernel of the CPU was given a tensor of another device"),
    }
}

/// The numbers of a contiguous storage.
pub(crate) fn slice<'a, T: real::Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<T>()?[start..end]),
        None => bail!("a kernel needs contiguous numbers, not {layout:?}"),
    }
}

/// The numbers of a contiguous storage, to change.
pub(crate) fn slice_mut<'a, T: real::Real>(
    storage: &'a mut CpuStorage,
    layout: &Layout,
) -> Result<&'a mut [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("a weight is contiguous") };
    Ok(&mut numbers_mut(storage)?[start..end])
}

/// The numbers of a storage, to change.
pub(crate) fn numbers_mut<T: real::Real>(storage: &mut CpuStorage) -> Result<&mut [T]> {
    let numbers: &mut dyn Any = match storage {
        CpuStorage::F32(numbers) => numbers,
        CpuStorage::F64(numbers) => numbers,
        _ => bail!("weights and their slots are f32 or f64"),
    };
    match numbers.downcast_mut::<Vec<T>>() {
        Some(numbers) => Ok(numbers),
        None => bail!("a weight and its slots have one type"),
    }
}
