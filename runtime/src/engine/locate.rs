//! Finds libonnxruntime and looks at it before it is loaded: a wrong library runs its own code the moment it is opened.

use std::env::consts::{ARCH, DLL_PREFIX, DLL_SUFFIX};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use object::read::NameOrOrdinal;
use object::{Architecture, BinaryFormat, Object, ObjectKind};

use crate::Error;

/// How to get the library; part of every message about it.
pub const ADVICE: &str = "get it with `pip download --no-deps onnxruntime==1.31.1`, unzip the wheel and name \
     onnxruntime/capi/libonnxruntime.so.1.31.1 through --onnxruntime, through ORT_DYLIB_PATH or beside the executable";

/// The oldest minor version of ONNX Runtime 1 that the bindings accept (`api-24` in Cargo.toml).
pub const MINIMUM_MINOR: u32 = 24;

/// No real library is larger.
const MAX_BYTES: u64 = 4 << 30;

/// Where a library was named or found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The flag `--onnxruntime`.
    Flag,
    /// The environment variable `ORT_DYLIB_PATH`.
    Environment,
    /// The folder of the running program.
    BesideExecutable,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Flag => "--onnxruntime",
            Self::Environment => "ORT_DYLIB_PATH",
            Self::BesideExecutable => "the executable's folder",
        })
    }
}

/// A library that looks like a loadable ONNX Runtime for this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    path: PathBuf,
    version: String,
    place: Place,
}

impl Library {
    /// The absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version that its symbols or its name state, `unknown` if neither does.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where it was found.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }
}

/// Looks in the three places in order; the first that names a library decides, good or bad.
///
/// # Errors
/// [`Error::Library`] if no place names one, or the one named is unsuitable.
pub fn locate(flag: Option<&Path>) -> Result<Library, Error> {
    locate_in(flag, std::env::var_os("ORT_DYLIB_PATH"), std::env::current_exe().ok())
}

/// [`locate`] with the environment given.
///
/// # Errors
/// As [`locate`].
pub fn locate_in(flag: Option<&Path>, variable: Option<OsString>, executable: Option<PathBuf>) -> Result<Library, Error> {
    if let Some(path) = flag {
        return vet(path, Place::Flag);
    }
    if let Some(path) = variable.filter(|path| !path.is_empty()) {
        return vet(Path::new(&path), Place::Environment);
    }
    let folder = executable.as_deref().and_then(Path::parent);
    match folder.and_then(beside) {
        Some(path) => vet(&path, Place::BesideExecutable),
        None => Err(Error::Library(format!(
            "ONNX Runtime was not found: --onnxruntime was not given, ORT_DYLIB_PATH is not set, and no library lies beside the executable; {ADVICE}"
        ))),
    }
}

/// `libonnxruntime.so` or the highest `libonnxruntime.so.1.x.y` in a folder.
fn beside(folder: &Path) -> Option<PathBuf> {
    let name = format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}");
    let plain = folder.join(&name);
    if plain.exists() {
        return Some(plain);
    }
    let numbers = |file: &str| -> Option<Vec<u32>> {
        file.strip_prefix(&name)?.strip_prefix('.')?.split('.').map(|part| part.parse().ok()).collect()
    };
    let names = std::fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|file| Some((numbers(&file)?, file))).max().map(|(_, file)| folder.join(file))
}

/// Checks that `path` is a shared library of this machine's kind that exports `OrtGetApiBase` and is not too old,
/// without loading it.
///
/// # Errors
/// [`Error::Library`] with the reason.
pub fn vet(path: &Path, place: Place) -> Result<Library, Error> {
    let refuse = |problem: &str| {
        Error::Library(format!("{}, named by {place}, cannot be used as ONNX Runtime: {problem}; {ADVICE}", path.display()))
    };
    let absolute = path.canonicalize().map_err(|e| refuse(&format!("it cannot be opened ({e})")))?;
    let metadata = absolute.metadata().map_err(|e| refuse(&format!("it cannot be read ({e})")))?;
    if !metadata.is_file() {
        return Err(refuse("it is not a regular file"));
    }
    if metadata.len() > MAX_BYTES {
        return Err(refuse("it is larger than any such library"));
    }
    let bytes = std::fs::read(&absolute).map_err(|e| refuse(&format!("it cannot be read ({e})")))?;
    let file = object::File::parse(bytes.as_slice()).map_err(|_| refuse("it is not a shared library, or a damaged one"))?;
    if file.format() != BinaryFormat::native_object() || !is_native(file.architecture()) {
        return Err(refuse(&format!("it is built for {:?} {:?}, not for this machine", file.architecture(), file.format())));
    }
    if file.kind() != ObjectKind::Dynamic {
        return Err(refuse("it is not a shared library"));
    }
    let mut exports = file.exports().map_err(|_| refuse("its symbol table is damaged"))?;
    // Mach-O puts an underscore before every name.
    let names: [NameOrOrdinal<&[u8]>; 2] = [NameOrOrdinal::Name(b"OrtGetApiBase"), NameOrOrdinal::Name(b"_OrtGetApiBase")];
    if !exports.any(|export| export.is_ok_and(|export| names.contains(&export.name()))) {
        return Err(refuse("it does not export OrtGetApiBase, so it is another library"));
    }
    let version = symbol_version(&bytes).or_else(|| name_version(&absolute));
    if let Some(version) = &version
        && !is_recent(version)
    {
        return Err(refuse(&format!("it is version {version}, older than 1.{MINIMUM_MINOR}")));
    }
    Ok(Library { path: absolute, version: version.unwrap_or_else(|| "unknown".into()), place })
}

fn is_native(architecture: Architecture) -> bool {
    match ARCH {
        "x86_64" => architecture == Architecture::X86_64,
        "aarch64" => architecture == Architecture::Aarch64,
        "x86" => architecture == Architecture::I386,
        "arm" => architecture == Architecture::Arm,
        "riscv64" => architecture == Architecture::Riscv64,
        // The loader of any other machine refuses a foreign library by itself.
        _ => true,
    }
}

/// ONNX Runtime versions its ELF symbols as `VERS_1.31.1`.
fn symbol_version(bytes: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"VERS_1.";
    let start = bytes.windows(MARK.len()).position(|window| window == MARK)? + 5;
    let rest = &bytes[start..bytes.len().min(start + 24)];
    let end = rest.iter().position(|byte| !(byte.is_ascii_digit() || *byte == b'.'))?;
    String::from_utf8(rest[..end].to_vec()).ok()
}

/// `libonnxruntime.so.1.31.1` states its version after the suffix.
fn name_version(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (_, version) = name.split_once(&format!("{DLL_SUFFIX}."))?;
    version.split('.').all(|part| part.parse::<u32>().is_ok()).then(|| version.to_owned())
}

fn is_recent(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    major > 1 || (major == 1 && minor >= MINIMUM_MINOR)
}
