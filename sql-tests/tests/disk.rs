//! A full disk under the files sink.

use std::path::{Path, PathBuf};
use std::process::Command;
use tidegate_sql_tests::gateway::Gateway;
use tidegate_sql_tests::skip;

/// A file system of its own of a few MiB, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&path).ok()?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&path).output().ok()?;
        mounted.status.success().then_some(Self(path))
    }
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { found.extend(files_below(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}

#[tokio::test]
async fn a_full_disk_fails_the_table_and_leaves_the_old_rows() {
    let mut gateway = Gateway::start();
    gateway.allow_log("lineitem|big|disk|space");
    let Some(disk) = SmallDisk::mount(gateway.folder().join("small")) else {
        skip::skipped("a tmpfs cannot be mounted here, so the disk cannot be filled");
        return;
    };
    let mut client = gateway.connect().await;
    let path = disk.path().display();
    client.must("CREATE SOURCE tpch TYPE sample WITH (scale_factor = '0.05')").await;
    client.must(&format!("CREATE SOURCE lake TYPE files WITH (path = '{path}')")).await;
    let small = "CREATE SYNC JOB big INTO lake.files.lineitem MODE FULL WRITE OVERWRITE AS \
                 SELECT * FROM tpch.tpch.lineitem WHERE l_orderkey < 100";
    client.must(small).await;
    client.must("WAIT FOR JOB big STATE finished TIMEOUT '60s'").await;
    let before = client.value("SELECT count(*) FROM lake.files.lineitem").await;
    let files_before = files_below(disk.path());

    client.must("ALTER JOB big AS SELECT * FROM tpch.tpch.lineitem").await;
    client.must("RUN JOB big").await;
    client.must("WAIT FOR JOB big STATE failed TIMEOUT '120s'").await;
    let sqlstate = client
        .value("SELECT sqlstate FROM tidegate.errors WHERE job_name = 'big' ORDER BY error_id DESC LIMIT 1")
        .await;
    assert_eq!(sqlstate, "53100", "disk full has a code of its own");
    let message =
        client.value("SELECT message FROM tidegate.errors WHERE job_name = 'big' ORDER BY error_id DESC LIMIT 1").await;
    assert!(
        message.contains("lineitem") || message.contains(&path.to_string()),
        "the message names the thing: {message}"
    );

    assert_eq!(client.value("SELECT count(*) FROM lake.files.lineitem").await, before, "readers see the old rows");
    assert_eq!(files_below(disk.path()).len(), files_before.len(), "no leftover fills the disk");
    client.must("DROP JOB big").await;
    client.must("DROP SOURCE tpch, lake").await;
}
