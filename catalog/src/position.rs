//! Positions: a point in a source's own log or snapshot, comparable only within one lineage.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which history a position belongs to. Positions of different lineages are not comparable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct Lineage {
    /// What identifies the server's data (PostgreSQL: system identifier; MySQL: server uuid).
    pub system_identifier: String,
    /// PostgreSQL timeline; 0 where there is none.
    pub timeline: u32,
    /// The incarnation of the replication slot; empty where there is none.
    pub slot_epoch: String,
}

/// A point in a source, in the source's own notation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Position {
    /// PostgreSQL: byte position in the write-ahead log.
    Lsn {
        /// The log sequence number.
        lsn: u64,
        /// Its history.
        lineage: Lineage,
    },
    /// MySQL and MariaDB: an executed GTID set in the server's notation.
    Gtid {
        /// The set as text.
        set: String,
        /// Its history.
        lineage: Lineage,
    },
    /// MySQL without GTID: file name and byte offset.
    FileOffset {
        /// Log file name.
        file: String,
        /// Byte offset in it.
        offset: u64,
        /// Its history.
        lineage: Lineage,
    },
    /// Kafka: next offset per partition.
    Offsets {
        /// (partition, next offset), ordered by partition.
        offsets: Vec<(i32, i64)>,
        /// Its history.
        lineage: Lineage,
    },
    /// Lakes, files and generated data: the snapshot's own id.
    Snapshot {
        /// The id as text.
        id: String,
        /// Its history.
        lineage: Lineage,
    },
}

impl Position {
    /// The history that this position belongs to.
    pub fn lineage(&self) -> &Lineage {
        match self {
            Self::Lsn { lineage, .. }
            | Self::Gtid { lineage, .. }
            | Self::FileOffset { lineage, .. }
            | Self::Offsets { lineage, .. }
            | Self::Snapshot { lineage, .. } => lineage,
        }
    }
}

/// The source's own notation (`0/16B3748`, a GTID set, `0:42,1:17`), as system tables show it.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lsn { lsn, .. } => write!(f, "{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF),
            Self::Gtid { set, .. } => f.write_str(set),
            Self::FileOffset { file, offset, .. } => write!(f, "{file}:{offset}"),
            Self::Offsets { offsets, .. } => {
                for (i, (partition, offset)) in offsets.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    write!(f, "{partition}:{offset}")?;
                }
                Ok(())
            }
            Self::Snapshot { id, .. } => f.write_str(id),
        }
    }
}
