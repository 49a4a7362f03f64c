//! Apple GPUs.

use candle_core::{Device, Result};
use candle_metal_kernels::metal::Device as Gpu;
use hpo::study::DeviceClass;

use super::DeviceInfo;

pub(super) fn devices() -> Result<Vec<DeviceInfo>> {
    let found = Gpu::all().into_iter().map(|gpu| gpu.architecture_name()).enumerate();
    let device = |(ordinal, model): (usize, String)| DeviceInfo {
        class: DeviceClass::Metal,
        ordinal,
        numerics: format!("metal-{model}"),
        model,
    };
    Ok(found.map(device).collect())
}

/// A handle with a command queue of its own.
pub(super) fn open(ordinal: usize) -> Result<Device> {
    Device::new_metal(ordinal)
}

/// The GPU shares the machine's memory, and takes no more of it than its driver recommends.
pub(super) fn free_memory(ordinal: usize) -> Result<u64> {
    let Some(gpu) = Gpu::all().into_iter().nth(ordinal) else {
        candle_core::bail!("the GPU {ordinal} is gone")
    };
    let free = gpu.recommended_max_working_set_size().saturating_sub(gpu.current_allocated_size());
    Ok(data::free_memory().min(free as u64))
}
