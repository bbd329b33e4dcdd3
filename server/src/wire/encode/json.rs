//! Values with parts (structs, maps, lists of lists) as JSON text.

use super::{Cells, Style};
use crate::pg_types::pg_type_of;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field};
use bytes::{BufMut, BytesMut};
use catalog::Result;

/// Writes one value. Numbers and booleans are JSON's own, everything else is a string in its
/// PostgreSQL text form; numbers that JSON lacks (NaN, infinities) are strings too.
pub(super) fn write(array: &ArrayRef, row: usize, style: &Style, out: &mut BytesMut) -> Result<()> {
    let array = super::plain(array)?;
    if array.is_null(row) || array.data_type() == &DataType::Null {
        out.put_slice(b"null");
        return Ok(());
    }
    match array.data_type() {
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            out.put_u8(b'{');
            for (i, (field, part)) in fields.iter().zip(parts.columns()).enumerate() {
                if i > 0 {
                    out.put_u8(b',');
                }
                put_string(field.name(), out);
                out.put_u8(b':');
                write(part, row, style, out)?;
            }
            out.put_u8(b'}');
        }
        DataType::Map(_, _) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            out.put_u8(b'{');
            for i in 0..entries.len() {
                if i > 0 {
                    out.put_u8(b',');
                }
                put_string(&text(keys, i, style)?, out);
                out.put_u8(b':');
                write(values, i, style, out)?;
            }
            out.put_u8(b'}');
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.put_u8(b'[');
            for i in 0..items.len() {
                if i > 0 {
                    out.put_u8(b',');
                }
                write(&items, i, style, out)?;
            }
            out.put_u8(b']');
        }
        data_type => {
            let shown = text(&array, row, style)?;
            let is_bare = match data_type {
                DataType::Boolean => {
                    out.put_slice(if shown == "t" { b"true" } else { b"false" });
                    return Ok(());
                }
                DataType::Float32 | DataType::Float64 => shown.parse::<f64>().is_ok_and(f64::is_finite),
                other => other.is_numeric(),
            };
            if is_bare { out.put_slice(shown.as_bytes()) } else { put_string(&shown, out) }
        }
    }
    Ok(())
}

/// A value without parts as text; empty for NULL.
fn text(array: &ArrayRef, row: usize, style: &Style) -> Result<String> {
    let (type_oid, _) = pg_type_of(&Field::new("", array.data_type().clone(), true));
    let mut out = BytesMut::new();
    let cells = Cells::new(array, type_oid, false)?;
    if !cells.is_null(row) {
        cells.value(row, style, &mut out)?;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn put_string(text: &str, out: &mut BytesMut) {
    out.put_u8(b'"');
    for character in text.chars() {
        match character {
            '"' => out.put_slice(b"\\\""),
            '\\' => out.put_slice(b"\\\\"),
            '\n' => out.put_slice(b"\\n"),
            '\r' => out.put_slice(b"\\r"),
            '\t' => out.put_slice(b"\\t"),
            c if (c as u32) < 0x20 => out.put_slice(format!("\\u{:04x}", c as u32).as_bytes()),
            c => out.put_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.put_u8(b'"');
}
