//! SPIN over ipc.pml: the protocol holds, and each planted bug is found. Skipped, saying so, where spin or cc is absent.

use std::path::Path;
use std::process::Command;

fn installed(tool: &str) -> bool {
    Command::new(tool).arg("-V").output().is_ok()
}

/// Number of errors that the exhaustive search reports.
fn errors(defines: &[&str]) -> u32 {
    let folder = tempfile::tempdir().unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("ipc.pml");
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&folder)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mut arguments = vec!["-a"];
    arguments.extend(defines);
    let model = model.to_string_lossy();
    arguments.push(&model);
    run("spin", &arguments);
    run("cc", &["-O2", "-DSAFETY", "-o", "pan", "pan.c"]);
    let pan = folder.path().join("pan");
    let report = run(&pan.to_string_lossy(), &["-m400000"]);
    let count = report
        .split("errors: ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    count
        .and_then(|count| count.parse().ok())
        .unwrap_or_else(|| panic!("no verdict: {report}"))
}

#[test]
fn the_protocol_holds_and_every_planted_bug_is_found() {
    if !installed("spin") || !installed("cc") {
        println!("skipped: spin or cc is not installed (Debian: apt install spin)");
        return;
    }
    assert_eq!(errors(&[]), 0);
    assert_eq!(errors(&["-DDOCS=4", "-DKILLS=3"]), 0);
    for mutant in [
        "-DMUT_WORKER_NO_RECHECK",
        "-DMUT_RUNNER_NO_RECHECK",
        "-DMUT_REQUEUE_FIRST",
    ] {
        assert_ne!(errors(&[mutant]), 0, "{mutant} was not found");
    }
}
