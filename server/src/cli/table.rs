//! Results as aligned tables, in the form that psql prints.
//!
//! Columns are as wide as the first rows need; a result of any length then streams with those
//! widths in flat memory. A column whose first values all read as numbers is aligned to the right:
//! the simple protocol's rows are text, and their types do not reach this place.

/// How many rows decide the widths.
const ROWS_MEASURED: usize = 1000;
/// How many bytes of rows are kept to decide the widths.
const BYTES_MEASURED: usize = 4 << 20;

/// One result, fed row by row. What the calls return is to be printed in order.
pub(super) struct Table {
    names: Vec<String>,
    waiting: Vec<Vec<Option<String>>>,
    waiting_bytes: usize,
    layout: Option<Vec<Column>>,
    row_count: u64,
}

#[derive(Clone, Copy)]
struct Column {
    width: usize,
    is_right: bool,
}

impl Table {
    /// A result with these columns and no rows yet.
    pub(super) fn new(names: Vec<String>) -> Self {
        Self { names, waiting: vec![], waiting_bytes: 0, layout: None, row_count: 0 }
    }

    /// Adds a row; NULL is shown empty. Returns what can be printed already.
    pub(super) fn row(&mut self, row: Vec<Option<String>>) -> String {
        self.row_count += 1;
        if let Some(layout) = &self.layout {
            return row_lines(layout, &row);
        }
        self.waiting_bytes += row.iter().flatten().map(String::len).sum::<usize>();
        self.waiting.push(row);
        if self.waiting.len() >= ROWS_MEASURED || self.waiting_bytes >= BYTES_MEASURED {
            return self.begin();
        }
        String::new()
    }

    /// Ends the result: the rows that wait, and their number.
    pub(super) fn finish(mut self) -> String {
        let mut text = if self.layout.is_none() { self.begin() } else { String::new() };
        text.push_str(&match self.row_count {
            1 => "(1 row)\n\n".to_owned(),
            n => format!("({n} rows)\n\n"),
        });
        text
    }

    /// Decides the widths and prints the head and the rows that waited.
    fn begin(&mut self) -> String {
        let layout: Vec<Column> = (0..self.names.len())
            .map(|i| {
                let values = || self.waiting.iter().filter_map(|row| row.get(i)?.as_deref());
                let widest = |text: &str| lines(text).iter().map(|line| display_width(line)).max().unwrap_or(0);
                let width = values().map(widest).max().unwrap_or(0).max(widest(&self.names[i]));
                Column { width, is_right: values().next().is_some() && values().all(is_number) }
            })
            .collect();
        let mut text = head(&layout, &self.names);
        for row in std::mem::take(&mut self.waiting) {
            text.push_str(&row_lines(&layout, &row));
        }
        self.layout = Some(layout);
        text
    }
}

fn head(layout: &[Column], names: &[String]) -> String {
    let cells: Vec<String> = layout
        .iter()
        .zip(names)
        .map(|(column, name)| {
            let name = lines(name).join(" ");
            let space = column.width.saturating_sub(display_width(&name));
            format!(" {}{name}{} ", " ".repeat(space / 2), " ".repeat(space - space / 2))
        })
        .collect();
    let rules: Vec<String> = layout.iter().map(|column| "-".repeat(column.width + 2)).collect();
    format!("{}\n{}\n", cells.join("|").trim_end(), rules.join("+"))
}

/// One row; a value of several lines goes on below, with a `+` where it does.
fn row_lines(layout: &[Column], row: &[Option<String>]) -> String {
    let cells: Vec<Vec<String>> =
        (0..layout.len()).map(|i| lines(row.get(i).and_then(|v| v.as_deref()).unwrap_or_default())).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(1);
    let mut text = String::new();
    for n in 0..height {
        let mut line = String::new();
        for (i, (column, cell)) in layout.iter().zip(&cells).enumerate() {
            let value = cell.get(n).map_or("", String::as_str);
            let space = " ".repeat(column.width.saturating_sub(display_width(value)));
            let (before, after) = if column.is_right { (space.as_str(), "") } else { ("", space.as_str()) };
            let goes_on = if n + 1 < cell.len() { "+" } else { " " };
            let separator = if i == 0 { "" } else { "|" };
            line.push_str(&format!("{separator} {before}{value}{after}{goes_on}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn is_number(text: &str) -> bool {
    let first = text.bytes().next();
    (first.is_some_and(|b| b.is_ascii_digit() || b == b'-') && text.parse::<f64>().is_ok())
        || matches!(text, "NaN" | "Infinity" | "-Infinity")
}

/// The lines of a value with control characters made visible: a value must not steer the terminal.
fn lines(text: &str) -> Vec<String> {
    text.split('\n').map(visible).collect()
}

/// One line with tabs expanded and other control characters escaped, as psql does.
pub(super) fn visible(line: &str) -> String {
    const TAB: usize = 8;
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '\t' => out.push_str(&" ".repeat(TAB - display_width(&out) % TAB)),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x20 || c == '\x7f' => out.push_str(&format!("\\x{:02X}", c as u32)),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// Columns that a text takes on a terminal.
pub(super) fn display_width(text: &str) -> usize {
    text.chars().map(character_width).sum()
}

/// Combining marks take no column, East Asian wide characters and emoji take two.
fn character_width(c: char) -> usize {
    match c as u32 {
        0x0300..=0x036F | 0x200B..=0x200F | 0x20D0..=0x20FF | 0xFE00..=0xFE0F | 0xFE20..=0xFE2F => 0,
        0x1100..=0x115F
        | 0x2E80..=0x303E
        | 0x3041..=0x33FF
        | 0x3400..=0x4DBF
        | 0x4E00..=0x9FFF
        | 0xA000..=0xA4CF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x1F300..=0x1F64F
        | 0x1F680..=0x1F6FF
        | 0x1F900..=0x1F9FF
        | 0x20000..=0x3FFFD => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str], rows: &[&[Option<&str>]]) -> String {
        let mut table = Table::new(names.iter().map(|n| (*n).to_owned()).collect());
        let mut text: String =
            rows.iter().map(|row| table.row(row.iter().map(|v| v.map(str::to_owned)).collect())).collect();
        text.push_str(&table.finish());
        text
    }

    #[test]
    fn numbers_go_right_and_null_is_empty() {
        let text =
            table(&["id", "name", "note"], &[&[Some("1"), Some("a"), None], &[Some("-20.5"), Some("bcd"), None]]);
        assert_eq!(text, "  id   | name | note\n-------+------+------\n     1 | a    |\n -20.5 | bcd  |\n(2 rows)\n\n");
    }

    #[test]
    fn an_empty_result_has_its_head() {
        assert_eq!(table(&["a"], &[]), " a\n---\n(0 rows)\n\n");
        assert_eq!(table(&["a"], &[&[Some("1")]]), " a\n---\n 1\n(1 row)\n\n");
        assert_eq!(table(&[], &[&[]]), "\n\n\n(1 row)\n\n");
    }

    #[test]
    fn values_of_several_lines_go_on_below() {
        let text = table(&["a", "b"], &[&[Some("x\nyy"), Some("1")]]);
        assert_eq!(text, " a  | b\n----+---\n x +| 1\n yy |\n(1 row)\n\n");
    }

    #[test]
    fn control_characters_are_shown_and_wide_ones_are_measured() {
        assert_eq!(visible("a\x1b[31m\tb\r"), "a\\x1B[31m       b\\r");
        assert_eq!(display_width("日本e\u{301}"), 5);
        let text = table(&["a", "b"], &[&[Some("日本"), Some("x")], &[Some("abc"), Some("y")]]);
        assert_eq!(text, "  a   | b\n------+---\n 日本 | x\n abc  | y\n(2 rows)\n\n");
    }

    #[test]
    fn a_long_result_streams_after_the_first_rows() {
        let mut table = Table::new(vec!["n".into()]);
        let printed: Vec<String> = (0..ROWS_MEASURED + 2).map(|i| table.row(vec![Some(i.to_string())])).collect();
        assert!(printed[..ROWS_MEASURED - 1].iter().all(String::is_empty));
        assert_eq!(printed[ROWS_MEASURED - 1].lines().count(), ROWS_MEASURED + 2);
        assert_eq!(printed[ROWS_MEASURED], " 1000\n");
        assert_eq!(table.finish(), "(1002 rows)\n\n");
    }
}
