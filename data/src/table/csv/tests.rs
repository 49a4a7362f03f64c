use std::time::Instant;

use super::*;
use crate::bits::Bits;
use crate::dataset::{Features, Labels};
use crate::room::Room;

const WANTED: Wanted = Wanted { label: "y", weight: None, one_hot: &[], bits: Bits::AsNeeded };

fn read(path: &str, input: impl Read, wanted: Wanted) -> Result<Rows, Error> {
    super::read(path, input, wanted, &Reading::brief(path, Room::of(limits::DATASET_BYTES_MAX)))
}

fn parse(text: &str) -> Result<Rows, Error> {
    read("t.csv", text.as_bytes(), WANTED)
}

#[test]
fn columns_but_the_label_are_features_in_their_order() {
    let rows = parse("\u{feff}a,y,\"b, c\"\r\n 1.5 ,0,-2e-3\r\n\r\n\"3\",1,+4\r\n").unwrap();
    assert_eq!((rows.shape, rows.scale_max), (vec![2], None));
    assert_eq!(rows.features, Features::F32(vec![1.5, -0.002, 3.0, 4.0]));
    assert_eq!(rows.labels, Labels::Classes(vec![0, 1]));
    let reading = Reading::brief("t.csv", Room::of(0));
    assert_eq!(columns("t.csv", "a,y,\"b, c\"\n".as_bytes(), &reading).unwrap(), ["a", "y", "b, c"]);
}

#[test]
fn the_text_of_the_labels_tells_classes_from_values() {
    let check = |labels: &[&str], expect: Labels| {
        let text: String = labels.iter().map(|label| format!("1,{label}\n")).collect();
        assert_eq!(parse(&format!("x,y\n{text}")).unwrap().labels, expect, "{labels:?}");
    };
    check(&["1", "0", "2", "1"], Labels::Classes(vec![1, 0, 2, 1]));
    check(&["1", "2"], Labels::Values(vec![1.0, 2.0]));
    check(&["0", "2"], Labels::Values(vec![0.0, 2.0]));
    check(&["0", "0"], Labels::Values(vec![0.0, 0.0]));
    check(&["0", "1.0"], Labels::Values(vec![0.0, 1.0]));
    check(&["-1", "0", "1"], Labels::Values(vec![-1.0, 0.0, 1.0]));
    check(&["0", "1", "4294967295"], Labels::Values(vec![0.0, 1.0, 4294967295.0]));
    check(&["versicolor", "setosa", "versicolor", "Zebra"], Labels::Classes(vec![2, 1, 2, 0]));
}

#[test]
fn a_wrong_field_is_named_by_file_line_and_column() {
    let check = |text: &str, expect: &str| {
        let message = parse(text).expect_err("must be refused").to_string();
        assert!(message.contains(expect), "{message:?} should say {expect:?}");
    };
    check("a,b,y\n1,2,0\n1,x,0\n", "t.csv, line 3, column \"b\": \"x\" is not a number");
    check("a,b,y\n1,2,0\n\n1,,0\n", "line 4, column \"b\": the field is empty");
    check("a,b,y\n1,2,0\n1,\"2,0\n5,6,1\n", "the record at line 3 has a quote that is not closed");
    check("a,\"b,y\n1,2,0\n", "the record at line 1 has a quote that is not closed");
    check("a,b,y\n1,2,0\n\n\n1,2\n", "line 5, column \"y\": the line has 2 fields");
    check("a,b,y\n1,2,0\n1,x,0", "line 3, column \"b\": \"x\" is not a number");
    check("a,b,y\n1,\"2\n\",0\n1,2,0\n1,\"\n\nx\",0\n", "line 5, column \"b\": \"x\" is not a number");
    check("a,b,y\n\"1\n\",2,0\n1,NaN,0\n", "line 4, column \"b\": \"NaN\" is not a finite");
    check("a,b,y\n1,1e39,0\n", "\"1e39\" is not a finite");
    check("a,b,y\n1,2\n", "line 2, column \"y\": the line has 2 fields, but the header has 3");
    check("a,b,y\n1,2,3,4\n", "line 2, column \"4 (nameless)\": the line has 4 fields, but the header has 3");
    check("a,b,y\n1,2,0\n1,2,\n", "line 3, column \"y\": the label is empty");
    check("a,b,y\n1,2,0\n1,2,inf\n", "line 3, column \"y\": \"inf\" is not a finite");
    check("a,b,y\n1,2,0\n1,2,cat\n", "the label \"cat\" is a text, but the labels before it are numbers");
    check(
        "a,b,y\n1,2,cat\n1,2,0\n",
        "line 3, column \"y\": the label is a number, but the labels before it are texts",
    );
    check(&format!("a,y\n{},0\n", "x".repeat(9_999)), &format!("\"{}\" is not a number", "x".repeat(40)));
    check("", "is empty");
    check("a,b,y\n", "has a header and no rows");
    check("a,b,c\n1,2,0\n", "has no column \"y\"; its columns are a, b, c");
    check("5.1,3.5,0\n1,2,0\n", "the first line must name the columns, this one holds numbers");
    check("a;y\n1;0\n", "separate them by commas");
    check("y\n0\n", "has one column");
    check("a,,y\n1,2,0\n", "column 2 has no name");
    check("a,a,y\n1,2,0\n", "two columns are named \"a\"");
    for (text, expect) in [
        (&b"a,gr\xfc,y\n1,2,0\n"[..], "the name of column 2 is not UTF-8"),
        (&b"a\0,\0y\0\n\0"[..], "bytes of 0 in its header"),
    ] {
        assert!(read("t.csv", text, WANTED).unwrap_err().to_string().contains(expect));
    }
    let bytes = read("t.csv", &b"a,y\n\xff,0\n"[..], WANTED).unwrap_err();
    assert!(bytes.to_string().contains("line 2, column \"a\": the field is not UTF-8"));
}

#[test]
fn lines_are_counted_whatever_ends_them() {
    let text = "a,b,y\n1,2,0\n\n\"3\n\",4,1\n5,6,0\n7,x,1\n8,9,0\n";
    for end in ["\n", "\r\n", "\r"] {
        let text = text.replace('\n', end);
        let whole = parse(&text).unwrap_err().to_string();
        assert!(whole.contains("t.csv, line 7, column \"b\": \"x\" is not a number"), "{end:?}: {whole}");
        // As it comes from a disk: in pieces.
        let mut pieces = Lines::of(text.as_bytes());
        let (mut all, mut piece) = (Vec::new(), [0; 3]);
        while let count @ 1.. = pieces.read(&mut piece).unwrap() {
            all.extend_from_slice(&piece[..count]);
        }
        assert_eq!(all, text.replace(end, "\n").as_bytes(), "{end:?}");
    }
}

#[test]
fn categories_become_columns_of_0_and_1_in_the_place_of_theirs() {
    let one_hot = ["c".to_owned(), "k".to_owned()];
    let parse = |text: &str| read("t.csv", text.as_bytes(), Wanted { one_hot: &one_hot, ..WANTED });
    let rows = parse("a,c,y,k,b\n1,red,0,10,5\n2,Blue,1,9,6\n3,red,0,-1,7\n").unwrap();
    // c: Blue, red; k: -1, 9, 10.
    assert_eq!(rows.shape, [7]);
    let expect = [[1., 0., 1., 0., 0., 1., 5.], [2., 1., 0., 0., 1., 0., 6.], [3., 0., 1., 1., 0., 0., 7.]];
    assert_eq!(rows.features, Features::F32(expect.concat()));
    let texts = parse("c,k,y\n10,a,0\n9,b,1\nx,c,1\n").unwrap();
    let expect = [[1., 0., 0., 1., 0., 0.], [0., 1., 0., 0., 1., 0.], [0., 0., 1., 0., 0., 1.]];
    assert_eq!(texts.features, Features::F32(expect.concat()), "texts in the order of their bytes: 10, 9, x");
    let message = |text: &str| parse(text).expect_err("must be refused").to_string();
    assert_eq!(message("c,y\na,0\n"), "t.csv: has no column \"k\"; its columns are c, y");
    assert!(message("c,k,y\na,1.5,0\n").contains("line 2, column \"k\": 1.5 is not a category"));
    assert!(message("c,k,y\na,,0\n").contains("line 2, column \"k\": the field is empty"));
    let many: String = (0..=limits::CATEGORIES_MAX).map(|row| format!("a,{row},0\n")).collect();
    assert!(
        message(&format!("c,k,y\n{many}")).contains("line 1002, column \"k\": more than 1000 categories")
    );
    let long = "x".repeat(limits::CLASS_NAME_BYTES_MAX + 1);
    let expect =
        format!("\"k\": the category {:?}… has 1001 bytes, at most 1000 are possible", "x".repeat(40));
    assert!(message(&format!("c,k,y\na,{long},0\n")).contains(&expect));
    assert!(message(&format!("c,k,y\na,1,{long}\n")).contains("column \"y\": the label \"xxx"));
    let text = read("t.csv", &b"c,y\nred,0\n"[..], WANTED).unwrap_err().to_string();
    assert!(text.contains("name the column in one_hot if it holds categories"), "{text}");
}

#[test]
fn names_of_columns_are_short_and_shown_shorter() {
    let message =
        |text: &str| read("t.csv", text.as_bytes(), WANTED).expect_err("must be refused").to_string();
    let long = "x".repeat(limits::CLASS_NAME_BYTES_MAX);
    assert!(read("t.csv", format!("{long},y\n1,0\n").as_bytes(), WANTED).is_ok());
    assert!(
        message(&format!("a,{long}é,y\n1,2,0\n"))
            .contains("column 2 has a name of 1002 bytes, at most 1000 are possible")
    );
    assert!(
        message(&format!("{long},b\n1,0\n"))
            .ends_with(&format!("its columns are {}…, b", "x".repeat(limits::CELL_SHOWN_MAX)))
    );
}

#[test]
fn labels_and_weights_count_for_the_size_of_a_table() {
    let rows = "1,1,0\n".repeat(100);
    let parse = |bits, bytes| {
        let reading = Reading::brief("t.csv", Room::of(bytes));
        super::read(
            "t.csv",
            format!("a,w,y\n{rows}").as_bytes(),
            Wanted { weight: Some("w"), bits, ..WANTED },
            &reading,
        )
    };
    assert!(parse(Bits::Wide, 1_600).is_ok() && parse(Bits::Wide, 1_599).is_err());
    assert!(parse(Bits::AsNeeded, 1_200).is_ok());
    assert!(
        parse(Bits::AsNeeded, 1_199)
            .expect_err("a hundred rows of three numbers")
            .to_string()
            .contains("the size in bytes")
    );
}

#[test]
fn a_column_of_weights_is_no_feature() {
    let parse = |text: &str| read("t.csv", text.as_bytes(), Wanted { weight: Some("w"), ..WANTED });
    let rows = parse("a,w,y\n1,0.5,0\n2,0,1\n").unwrap();
    assert_eq!(
        (rows.shape, rows.features, rows.weights),
        (vec![1], Features::F32(vec![1.0, 2.0]), Some(vec![0.5, 0.0]))
    );
    let message = |text: &str| parse(text).expect_err("must be refused").to_string();
    assert_eq!(
        message("a,w,y\n1,-1,0\n"),
        "t.csv, line 2, column \"w\": the weight -1 is below 0; weights are at least 0"
    );
    assert!(message("a,w,y\n1,x,0\n").contains("\"x\" is not a number; a weight must be one"));
    assert!(message("a,w,y\n1,NaN,0\n").contains("column \"w\": \"NaN\" is not a finite"));
    assert!(message("a,b,y\n1,1,0\n").contains("has no column \"w\""));
    assert!(message("w,y\n1,1\n").contains("has only a label and weights"));
}

#[test]
fn classes_of_text_keep_their_names() {
    assert_eq!(parse("x,y\n1,b\n2,a\n").unwrap().class_names, ["a", "b"]);
    assert!(parse("x,y\n1,0\n2,1\n").unwrap().class_names.is_empty());
}

#[test]
fn numbers_that_32_bits_would_make_equal_are_to_be_read_in_64() {
    let text = |step: u64| {
        format!(
            "a,t,y\n{}",
            (0..9).map(|at| format!("0.{at},{},0\n", 1_700_000_000_000 + at * step)).collect::<String>()
        )
    };
    let parse = |step, bits| read("t.csv", text(step).as_bytes(), Wanted { bits, ..WANTED }).unwrap();
    assert!(parse(1_000, Bits::AsNeeded).needs_64 && !parse(1 << 40, Bits::AsNeeded).needs_64);
    let Features::F64(wide) = parse(1, Bits::Wide).features else { panic!("64 bits were asked for") };
    assert_eq!(wide[..4], [0.0, 1.7e12, 0.1, 1.7e12 + 1.0]);
    let one_hot = ["a".to_owned()];
    let rows = read("t.csv", text(1).as_bytes(), Wanted { bits: Bits::Wide, one_hot: &one_hot, ..WANTED })
        .unwrap_err();
    assert!(
        rows.to_string().contains("0 is not a category")
            || rows.to_string().contains("0.1 is not a category"),
        "{rows}"
    );
    let texts = read(
        "t.csv",
        &b"a,t,y\nu,1700000000000,0\nv,1700000000001,1\n"[..],
        Wanted { bits: Bits::Wide, one_hot: &one_hot, ..WANTED },
    );
    assert_eq!(texts.unwrap().features, Features::F64(vec![1.0, 0.0, 1.7e12, 0.0, 1.0, 1.7e12 + 1.0]));
}

#[test]
fn a_file_is_left_in_the_middle_where_the_reading_is_not_to_go_on() {
    let endless = || b"a,y\n".chain(io::repeat(b'\n'));
    let late = Reading::until("t.csv", Instant::now());
    assert!(matches!(super::read("t.csv", endless(), WANTED, &late), Err(Error::Slow { .. })));
    assert!(matches!(columns("t.csv", endless(), &late), Err(Error::Slow { .. })));
}

#[test]
fn a_record_without_end_is_given_up() {
    for endless in [b'1', b',', b'\n', b'"'] {
        let error = read("t.csv", b"a,y\n".chain(io::repeat(endless)), WANTED).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{:?}: {error}", char::from(endless));
    }
}
