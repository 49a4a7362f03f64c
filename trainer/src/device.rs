//! The devices of this machine that a build trains on: all NVIDIA GPUs with the feature `cuda`, all
//! of Apple's with `metal`, otherwise the CPU.
//!
//! `cuda` and `metal` have the calls of a maker's library. They are few: list the devices, open one,
//! ask for its free memory.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(all(feature = "metal", not(feature = "cuda")))]
mod metal;

#[cfg(not(any(feature = "cuda", feature = "metal")))]
use self::cpu as maker;
#[cfg(feature = "cuda")]
use self::cuda as maker;
#[cfg(all(feature = "metal", not(feature = "cuda")))]
use self::metal as maker;

use hpo::study::DeviceClass;

/// A device that trials are trained on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Which studies it may serve.
    pub class: DeviceClass,
    /// Its number among the devices of its class, from 0.
    pub ordinal: usize,
    /// The name that its maker gave it.
    pub model: String,
    /// Its numerics class: two devices of one class get the same bits from the same trial.
    ///
    /// All CPUs are of one class, so that no machine has to imitate another: products
    /// are chains of fused multiply-adds in one order whatever the vectors
    /// (`crate::kernels::product`), everything else is rounded number by number. The number in
    /// `cpu-1` grows when a version of ours computes other bits. GPUs are of a class with those of
    /// their architecture: their libraries choose the order of a sum by it.
    pub numerics: String,
}

impl DeviceInfo {
    /// Its name on this machine: `cpu`, `cuda:0`.
    pub fn name(&self) -> String {
        match self.class {
            DeviceClass::Any | DeviceClass::Cpu => self.class.as_str().to_owned(),
            DeviceClass::Cuda | DeviceClass::Metal => format!("{}:{}", self.class.as_str(), self.ordinal),
        }
    }

    /// A handle of the device with a work queue of its own; each trial that runs needs one.
    pub fn open(&self) -> candle_core::Result<candle_core::Device> {
        maker::open(self.ordinal)
    }

    /// Bytes of memory that are free on it now; if it has no memory of its own, on this machine or in
    /// this container.
    pub(crate) fn free_memory(&self) -> candle_core::Result<u64> {
        maker::free_memory(self.ordinal)
    }
}

/// All devices that this build trains on, at least one. Errors: there is none, or its driver does
/// not answer.
pub fn devices() -> candle_core::Result<Vec<DeviceInfo>> {
    let found = maker::devices()?;
    match found.is_empty() {
        false => Ok(found),
        true => candle_core::bail!("no GPU is found"),
    }
}

/// The one device of a build without GPUs.
#[cfg(not(any(feature = "cuda", feature = "metal")))]
mod cpu {
    use candle_core::{Device, Result};
    use sysinfo::{CpuRefreshKind, RefreshKind, System};

    use super::*;

    pub(super) fn devices() -> Result<Vec<DeviceInfo>> {
        let model = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
        let model = model.cpus().first().map_or_else(String::new, |cpu| cpu.brand().trim().to_owned());
        Ok(vec![DeviceInfo { class: DeviceClass::Cpu, ordinal: 0, model, numerics: "cpu-1".into() }])
    }

    pub(super) fn open(_ordinal: usize) -> Result<Device> {
        Ok(Device::Cpu)
    }

    pub(super) fn free_memory(_ordinal: usize) -> Result<u64> {
        Ok(data::free_memory())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_opens_and_has_memory() {
        for device in devices().unwrap() {
            assert!(!device.numerics.is_empty() && device.free_memory().unwrap() > 1 << 20, "{device:?}");
            device.open().unwrap();
        }
    }

    #[test]
    fn a_gpu_is_named_by_its_number() {
        let named = |class, ordinal| {
            DeviceInfo { class, ordinal, model: String::new(), numerics: String::new() }.name()
        };
        assert_eq!(
            [named(DeviceClass::Cpu, 0), named(DeviceClass::Cuda, 1), named(DeviceClass::Metal, 0)],
            ["cpu", "cuda:1", "metal:0"].map(str::to_owned)
        );
    }
}
