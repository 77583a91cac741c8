//! Nameless shared memory and its mappings: born anonymous, passed by descriptor, gone with the last process.
//!
//! The only room besides bell.rs that talks to the kernel for the channel. It knows nothing of rings or leases.
//! A name exists on no file system at any moment on Linux, and only between two calls on macOS.
#![expect(unsafe_code, reason = "mmap and descriptors")]

use super::sync::AtomicU64;
use crate::error::{Error, Result};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

/// Sizes are rounded to this: the page of Apple silicon, a multiple of the x86 page.
pub const PAGE: usize = 16 * 1024;

pub const fn round_up(bytes: usize, unit: usize) -> usize {
    bytes.div_ceil(unit) * unit
}

fn failed(action: &'static str) -> Error {
    Error::storage(action, Path::new("shared memory"))(io::Error::last_os_error())
}

/// Who may write: the runner alone, or both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// The child may only map it for reading.
    ReadOnlyInChild,
    ReadWrite,
}

/// One region, mapped read-write here, and the descriptor that a child inherits.
#[derive(Debug)]
pub struct Nameless {
    pub mapping: Mapping,
    pub for_child: OwnedFd,
}

#[cfg(target_os = "linux")]
pub use linux::{commit, create, release};
#[cfg(target_os = "macos")]
pub use macos::{commit, create, release};

#[cfg(target_os = "linux")]
mod linux {
    use super::{AsRawFd, FromRawFd, Mapping, Nameless, OwnedFd, Result, Sharing, failed};

    /// `bytes` is a multiple of `PAGE`. Nothing is allocated until `commit`.
    pub fn create(bytes: usize, sharing: Sharing) -> Result<Nameless> {
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
        // SAFETY: the name is a NUL-terminated literal; the result is checked before it becomes an owned descriptor.
        let fd = unsafe { libc::memfd_create(c"runner".as_ptr(), flags) };
        if fd < 0 {
            return Err(failed("create"));
        }
        // SAFETY: `fd` is fresh, valid and owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let length = libc::off_t::try_from(bytes).map_err(|_| failed("size"))?;
        // SAFETY: plain call on a descriptor that we own.
        if unsafe { libc::ftruncate(fd.as_raw_fd(), length) } < 0 {
            return Err(failed("size"));
        }
        // Our writable mapping comes first: FUTURE_WRITE refuses every later one, also through /proc/PID/fd.
        let mapping = Mapping::new(&fd, bytes, true)?;
        let mut seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
        if sharing == Sharing::ReadOnlyInChild {
            seals |= libc::F_SEAL_FUTURE_WRITE;
        }
        seals |= libc::F_SEAL_SEAL;
        // SAFETY: plain call on a descriptor that we own.
        if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
            return Err(failed("seal"));
        }
        Ok(Nameless {
            mapping,
            for_child: fd,
        })
    }

    /// Allocate pages now, so that a full machine is an error here and never a SIGBUS later.
    pub fn commit(memory: &Nameless, offset: usize, bytes: usize) -> Result<()> {
        let (Ok(offset), Ok(bytes)) = (offset.try_into(), bytes.try_into()) else {
            return Err(failed("allocate"));
        };
        // SAFETY: plain call on a descriptor that we own.
        if unsafe { libc::fallocate(memory.for_child.as_raw_fd(), 0, offset, bytes) } < 0 {
            return Err(failed("allocate"));
        }
        Ok(())
    }

    /// Gives pages back to the machine; they read as zeros afterwards. Only a `ReadWrite` region can: the seal against
    /// writing forbids holes too.
    pub fn release(memory: &Nameless, offset: usize, bytes: usize) -> Result<()> {
        let (Ok(offset), Ok(bytes)) = (offset.try_into(), bytes.try_into()) else {
            return Err(failed("release"));
        };
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: plain call on a descriptor that we own.
        if unsafe { libc::fallocate(memory.for_child.as_raw_fd(), mode, offset, bytes) } < 0 {
            return Err(failed("release"));
        }
        Ok(())
    }
}

// Compiled for tests everywhere: shm_open exists on Linux too, so the macOS way is type-checked and run at every commit.
#[cfg(any(target_os = "macos", test))]
mod macos {
    use super::{AsRawFd, Error, FromRawFd, Mapping, Nameless, OwnedFd, Result, Sharing, failed};
    use std::ffi::CString;
    use std::hash::{BuildHasher, RandomState};

    /// As on Linux. A second, read-only descriptor is opened and the name removed before any child exists.
    pub fn create(bytes: usize, sharing: Sharing) -> Result<Nameless> {
        // At most 31 characters with the slash (PSHMNAMLEN); 104 random bits.
        let random = RandomState::new();
        let (high, low) = (random.hash_one(1u8), random.hash_one(2u8));
        let name = CString::new(format!("/r{high:016x}{:010x}", low & 0xff_ffff_ffff))
            .map_err(|_| Error::Channel("name of shared memory".into()))?;
        let writable = open(&name, libc::O_CREAT | libc::O_EXCL | libc::O_RDWR)?;
        let second = match sharing {
            Sharing::ReadOnlyInChild => open(&name, libc::O_RDONLY),
            Sharing::ReadWrite => writable.try_clone().map_err(|_| failed("duplicate")),
        };
        // SAFETY: a NUL-terminated name that outlives the call.
        let unlinked = unsafe { libc::shm_unlink(name.as_ptr()) };
        let for_child = second?;
        if unlinked < 0 {
            return Err(failed("unlink"));
        }
        let length = libc::off_t::try_from(bytes).map_err(|_| failed("size"))?;
        // SAFETY: plain call on a descriptor that we own. macOS allows it once per object.
        if unsafe { libc::ftruncate(writable.as_raw_fd(), length) } < 0 {
            return Err(failed("size"));
        }
        let mapping = Mapping::new(&writable, bytes, true)?;
        Ok(Nameless { mapping, for_child })
    }

    fn open(name: &CString, flags: libc::c_int) -> Result<OwnedFd> {
        // SAFETY: a NUL-terminated name; the mode is passed as C promotes it; the result is checked.
        let fd = unsafe { libc::shm_open(name.as_ptr(), flags, 0o600) };
        if fd < 0 {
            return Err(failed("create"));
        }
        // shm_open sets FD_CLOEXEC itself (POSIX).
        // SAFETY: `fd` is fresh, valid and owned by nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// macOS cannot preallocate POSIX shared memory: the counted cap is what bounds it, and pages come on first touch.
    #[expect(clippy::unnecessary_wraps, reason = "the signature of the Linux way")]
    pub fn commit(_: &Nameless, _: usize, _: usize) -> Result<()> {
        Ok(())
    }

    /// macOS gives pages of POSIX shared memory back with the object alone: the worker's restart does it.
    #[expect(clippy::unnecessary_wraps, reason = "the signature of the Linux way")]
    pub fn release(_: &Nameless, _: usize, _: usize) -> Result<()> {
        Ok(())
    }
}

/// A shared mapping. Access is by atomic words or by copying; no reference to its bytes ever leaves.
#[derive(Debug)]
pub struct Mapping {
    address: NonNull<u8>,
    bytes: usize,
    writable: bool,
}

// SAFETY: the mapping is plain memory owned by this value; all access is atomic or raw copies.
unsafe impl Send for Mapping {}
// SAFETY: as above; copies into a place are made by the one side that holds its lease.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub fn new(fd: &impl AsRawFd, bytes: usize, writable: bool) -> Result<Mapping> {
        let mode = if writable {
            libc::PROT_READ | libc::PROT_WRITE
        } else {
            libc::PROT_READ
        };
        let fd: RawFd = fd.as_raw_fd();
        // SAFETY: a fresh mapping at an address of the kernel's choice; the result is checked.
        let address =
            unsafe { libc::mmap(std::ptr::null_mut(), bytes, mode, libc::MAP_SHARED, fd, 0) };
        if address == libc::MAP_FAILED {
            return Err(failed("map"));
        }
        let address = NonNull::new(address.cast()).ok_or_else(|| failed("map"))?;
        Ok(Mapping {
            address,
            bytes,
            writable,
        })
    }

    pub fn len(&self) -> usize {
        self.bytes
    }

    fn check(&self, offset: usize, bytes: usize) -> Result<()> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.bytes => Ok(()),
            _ => Err(Error::Channel(format!(
                "{bytes} bytes at {offset} lie outside a region of {}",
                self.bytes
            ))),
        }
    }

    /// `count` atomic words from `offset`, which is a multiple of 8.
    pub fn words(&self, offset: usize, count: usize) -> &[AtomicU64] {
        let inside = self.check(offset, count * 8).is_ok();
        assert!(inside && offset.is_multiple_of(8) && self.writable);
        // SAFETY: in bounds and aligned (a mapping starts on a page); atomics may be shared with any writer.
        unsafe { std::slice::from_raw_parts(self.address.add(offset).cast().as_ptr(), count) }
    }

    /// Copy private bytes into the region.
    pub fn copy_in(&self, offset: usize, source: &[u8]) -> Result<()> {
        self.check(offset, source.len())?;
        assert!(self.writable);
        // SAFETY: in bounds, writable, and private memory cannot overlap a mapping. A peer that writes here at the
        // same moment breaks the protocol and spoils bytes only, which are data and never trusted.
        unsafe {
            std::ptr::copy_nonoverlapping(
                source.as_ptr(),
                self.address.add(offset).as_ptr(),
                source.len(),
            );
        }
        Ok(())
    }

    /// Copy bytes of the region into private memory; what is validated is the copy.
    pub fn copy_out(&self, offset: usize, bytes: usize) -> Result<Vec<u8>> {
        self.check(offset, bytes)?;
        let mut copy: Vec<u8> = Vec::with_capacity(bytes);
        // SAFETY: in bounds; the vector has the capacity, and every byte is written before the length is set.
        unsafe {
            std::ptr::copy_nonoverlapping(
                self.address.add(offset).as_ptr(),
                copy.as_mut_ptr(),
                bytes,
            );
            copy.set_len(bytes);
        }
        Ok(copy)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; nothing borrows from it any more.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.bytes) };
    }
}

/// Bytes of one token array as they lie in memory.
pub fn token_bytes(tokens: &[u32]) -> &[u8] {
    // SAFETY: u32 has no padding and any alignment suits u8; the length is the slice's own.
    unsafe { std::slice::from_raw_parts(tokens.as_ptr().cast(), size_of_val(tokens)) }
}

/// An owned copy of a descriptor that this process inherited by number, close-on-exec again.
pub fn duplicate(fd: RawFd) -> Result<OwnedFd> {
    // SAFETY: a plain call: a number that is no descriptor is an error.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
    if copy < 0 {
        return Err(failed("duplicate"));
    }
    // SAFETY: `copy` is fresh, valid and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Size of an inherited region, from the kernel and not from its contents.
pub fn size_of_fd(fd: &impl AsRawFd) -> Result<usize> {
    // SAFETY: all-zero is a valid stat buffer; the call only writes it.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: a descriptor number and a buffer that outlives the call.
    if unsafe { libc::fstat(fd.as_raw_fd(), &raw mut stat) } < 0 {
        return Err(failed("stat"));
    }
    usize::try_from(stat.st_size).map_err(|_| Error::Channel("negative size".into()))
}

/// A range of words kept alive by its mapping: what a ring is built over.
#[derive(Debug, Clone)]
pub struct Words {
    mapping: Arc<Mapping>,
    offset: usize,
    count: usize,
}

impl Words {
    pub fn new(mapping: Arc<Mapping>, offset: usize, count: usize) -> Words {
        let _ = mapping.words(offset, count);
        Words {
            mapping,
            offset,
            count,
        }
    }
}

impl AsRef<[AtomicU64]> for Words {
    fn as_ref(&self) -> &[AtomicU64] {
        self.mapping.words(self.offset, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child_sees_what_we_write(memory: &Nameless) {
        memory.mapping.copy_in(5, b"hello").unwrap();
        let view = Mapping::new(&memory.for_child, PAGE, false).unwrap();
        assert_eq!(view.copy_out(5, 5).unwrap(), b"hello");
        assert!(view.copy_out(PAGE - 2, 5).is_err());
    }

    #[test]
    fn documents_are_read_only_through_the_childs_descriptor() {
        let memory = create(PAGE, Sharing::ReadOnlyInChild).unwrap();
        commit(&memory, 0, PAGE).unwrap();
        child_sees_what_we_write(&memory);
        assert!(Mapping::new(&memory.for_child, PAGE, true).is_err());
    }

    #[test]
    fn the_macos_way_gives_the_same_rights() {
        let memory = macos::create(PAGE, Sharing::ReadOnlyInChild).unwrap();
        macos::commit(&memory, 0, PAGE).unwrap();
        macos::release(&memory, 0, 0).unwrap();
        child_sees_what_we_write(&memory);
        assert!(Mapping::new(&memory.for_child, PAGE, true).is_err());
        let both = macos::create(PAGE, Sharing::ReadWrite).unwrap();
        assert!(Mapping::new(&both.for_child, PAGE, true).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_macos_way_leaves_no_name_behind() {
        let memory = macos::create(PAGE, Sharing::ReadWrite).unwrap();
        let link = format!("/proc/self/fd/{}", memory.for_child.as_raw_fd());
        let target = std::fs::read_link(link).unwrap();
        assert!(target.to_string_lossy().ends_with("(deleted)"));
    }
}
