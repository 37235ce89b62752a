//! Whether something new may take a place.

/// What becomes of something that already has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the new one is refused as [`std::io::ErrorKind::AlreadyExists`].
    Keep,
    /// The new one takes its place. A file only ever takes the place of a regular file.
    Replace,
}
