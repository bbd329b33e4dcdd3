//! Placeholder until the queries of clients are recorded here.
