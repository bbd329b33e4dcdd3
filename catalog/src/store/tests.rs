//! What the store promises: atomic durable commits, one gateway per directory, secrets at rest.
//! History has its own tests below `history_tests`.

use super::*;
use crate::definition::*;
use crate::name::{Path3, TableName};
use crate::option::OptionValue;
use crate::state::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

mod history_tests;

const CANARY: &str = "canary-Tr0ub4dor&3-'\"\\\u{e4}";

pub(super) fn open(directory: &Path) -> Store {
    Store::open(directory, KeySource::File).unwrap()
}

pub(super) fn fresh() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("data"));
    (directory, store)
}

/// The directory that [`fresh`] opens.
fn data(directory: &TempDir) -> std::path::PathBuf {
    directory.path().join("data")
}

fn secret(id: i64, name: &str) -> Secret {
    Secret {
        id,
        name: name.to_owned(),
        backend: SecretBackend::Store,
        version: 1,
        owned_by_source: None,
        owner: "tidegate".to_owned(),
        comment: None,
        created_at: 1,
        altered_at: 1,
    }
}

fn put_secret(secret: &Secret, value: &str) -> Change {
    Change::PutSecret { secret: secret.clone(), value: Some(SecretText::new(value.to_owned())) }
}

pub(super) fn source(id: i64, name: &str) -> Source {
    Source {
        id,
        name: name.to_owned(),
        source_type: "postgres".to_owned(),
        options: [
            ("host".to_owned(), OptionValue::Text("h'\u{1F600}".to_owned())),
            ("list".to_owned(), OptionValue::List(vec!["a".to_owned(), String::new()])),
            ("password".to_owned(), OptionValue::Secret(7)),
        ]
        .into(),
        owner: "tidegate".to_owned(),
        comment: Some("a \"comment\"\nof two lines".to_owned()),
        created_at: 1,
        altered_at: 2,
    }
}

fn sink_table(id: i64, path: Path3) -> SinkTable {
    SinkTable {
        id,
        path,
        shape: SinkShape::Explicit {
            columns: vec![ColumnDef {
                name: "id".to_owned(),
                data_type: "bigint".to_owned(),
                is_nullable: false,
                default_expr: None,
            }],
            primary_key: vec!["id".to_owned()],
            indexes: vec![("by_id".to_owned(), vec!["id".to_owned()])],
        },
        added_columns: Vec::new(),
        partition_by: Vec::new(),
        properties: Default::default(),
        options: Default::default(),
        owner: "tidegate".to_owned(),
        comment: None,
        created_at: 1,
        altered_at: 1,
    }
}

pub(super) fn job(id: i64, name: &str) -> Job {
    let items = vec![
        TableItem::Matching { schema: "s.*".to_owned(), table: "t".to_owned() },
        TableItem::Table {
            name: TableName::new("s", "t"),
            columns: vec!["a".to_owned()],
            filter: Some("a > 1".to_owned()),
            rename: None,
        },
    ];
    Job {
        id,
        name: name.to_owned(),
        spec: JobSpec::Sync(SyncSpec {
            target: SyncTarget::Tables {
                source: "shop".to_owned(),
                selection: Selection::Tables { items },
                except: Vec::new(),
                dest: SinkDest { source: "lake".to_owned(), schema: None },
            },
            mode: Mode::FullThenRealtime,
            write: Some(WriteMode::OverwritePartitions),
            key: vec!["a".to_owned()],
            on_error: OnError::Skip { limit: Some(u64::MAX) },
        }),
        options: Default::default(),
        desired_state: DesiredState::Running,
        state: JobState::Starting,
        phase: JobPhase::CatchUp,
        state_changed_at: -1,
        definition_version: 3,
        restart_count: 1,
        current_run_id: None,
        last_error_id: None,
        owner: "tidegate".to_owned(),
        comment: None,
        created_at: 1,
        altered_at: 1,
    }
}

pub(super) fn mapping(id: i64, job_id: i64) -> Mapping {
    Mapping {
        id,
        job_id,
        source: Some(Path3::new("shop", "s", "t")),
        sink: Path3::new("lake", "s", "t"),
        columns: vec!["a".to_owned()],
        filter: None,
        status: MappingStatus::Alerting,
        detail: Some("why".to_owned()),
        creation_method: Some(CreationMethod::Auto),
        state: MappingState::SnapshotDone,
        state_changed_at: 5,
        key_columns: Vec::new(),
        write_mode: Some(WriteMode::Append),
        snapshot_position: Some("0/16B3748".to_owned()),
        column_map: vec![MappingColumn {
            source_column: None,
            source_type: None,
            expression: Some("a + 1".to_owned()),
            sink_column: "b".to_owned(),
            sink_type: Some("bigint".to_owned()),
            is_key: false,
            is_lossy: true,
        }],
        last_error_id: None,
        last_error: None,
        added_by: "create".to_owned(),
        created_at: 1,
    }
}

fn assert_same(left: &Snapshot, right: &Snapshot) {
    assert_eq!(left.version, right.version);
    assert_eq!(left.secrets, right.secrets);
    assert_eq!(left.sources, right.sources);
    assert_eq!(left.sink_tables, right.sink_tables);
    assert_eq!(left.jobs, right.jobs);
    assert_eq!(left.mappings, right.mappings);
}

/// One object of every kind, committed.
fn fill(store: &Store) -> Arc<Snapshot> {
    store
        .commit(
            store.snapshot().version,
            vec![
                put_secret(&secret(1, "pw"), CANARY),
                Change::PutSource(source(2, "shop")),
                Change::PutSinkTable(sink_table(3, Path3::new("lake", "s", "t"))),
                Change::PutJob(job(4, "j")),
                Change::PutMapping(mapping(5, 4)),
                Change::PutMapping(mapping(6, 4)),
            ],
        )
        .unwrap()
}

#[test]
fn a_reopened_store_has_the_same_snapshot_and_gateway_id() {
    let (directory, store) = fresh();
    let gateway_id = store.gateway_id().to_owned();
    assert_eq!(gateway_id.len(), 36);
    assert_eq!(store.snapshot().version, 0);
    let committed = fill(&store);
    assert_eq!(committed.version, 1);
    assert_same(&committed, &store.snapshot());
    drop(store);
    let store = open(&data(&directory));
    assert_same(&committed, &store.snapshot());
    assert_eq!(store.gateway_id(), gateway_id);
}

#[test]
fn what_was_committed_is_in_the_files_before_the_store_is_closed() {
    let (directory, store) = fresh();
    let committed = fill(&store);
    // What a killed gateway would leave: the files as they are now.
    let copy = directory.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(data(&directory)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let killed = open(&copy);
    assert_same(&committed, &killed.snapshot());
    assert_eq!(killed.secret_value(1).unwrap().expose(), CANARY);
}

#[test]
fn a_commit_happens_whole_or_not_at_all() {
    let (directory, store) = fresh();
    let before = fill(&store);
    let changes = vec![
        Change::DeleteJob(4),
        put_secret(&secret(20, "other"), "v"),
        Change::PutSource(source(21, "new")),
        Change::PutSource(source(22, "shop")),
    ];
    let error = store.commit(before.version, changes).unwrap_err();
    assert_eq!((error.sqlstate(), error.message()), ("42710", "source \"shop\" already exists"));
    assert_same(&before, &store.snapshot());
    assert_eq!(store.secret_value(20).unwrap_err().sqlstate(), "42704");

    let error = store.commit(before.version, vec![Change::PutMapping(mapping(30, 29))]).unwrap_err();
    assert_eq!((error.sqlstate(), error.message()), ("42704", "job with id 29 does not exist"));
    drop(store);
    assert_same(&before, &open(&data(&directory)).snapshot());
}

#[test]
fn a_commit_against_an_old_version_is_a_serialization_failure() {
    let (_directory, store) = fresh();
    let first = fill(&store);
    store.commit(first.version, vec![Change::PutSource(source(10, "a"))]).unwrap();
    let error = store.commit(first.version, vec![Change::PutSource(source(11, "b"))]).unwrap_err();
    assert_eq!(error.sqlstate(), "40001");
    assert_eq!(error.message(), "could not serialize access due to concurrent catalog changes");
    assert!(error.is_retryable());
    assert!(store.snapshot().source("b").is_none());
    // The snapshot that a reader holds is still the old one.
    assert!(first.source("a").is_none());
}

#[test]
fn a_commit_without_changes_makes_no_version() {
    let (_directory, store) = fresh();
    assert_eq!(store.commit(0, Vec::new()).unwrap().version, 0);
    assert_eq!(store.commit(3, Vec::new()).unwrap_err().sqlstate(), "40001");
    assert_eq!(store.commit_any(|_| Ok(Vec::new())).unwrap().version, 0);
}

#[test]
fn concurrent_changes_made_under_the_lock_are_all_kept() {
    let (directory, store) = fresh();
    store.commit(0, vec![Change::PutJob(job(1, "j"))]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    store
                        .commit_any(|snapshot| {
                            // Ids and history may be used while changes are made.
                            let id = store.next_id()? + 1000;
                            let mut job = Job::clone(&snapshot.jobs[&1]);
                            job.restart_count += 1;
                            Ok(vec![Change::PutJob(job), Change::PutMapping(mapping(id, 1))])
                        })
                        .unwrap();
                }
            });
        }
    });
    let snapshot = store.snapshot();
    assert_eq!((snapshot.version, snapshot.jobs[&1].restart_count, snapshot.mappings.len()), (101, 101, 100));
    drop(store);
    assert_same(&snapshot, &open(&data(&directory)).snapshot());
}

#[test]
fn an_error_of_the_maker_is_passed_on_and_changes_nothing() {
    let (_directory, store) = fresh();
    let error = store.commit_any(|_| Err(crate::Error::unsupported("this"))).unwrap_err();
    assert_eq!(error.sqlstate(), "0A000");
    assert_eq!(store.snapshot().version, 0);
}

#[test]
fn names_are_unique_per_kind() {
    let (_directory, store) = fresh();
    fill(&store);
    let refused = |change: Change, message: &str| {
        let error = store.commit(1, vec![change]).unwrap_err();
        assert_eq!((error.sqlstate(), error.message()), ("42710", message));
    };
    refused(put_secret(&secret(50, "pw"), "x"), "secret \"pw\" already exists");
    refused(Change::PutSource(source(50, "shop")), "source \"shop\" already exists");
    refused(
        Change::PutSinkTable(sink_table(50, Path3::new("lake", "s", "t"))),
        "sink table \"lake.s.t\" already exists",
    );
    refused(Change::PutJob(job(50, "j")), "job \"j\" already exists");
    // Another kind, another case, and dots that stand elsewhere are other names.
    let other = vec![
        Change::PutSource(source(51, "j")),
        Change::PutJob(job(52, "J")),
        Change::PutSinkTable(sink_table(53, Path3::new("lake.s", "t", "t"))),
        Change::PutSinkTable(sink_table(54, Path3::new("lake", "s.t", "t"))),
    ];
    store.commit(1, other).unwrap();
}

#[test]
fn secrets_owned_by_sources_do_not_take_names_away() {
    let (_directory, store) = fresh();
    let owned = Secret { owned_by_source: Some(9), ..secret(1, "shop.password") };
    let of_another = Secret { owned_by_source: Some(10), ..secret(2, "shop.password") };
    let named = secret(3, "shop.password");
    let changes = [(&owned, "1"), (&of_another, "2"), (&named, "3")];
    store.commit_any(|_| Ok(changes.iter().map(|(s, v)| put_secret(s, v)).collect())).unwrap();
    assert_eq!(store.snapshot().secret("shop.password").unwrap().id, 3);
    assert_eq!(store.secret_value(2).unwrap().expose(), "2");
}

#[test]
fn objects_may_take_over_names_in_one_commit() {
    let (directory, store) = fresh();
    fill(&store);
    store.commit(1, vec![Change::PutSource(source(10, "b")), Change::PutJob(job(11, "k"))]).unwrap();
    let swapped = store
        .commit(
            2,
            vec![
                Change::PutSource(source(2, "b")),
                Change::PutSource(source(10, "shop")),
                Change::DeleteJob(4),
                Change::PutJob(job(12, "j")),
                Change::PutJob(job(11, "m")),
                Change::PutJob(job(13, "k")),
            ],
        )
        .unwrap();
    assert_eq!(swapped.source("shop").unwrap().id, 10);
    drop(store);
    assert_same(&swapped, &open(&data(&directory)).snapshot());
}

#[test]
fn deleting_a_job_deletes_its_mappings_and_their_counters() {
    let (directory, store) = fresh();
    fill(&store);
    let statistics = MappingStatistics { mapping_id: 5, job_id: 4, rows_read: 1, ..Default::default() };
    store.put_mapping_statistics(std::slice::from_ref(&statistics)).unwrap();
    assert_eq!(store.mapping_statistics().unwrap(), std::slice::from_ref(&statistics));
    let after = store.commit(1, vec![Change::PutMapping(mapping(7, 4)), Change::DeleteJob(4)]).unwrap();
    assert!(after.mappings.is_empty() && after.jobs.is_empty());
    assert_eq!(store.mapping_statistics().unwrap(), []);
    // A flush that comes late brings nothing back.
    store.put_mapping_statistics(&[statistics]).unwrap();
    assert_eq!(store.mapping_statistics().unwrap(), []);
    drop(store);
    assert_same(&after, &open(&data(&directory)).snapshot());
}

#[test]
fn a_second_gateway_is_refused_while_the_first_lives() {
    let (directory, store) = fresh();
    let path = data(&directory);
    let error = Store::open(&path, KeySource::File).unwrap_err();
    assert_eq!(error.sqlstate(), "55006");
    assert_eq!(error.message(), format!("data directory \"{}\" is in use by another gateway", path.display()));
    assert!(error.detail().unwrap().contains(&std::process::id().to_string()));
    assert!(error.hint().unwrap().contains("--data-dir"));
    drop(store);
    open(&path);
}

#[test]
fn a_wrong_key_is_refused_and_changes_nothing() {
    let (directory, store) = fresh();
    let path = data(&directory);
    fill(&store);
    drop(store);
    let other = KeySource::Text(SecretText::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()));
    let error = Store::open(&path, other).unwrap_err();
    assert_eq!(error.sqlstate(), "55000");
    assert_eq!(error.message(), format!("the secret key does not match the catalog in \"{}\"", path.display()));
    assert!(!format!("{error:?}").contains("AAAAAAA"));

    // A key file that is gone is not replaced by another key.
    let key = std::fs::read_to_string(path.join("secret.key")).unwrap();
    std::fs::remove_file(path.join("secret.key")).unwrap();
    let error = Store::open(&path, KeySource::File).unwrap_err();
    assert_eq!(error.sqlstate(), "55000");
    assert!(error.message().ends_with("is missing"), "{error}");
    assert!(!path.join("secret.key").exists());

    // The same key as text is the same key.
    let store = Store::open(&path, KeySource::Text(SecretText::new(key))).unwrap();
    assert_eq!(store.secret_value(1).unwrap().expose(), CANARY);
}

#[test]
fn a_text_that_is_no_key_is_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    for text in ["", "short", "AAAA", "not base64 at all, not base64 at all, no!!"] {
        let key = KeySource::Text(SecretText::new(text.to_owned()));
        let error = Store::open(&data(&directory), key).unwrap_err();
        assert_eq!(error.sqlstate(), "22023");
    }
    assert!(!data(&directory).exists());
}

#[test]
fn files_are_for_their_owner_alone_and_a_key_file_open_to_others_is_refused() {
    let (directory, store) = fresh();
    let path = data(&directory);
    fill(&store);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name().into_string().unwrap());
    }
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "secret.key", "tidegate.lock"] {
        assert!(names.iter().any(|n| n == name), "{names:?}");
    }
    drop(store);
    for bad in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(path.join("secret.key"), PermissionsExt::from_mode(bad)).unwrap();
        let error = Store::open(&path, KeySource::File).unwrap_err();
        assert_eq!(error.sqlstate(), "55000");
        assert!(error.hint().unwrap().starts_with("chmod 600 "));
    }
    std::fs::set_permissions(path.join("secret.key"), PermissionsExt::from_mode(0o400)).unwrap();
    drop(open(&path));
    std::fs::set_permissions(path.join("secret.key"), PermissionsExt::from_mode(0o600)).unwrap();
    for damaged in ["", "short\n", "\u{0}"] {
        std::fs::write(path.join("secret.key"), damaged).unwrap();
        let error = Store::open(&path, KeySource::File).unwrap_err();
        assert!(error.message().ends_with("does not hold the base64 text of 32 bytes"), "{error}");
    }
}

#[test]
fn a_secret_keeps_its_value_over_changes_of_everything_else() {
    let (directory, store) = fresh();
    fill(&store);
    // RENAME: the version grows and the value stays.
    let mut secret = Secret { name: "pw2".to_owned(), version: 2, ..secret(1, "pw") };
    store.commit(1, vec![Change::PutSecret { secret: secret.clone(), value: None }]).unwrap();
    assert_eq!(store.secret_value(1).unwrap().expose(), CANARY);
    // ALTER .. AS: the version grows and the value is another.
    secret.version = 3;
    store.commit(2, vec![put_secret(&secret, "rotated")]).unwrap();
    assert_eq!(store.secret_value(1).unwrap().expose(), "rotated");
    drop(store);
    let store = open(&data(&directory));
    assert_eq!(store.snapshot().secrets[&1].version, 3);
    assert_eq!(store.secret_value(1).unwrap().expose(), "rotated");
    // FROM ENV: the stored value is forgotten.
    secret.backend = SecretBackend::Env { variable: "PATH".to_owned() };
    store.commit(3, vec![Change::PutSecret { secret: secret.clone(), value: None }]).unwrap();
    assert_eq!(store.secret_value(1).unwrap().expose(), std::env::var("PATH").unwrap());
    secret.backend = SecretBackend::Store;
    let error = store.commit(4, vec![Change::PutSecret { secret: secret.clone(), value: None }]).unwrap_err();
    assert_eq!(error.message(), "secret \"pw2\" was put without a value");
    store.commit(4, vec![Change::DeleteSecret(1)]).unwrap();
    assert_eq!(store.secret_value(1).unwrap_err().message(), "secret with id 1 does not exist");
}

#[test]
fn empty_and_large_values_are_values() {
    let (_directory, store) = fresh();
    let large = "x".repeat(100_000);
    store.commit(0, vec![put_secret(&secret(1, "e"), ""), put_secret(&secret(2, "l"), &large)]).unwrap();
    assert_eq!(store.secret_value(1).unwrap().expose(), "");
    assert_eq!(store.secret_value(2).unwrap().expose(), large);
}

#[test]
fn a_secret_is_in_no_file_and_in_no_debug_output() {
    let (directory, store) = fresh();
    let snapshot = fill(&store);
    let change = put_secret(&Secret { version: 2, ..secret(1, "pw") }, &format!("{CANARY}2"));
    assert!(!format!("{change:?} {snapshot:?} {store:?}").contains("canary"));
    store.commit(1, vec![change]).unwrap();
    let is_clean = || {
        for entry in std::fs::read_dir(data(&directory)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", path.display());
        }
    };
    is_clean();
    drop(store);
    is_clean();
}

#[test]
fn a_value_that_was_moved_to_another_secret_does_not_decrypt() {
    let (directory, store) = fresh();
    fill(&store);
    store.commit(1, vec![put_secret(&secret(10, "mine"), "mine")]).unwrap();
    drop(store);
    let thief = rusqlite::Connection::open(data(&directory).join("catalog.sqlite")).unwrap();
    let moved = "UPDATE secret_values SET (version, nonce, ciphertext) =
        (SELECT version, nonce, ciphertext FROM secret_values WHERE secret_id = 1) WHERE secret_id = 10";
    assert_eq!(thief.execute(moved, []).unwrap(), 1);
    drop(thief);
    let store = open(&data(&directory));
    let error = store.secret_value(10).unwrap_err();
    assert_eq!(error.sqlstate(), "XX001");
    assert_eq!(error.detail().unwrap(), "The stored value of secret \"mine\" does not decrypt.");
    assert_eq!(store.secret_value(1).unwrap().expose(), CANARY);
}

#[test]
fn secrets_in_files_and_variables_are_read_when_used() {
    let (directory, store) = fresh();
    let path = directory.path().join("pw");
    let text = path.to_str().unwrap().to_owned();
    let in_file = Secret { backend: SecretBackend::File { path: text.clone() }, ..secret(1, "f") };
    let unset = SecretBackend::Env { variable: "TIDEGATE_TEST_NOT_SET".to_owned() };
    let in_variable = Secret { backend: unset, ..secret(2, "v") };
    let put = |secret: &Secret| Change::PutSecret { secret: secret.clone(), value: None };
    store.commit(0, vec![put(&in_file), put(&in_variable)]).unwrap();

    let error = store.secret_value(2).unwrap_err();
    assert_eq!(error.sqlstate(), "22023");
    assert_eq!(error.message(), "environment variable \"TIDEGATE_TEST_NOT_SET\" of secret \"v\" is not set");
    let error = store.secret_value(1).unwrap_err();
    assert_eq!(
        (error.sqlstate(), error.message()),
        ("58030", &*format!("could not read file \"{text}\" of secret \"f\""))
    );
    for (content, value) in [("v", "v"), ("v\n", "v"), ("v\r\n", "v"), ("v\n\n", "v\n"), (" v ", " v "), ("", "")] {
        std::fs::write(&path, content).unwrap();
        assert_eq!(store.secret_value(1).unwrap().expose(), value);
    }
    std::fs::write(&path, b"canary\xff").unwrap();
    let error = store.secret_value(1).unwrap_err();
    assert_eq!(error.sqlstate(), "22023");
    assert!(!format!("{error:?}").contains("canary"));
    std::fs::write(&path, vec![b'x'; SECRET_BYTES_MAX as usize + 1]).unwrap();
    assert_eq!(store.secret_value(1).unwrap_err().sqlstate(), "22023");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(store.secret_value(1).unwrap_err().sqlstate(), "58030");
}

#[test]
fn ids_start_at_one_grow_and_are_never_given_out_again() {
    let (directory, store) = fresh();
    let mut given: Vec<i64> = (0..150).map(|_| store.next_id().unwrap()).collect();
    assert_eq!(given, (1..=150).collect::<Vec<_>>());
    drop(store);
    let store = open(&data(&directory));
    let more = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let id = store.next_id().unwrap();
                    more.lock().push(id);
                }
            });
        }
    });
    given.extend(more.into_inner());
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), 550);
}

#[test]
fn a_full_disk_is_an_error_that_changes_nothing_and_passes() {
    let (directory, store) = fresh();
    let before = fill(&store);
    store.set_page_count_max(1);
    let huge = Source { comment: Some("x".repeat(1 << 20)), ..source(20, "huge") };
    let error = store.commit(1, vec![Change::PutSource(huge.clone())]).unwrap_err();
    assert_eq!(error.sqlstate(), "53100");
    assert!(error.message().starts_with("no space left to write catalog"));
    assert_same(&before, &store.snapshot());
    store.set_page_count_max(1 << 30);
    let after = store.commit(1, vec![Change::PutSource(huge)]).unwrap();
    drop(store);
    assert_same(&after, &open(&data(&directory)).snapshot());
}

#[test]
fn a_damaged_file_is_a_clear_error() {
    let (directory, store) = fresh();
    let path = data(&directory);
    fill(&store);
    drop(store);
    let connection = rusqlite::Connection::open(path.join("catalog.sqlite")).unwrap();
    connection.execute("UPDATE sources SET body = '{\"id\":\"canary\"' WHERE id = 2", []).unwrap();
    drop(connection);
    let error = Store::open(&path, KeySource::File).unwrap_err();
    assert_eq!(error.sqlstate(), "XX001");
    assert!(error.message().ends_with("is damaged"));
    assert!(error.detail().unwrap().starts_with("Row 2 of table sources is unreadable"), "{:?}", error.detail());

    std::fs::write(path.join("catalog.sqlite"), vec![b'x'; 8192]).unwrap();
    let error = Store::open(&path, KeySource::File).unwrap_err();
    assert_eq!(error.sqlstate(), "XX001");
    assert!(error.hint().unwrap().contains("backup"));
}

#[test]
fn a_newer_catalog_and_a_foreign_database_are_refused_and_left_alone() {
    let (directory, store) = fresh();
    drop(store);
    let path = data(&directory);
    let file = path.join("catalog.sqlite");
    let newer = rusqlite::Connection::open(&file).unwrap();
    newer.execute("INSERT INTO schema_migrations VALUES (1000, 'later', 0)", []).unwrap();
    drop(newer);
    let before = std::fs::read(&file).unwrap();
    let error = Store::open(&path, KeySource::File).unwrap_err();
    assert_eq!(error.sqlstate(), "55000");
    assert_eq!(error.message(), format!("catalog \"{}\" was made by a newer version of tidegate", file.display()));
    assert_eq!(before, std::fs::read(&file).unwrap());

    std::fs::remove_file(&file).unwrap();
    let foreign = rusqlite::Connection::open(&file).unwrap();
    foreign.execute("CREATE TABLE notes (text TEXT)", []).unwrap();
    drop(foreign);
    let before = std::fs::read(&file).unwrap();
    let error = Store::open(&path, KeySource::File).unwrap_err();
    assert_eq!(error.message(), format!("database \"{}\" is not a tidegate catalog", file.display()));
    assert_eq!(before, std::fs::read(&file).unwrap());
}

#[test]
fn every_write_is_as_durable_as_it_says() {
    use super::sqlite::Durability;
    let (_directory, store) = fresh();
    for (durability, level) in [(Durability::Synced, 2), (Durability::Ordered, 1), (Durability::Synced, 2)] {
        let (synchronous, mode): (i64, String) = store
            .write(durability, |transaction| {
                Ok((
                    transaction.pragma_query_value(None, "synchronous", |row| row.get(0))?,
                    transaction.pragma_query_value(None, "journal_mode", |row| row.get(0))?,
                ))
            })
            .unwrap();
        assert_eq!((synchronous, mode.as_str()), (level, "wal"));
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("data"), KeySource::File).unwrap_err();
    assert_eq!(error.sqlstate(), "58030");
    assert!(error.message().contains("file/data"), "{error}");
}

#[test]
fn the_store_may_be_shared_between_threads() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Store>();
}
