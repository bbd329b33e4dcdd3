//! The fixed part of the client catalog: which relations there are, with which columns, and the
//! built-in types. Clients have these numbers and orders compiled in, so they are PostgreSQL 16's.

use std::collections::HashMap;
use std::sync::OnceLock;

/// One column of a catalog relation.
#[derive(Debug)]
pub(crate) struct LayoutColumn {
    pub name: &'static str,
    pub type_oid: u32,
    pub is_not_null: bool,
}

/// One relation of `pg_catalog` or `information_schema`.
#[derive(Debug)]
pub(crate) struct Layout {
    pub schema: &'static str,
    pub name: &'static str,
    pub oid: u32,
    pub is_view: bool,
    pub columns: Vec<LayoutColumn>,
}

/// One built-in type: a row of `pg_type`.
#[derive(Debug)]
pub(crate) struct TypeRow {
    pub oid: u32,
    pub name: &'static str,
    pub length: i16,
    pub by_value: bool,
    pub kind: &'static str,
    pub category: &'static str,
    pub is_preferred: bool,
    pub delimiter: &'static str,
    pub element: u32,
    pub array: u32,
    /// Input, output, receive, send, modifier in and out, by name; `-` is none.
    pub functions: [&'static str; 6],
    pub align: &'static str,
    pub storage: &'static str,
    pub collation: u32,
    /// The subtype of a range type; 0 otherwise.
    pub range_of: u32,
}

/// The types, by oid.
pub(crate) fn types() -> &'static [TypeRow] {
    static TYPES: OnceLock<Vec<TypeRow>> = OnceLock::new();
    TYPES.get_or_init(|| include_str!("data/types.txt").lines().filter_map(type_row).collect())
}

fn type_row(line: &'static str) -> Option<TypeRow> {
    if line.starts_with('#') {
        return None;
    }
    let f: Vec<&'static str> = line.split('|').collect();
    Some(TypeRow {
        oid: f.first()?.parse().ok()?,
        name: f.get(1)?,
        length: f.get(2)?.parse().ok()?,
        by_value: *f.get(3)? == "t",
        kind: f.get(4)?,
        category: f.get(5)?,
        is_preferred: *f.get(6)? == "t",
        delimiter: f.get(7)?,
        element: f.get(9)?.parse().ok()?,
        array: f.get(10)?.parse().ok()?,
        functions: [f.get(11)?, f.get(12)?, f.get(13)?, f.get(14)?, f.get(15)?, f.get(16)?],
        align: f.get(17)?,
        storage: f.get(18)?,
        collation: f.get(19)?.parse().ok()?,
        range_of: f.get(20).and_then(|n| n.parse().ok()).unwrap_or(0),
    })
}

/// A built-in type by its internal name.
pub(crate) fn type_named(name: &str) -> Option<&'static TypeRow> {
    static BY_NAME: OnceLock<HashMap<&'static str, usize>> = OnceLock::new();
    let index = BY_NAME.get_or_init(|| types().iter().enumerate().map(|(i, t)| (t.name, i)).collect());
    index.get(name).map(|&i| &types()[i])
}

/// A built-in type by its oid.
pub(crate) fn type_of(oid: u32) -> Option<&'static TypeRow> {
    types().binary_search_by_key(&oid, |t| t.oid).ok().map(|i| &types()[i])
}

/// The relations, ordered as in the file: `pg_catalog` first.
pub(crate) fn layouts() -> &'static [Layout] {
    static LAYOUTS: OnceLock<Vec<Layout>> = OnceLock::new();
    LAYOUTS.get_or_init(|| include_str!("data/relations.txt").lines().filter_map(layout_row).collect())
}

fn layout_row(line: &'static str) -> Option<Layout> {
    if line.starts_with('#') {
        return None;
    }
    let mut words = line.split(' ');
    let is_view = words.next()? == "v";
    let (schema, name) = words.next()?.split_once('.')?;
    let oid = words.next()?.parse().ok()?;
    let columns = words.filter_map(|word| {
        let (name, type_name) = word.split_once(':')?;
        let (type_name, is_not_null) = match type_name.strip_suffix('!') {
            Some(type_name) => (type_name, true),
            None => (type_name, false),
        };
        // The domains of information_schema reach clients as their base types.
        let type_name = match type_name {
            "sql_identifier" => "name",
            "character_data" | "yes_or_no" => "varchar",
            "cardinal_number" => "int4",
            "time_stamp" => "timestamptz",
            "anyarray" => "_text",
            other => other,
        };
        Some(LayoutColumn { name, type_oid: type_named(type_name).map_or(25, |t| t.oid), is_not_null })
    });
    Some(Layout { schema, name, oid, is_view, columns: columns.collect() })
}

/// A relation by schema and name.
pub(crate) fn layout(schema: &str, name: &str) -> Option<&'static Layout> {
    type ByName = HashMap<&'static str, HashMap<&'static str, usize>>;
    static BY_NAME: OnceLock<ByName> = OnceLock::new();
    let index = BY_NAME.get_or_init(|| {
        let mut index = ByName::new();
        for (i, layout) in layouts().iter().enumerate() {
            index.entry(layout.schema).or_default().insert(layout.name, i);
        }
        index
    });
    index.get(schema)?.get(name).map(|&i| &layouts()[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_is_read() {
        let lines = |text: &str| text.lines().filter(|l| !l.starts_with('#')).count();
        assert_eq!(layouts().len(), lines(include_str!("data/relations.txt")));
        assert_eq!(types().len(), lines(include_str!("data/types.txt")));
        assert!(types().is_sorted_by_key(|t| t.oid));
        let class = layout("pg_catalog", "pg_class").unwrap();
        assert_eq!((class.oid, class.columns.len(), class.columns[1].name), (1259, 33, "relname"));
        assert_eq!(type_named("_text").unwrap().element, 25);
        assert_eq!(type_of(3904).unwrap().range_of, 23);
    }
}
