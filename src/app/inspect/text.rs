//! Objects as text for people.

use std::io::{self, Write};

use serde_json::Value;

/// The file's name, and a line per field; lists and objects indented below their name.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(out: &mut impl Write, fields: &[(String, Value)]) -> io::Result<()> {
    for (name, value) in fields {
        match name.as_str() {
            "file" => writeln!(out, "{}", printable(value.as_str().unwrap_or_default()))?,
            // Dates stand there twice, and people read the one in words.
            date if date.ends_with("_ms") => {}
            _ => write_field(out, 1, name, value)?,
        }
    }
    Ok(())
}

fn write_field(out: &mut impl Write, depth: usize, name: &str, value: &Value) -> io::Result<()> {
    let indent = "  ".repeat(depth);
    let name = printable(name);
    match value {
        Value::Null => writeln!(out, "{indent}{name}: none"),
        Value::Bool(true) => writeln!(out, "{indent}{name}: yes"),
        Value::Bool(false) => writeln!(out, "{indent}{name}: no"),
        Value::Number(number) => writeln!(out, "{indent}{name}: {number}"),
        Value::String(text) => writeln!(out, "{indent}{name}: {}", printable(text)),
        Value::Array(items) => {
            writeln!(out, "{indent}{name}:{}", if items.is_empty() { " none" } else { "" })?;
            let numbered = items.iter().zip(1..);
            numbered.into_iter().try_for_each(|(item, number)| {
                write_field(out, depth + 1, &format!("{number}"), item)
            })
        }
        Value::Object(fields) => {
            writeln!(out, "{indent}{name}:")?;
            fields.iter().try_for_each(|(name, value)| write_field(out, depth + 1, name, value))
        }
    }
}

/// Text of a stranger without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_and_objects_are_indented() {
        let fields = [
            ("file", json!("a")),
            ("date_ms", json!(5)),
            ("none", json!(null)),
            ("yes", json!(true)),
            ("list", json!(["x", { "y": 1 }])),
            ("empty", json!([])),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        let mut out = Vec::new();
        write(&mut out, &fields).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected =
            "a\n  none: none\n  yes: yes\n  list:\n    1: x\n    2:\n      y: 1\n  empty: none\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn terminals_are_told_nothing() {
        assert_eq!(printable("a\u{1b}[31m\n"), "a\u{fffd}[31m\u{fffd}");
    }
}
