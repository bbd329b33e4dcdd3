//! What a test does when something outside of the project is missing.

/// Whether missing servers and toolchains are failures: so in CI.
pub fn is_required() -> bool {
    std::env::var("TIDEGATE_REQUIRE_SERVERS").is_ok_and(|value| value == "1")
}

/// Says on a line of its own why a test could not run; `./test` counts these lines. Where nothing
/// may be missing it fails the test instead.
pub fn skipped(reason: &str) {
    assert!(!is_required(), "{reason} (and TIDEGATE_REQUIRE_SERVERS=1 allows no skip)");
    println!("skipped: {reason}");
}
