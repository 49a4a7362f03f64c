//! The numbers that kernels compute with: `f32` in production, `f64` where a test takes finite
//! differences.

use candle_core::WithDType;
use pulp::Simd;

/// A real number. Its transcendental functions give the same bits on every machine.
///
/// For `f32` they are polynomials of our own, because the loops over activations must vectorise and
/// calls of `libm` would not; they follow Cephes (<https://www.netlib.org/cephes/>) and stay
/// within 2 units in the last place. `f64` and the logarithm, which is taken once a row, use the
/// crate `libm`.
pub(crate) trait Real: WithDType + std::ops::Neg<Output = Self> + From<f32> {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The smallest number above 0 that is normal.
    const LEAST: Self;
    /// Below it, a product with a learning rate, or with a slope, may not be normal: the smallest
    /// normal number, divided by the precision.
    const LEAST_FACTOR: Self;
    /// `e^x`; outside of [-87, 88] it is that of the nearest bound, so the result is neither 0 nor
    /// infinite.
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// `e^x - 1`, exact near 0.
    fn exp_m1(self) -> Self;
    /// `ln(1 + x)`, exact near 0.
    fn ln_1p(self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// The square root, correctly rounded.
    fn sqrt(self) -> Self;
    /// As many of them as the machine computes at once.
    type Vector<S: Simd>: Copy;
    /// A vector of one number.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    /// `a * b + c`, rounded once.
    fn mul_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// `a + b`.
    fn sum<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// The number, or 0 if it is too small to make a difference in training. Numbers that decay from
    /// step to step end as subnormal ones, the least of which round back to themselves, and many CPUs
    /// are a hundred times slower with them. TensorFlow flushes them to zero as well.
    #[inline(always)]
    fn kept(self) -> Self {
        if self < Self::LEAST_FACTOR && self > -Self::LEAST_FACTOR { Self::ZERO } else { self }
    }
    /// Short for `from_f64`.
    fn of(x: f64) -> Self {
        Self::from_f64(x)
    }
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const LEAST: f32 = f32::MIN_POSITIVE;
    const LEAST_FACTOR: f32 = f32::MIN_POSITIVE / f32::EPSILON;

    #[inline(always)]
    #[allow(
        clippy::excessive_precision,
        clippy::approx_constant,
        reason = "the digits of Cephes; its ln 2 is split in two"
    )]
    fn exp(self) -> f32 {
        // Adding 1.5 * 2^23 rounds to an integer and leaves it in the lowest bits of the sum.
        const ROUND: f32 = 12_582_912.0;
        let x = self.clamp(-87.0, 88.0);
        let rounded = x * std::f32::consts::LOG2_E + ROUND;
        let n = rounded - ROUND;
        let r = x - n * 0.693359375 + n * 2.12194440e-4;
        let mut p = 1.9875691500e-4;
        for coefficient in
            [1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1]
        {
            p = p * r + coefficient;
        }
        let two_to_n = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
        (p * r * r + r + 1.0) * two_to_n
    }

    fn ln(self) -> f32 {
        libm::logf(self)
    }

    fn exp_m1(self) -> f32 {
        libm::expm1f(self.clamp(-87.0, 88.0))
    }

    fn ln_1p(self) -> f32 {
        libm::log1pf(self)
    }

    fn erf(self) -> f32 {
        libm::erff(self)
    }

    #[inline(always)]
    #[allow(clippy::excessive_precision, reason = "the digits of Cephes")]
    fn tanh(self) -> f32 {
        let z = self * self;
        let mut p = -5.70498872745e-3;
        for coefficient in [2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1] {
            p = p * z + coefficient;
        }
        let near = p * z * self + self;
        // The inherent `exp` would be the machine's.
        let far = (1.0 - 2.0 / (Real::exp(2.0 * self.abs()) + 1.0)).copysign(self);
        if self.abs() < 0.625 { near } else { far }
    }

    #[inline(always)]
    fn sqrt(self) -> f32 {
        self.sqrt()
    }

    type Vector<S: Simd> = S::f32s;

    #[inline(always)]
    fn splat<S: Simd>(simd: S, x: f32) -> S::f32s {
        simd.splat_f32s(x)
    }

    #[inline(always)]
    fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
        simd.mul_add_f32s(a, b, c)
    }

    #[inline(always)]
    fn sum<S: Simd>(simd: S, a: S::f32s, b: S::f32s) -> S::f32s {
        simd.add_f32s(a, b)
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const LEAST: f64 = f64::MIN_POSITIVE;
    const LEAST_FACTOR: f64 = f64::MIN_POSITIVE / f64::EPSILON;

    fn exp(self) -> f64 {
        libm::exp(self.clamp(-87.0, 88.0))
    }

    fn ln(self) -> f64 {
        libm::log(self)
    }

    fn exp_m1(self) -> f64 {
        libm::expm1(self.clamp(-87.0, 88.0))
    }

    fn ln_1p(self) -> f64 {
        libm::log1p(self)
    }

    fn erf(self) -> f64 {
        libm::erf(self)
    }

    fn tanh(self) -> f64 {
        libm::tanh(self)
    }

    fn sqrt(self) -> f64 {
        self.sqrt()
    }

    type Vector<S: Simd> = S::f64s;

    #[inline(always)]
    fn splat<S: Simd>(simd: S, x: f64) -> S::f64s {
        simd.splat_f64s(x)
    }

    #[inline(always)]
    fn mul_add<S: Simd>(simd: S, a: S::f64s, b: S::f64s, c: S::f64s) -> S::f64s {
        simd.mul_add_f64s(a, b, c)
    }

    #[inline(always)]
    fn sum<S: Simd>(simd: S, a: S::f64s, b: S::f64s) -> S::f64s {
        simd.add_f64s(a, b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(range: (f32, f32), ours: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let at = |i: u32| range.0 + (range.1 - range.0) * i as f32 / 200_000.0;
        let error = |x: f32| ((f64::from(ours(x)) - exact(f64::from(x))) / exact(f64::from(x))).abs();
        (0..=200_000).map(at).filter(|x| *x != 0.0).map(error).fold(0.0, f64::max)
    }

    #[test]
    fn exp_and_tanh_are_right_to_two_units_in_the_last_place() {
        assert!(worst((-87.0, 88.0), Real::exp, libm::exp) < 2.0 * f64::from(f32::EPSILON));
        assert!(worst((-12.0, 12.0), Real::tanh, libm::tanh) < 2.0 * f64::from(f32::EPSILON));
        assert!(worst((-1e-3, 1e-3), Real::tanh, libm::tanh) < 2.0 * f64::from(f32::EPSILON));
    }

    #[test]
    fn the_edges_are_kept() {
        assert_eq!(Real::exp(0f32), 1.0);
        assert!(Real::exp(f32::NEG_INFINITY) > 0.0 && Real::exp(f32::INFINITY).is_finite());
        assert_eq!(
            (Real::tanh(f32::INFINITY), Real::tanh(f32::NEG_INFINITY), Real::tanh(0f32)),
            (1.0, -1.0, 0.0)
        );
        assert!(Real::exp(f32::NAN).is_nan() && Real::tanh(f32::NAN).is_nan());
    }

    #[test]
    fn bits_never_change() {
        let bits = |x: f32| [Real::exp(x), Real::tanh(x), Real::ln(x)].map(f32::to_bits);
        assert_eq!(bits(0.7), [1073799507, 1058715609, 3199639066]);
        assert_eq!(bits(3.3), [1104733870, 1065307632, 1066979956]);
    }
}
