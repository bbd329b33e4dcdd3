//! Which files a table consists of, and the structure that they have together.

use crate::client::{self, ROOT_SCHEMA, io_error};
use crate::codec::csv::CsvReader;
use crate::codec::json::{self, JsonReader};
use crate::codec::{Cursor, parquet, text};
use crate::commit::{self, Token};
use crate::settings::{Format, Settings};
use crate::types::{self, type_word};
use ::parquet::arrow::arrow_reader::ArrowReaderMetadata;
use arrow::datatypes::{DataType, Field, Schema};
use catalog::{Error, ErrorKind, Result, TableName};
use connector_api::{ColumnSchema, TYPE_KEY, TableKind, TableSchema};
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Footers that a listing reads for each table, to estimate its rows.
const LISTED_FOOTERS_MAX: usize = 8;

/// Times that a folder is listed again because it was changed meanwhile.
const LISTINGS_MAX: usize = 50;

/// One file of a table.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Its path.
    pub path: PathBuf,
    /// Its name alone.
    pub name: String,
    /// By its extension.
    pub format: Format,
    /// Size in bytes.
    pub bytes: u64,
    /// Device, inode and time of change: what tells it from another file of that name.
    pub identity: (u64, u64, i64, i64),
}

/// A table's place in the file system.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its folder, whether it exists or not.
    pub folder: PathBuf,
    /// Whether something has that name.
    pub exists: bool,
    /// Whether that is a symbolic link, which is read and never replaced.
    pub is_link: bool,
    /// Its data files, by name.
    pub files: Vec<DataFile>,
    /// Whether the table is one file beside the folder's place.
    pub is_single_file: bool,
    /// What else lies in the folder: sub-folders, and files that are not data.
    pub strangers: Vec<String>,
}

impl Place {
    /// The format of its files; None when there are none. An error when they differ.
    pub fn format(&self, name: &TableName) -> Result<Option<Format>> {
        let Some(first) = self.files.first() else { return Ok(None) };
        if let Some(other) = self.files.iter().find(|file| file.format != first.format) {
            return Err(Error::new(ErrorKind::Prerequisite, format!("table {name} has files of more than one format"))
                .with_detail(format!("\"{}\" and \"{}\" lie in {}.", first.name, other.name, self.folder.display()))
                .with_hint("Move the files of one format into a folder of their own.")
                .with_table(&name.schema, &name.table));
        }
        Ok(Some(first.format))
    }
}

fn data_file(path: PathBuf, name: &str, metadata: &fs::Metadata) -> Option<DataFile> {
    let format = Format::of_file(name)?;
    let identity = (metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
    Some(DataFile { path, name: name.to_owned(), format, bytes: metadata.len(), identity })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Looks where a table is. The answer is of one moment: when the folder is replaced or added to
/// meanwhile, it is listed again, so that a table never seems to be gone or half there.
pub fn locate(root: &Path, name: &TableName) -> Result<Place> {
    let folder = client::table_folder(root, name)?;
    for _ in 0..LISTINGS_MAX {
        let before = identity_of(&folder);
        let (place, is_whole) = locate_once(root, name)?;
        if is_whole && before == identity_of(&folder) {
            return Ok(place);
        }
    }
    Err(changed(name))
}

/// What tells a folder from one that takes its place, and from itself with other files: inodes are
/// used again, times of change are not.
fn identity_of(folder: &Path) -> Option<[i64; 6]> {
    let metadata = fs::symlink_metadata(folder).ok()?;
    let (device, inode) = (metadata.dev() as i64, metadata.ino() as i64);
    Some([device, inode, metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()])
}

/// One look; false when something went away under it.
fn locate_once(root: &Path, name: &TableName) -> Result<(Place, bool)> {
    let folder = client::table_folder(root, name)?;
    let mut place =
        Place { folder, exists: false, is_link: false, files: vec![], is_single_file: false, strangers: vec![] };
    match fs::symlink_metadata(&place.folder) {
        Ok(metadata) => {
            place.exists = true;
            place.is_link = metadata.file_type().is_symlink();
        }
        Err(error) if is_absent(&error) => {}
        Err(error) => return Err(io_error(error, "look at", &place.folder)),
    }
    let mut is_whole = true;
    if place.exists {
        is_whole = read_folder(&mut place)?;
    }
    if place.files.is_empty() {
        for extension in ["parquet", "csv", "jsonl", "ndjson", "json"] {
            let file_name = format!("{}.{extension}", name.table);
            let path = client::schema_folder(root, &name.schema).join(&file_name);
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => {
                    if !place.files.is_empty() {
                        return Err(Error::new(ErrorKind::Prerequisite, format!("table {name} is more than one file"))
                            .with_detail(format!("\"{}\" and \"{file_name}\" are both there.", place.files[0].name))
                            .with_hint("Rename one of them."));
                    }
                    place.files.extend(data_file(path, &file_name, &metadata));
                    place.is_single_file = true;
                }
                Ok(_) => {}
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(io_error(error, "look at", &path)),
            }
        }
    }
    Ok((place, is_whole))
}

/// Lists a folder; Ok(false): something went away meanwhile.
fn read_folder(place: &mut Place) -> Result<bool> {
    let mut is_whole = true;
    let entries = match fs::read_dir(&place.folder) {
        Ok(entries) => entries,
        // Not a folder: then it holds no data files. One that is gone by now is told by its
        // identity.
        Err(error) if is_absent(&error) => return Ok(true),
        Err(error) => return Err(io_error(error, "read folder", &place.folder)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| io_error(error, "read folder", &place.folder))?;
        let Ok(name) = entry.file_name().into_string() else {
            place.strangers.push(entry.file_name().to_string_lossy().into_owned());
            continue;
        };
        let metadata = match fs::metadata(entry.path()) {
            Ok(metadata) => metadata,
            // Removed since the listing began, or a link that leads nowhere.
            Err(error) if is_absent(&error) => {
                match fs::symlink_metadata(entry.path()) {
                    Ok(_) => place.strangers.push(name),
                    Err(_) => is_whole = false,
                }
                continue;
            }
            Err(error) => return Err(io_error(error, "look at", &entry.path())),
        };
        match data_file(entry.path(), &name, &metadata) {
            Some(file) if metadata.is_file() => place.files.push(file),
            _ => place.strangers.push(name),
        }
    }
    place.files.sort_by(|a, b| a.name.cmp(&b.name));
    place.strangers.sort();
    Ok(is_whole)
}

/// Opens a file and makes sure that it is the one that was listed. Ok(None): it is another by now.
pub fn open(file: &DataFile) -> Result<Option<Arc<File>>> {
    let handle = match File::open(&file.path) {
        Ok(handle) => handle,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(io_error(error, "open", &file.path)),
    };
    let metadata = handle.metadata().map_err(|error| io_error(error, "look at", &file.path))?;
    let identity = (metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
    Ok((identity == file.identity && metadata.len() == file.bytes).then(|| Arc::new(handle)))
}

/// Lists the tables of a schema, or of all.
pub fn list(settings: &Settings, schemas: &[String]) -> Result<Vec<TableSchema>> {
    let root = &settings.root;
    let mut names = vec![];
    // The first job that writes makes the folder; until then there are no tables.
    if !root.exists() {
        return Ok(vec![]);
    }
    let wants = |schema: &str| schemas.is_empty() || schemas.iter().any(|wanted| wanted == schema);
    for (name, is_folder) in entries(root)? {
        // A folder named files would be the schema that is the root already.
        if is_folder && name != ROOT_SCHEMA && wants(&name) && client::check_name("schema", &name).is_ok() {
            tables_of(root, &name, &mut names)?;
        }
    }
    if wants(ROOT_SCHEMA) {
        tables_of(root, ROOT_SCHEMA, &mut names)?;
    }
    names.sort();
    names.dedup();
    let mut tables = vec![];
    for name in names {
        let place = locate(root, &name)?;
        if place.files.is_empty() {
            continue;
        }
        tables.push(TableSchema {
            rows_estimate: estimate_rows(&place),
            bytes_estimate: Some(place.files.iter().map(|file| file.bytes).sum()),
            name,
            kind: TableKind::Files,
            columns: vec![],
            primary_key: vec![],
            unique_keys: vec![],
            comment: None,
        });
    }
    Ok(tables)
}

fn entries(folder: &Path) -> Result<Vec<(String, bool)>> {
    let failed = |error| io_error(error, "read folder", folder);
    let mut names = vec![];
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A name that is not UTF-8 cannot be written in SQL.
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with(['.', '_'])
        {
            let is_folder = fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir());
            names.push((name, is_folder));
        }
    }
    Ok(names)
}

fn tables_of(root: &Path, schema: &str, names: &mut Vec<TableName>) -> Result<()> {
    for (name, is_folder) in entries(&client::schema_folder(root, schema))? {
        let table = match Format::of_file(&name) {
            _ if is_folder => name.as_str(),
            Some(_) => name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem),
            None => continue,
        };
        if client::check_name("table", table).is_ok() {
            names.push(TableName::new(schema, table));
        }
    }
    Ok(())
}

/// Rows by the footers of some files, and in proportion for the others; None for text files.
fn estimate_rows(place: &Place) -> Option<u64> {
    let (mut rows, mut bytes) = (0_u64, 0_u64);
    for file in place.files.iter().take(LISTED_FOOTERS_MAX) {
        if file.format != Format::Parquet {
            return None;
        }
        let input = parquet::Input::new(open(file).ok()??, file.bytes);
        let metadata = parquet::metadata(&input, &file.path).ok()?;
        rows += u64::try_from(metadata.metadata().file_metadata().num_rows()).unwrap_or(0);
        bytes += file.bytes;
    }
    let all: u64 = place.files.iter().map(|file| file.bytes).sum();
    if bytes == 0 || all == bytes {
        return Some(rows);
    }
    Some((rows as f64 * (all as f64 / bytes as f64)) as u64)
}

/// What one file says of its columns.
pub struct FileColumns {
    /// As reading gives them ([`types::read_field`]).
    pub fields: Vec<Field>,
    /// Rows, exact or estimated; None when unknown.
    pub rows: Option<u64>,
}

/// The structure of a table. None: there is no such table. `columns` of all files are united by
/// name; a column that a file lacks is NULL there.
pub fn describe(settings: &Settings, name: &TableName) -> Result<Option<TableSchema>> {
    let place = locate(&settings.root, name)?;
    describe_place(settings, name, &place)
}

/// As [`describe`], for a place that has been looked up.
pub fn describe_place(settings: &Settings, name: &TableName, place: &Place) -> Result<Option<TableSchema>> {
    if place.files.is_empty() {
        return Ok(None);
    }
    place.format(name)?;
    let mut fields: Vec<Field> = vec![];
    // For each field, in how many files it is, and which file had it first.
    let mut seen: Vec<(usize, &DataFile)> = vec![];
    let mut by_name: HashMap<String, usize> = HashMap::new();
    let mut rows = Some(0_u64);
    for file in &place.files {
        let Some(handle) = open(file)? else {
            return Err(changed(name));
        };
        let columns = columns_of(settings, file, &handle)?;
        rows = rows.zip(columns.rows).map(|(sum, rows)| sum + rows);
        for field in columns.fields {
            match by_name.get(field.name()) {
                None => {
                    by_name.insert(field.name().clone(), fields.len());
                    fields.push(field);
                    seen.push((1, file));
                }
                Some(&index) => {
                    let (count, first) = &mut seen[index];
                    *count += 1;
                    unite(&mut fields[index], &field, first, file, name)?;
                }
            }
        }
    }
    let columns = fields.into_iter().zip(seen).map(|(field, (count, _))| {
        let is_nullable = field.is_nullable() || count < place.files.len();
        let field = field.with_nullable(is_nullable);
        ColumnSchema {
            name: field.name().clone(),
            data_type: type_word(&field),
            field,
            is_nullable,
            is_generated: false,
            default_expr: None,
            comment: None,
        }
    });
    Ok(Some(TableSchema {
        name: name.clone(),
        kind: TableKind::Files,
        columns: columns.collect(),
        primary_key: vec![],
        unique_keys: vec![],
        rows_estimate: rows,
        bytes_estimate: Some(place.files.iter().map(|file| file.bytes).sum()),
        comment: None,
    }))
}

/// The error for a table whose files were replaced between two looks; trying again helps.
pub fn changed(name: &TableName) -> Error {
    Error::new(ErrorKind::ConnectionLost, format!("the files of table {name} were replaced while they were read"))
        .with_hint("Run the statement again.")
        .with_table(&name.schema, &name.table)
}

fn unite(field: &mut Field, other: &Field, first: &DataFile, file: &DataFile, name: &TableName) -> Result<()> {
    let (a, b) = (field.data_type(), other.data_type());
    // An inferred text column holds whatever the other file made of its values.
    let is_inferred = first.format != Format::Parquet && Token::of_file(&first.name).is_none();
    let united = if a == b || types::fits(b, a) {
        a.clone()
    } else if types::fits(a, b) {
        b.clone()
    } else if is_inferred {
        DataType::Utf8
    } else {
        return Err(Error::new(
            ErrorKind::TypeMismatch,
            format!("column \"{}\" of table {name} differs among its files", field.name()),
        )
        .with_detail(format!(
            "It is {} in \"{}\" and {} in \"{}\".",
            type_word(field),
            first.name,
            type_word(other),
            file.name
        ))
        .with_hint("Move the files that differ into a folder of their own.")
        .with_table(&name.schema, &name.table)
        .with_column(field.name()));
    };
    let mut metadata = field.metadata().clone();
    if &united == b && &united != a {
        metadata = other.metadata().clone();
    } else if &united != a {
        metadata = HashMap::from([(TYPE_KEY.to_owned(), "text".to_owned())]);
    }
    *field = Field::new(field.name(), united, field.is_nullable() || other.is_nullable()).with_metadata(metadata);
    Ok(())
}

/// The columns of one file.
pub fn columns_of(settings: &Settings, file: &DataFile, handle: &Arc<File>) -> Result<FileColumns> {
    if file.format == Format::Parquet {
        let input = parquet::Input::new(handle.clone(), file.bytes);
        let metadata = parquet::metadata(&input, &file.path)?;
        let rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).ok();
        return Ok(FileColumns { fields: parquet_fields(&metadata, &file.path)?, rows });
    }
    // What tidegate wrote is described exactly, unless somebody changed the settings of CSV since.
    if let Some(schema) = recorded_schema(settings, file) {
        let fields = schema.fields().iter().filter_map(|field| types::read_field(field)).collect();
        return Ok(FileColumns { fields, rows: None });
    }
    let sample = match file.format {
        Format::Csv => sample_csv(settings, file, handle)?,
        _ => sample_json(settings, file, handle)?,
    };
    let mut fields = vec![];
    for (name, values) in sample.columns {
        let data_type = if settings.infer_types { values.data_type() } else { DataType::Utf8 };
        let word = match values.has_nested {
            true if data_type == DataType::Utf8 => "json".to_owned(),
            _ => type_word(&Field::new("", data_type.clone(), true)),
        };
        let metadata = HashMap::from([(TYPE_KEY.to_owned(), word)]);
        fields.push(Field::new(name, data_type, true).with_metadata(metadata));
    }
    let rows = match sample.bytes {
        0 => Some(sample.rows),
        bytes => Some((sample.rows as f64 * file.bytes as f64 / bytes as f64) as u64),
    };
    Ok(FileColumns { fields, rows })
}

/// The exact schema that was recorded when tidegate wrote the file.
pub fn recorded_schema(settings: &Settings, file: &DataFile) -> Option<Arc<Schema>> {
    commit::load_schema(&Token::of_file(&file.name)?.schema(&settings.root))
}

/// The columns of a Parquet file as reading gives them.
pub fn parquet_fields(metadata: &ArrowReaderMetadata, path: &Path) -> Result<Vec<Field>> {
    let fields = metadata.schema().fields().iter().enumerate().map(|(index, field)| {
        let mut field = field.as_ref().clone();
        if !field.metadata().contains_key(TYPE_KEY)
            && let Some(word) = parquet::logical_word(metadata, index)
        {
            field = field.with_metadata(HashMap::from([(TYPE_KEY.to_owned(), word.to_owned())]));
        }
        types::read_field(&field).ok_or_else(|| {
            Error::unsupported(format!("column \"{}\" of type {}", field.name(), field.data_type()))
                .with_detail(format!("It is in file \"{}\".", path.display()))
                .with_column(field.name())
        })
    });
    fields.collect()
}

/// Values of one column in a sample.
#[derive(Default)]
struct Values {
    texts: Vec<String>,
    has_nested: bool,
    has_quoted: bool,
}

impl Values {
    fn data_type(&self) -> DataType {
        if self.has_nested {
            return DataType::Utf8;
        }
        match text::infer(self.texts.iter().map(String::as_str)) {
            // A number in quotes was meant as text.
            DataType::Int64 | DataType::Float64 | DataType::Boolean if self.has_quoted => DataType::Utf8,
            data_type => data_type,
        }
    }
}

struct Sample {
    columns: Vec<(String, Values)>,
    rows: u64,
    /// Bytes that the sampled rows take; 0 when the sample is the whole file.
    bytes: u64,
}

/// Names of columns without a header.
pub fn positional_name(index: usize) -> String {
    format!("column{}", index + 1)
}

fn text_error(file: &DataFile, line: u64, message: &str, io: Option<io::Error>) -> Error {
    if let Some(error) = io {
        return io_error(error, "read", &file.path);
    }
    Error::new(
        ErrorKind::InvalidText,
        format!("file \"{}\" cannot be read as {} at line {line}", file.path.display(), file.format.word()),
    )
    .with_detail(message)
}

/// The error for a record of a CSV file.
pub fn csv_error(file: &DataFile, error: crate::codec::csv::CsvError) -> Error {
    text_error(file, error.line, &error.message, error.io)
}

/// The error for a line of a JSON file.
pub fn json_error(file: &DataFile, error: json::JsonError) -> Error {
    text_error(file, error.line, &error.message, error.io)
}

fn sample_csv(settings: &Settings, file: &DataFile, handle: &Arc<File>) -> Result<Sample> {
    let input = BufReader::with_capacity(1 << 16, Cursor::new(handle.clone(), 0));
    let mut reader = CsvReader::new(input, settings.csv_delimiter).map_err(|e| io_error(e, "read", &file.path))?;
    let mut columns: Vec<(String, Values)> = vec![];
    if settings.csv_header
        && let Some(header) = reader.next_record().map_err(|error| csv_error(file, error))?
    {
        columns = csv_header(header).into_iter().map(|name| (name, Values::default())).collect();
    }
    let (mut rows, mut bytes) = (0, 0);
    while rows < settings.infer_rows as u64 {
        let Some(record) = reader.next_record().map_err(|error| csv_error(file, error))? else {
            return Ok(Sample { columns, rows, bytes: 0 });
        };
        rows += 1;
        if !settings.csv_header && columns.is_empty() {
            columns = (0..record.len()).map(|index| (positional_name(index), Values::default())).collect();
        }
        for (field, (_, values)) in record.into_iter().zip(&mut columns) {
            bytes += 1;
            if let Some(field) = field {
                bytes += field.len() as u64;
                values.texts.push(field);
            }
        }
    }
    Ok(Sample { columns, rows, bytes: bytes.max(1) })
}

/// Column names of a header: an empty one gets a name by its position.
pub fn csv_header(header: Vec<Option<String>>) -> Vec<String> {
    let name = |(index, name): (usize, Option<String>)| {
        name.filter(|name| !name.is_empty()).unwrap_or_else(|| positional_name(index))
    };
    header.into_iter().enumerate().map(name).collect()
}

fn sample_json(settings: &Settings, file: &DataFile, handle: &Arc<File>) -> Result<Sample> {
    let mut reader = JsonReader::new(BufReader::with_capacity(1 << 16, Cursor::new(handle.clone(), 0)));
    let mut columns: Vec<(String, Values)> = vec![];
    let mut by_name: HashMap<String, usize> = HashMap::new();
    let (mut rows, mut bytes) = (0, 0);
    while rows < settings.infer_rows as u64 {
        let Some(object) = reader.next_object().map_err(|error| json_error(file, error))? else {
            return Ok(Sample { columns, rows, bytes: 0 });
        };
        rows += 1;
        bytes += object.len() as u64 + 1;
        for (name, raw) in json::members(&object) {
            let index = *by_name.entry(name.into_owned()).or_insert_with_key(|name| {
                columns.push((name.clone(), Values::default()));
                columns.len() - 1
            });
            let values = &mut columns[index].1;
            values.has_nested |= raw.starts_with(['{', '[']);
            values.has_quoted |= raw.starts_with('"');
            if raw != "null" {
                values.texts.push(json::unquote(raw).into_owned());
            }
        }
    }
    Ok(Sample { columns, rows, bytes: bytes.max(1) })
}
