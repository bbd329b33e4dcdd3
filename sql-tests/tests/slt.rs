//! Every file of `slt/` over both protocols.

use std::collections::BTreeSet;
use tidegate_sql_tests::client::Engine;
use tidegate_sql_tests::own_file;
use tidegate_sql_tests::slt::run_file;

macro_rules! files {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use super::*;
            #[tokio::test]
            async fn over_the_simple_protocol() {
                run_file(&own_file(concat!("slt/", stringify!($name), ".slt")), Engine::Simple).await;
            }
            #[tokio::test]
            async fn over_the_extended_protocol() {
                run_file(&own_file(concat!("slt/", stringify!($name), ".slt")), Engine::Extended).await;
            }
        })+

        #[test]
        fn every_file_is_run() {
            let listed: BTreeSet<String> = [$(stringify!($name)),+].into_iter().map(str::to_owned).collect();
            let entries = std::fs::read_dir(own_file("slt")).expect("the folder of .slt files");
            let there: BTreeSet<String> = entries
                .map(|entry| entry.expect("a readable folder").path())
                .filter(|path| path.extension().is_some_and(|e| e == "slt"))
                .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            assert_eq!(there, listed, "tests/slt.rs lists every file of slt/");
        }
    };
}

files!(
    bad_input,
    errors,
    explain,
    lifecycle,
    not_built,
    sample_files,
    secrets,
    select_sources,
    show,
    sink_tables,
    sources,
    sync_query_job,
    sync_tables_job,
    system_tables,
    transactions,
    user_met,
    validate,
);
