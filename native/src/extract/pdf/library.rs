//! The binding to PDFium: a dozen of its functions, looked up in the shared library of the pypdfium2 wheel at run time.
//!
//! The only unsafe code of extract/. It hands out documents, pages and characters and knows nothing of text. PDFium keeps
//! global state and takes no locks, so one `Library` lives at a time and never leaves its thread; whoever wants two
//! documents at once starts two processes. PDFium parses hostile bytes: run it in an extract worker only.
#![expect(unsafe_code, reason = "C functions of a library found at run time")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong, c_void};
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};

type Handle = *mut c_void;

/// FPDF_LIBRARY_CONFIG of fpdfview.h, version 2.
#[repr(C)]
struct Config {
    version: c_int,
    user_font_paths: *const *const c_char,
    isolate: *mut c_void,
    v8_slot: c_uint,
}

/// Signatures of fpdfview.h, fpdf_text.h and fpdf_doc.h, which PDFium keeps stable.
struct Functions {
    init_library: unsafe extern "C" fn(*const Config),
    destroy_library: unsafe extern "C" fn(),
    last_error: unsafe extern "C" fn() -> c_ulong,
    load_document: unsafe extern "C" fn(*const c_void, usize, *const c_char) -> Handle,
    close_document: unsafe extern "C" fn(Handle),
    page_count: unsafe extern "C" fn(Handle) -> c_int,
    meta_text: unsafe extern "C" fn(Handle, *const c_char, *mut c_void, c_ulong) -> c_ulong,
    load_page: unsafe extern "C" fn(Handle, c_int) -> Handle,
    close_page: unsafe extern "C" fn(Handle),
    load_text: unsafe extern "C" fn(Handle) -> Handle,
    close_text: unsafe extern "C" fn(Handle),
    count_chars: unsafe extern "C" fn(Handle) -> c_int,
    unicode: unsafe extern "C" fn(Handle, c_int) -> c_uint,
    is_hyphen: unsafe extern "C" fn(Handle, c_int) -> c_int,
}

impl Functions {
    /// The error names the first symbol that the library lacks.
    fn find(library: NonNull<c_void>) -> Result<Functions, &'static CStr> {
        // SAFETY: each field's type is the C declaration of the symbol named beside it.
        unsafe {
            Ok(Functions {
                init_library: symbol(library, c"FPDF_InitLibraryWithConfig")?,
                destroy_library: symbol(library, c"FPDF_DestroyLibrary")?,
                last_error: symbol(library, c"FPDF_GetLastError")?,
                load_document: symbol(library, c"FPDF_LoadMemDocument64")?,
                close_document: symbol(library, c"FPDF_CloseDocument")?,
                page_count: symbol(library, c"FPDF_GetPageCount")?,
                meta_text: symbol(library, c"FPDF_GetMetaText")?,
                load_page: symbol(library, c"FPDF_LoadPage")?,
                close_page: symbol(library, c"FPDF_ClosePage")?,
                load_text: symbol(library, c"FPDFText_LoadPage")?,
                close_text: symbol(library, c"FPDFText_ClosePage")?,
                count_chars: symbol(library, c"FPDFText_CountChars")?,
                unicode: symbol(library, c"FPDFText_GetUnicode")?,
                is_hyphen: symbol(library, c"FPDFText_IsHyphen")?,
            })
        }
    }
}

/// # Safety
/// `F` is the C function pointer type of the symbol `name`.
unsafe fn symbol<F: Copy>(
    library: NonNull<c_void>,
    name: &'static CStr,
) -> Result<F, &'static CStr> {
    const { assert!(size_of::<F>() == size_of::<Handle>()) };
    // SAFETY: a handle that dlopen gave and that is never closed; the name ends in NUL.
    let address = unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) };
    if address.is_null() {
        return Err(name);
    }
    // SAFETY: not null, and the caller promises that `F` is the type of the function that stands there.
    Ok(unsafe { std::mem::transmute_copy::<Handle, F>(&address) })
}

/// A list of font folders that ends at once: fonts of the machine are not searched, so that a text does not depend on where
/// it was read and an extract worker needs no way to them. One null pointer.
static NO_FONTS: usize = 0;

// SYNC POINT: the swap in `open` against the store in `drop`: the next owner sees PDFium's globals as the last one left them.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// The open library. At most one exists; the marker keeps it on its thread (neither Send nor Sync).
pub struct Library {
    functions: Functions,
    version: String,
    thread: PhantomData<*mut ()>,
}

impl Library {
    /// `path` is absolute, so that no search path has a say. The message names the path and the cure.
    pub fn open(path: &Path) -> Result<Library, String> {
        let cannot = |reason: &str| {
            format!(
                "cannot use PDFium at {}: {reason}; reinstall pypdfium2",
                path.display()
            )
        };
        if !path.is_absolute() {
            return Err(cannot("the path is not absolute"));
        }
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| cannot("a zero byte in the path"))?;
        if IN_USE.swap(true, Ordering::Acquire) {
            return Err("PDFium is already open in this process".to_owned());
        }
        let functions = load(&name).map_err(|reason| {
            IN_USE.store(false, Ordering::Release);
            cannot(&reason)
        })?;
        let config = Config {
            version: 2,
            user_font_paths: (&raw const NO_FONTS).cast(),
            isolate: ptr::null_mut(),
            v8_slot: 0,
        };
        // SAFETY: no other instance exists (IN_USE); the version says that these four fields are there; the list is static.
        unsafe { (functions.init_library)(&raw const config) };
        Ok(Library {
            functions,
            version: version_beside(path),
            thread: PhantomData,
        })
    }

    /// PDFium's build, "159.0.8149.0", as the wheel tells it; "unknown" without that file.
    pub fn version(&self) -> &str {
        &self.version
    }

    pub fn document<'a>(&'a self, bytes: &'a [u8]) -> Result<Document<'a>, OpenError> {
        let functions = &self.functions;
        // SAFETY: the bytes outlive the document ('a), which never writes to them. No password.
        let handle =
            unsafe { (functions.load_document)(bytes.as_ptr().cast(), bytes.len(), ptr::null()) };
        if handle.is_null() {
            // SAFETY: asked right after the call that failed.
            return Err(OpenError::of(unsafe { (functions.last_error)() }));
        }
        Ok(Document {
            functions,
            handle,
            bytes: PhantomData,
        })
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: documents borrow the library, so none is left; nothing calls PDFium until the next `open`.
        unsafe { (self.functions.destroy_library)() };
        IN_USE.store(false, Ordering::Release);
    }
}

/// The library stays loaded until the process ends: code whose destructors are registered cannot go away.
fn load(name: &CStr) -> Result<Functions, String> {
    // SAFETY: a NUL-terminated path. Loading runs the library's own initialisers, which is what the user installed it for.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    let Some(library) = NonNull::new(library) else {
        // SAFETY: dlerror gives null or a text that lives until the next call of its family on this thread.
        let reason = unsafe {
            let text = libc::dlerror();
            (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
        };
        return Err(reason.unwrap_or_else(|| "not loaded".to_owned()));
    };
    Functions::find(library).map_err(|name| format!("it lacks {}", name.to_string_lossy()))
}

/// PDFium has no function that tells its version; the wheel has a file.
fn version_beside(path: &Path) -> String {
    let version = || {
        let text = std::fs::read(path.with_file_name("version.json")).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let numbers = ["major", "minor", "build", "patch"].map(|key| value.get(key)?.as_u64());
        let numbers: Option<Vec<String>> = numbers
            .iter()
            .map(|number| number.map(|number| number.to_string()))
            .collect();
        Some(numbers?.join("."))
    };
    version().unwrap_or_else(|| "unknown".to_owned())
}

/// FPDF_ERR_*: why a document does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    Password,
    Security,
    Format,
    Other(u64),
}

impl OpenError {
    fn of(code: c_ulong) -> OpenError {
        match code {
            3 => OpenError::Format,
            4 => OpenError::Password,
            5 => OpenError::Security,
            // Lossless: c_ulong is 64 bits wide on the platforms of this crate.
            other => OpenError::Other(other),
        }
    }
}

/// An open document. Closed when dropped, after its pages.
pub struct Document<'a> {
    functions: &'a Functions,
    handle: Handle,
    bytes: PhantomData<&'a [u8]>,
}

impl Document<'_> {
    pub fn page_count(&self) -> u32 {
        // SAFETY: the handle is open until drop.
        let count = unsafe { (self.functions.page_count)(self.handle) };
        u32::try_from(count).unwrap_or(0)
    }

    /// An entry of the information dictionary in UTF-16; None if missing, empty or longer than `limit` units.
    pub fn meta(&self, tag: &CStr, limit: usize) -> Option<Vec<u16>> {
        let (tag, none) = (tag.as_ptr(), ptr::null_mut());
        // SAFETY: open handle, NUL-terminated tag; without a buffer it only tells the length in bytes, with the final NUL.
        let bytes = unsafe { (self.functions.meta_text)(self.handle, tag, none, 0) };
        let units = usize::try_from(bytes).ok()? / 2;
        if !(2..=limit).contains(&units) {
            return None;
        }
        let mut text = vec![0u16; units];
        let room = text.as_mut_ptr().cast();
        // SAFETY: as above; the buffer holds `bytes` bytes, and PDFium writes nothing where it would need more.
        let written = unsafe { (self.functions.meta_text)(self.handle, tag, room, bytes) };
        (written == bytes).then_some(text)
    }

    /// Page `index` with its characters found; None if it cannot be read.
    pub fn page(&self, index: u32) -> Option<Page<'_>> {
        let index = c_int::try_from(index).ok()?;
        // SAFETY: open handle; PDFium checks the index. `page` closes both handles, and borrows the document.
        let page = unsafe { (self.functions.load_page)(self.handle, index) };
        let page = Page {
            functions: self.functions,
            handle: NonNull::new(page)?,
            text: ptr::null_mut(),
            count: 0,
            document: PhantomData,
        };
        page.with_text()
    }
}

impl Drop for Document<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and pages borrow the document, so all are closed.
        unsafe { (self.functions.close_document)(self.handle) };
    }
}

/// One page and its list of characters, in PDFium's reading order.
pub struct Page<'a> {
    functions: &'a Functions,
    handle: NonNull<c_void>,
    text: Handle,
    count: c_int,
    document: PhantomData<&'a ()>,
}

impl Page<'_> {
    fn with_text(mut self) -> Option<Self> {
        // SAFETY: the page is open; the text is closed in drop, before it.
        self.text = unsafe { (self.functions.load_text)(self.handle.as_ptr()) };
        if self.text.is_null() {
            return None;
        }
        // SAFETY: the text is open.
        self.count = unsafe { (self.functions.count_chars)(self.text) };
        (self.count >= 0).then_some(self)
    }

    /// UTF-16 units, or whatever number stands for a glyph that the font gives no character.
    pub fn units(&self) -> impl Iterator<Item = Unit<'_>> {
        (0..self.count).map(|index| {
            // SAFETY: the text is open and the index is below its count.
            let code = unsafe { (self.functions.unicode)(self.text, index) };
            Unit {
                page: self,
                index,
                code,
            }
        })
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        // SAFETY: both handles are open (the text may be null) and closed once, the text first.
        unsafe {
            if !self.text.is_null() {
                (self.functions.close_text)(self.text);
            }
            (self.functions.close_page)(self.handle.as_ptr());
        }
    }
}

/// One entry of a page's list.
pub struct Unit<'a> {
    page: &'a Page<'a>,
    index: c_int,
    pub code: u32,
}

impl Unit<'_> {
    /// Whether PDFium took it for the hyphen of a word that goes on in the next line.
    pub fn is_hyphen(&self) -> bool {
        // SAFETY: the text is open as long as the page is borrowed; the index is below its count.
        unsafe { (self.page.functions.is_hyphen)(self.page.text, self.index) == 1 }
    }
}
