//! The command line: commands, options, and the layers that an option's value may come from.
//!
//! An option has one name in three spellings: the flag `--data-dir`, the variable
//! `TIDEGATE_DATA_DIR` and the key `data_dir` of the configuration file. A flag wins over a
//! variable, a variable over the file, and the file over the default. Unknown variables and keys
//! are errors, so that a misspelt one never passes for one that works.

use super::configuration;
use catalog::error::nearest;
use catalog::{Error, ErrorKind, Result};
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{
    Arg, ArgMatches, Args, Command as ClapCommand, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Where `serve` listens when nothing else is said.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:7432";

/// What every variable of ours begins with.
const PREFIX: &str = "TIDEGATE_";

/// Variables that are no options: the key of the store, and what the project's tests read.
const OTHER_VARIABLES: &[&str] =
    &[SECRET_KEY_VARIABLE, "TIDEGATE_SERVICES", "TIDEGATE_REQUIRE_SERVERS", "TIDEGATE_BIN", "TIDEGATE_DENY"];

/// What variables of tests begin with.
const TEST_PREFIX: &str = "TIDEGATE_TEST_";

/// The key that encrypts secrets at rest, instead of the key file in the data directory. It has no
/// flag, since other users of the machine may read a command line.
pub const SECRET_KEY_VARIABLE: &str = "TIDEGATE_SECRET_KEY";

const LAYERS_HELP: &str = "Every option may also be given as a variable (TIDEGATE_DATA_DIR for --data-dir) or as a key of the \
configuration file (data_dir). A flag wins over a variable, a variable over the file. The key that encrypts secrets at rest is a file \
in the data directory, or the base64 text of 32 bytes in TIDEGATE_SECRET_KEY.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    about = "A data-integration gateway that is used through SQL",
    long_about = "tidegate is a data-integration gateway that is used through SQL. It speaks the PostgreSQL wire protocol: declare \
                  sources, sink tables and sync jobs with psql or any other client, and read everything about them in system tables.",
    after_long_help = LAYERS_HELP,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    pub common: CommonArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct CommonArgs {
    /// Configuration file (TOML) with the options' names as keys
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What is logged on stderr: off, error, warn, info, debug or trace, or a list such as "warn,tidegate=debug"
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn")]
    pub log: String,
    /// How log lines are written
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve clients until SIGTERM or Ctrl-C
    Serve(ServeArgs),
    /// Execute a SQL script, on a gateway that runs or on one of its own
    Run(RunArgs),
    /// Load sample tables into Parquet files, query them, and leave the gateway serving
    Demo(DemoArgs),
    /// Read a password and print its line for the users file
    HashPassword(HashPasswordArgs),
}

/// Options of `tidegate serve`.
#[derive(Debug, Args)]
#[command(after_long_help = LAYERS_HELP)]
pub struct ServeArgs {
    /// Address to listen on; one that is not loopback needs --auth scram and TLS
    #[arg(long, value_name = "HOST:PORT", default_value = DEFAULT_LISTEN)]
    pub listen: String,
    #[command(flatten)]
    pub storage: StorageArgs,
    /// Certificate chain (PEM) that is shown to clients
    #[arg(long, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM) of the certificate
    #[arg(long, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// How clients log in
    #[arg(long, value_name = "METHOD", default_value = "trust")]
    pub auth: Auth,
    /// File with the users of --auth scram; `tidegate hash-password` prints its lines
    #[arg(long, value_name = "FILE")]
    pub users_file: Option<PathBuf>,
    /// Most clients at a time
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections_max: u32,
}

/// Where a gateway keeps what it remembers, and how much memory it may use.
#[derive(Debug, Args)]
pub struct StorageArgs {
    /// Directory of the catalog, made when absent [default: $XDG_DATA_HOME/tidegate or ~/.local/share/tidegate]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Memory that the queries of all sessions may use together
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = memory_size)]
    pub query_memory: usize,
}

/// Options of `tidegate run`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "The statements run one after the other; the first error ends the script. Exit code: 0 when all \
statements succeeded, 3 after an error of a statement, 1 when the script or the gateway could not be reached, 130 after Ctrl-C.\n\n\
Without --url the script runs on a gateway of its own that ends with it; jobs that still run then go on when a gateway next opens \
the data directory. With --url a password may also come from PGPASSWORD; sslmode and sslrootcert mean what they mean to psql."
)]
pub struct RunArgs {
    /// Script to execute; - reads standard input
    #[arg(value_name = "FILE.sql|-")]
    pub file: PathBuf,
    /// Gateway to run it on: postgres://user@host:port/?sslmode=verify-full
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    #[command(flatten)]
    pub storage: StorageArgs,
    /// Show results, warnings and errors only
    #[arg(long, short)]
    pub quiet: bool,
}

/// Options of `tidegate demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End when the queries are done instead of serving
    #[arg(long)]
    pub no_serve: bool,
    /// TPC-H scale factor: 0.01 makes 60 thousand line items, 1 makes 6 million
    #[arg(long, value_name = "N", default_value = "0.01", value_parser = scale_factor)]
    pub scale_factor: f64,
    /// Directory of the catalog, made when absent [default: a new one among the temporary files]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Memory that the queries of all sessions may use together
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = memory_size)]
    pub query_memory: usize,
    /// Directory for the Parquet files [default: lake in the data directory]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Address to serve on afterwards [default: 127.0.0.1:7432, or the next free port]
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
}

/// Options of `tidegate hash-password`.
#[derive(Debug, Args)]
pub struct HashPasswordArgs {
    /// User whose line is printed
    #[arg(value_name = "USER")]
    pub user: String,
}

/// How clients log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// Everybody may, without a password; on loopback only
    Trust,
    /// With a password, by SCRAM-SHA-256
    Scram,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line each
    Text,
    /// One JSON object each
    Json,
}

/// Where a value came from; a greater one wins over a lesser one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// The configuration file.
    File,
    /// A variable.
    Variable,
    /// The command line.
    Flag,
}

/// A command line that was understood.
#[derive(Debug)]
pub struct Invocation {
    /// The options, all layers applied.
    pub cli: Cli,
    origins: BTreeMap<String, Origin>,
}

impl Invocation {
    /// Where the value of the option `name` (in snake case) came from.
    pub fn origin(&self, name: &str) -> Origin {
        self.origins.get(name).copied().unwrap_or(Origin::Default)
    }
}

/// Why there is nothing to do.
#[derive(Debug)]
pub enum NoInvocation {
    /// `--help` or `--version`: what to print on stdout.
    Text(String),
    /// A usage error in clap's words: what to print on stderr.
    Usage(String),
    /// An error of a variable or of the configuration file.
    Refused(Error),
}

impl From<Error> for NoInvocation {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// Reads the command line, the variables and the configuration file. `arguments` begins with the
/// program's name.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Invocation, NoInvocation> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // First without the other layers: what fails here is the command line's own fault, and help
    // works whatever else is wrong.
    let matches = command().try_get_matches_from(&arguments).map_err(usage)?;
    let from_flags = Cli::from_arg_matches(&matches).map_err(usage)?;

    let known = option_names();
    let from_variables = read_variables(variables, &known)?;
    let config = from_flags.common.config.or_else(|| from_variables.get("config").map(PathBuf::from));
    let from_file = match &config {
        Some(path) => configuration::load(path, &known)?,
        None => BTreeMap::new(),
    };

    let layered = with_layers(command(), &from_file, &from_variables);
    let matches = layered
        .try_get_matches_from(&arguments)
        .map_err(|error| refused_layer(&error, config.as_ref(), &from_variables))?;
    let cli = Cli::from_arg_matches(&matches).map_err(usage)?;
    let origins = known
        .iter()
        .map(|name| {
            let origin = if is_on_command_line(&matches, name) {
                Origin::Flag
            } else if from_variables.contains_key(name) {
                Origin::Variable
            } else if from_file.contains_key(name) {
                Origin::File
            } else {
                Origin::Default
            };
            (name.clone(), origin)
        })
        .collect();
    Ok(Invocation { cli, origins })
}

/// The command with the variables' names in its help.
fn command() -> ClapCommand {
    fn name_variables(command: ClapCommand) -> ClapCommand {
        command
            .mut_args(|argument| match (is_option(&argument), argument.get_help()) {
                (true, Some(help)) => {
                    let text = format!("{help} [env: {}]", variable(argument.get_id().as_str()));
                    argument.help(text)
                }
                _ => argument,
            })
            .mut_subcommands(name_variables)
    }
    name_variables(Cli::command())
}

/// Whether an argument is an option with a name, and so can be given in every layer.
fn is_option(argument: &Arg) -> bool {
    argument.get_long().is_some() && !matches!(argument.get_id().as_str(), "help" | "version")
}

/// The names of all options of all commands, in snake case.
fn option_names() -> Vec<String> {
    fn collect(command: &ClapCommand, names: &mut Vec<String>) {
        names.extend(command.get_arguments().filter(|a| is_option(a)).map(|a| a.get_id().to_string()));
        command.get_subcommands().for_each(|sub| collect(sub, names));
    }
    let mut names = vec![];
    collect(&Cli::command(), &mut names);
    names.sort();
    names.dedup();
    names
}

fn variable(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}

/// The options that are given as variables. An empty one counts as not given, since that is how
/// container files leave a variable out.
fn read_variables(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    known: &[String],
) -> Result<BTreeMap<String, OsString>> {
    let mut values = BTreeMap::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|n| n.starts_with(PREFIX)) else { continue };
        if OTHER_VARIABLES.contains(&name) || name.starts_with(TEST_PREFIX) {
            continue;
        }
        match known.iter().find(|k| variable(k) == name) {
            Some(_) if value.is_empty() => {}
            Some(key) => {
                values.insert(key.clone(), normal_bool(key, value));
            }
            None => {
                let all: Vec<String> = known.iter().map(|k| variable(k)).collect();
                let names = all.iter().map(String::as_str).chain([SECRET_KEY_VARIABLE]);
                let hint = match nearest(name, names) {
                    Some(near) => format!("Perhaps you meant {near}."),
                    None => "See: tidegate serve --help".to_owned(),
                };
                return Err(Error::new(
                    ErrorKind::UnknownOption,
                    format!("unrecognized environment variable \"{name}\""),
                )
                .with_detail(format!("Variables that begin with {PREFIX} are options of tidegate."))
                .with_hint(hint));
            }
        }
    }
    Ok(values)
}

/// Boolean options read the same words in every layer; clap's flags know only true and false.
fn normal_bool(name: &str, value: OsString) -> OsString {
    if !is_boolean(name) {
        return value;
    }
    match value.to_str().and_then(catalog::option::parse_bool) {
        Some(value) => if value { "true" } else { "false" }.into(),
        None => value,
    }
}

fn is_boolean(name: &str) -> bool {
    fn find(command: &ClapCommand, name: &str) -> bool {
        command.get_arguments().any(|a| a.get_id() == name && !a.get_action().takes_values())
            || command.get_subcommands().any(|sub| find(sub, name))
    }
    find(&Cli::command(), name)
}

/// Puts the lower layers under the command line, as defaults.
fn with_layers(
    command: ClapCommand,
    file: &BTreeMap<String, OsString>,
    variables: &BTreeMap<String, OsString>,
) -> ClapCommand {
    command
        .mut_args(|argument| {
            let name = argument.get_id().as_str();
            match variables.get(name).or_else(|| file.get(name)).filter(|_| is_option(&argument)) {
                Some(value) => {
                    // Read once per process, and as long needed as the command line itself.
                    let value: &'static OsStr = Box::leak(value.clone().into_boxed_os_str());
                    argument.default_value(value)
                }
                None => argument,
            }
        })
        .mut_subcommands(|sub| with_layers(sub, file, variables))
}

fn is_on_command_line(matches: &ArgMatches, name: &str) -> bool {
    let here = matches.try_contains_id(name).is_ok() && matches.value_source(name) == Some(ValueSource::CommandLine);
    here || matches.subcommand().is_some_and(|(_, sub)| is_on_command_line(sub, name))
}

fn usage(error: clap::Error) -> NoInvocation {
    let text = error.render().to_string();
    if error.use_stderr() { NoInvocation::Usage(mask_urls(&text)) } else { NoInvocation::Text(text) }
}

/// The error of a value that is no flag's.
fn refused_layer(
    error: &clap::Error,
    config: Option<&PathBuf>,
    variables: &BTreeMap<String, OsString>,
) -> NoInvocation {
    let text = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg).unwrap_or_default();
    let flag = argument.split([' ', '=']).next().unwrap_or_default();
    let name = flag.trim_start_matches('-').replace('-', "_");
    let value = mask_urls(&text(ContextKind::InvalidValue).unwrap_or_default());
    let place = match (variables.contains_key(&name), config) {
        (false, Some(path)) => format!("\"{name}\" in configuration file \"{}\"", path.display()),
        _ => format!("environment variable {}", variable(&name)),
    };
    let refused = Error::new(ErrorKind::InvalidValue, format!("invalid value \"{value}\" for {place}"));
    let detail = std::error::Error::source(error).map(|cause| sentence(&cause.to_string()));
    let valid = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(words)) if !words.is_empty() => Some(format!("Use one of: {}.", words.join(", "))),
        _ => None,
    };
    let refused = match detail {
        Some(detail) => refused.with_detail(detail),
        None => refused,
    };
    NoInvocation::Refused(match valid {
        Some(hint) => refused.with_hint(hint),
        None => refused,
    })
}

/// A library's fragment as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.trim().trim_end_matches('.').chars();
    match characters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), characters.as_str()),
        None => String::new(),
    }
}

/// Masks the passwords of URLs: a URL in the wrong place must not end up in somebody's log.
pub(super) fn mask_urls(text: &str) -> String {
    let Ok(url) = regex::Regex::new(r"(?i)([a-z][a-z0-9+.-]*://[^\s/:@]*):\S*@") else { return String::new() };
    url.replace_all(text, "$1:***@").into_owned()
}

fn memory_size(text: &str) -> Result<usize, String> {
    const BYTES_MIN: u64 = 16 << 20;
    match catalog::option::parse_size(text).filter(|n| *n >= BYTES_MIN).map(usize::try_from) {
        Some(Ok(bytes)) => Ok(bytes),
        _ => Err("a size is a number and a unit, at least 16MiB, for example 256MiB".to_owned()),
    }
}

fn scale_factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if (0.0001..=1000.0).contains(&factor) => Ok(factor),
        _ => Err("a scale factor is a number between 0.0001 and 1000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_parse(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Invocation, NoInvocation> {
        parse(
            ["tidegate"].iter().chain(arguments).map(OsString::from),
            variables.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))),
        )
    }

    fn serve(arguments: &[&str], variables: &[(&str, &str)]) -> (ServeArgs, CommonArgs) {
        match try_parse(arguments, variables).unwrap().cli {
            Cli { command: Command::Serve(serve), common } => (serve, common),
            other => panic!("{other:?}"),
        }
    }

    fn refused(arguments: &[&str], variables: &[(&str, &str)]) -> Error {
        match try_parse(arguments, variables) {
            Err(NoInvocation::Refused(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn file(name: &str, text: &str) -> String {
        let path = std::env::temp_dir().join(format!("tidegate-args-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
        command().debug_assert();
    }

    #[test]
    fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
        let config =
            file("layers", "listen = \"127.0.0.1:1\"\nconnections_max = 7\nlog = \"info\"\nauth = \"scram\"\n");
        let (args, common) = serve(&["serve"], &[]);
        assert_eq!((args.listen.as_str(), args.connections_max, args.auth), (DEFAULT_LISTEN, 100, Auth::Trust));
        assert_eq!((common.log.as_str(), common.log_format), ("warn", LogFormat::Text));

        let (args, common) = serve(&["serve", "--config", &config], &[]);
        assert_eq!((args.listen.as_str(), args.connections_max, args.auth), ("127.0.0.1:1", 7, Auth::Scram));
        assert_eq!(common.log, "info");

        let variables =
            [("TIDEGATE_CONFIG", config.as_str()), ("TIDEGATE_LISTEN", "127.0.0.1:2"), ("TIDEGATE_LOG", "debug")];
        let (args, common) = serve(&["serve"], &variables);
        assert_eq!((args.listen.as_str(), args.connections_max, common.log.as_str()), ("127.0.0.1:2", 7, "debug"));

        let (args, common) =
            serve(&["--log", "trace", "serve", "--listen", "127.0.0.1:3", "--connections-max=9"], &variables);
        assert_eq!((args.listen.as_str(), args.connections_max, common.log.as_str()), ("127.0.0.1:3", 9, "trace"));
    }

    #[test]
    fn origins_say_which_layer_gave_a_value() {
        let config = file("origins", "url = \"postgres://h\"\nquiet = true\n");
        let invocation =
            try_parse(&["run", "-", "--config", &config, "--data-dir", "/d"], &[("TIDEGATE_QUERY_MEMORY", "1GiB")])
                .unwrap();
        assert_eq!(invocation.origin("url"), Origin::File);
        assert_eq!(invocation.origin("data_dir"), Origin::Flag);
        assert_eq!(invocation.origin("query_memory"), Origin::Variable);
        assert_eq!(invocation.origin("log"), Origin::Default);
        match invocation.cli.command {
            Command::Run(run) => assert!(run.quiet && run.storage.query_memory == 1 << 30 && run.url.is_some()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn unknown_variables_and_keys_name_their_neighbour() {
        let error = refused(&["serve"], &[("TIDEGATE_LISTNE", "x")]);
        assert_eq!(error.message(), "unrecognized environment variable \"TIDEGATE_LISTNE\"");
        assert_eq!(error.hint(), Some("Perhaps you meant TIDEGATE_LISTEN."));
        for allowed in
            ["TIDEGATE_TEST_POSTGRES_18", "TIDEGATE_SERVICES", "TIDEGATE_BIN", "TIDEGATE_SECRET_KEY", "TIDEGATE_LISTEN"]
        {
            serve(&["serve"], &[(allowed, "")]);
        }
        let config = file("unknown", "lisen = \"x\"\n");
        let error = refused(&["serve", "--config", &config], &[]);
        assert!(error.message().starts_with("unrecognized key \"lisen\""), "{error}");
        assert_eq!(error.hint(), Some("Perhaps you meant \"listen\"."));
        let config = file("table", "[serve]\nlisten = \"x\"\n");
        refused(&["serve", "--config", &config], &[]);
        let config = file("secret", "secret_key = \"x\"\n");
        assert!(refused(&["serve", "--config", &config], &[]).hint().unwrap().contains(SECRET_KEY_VARIABLE));
        refused(&["serve", "--config", "/nonexistent/x.toml"], &[]);
    }

    #[test]
    fn a_bad_value_names_the_layer_that_it_came_from() {
        let error = refused(&["serve"], &[("TIDEGATE_CONNECTIONS_MAX", "many")]);
        assert_eq!(error.message(), "invalid value \"many\" for environment variable TIDEGATE_CONNECTIONS_MAX");
        let config = file("value", "auth = \"md5\"\n");
        let error = refused(&["serve", "--config", &config], &[]);
        assert!(error.message().starts_with("invalid value \"md5\" for \"auth\" in configuration file"), "{error}");
        assert_eq!(error.hint(), Some("Use one of: trust, scram."));
        match try_parse(&["serve", "--connections-max", "0"], &[]) {
            Err(NoInvocation::Usage(text)) => assert!(text.contains("--connections-max"), "{text}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn boolean_variables_read_the_usual_words() {
        for (word, expected) in [("on", true), ("1", true), ("false", false), ("off", false)] {
            match try_parse(&["run", "-"], &[("TIDEGATE_QUIET", word)]).unwrap().cli.command {
                Command::Run(run) => assert_eq!(run.quiet, expected, "{word}"),
                other => panic!("{other:?}"),
            }
        }
        refused(&["run", "-"], &[("TIDEGATE_QUIET", "perhaps")]);
    }

    #[test]
    fn help_works_whatever_else_is_wrong_and_names_the_variables() {
        match try_parse(&["serve", "--help"], &[("TIDEGATE_NONSENSE", "x")]) {
            Err(NoInvocation::Text(text)) => {
                assert!(text.contains("TIDEGATE_TLS_CERT") && text.contains("127.0.0.1:7432"), "{text}")
            }
            other => panic!("{other:?}"),
        }
        match try_parse(&["--version"], &[]) {
            Err(NoInvocation::Text(text)) => assert_eq!(text.trim(), concat!("tidegate ", env!("CARGO_PKG_VERSION"))),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_url_in_the_wrong_place_loses_its_password() {
        match try_parse(&["run", "a.sql", "postgres://u:hun/ter@h/"], &[]) {
            Err(NoInvocation::Usage(text)) => assert!(!text.contains("hun") && text.contains("u:***@h"), "{text}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(mask_urls("x postgres://u:p@ss@h:1/d y"), "x postgres://u:***@h:1/d y");
    }
}
