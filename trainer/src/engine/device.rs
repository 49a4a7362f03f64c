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
/// On the CPU only the products' kernels decide, which the `gemm` crate chooses at run time: `cpu-avx2` (256 bits, fused multiply-add; also what a machine with
/// AVX-512 runs, since that crate's feature `x86-v4` is off), `cpu-neon`, or `cpu-portable`. Their blocking is ours, everything else is the same on all machines.
pub fn numerics_class(device: &Device) -> &'static str {
    match device {
        Device::Cpu => cpu_class(),
        Device::Cuda(_) => "cuda",
        Device::Metal(_) => "metal",
    }
}

#[cfg(target_arch = "x86_64")]
fn cpu_class() -> &'static str {
    if std::arch::is_x86_feature_detected!("fma") { "cpu-avx2" } else { "cpu-portable" }
}

#[cfg(target_arch = "aarch64")]
fn cpu_class() -> &'static str {
    "cpu-neon"
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_class() -> &'static str {
    "cpu-portable"
}
