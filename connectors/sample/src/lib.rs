//! The `sample` connector: the eight TPC-H tables, generated while they are read.
//!
//! It needs nothing installed and reaches nothing, so it is what a first run reads. It is read
//! only. [`connector`] is its face, [`table`] knows the eight tables, [`snapshot`] reads them.

pub mod connector;
pub mod snapshot;
pub mod table;

pub use connector::SampleConnector;
