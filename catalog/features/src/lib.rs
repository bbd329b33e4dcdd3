//! No code: this crate asks for the features of third-party crates that the whole workspace needs.
//!
//! Cargo picks features per selection of packages, so `cargo check -p planner` and `cargo build`
//! would each build DataFusion anew. Every crate of the workspace depends on this one, so that every
//! selection gives the same features and two cores build each dependency once.
