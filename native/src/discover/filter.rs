//! What include, exclude and hidden let through, of folders and of archives that are walked like folders.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ignore::DirEntry;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::document::Source;
use crate::settings::IngestSettings;

/// include and exclude. Unlike the walker's own overrides they only ever narrow: an include does not bring back what is
/// hidden or ignored. A path that the user names as an input is always taken.
pub struct Filter {
    include: Gitignore,
    exclude: Gitignore,
    /// Archives count as folders: what is in them may be included whatever their own name is.
    archives: bool,
}

impl Filter {
    pub fn new(root: &Path, settings: &IngestSettings) -> std::result::Result<Filter, String> {
        Ok(Filter {
            include: globs(root, &settings.include, "include")?,
            exclude: globs(root, &settings.exclude, "exclude")?,
            archives: settings.archives,
        })
    }

    pub fn admits(&self, entry: &DirEntry) -> bool {
        if entry.depth() == 0 {
            return true;
        }
        let folder = entry.file_type().is_some_and(|kind| kind.is_dir())
            || (self.archives && is_archive_name(entry.path()));
        !self.excludes(entry.path(), folder) && (folder || self.includes(entry.path()))
    }

    fn excludes(&self, path: &Path, folder: bool) -> bool {
        self.exclude.matched(path, folder).is_ignore()
    }

    fn includes(&self, path: &Path) -> bool {
        let include = &self.include;
        include.is_empty() || include.matched_path_or_any_parents(path, false).is_ignore()
    }
}

fn globs(root: &Path, lines: &[String], name: &str) -> std::result::Result<Gitignore, String> {
    let mut builder = GitignoreBuilder::new(root);
    builder.allow_unclosed_class(false);
    for line in lines {
        builder
            .add_line(None, line)
            .map_err(|error| format!("ingest.{name} glob '{line}': {error}"))?;
    }
    builder
        .build()
        .map_err(|error| format!("ingest.{name}: {error}"))
}

fn is_archive_name(path: &Path) -> bool {
    let name = path.as_os_str().as_bytes().to_ascii_lowercase();
    [&b".zip"[..], b".tar", b".tar.gz", b".tgz"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// The same rules below one archive: its members stand where the files of a folder of its name would stand.
pub struct Inside {
    filter: Option<Filter>,
    archive: PathBuf,
    hidden: bool,
}

impl Inside {
    pub fn new(source: &Source, settings: &IngestSettings) -> Inside {
        Inside {
            // The walk has refused bad globs before the first file.
            filter: Filter::new(&source.root, settings).ok(),
            archive: source.path.clone(),
            hidden: settings.hidden,
        }
    }

    /// `name`: parts divided by single slashes, none of them `.` or `..`.
    pub fn admits(&self, name: &[u8]) -> bool {
        let mut path = self.archive.clone();
        let mut parts = name.split(|byte| *byte == b'/').peekable();
        while let Some(part) = parts.next() {
            if part.starts_with(b".") && !self.hidden {
                return false;
            }
            path.push(OsStr::from_bytes(part));
            let folder = parts.peek().is_some();
            if self
                .filter
                .as_ref()
                .is_some_and(|filter| filter.excludes(&path, folder))
            {
                return false;
            }
        }
        self.filter
            .as_ref()
            .is_none_or(|filter| filter.includes(&path))
    }
}
