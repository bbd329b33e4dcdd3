//! Placeholder until the query path is tested here.
