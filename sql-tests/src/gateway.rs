//! The program under test: `tidegate serve` as a process of its own, with a data directory of its own.

use crate::client::{Client, Failure};
use crate::repository;
use regex::Regex;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_SECONDS_MAX: u64 = 60;
const STOP_SECONDS_MAX: u64 = 20;

/// The binary: `TIDEGATE_BIN`, or what cargo builds now, so that no test runs an old one.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("TIDEGATE_BIN") {
            return PathBuf::from(path);
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // The whole workspace chooses the features, as in `cargo test --workspace`: with another
        // choice every dependency would be compiled once more.
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--workspace", "--bin", "tidegate"])
            .current_dir(repository())
            .status()
            .expect("cargo could not be started");
        assert!(built.success(), "the binary tidegate does not build");
        let test_binary = std::env::current_exe().expect("a running program has a path");
        let target = test_binary.ancestors().nth(2).expect("a test binary lies in target/<profile>/deps");
        target.join("tidegate")
    })
}

/// A call of the program that sees no option of whoever runs the tests.
fn command() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDEGATE_") {
            command.env_remove(name);
        }
    }
    command
}

/// What a gateway is started with.
#[derive(Default)]
pub struct Builder {
    arguments: Vec<OsString>,
    variables: Vec<(String, String)>,
    data_dir: Option<PathBuf>,
    listen: Option<String>,
}

impl Builder {
    /// Another address than 127.0.0.1 on a free port.
    pub fn listen(mut self, address: &str) -> Self {
        self.listen = Some(address.to_owned());
        self
    }
    /// More arguments for `tidegate serve`.
    pub fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }
    /// An environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }
    /// A data directory that outlives the gateway.
    pub fn data_dir(mut self, path: &Path) -> Self {
        self.data_dir = Some(path.to_owned());
        self
    }
    /// Starts it; panics with its log when it does not accept connections in time.
    pub fn start(self) -> Gateway {
        match self.try_start() {
            Ok(gateway) => gateway,
            Err(log) => panic!("the gateway did not start:\n{log}"),
        }
    }
    /// Starts it, or gives back what it said when it ended instead.
    pub fn try_start(self) -> Result<Gateway, String> {
        let directory = tempfile::Builder::new().prefix("tidegate-test-").tempdir().expect("a temporary folder");
        let data_dir = self.data_dir.clone().unwrap_or_else(|| directory.path().join("data"));
        let mut gateway = Gateway {
            log_path: directory.path().join("log"),
            directory,
            data_dir,
            builder: self,
            port: 0,
            child: None,
            allowed: vec![],
            secrets: vec![],
        };
        gateway.spawn()?;
        Ok(gateway)
    }
}

/// A running gateway. Dropping it kills it and fails the test when its log holds a WARN or ERROR
/// line that the test did not expect, or when a planted secret is anywhere in its files in clear.
pub struct Gateway {
    builder: Builder,
    directory: TempDir,
    data_dir: PathBuf,
    log_path: PathBuf,
    port: u16,
    child: Option<Child>,
    allowed: Vec<Regex>,
    secrets: Vec<String>,
}

impl Gateway {
    /// One with default settings on a free port.
    pub fn start() -> Self {
        Builder::default().start()
    }
    /// One with other settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    fn spawn(&mut self) -> Result<(), String> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log_path).expect("the log file");
        let mut command = command();
        command
            .arg("serve")
            .args(["--listen", self.builder.listen.as_deref().unwrap_or(&format!("127.0.0.1:{}", self.port))])
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(&self.builder.arguments)
            .envs(self.builder.variables.iter().map(|(n, v)| (n, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", binary().display()))?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, lines) = mpsc::channel();
        // The pipe is read to its end, so that the gateway never blocks on it.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        loop {
            match lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    if let Some((_, address)) = line.split_once("accepts connections on ") {
                        let port = address.trim().rsplit(':').next().and_then(|port| port.parse().ok());
                        self.port = port.unwrap_or_else(|| panic!("no port in: {line}"));
                        self.child = Some(child);
                        return Ok(());
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(format!("no answer within {START_SECONDS_MAX} s\n{}", self.log()));
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let status = child.wait().expect("a child can be waited for");
                    return Err(format!("it ended with {status}\n{}", self.log()));
                }
            }
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
    /// How clients connect.
    pub fn conninfo(&self) -> String {
        format!("host=127.0.0.1 port={} user=tester dbname=tidegate", self.port)
    }
    /// Its data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }
    /// A folder for the files of the test, gone with the gateway.
    pub fn folder(&self) -> PathBuf {
        let folder = self.directory.path().join("files");
        fs::create_dir_all(&folder).expect("a folder for files");
        folder
    }
    /// A connection.
    pub async fn connect(&self) -> Client {
        match self.try_connect().await {
            Ok(client) => client,
            Err(failure) => panic!("could not connect: {failure}\n{}", self.log()),
        }
    }
    /// A connection, or why there is none.
    pub async fn try_connect(&self) -> Result<Client, Failure> {
        Client::connect(&self.conninfo()).await
    }
    /// Everything it has written to stderr.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log_path).unwrap_or_default()).into_owned()
    }
    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the gateway runs").id()
    }

    /// A WARN or ERROR line that matches is expected.
    pub fn allow_log(&mut self, pattern: &str) {
        self.allowed.push(Regex::new(pattern).expect("a valid pattern"));
    }
    /// This text must never show up in clear in the data directory or the log.
    pub fn plant(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    /// Resident memory in bytes, now.
    pub fn rss_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }
    /// The most resident memory that it ever had, in bytes.
    pub fn rss_bytes_max(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }
    fn status_bytes(&self, field: &str) -> u64 {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("Linux shows /proc/<pid>/status");
        let line = status.lines().find(|l| l.starts_with(field)).expect("the field is always there");
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("a number of kB") * 1024
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
    /// SIGTERM, and how it ended.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the gateway runs");
        // SAFETY: kill(2) touches no memory, and the child is not reaped before `wait` below.
        unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
        let deadline = Instant::now() + Duration::from_secs(STOP_SECONDS_MAX);
        loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if Instant::now() >= deadline {
                let _ = child.kill();
                panic!("the gateway did not stop within {STOP_SECONDS_MAX} s of SIGTERM\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    /// Starts it again on the same port and data directory.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it still runs");
        if let Err(log) = self.spawn() {
            panic!("the gateway did not start again:\n{log}");
        }
    }

    fn unexpected_log_lines(&self) -> Vec<String> {
        static LEVEL: OnceLock<Regex> = OnceLock::new();
        let level = LEVEL
            .get_or_init(|| Regex::new(r#"(^|\s|"level":")(WARN|ERROR)(\s|")|panicked at"#).expect("a valid pattern"));
        self.log()
            .lines()
            .filter(|line| level.is_match(line) && !self.allowed.iter().any(|allowed| allowed.is_match(line)))
            .map(str::to_owned)
            .collect()
    }

    /// Where planted secrets lie in clear.
    pub fn leaks(&self) -> Vec<String> {
        let mut leaks = vec![];
        for secret in &self.secrets {
            if self.log().contains(secret.as_str()) {
                leaks.push(format!("{secret:?} is in the log"));
            }
            grep(&self.data_dir, secret.as_bytes(), &mut leaks);
        }
        leaks
    }
}

/// Adds every file below a folder that holds the bytes.
fn grep(folder: &Path, needle: &[u8], found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            grep(&path, needle, found);
        } else if let Ok(content) = fs::read(&path)
            && content.windows(needle.len()).any(|window| window == needle)
        {
            found.push(format!("{:?} is in {}", String::from_utf8_lossy(needle), path.display()));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("log of the gateway:\n{}", tail(&self.log(), 60));
            return;
        }
        let lines = self.unexpected_log_lines();
        assert!(lines.is_empty(), "unexpected lines in the log:\n{}", lines.join("\n"));
        let leaks = self.leaks();
        assert!(leaks.is_empty(), "secrets in clear:\n{}", leaks.join("\n"));
    }
}

fn tail(text: &str, lines_max: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(lines_max)..].join("\n")
}

/// Runs another command of the program and gives back its exit status, stdout and stderr.
pub fn run_command(arguments: &[&str], stdin: Option<&str>) -> (ExitStatus, String, String) {
    let input = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(input.path(), stdin.unwrap_or_default()).expect("the input can be written");
    let output = command()
        .args(arguments)
        .stdin(File::open(input.path()).expect("the input can be read"))
        .output()
        .expect("the binary can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status, text(&output.stdout), text(&output.stderr))
}
