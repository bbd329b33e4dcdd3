//! The `files` connector: Parquet, CSV and JSON lines in a local folder, read and written.
//!
//! A table `source.schema.table` is the folder `<path>/<schema>/<table>/`; the schema `files` is
//! `<path>` itself. A table may also be one file, `<path>/<table>.parquet`, which is only read.
//!
//! | file | holds |
//! |---|---|
//! | [`connector`] | options, checks, discovery |
//! | [`settings`] | the options, resolved |
//! | [`client`] | paths, durable renames, errors of the file system |
//! | [`table`] | which files a table consists of, and its structure |
//! | [`types`] | Arrow types as they are stored and named |
//! | [`filter`] | conditions that are pushed down, as readable text |
//! | [`snapshot`] | the reading side |
//! | [`sink`] | what a write would do; recovery and clean-up |
//! | [`mod@write`] | one table's write: staging, encoding, publication |
//! | [`commit`] | the memory of commits, and the scheme that makes it right whatever is killed when |
//! | [`codec`] | the three file formats |

pub mod client;
pub mod codec;
pub mod commit;
pub mod connector;
pub mod filter;
pub mod settings;
pub mod sink;
pub mod snapshot;
pub mod table;
pub mod types;
pub mod write;

pub use connector::FilesConnector;
