//! The connector against a real PostgreSQL server, named by TIDEGATE_TEST_PG
//! (`host=127.0.0.1 port=5432 user=postgres`). Without it these tests say that they were skipped;
//! with TIDEGATE_REQUIRE_SERVERS=1 they fail instead.

mod checking;
mod discovery;
mod harness;
mod reading;
mod types;
