//! How results are written for people.

use std::fmt::{Display, Write};
use std::io;
use std::path::Path;

use comfy_table::{LineStyle, Table, presets};
use serde_json::Value as Json;

use crate::error::FieldProblem;
use crate::wire::shortest;

/// Writes a line on stdout. The reader may leave early, as `head` does: the work goes on, and its
/// end is the exit code.
pub(crate) fn say(text: impl Display) {
    let _ = io::Write::write_fmt(&mut io::stdout(), format_args!("{text}\n"));
}

/// A value of an objective, with as many digits as tell trials apart.
pub(crate) fn value(value: f64) -> String {
    let size = value.abs();
    let value = shortest(value);
    if size != 0.0 && !(1e-3..1e6).contains(&size) { format!("{value:.4e}") } else { format!("{value:.4}") }
}

/// A hyperparameter: a text without quotes, a fraction with at most five digits.
pub(crate) fn hyperparameter(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Number(number) if number.is_f64() && number.to_string().len() > 8 => {
            format!("{:.4e}", number.as_f64().unwrap_or(f64::NAN))
        }
        value => value.to_string(),
    }
}

/// A number of bytes, in bytes, KiB or MiB.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} bytes"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

/// A path, quoted for a shell if necessary.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-./:+,@%".contains(character);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// A table with a line below its header and none elsewhere.
pub(crate) fn table<'h>(header: impl IntoIterator<Item = &'h str>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─')));
    table.set_header(header);
    table
}

/// A problem: what it is, then each mistake on a line of its own.
pub(crate) fn problem(title: &str, detail: &str, errors: &[FieldProblem]) -> String {
    if errors.is_empty() {
        return format!("{title}: {detail}");
    }
    let mut text = title.to_owned();
    for FieldProblem { pointer, detail } in errors {
        let pointer = if pointer.is_empty() { "/" } else { pointer };
        let _ = write!(text, "\n  {pointer}: {detail}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_short_and_stay_what_they_are() {
        for (number, text) in [
            (0.99444, "0.9944"),
            (0.0, "0.0000"),
            (-12.5, "-12.5000"),
            (0.00001234567, "1.2346e-5"),
            (123456789.0, "1.2346e8"),
            (f64::from(0.1_f32), "0.1000"),
        ] {
            assert_eq!(value(number), text);
        }
        for (json, text) in [
            (json!("relu"), "relu"),
            (json!(false), "false"),
            (json!(123_456_789), "123456789"),
            (json!(0.007002566), "7.0026e-3"),
            (json!(0.1), "0.1"),
        ] {
            assert_eq!(hyperparameter(&json), text);
        }
        for (bytes, text) in [(900, "900 bytes"), (2_048, "2.0 KiB"), (3 << 20, "3.0 MiB")] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn a_path_in_a_command_is_one_word() {
        for (path, word) in [("data/best.onnx", "data/best.onnx"), ("my data/a'b", r"'my data/a'\''b'")] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }

    #[test]
    fn a_problem_has_a_line_for_each_mistake() {
        let mistake = |pointer: &str, detail: &str| FieldProblem {
            pointer: pointer.to_owned(),
            detail: detail.to_owned(),
        };
        assert_eq!(problem("Not found", "there is no study 1", &[]), "Not found: there is no study 1");
        assert_eq!(
            problem(
                "The study is not valid",
                "2 problems",
                &[mistake("", "is empty"), mistake("/a", "is 0")]
            ),
            "The study is not valid\n  /: is empty\n  /a: is 0"
        );
    }
}
