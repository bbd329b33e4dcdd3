//! Real PostgreSQL servers: where they are, and databases on them that end with the test.

use crate::client::Client;
use crate::psql;
use crate::skip;
use std::sync::atomic::{AtomicU32, Ordering};

/// A server from the environment.
#[derive(Debug, Clone)]
pub struct Server {
    /// `pg15` or `pg18`.
    pub name: &'static str,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

/// PostgreSQL 15, or None after a visible skip.
pub fn pg15() -> Option<Server> {
    from_environment("pg15", "TIDEGATE_TEST_PG15")
}

/// PostgreSQL 18, or None after a visible skip.
pub fn pg18() -> Option<Server> {
    from_environment("pg18", "TIDEGATE_TEST_PG18")
}

fn from_environment(name: &'static str, variable: &str) -> Option<Server> {
    let Ok(conninfo) = std::env::var(variable) else {
        skip::skipped(&format!("{variable} is not set: run sql-tests/services with -- cargo test .."));
        return None;
    };
    let port = conninfo.split_whitespace().find_map(|part| part.strip_prefix("port=")?.parse().ok());
    Some(Server { name, port: port.unwrap_or_else(|| panic!("no port in {variable}")) })
}

impl Server {
    /// A new database, dropped with the value.
    pub fn database(&self, purpose: &str) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}_{count}_{purpose}", std::process::id());
        let name: String = name.chars().take(60).collect();
        self.psql("postgres", &format!("CREATE DATABASE \"{name}\""));
        Database { server: self.clone(), name }
    }
    /// Runs SQL through psql as the superuser and gives back its unaligned output.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let output = psql::run(self.port, "postgres", database, &["-qAt"], sql);
        assert!(output.is_ok, "psql failed on {}: {}\n{sql}", self.name, output.stderr);
        output.stdout
    }
}

/// A database that ends with the test.
pub struct Database {
    /// Its server.
    pub server: Server,
    /// Its name.
    pub name: String,
}

impl Database {
    /// Runs SQL through psql and gives back its unaligned output.
    pub fn psql(&self, sql: &str) -> String {
        self.server.psql(&self.name, sql)
    }
    /// A connection.
    pub async fn connect(&self) -> Client {
        let conninfo = format!("host=127.0.0.1 port={} user=postgres dbname={}", self.server.port, self.name);
        match Client::connect(&conninfo).await {
            Ok(client) => client,
            Err(failure) => panic!("could not connect to {}: {failure}", self.server.name),
        }
    }
    /// The options of CREATE SOURCE that name it.
    pub fn source_options(&self) -> String {
        format!("host = '127.0.0.1', port = '{}', database = '{}', user = 'postgres'", self.server.port, self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let sql = format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name);
        let output = psql::run(self.server.port, "postgres", "postgres", &["-qAt"], &sql);
        if !output.is_ok && !std::thread::panicking() {
            panic!("a test database could not be dropped: {}", output.stderr);
        }
    }
}
