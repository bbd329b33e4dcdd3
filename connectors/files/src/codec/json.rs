//! JSON lines, exactly: numbers keep every digit because they are never read as floats, and a value
//! is cut out as text before it gets its type.

use super::text;
use arrow::record_batch::RecordBatch;
use std::borrow::Cow;
use std::io::{self, BufRead};

/// Most bytes of one line.
const LINE_BYTES_MAX: usize = 256 << 20;

/// Rows as lines, one object each; NULL is written as null.
pub fn encode(batch: &RecordBatch) -> Vec<u8> {
    let mut out = Vec::with_capacity(batch.num_rows() * batch.num_columns() * 16);
    let schema = batch.schema();
    let keys: Vec<Vec<u8>> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let mut key = if index == 0 { vec![b'{'] } else { vec![b','] };
            let mut quoted = String::new();
            text::push_json_string(field.name(), &mut quoted);
            key.extend_from_slice(quoted.as_bytes());
            key.push(b':');
            key
        })
        .collect();
    let mut scratch = String::new();
    for row in 0..batch.num_rows() {
        for (key, column) in keys.iter().zip(batch.columns()) {
            out.extend_from_slice(key);
            scratch.clear();
            text::push_json(column.as_ref(), row, &mut scratch);
            out.extend_from_slice(scratch.as_bytes());
        }
        out.extend_from_slice(if keys.is_empty() { b"{}\n" } else { b"}\n" });
    }
    out
}

/// What is wrong with a line.
#[derive(Debug)]
pub struct JsonError {
    /// From 1.
    pub line: u64,
    /// A full sentence.
    pub message: String,
    /// The file system's error, when it was one.
    pub io: Option<io::Error>,
}

/// Reads lines that hold an object each; empty lines are skipped.
pub struct JsonReader<R> {
    input: R,
    line: u64,
}

impl<R: BufRead> JsonReader<R> {
    /// From the beginning of a file.
    pub fn new(input: R) -> Self {
        Self { input, line: 0 }
    }
    /// Line of the last object, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }
    /// The next object's text, checked; None at the end.
    pub fn next_object(&mut self) -> Result<Option<String>, JsonError> {
        loop {
            let mut raw = vec![];
            self.line += 1;
            let line = self.line;
            let wrong = |message: String| JsonError { line, message, io: None };
            let mut limited = io::Read::take(&mut self.input, LINE_BYTES_MAX as u64 + 1);
            let count = limited.read_until(b'\n', &mut raw).map_err(|error| JsonError {
                line,
                message: "The file could not be read.".to_owned(),
                io: Some(error),
            })?;
            if count == 0 {
                return Ok(None);
            }
            if count > LINE_BYTES_MAX {
                return Err(wrong("A line is longer than 256 MiB.".to_owned()));
            }
            let object = String::from_utf8(raw).map_err(|_| wrong("The text is not UTF-8.".to_owned()))?;
            let object = object.trim_start_matches('\u{FEFF}').trim();
            if object.is_empty() {
                continue;
            }
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(object) {
                return Err(wrong(format!("The line is not JSON: {error}.")));
            }
            if !object.starts_with('{') {
                return Err(wrong("The line is not an object; only JSON lines can be read.".to_owned()));
            }
            return Ok(Some(object.to_owned()));
        }
    }
}

/// The members of an object whose syntax has been checked: name and raw value.
pub fn members(object: &str) -> Vec<(Cow<'_, str>, &str)> {
    let mut members = vec![];
    let mut at = skip_blanks(object, 1);
    while at < object.len() && object.as_bytes()[at] != b'}' {
        let end = skip_value(object, at);
        let name = unquote(&object[at..end]);
        let start = skip_blanks(object, skip_blanks(object, end) + 1);
        let end = skip_value(object, start);
        members.push((name, &object[start..end]));
        at = skip_blanks(object, end);
        if object.as_bytes().get(at) == Some(&b',') {
            at = skip_blanks(object, at + 1);
        }
    }
    members
}

/// The raw elements of an array whose syntax has been checked.
pub fn elements(array: &str) -> Vec<&str> {
    let mut elements = vec![];
    let mut at = skip_blanks(array, 1);
    while at < array.len() && array.as_bytes()[at] != b']' {
        let end = skip_value(array, at);
        elements.push(&array[at..end]);
        at = skip_blanks(array, end);
        if array.as_bytes().get(at) == Some(&b',') {
            at = skip_blanks(array, at + 1);
        }
    }
    elements
}

/// A raw value as a leaf's text: a string without its quotes, anything else as it stands.
pub fn unquote(raw: &str) -> Cow<'_, str> {
    if !raw.starts_with('"') {
        return Cow::Borrowed(raw);
    }
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    match serde_json::from_str::<String>(raw) {
        Ok(text) => Cow::Owned(text),
        // The syntax was checked; a lone surrogate escape is the one thing left, kept as written.
        Err(_) => Cow::Borrowed(inner),
    }
}

fn skip_blanks(text: &str, mut at: usize) -> usize {
    while text.as_bytes().get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// The end of the value that begins at `at`.
fn skip_value(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = at;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                if depth == 0 {
                    return at.min(bytes.len());
                }
            }
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth > 1 => {
                depth -= 1;
                at += 1;
            }
            b'}' | b']' if depth == 1 => return at + 1,
            b'}' | b']' => return at,
            b',' | b':' if depth == 0 => return at,
            byte if depth == 0 && byte.is_ascii_whitespace() => return at,
            _ => at += 1,
        }
    }
    at.min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_cut_out_as_text() {
        let object = r#"{ "a" : 1.10 , "b\"c":"x\\\"y}", "d":{"e":[1,{"f":"]"}]}, "g":[ ] ,"h":null}"#;
        let cut: Vec<(String, &str)> = members(object).into_iter().map(|(n, v)| (n.into_owned(), v)).collect();
        let expected =
            [("a", "1.10"), ("b\"c", r#""x\\\"y}""#), ("d", r#"{"e":[1,{"f":"]"}]}"#), ("g", "[ ]"), ("h", "null")];
        assert_eq!(cut, expected.map(|(n, v)| (n.to_owned(), v)));
        assert_eq!(unquote(r#""x\\\"y}""#), "x\\\"y}");
        assert_eq!(elements(r#"[1, "a,b" ,[2,3],{"c":4}]"#), ["1", "\"a,b\"", "[2,3]", "{\"c\":4}"]);
        assert!(elements("[ ]").is_empty() && members("{}").is_empty());
    }

    #[test]
    fn malformed_lines_are_named() {
        let mut reader = JsonReader::new(&b"{\"a\":1}\n\n{\"a\":\n"[..]);
        assert!(reader.next_object().unwrap().is_some());
        assert_eq!(reader.next_object().unwrap_err().line, 3);
        assert_eq!(JsonReader::new(&b"[1]\n"[..]).next_object().unwrap_err().line, 1);
    }
}
