//! The PostgreSQL connector: servers 14 to 18 as batch source and as sink.
//!
//! The source reads every table of a run at one exported snapshot, in parallel ctid ranges, by
//! `COPY (select ..) TO STDOUT` (`snapshot`, `split`, `decode`, `filter`); `discover` and `check` look at the
//! server's catalogs and change nothing. The sink is in `sink`, `encode`, `ddl` and `load`. `client`
//! and `types` serve both. Change capture is not here yet and answers 0A000.
//!
//! This crate knows no other connector, no SQL of ours and no wire front.

mod check;
mod client;
mod connector;
mod ddl;
mod decode;
mod discover;
mod encode;
mod filter;
mod load;
mod numeric;
mod pool;
mod read;
mod sink;
mod snapshot;
mod split;
mod tls;
mod types;

pub use connector::PostgresConnector;
