//! Transactions, settings, prepared statements and cursors.

use super::*;

#[test]
fn transactions() {
    use SessionStatement as S;
    for (sql, expected) in [
        ("BEGIN", S::Begin { read_only: None }),
        ("BEGIN WORK", S::Begin { read_only: None }),
        ("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", S::Begin { read_only: Some(true) }),
        ("START TRANSACTION READ WRITE NOT DEFERRABLE", S::Begin { read_only: Some(false) }),
        ("COMMIT", S::Commit),
        ("END TRANSACTION", S::Commit),
        ("COMMIT AND NO CHAIN", S::Commit),
        ("ROLLBACK WORK", S::Rollback),
        ("ABORT", S::Rollback),
        ("SAVEPOINT a", S::Savepoint("a".into())),
        ("RELEASE SAVEPOINT a", S::Release("a".into())),
        ("RELEASE a", S::Release("a".into())),
        ("ROLLBACK TO SAVEPOINT a", S::RollbackTo("a".into())),
        ("ROLLBACK TRANSACTION TO a", S::RollbackTo("a".into())),
        ("SET TRANSACTION READ ONLY", S::SetTransaction { read_only: Some(true) }),
        ("SET LOCAL TRANSACTION ISOLATION LEVEL SERIALIZABLE", S::SetTransaction { read_only: None }),
    ] {
        assert_eq!(session(sql), expected, "{sql}");
    }
    not_built("COMMIT AND CHAIN", "AND CHAIN");
    not_built("PREPARE TRANSACTION 'x'", "PREPARE TRANSACTION");
    not_built("ROLLBACK PREPARED 'x'", "ROLLBACK PREPARED");
    syntax("BEGIN READ SOMETIMES", "READ");
    syntax("BEGIN; COMMIT x", "x");
}

#[test]
fn settings() {
    use SessionStatement as S;
    let set = |local, name: &str, value: Option<&[&str]>| S::Set {
        local,
        name: name.into(),
        value: value.map(|v| v.iter().map(|v| (*v).to_owned()).collect()),
    };
    for (sql, expected) in [
        ("SET a = 1", set(false, "a", Some(&["1"]))),
        ("SET SESSION a TO 'B'", set(false, "a", Some(&["B"]))),
        ("SET LOCAL Work_Mem = '4MB'", set(true, "work_mem", Some(&["4MB"]))),
        ("SET a TO DEFAULT", set(false, "a", None)),
        ("SET search_path = \"$user\", Public", set(false, "search_path", Some(&["$user", "public"]))),
        ("SET extra_float_digits = -3", set(false, "extra_float_digits", Some(&["-3"]))),
        ("SET a.b = on", set(false, "a.b", Some(&["on"]))),
        ("SET x = true", set(false, "x", Some(&["true"]))),
        ("SET local = 1", set(false, "local", Some(&["1"]))),
        ("SET TIME ZONE 'UTC'", set(false, "timezone", Some(&["UTC"]))),
        ("SET LOCAL TIME ZONE LOCAL", set(true, "timezone", None)),
        ("SET TIME ZONE -8", set(false, "timezone", Some(&["-8"]))),
        ("SET TIME ZONE INTERVAL '+08:00' HOUR TO MINUTE", set(false, "timezone", Some(&["+08:00"]))),
        ("SET NAMES 'UTF8'", set(false, "client_encoding", Some(&["UTF8"]))),
        ("SET NAMES", set(false, "client_encoding", None)),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            set(false, "default_transaction_read_only", Some(&["on"])),
        ),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
            set(false, "default_transaction_isolation", Some(&["read committed"])),
        ),
        ("SET SESSION AUTHORIZATION bob", set(false, "session_authorization", Some(&["bob"]))),
        ("SET SESSION AUTHORIZATION DEFAULT", set(false, "session_authorization", None)),
        ("SET ROLE none", set(false, "role", Some(&["none"]))),
        ("RESET a.b", S::Reset("a.b".into())),
        ("RESET ALL", S::Reset("all".into())),
        ("RESET TIME ZONE", S::Reset("timezone".into())),
        ("RESET SESSION AUTHORIZATION", S::Reset("session_authorization".into())),
        ("DISCARD ALL", S::Discard("ALL".into())),
        ("DISCARD TEMPORARY", S::Discard("TEMP".into())),
    ] {
        assert_eq!(session(sql), expected, "{sql}");
    }
    not_built("SET CONSTRAINTS ALL DEFERRED", "SET CONSTRAINTS");
    syntax("SET a == 1", "==");
    syntax("SET a = 1 2", "2");
    fails("SET a =", "syntax error at end of input", "");
}

#[test]
fn prepared_statements_and_cursors() {
    use SessionStatement as S;
    assert_eq!(
        session("PREPARE p (int, numeric(10,2)) AS SELECT  $1 + $2 -- x"),
        S::Prepare {
            name: "p".into(),
            types: vec!["int".into(), "numeric(10,2)".into()],
            text: "SELECT  $1 + $2".into()
        }
    );
    assert!(matches!(session("PREPARE p AS ALTER SECRET a AS $1"), S::Prepare { .. }));
    assert!(matches!(session("PREPARE p AS PAUSE JOB a"), S::Prepare { .. }));
    syntax("PREPARE p AS PREPARE q AS SELECT 1", "PREPARE");
    syntax("PREPARE p AS COMMIT", "COMMIT");
    syntax("PREPARE p AS SELECT 1 FROM a b c", "c");
    assert_eq!(session("EXECUTE p"), S::Execute { name: "p".into(), arguments: vec![] });
    assert_eq!(
        session("EXECUTE p (1 + 2, 'a,b', f(1, 2))"),
        S::Execute { name: "p".into(), arguments: vec!["1 + 2".into(), "'a,b'".into(), "f(1, 2)".into()] }
    );
    assert_eq!(session("DEALLOCATE PREPARE ALL"), S::Deallocate(None));
    assert_eq!(session("DEALLOCATE p"), S::Deallocate(Some("p".into())));
    let S::DeclareCursor { name, hold, query_text, .. } = session("DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT 1")
    else {
        panic!()
    };
    assert_eq!((name.as_str(), hold, query_text.as_str()), ("c", true, "SELECT 1"));
    not_built("DECLARE c BINARY CURSOR FOR SELECT 1", "BINARY in DECLARE");
    for (sql, count) in [
        ("FETCH c", FetchCount::Forward(1)),
        ("FETCH NEXT FROM c", FetchCount::Forward(1)),
        ("FETCH 10 c", FetchCount::Forward(10)),
        ("FETCH FORWARD 10 IN c", FetchCount::Forward(10)),
        ("FETCH FORWARD c", FetchCount::Forward(1)),
        ("FETCH ALL FROM c", FetchCount::All),
        ("FETCH FORWARD ALL FROM c", FetchCount::All),
    ] {
        assert_eq!(session(sql), S::Fetch { name: "c".into(), count }, "{sql}");
    }
    assert_eq!(session("MOVE 5 FROM c"), S::Move { name: "c".into(), count: FetchCount::Forward(5) });
    not_built("FETCH PRIOR FROM c", "FETCH PRIOR");
    not_built("FETCH -1 FROM c", "FETCH backward");
    assert_eq!(session("CLOSE ALL"), S::Close(None));
    assert_eq!(session("LISTEN a"), S::Listen("a".into()));
    assert_eq!(session("UNLISTEN *"), S::Unlisten(None));
    assert_eq!(session("NOTIFY a, 'x'"), S::Notify("a".into()));
}
