//! Decides whether 32 bits hold a feature, or 64 are needed.
//!
//! Scaled features are 32-bit floats, with 24 bits of precision, none of which should be lost before
//! scaling. A time in milliseconds since 1970 takes 41 bits: rounded to 32-bit floats, the times of a
//! minute are one number, however they are scaled afterwards. So if a feature would lose much of the
//! differences between its values, the dataset is kept in 64 bits and scaled there. The values alone
//! decide, so a dataset is kept in the same way on every machine.

/// The furthest that rounding to 32 bits may move a value, as a fraction of the feature's range: a
/// scaled feature has 24 bits and loses four at most. Ordinary measurements lose none and take half
/// of the memory.
const ROUNDING_MAX: f64 = 1.0 / (1u32 << 20) as f64;

/// A range that is a smaller fraction of its values is rounding of 64-bit arithmetic, such as the
/// difference of 0.3 and 0.1 + 0.2.
const NOISE_MAX: f64 = 1.0 / (1u64 << 44) as f64;

/// The width in which features are kept, unless they are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bits {
    /// 32.
    Narrow,
    /// 32, unless a feature needs 64.
    AsNeeded,
    /// 64.
    Wide,
}

/// A number in 64 bits and in 32, each the nearest to the number in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Number {
    pub(crate) wide: f64,
    pub(crate) narrow: f32,
}

impl Number {
    /// The number that a text spells.
    pub(crate) fn parse(text: &str) -> Option<Number> {
        let wide: f64 = text.parse().ok()?;
        // Rounding twice equals rounding once, unless the first result is halfway between two floats.
        // Below the smallest normal float the floats are further apart.
        let is_halfway =
            wide.to_bits() & 0x1fff_ffff == 0x1000_0000 || wide.abs() < f64::from(f32::MIN_POSITIVE);
        let narrow = if is_halfway && wide != 0.0 { text.parse().ok()? } else { wide as f32 };
        Some(Number { wide, narrow })
    }
}

impl From<f64> for Number {
    fn from(wide: f64) -> Number {
        Number { wide, narrow: wide as f32 }
    }
}

impl From<i64> for Number {
    fn from(whole: i64) -> Number {
        Number { wide: whole as f64, narrow: whole as f32 }
    }
}

impl From<u64> for Number {
    fn from(whole: u64) -> Number {
        Number { wide: whole as f64, narrow: whole as f32 }
    }
}

/// The effect of rounding to 32 bits on the values of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rounding {
    low: f64,
    high: f64,
    /// The furthest that a value moves.
    moved: f64,
}

impl Rounding {
    /// Of no value yet.
    pub(crate) const NONE: Rounding = Rounding { low: f64::INFINITY, high: f64::NEG_INFINITY, moved: 0.0 };

    /// Adds a finite value.
    pub(crate) fn add(&mut self, Number { wide, narrow }: Number) {
        self.low = self.low.min(wide);
        self.high = self.high.max(wide);
        self.moved = self.moved.max((wide - f64::from(narrow)).abs());
    }

    /// Whether 32 bits lose too much.
    pub(crate) fn needs_64(&self) -> bool {
        self.moved > (self.high - self.low) * ROUNDING_MAX && !is_noise(self.low, self.high)
    }
}

/// Whether the difference of these two is only rounding.
pub(crate) fn is_noise(low: f64, high: f64) -> bool {
    high - low <= low.abs().max(high.abs()) * NOISE_MAX
}

#[cfg(test)]
mod tests {
    use hpo::rng::{Purpose, stream};

    use super::*;

    fn needs_64(values: impl IntoIterator<Item = f64>) -> bool {
        let mut rounding = Rounding::NONE;
        values.into_iter().for_each(|value| rounding.add(value.into()));
        rounding.needs_64()
    }

    #[test]
    fn what_32_bits_tell_apart_is_kept_in_them() {
        let hundred = |begin: f64, step: f64| (0..100).map(move |at| begin + step * f64::from(at));
        assert!(needs_64(hundred(1.7e12, 600.0)), "milliseconds of a minute");
        assert!(needs_64(hundred(1.7e9, 86_401.0)), "seconds of a hundred days");
        assert!(needs_64(hundred(-1e9, 0.5)));
        assert!(!needs_64(hundred(1.7e9, 31_557_600.0)), "seconds of a hundred years");
        assert!(!needs_64(hundred(16_777_116.0, 1.0)), "whole numbers of 24 bits");
        assert!(!needs_64(hundred(0.0, 1e10)), "large, and far apart");
        assert!(!needs_64(hundred(-3.0, 0.1)) && !needs_64(hundred(5.1, 0.1)), "measurements");
        assert!(
            !needs_64([0.1; 9]) && !needs_64([0.3, 0.1 + 0.2]) && !needs_64([]),
            "all the same but for rounding"
        );
    }

    #[test]
    fn a_text_becomes_the_nearest_number_of_each_width() {
        let mut random = stream(1, Purpose::Split, 0, 0);
        let mut texts: Vec<String> = (0..200_000)
            .map(|_| format!("{}e{}", random.below(1 << 30) as f64 / 7.0, random.below(90) as i64 - 50))
            .collect();
        // Halfway between two floats, and a little to either side of it, by less than 64 bits tell.
        for bits in (0..2_000).map(|at| 0x3f00_0000u32 + at * 7_919) {
            let (low, high) = (f32::from_bits(bits), f32::from_bits(bits + 1));
            let half = format!("{:.60}", (f64::from(low) + f64::from(high)) / 2.0);
            let half = half.trim_end_matches('0');
            texts.extend([
                half.to_owned(),
                format!("{half}000000000000000000001"),
                format!("-{half}000000000000000000001"),
            ]);
        }
        texts.extend(
            [
                "1e-45",
                "7e-46",
                "1.1754943e-38",
                "3.4028235e38",
                "3.4028235677973366e38",
                "3.4028235677973365e38",
                "1e39",
                "-0",
                "inf",
                "1e999",
                "16777217",
            ]
            .map(str::to_owned),
        );
        for text in &texts {
            let number = Number::parse(text).unwrap();
            assert_eq!(number.wide.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{text}");
            assert_eq!(number.narrow.to_bits(), text.parse::<f32>().unwrap().to_bits(), "{text}");
        }
        assert_eq!(Number::parse("red"), None);
    }
}
