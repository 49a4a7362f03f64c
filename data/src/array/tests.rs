use super::*;

#[test]
fn a_transposed_array_is_read_by_rows() {
    // numpy.arange(24).reshape(2, 3, 4).ravel(order="F")
    let kept: Vec<u8> = (0..24).map(|at| (at % 2) * 12 + (at / 2 % 3) * 4 + at / 6).collect();
    let header = Header { dims: vec![2, 3, 4], kind: Kind::U8, order: Order::Little, first_is_fastest: true };
    let array = read(
        At { path: "f", array: None },
        header,
        Bits::AsNeeded,
        &kept[..],
        &Reading::brief("f", Room::of(24)),
    )
    .unwrap();
    assert_eq!(array.values, Features::U8((0..24).collect()));
}

#[test]
fn arrays_share_one_bound_of_what_they_take_in_the_file_or_in_memory() {
    let at = At { path: "f", array: Some("a") };
    let reading = Reading::brief("f", Room::of(100));
    let read = |kind: Kind, values: u64| {
        let header = Header { dims: vec![values], kind, order: Order::Little, first_is_fastest: false };
        // Nothing follows: what is within the bound ends too early, and only after it was
        // counted.
        read(at, header, Bits::AsNeeded, std::io::empty(), &reading).unwrap_err().to_string()
    };
    for (kind, values, after) in [(Kind::U8, 40, 60), (Kind::Bool, 5, 40), (Kind::F64, 3, 16)] {
        assert!(read(kind, values).contains("ends too early"));
        assert_eq!(reading.room.left(), after, "{kind:?}");
    }
    let refused = "f: the size in bytes of [5] and of the arrays before it, of the array \"a\" exceeds 100 bytes, half of this machine's free memory";
    assert!(read(Kind::I16, 5).starts_with(refused));
    assert_eq!(reading.room.left(), 16);
    assert!(read(Kind::F16, 4).contains("ends too early"));
}

#[test]
fn features_that_need_64_bits_keep_them_whatever_their_type_and_order() {
    let times: Vec<i64> = (0..6).map(|at| 1_600_000_000 + at).collect();
    let array = |kind, order, first_is_fastest, bits, bytes: Vec<u8>, room| {
        let header = Header { dims: vec![3, 2], kind, order, first_is_fastest };
        let reading = Reading::brief("f", Room::of(room));
        read(At { path: "f", array: None }, header, bits, &bytes[..], &reading).map(|array| array.values)
    };
    let wide = || Features::F64(times.iter().map(|time| *time as f64).collect());
    let bytes =
        |value: &dyn Fn(i64) -> Vec<u8>| times.iter().flat_map(|time| value(*time)).collect::<Vec<u8>>();
    let little = [
        (Kind::I64, bytes(&|time| time.to_le_bytes().into())),
        (Kind::U64, bytes(&|time| (time as u64).to_le_bytes().into())),
        (Kind::F64, bytes(&|time| (time as f64).to_le_bytes().into())),
        (Kind::I32, bytes(&|time| (time as i32).to_le_bytes().into())),
        (Kind::U32, bytes(&|time| (time as u32).to_le_bytes().into())),
    ];
    for (kind, bytes) in little {
        assert_eq!(
            array(kind, Order::Little, false, Bits::AsNeeded, bytes.clone(), 48).unwrap(),
            wide(),
            "{kind:?}"
        );
        assert!(
            array(kind, Order::Little, false, Bits::AsNeeded, bytes.clone(), 47).is_err(),
            "{kind:?} takes eight bytes a value"
        );
        assert!(matches!(array(kind, Order::Little, false, Bits::Narrow, bytes, 48), Ok(Features::F32(_))));
    }
    let big = bytes(&|time| time.to_be_bytes().into());
    assert_eq!(array(Kind::I64, Order::Big, false, Bits::AsNeeded, big, 48).unwrap(), wide());
    // By rows 0, 1 | 10^12, 1 | 2 * 10^12, 1: the second feature is constant, the first spreads
    // far. The other way round, both are of both.
    let spread = [0i64, 1_000_000_000_000, 2_000_000_000_001, 1, 1, 1]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect::<Vec<u8>>();
    assert!(matches!(
        array(Kind::I64, Order::Little, true, Bits::AsNeeded, spread, 48),
        Ok(Features::F32(_))
    ));
    let apart = [1_600_000_000i64, 0, 1_600_000_001, 1 << 40, 1_600_000_002, 5]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect::<Vec<u8>>();
    assert!(matches!(
        array(Kind::I64, Order::Little, false, Bits::AsNeeded, apart.clone(), 48),
        Ok(Features::F64(_))
    ));
    assert!(matches!(array(Kind::I64, Order::Little, true, Bits::AsNeeded, apart, 48), Ok(Features::F32(_))));
    assert!(matches!(array(Kind::U8, Order::Little, false, Bits::Wide, vec![0; 6], 48), Ok(Features::U8(_))));
}
