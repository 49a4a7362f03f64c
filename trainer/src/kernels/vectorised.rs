//! Loops compiled twice, for every x86-64 and for those with AVX2 and fused multiply-add, chosen at run time. Vectors twice as wide, the same bits: nothing is contracted or reassociated.

/// Defines a generic function whose body is compiled twice. Loops in it should be plain: what is not inlined is compiled once, for every machine.
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
                // The processor is asked before each call what these functions need; the answers lie in an atomic.
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("fma")
                {
                    // SAFETY: the processor has what the function asks for; it was asked the line before.
                    return unsafe { avx512($($arg),*) };
                }
                if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has what the function asks for; it was asked the line before.
                    return unsafe { avx2($($arg),*) };
                }
            }
            portable($($arg),*)
        }
    };
}
pub(crate) use vectorised;
