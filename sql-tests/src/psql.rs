//! psql itself.

use std::process::Command;

/// What psql answered.
#[derive(Debug)]
pub struct Output {
    /// Exit status 0.
    pub is_ok: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs statements and backslash commands, one `-c` each line would be another session: they go
/// through a script on the standard input, and the first error ends it.
pub fn run(port: u16, user: &str, database: &str, arguments: &[&str], script: &str) -> Output {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), script).expect("the script can be written");
    let output = Command::new("psql")
        .args(["-X", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", &port.to_string(), "-U", user, "-d", database])
        .args(arguments)
        .arg("-f")
        .arg(file.path())
        .env("PGCONNECT_TIMEOUT", "10")
        .env("PGOPTIONS", "")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("psql is there: sql-tests/services get psql");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\n').to_owned();
    Output { is_ok: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}
