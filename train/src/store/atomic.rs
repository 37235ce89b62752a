//! Files and folders that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::TrainError;

/// Suffix of a file that is still being written; such files are of no use to anyone else.
pub const UNFINISHED: &str = "tmp";

/// Bytes of a file that are gathered before the system is asked to write them.
pub const BUFFER: usize = 1 << 20;

/// What an unfinished file is written through. It can go back to fill in what is only known at the end.
pub trait Sink: Write + Seek {}

impl<S: Write + Seek> Sink for S {}

/// Writes `path` through a file beside it that is synced and then renamed, so that a reader, a full disk or a killed
/// process never leaves half a file: `path` holds either what it held before or all that `fill` wrote.
///
/// # Errors
/// [`TrainError::Write`]; the unfinished file is removed then.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut dyn Sink) -> io::Result<()>) -> Result<(), TrainError> {
    stream_atomically(path, |sink| fill(sink).map_err(TrainError::write(path)))
}

/// [`write_atomically`] of what has to be fetched while it is written, which can fail too.
///
/// # Errors
/// [`TrainError::Write`], and those of `fill`; the unfinished file is removed then.
pub fn stream_atomically(path: &Path, fill: impl FnOnce(&mut dyn Sink) -> Result<(), TrainError>) -> Result<(), TrainError> {
    let unfinished = unfinished(path);
    let attempt = || {
        let file = File::create(&unfinished).map_err(TrainError::write(path))?;
        let mut writer = BufWriter::with_capacity(BUFFER, file);
        fill(&mut writer)?;
        let finish = || {
            let file = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            drop(file);
            fs::rename(&unfinished, path)?;
            sync_folder(path)
        };
        finish().map_err(TrainError::write(path))
    };
    attempt().inspect_err(|_| {
        // The error worth reporting is the first one; removing what was begun can only fail with it.
        let _ = fs::remove_file(&unfinished);
    })
}

/// Writes the folder `path` through one beside it that is then renamed. A folder that was there is replaced; a process
/// killed between the two steps leaves none rather than half of one.
///
/// # Errors
/// [`TrainError::Write`], and those of `fill`; the unfinished folder is removed then.
pub fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<(), TrainError>) -> Result<(), TrainError> {
    let unfinished = unfinished(path);
    remove(&unfinished).map_err(TrainError::write(&unfinished))?;
    let attempt = || {
        fs::create_dir_all(&unfinished).map_err(TrainError::write(&unfinished))?;
        fill(&unfinished)?;
        sync_files(&unfinished).map_err(TrainError::write(path))?;
        remove(path).map_err(TrainError::write(path))?;
        fs::rename(&unfinished, path).and_then(|()| sync_folder(path)).map_err(TrainError::write(path))
    };
    attempt().inspect_err(|_| {
        let _ = remove(&unfinished);
    })
}

/// Beside `path`, with the suffix of what is unfinished.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    name.push(UNFINISHED);
    path.with_file_name(name)
}

/// Removes a file or folder, if there is one.
fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn sync_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { sync_files(&path)? } else { File::open(&path)?.sync_all()? }
    }
    Ok(())
}

/// Makes the rename itself survive a power cut, where the system can.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Removes what killed processes left unfinished in `folder`.
///
/// # Errors
/// [`TrainError::Read`] where the folder cannot be listed, [`TrainError::Write`] where a file cannot be removed.
pub fn remove_unfinished(folder: &Path) -> Result<(), TrainError> {
    for entry in fs::read_dir(folder).map_err(TrainError::read(folder))? {
        let path = entry.map_err(TrainError::read(folder))?.path();
        if path.extension().is_some_and(|extension| extension == UNFINISHED) {
            remove(&path).map_err(TrainError::write(&path))?;
        }
    }
    Ok(())
}
