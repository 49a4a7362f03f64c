use super::*;
use crate::dataset::Labels;
use crate::rows::Rows;

fn scaled(features: Features, scale_max: Option<f64>, train: &[u32], scale: Scale) -> Result<Scaled, Error> {
    let values = match &features {
        Features::U8(values) => values.len(),
        Features::F32(values) => values.len(),
        Features::F64(values) => values.len(),
    };
    let labels = Labels::Values(vec![0.5; values / 2]);
    let dataset =
        Rows { shape: vec![2], features, scale_max, ..Rows::of(labels) }.seal("test", None, None).unwrap();
    Scaled::new(Arc::new(dataset), train, scale)
}

fn gathered(scaled: &Scaled, rows: &[u32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; 3];
    scaled.gather(rows, &mut out);
    out
}

#[test]
fn rows_are_gathered_in_the_order_asked_for() {
    let bytes = scaled(Features::U8((0..8).collect()), None, &[0], Scale::None).unwrap();
    assert_eq!(gathered(&bytes, &[3, 0, 3]), [6.0, 7.0, 0.0, 1.0, 6.0, 7.0]);
    let floats = scaled(Features::F32(vec![0.5, -1.5, 2.0, 3.0]), None, &[0], Scale::None).unwrap();
    assert_eq!(gathered(&floats, &[1, 0]), [2.0, 3.0, 0.5, -1.5]);
    assert_eq!(gathered(&floats, &[]), [0f32; 0]);
}

#[test]
fn the_scaling_that_is_told_is_the_one_that_is_done() {
    let stored = [0.5f32, -1.5, 2.0, 3.0];
    for (scale, numbers) in [(Scale::Unit, 1), (Scale::Standardize, 2), (Scale::MinMax, 2)] {
        let scaled = scaled(Features::F32(stored.to_vec()), Some(4.0), &[0, 1], scale).unwrap();
        let Some(Affine::F32 { shift, divisor }) = scaled.scaling() else {
            panic!("32 bits in, 32 bits out")
        };
        assert_eq!((shift.len(), divisor.len()), (numbers, numbers));
        let by_hand: Vec<f32> = stored
            .iter()
            .enumerate()
            .map(|(at, x)| (x - shift[at % numbers]) / divisor[at % numbers])
            .collect();
        assert_eq!(gathered(&scaled, &[0, 1]), by_hand);
    }
    assert!(scaled(Features::F32(stored.to_vec()), None, &[0], Scale::None).unwrap().scaling().is_none());
}

#[test]
fn unit_divides_by_the_declared_range_to_the_bit() {
    let all = scaled(Features::U8((0..=255).collect()), Some(255.0), &[0], Scale::Unit).unwrap();
    let expect: Vec<f32> = (0..=255u8).map(|value| f32::from(value) / 255.0).collect();
    assert_eq!(gathered(&all, &(0..128).collect::<Vec<_>>()), expect);
    let error = scaled(Features::F32(vec![0.0; 4]), None, &[0], Scale::Unit).unwrap_err();
    assert!(error.to_string().contains("use min_max or standardize"));
}

#[test]
fn standardize_gives_training_rows_mean_0_and_deviation_1() {
    // NumPy: x = [1, 2, 4, 9]; (x - x.mean()) / x.std() = [-0.97332853, -0.64888568, 0.,
    // 1.62221421].
    let features = Features::F32(vec![1.0, 7.0, 2.0, 7.0, 4.0, 7.0, 9.0, 7.0]);
    let scaled = scaled(features, None, &[0, 1, 2, 3], Scale::Standardize).unwrap();
    let expect = [-0.973_328_53, 0.0, -0.648_885_7, 0.0, 0.0, 0.0, 1.622_214_2, 0.0];
    for (value, expect) in gathered(&scaled, &[0, 1, 2, 3]).into_iter().zip(expect) {
        assert!((value - expect).abs() < 1e-6, "{value} instead of {expect}");
    }
}

#[test]
fn a_large_mean_does_not_cancel_a_small_deviation() {
    let features =
        Features::F32([0.0, 0.25, 0.5, 0.75].iter().flat_map(|part| [1e6 + part, 3.4e38]).collect());
    let scaled = scaled(features, None, &[0, 1, 2, 3], Scale::Standardize).unwrap();
    let values = gathered(&scaled, &[0, 1, 2, 3]);
    let deviation = (values.iter().step_by(2).map(|value| value * value).sum::<f32>() / 4.0).sqrt();
    assert!((deviation - 1.0).abs() < 0.02 && values[1] == 0.0, "{values:?}");
}

#[test]
fn min_max_maps_the_training_rows_to_0_and_1_exactly() {
    let scaled =
        scaled(Features::U8(vec![3, 5, 10, 5, 6, 5]), Some(255.0), &[0, 1, 2], Scale::MinMax).unwrap();
    assert_eq!(gathered(&scaled, &[0, 1, 2]), [0.0, 0.0, 1.0, 0.0, 3.0 / 7.0, 0.0]);
}

#[test]
fn statistics_do_not_see_the_validation_rows() {
    for scale in [Scale::Standardize, Scale::MinMax] {
        let with = |held_out: f32| {
            let features = Features::F32(vec![1.0, 2.0, 3.0, 5.0, held_out, -held_out]);
            gathered(&scaled(features, None, &[0, 1], scale).unwrap(), &[0, 1])
        };
        assert_eq!(with(0.0), with(1e30), "{scale:?}");
    }
}

#[test]
fn values_too_far_apart_are_refused_not_infinite() {
    let features = || Features::F32(vec![0.0, -3e38, 0.0, 3e38]);
    for scale in [Scale::Standardize, Scale::MinMax] {
        assert!(
            matches!(scaled(features(), None, &[0, 1], scale), Err(Error::Span { feature }) if feature == "feature 1 (from 0)")
        );
        assert!(scaled(features(), None, &[], scale).is_err());
    }
}

#[test]
fn a_value_too_far_from_the_training_rows_is_named_not_infinite() {
    let features = || Features::F32(vec![0.0, 0.0, 0.0, 1e-38, 0.0, 10.0]);
    for scale in [Scale::Standardize, Scale::MinMax] {
        let far = scaled(features(), None, &[0, 1], scale);
        assert!(
            matches!(far, Err(Error::Far { feature, row: 2 }) if feature == "feature 1 (from 0)"),
            "{scale:?}"
        );
        assert!(scaled(features(), None, &[0, 2], scale).is_ok());
    }
}

#[test]
fn a_batch_allocates_nothing_after_the_first() {
    let scaled = scaled(Features::U8(vec![1; 64]), Some(255.0), &[0, 1], Scale::MinMax).unwrap();
    let mut out = Vec::new();
    scaled.gather(&[0, 1, 2], &mut out);
    let (place, capacity) = (out.as_ptr(), out.capacity());
    scaled.gather(&[4, 5, 6], &mut out);
    scaled.gather(&[7], &mut out);
    assert_eq!((place, capacity), (out.as_ptr(), out.capacity()));
}

/// Times in milliseconds of one minute, beside a small number; and the same, counted from the
/// first.
fn times() -> [Features; 2] {
    let rows = (0..400u32).map(|at| (f64::from(at * 7_919 % 60_000), f64::from(at) / 4.0));
    let wide = rows.clone().flat_map(|(time, other)| [1.7e12 + time, other]).collect();
    [Features::F64(wide), Features::F32(rows.flat_map(|(time, other)| [time as f32, other as f32]).collect())]
}

#[test]
fn large_numbers_are_scaled_as_small_ones_that_differ_by_as_much() {
    let (train, all): (Vec<u32>, Vec<u32>) = ((0..300).collect(), (0..400).collect());
    for scale in [Scale::Standardize, Scale::MinMax] {
        let [wide, narrow] = times().map(|features| scaled(features, None, &train, scale).unwrap());
        let different = |scaled: &Scaled| {
            gathered(scaled, &all)
                .iter()
                .step_by(2)
                .map(|x| x.to_bits())
                .collect::<std::collections::HashSet<_>>()
                .len()
        };
        assert_eq!((different(&wide), different(&narrow)), (400, 400), "{scale:?}");
        for (x, expect) in gathered(&wide, &all).into_iter().zip(gathered(&narrow, &all)) {
            assert!((x - expect).abs() < 1e-6, "{scale:?}: {x} instead of {expect}");
        }
        let Some(Affine::F64 { shift, divisor }) = wide.scaling() else { panic!("64 bits in, 64 bits out") };
        let Features::F64(stored) = times()[0].clone() else { unreachable!() };
        let by_hand: Vec<f32> =
            stored.iter().enumerate().map(|(at, x)| ((x - shift[at % 2]) / divisor[at % 2]) as f32).collect();
        assert_eq!(gathered(&wide, &all), by_hand);
    }
}

#[test]
fn values_that_would_become_equal_are_not_left_unscaled() {
    let [wide, _] = times();
    let refused = scaled(wide, None, &[0], Scale::None).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("feature 0 (from 0) has numbers that become equal in 32 bits, such as 1700000000"),
        "{refused}"
    );
    let apart = scaled(Features::F64(vec![1.7e12, 1.0, 1.8e12, 3.0]), None, &[0], Scale::None);
    assert!(apart.is_ok(), "they differ in 32 bits");
}

#[test]
fn what_is_constant_but_for_rounding_becomes_next_to_nothing() {
    let values = vec![0.3, 0.0, 0.1 + 0.2, 1.0];
    for scale in [Scale::Standardize, Scale::MinMax] {
        let scaled = scaled(Features::F64(values.clone()), None, &[0, 1], scale).unwrap();
        assert!(gathered(&scaled, &[0, 1]).iter().step_by(2).all(|x| x.abs() < 1e-15), "{scale:?}");
    }
    let constant =
        scaled(Features::F64(vec![1.7e12, 0.0, 1.7e12, 1.0]), None, &[0, 1], Scale::Standardize).unwrap();
    assert_eq!(gathered(&constant, &[0, 1])[0], 0.0);
}

#[test]
fn wide_values_too_far_from_the_training_rows_are_named() {
    let far = scaled(Features::F64(vec![0.0, 0.0, 0.0, 1e-38, 0.0, 10.0]), None, &[0, 1], Scale::MinMax);
    assert!(matches!(far, Err(Error::Far { feature, row: 2 }) if feature == "feature 1 (from 0)"));
}
