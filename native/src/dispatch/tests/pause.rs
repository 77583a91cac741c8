//! A pause: no lease while it lasts, everything ends behind it, and each result says who made it and when.

use super::*;

#[test]
fn no_lease_is_given_in_a_pause_and_everything_ends_behind_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = settings(folder.path());
    let plan = Plan::new(&settings).expect("a valid plan");
    let files: Vec<File> = (1..6)
        .map(|words| File {
            name: format!("document-{words}"),
            text: text(words, false),
        })
        .collect();
    let mut world = World::default();
    world.open_life(0);
    let mut run = Run::new(&plan, &settings, &files, &world);
    run.dispatch.begun_unix_ms = 1_000_000;
    run.dispatch.pause(true);
    for _ in 0..100 {
        run.now_ms += 1;
        run.feed(&world);
        run.settle(&mut world);
        run.acknowledge(&mut world);
    }
    assert!(run.dispatch.is_paused());
    assert_eq!(run.dispatch.leased(), 0);
    assert_eq!(run.dispatch.pending_requests(), files.len());
    run.dispatch.pause(false);
    let mut made = Vec::new();
    while !run.dispatch.is_finished() {
        run.now_ms += 1;
        run.settle(&mut world);
        for (record, _) in &world.tail {
            if let Record::Result(result) = record {
                made.push(result.made.expect("a worker made it"));
            }
        }
        run.acknowledge(&mut world);
        let _some_answer = (0..SEATS).any(|seat| run.work(seat));
    }
    assert!(made.iter().all(|made| made.worker < SEATS));
    assert!(made.iter().all(|made| made.ended_unix_ms > 1_000_100));
}
