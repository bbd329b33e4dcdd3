//! The sample keeps the contract of a source. One binary for all tests of the connector.

mod conformance;
