//! The runtime of jobs.

/// What runs.
pub struct JobManager {}
