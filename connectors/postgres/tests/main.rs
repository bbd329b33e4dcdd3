//! The connector against a real PostgreSQL server, named by TIDEGATE_TEST_PG
//! (`host=127.0.0.1 port=5432 user=postgres`). Without it these tests say that they were skipped;
//! with TIDEGATE_REQUIRE_SERVERS=1 they fail instead. One binary, because each one links the whole of
//! DataFusion.

mod conformance;
mod sink;
#[path = "sink/support.rs"]
mod support;
#[path = "sink/values.rs"]
mod values;

#[path = "source/checking.rs"]
mod checking;
#[path = "source/discovery.rs"]
mod discovery;
#[path = "source/harness.rs"]
mod harness;
#[path = "source/reading.rs"]
mod reading;
#[path = "source/types.rs"]
mod types;
