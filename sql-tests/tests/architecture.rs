//! The floors of the house and the walls between connectors, as ARCHITECTURE.md promises them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tidegate_sql_tests::repository;

/// Files of Rust below a folder, the folder of build output excepted.
fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all_rust_files() -> Vec<PathBuf> {
    let mut found = vec![];
    rust_files(repository(), &mut found);
    found.sort();
    found
}

/// A path as messages show it.
fn shown(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).display().to_string()
}

/// Package name to (folder, names of its own workspace dependencies, dev-dependencies included).
fn packages() -> BTreeMap<String, (String, Vec<String>)> {
    let root: toml::Table = fs::read_to_string(repository().join("Cargo.toml")).unwrap().parse().unwrap();
    let members = root["workspace"]["members"].as_array().unwrap();
    let mut packages = BTreeMap::new();
    for member in members {
        let folder = member.as_str().unwrap();
        let manifest: toml::Table =
            fs::read_to_string(repository().join(folder).join("Cargo.toml")).unwrap().parse().unwrap();
        let mut dependencies = vec![];
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            if let Some(table) = manifest.get(section).and_then(|s| s.as_table()) {
                dependencies.extend(table.keys().cloned());
            }
        }
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        packages.insert(name, (folder.to_owned(), dependencies));
    }
    packages
}

const FEATURES: &str = "catalog/features";

/// The floor of a member; an arrow points only to a lower one. None: outside of the house.
fn floor(folder: &str) -> Option<i32> {
    match folder {
        // No code: it fixes the features of dependencies for every selection of packages.
        FEATURES => Some(-1),
        "catalog" => Some(0),
        "connectors/api" | "planner" => Some(1),
        _ if folder.starts_with("connectors/") => Some(2),
        "server" => Some(3),
        "sql-tests" => None,
        _ => panic!("{folder} has no floor: see ARCHITECTURE.md"),
    }
}

/// The member that a key of [workspace.dependencies] names.
fn member_of(key: &str) -> Option<String> {
    let root: toml::Table = fs::read_to_string(repository().join("Cargo.toml")).unwrap().parse().unwrap();
    root["workspace"]["dependencies"].get(key)?.get("path")?.as_str().map(str::to_owned)
}

#[test]
fn arrows_point_only_downward() {
    for (name, (folder, dependencies)) in packages() {
        for key in dependencies {
            let Some(below) = member_of(&key) else { continue };
            if below == folder {
                // A crate that turns on a feature of its own for its tests.
                continue;
            }
            match (floor(&folder), floor(&below)) {
                (Some(from), Some(to)) => {
                    assert!(to < from, "{name} (floor {from}) may not depend on {below} (floor {to})")
                }
                (None, _) if below == FEATURES => {}
                (None, _) => {
                    panic!("{name} is outside of the house and knows the program only from outside, not {below}")
                }
                (Some(_), None) => panic!("{name} may not depend on {below}, which is outside of the house"),
            }
        }
    }
}

#[test]
fn versions_stand_in_one_table() {
    for (name, (folder, _)) in packages().into_iter().filter(|(_, (folder, _))| folder != FEATURES) {
        let manifest: toml::Table =
            fs::read_to_string(repository().join(&folder).join("Cargo.toml")).unwrap().parse().unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (key, value) in manifest.get(section).and_then(|s| s.as_table()).into_iter().flatten() {
                if value.get("path").and_then(|path| path.as_str()) == Some(".") {
                    continue;
                }
                let is_inherited = value.get("workspace").and_then(|w| w.as_bool()) == Some(true);
                assert!(is_inherited, "{name}: {key} takes its version from [workspace.dependencies]");
            }
        }
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{name} takes the workspace's lints");
    }
}

#[test]
fn only_the_wire_names_pgwire() {
    for path in all_rust_files() {
        let is_wire = shown(&path).starts_with("server/src/wire");
        let text = fs::read_to_string(&path).unwrap();
        let names = text.lines().filter(|l| !l.trim_start().starts_with("//")).any(|l| l.contains("pgwire::"));
        assert!(is_wire || !names || shown(&path).starts_with("sql-tests"), "{} names pgwire", shown(&path));
    }
}

#[test]
fn only_the_catalog_quotes_identifiers() {
    for path in all_rust_files() {
        let place = shown(&path);
        if place == "catalog/src/name.rs" || place.starts_with("sql-tests/") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // What doubles a quote quotes: `.replace('"', "\"\"")` in any of its spellings.
        for (number, line) in text.lines().enumerate() {
            let doubles = line.contains(r#"replace('"', "\"\"")"#) || line.contains(r#"replace("\"", "\"\"")"#);
            assert!(!doubles, "{place}:{} quotes an identifier: use catalog::quote_ident", number + 1);
        }
    }
}

#[test]
fn no_module_is_a_drawer_for_everything() {
    for path in all_rust_files() {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let module = if stem == "mod" {
            path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned()
        } else {
            stem
        };
        let is_type_map = module == "types" && shown(&path).starts_with("connectors/");
        let is_drawer = ["common", "utils", "util", "types", "helpers", "helper", "misc"].contains(&module.as_str());
        assert!(!is_drawer || is_type_map, "{}: name it after the noun that it holds", shown(&path));
    }
}

#[test]
fn every_file_says_what_lives_in_it() {
    for path in all_rust_files() {
        let text = fs::read_to_string(&path).unwrap();
        let first = text.lines().find(|line| !line.is_empty() && !line.starts_with("#!")).unwrap_or_default();
        assert!(first.starts_with("//!"), "{} begins with //! and what lives there", shown(&path));
    }
}

#[test]
fn no_room_is_too_large_to_find_the_way() {
    const LINES_MAX: usize = 850;
    let sizes = all_rust_files().into_iter().map(|p| (fs::read_to_string(&p).unwrap().lines().count(), shown(&p)));
    let large: Vec<(usize, String)> = sizes.filter(|(lines, _)| *lines > LINES_MAX).collect();
    assert!(large.is_empty(), "split by idea: {large:?}");
}

#[test]
fn connectors_have_the_same_rooms() {
    for entry in fs::read_dir(repository().join("connectors")).unwrap().flatten() {
        if entry.file_name() == "api" {
            continue;
        }
        for room in ["lib.rs", "connector.rs", "snapshot.rs"] {
            let path = entry.path().join("src").join(room);
            assert!(path.exists(), "{} is missing", shown(&path));
        }
    }
}

#[test]
fn a_general_file_names_no_particular_system() {
    for folder in ["catalog/src", "connectors/api/src", "planner/src"] {
        let mut files = vec![];
        rust_files(&repository().join(folder), &mut files);
        for path in files {
            let text = fs::read_to_string(&path).unwrap();
            for word in ["tokio_postgres", "connector_postgres", "rdkafka", "mysql_async", "object_store::local"] {
                assert!(!text.contains(word), "{} names {word}", shown(&path));
            }
        }
    }
}

#[test]
fn the_planner_does_no_io() {
    let mut files = vec![];
    rust_files(&repository().join("planner/src"), &mut files);
    for path in files {
        // Its tests measure how long refusals take.
        if path.file_stem().is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests")) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for word in ["std::fs", "std::net", "std::process", "SystemTime", "Instant::now", "tokio::", "async fn"] {
            assert!(!text.contains(word), "{} uses {word}", shown(&path));
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    for path in all_rust_files() {
        let text = fs::read_to_string(&path).unwrap();
        // Spelt in two parts, so that this file does not find itself.
        for word in [concat!("to", "do!("), concat!("unimplem", "ented!("), concat!("#[ig", "nore")] {
            assert!(!text.contains(word), "{} holds {word}", shown(&path));
        }
    }
}
