//! docker/ without a container engine: its files are read, and what they run is what the tests run.

use std::fs;
use tidegate_sql_tests::repository;

fn read(relative: &str) -> String {
    fs::read_to_string(repository().join(relative)).unwrap_or_else(|e| panic!("{relative}: {e}"))
}

/// Instructions of a Dockerfile, with continued lines joined and comments dropped.
fn instructions(text: &str) -> Vec<(String, String)> {
    let mut joined = String::new();
    let mut found = vec![];
    for line in text.lines().filter(|l| !l.trim_start().starts_with('#')) {
        match line.trim_end().strip_suffix('\\') {
            Some(head) => joined.push_str(head),
            None => {
                joined.push_str(line);
                if let Some((word, rest)) = joined.trim().split_once(char::is_whitespace) {
                    found.push((word.to_uppercase(), rest.trim().to_owned()));
                }
                joined.clear();
            }
        }
    }
    found
}

#[test]
fn the_image_is_built_in_stages_and_does_not_run_as_root() {
    let all = instructions(&read("docker/Dockerfile"));
    let stages: Vec<&str> = all.iter().filter(|(word, _)| word == "FROM").map(|(_, rest)| rest.as_str()).collect();
    assert!(stages.len() >= 2, "several stages: {stages:?}");
    for stage in &stages {
        let image = stage.split_whitespace().next().unwrap_or_default();
        assert!(image.contains(':') && !image.ends_with(":latest"), "{image} is pinned");
    }
    let last = all.iter().rposition(|(word, _)| word == "FROM").expect("a stage");
    let user = all[last..].iter().rfind(|(word, _)| word == "USER").map(|(_, rest)| rest.as_str());
    assert!(
        user.is_some_and(|user| !user.starts_with("root") && !user.starts_with('0')),
        "the last stage has USER {user:?}"
    );
    let entrypoint = all.iter().rfind(|(word, _)| word == "ENTRYPOINT").map(|(_, rest)| rest.as_str());
    assert_eq!(entrypoint, Some("[\"tidegate\"]"), "the program itself gets the signals");
    let command = all.iter().rfind(|(word, _)| word == "CMD").expect("a CMD");
    assert!(command.1.contains("serve"), "{command:?}");
}

#[test]
fn the_image_uses_the_toolchain_of_the_checkout() {
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().expect("TOML");
    let channel = toolchain["toolchain"]["channel"].as_str().expect("a channel");
    assert!(
        read("docker/Dockerfile").contains(&format!("FROM rust:{channel}-")),
        "docker/Dockerfile builds with Rust {channel}"
    );
}

/// A value of a YAML file written as nested maps with two spaces, which is all that ours is.
fn yaml<'a>(text: &'a str, path: &[&str]) -> Option<Vec<&'a str>> {
    let lines: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with('#') && !l.trim().is_empty()).collect();
    let mut range = 0..lines.len();
    for (depth, key) in path.iter().enumerate() {
        let indent = depth * 2;
        let prefix = format!("{}{key}:", " ".repeat(indent));
        let at = lines[range.clone()].iter().position(|l| l.starts_with(&prefix))? + range.start;
        let end = lines[at + 1..range.end]
            .iter()
            .position(|l| l.len() - l.trim_start().len() <= indent && !l.trim_start().starts_with("- "))
            .map_or(range.end, |offset| at + 1 + offset);
        if depth + 1 == path.len() {
            let inline = lines[at][prefix.len()..].trim();
            let mut values: Vec<&str> = if inline.is_empty() { vec![] } else { vec![inline] };
            values.extend(lines[at + 1..end].iter().map(|l| l.trim()));
            return Some(values);
        }
        range = at + 1..end;
    }
    None
}

#[test]
fn compose_starts_two_servers_and_the_gateway_in_order() {
    let text = read("docker/compose.yaml");
    assert!(!text.contains('\t'), "YAML knows no tabs");
    for service in ["shop", "warehouse", "gateway"] {
        assert!(yaml(&text, &["services", service]).is_some(), "service {service}");
    }
    for (service, image) in [("shop", "postgres:15"), ("warehouse", "postgres:18")] {
        let found = yaml(&text, &["services", service, "image"]).unwrap_or_default();
        assert!(found.first().is_some_and(|i| i.starts_with(image)), "{service} runs {image}, not {found:?}");
        assert!(yaml(&text, &["services", service, "healthcheck", "test"]).is_some(), "{service} has a health check");
        let command = yaml(&text, &["services", service, "command"]).unwrap_or_default().join(" ");
        assert!(command.contains("wal_level=logical"), "{service} is ready for change capture");
    }
    for server in ["shop", "warehouse"] {
        let condition = yaml(&text, &["services", "gateway", "depends_on", server, "condition"]).unwrap_or_default();
        assert_eq!(condition, ["service_healthy"], "the gateway waits for {server}");
    }
    assert_eq!(yaml(&text, &["services", "gateway", "network_mode"]).unwrap_or_default(), ["host"]);
    let command = yaml(&text, &["services", "gateway", "command"]).unwrap_or_default().join(" ");
    assert!(command.contains("127.0.0.1:7432"), "the gateway listens on loopback only: {command}");
    for server in ["shop", "warehouse"] {
        let ports = yaml(&text, &["services", server, "ports"]).unwrap_or_default().join(" ");
        assert!(ports.starts_with("- \"127.0.0.1:"), "{server} is published on loopback only: {ports}");
    }
    let volumes = yaml(&text, &["services", "gateway", "volumes"]).unwrap_or_default().join(" ");
    assert!(volumes.contains("/var/lib/tidegate"), "the data directory outlives the container: {volumes}");
}

#[test]
fn what_the_containers_run_is_what_the_program_knows() {
    let (_, help, _) = tidegate_sql_tests::gateway::run_command(&["serve", "--help"], None);
    for file in ["docker/Dockerfile", "docker/compose.yaml"] {
        for word in read(file).split(|c: char| c.is_whitespace() || "\"',[]=".contains(c)) {
            if word.starts_with("TIDEGATE_") {
                assert!(help.contains(word), "{file}: serve --help does not know {word}");
            }
        }
    }
    let dockerfile = read("docker/Dockerfile");
    assert!(
        dockerfile.contains("cargo build --release --locked --bin tidegate"),
        "the image builds as docs/operations.md says"
    );
}
