//! States: closed enums whose words are the words that users read in system tables.

use serde::{Deserialize, Serialize};

/// Defines an enum whose variants have one lower-case word each, used in SQL, the store and logs.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }
        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The word that users read.
            pub fn as_str(&self) -> &'static str { match self { $(Self::$variant => $word),+ } }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }
        impl std::str::FromStr for $name {
            type Err = crate::Error;
            fn from_str(word: &str) -> crate::Result<Self> {
                match word { $($word => Ok(Self::$variant),)+ _ => Err(crate::Error::new(
                    crate::ErrorKind::InvalidValue, format!("\"{word}\" is not one of: {}", [$($word),+].join(", ")))) }
            }
        }
    };
}

words!(
    /// What kind of work a job does.
    JobKind { Sync = "sync", Verify = "verify", Cleanup = "cleanup", Ddl = "ddl" }
);
words!(
    /// What somebody asked for. Set by statements only; persisted.
    DesiredState {
        /// Never started.
        Created = "created",
        /// START, RETRY, RUN, or CREATE with autostart.
        Running = "running",
        /// PAUSE.
        Paused = "paused",
        /// STOP, CANCEL, or the end of a one-time job.
        Stopped = "stopped",
    }
);
words!(
    /// What a job is. Set by the runtime only; persisted, so that a restart resumes what was running.
    JobState {
        Created = "created", Starting = "starting", Running = "running", Pausing = "pausing", Paused = "paused",
        Stopping = "stopping", Stopped = "stopped", Failed = "failed", Finished = "finished",
    }
);
words!(
    /// Which part of its work a job is in.
    JobPhase {
        Validate = "validate", Ddl = "ddl", Snapshot = "snapshot", CatchUp = "catch_up", Stream = "stream",
        Merge = "merge", Verify = "verify", Delete = "delete", Idle = "idle",
    }
);
words!(
    /// Measured, never asked for.
    Health { Ok = "ok", Degraded = "degraded", Stalled = "stalled", Failing = "failing" }
);
words!(
    /// How far a mapping's structure has been worked out (words of `job_tables.mapping_status`).
    MappingStatus {
        /// Waiting or in work.
        Mapping = "mapping",
        /// Source and sink structures are known and fit.
        Completed = "completed",
        /// Changed and not refreshed.
        Incomplete = "incomplete",
        /// Source and sink types may not fit (`job_columns.is_lossy`).
        Alerting = "alerting",
        /// The existing sink table does not fit.
        Failed = "failed",
        /// A source or internal error; `mapping_detail` says which.
        Abnormal = "abnormal",
    }
);
words!(
    /// How the sink table comes to be.
    CreationMethod { Existing = "existing", Auto = "auto" }
);
words!(
    /// Where one mapping is in its life.
    MappingState {
        Pending = "pending", Ddl = "ddl", Snapshot = "snapshot", SnapshotDone = "snapshot_done",
        CatchUp = "catch_up", Stream = "stream", Paused = "paused", Failed = "failed",
        Excluded = "excluded", Removed = "removed",
    }
);
words!(
    /// What a run is.
    RunState {
        Queued = "queued", Running = "running", Succeeded = "succeeded", Failed = "failed",
        Canceled = "canceled", Skipped = "skipped",
    }
);
words!(
    /// What made a run start.
    RunTrigger {
        Manual = "manual", Schedule = "schedule", Retry = "retry", Restart = "restart",
        /// The gateway came back and found the job running.
        Recovery = "recovery",
    }
);
words!(
    /// What a sync job reads: sql.md MODE.
    Mode {
        Full = "full", Realtime = "realtime", FullThenRealtime = "full then realtime",
        Incremental = "incremental", Merge = "merge",
    }
);
words!(
    /// How rows are written: sql.md WRITE.
    WriteMode {
        Append = "append", Upsert = "upsert", Overwrite = "overwrite",
        OverwritePartitions = "overwrite partitions",
    }
);
words!(
    /// Which side of a job an error happened on.
    ErrorSide { Source = "source", Transform = "transform", Sink = "sink", Engine = "engine" }
);
words!(
    /// The outcome of one check of a source.
    CheckStatus { Pass = "pass", Warn = "warn", Fail = "fail", Skip = "skip" }
);

impl RunState {
    /// Whether nothing more will happen in the run.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Canceled | Self::Skipped => true,
        }
    }
}
