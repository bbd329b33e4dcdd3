//! CSV, exactly: a field without quotes and without a character is NULL, `""` is the empty text, a
//! line end inside quotes belongs to the field.

use super::text;
use arrow::record_batch::RecordBatch;
use std::io::{self, BufRead};

/// Most bytes of one record; a quote that is never closed would otherwise swallow the file.
const RECORD_BYTES_MAX: usize = 256 << 20;

/// The header line.
pub fn header(names: impl Iterator<Item = impl AsRef<str>>, delimiter: u8) -> Vec<u8> {
    let mut out = vec![];
    for (index, name) in names.enumerate() {
        if index > 0 {
            out.push(delimiter);
        }
        push_field(&mut out, name.as_ref(), delimiter);
    }
    out.push(b'\n');
    out
}

/// Rows as lines.
pub fn encode(batch: &RecordBatch, delimiter: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(batch.num_rows() * batch.num_columns() * 8);
    let mut scratch = String::new();
    for row in 0..batch.num_rows() {
        for (index, column) in batch.columns().iter().enumerate() {
            if index > 0 {
                out.push(delimiter);
            }
            if !text::is_null(column, row) {
                scratch.clear();
                text::push_text(column.as_ref(), row, &mut scratch);
                push_field(&mut out, &scratch, delimiter);
            }
        }
        out.push(b'\n');
    }
    out
}

fn push_field(out: &mut Vec<u8>, field: &str, delimiter: u8) {
    let bytes = field.as_bytes();
    let needs_quotes = bytes.is_empty()
        || bytes.iter().any(|&b| b == delimiter || matches!(b, b'"' | b'\n' | b'\r'))
        // Some readers trim blanks that are not quoted, and a leading # may be taken for a comment.
        || matches!(bytes[0], b' ' | b'\t' | b'#')
        || matches!(bytes[bytes.len() - 1], b' ' | b'\t');
    if !needs_quotes {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    for &byte in bytes {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// One record: its fields, None for NULL.
pub type Record = Vec<Option<String>>;

/// What is wrong with a file, and the line where the record begins.
#[derive(Debug)]
pub struct CsvError {
    /// From 1.
    pub line: u64,
    /// A full sentence.
    pub message: String,
    /// The file system's error, when it was one.
    pub io: Option<io::Error>,
}

/// Reads records one after the other.
pub struct CsvReader<R> {
    input: R,
    delimiter: u8,
    /// Line of the next record, from 1.
    line: u64,
}

impl<R: BufRead> CsvReader<R> {
    /// From the beginning of a file; a byte order mark is skipped.
    pub fn new(mut input: R, delimiter: u8) -> io::Result<Self> {
        if input.fill_buf()?.starts_with(b"\xEF\xBB\xBF") {
            input.consume(3);
        }
        Ok(Self { input, delimiter, line: 1 })
    }

    /// Line at which the next record begins.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The next record; None at the end.
    pub fn next_record(&mut self) -> Result<Option<Record>, CsvError> {
        let first_line = self.line;
        let wrong = |message: &str| CsvError { line: first_line, message: message.to_owned(), io: None };
        let mut raw = vec![];
        // Lines are joined while a quote is open; a record ends where the number of quotes is even.
        let mut is_quoted = false;
        loop {
            let start = raw.len();
            let count = self.input.read_until(b'\n', &mut raw).map_err(|error| CsvError {
                line: first_line,
                message: "The file could not be read.".to_owned(),
                io: Some(error),
            })?;
            if count == 0 {
                if raw.is_empty() {
                    return Ok(None);
                }
                if is_quoted {
                    return Err(wrong("A quote is opened and never closed."));
                }
                break;
            }
            self.line += 1;
            is_quoted ^= raw[start..].iter().filter(|&&byte| byte == b'"').count() % 2 == 1;
            if raw.len() > RECORD_BYTES_MAX {
                return Err(wrong("A record is longer than 256 MiB."));
            }
            if !is_quoted {
                break;
            }
        }
        if raw.ends_with(b"\n") {
            raw.pop();
            if raw.ends_with(b"\r") {
                raw.pop();
            }
        }
        self.split(&raw).map(Some).map_err(wrong)
    }

    fn split(&self, raw: &[u8]) -> Result<Record, &'static str> {
        let mut record = vec![];
        let mut at = 0;
        loop {
            let mut field = vec![];
            let is_quoted = raw.get(at) == Some(&b'"');
            if is_quoted {
                at += 1;
                loop {
                    match raw.get(at) {
                        Some(b'"') if raw.get(at + 1) == Some(&b'"') => {
                            field.push(b'"');
                            at += 2;
                        }
                        Some(b'"') => {
                            at += 1;
                            break;
                        }
                        Some(&byte) => {
                            field.push(byte);
                            at += 1;
                        }
                        None => return Err("A quote is opened and never closed."),
                    }
                }
                if raw.get(at).is_some_and(|&byte| byte != self.delimiter) {
                    return Err("Text follows a closing quote.");
                }
            } else {
                let end = raw[at..].iter().position(|&byte| byte == self.delimiter).map_or(raw.len(), |n| at + n);
                field.extend_from_slice(&raw[at..end]);
                at = end;
            }
            let text = String::from_utf8(field).map_err(|_| "The text is not UTF-8.")?;
            record.push(if text.is_empty() && !is_quoted { None } else { Some(text) });
            if at >= raw.len() {
                return Ok(record);
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str) -> Result<Vec<Record>, CsvError> {
        let mut reader = CsvReader::new(text.as_bytes(), b',').unwrap();
        let mut records = vec![];
        while let Some(record) = reader.next_record()? {
            records.push(record);
        }
        Ok(records)
    }

    #[test]
    fn null_and_empty_text_are_two_things() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            records("a,,\"\"\r\n\"x\ny\",\"q\"\"q\",z\n,,").unwrap(),
            vec![vec![some("a"), None, some("")], vec![some("x\ny"), some("q\"q"), some("z")], vec![None, None, None],]
        );
        assert_eq!(records("\n").unwrap(), vec![vec![None]]);
        assert!(records("").unwrap().is_empty());
    }

    #[test]
    fn malformed_records_name_their_line() {
        assert_eq!(records("a\n\"b\nc").unwrap_err().line, 2);
        assert_eq!(records("\"b\"x,1\n").unwrap_err().message, "Text follows a closing quote.");
        let mut reader = CsvReader::new(&b"\xFF\n"[..], b',').unwrap();
        assert_eq!(reader.next_record().unwrap_err().message, "The text is not UTF-8.");
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let line = header(["a", "", "b,c", "d\"e", " f", "g\nh"].iter(), b',');
        assert_eq!(String::from_utf8(line).unwrap(), "a,\"\",\"b,c\",\"d\"\"e\",\" f\",\"g\nh\"\n");
    }
}
