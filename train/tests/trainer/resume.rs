//! Runs that are stopped in every way, against one that is not.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dmdx_train::TrainError;
use dmdx_train::session::{Draws, Interrupt, RunFolder};

use super::events;
use super::toy::{self, files};

const FOLDER: &str = "DMDX_TOY_FOLDER";

/// Not a test of its own: the process that the tests below start and stop.
#[test]
fn toy_child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let interrupt = Interrupt::on_signal().unwrap();
    let resume = folder.join("run.lock").exists();
    let code = match toy::run(folder, resume, &[], &interrupt, Duration::from_millis(2)) {
        Ok(_) => 0,
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_code()
        }
    };
    std::process::exit(i32::from(code));
}

pub fn child(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "resume::toy_child", "--nocapture"]).env(FOLDER, folder);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn ended(mut child: Child, within: Duration) -> Option<std::process::ExitStatus> {
    let deadline = std::time::Instant::now() + within;
    while std::time::Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

pub fn uninterrupted(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    toy::run(folder, false, &[], &Interrupt::default(), Duration::ZERO).unwrap();
    files(folder)
}

pub fn same_files(found: &std::collections::BTreeMap<String, Vec<u8>>, wanted: &std::collections::BTreeMap<String, Vec<u8>>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (name, bytes) in wanted {
        assert!(found[name] == *bytes, "{name} differs");
    }
}

#[test]
fn killed_at_any_moment_it_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = uninterrupted(&folder.path().join("whole"));
    let path = folder.path().join("killed");
    let mut kills = 0;
    loop {
        // Longer and longer, so that the run ends however slow the machine is.
        let wait = Draws::new(11, "kill", kills).integers(1, 3, 40)[0] as u64 + kills * 2;
        match ended(child(&path).spawn().unwrap(), Duration::from_millis(wait)) {
            Some(status) => {
                assert!(status.success(), "{status}");
                break;
            }
            None => kills += 1,
        }
    }
    assert!(kills >= 2, "only {kills} kills");
    same_files(&files(&path), &wanted);
}

#[test]
fn stopped_after_every_single_iteration_it_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = uninterrupted(&folder.path().join("whole"));
    let path = folder.path().join("stopped");
    let mut stops = 0;
    loop {
        let interrupt = Interrupt::default();
        interrupt.request();
        match toy::run(&path, stops > 0, &[], &interrupt, Duration::ZERO) {
            Ok(_) => break,
            Err(error @ TrainError::Interrupted { .. }) => assert_eq!(error.exit_code(), 130),
            Err(other) => panic!("{other}"),
        }
        stops += 1;
    }
    assert_eq!(stops, 40);
    same_files(&files(&path), &wanted);
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = uninterrupted(&folder.path().join("whole"));
    let path = folder.path().join("run");
    let running = child(&path).spawn().unwrap();
    while !path.join("metrics.jsonl").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let sent = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("error: interrupted in phase ad"), "{said}");
    assert!(said.contains("so run the same command with --resume to continue"), "{said}");
    assert!(child(&path).status().unwrap().success());
    same_files(&files(&path), &wanted);
}

#[test]
fn a_rotten_newest_checkpoint_costs_only_iterations() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = uninterrupted(&folder.path().join("whole"));
    let path = folder.path().join("run");
    uninterrupted(&path);
    let newest = path.join("checkpoints/01-adm-000000017-end.safetensors");
    std::fs::write(&newest, &std::fs::read(&newest).unwrap()[..1000]).unwrap();
    toy::run(&path, true, &[], &Interrupt::default(), Duration::ZERO).unwrap();
    same_files(&files(&path), &wanted);
}

#[test]
fn a_finished_run_resumes_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = uninterrupted(folder.path());
    let state = toy::run(folder.path(), true, &[], &Interrupt::default(), Duration::ZERO).unwrap().state.unwrap();
    assert_eq!(state.counter("generator_optimizer.steps").unwrap(), 17);
    same_files(&files(folder.path()), &wanted);
}

/// Steps go on over the phases, every event is there once, and what was seen is logged with its iteration.
#[test]
fn an_event_file_is_of_one_run_however_often_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    for stops in 0.. {
        let interrupt = Interrupt::default();
        interrupt.request();
        if toy::run(&path, stops > 0, &[], &interrupt, Duration::ZERO).is_ok() {
            break;
        }
    }
    let bytes = std::fs::read(path.join("tensorboard/events.out.tfevents.0000000000.dmdx")).unwrap();
    let found = events::tags(&bytes);
    // The version, the recipe, 23 and 17 iterations, and looks after 7, 14 and 21, and 7 and 14 of them.
    assert_eq!(found.len(), 2 + 40 + 5);
    assert_eq!(found[1], (0, vec!["recipe".to_string()]));
    let scalars = |tag: &str| -> Vec<u64> {
        found.iter().filter(|(_, tags)| tags.iter().any(|found| found == tag)).map(|(step, _)| *step).collect()
    };
    assert_eq!(scalars("adp/loss_toy"), (0..23).collect::<Vec<_>>());
    assert_eq!(scalars("adm/loss_toy"), (23..40).collect::<Vec<_>>());
    assert_eq!(scalars("performance/samples_per_second"), (0..40).collect::<Vec<_>>());
    assert_eq!((scalars("adp/samples"), scalars("adp/spread")), (vec![6, 13, 20], vec![6, 13, 20]));
    assert_eq!((scalars("adm/samples"), scalars("adm/seen_after")), (vec![29, 36], vec![29, 36]));
    let timing = std::fs::read_to_string(path.join("timing.jsonl")).unwrap();
    assert_eq!(timing.lines().count(), 40);
    let none = folder.path().join("none");
    toy::run(&none, false, &["run.sample_every=0"], &Interrupt::default(), Duration::ZERO).unwrap();
    assert!(!std::fs::read_to_string(none.join("metrics.jsonl")).unwrap().contains("spread"));
    // Looking changes nothing that is trained.
    let end = "checkpoints/01-adm-000000017-end.safetensors";
    let weights = |path: &Path| {
        let file = dmdx_train::store::tensor_file::TensorFile::open(&path.join(end)).unwrap();
        file.f32("generator.w").unwrap().unwrap()
    };
    assert!(weights(&none) == weights(&path));
}

#[test]
fn a_phase_of_no_iterations_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let none = ["adp.iterations=0"];
    let state = toy::run(folder.path(), false, &none, &Interrupt::default(), Duration::ZERO).unwrap().state.unwrap();
    assert_eq!(state.counter("generator_optimizer.steps").unwrap(), 17);
    assert!(files(folder.path()).keys().all(|name| !name.contains("adp")));
}

#[test]
fn run_folders_are_not_mixed_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let run = |resume, set: &[&str]| toy::run(&path, resume, set, &Interrupt::default(), Duration::ZERO).map(drop);
    let say = |result: Result<(), TrainError>| result.unwrap_err().to_string().replace(path.to_str().unwrap(), "RUN");
    assert_eq!(say(run(true, &[])), "there is no run to resume in RUN; leave --resume out to start one");
    run(false, &[]).unwrap();
    assert_eq!(
        say(run(false, &[])),
        "the run folder RUN is not empty; pass --resume to continue the run in it, or another folder with --out"
    );
    assert_eq!(
        say(run(true, &["adp.lr_generator=1e-3"])),
        "the run was started with adp.lr_generator = 1e-6, but the recipe now says 0.001; put it back, or start a new run with --out"
    );
    run(true, &["checkpoint.every=3", "run.threads=1", "export.targets=[\"compat\"]"]).unwrap();
    let held = RunFolder::resume(&path).unwrap();
    let error = run(true, &[]).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert_eq!(
        say(Err(error)),
        format!("RUN is in use by process {}; wait for it to end, or choose another folder with --out", std::process::id())
    );
    drop(held);
    run(true, &[]).unwrap();
}
