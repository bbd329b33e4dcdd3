//! What a connector is: the traits, the change model, and the one DataFusion table over them.
//!
//! Floor 1. This crate knows the catalog's words and Arrow; it knows no particular system, no SQL
//! text of ours and no wire protocol. A connector crate implements [`Connector`] and, as its
//! capabilities say, [`Source`] (with [`Snapshot`]) and [`Sink`] (with [`TableWriter`]).

pub mod changes;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod connector;
pub mod schema;
pub mod sink;
pub mod source;
pub mod table;

pub use changes::{ChangeBatch, ChangeEvent, ChangeOp, ChangeStream};
pub use connector::{
    Capabilities, Check, CheckRequest, ConfigValue, Connector, ConnectorInfo, DiscoverRequest, Purpose, SourceConfig,
};
pub use schema::{ColumnSchema, TYPE_KEY, TableKind, TableSchema, WIRE_KEY};
pub use sink::{
    Accepted, CommitKey, CommitSummary, DeliveryGuarantee, Misfit, Sink, SinkColumn, TableCreation, TablePlan,
    TableTarget, TableWrite, TableWriter, TargetColumn, WriteInput,
};
pub use source::{
    BatchStream, ColumnFormat, FilterPushdown, RawChunk, RawFormat, RawStream, ReadProgress, Snapshot, SnapshotRequest,
    Source, Split, SplitGoal, TableRead,
};
pub use table::{RemoteTable, SnapshotScanExec, SnapshotSlot, to_datafusion};
