//! One folder, filled beside its place and renamed into it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::existing::Existing;
use super::temporary::{make, parent, remove, sync_folder};

/// A folder that takes its name only in [`NewFolder::publish`]; dropped before, it vanishes with all that is in it.
#[derive(Debug)]
pub struct NewFolder {
    target: PathBuf,
    temporary: PathBuf,
    published: bool,
}

impl NewFolder {
    /// Begins the folder that is to be at `path`, in the folder where it will be, which must be there.
    ///
    /// # Errors
    /// When that folder cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let (temporary, ()) = make(parent(path), |name| fs::create_dir(name))?;
        Ok(Self { target: path.into(), temporary, published: false })
    }

    /// Where to write what the folder is to hold.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Gives the folder its name, once all that is in it is on the disk. What is there and is to be replaced is removed
    /// afterwards; a process killed between the two renames leaves it aside, under the name of something unfinished.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] where something is there that is to be kept; those of the disk, after which
    /// everything is as it was before.
    pub fn publish(mut self, existing: Existing) -> io::Result<()> {
        sync_tree(&self.temporary)?;
        let there = self.target.symlink_metadata().is_ok();
        if there && existing == Existing::Keep {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let old = if there { Some(Aside::put(&self.target)?) } else { None };
        if let Err(error) = fs::rename(&self.temporary, &self.target) {
            if let Some(old) = old {
                old.put_back(&self.target);
            }
            return Err(error);
        }
        self.published = true;
        sync_folder(parent(&self.target))?;
        match old {
            Some(old) => remove(&old.0),
            None => Ok(()),
        }
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// What was moved out of the way, in a folder of its own.
struct Aside(PathBuf);

impl Aside {
    fn put(path: &Path) -> io::Result<Self> {
        let (folder, ()) = make(parent(path), |name| fs::create_dir(name))?;
        let aside = Self(folder);
        fs::rename(path, aside.inner()).inspect_err(|_| {
            let _ = fs::remove_dir(&aside.0);
        })?;
        Ok(aside)
    }

    fn inner(&self) -> PathBuf {
        self.0.join("replaced")
    }

    /// What cannot be put back stays aside rather than being deleted.
    fn put_back(self, path: &Path) {
        if fs::rename(self.inner(), path).is_ok() {
            let _ = fs::remove_dir(&self.0);
        }
    }
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_tree(&entry.path())?,
            false => fs::File::open(entry.path())?.sync_all()?,
        }
    }
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_moved_aside_returns_or_stays_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle");
        let count = || fs::read_dir(folder.path()).unwrap().count();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), "old").unwrap();
        let aside = Aside::put(&path).unwrap();
        assert!(!path.exists());
        aside.put_back(&path);
        assert_eq!((fs::read(path.join("file")).unwrap(), count()), (b"old".to_vec(), 1));
        let aside = Aside::put(&path).unwrap();
        let place = aside.inner();
        fs::create_dir_all(path.join("somebody else's")).unwrap();
        aside.put_back(&path);
        assert_eq!((fs::read(place.join("file")).unwrap(), count()), (b"old".to_vec(), 2));
        assert!(Aside::put(&folder.path().join("nothing")).is_err());
        assert_eq!(count(), 2);
    }
}
