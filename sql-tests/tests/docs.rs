//! The user's reference: every block of SQL runs, every link leads somewhere, and what is made from
//! the program (options, columns) is what the program says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tidegate_sql_tests::client::{Client, Engine};
use tidegate_sql_tests::gateway::Gateway;
use tidegate_sql_tests::page::{Target, blocks, statements};
use tidegate_sql_tests::{repository, server};

/// What the two databases of the reference hold when a page begins.
const SHOP: &str = "CREATE TABLE public.customers (id bigint PRIMARY KEY, name text NOT NULL, country text, email text); \
    CREATE TABLE public.orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL, status text NOT NULL, amount numeric(12,2) NOT NULL, created_at timestamptz NOT NULL); \
    CREATE TABLE public.logs (at timestamptz, line text); \
    INSERT INTO public.customers SELECT g, 'Customer ' || g, (ARRAY['CN','DE','US'])[1 + g % 3], 'c' || g || '@example.org' FROM generate_series(1, 50) g; \
    INSERT INTO public.orders SELECT g, 1 + g % 50, (ARRAY['new','paid','sent'])[1 + g % 3], g * 1.5, timestamptz '2026-01-01 00:00+00' + g * interval '1 hour' FROM generate_series(1, 500) g; \
    INSERT INTO public.logs SELECT timestamptz '2026-01-01 00:00+00', 'line ' || g FROM generate_series(1, 10) g; ANALYZE";

/// A page that holds this line begins with the sources that getting-started.md creates.
const PREPARED: &str = "<!-- begins with the sources of getting-started.md -->";
const SOURCES: &str = "CREATE SOURCE tpch TYPE sample WITH (scale_factor = '0.001'); \
    CREATE SOURCE lake TYPE files WITH (path = '/srv/lake'); \
    CREATE SOURCE shop TYPE postgres WITH (host = 'shop-db', database = 'shop', user = 'postgres'); \
    CREATE SOURCE warehouse TYPE postgres WITH (host = 'warehouse-db', database = 'warehouse', user = 'postgres')";

fn pages() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a readable folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.push(path);
            }
        }
    }
    let mut found = vec![repository().join("README.md")];
    walk(&repository().join("docs"), &mut found);
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).display().to_string()
}

#[tokio::test]
async fn every_block_of_sql_in_the_reference_runs() {
    let (Some(pg15), Some(pg18)) = (server::pg15(), server::pg18()) else { return };
    let mut failures = vec![];
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a readable page");
        let blocks = blocks(&shown(&page), &text);
        if blocks.iter().all(|block| block.target == Target::Nowhere) {
            continue;
        }
        let (shop, warehouse) = (pg15.database("shop"), pg18.database("warehouse"));
        shop.psql(SHOP);
        let mut gateway = Gateway::builder().env("SHOP_PASSWORD", "x").start();
        gateway.allow_log(".");
        let folder = gateway.folder();
        let mut client = gateway.connect().await;
        // The reference speaks of two hosts; here they are two databases of the test's servers.
        let here = |sql: &str| {
            let at = |server: &server::Server, name: &str| {
                format!("host = '127.0.0.1', port = '{}', database = '{name}'", server.port)
            };
            sql.replace("host = 'shop-db', database = 'shop'", &at(&pg15, &shop.name))
                .replace("host = 'warehouse-db', database = 'warehouse'", &at(&pg18, &warehouse.name))
                .replace("/srv/lake", &folder.join("lake").display().to_string())
        };
        if text.contains(PREPARED) {
            for statement in statements(&here(SOURCES)) {
                client.must(&statement).await;
            }
        }
        'page: for block in blocks {
            let sql = here(&block.sql);
            let statements = statements(&sql);
            for (at, statement) in statements.iter().enumerate() {
                let result = match &block.target {
                    Target::Nowhere => continue 'page,
                    Target::Gateway => client.run(Engine::Simple, statement).await,
                    Target::Database(name) => {
                        let database = if name == "shop" { &shop } else { &warehouse };
                        database.connect().await.run(Engine::Simple, statement).await
                    }
                };
                let expected = block.error.as_deref().filter(|_| at + 1 == statements.len());
                match (result, expected) {
                    (Ok(_), None) => {}
                    (Err(failure), Some(code)) if failure.sqlstate.as_deref() == Some(code) => {}
                    (Ok(_), Some(code)) => {
                        failures.push(format!(
                            "{}:{}: succeeded and should fail with {code}: {statement}",
                            shown(&page),
                            block.line
                        ));
                        break 'page;
                    }
                    (Err(failure), _) => {
                        failures.push(format!("{}:{}: {failure}\n    {statement}", shown(&page), block.line));
                        break 'page;
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} pages fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_link_of_the_reference_leads_to_a_file() {
    let mut dead = vec![];
    let mut linked = vec![];
    for page in pages().into_iter().chain([repository().join("ARCHITECTURE.md")]) {
        let text = fs::read_to_string(&page).expect("a readable page");
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap_or_default();
            if target.starts_with("http") || target.starts_with('#') || target.is_empty() {
                continue;
            }
            let path =
                page.parent().expect("a page lies in a folder").join(target.split('#').next().unwrap_or_default());
            match path.canonicalize() {
                Ok(path) => linked.push(path),
                Err(_) => dead.push(format!("{} -> {target}", shown(&page))),
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
    let orphans: Vec<String> = pages()
        .into_iter()
        .filter(|p| !p.ends_with("README.md") && !linked.contains(&p.canonicalize().unwrap()))
        .map(|p| shown(&p))
        .collect();
    assert!(orphans.is_empty(), "no page links to:\n{}", orphans.join("\n"));
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// The generated parts by marker name, each with its text.
async fn generated(client: &mut Client) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    let options = client
        .must(
            "SELECT scope, coalesce(source_type, ''), name, value_type, coalesce(default_value, ''), is_required, is_secret, \
             coalesce(array_to_string(allowed_values, ', '), ''), coalesce(min_value, ''), coalesce(max_value, ''), alterable, description \
             FROM tidegate.options ORDER BY scope, source_type, is_required DESC, name",
        )
        .await;
    for row in options.rows {
        let value = |at: usize| row[at].clone().unwrap_or_default();
        let marker = if value(1).is_empty() { value(0) } else { value(1) };
        let part = parts
            .entry(format!("options:{marker}"))
            .or_insert_with(|| "| option | type | default | takes effect | |\n|---|---|---|---|---|\n".to_owned());
        let mut kind = value(3);
        if !value(7).is_empty() {
            kind = format!("one of {}", value(7));
        } else if !value(8).is_empty() || !value(9).is_empty() {
            kind = format!("{kind}, {} to {}", value(8), value(9));
        }
        let mut about = value(11);
        if value(5) == "t" {
            about = format!("**Required.** {about}");
        }
        if value(6) == "t" {
            about = format!("{about} Kept encrypted and never shown.");
        }
        let default = if value(4).is_empty() { String::new() } else { format!("`{}`", value(4)) };
        let line =
            format!("| `{}` | {} | {default} | {} | {} |\n", value(2), escaped(&kind), value(10), escaped(&about));
        part.push_str(&line);
    }
    let columns = client
        .must(
            "SELECT c.table_name, c.column_name, CASE c.data_type WHEN 'ARRAY' THEN 'text[]' ELSE c.data_type END, d.description \
             FROM information_schema.columns c JOIN pg_catalog.pg_class r ON r.relname = c.table_name \
             JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace AND n.nspname = c.table_schema \
             LEFT JOIN pg_catalog.pg_description d ON d.objoid = r.oid AND d.objsubid = c.ordinal_position \
             WHERE c.table_schema = 'tidegate' ORDER BY c.table_name, c.ordinal_position",
        )
        .await;
    for row in columns.rows {
        let value = |at: usize| row[at].clone().unwrap_or_default();
        let part = parts
            .entry(format!("columns:{}", value(0)))
            .or_insert_with(|| "| column | type | |\n|---|---|---|\n".to_owned());
        part.push_str(&format!("| `{}` | {} | {} |\n", value(1), value(2), escaped(&value(3))));
    }
    let tables = client
        .must(
            "SELECT r.relname, d.description FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace \
             LEFT JOIN pg_catalog.pg_description d ON d.objoid = r.oid AND d.objsubid = 0 WHERE n.nspname = 'tidegate' ORDER BY 1",
        )
        .await;
    for row in tables.rows {
        let value = |at: usize| row[at].clone().unwrap_or_default();
        parts.insert(format!("table:{}", value(0)), format!("{}\n", value(1)));
    }
    parts
}

#[tokio::test]
async fn options_and_columns_in_the_reference_are_those_of_the_program() {
    let gateway = Gateway::start();
    let mut client = gateway.connect().await;
    let parts = generated(&mut client).await;
    let is_update = std::env::var("UPDATE_DOCS").is_ok_and(|value| value == "1");
    let mut used = vec![];
    let mut stale = vec![];
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a readable page");
        let mut fresh = String::new();
        let mut rest = text.as_str();
        while let Some(start) = rest.find("<!-- generated ") {
            let (before, marked) = rest.split_at(start);
            let (head, body) =
                marked.split_once("-->\n").unwrap_or_else(|| panic!("{}: a marker is not closed", shown(&page)));
            let name = head.trim_start_matches("<!-- generated ").trim();
            let (_, after) =
                body.split_once("<!-- end -->").unwrap_or_else(|| panic!("{}: {name} has no end", shown(&page)));
            let part = parts.get(name).unwrap_or_else(|| panic!("{}: the program knows no {name}", shown(&page)));
            fresh.push_str(&format!("{before}{head}-->\n{part}<!-- end -->"));
            used.push(name.to_owned());
            rest = after;
        }
        fresh.push_str(rest);
        if fresh != text {
            if is_update {
                fs::write(&page, fresh).expect("the page can be written");
            } else {
                stale.push(shown(&page));
            }
        }
    }
    assert!(stale.is_empty(), "run UPDATE_DOCS=1 cargo test -p tidegate-sql-tests docs; stale:\n{}", stale.join("\n"));
    let missing: Vec<&String> = parts.keys().filter(|name| !used.contains(name)).collect();
    assert!(missing.is_empty(), "no page shows {missing:?}");
}

/// The table of docs/errors.md against the one table of the program.
#[test]
fn every_code_of_the_program_is_explained() {
    let source = fs::read_to_string(repository().join("catalog/src/error.rs")).expect("the errors");
    let page = fs::read_to_string(repository().join("docs/errors.md")).expect("docs/errors.md");
    for line in source.lines().filter(|l| l.trim_start().starts_with("Self::") && l.contains("=> \"")) {
        let code = line.split('"').nth(1).expect("a quoted code");
        assert!(page.contains(&format!("`{code}`")), "docs/errors.md does not explain {code}");
    }
}
