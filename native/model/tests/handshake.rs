//! Every interleaving of one publisher and one sleeper, and the planted bugs that must be found.

use channel_model::{no_fence, product, relaxed_publish};

fn explore(scenario: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(scenario);
}

fn fails(scenario: impl Fn() + Sync + Send + 'static) -> String {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| explore(scenario)));
    match caught {
        Ok(()) => String::new(),
        Err(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "a panic".into()),
    }
}

#[test]
fn no_line_is_torn_and_no_wake_up_lost() {
    explore(|| product::pass(2, 2));
}

#[test]
fn a_full_ring_reuses_places_only_after_they_were_read() {
    explore(|| product::pass(2, 1));
}

#[test]
fn publishing_without_release_is_caught() {
    let problem = fails(|| relaxed_publish::pass(1, 2));
    assert!(problem.contains("torn or stale"), "{problem}");
}

#[test]
fn a_missing_fence_is_caught_as_a_lost_wake_up() {
    let problem = fails(|| no_fence::pass(1, 2));
    assert!(problem.contains("deadlock"), "{problem}");
}
