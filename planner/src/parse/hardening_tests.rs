//! Tests of what the parser withstands: depth, length, mistakes, and secrets in all of them.

use super::parse;
use super::tests::WORKED_EXAMPLES;
use crate::statement::Statement;

/// Runs on a stack of the size that a server's threads have at least.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

#[track_caller]
fn too_complex(sql: &str) {
    let error = parse(sql).expect_err("too complex");
    assert_eq!((error.sqlstate(), error.message()), ("54001", "statement is too complex"));
    assert!(error.detail().is_some() && error.position().is_some());
}

#[test]
fn what_is_too_deep_is_refused_before_it_is_parsed() {
    on_a_small_stack(|| {
        for n in [2_000, 20_000, 500_000] {
            too_complex(&format!("SELECT 1{}", "+1".repeat(n)));
            too_complex(&format!("SELECT a{}", " OR a".repeat(n)));
        }
        too_complex(&format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)));
        too_complex(&format!("SELECT {}1", "(".repeat(10_000)));
        too_complex(&format!("SELECT {}1", "- ".repeat(10_000)));
        too_complex(&format!("SELECT {}1", "NOT ".repeat(10_000)));
        too_complex(&format!("SELECT {}'1'", "INTERVAL ".repeat(10_000)));
        too_complex(&format!("SELECT {} 1 {}", "CASE WHEN a THEN ".repeat(1_000), " END".repeat(1_000)));
        too_complex(&format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(2_000)));
        too_complex(&format!("SELECT 1 FROM a{}", " JOIN a ON a = a".repeat(2_000)));
        too_complex(&format!("SELECT 1 FROM a{}", ", a".repeat(2_000)));
        too_complex(&format!("{}SELECT 1", "EXPLAIN ".repeat(2_000)));
        too_complex(&format!("SELECT a{}", "::int".repeat(2_000)));
        too_complex(&format!("SELECT a{}", "[1]".repeat(2_000)));
        too_complex(&format!("SELECT {}", "1, ".repeat(150_000)));
        // Chains that hide behind one another's parentheses add up.
        too_complex(
            &(0..5)
                .fold("1".to_owned(), |inner, _| format!("({inner}){}", "+1".repeat(150)))
                .replacen('(', "SELECT (", 1),
        );
    });
}

#[test]
fn what_is_large_and_flat_is_parsed() {
    on_a_small_stack(|| {
        for sql in [
            format!("SELECT 1{}", "+1".repeat(400)),
            format!("SELECT {}1{}", "(".repeat(150), ")".repeat(150)),
            format!("SELECT * FROM {}a{}", "(SELECT * FROM ".repeat(150), ")".repeat(150)),
            format!("SELECT {}1{}", "f(1 OR 2 AND NOT 3 = 4 || - (5 + 6 * ".repeat(40), "))".repeat(40)),
            format!("SELECT {}1{}", "f(1 OR 2 AND NOT 3 = 4 || - (5 + 6 * ".repeat(6), "))".repeat(6)),
            format!("SELECT a WHERE {} a = 1", "a = 1 OR ".repeat(400)),
            format!("SELECT a WHERE b IN ({}1)", "1, ".repeat(50_000)),
            format!("INSERT INTO t VALUES (1, 'x'){}", ", (1, 'x')".repeat(100_000)),
            format!("SELECT {}a", "a + 1, ".repeat(10_000)),
            format!("SELECT CASE {} END", "WHEN a = 1 THEN 2 ".repeat(1_000)),
            format!("SELECT '{}'", "x".repeat(1 << 20)),
            format!(
                "CREATE SINK TABLE a.b.c ({}z int)",
                (0..2_000).map(|i| format!("c{i} numeric(10,2) NOT NULL, ")).collect::<String>()
            ),
            "SELECT 1;".repeat(20_000),
        ] {
            assert!(
                parse(&sql).is_ok(),
                "{} .. {:?}",
                &sql[..60],
                parse(&sql).err().map(|e| e.detail().map(str::to_owned))
            );
        }
    });
}

#[test]
fn nesting_costs_no_more_than_its_length() {
    on_a_small_stack(|| {
        let nestings: [(&str, &str); 16] = [
            ("f(", ")"),
            ("f(1, g(", "))"),
            ("f(a => ", ")"),
            ("CAST(", " AS int)"),
            ("CASE WHEN a THEN ", " END"),
            ("CASE ", " WHEN 1 THEN 2 END"),
            ("a IN (", ")"),
            ("EXISTS (SELECT ", ")"),
            ("(SELECT ", ")"),
            ("ARRAY[", "]"),
            ("-(", ")"),
            ("INTERVAL ", ""),
            ("EXTRACT(year FROM ", ")"),
            ("NOT (a = ", ")"),
            ("substring(a FROM ", " FOR 1)"),
            ("position(a IN ", ")"),
        ];
        for (open, close) in nestings {
            // The second has its mistake inside, so that every attempt fails.
            for inside in ["1", "1 1", "'1'", ""] {
                let sql = format!("SELECT {}{inside}{}", open.repeat(60), close.repeat(60));
                let start = std::time::Instant::now();
                let parsed = parse(&sql);
                assert!(start.elapsed().as_secs() < 5, "{open}{inside}{close}");
                if let Err(error) = parsed {
                    assert!(matches!(error.sqlstate(), "42601" | "54001"), "{error}");
                }
            }
        }
    });
    assert!(parse(&format!("SELECT {}1{}", "upper(a, ".repeat(60), ")".repeat(60))).is_ok());
}

/// Every prefix of the statement, and the statement without any one of its tokens.
fn mutations(sql: &str) -> Vec<String> {
    let lexed = super::Lexed::new(sql).unwrap();
    let mut all: Vec<String> = sql.char_indices().map(|(i, _)| sql[..i].to_owned()).collect();
    for place in &lexed.places {
        all.push(format!("{} {}", &sql[..place.start], &sql[place.end..]));
        all.push(format!("{} ) {}", &sql[..place.start], &sql[place.start..]));
        all.push(format!("{} x {}", &sql[..place.start], &sql[place.end..]));
    }
    all
}

#[test]
fn broken_statements_are_refused_and_nothing_panics() {
    for parsed in parse(WORKED_EXAMPLES).unwrap() {
        for sql in mutations(&WORKED_EXAMPLES[parsed.start..parsed.end]) {
            if let Err(error) = parse(&sql) {
                assert!(matches!(error.sqlstate(), "42601" | "22023"), "{sql}: {error}");
                let position = error.position().unwrap_or_else(|| panic!("{sql}: {error}"));
                assert!((1..=sql.chars().count() + 1).contains(&position), "{sql}: {error} at {position}");
            }
        }
    }
}

#[test]
fn no_secret_reaches_an_error_a_debug_text_or_a_redacted_text() {
    for sql in [
        "CREATE SECRET a AS 'hunter2'",
        "CREATE SECRET a AS hunter2",
        "CREATE SECRET IF NOT EXISTS a AS $$hunter2$$ ; SELECT 1",
        "ALTER SECRET a AS E'hunter2'",
        "CREATE SOURCE a TYPE t WITH (host = 'h', password = 'hunter2', port = 5)",
        "CREATE SOURCE a TYPE t WITH (host = 'h', password = hunter2, port = 5)",
        "CREATE SOURCE a TYPE t WITH (host = 'postgres://u:hunter2@h/db')",
        "CREATE SOURCE a TYPE t WITH (\"sasl.jaas.config\" = ('hunter2', 'x'))",
        "ALTER SOURCE a SET (s3_secret_key = 'hunter2')",
        "VALIDATE SOURCE TYPE t WITH (api_token = 'hunter2') FOR READ",
        "PREPARE p AS ALTER SOURCE a SET (password = 'hunter2')",
        "CREATE ROLE a LOGIN PASSWORD 'hunter2'",
        "ALTER USER a PASSWORD 'hunter2'",
    ] {
        for sql in mutations(sql).into_iter().chain([sql.to_owned()]) {
            // Without its noun or key nothing says any more that the value is a secret.
            let says = ["SECRET", "password", "PASSWORD", "jaas", "s3_secret_key", "api_token", "://u:"];
            let verb =
                sql.contains("CREATE") || sql.contains("ALTER") || sql.contains("= ") || sql.contains("PASSWORD");
            if !verb || !says.iter().any(|word| sql.contains(word)) || sql.contains(" x ") || sql.contains(" ) ") {
                continue;
            }
            // A word that is no literal, with its sign missing too, is any word.
            if sql.contains("  ") && !sql.contains("'hunter2") && !sql.contains("$$hunter2") {
                continue;
            }
            let redacted = crate::redact(&sql);
            assert!(!redacted.contains("hunter2"), "{sql}: {redacted}");
            match parse(&sql) {
                Ok(parsed) => {
                    for parsed in parsed {
                        assert!(!parsed.redacted.contains("hunter2"), "{sql}");
                        let stock = matches!(parsed.statement, Statement::Sql(_) | Statement::Session(_));
                        assert!(stock || !format!("{:?}", parsed.statement).contains("hunter2"), "{sql}");
                    }
                }
                Err(error) => assert!(!format!("{error:?}").contains("hunter2"), "{sql}: {error:?}"),
            }
        }
    }
}
