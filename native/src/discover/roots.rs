//! Where walks begin: the inputs that the user named, or the paths of a list, read one at a time however long it is.
//!
//! A list is data: a path on it that is not there is a row, and bytes that are no UTF-8 are a name like another.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::vec;

use crate::error::{Error, Result};
use crate::settings::{ListSettings, Separator};

/// Longer than a path may be on any system; the runner has refused a list with a longer entry before.
const LONGEST: u64 = 1 << 16;

pub enum Roots {
    Named(vec::IntoIter<PathBuf>),
    Listed(List),
}

/// A list of paths under way.
pub struct List {
    /// None behind what could not be read.
    entries: Option<BufReader<File>>,
    separator: u8,
    /// What relative paths are relative to.
    base: PathBuf,
    path: PathBuf,
}

impl Roots {
    pub fn next(&mut self) -> Option<std::result::Result<PathBuf, (PathBuf, io::Error)>> {
        match self {
            Roots::Named(paths) => paths.next().map(Ok),
            Roots::Listed(list) => list.next(),
        }
    }
}

impl List {
    pub fn open(settings: &ListSettings) -> Result<List> {
        let path = PathBuf::from(&settings.path);
        let file = File::open(&path).map_err(Error::storage("open the list", &path))?;
        Ok(List {
            entries: Some(BufReader::new(file)),
            separator: match settings.separator {
                Separator::Newline => b'\n',
                Separator::Nul => 0,
            },
            base: PathBuf::from(&settings.base),
            path,
        })
    }

    /// The next path; Err, with the list's own path, for what cannot be read of it.
    fn next(&mut self) -> Option<std::result::Result<PathBuf, (PathBuf, io::Error)>> {
        loop {
            let mut entry = Vec::new();
            let entries = self.entries.as_mut()?;
            if let Err(error) = entries.take(LONGEST).read_until(self.separator, &mut entry) {
                self.entries = None;
                return Some(Err((self.path.clone(), error)));
            }
            if entry.is_empty() {
                return None;
            }
            if entry.last() == Some(&self.separator) {
                entry.pop();
            }
            if !entry.is_empty() {
                return Some(Ok(tidy(&self.base, OsString::from_vec(entry))));
            }
        }
    }
}

/// Absolute and without double slashes and `.`; `..` stays, because behind a link it leads elsewhere than it looks.
fn tidy(base: &Path, entry: OsString) -> PathBuf {
    base.join(PathBuf::from(entry)).components().collect()
}

/// Paths without links, with the folder of the last one remembered: the files of a list mostly lie beside each other.
#[derive(Default)]
pub struct RealPaths {
    last: Option<(PathBuf, PathBuf)>,
}

impl RealPaths {
    /// The path itself where it leads nowhere.
    pub fn of(&mut self, path: &Path) -> PathBuf {
        let whole = || path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return whole();
        };
        if path.is_symlink() {
            return whole();
        }
        match &self.last {
            Some((last, real)) if last == folder => real.join(name),
            _ => {
                let Ok(real) = folder.canonicalize() else {
                    return path.to_path_buf();
                };
                let path = real.join(name);
                self.last = Some((folder.to_path_buf(), real));
                path
            }
        }
    }
}
