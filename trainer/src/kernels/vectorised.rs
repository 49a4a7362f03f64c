//! The widest vectors of the machine, chosen at run time. Loops are compiled once for every x86-64,
//! once for those with AVX2 and fused multiply-add, and once for those with AVX-512. The bits do not
//! depend on the width: nothing is contracted or reassociated.

use pulp::Arch;

/// The widest vectors of this machine.
#[cfg(not(test))]
pub(crate) fn arch() -> Arch {
    Arch::new()
}

/// The widest vectors of this machine, or those that a test chooses.
#[cfg(test)]
pub(crate) fn arch() -> Arch {
    tests::CHOSEN.get().unwrap_or_default()
}

/// Defines a generic function whose body is compiled for each width. Loops in it should be plain:
/// code that is not inlined is compiled once, for every machine.
macro_rules! vectorised {
    ($(#[$doc:meta])* $vis:vis fn $name:ident<$real:ident: $bound:path>($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        $vis fn $name<$real: $bound>($($arg: $type),*) {
            #[inline(always)]
            fn portable<$real: $bound>($($arg: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2<$real: $bound>($($arg: $type),*) {
                    portable($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                fn avx512<$real: $bound>($($arg: $type),*) {
                    portable($($arg),*)
                }
                match $crate::kernels::vectorised::arch() {
                    // SAFETY: there is a V4 only on a processor that reports all of these features.
                    pulp::x86::Arch::V4(_) => return unsafe { avx512($($arg),*) },
                    // SAFETY: there is a V3 only on a processor that reports all of these features.
                    pulp::x86::Arch::V3(_) => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            portable($($arg),*)
        }
    };
}
pub(crate) use vectorised;

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        pub(super) static CHOSEN: Cell<Option<Arch>> = const { Cell::new(None) };
    }

    /// Every width that this machine has, the narrowest first.
    pub(crate) fn widths() -> Vec<Arch> {
        #[cfg(target_arch = "x86_64")]
        let more = [pulp::x86::V3::try_new().map(Arch::V3), pulp::x86::V4::try_new().map(Arch::V4)];
        #[cfg(not(target_arch = "x86_64"))]
        let more = [Some(Arch::new())];
        [Some(Arch::Scalar)].into_iter().chain(more).flatten().collect()
    }

    /// The result of `work` on vectors of this width.
    pub(crate) fn on<T>(width: Arch, work: impl FnOnce() -> T) -> T {
        CHOSEN.set(Some(width));
        let made = work();
        CHOSEN.set(None);
        made
    }
}
