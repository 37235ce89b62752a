use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use dmdx_train::TrainError;
use dmdx_train::store::append::AppendFile;
use dmdx_train::store::atomic::write_atomically;

use super::resume::{same_files, uninterrupted};
use super::toy::files;

#[test]
fn an_atomic_write_that_fails_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write_atomically(&path, |writer| writer.write_all(b"old")).unwrap();
    let error = write_atomically(&path, |writer| {
        writer.write_all(&vec![7; 3 << 20])?;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    })
    .unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().ends_with(
        "file cannot be written (no storage space); nothing half-written was left, so free the cause and resume with --resume"
    ));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_atomic_write_into_no_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = write_atomically(&folder.path().join("none/file"), |_| Ok(())).unwrap_err();
    assert!(matches!(error, TrainError::Write { .. }));
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_on_a_full_disk_is_an_error() {
    let mut log = AppendFile::open(Path::new("/dev/full"), 0).unwrap();
    let error = log.append(b"line\n").unwrap_err();
    assert!(error.to_string().starts_with("/dev/full cannot be written (No space left on device"), "{error}");
}

#[test]
fn a_log_is_cut_back_and_never_shorter_than_its_checkpoint_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut log = AppendFile::open(&path, 0).unwrap();
    log.append(b"one\n").unwrap();
    log.append(b"two\n").unwrap();
    assert_eq!(log.sync().unwrap(), 8);
    let mut log = AppendFile::open(&path, 4).unwrap();
    log.append(b"three\n").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"one\nthree\n");
    let error = AppendFile::open(&path, 11).unwrap_err().to_string();
    assert!(
        error.ends_with("log is damaged: it has 10 bytes, but the checkpoint was made when it had 11; start a new run"),
        "{error}"
    );
}

/// The system's limit on file sizes stands in for the full disk: the toy's checkpoints do not fit under it.
#[cfg(unix)]
#[test]
fn a_run_on_a_full_disk_stops_with_a_sentence_and_goes_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = uninterrupted(&folder.path().join("whole"));
    let path = folder.path().join("full");
    let limited = |blocks: &str| {
        Command::new("sh")
            .args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "resume::toy_child", "--nocapture"])
            .env("DMDX_TOY_FOLDER", &path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .unwrap()
    };
    let output = limited("100");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("error: ") && said.contains("00-adp-000000005.safetensors cannot be written (File too large"),
        "{said}"
    );
    assert_eq!(std::fs::read_dir(path.join("checkpoints")).unwrap().count(), 0);
    assert!(limited("unlimited").status.success());
    same_files(&files(&path), &wanted);
}
