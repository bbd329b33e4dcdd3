//! The conformance suite on the system in memory: it passes there, it passes through doubles without
//! faults, it finds what is broken on purpose; and the doubles do what they say.

// The name that other crates know it by.
extern crate tidegate_connector_api as connector_api;

mod broken;
mod faults;
mod harness;

use connector_api::conformance::doubles::{FaultySink, FaultySource};
use connector_api::conformance::memory::MemorySystem;
use connector_api::conformance::{sink, source};
use harness::MemoryHarness;
use std::sync::Arc;

#[tokio::test]
async fn the_source_in_memory_keeps_the_contract() {
    let system = harness::filled();
    source::run(&MemoryHarness::of_source(&system, system.source())).await;
    assert!(system.acknowledged() > 0);
}

#[tokio::test]
async fn the_sink_in_memory_keeps_the_contract() {
    let system = MemorySystem::new();
    sink::run(&MemoryHarness::of_sink(&system, system.sink())).await;
}

#[tokio::test]
async fn doubles_without_faults_keep_the_contract() {
    let system = harness::filled();
    source::run(&MemoryHarness::of_source(&system, Arc::new(FaultySource::new(system.source())))).await;
    let system = MemorySystem::new();
    sink::run(&MemoryHarness::of_sink(&system, Arc::new(FaultySink::new(system.sink())))).await;
}
