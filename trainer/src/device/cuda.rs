//! NVIDIA GPUs.

use candle_core::cuda::cudarc::driver::CudaContext;
use candle_core::{Device, Error, Result};
use hpo::study::DeviceClass;

use super::DeviceInfo;

pub(super) fn devices() -> Result<Vec<DeviceInfo>> {
    (0..CudaContext::device_count().map_err(Error::wrap)? as usize).map(device).collect()
}

fn device(ordinal: usize) -> Result<DeviceInfo> {
    let context = CudaContext::new(ordinal).map_err(Error::wrap)?;
    let (major, minor) = context.compute_capability().map_err(Error::wrap)?;
    let model = context.name().map_err(Error::wrap)?;
    Ok(DeviceInfo { class: DeviceClass::Cuda, ordinal, model, numerics: format!("cuda-sm{major}{minor}") })
}

/// A handle with a stream and a cuBLAS handle of its own: two threads may not use the same ones.
pub(super) fn open(ordinal: usize) -> Result<Device> {
    Device::new_cuda_with_stream(ordinal)
}

pub(super) fn free_memory(ordinal: usize) -> Result<u64> {
    let context = CudaContext::new(ordinal).map_err(Error::wrap)?;
    let (free, _total) = context.mem_get_info().map_err(Error::wrap)?;
    Ok(free as u64)
}
