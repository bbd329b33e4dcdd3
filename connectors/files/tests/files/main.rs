//! The files connector on real folders. One binary, because each one links the whole of DataFusion.

mod conformance;
mod kill;
mod reading;
mod roundtrip;
mod support;
mod writing;
