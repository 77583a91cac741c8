//! From the user's inputs to single files, each exactly once and in one order that never depends on the file system.
//!
//! Walks folders with the `ignore` crate. It does not open files and does not judge their content: `extract` does. What
//! is no readable regular file comes out as a `Rejected`, so that every path is accounted for. Called by prepare.

mod filter;
mod roots;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::{DirEntry, WalkBuilder};

use crate::document::{Circumstance, Digest, Ordinal, Rejected, RejectedStatus, Source, Stamp};
use crate::error::{Error, Result};
use crate::settings::IngestSettings;

use self::filter::Filter;
pub use self::filter::Inside;
use self::roots::{List, RealPaths, Roots};

/// Between the uri of an archive and the name of a member. A path on disk that holds it is shown in hex, so that the two
/// are never taken for one another.
pub const MEMBER_MARK: &str = "!/";
/// Standard input, among inputs and as the uri of what came on it. No path is shown like this: they are absolute.
const STDIN: &str = "-";

/// One path of the inputs: a file to read, or one that will not be read, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discovered {
    File(Source),
    Rejected(Rejected),
}

/// Opens the walk. Fails with all missing inputs and all bad globs named at once; an empty folder is an empty walk, and
/// the caller decides what that means.
pub fn walk(settings: &IngestSettings) -> Result<Walk> {
    let mut problems = Vec::new();
    let mut hints = Vec::new();
    let mut roots = Vec::new();
    for input in &settings.inputs {
        let path = match &settings.stdin {
            Some(copy) if input == STDIN => PathBuf::from(copy),
            _ => PathBuf::from(input),
        };
        match path.metadata() {
            Ok(_) => roots.push(path),
            Err(error) => {
                problems.push(format!("input {input}: {}", io_reason(&error)));
                hints.push("check the path; input takes a file, a folder or a list of them");
            }
        }
    }
    // Globs are tried on the first root, so that a bad one is reported with the missing inputs and not later.
    let probe = roots.first().map_or(Path::new("/"), PathBuf::as_path);
    if let Err(problem) = Filter::new(probe, settings) {
        problems.push(problem);
        hints.push("write include and exclude as gitignore-style globs: '*.md', 'drafts/', '**/notes/*.txt'");
    }
    if settings.inputs.is_empty() && settings.list.is_none() {
        problems.push("no input is given".to_owned());
        hints.push("set input=FOLDER");
    }
    if !problems.is_empty() {
        hints.dedup();
        return Err(Error::config(problems.join("; "), hints.join("; ")));
    }
    let many = roots.len() > 1 || settings.list.is_some();
    Ok(Walk {
        settings: settings.clone(),
        roots: match &settings.list {
            Some(list) => Roots::Listed(List::open(list)?),
            None => Roots::Named(roots.into_iter()),
        },
        current: None,
        seen: many.then(HashSet::new),
        real_paths: RealPaths::default(),
        next_file: 0,
    })
}

/// Depth first; inside a folder names are compared bytewise; inputs in the user's order.
pub struct Walk {
    settings: IngestSettings,
    roots: Roots,
    current: Option<OpenRoot>,
    /// Digests of the real paths already given, kept only if several inputs could name one file twice: a list may hold
    /// millions.
    seen: Option<HashSet<[u8; 16]>>,
    real_paths: RealPaths,
    next_file: u32,
}

struct OpenRoot {
    entries: ignore::Walk,
    path: Arc<Path>,
    /// The same root without links: what makes one file named twice recognisable.
    real: PathBuf,
}

impl Iterator for Walk {
    type Item = Discovered;

    fn next(&mut self) -> Option<Discovered> {
        loop {
            let met = match &mut self.current {
                Some(root) => {
                    let met = root.next();
                    if met.is_none() {
                        self.current = None;
                    }
                    met
                }
                None => match self.roots.next()? {
                    Ok(path) => self.begin(path),
                    Err((list, error)) => {
                        let found = failed(Circumstance::Unreadable.reason(io_reason(&error)));
                        Some((list.clone(), list.as_path().into(), list, found))
                    }
                },
            };
            let Some((path, root, real, found)) = met else {
                continue;
            };
            if self
                .seen
                .as_mut()
                .is_none_or(|seen| seen.insert(short_digest(&real)))
            {
                return Some(self.number(path, root, found));
            }
        }
    }
}

/// A path, the root that it was found in, the path without links, and what it is.
type Met = (PathBuf, Arc<Path>, PathBuf, Found);

impl OpenRoot {
    fn next(&mut self) -> Option<Met> {
        loop {
            let entry = self.entries.next()?;
            let path = match &entry {
                Ok(entry) => Some(entry.path()),
                Err(error) => error_path(error),
            };
            let path = path.unwrap_or(&self.path).to_path_buf();
            let Some(found) = classify(entry, &path) else {
                continue;
            };
            let below = path.strip_prefix(&self.path).unwrap_or(&path);
            let real = if below.as_os_str().is_empty() {
                self.real.clone()
            } else {
                self.real.join(below)
            };
            return Some((path, Arc::clone(&self.path), real, found));
        }
    }
}

fn short_digest(path: &Path) -> [u8; 16] {
    let digest = Digest::of(path.as_os_str().as_bytes()).0;
    std::array::from_fn(|at| digest[at])
}

enum Found {
    File(Stamp),
    Not(RejectedStatus, String),
}

impl Walk {
    /// A root that is a file, or no file at all, is met here; a folder is opened.
    fn begin(&mut self, path: PathBuf) -> Option<Met> {
        // An input that is itself a link is followed: the user named it.
        let found = match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                self.current = Some(open_root(path, &self.settings));
                return None;
            }
            Ok(metadata) => of_metadata(&metadata)?,
            Err(error) => failed(Circumstance::Unreadable.reason(io_reason(&error))),
        };
        let real = self.real_paths.of(&path);
        Some((path.clone(), path.into(), real, found))
    }

    fn uri(&self, path: &Path) -> String {
        if self
            .settings
            .stdin
            .as_ref()
            .is_some_and(|copy| Path::new(copy) == path)
        {
            return STDIN.to_owned();
        }
        uri_of(path)
    }

    fn number(&mut self, path: PathBuf, root: Arc<Path>, found: Found) -> Discovered {
        let file = self.next_file;
        self.next_file += 1;
        let uri = self.uri(&path);
        match found {
            Found::File(stamp) => Discovered::File(Source {
                file,
                uri,
                path,
                root,
                stamp,
            }),
            Found::Not(status, reason) => Discovered::Rejected(Rejected {
                ordinal: Ordinal { file, record: 0 },
                uri,
                doc_id: None,
                status,
                reason,
                reader: None,
            }),
        }
    }
}

fn open_root(path: PathBuf, settings: &IngestSettings) -> OpenRoot {
    let filter = Filter::new(&path, settings).ok().map(Arc::new);
    let mut builder = WalkBuilder::new(&path);
    builder
        .hidden(!settings.hidden)
        .follow_links(settings.follow_links)
        .ignore(settings.ignore_files)
        .git_ignore(settings.ignore_files)
        // Only files inside the inputs count: the same input gives the same run on every machine.
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .sort_by_file_name(|a, b| a.as_bytes().cmp(b.as_bytes()))
        .filter_entry(move |entry| filter.as_ref().is_none_or(|filter| filter.admits(entry)));
    let real = path.canonicalize().unwrap_or_else(|_| path.clone());
    OpenRoot {
        entries: builder.build(),
        path: path.into(),
        real,
    }
}

/// None for a folder, which is no input itself.
fn classify(entry: std::result::Result<DirEntry, ignore::Error>, path: &Path) -> Option<Found> {
    let entry = match entry {
        Ok(entry) => entry,
        Err(error) => return Some(walk_failure(&error, path)),
    };
    // An input that is itself a link is followed: the user named it.
    let metadata = if entry.depth() == 0 {
        path.metadata()
    } else {
        match entry.metadata() {
            Ok(metadata) => Ok(metadata),
            Err(error) => return Some(walk_failure(&error, path)),
        }
    };
    match metadata {
        Err(error) => Some(failed(Circumstance::Unreadable.reason(io_reason(&error)))),
        Ok(metadata) => of_metadata(&metadata),
    }
}

fn of_metadata(metadata: &Metadata) -> Option<Found> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        return None;
    }
    if kind.is_file() {
        return Some(Found::File(stamp_of(metadata)));
    }
    Some(Found::Not(RejectedStatus::Skipped, irregular(kind)))
}

/// Why a path that is no regular file is never opened: reading a FIFO or a device can block for ever.
pub(crate) fn irregular(kind: FileType) -> String {
    let what = if kind.is_symlink() {
        return "symbolic link".to_owned();
    } else if kind.is_fifo() {
        "fifo"
    } else if kind.is_socket() {
        "socket"
    } else if kind.is_dir() {
        "folder"
    } else {
        "device"
    };
    format!("not a regular file: {what}")
}

pub(crate) fn stamp_of(metadata: &Metadata) -> Stamp {
    Stamp {
        size: metadata.len(),
        mtime_ns: metadata
            .mtime()
            .saturating_mul(1_000_000_000)
            .saturating_add(metadata.mtime_nsec()),
        inode: metadata.ino(),
    }
}

fn failed(reason: String) -> Found {
    Found::Not(RejectedStatus::Failed, reason)
}

fn walk_failure(error: &ignore::Error, path: &Path) -> Found {
    if is_loop(error) {
        return Found::Not(RejectedStatus::Skipped, "symbolic link: loop".to_owned());
    }
    let what = if path.is_dir() { "folder: " } else { "" };
    let detail = error
        .io_error()
        .map_or_else(|| error.to_string(), io_reason);
    failed(Circumstance::Unreadable.reason(format_args!("{what}{detail}")))
}

fn is_loop(error: &ignore::Error) -> bool {
    match error {
        ignore::Error::Loop { .. } => true,
        ignore::Error::WithPath { err, .. }
        | ignore::Error::WithDepth { err, .. }
        | ignore::Error::WithLineNumber { err, .. } => is_loop(err),
        _ => false,
    }
}

fn error_path(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::Loop { child, .. } => Some(child),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            error_path(err)
        }
        _ => None,
    }
}

/// The words of an I/O error without its number, so that reasons are equal on Linux and macOS where they mean the same.
pub(crate) fn io_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => {
            let text = error.to_string();
            let end = text.find(" (os error").unwrap_or(text.len());
            text[..end].to_lowercase()
        }
    }
}

/// UTF-8 paths as they are; others, and those that look like a member of an archive, lossy, then "#x" and the raw bytes in
/// hex, so that two paths never share a uri.
pub fn uri_of(path: &Path) -> String {
    if let Some(text) = path.to_str().filter(|text| !text.contains(MEMBER_MARK)) {
        return text.to_owned();
    }
    let mut uri = path.to_string_lossy().into_owned();
    uri.push_str("#x");
    for byte in path.as_os_str().as_bytes() {
        // Writing to a String cannot fail.
        let _ = write!(uri, "{byte:02x}");
    }
    uri
}
