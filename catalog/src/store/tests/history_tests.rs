//! What the history promises: rows come back as they were put, repeats count up, rings are bounded.

use super::{fresh, job, mapping, open, source};
use crate::definition::Job;
use crate::state::*;
use crate::store::*;

fn run(id: i64, job_id: i64, finished_at: Option<i64>) -> Run {
    Run {
        id,
        job_id,
        job_name: "j".to_owned(),
        trigger: RunTrigger::Recovery,
        state: if finished_at.is_some() { RunState::Succeeded } else { RunState::Running },
        started_at: 10,
        finished_at,
        rows_read: Some(0),
        rows_written: None,
        rows_skipped: None,
        rows_error: None,
        bytes_read: Some(i64::MAX),
        start_position: Some("0/1".to_owned()),
        end_position: None,
        attempt: 1,
        error_id: None,
        definition_version: 1,
        mapping_ids: vec![3, 4],
    }
}

fn step(run_id: i64, step_no: i32) -> Step {
    Step {
        run_id,
        step_no,
        step: "load".to_owned(),
        table_name: Some("s.t".to_owned()),
        state: RunState::Running,
        started_at: 1,
        finished_at: None,
        rows_done: None,
        detail: None,
        error_id: None,
        is_retryable: false,
    }
}

fn error(run_id: i64, message: &str, at: i64) -> ErrorRecord {
    ErrorRecord {
        id: 0,
        occurred_at: at,
        last_seen_at: at,
        repeat_count: 1,
        job_id: Some(1),
        job_name: Some("j".to_owned()),
        run_id: Some(run_id),
        source_table: Some("s.t".to_owned()),
        step: None,
        side: ErrorSide::Sink,
        sqlstate: "22023".to_owned(),
        message: message.to_owned(),
        detail: Some("First.".to_owned()),
        hint: None,
        is_retryable: true,
        row_key: Some("id=1".to_owned()),
    }
}

fn event(at: i64) -> Event {
    Event {
        id: 0,
        occurred_at: at,
        object_kind: "job".to_owned(),
        object_id: 1,
        object_name: "j".to_owned(),
        table_name: None,
        old_state: None,
        new_state: Some("running".to_owned()),
        reason: None,
        actor: "gateway".to_owned(),
    }
}

fn check(source_name: &str, check_name: &str) -> SourceCheck {
    SourceCheck {
        id: 0,
        source_name: source_name.to_owned(),
        checked_at: 1,
        check_name: check_name.to_owned(),
        status: CheckStatus::Warn,
        message: "m".to_owned(),
        hint: None,
        elapsed_ms: 3,
    }
}

#[test]
fn runs_and_steps_come_back_as_they_were_put_last() {
    let (directory, store) = fresh();
    for id in 1..=3 {
        store.put_run(&run(id, id % 2, None)).unwrap();
    }
    store.put_run(&run(2, 0, Some(99))).unwrap();
    store.put_step(&step(2, 2)).unwrap();
    store.put_step(&step(2, 1)).unwrap();
    store.put_step(&step(3, 1)).unwrap();
    let done = Step { state: RunState::Failed, rows_done: Some(5), ..step(2, 1) };
    store.put_step(&done).unwrap();
    drop(store);
    let store = open(&directory.path().join("data"));
    assert_eq!(store.runs(None, 10).unwrap(), [run(3, 1, None), run(2, 0, Some(99)), run(1, 1, None)]);
    assert_eq!(store.runs(Some(1), 1).unwrap(), [run(3, 1, None)]);
    assert_eq!(store.unfinished_runs().unwrap(), [run(1, 1, None), run(3, 1, None)]);
    assert_eq!(store.run(2).unwrap(), Some(run(2, 0, Some(99))));
    assert_eq!(store.run(9).unwrap(), None);
    assert_eq!(store.steps(Some(2), 10).unwrap(), [done.clone(), step(2, 2)]);
    assert_eq!(store.steps(None, 2).unwrap(), [step(3, 1), done]);
}

#[test]
fn the_same_error_counts_up_and_another_gets_a_row() {
    let (_directory, store) = fresh();
    let first = store.record_error(error(1, "bad", 10)).unwrap();
    let again = ErrorRecord { detail: Some("Second.".to_owned()), repeat_count: 3, ..error(1, "bad", 20) };
    assert_eq!(store.record_error(again).unwrap(), first);
    let others = [
        error(2, "bad", 11),
        error(1, "worse", 12),
        ErrorRecord { source_table: None, ..error(1, "bad", 13) },
        ErrorRecord { sqlstate: "22003".to_owned(), ..error(1, "bad", 14) },
        ErrorRecord { run_id: None, job_id: None, ..error(1, "bad", 15) },
    ];
    let mut ids = vec![first];
    ids.extend(others.map(|other| store.record_error(other).unwrap()));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    let found = store.error(first).unwrap().unwrap();
    assert_eq!(found, ErrorRecord { id: first, repeat_count: 4, last_seen_at: 20, ..error(1, "bad", 10) });
    assert_eq!(store.errors(1).unwrap(), [found]);
    assert_eq!(store.errors(100).unwrap().len(), 6);
    assert_eq!(store.error(12345).unwrap(), None);
}

#[test]
fn errors_seen_by_many_threads_at_once_are_one_row() {
    let (_directory, store) = fresh();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    store.record_error(error(1, "bad", 10)).unwrap();
                }
            });
        }
    });
    let errors = store.errors(10).unwrap();
    assert_eq!((errors.len(), errors[0].repeat_count), (1, 40));
}

#[test]
fn checks_of_a_source_replace_its_earlier_ones_and_follow_it() {
    let (_directory, store) = fresh();
    store.commit(0, vec![Change::PutSource(source(1001, "a")), Change::PutSource(source(1002, "b"))]).unwrap();
    store.put_source_checks(vec![check("a", "x"), check("a", "y"), check("b", "z")]).unwrap();
    store.put_source_checks(vec![check("a", "w")]).unwrap();
    store.put_source_checks(Vec::new()).unwrap();
    store.put_sink_trace(1, 2, 3, "a", "{}").unwrap();
    for id in [1001, 1002, 1003] {
        let health = SourceHealth { source_id: id, health: "ok".into(), last_checked_at: Some(1), last_error: None };
        store.put_source_health(&health).unwrap();
    }
    let names = |store: &Store| -> Vec<String> {
        store.source_checks().unwrap().iter().map(|c| format!("{}.{}", c.source_name, c.check_name)).collect()
    };
    let healthy =
        |store: &Store| -> Vec<i64> { store.source_health().unwrap().iter().map(|health| health.source_id).collect() };
    assert_eq!(names(&store), ["a.w", "b.z"]);
    assert!(store.source_checks().unwrap().iter().all(|check| check.id > 0));
    assert_eq!(healthy(&store), [1001, 1002]);
    store.commit(1, vec![Change::PutSource(source(1001, "b")), Change::PutSource(source(1002, "a"))]).unwrap();
    assert_eq!(names(&store), ["a.z", "b.w"]);
    assert_eq!(store.sink_traces().unwrap()[0].source_name, "b");
    store.commit(2, vec![Change::DeleteSource(1001), Change::PutSource(source(1002, "b"))]).unwrap();
    assert_eq!(names(&store), ["b.z"]);
    assert_eq!(healthy(&store), [1002]);
}

#[test]
fn counters_are_replaced_reset_and_added_up() {
    let (directory, store) = fresh();
    store
        .commit(
            0,
            vec![
                Change::PutJob(job(1, "j")),
                Change::PutJob(job(2, "k")),
                Change::PutMapping(mapping(11, 1)),
                Change::PutMapping(mapping(12, 2)),
            ],
        )
        .unwrap();
    let counters = |mapping_id, job_id, rows| MappingStatistics {
        mapping_id,
        job_id,
        rows_read: rows,
        rows_written: rows,
        rows_skipped: 1,
        bytes_read: 2,
        bytes_written: 3,
        error_count: 4,
        last_row_at: Some(5),
        last_commit_at: None,
        stats_reset_at: 6,
    };
    store.put_mapping_statistics(&[counters(11, 1, 5), counters(12, 2, 6)]).unwrap();
    store.put_mapping_statistics(&[counters(11, 1, 7)]).unwrap();
    assert_eq!(store.mapping_statistics().unwrap(), [counters(11, 1, 7), counters(12, 2, 6)]);
    store.reset_statistics(1, 77).unwrap();
    let zero = MappingStatistics { mapping_id: 11, job_id: 1, stats_reset_at: 77, ..Default::default() };

    let day = |day, rows| DayStatistics {
        day,
        source_name: "a".to_owned(),
        schema_name: "s".to_owned(),
        table_name: "t".to_owned(),
        is_import: true,
        runs: 1,
        rows,
        bytes: 10,
        seconds_total: 0.5,
    };
    store.add_day_statistics(&[day(2, 5), day(1, 1)]).unwrap();
    store.add_day_statistics(&[day(2, 7)]).unwrap();
    drop(store);
    let store = open(&directory.path().join("data"));
    assert_eq!(store.mapping_statistics().unwrap(), [zero, counters(12, 2, 6)]);
    let sum = DayStatistics { runs: 2, bytes: 20, seconds_total: 1.0, ..day(2, 12) };
    assert_eq!(store.day_statistics().unwrap(), [day(1, 1), sum]);
}

#[test]
fn a_sink_trace_stays_until_it_is_deleted() {
    let (directory, store) = fresh();
    store.put_sink_trace(1, 2, 3, "a", "[1]").unwrap();
    store.put_sink_trace(1, 2, 3, "a", "[1,2]").unwrap();
    store.put_sink_trace(1, 3, 3, "a", "[3]").unwrap();
    drop(store);
    let store = open(&directory.path().join("data"));
    let traces = store.sink_traces().unwrap();
    assert_eq!(traces.iter().map(|t| t.json.as_str()).collect::<Vec<_>>(), ["[1,2]", "[3]"]);
    assert_eq!((traces[0].job_id, traces[0].mapping_id, traces[0].run_id), (1, 2, 3));
    store.delete_sink_trace(3, 2).unwrap();
    store.delete_sink_trace(3, 2).unwrap();
    assert_eq!(store.sink_traces().unwrap().len(), 1);
}

#[test]
fn pruning_by_age_keeps_what_is_going_on_and_what_is_pointed_at() {
    let (_directory, store) = fresh();
    store.put_run(&run(1, 1, Some(100))).unwrap();
    store.put_run(&run(2, 1, None)).unwrap();
    store.put_run(&run(3, 1, Some(100))).unwrap();
    store.put_run(&run(4, 1, Some(300))).unwrap();
    for run_id in 1..=4 {
        store.put_step(&step(run_id, 1)).unwrap();
    }
    let old = store.record_error(error(1, "old", 100)).unwrap();
    let pointed_at = store.record_error(error(1, "pointed at", 100)).unwrap();
    let new = store.record_error(error(1, "new", 300)).unwrap();
    store.record_event(event(100)).unwrap();
    let late = store.record_event(event(300)).unwrap();
    let job = Job { current_run_id: Some(3), last_error_id: Some(pointed_at), ..job(1000, "j") };
    store.commit(0, vec![Change::PutJob(job)]).unwrap();

    assert_eq!(store.prune(200, 100).unwrap(), 4);
    assert_eq!(store.runs(None, 10).unwrap().iter().map(|run| run.id).collect::<Vec<_>>(), [4, 3, 2]);
    assert_eq!(store.steps(None, 10).unwrap().iter().map(|step| step.run_id).collect::<Vec<_>>(), [4, 3, 2]);
    assert_eq!(store.errors(10).unwrap().iter().map(|error| error.id).collect::<Vec<_>>(), [new, pointed_at]);
    assert_eq!(store.error(old).unwrap(), None);
    assert_eq!(store.events(10).unwrap().iter().map(|event| event.id).collect::<Vec<_>>(), [late]);
    assert_eq!(store.prune(200, 100).unwrap(), 0);
}

#[test]
fn pruning_by_number_keeps_the_newest_rows() {
    let (_directory, store) = fresh();
    store.put_run(&run(1, 1, None)).unwrap();
    store.put_step(&step(1, 1)).unwrap();
    for id in 2..=9 {
        store.put_run(&run(id, 1, Some(100))).unwrap();
        store.put_step(&step(id, 1)).unwrap();
        store.put_step(&step(id, 2)).unwrap();
        store.record_error(error(id, "e", 100 + id)).unwrap();
        store.record_event(event(100)).unwrap();
    }
    store.prune(0, 3).unwrap();
    assert_eq!(store.runs(None, 10).unwrap().iter().map(|run| run.id).collect::<Vec<_>>(), [9, 8, 7, 1]);
    let steps = store.steps(None, 10).unwrap();
    let steps: Vec<_> = steps.iter().map(|step| (step.run_id, step.step_no)).collect();
    assert_eq!(steps, [(9, 1), (9, 2), (8, 2), (1, 1)]);
    assert_eq!(
        store.errors(10).unwrap().iter().map(|error| error.run_id).collect::<Vec<_>>(),
        [Some(9), Some(8), Some(7)]
    );
    assert_eq!(store.events(10).unwrap().len(), 3);
    store.prune(0, -1).unwrap();
    assert_eq!(store.runs(None, 10).unwrap().len(), 1);
    assert_eq!(store.events(10).unwrap().len(), 0);
}

#[test]
fn pruning_more_than_one_batch_prunes_it_all() {
    let (_directory, store) = fresh();
    for _ in 0..4500 {
        store.record_event(event(1)).unwrap();
    }
    let started = std::time::Instant::now();
    assert_eq!(store.prune(2, 1000).unwrap(), 4500);
    assert!(started.elapsed().as_secs() < 30);
}
