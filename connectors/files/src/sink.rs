//! The writing side as far as it only looks: what a write would do, what became of one, and what
//! is to be removed. Writing itself is in [`mod@crate::write`].

use crate::client::{self, blocking};
use crate::commit;
use crate::settings::{Compression, Format, Settings};
use crate::table::{self, Place};
use crate::types::{self, type_word};
use crate::write::{FilesWriter, Live};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use catalog::definition::{ColumnDef, SinkShape};
use catalog::option::parse_bool;
use catalog::{CreationMethod, Error, ErrorKind, Result, TableName, WriteMode};
use connector_api::{
    CommitKey, DeliveryGuarantee, Misfit, Sink, SinkColumn, TYPE_KEY, TableCreation, TablePlan, TableTarget,
    TableWrite, TableWriter, WriteInput,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The writing side of a files source.
#[derive(Debug, Clone)]
pub struct FilesSink {
    settings: Arc<Settings>,
}

impl FilesSink {
    /// Touches no file yet.
    pub fn new(settings: Arc<Settings>) -> Self {
        Self { settings }
    }
}

/// A target compared with what is there.
pub(crate) struct Resolved {
    /// The columns of the files that will be written.
    pub schema: SchemaRef,
    /// For each of them, the arriving column; None is NULL.
    pub arrival: Vec<Option<usize>>,
    /// Why it cannot be written.
    pub misfits: Vec<Misfit>,
    /// Whether rows are added to files that stay.
    pub is_append: bool,
    /// Where the table is.
    pub place: Place,
    /// Whether the structure is that of files that are there.
    pub is_existing: bool,
}

fn misfit(column: Option<&str>, message: impl Into<String>) -> Misfit {
    Misfit { kind: ErrorKind::TypeMismatch, column: column.map(str::to_owned), message: message.into() }
}

/// The columns that the table is to have, before arrivals are looked at: those of its files, those
/// that CREATE SINK TABLE declares, or None for those that arrive.
enum Wanted {
    Arriving,
    Columns(Vec<Field>),
}

/// Compares a target with what is there. Reads only; may be called again.
pub(crate) fn resolve(settings: &Settings, target: &TableTarget) -> Result<Resolved> {
    match target.mode {
        WriteMode::Append | WriteMode::Overwrite => {}
        WriteMode::Upsert => {
            return Err(Error::unsupported("WRITE UPSERT into files")
                .with_hint("Use WRITE OVERWRITE to replace the table, or WRITE APPEND to add to it."));
        }
        WriteMode::OverwritePartitions => return Err(Error::unsupported("WRITE OVERWRITE PARTITIONS into files")),
    }
    if let TableCreation::Shape { shape: SinkShape::Ddl { .. }, .. } = target.creation {
        return Err(Error::unsupported("USING DDL for source type \"files\""));
    }
    let place = table::locate(&settings.root, &target.name)?;
    let mut misfits = vec![];
    check_place(&place, target, &mut misfits);
    let word = |option: &str| target.options.get(option).map(String::as_str);
    let has_files = !place.files.is_empty() && !place.is_single_file;
    if has_files && word("on_exists").is_some_and(|word| word.eq_ignore_ascii_case("error")) {
        return Err(Error::new(ErrorKind::DuplicateTable, format!("table {} already exists", target.name))
            .with_detail(format!("{} holds {} files.", place.folder.display(), place.files.len()))
            .with_hint("Use on_exists = 'use' to write into it, or on_exists = 'recreate' to replace it.")
            .with_table(&target.name.schema, &target.name.table));
    }
    let is_append = target.mode == WriteMode::Append && has_files;
    let format = place.format(&target.name)?;
    // Files of another format are replaced with their structure; so they are on request.
    let is_recreated = target.mode == WriteMode::Overwrite
        && (word("on_exists").is_some_and(|word| word.eq_ignore_ascii_case("recreate"))
            || format.is_some_and(|format| format != settings.format));
    if is_append && format != Some(settings.format) {
        let format = format.map_or("other", |format| format.word());
        let message = format!("The table has {format} files and the source writes {}.", settings.format.word());
        misfits.push(misfit(None, message));
    }
    let may_create =
        !matches!(target.creation, TableCreation::MustExist | TableCreation::Shape { shape: SinkShape::Existing, .. })
            && word("auto_create").and_then(parse_bool) != Some(false);
    if !has_files && !may_create {
        misfits.push(misfit(None, format!("No data file is in {}, and it is not to be made.", place.folder.display())));
    }
    let is_existing = has_files && !is_recreated;
    let wanted = if is_existing && format == Some(settings.format) {
        existing(settings, target, &place)?
    } else if let TableCreation::Shape { shape: SinkShape::Explicit { columns, .. }, .. } = &target.creation {
        Wanted::Columns(declared(columns, &mut misfits))
    } else {
        Wanted::Arriving
    };
    let (schema, arrival) = arrange(target, wanted, &mut misfits);
    Ok(Resolved { schema: Arc::new(schema), arrival, misfits, is_append, place, is_existing })
}

fn check_place(place: &Place, target: &TableTarget, misfits: &mut Vec<Misfit>) {
    let folder = place.folder.display();
    if place.is_single_file {
        let message = format!("The table is the single file {}, which is only read.", place.files[0].path.display());
        misfits.push(misfit(None, message));
    }
    if place.is_link {
        misfits.push(misfit(None, format!("{folder} is a symbolic link, which is not replaced.")));
    } else if place.exists && !place.folder.is_dir() {
        misfits.push(misfit(None, format!("{folder} is not a folder.")));
    }
    if target.mode == WriteMode::Overwrite && !place.files.is_empty() && !place.strangers.is_empty() {
        let shown: Vec<&str> = place.strangers.iter().take(3).map(String::as_str).collect();
        let message = format!("{folder} also holds {}, which WRITE OVERWRITE would remove.", shown.join(", "));
        misfits.push(misfit(None, message));
    }
}

fn existing(settings: &Settings, target: &TableTarget, place: &Place) -> Result<Wanted> {
    Ok(match table::describe_place(settings, &target.name, place)? {
        Some(table) => Wanted::Columns(table.columns.into_iter().map(|column| column.field).collect()),
        None => Wanted::Arriving,
    })
}

fn declared(columns: &[ColumnDef], misfits: &mut Vec<Misfit>) -> Vec<Field> {
    let mut fields = vec![];
    for column in columns {
        let Some(data_type) = types::declared_type(&column.data_type) else {
            let message = format!("Files have no type {} for column \"{}\".", column.data_type, column.name);
            misfits.push(misfit(Some(&column.name), message));
            continue;
        };
        let metadata = HashMap::from([(TYPE_KEY.to_owned(), column.data_type.to_ascii_lowercase())]);
        fields.push(Field::new(&column.name, data_type, column.is_nullable).with_metadata(metadata));
    }
    fields
}

/// Finds the arriving column for each stored one, and every reason why they do not fit.
fn arrange(target: &TableTarget, wanted: Wanted, misfits: &mut Vec<Misfit>) -> (Schema, Vec<Option<usize>>) {
    let mut names = HashSet::new();
    for column in &target.columns {
        if !names.insert(column.name.as_str()) {
            misfits.push(misfit(Some(&column.name), format!("Column \"{}\" arrives more than once.", column.name)));
        }
    }
    let fields = match wanted {
        Wanted::Columns(fields) => fields,
        Wanted::Arriving => {
            let mut fields = vec![];
            for column in &target.columns {
                // The source's own word for the type, when nothing says it yet.
                let mut field = column.field.clone();
                if let Some(word) = &column.source_type
                    && !field.metadata().contains_key(TYPE_KEY)
                {
                    field = field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), word.clone())]));
                }
                match types::stored_field(&column.name, &field, column.is_nullable || column.field.is_nullable()) {
                    Some(field) => fields.push(field),
                    None => {
                        let data_type = column.field.data_type();
                        let message = format!("Column \"{}\" is {data_type}, which files cannot hold.", column.name);
                        misfits.push(misfit(Some(&column.name), message));
                    }
                }
            }
            let arrival = fields.iter().map(|field| target.columns.iter().position(|c| &c.name == field.name()));
            let arrival = arrival.collect();
            return (Schema::new(fields), arrival);
        }
    };
    let mut stored = vec![];
    let mut arrival = vec![];
    for field in &fields {
        let at = target.columns.iter().position(|column| &column.name == field.name());
        match at.map(|at| &target.columns[at]) {
            Some(column) => {
                let fits = column.field.data_type() == field.data_type()
                    || types::fits(column.field.data_type(), field.data_type());
                if !fits {
                    let message = format!(
                        "Column \"{}\" is {} in the files and {} arrives.",
                        field.name(),
                        type_word(field),
                        column.source_type.clone().unwrap_or_else(|| type_word(&column.field)),
                    );
                    misfits.push(misfit(Some(field.name()), message));
                } else if !field.is_nullable() && column.is_nullable {
                    let message = format!("Column \"{}\" is not null in the files and NULL may arrive.", field.name());
                    misfits.push(misfit(Some(field.name()), message));
                }
            }
            None if field.is_nullable() => {}
            None => {
                let message = format!("Column \"{}\" is not null in the files and does not arrive.", field.name());
                misfits.push(misfit(Some(field.name()), message));
            }
        }
        if let Some(field) = types::stored_field(field.name(), field, field.is_nullable()) {
            stored.push(field);
            arrival.push(at);
        }
    }
    for column in &target.columns {
        if !fields.iter().any(|field| field.name() == &column.name) {
            let message = format!("Column \"{}\" arrives and is not in the files.", column.name);
            misfits.push(misfit(Some(&column.name), message));
        }
    }
    (Schema::new(stored), arrival)
}

#[async_trait]
impl Sink for FilesSink {
    fn guarantee(&self) -> DeliveryGuarantee {
        DeliveryGuarantee::ExactlyOnce
    }

    async fn plan_table(&self, target: &TableTarget) -> Result<TablePlan> {
        let settings = self.settings.clone();
        let target = target.clone();
        blocking(move || {
            let resolved = resolve(&settings, &target)?;
            let columns = target.columns.iter().enumerate().map(|(at, column)| {
                let stored = resolved.arrival.iter().position(|arrival| *arrival == Some(at));
                SinkColumn {
                    name: column.name.clone(),
                    data_type: match stored {
                        Some(stored) => type_word(resolved.schema.field(stored)),
                        None => type_word(&column.field),
                    },
                    is_key: false,
                    is_lossy: false,
                }
            });
            let count = target.columns.len();
            Ok(TablePlan {
                creation_method: if resolved.is_existing { CreationMethod::Existing } else { CreationMethod::Auto },
                ddl: vec![in_words(&settings, &target, &resolved)],
                ddl_after: vec![],
                columns: columns.collect(),
                // Files keep no key; the rows of an OVERWRITE or APPEND need none.
                key: vec![],
                misfits: resolved.misfits,
                raw_formats: vec![],
                wire_encodings: vec![None; count],
                needs_text: vec![false; count],
            })
        })
        .await
    }

    async fn open(&self, write: TableWrite) -> Result<Box<dyn TableWriter>> {
        let schema = match &write.input {
            WriteInput::Arrow(schema) => schema.clone(),
            WriteInput::Raw(format) => {
                return Err(Error::unsupported(format!("writing raw format \"{}\" into files", format.name)));
            }
        };
        let settings = self.settings.clone();
        let writer = blocking(move || FilesWriter::open(settings, write, schema)).await?;
        writer.hold();
        Ok(Box::new(writer))
    }

    async fn recovered_position(&self, key: &CommitKey, table: &TableName) -> Result<Option<String>> {
        let (settings, key, table) = (self.settings.clone(), key.clone(), table.clone());
        blocking(move || {
            // A commit whose caller has gone may still be under way.
            Live::settle(&settings.root, &key)?;
            commit::recovered(&settings.root, &key, &table)
        })
        .await
    }

    async fn clean_up(&self, key: &CommitKey, table: &TableName) -> Result<Vec<String>> {
        let (settings, key, table) = (self.settings.clone(), key.clone(), table.clone());
        blocking(move || {
            // Holding the key keeps a new write of it out meanwhile, waits for one that was dropped, and
            // finds a living one.
            let _live = Live::claim(&settings.root, &key)?;
            commit::clean_up(&settings.root, &key, &table)
        })
        .await
    }

    async fn forget(&self, gateway_id: &str, job_id: Option<i64>, drop_tables: &[TableName]) -> Result<()> {
        let settings = self.settings.clone();
        let (gateway_id, drop_tables) = (gateway_id.to_owned(), drop_tables.to_vec());
        blocking(move || {
            for name in &drop_tables {
                crate::write::drop_table(&settings, name)?;
            }
            commit::forget(&settings.root, &gateway_id, job_id)
        })
        .await
    }
}

/// What will happen, as EXPLAIN (DDL) shows it.
fn in_words(settings: &Settings, target: &TableTarget, resolved: &Resolved) -> String {
    let folder = resolved.place.folder.display();
    let compression = match settings.compression {
        Compression::None => String::new(),
        compression => format!(", {}", compression.word()),
    };
    let header = if settings.format == Format::Csv && !settings.csv_header { ", no header" } else { "" };
    let what = if resolved.is_append {
        format!("one file is added to {}", resolved.place.files.len())
    } else if resolved.place.files.is_empty() {
        "new".to_owned()
    } else {
        let columns = if resolved.is_existing { "same columns" } else { "columns as they arrive" };
        format!("{} files are replaced at once, {columns}", resolved.place.files.len())
    };
    let schema = match target.name.schema.as_str() {
        client::ROOT_SCHEMA => "",
        _ if resolved.place.folder.parent().is_some_and(|parent| parent.exists()) => "",
        _ => ", schema folder is made",
    };
    format!("-- folder {folder}: {}{compression}{header}; {what}{schema}", settings.format.word())
}
