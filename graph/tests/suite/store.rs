//! Files and folders appear whole or not at all; hashes are those of `sha256sum`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::Path;

use dmdx_graph::store::{
    Existing, NewFile, NewFolder, PlaceError, check_file, check_folder, hash, remove_unfinished, write_file,
};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_appears_only_when_it_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for existing in [Existing::Keep, Existing::Replace] {
        let mut file = NewFile::create(&path, existing).unwrap();
        file.write_all(b"contents").unwrap();
        file.seal().unwrap();
        file.write_all(b", all of them").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(b"C").unwrap();
        let begun = names(folder.path());
        assert!(begun.iter().filter(|name| name.starts_with(".dmdx-") && name.ends_with(".part")).count() == 1, "{begun:?}");
        assert_eq!(path.exists(), existing == Existing::Replace);
        file.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"Contents, all of them");
        assert_eq!(names(folder.path()), ["file"]);
    }
}

#[test]
fn places_are_looked_at_and_left_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("file"), "x").unwrap();
    fs::create_dir(path("folder")).unwrap();
    for existing in [Existing::Keep, Existing::Replace] {
        check_file(&path("new"), existing).unwrap();
        check_folder(&path("new"), existing).unwrap();
        assert!(matches!(check_file(&path("folder"), existing), Err(PlaceError::Folder(_))));
        assert!(matches!(check_file(&path("new/"), existing), Err(PlaceError::Folder(_))));
        assert!(matches!(check_file(Path::new(".."), existing), Err(PlaceError::Folder(_))));
        assert!(matches!(check_file(&path("no/file"), existing), Err(PlaceError::NoFolder { .. })));
        assert!(matches!(check_folder(&path("no/folder"), existing), Err(PlaceError::NoFolder { .. })));
        assert!(matches!(check_file(&path("file/new"), existing), Err(PlaceError::NotAFolder { .. })));
        assert!(matches!(check_file(&path("file/new/newer"), existing), Err(PlaceError::NotAFolder { .. })));
        #[cfg(unix)]
        assert!(matches!(check_file(Path::new("/dev/null"), existing), Err(PlaceError::Special(_))));
        // A folder of the kernel's in which nobody may make anything.
        #[cfg(target_os = "linux")]
        assert!(matches!(check_file(Path::new("/proc/self/new"), existing), Err(PlaceError::Refused { .. })));
    }
    assert!(matches!(check_file(&path("file"), Existing::Keep), Err(PlaceError::Exists(_))));
    assert!(matches!(check_folder(&path("folder"), Existing::Keep), Err(PlaceError::Exists(_))));
    check_file(&path("file"), Existing::Replace).unwrap();
    check_folder(&path("folder"), Existing::Replace).unwrap();
    assert_eq!((names(folder.path()), fs::read(path("file")).unwrap()), (vec!["file".into(), "folder".into()], b"x".to_vec()));
}

#[test]
fn a_file_is_written_from_bytes_or_from_another() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    write_file(&one, Existing::Keep, &b"contents"[..]).unwrap();
    write_file(&two, Existing::Keep, fs::File::open(&one).unwrap()).unwrap();
    assert_eq!(fs::read(&two).unwrap(), b"contents");
    assert_eq!(write_file(&two, Existing::Keep, &b"other"[..]).unwrap_err().kind(), ErrorKind::AlreadyExists);
    // A folder can be opened but not read.
    #[cfg(unix)]
    assert!(write_file(&two, Existing::Replace, fs::File::open(folder.path()).unwrap()).is_err());
    assert_eq!((fs::read(&two).unwrap(), names(folder.path()).len()), (b"contents".to_vec(), 2));
}

#[test]
fn a_file_that_is_given_up_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "old").unwrap();
    let mut file = NewFile::create(&path, Existing::Replace).unwrap();
    file.write_all(&vec![7; 3 << 20]).unwrap();
    drop(file);
    assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["file".to_string()], b"old".to_vec()));
    assert_eq!(NewFile::create(&folder.path().join("none/file"), Existing::Keep).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn what_is_to_be_kept_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    // Before the writing begins, and while it goes on.
    let mut late = NewFile::create(&path, Existing::Keep).unwrap();
    late.write_all(b"new").unwrap();
    fs::write(&path, "old").unwrap();
    assert_eq!(NewFile::create(&path, Existing::Keep).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(late.publish().unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!((names(folder.path()), fs::read(&path).unwrap()), (vec!["file".to_string()], b"old".to_vec()));
}

#[test]
fn a_file_takes_the_place_of_regular_files_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("place");
    fs::create_dir(&path).unwrap();
    let error = NewFile::create(&path, Existing::Replace).unwrap_err();
    assert_eq!(error.to_string(), "something other than a regular file is there");
    #[cfg(unix)]
    {
        let error = NewFile::create(Path::new("/dev/null"), Existing::Replace).unwrap_err();
        assert_eq!(error.to_string(), "something other than a regular file is there");
        // A link that leads nowhere is there, too; replacing it replaces the link.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert_eq!(NewFile::create(&link, Existing::Keep).unwrap_err().kind(), ErrorKind::AlreadyExists);
        NewFile::create(&link, Existing::Replace).unwrap().publish().unwrap();
        assert!(link.symlink_metadata().unwrap().is_file());
    }
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn new_files_and_folders_have_the_rights_of_any_other() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mode = |name: &str| folder.path().join(name).metadata().unwrap().permissions().mode();
    fs::write(folder.path().join("any file"), "").unwrap();
    fs::create_dir(folder.path().join("any folder")).unwrap();
    NewFile::create(&folder.path().join("file"), Existing::Keep).unwrap().publish().unwrap();
    NewFolder::create(&folder.path().join("folder")).unwrap().publish(Existing::Keep).unwrap();
    assert_eq!((mode("file"), mode("folder")), (mode("any file"), mode("any folder")));
}

#[test]
fn a_folder_appears_whole_and_replaces_only_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle");
    let make = |text: &str| {
        let new = NewFolder::create(&path).unwrap();
        fs::create_dir(new.path().join("inner")).unwrap();
        fs::write(new.path().join("inner/file"), text).unwrap();
        new
    };
    let contents = || fs::read_to_string(path.join("inner/file"));
    drop(make("dropped"));
    assert_eq!(names(folder.path()), [""; 0]);
    make("first").publish(Existing::Keep).unwrap();
    assert_eq!(make("second").publish(Existing::Keep).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!(contents().unwrap(), "first");
    make("third").publish(Existing::Replace).unwrap();
    assert_eq!((contents().unwrap(), names(folder.path())), ("third".to_string(), vec!["bundle".to_string()]));
    // Where the new folder cannot be synced, the old one is not touched.
    let broken = make("fourth");
    let unfinished = broken.path().to_path_buf();
    fs::remove_dir_all(&unfinished).unwrap();
    assert!(broken.publish(Existing::Replace).is_err());
    assert_eq!((contents().unwrap(), names(folder.path())), ("third".to_string(), vec!["bundle".to_string()]));
}

#[test]
fn what_killed_processes_left_is_removed_and_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    // Every name that this process could try next is taken but the later ones.
    let begun = NewFile::create(&folder.path().join("file"), Existing::Keep).unwrap();
    let number: u64 = names(folder.path())[0].trim_end_matches(".part").rsplit('-').next().unwrap().parse().unwrap();
    for taken in 1..=40 {
        fs::create_dir(folder.path().join(format!(".dmdx-{}-{}.part", std::process::id(), number + taken))).unwrap();
    }
    begun.publish().unwrap();
    NewFile::create(&folder.path().join("other"), Existing::Keep).unwrap().publish().unwrap();
    fs::write(folder.path().join(".dmdx-1-2.part"), "half").unwrap();
    fs::write(folder.path().join("a.part"), "somebody else's").unwrap();
    remove_unfinished(folder.path()).unwrap();
    assert_eq!(names(folder.path()), ["a.part", "file", "other"]);
}

#[test]
fn hashes_are_the_known_ones() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((hash::bytes(b""), hash::bytes(b"abc")), (empty.to_string(), abc.to_string()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "abc").unwrap();
    assert_eq!(hash::file(&path).unwrap(), hash::FileHash { bytes: 3, sha256: abc.to_string() });
    let large = vec![5; (1 << 20) + 17];
    fs::write(&path, &large).unwrap();
    assert_eq!(hash::file(&path).unwrap().sha256, hash::bytes(&large));
    assert!(hash::file(folder.path()).is_err());
    let lines = BTreeMap::from([("b".to_string(), empty.to_string()), ("a".to_string(), abc.to_string())]);
    assert_eq!(hash::named(&lines), hash::bytes(format!("{abc}  a\n{empty}  b\n").as_bytes()));
    let joined = |texts: &[&str]| {
        let mut hasher = hash::Hasher::new();
        texts.iter().for_each(|text| hasher.text(text));
        hasher.hex()
    };
    assert_ne!(joined(&["ab", "c"]), joined(&["a", "bc"]));
    assert_eq!(hash::hex(&[0, 171, 255]), "00abff");
}
