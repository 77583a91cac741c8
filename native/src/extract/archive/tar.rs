//! A tar archive as a stream: one member after the other, plain or in gzip, under limits that count what comes out.
//!
//! The headers are read with the `tar` crate's types; the blocks are ours, because its reader keeps names of any length in
//! memory and takes an archive that was cut between two members for a whole one. Called by `archive/mod.rs`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

use tar::{EntryType, Header, PaxExtensions};

use super::{Budget, Member, Nature, Trouble};
use crate::extract::gzip::Gunzip;

const BLOCK: usize = 512;
/// Bytes of a long name or of a member's extended header; real ones have a few hundred.
const MOST_EXTENSION_BYTES: u64 = 1 << 20;

/// Reads a file from its beginning without moving the file's own place.
pub struct Cursor<'a> {
    pub file: &'a File,
    pub at: u64,
}

impl Read for Cursor<'_> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(piece, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Whether these bytes are a tar header: its own checksum says so.
pub fn is_header(head: &[u8]) -> bool {
    head.len() >= BLOCK && head[..BLOCK].iter().any(|byte| *byte != 0) && checked(&head[..BLOCK])
}

/// The checksum counts its own field as blanks; old writers added signed bytes.
fn checked(block: &[u8]) -> bool {
    let Ok(stated) = Header::from_byte_slice(block).cksum() else {
        return false;
    };
    let letters = || {
        block.iter().enumerate().map(|(at, byte)| {
            if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            }
        })
    };
    let unsigned: u32 = letters().map(u32::from).sum();
    let signed: i32 = letters().map(|byte| i32::from(byte.cast_signed())).sum();
    stated == unsigned || i64::from(stated) == i64::from(signed)
}

enum Source<'a> {
    Plain(Cursor<'a>),
    Packed(Box<Gunzip<BufReader<Cursor<'a>>>>),
}

/// The archive's bytes, counted.
struct Stream<'a> {
    source: Source<'a>,
    read: u64,
    /// Of the file; what a packed archive's ratio is counted against.
    size: u64,
}

impl Stream<'_> {
    /// Fills `piece` as far as there is something; what was read counts.
    fn fill(&mut self, piece: &mut [u8], budget: &mut Budget) -> Result<usize, Trouble> {
        let mut filled = 0;
        while filled < piece.len() {
            let piece = &mut piece[filled..];
            let read = match &mut self.source {
                Source::Plain(file) => file.read(piece)?,
                Source::Packed(packed) => packed.read(piece).map_err(of_gzip)?,
            };
            if read == 0 {
                break;
            }
            filled += read;
            self.read += read as u64;
            if let Source::Packed(_) = self.source {
                budget.ratio(self.read, self.size)?;
            }
            budget.spend(read)?;
        }
        Ok(filled)
    }

    /// Passes over bytes; those of a plain file are not read and do not count.
    fn skip(&mut self, mut bytes: u64, budget: &mut Budget) -> Result<(), Trouble> {
        if let Source::Plain(file) = &mut self.source {
            let end = file.at.checked_add(bytes).filter(|end| *end <= self.size);
            file.at = end.ok_or_else(cut_short)?;
            return Ok(());
        }
        let mut piece = [0; 16 * BLOCK];
        while bytes > 0 {
            let most = usize::try_from(bytes)
                .unwrap_or(usize::MAX)
                .min(piece.len());
            if self.fill(&mut piece[..most], budget)? < most {
                return Err(cut_short());
            }
            bytes -= most as u64;
        }
        Ok(())
    }
}

/// What does not inflate is damage; what cannot be read is not.
fn of_gzip(error: io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            Trouble::Damaged(format!("gzip: {}", crate::discover::io_reason(&error)))
        }
        _ => Trouble::from(error),
    }
}

fn cut_short() -> Trouble {
    Trouble::Damaged("it is cut short".to_owned())
}

/// The archive between two members.
pub struct Tape<'a> {
    stream: Stream<'a>,
    /// Bytes of the current member that nobody has read, and of what pads it.
    left: u64,
    padding: u64,
    /// The last block was one of zeros: an archive ends with these.
    mark: bool,
}

/// What extended headers say of the next member.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl<'a> Tape<'a> {
    pub fn open(file: &'a File, size: u64, packed: bool) -> Tape<'a> {
        let cursor = Cursor { file, at: 0 };
        let source = if packed {
            Source::Packed(Box::new(Gunzip::new(BufReader::new(cursor))))
        } else {
            Source::Plain(cursor)
        };
        let stream = Stream {
            source,
            read: 0,
            size,
        };
        Tape {
            stream,
            left: 0,
            padding: 0,
            mark: false,
        }
    }

    /// The next member; None behind the end mark and all that follows it. Archives that lie behind one another are one.
    pub fn next(&mut self, budget: &mut Budget) -> Result<Option<Member>, Trouble> {
        self.stream.skip(self.left + self.padding, budget)?;
        (self.left, self.padding) = (0, 0);
        let mut extension = Extension::default();
        loop {
            let mut block = [0; BLOCK];
            let filled = self.stream.fill(&mut block, budget)?;
            if block.iter().all(|byte| *byte == 0) && (filled == BLOCK || self.mark) {
                if filled < BLOCK {
                    return Ok(None);
                }
                self.mark = true;
                continue;
            }
            if filled == 0 {
                let missing = "it ends without its end mark: members may be missing";
                return Err(Trouble::Damaged(missing.to_owned()));
            }
            if filled < BLOCK {
                return Err(cut_short());
            }
            self.mark = false;
            if !checked(&block) {
                return Err(Trouble::Damaged(
                    "what stands where a member should begin is none".to_owned(),
                ));
            }
            let header = Header::from_byte_slice(&block);
            let stated = header
                .entry_size()
                .map_err(|_| Trouble::Damaged("a member without a size".to_owned()))?;
            match header.entry_type() {
                EntryType::GNULongName => {
                    let mut name = self.small(stated, budget)?;
                    name.truncate(
                        name.iter()
                            .position(|byte| *byte == 0)
                            .unwrap_or(name.len()),
                    );
                    extension.name = Some(name);
                }
                EntryType::XHeader => extension.read(&self.small(stated, budget)?)?,
                EntryType::GNULongLink | EntryType::XGlobalHeader => self.pass(stated, budget)?,
                // The label of a volume; it holds nothing.
                label if label.as_byte() == b'V' => self.pass(stated, budget)?,
                _ => return Ok(Some(self.member(header, stated, extension))),
            }
        }
    }

    fn member(&mut self, header: &Header, stated: u64, extension: Extension) -> Member {
        let kind = header.entry_type();
        let name = extension
            .name
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let nature = match kind {
            _ if extension.sparse => Nature::Unsupported("tar sparse file".to_owned()),
            // As writers without a type for folders put it.
            EntryType::Regular if name.ends_with(b"/") && stated == 0 => Nature::Folder,
            EntryType::Regular | EntryType::Continuous => Nature::File,
            EntryType::Directory => Nature::Folder,
            EntryType::Link => Nature::Irregular("hard link".to_owned()),
            EntryType::Symlink => Nature::Irregular("symbolic link".to_owned()),
            EntryType::Fifo => Nature::Irregular("not a regular file: fifo".to_owned()),
            EntryType::Char | EntryType::Block => {
                Nature::Irregular("not a regular file: device".to_owned())
            }
            EntryType::GNUSparse => Nature::Unsupported("tar sparse file".to_owned()),
            other => Nature::Unsupported(format!(
                "tar member of type {:?}",
                char::from(other.as_byte())
            )),
        };
        // What is no file has no content, whatever size an old writer states for it.
        let bare = matches!(nature, Nature::Folder | Nature::Irregular(_));
        self.left = if bare {
            0
        } else {
            extension.size.unwrap_or(stated)
        };
        self.padding = padding(self.left);
        Member { name, nature }
    }

    /// The content of the member that `next` gave.
    pub fn content(&mut self, budget: &mut Budget) -> Result<Vec<u8>, Trouble> {
        budget.entry(self.left)?;
        let mut content = Vec::new();
        while self.left > 0 {
            let from = content.len();
            // Memory grows with what comes, not with what the header states.
            let step = usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .min(128 * BLOCK);
            content.resize(from + step, 0);
            let before = self.stream.read;
            let filled = self.stream.fill(&mut content[from..], budget);
            // What a limit has stopped was read all the same.
            self.left -= self.stream.read - before;
            if filled? < step {
                return Err(cut_short());
            }
        }
        Ok(content)
    }

    /// The content of an extension.
    fn small(&mut self, size: u64, budget: &mut Budget) -> Result<Vec<u8>, Trouble> {
        if size > MOST_EXTENSION_BYTES {
            return Err(Trouble::Damaged(format!(
                "a name or header of {size} bytes"
            )));
        }
        let mut content = vec![0; usize::try_from(size).unwrap_or(0)];
        if self.stream.fill(&mut content, budget)? < content.len() {
            return Err(cut_short());
        }
        self.stream.skip(padding(size), budget)?;
        Ok(content)
    }

    fn pass(&mut self, size: u64, budget: &mut Budget) -> Result<(), Trouble> {
        self.stream.skip(size.saturating_add(padding(size)), budget)
    }
}

/// Content ends on a whole block.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

impl Extension {
    fn read(&mut self, content: &[u8]) -> Result<(), Trouble> {
        let broken = || Trouble::Damaged("an extended header that cannot be read".to_owned());
        for pair in PaxExtensions::new(content) {
            let pair = pair.map_err(|_| broken())?;
            match pair.key_bytes() {
                b"path" | b"GNU.sparse.name" => self.name = Some(pair.value_bytes().to_vec()),
                b"size" => {
                    let size = pair.value().ok().and_then(|size| size.parse().ok());
                    self.size = Some(size.ok_or_else(broken)?);
                }
                key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {}
            }
        }
        Ok(())
    }
}
