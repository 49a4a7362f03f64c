//! Where a trial computes, and whose bits it gets.

use candle_core::Device;

/// The device of this build: the first CUDA or Metal device where the program was built for one, else the CPU.
pub fn device() -> candle_core::Result<Device> {
    if cfg!(feature = "cuda") {
        Device::new_cuda(0)
    } else if cfg!(feature = "metal") {
        Device::new_metal(0)
    } else {
        Ok(Device::Cpu)
    }
}

/// The numerics class of a device: two trainers of one class get the same bits from the same trial.
///
/// All CPUs are of one class, so no machine has to be told to compute as another does: products are chains of fused multiply-adds in one order whatever the vectors
/// (`crate::kernels::product`), everything else is rounded number by number. The number in `cpu-1` grows when a version of ours computes other bits.
pub fn numerics_class(device: &Device) -> &'static str {
    match device {
        Device::Cpu => "cpu-1",
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
}
