//! The dispatcher's one letter box: a bounded queue and a bell that poll(2) can hear.
//!
//! Extract threads, the supervisor's calls and the journal's writer all come in here, so that the dispatcher has one
//! order of events. It carries; it decides nothing.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::channel::port::ChildEnds;
use crate::dispatch::Toll;
use crate::error::{Error, Result};
use crate::index::KnownInput;
use crate::prepare::Prepared;

/// Letters that wait; who posts more waits too (the byte account of the `rust` pool bounds their size).
const LETTERS: usize = 256;

pub enum Command {
    Prepared(Box<Prepared>),
    /// Inputs of an unchanged file.
    Known(Vec<KnownInput>),
    DiscoveryDone,
    /// Discovery could not go on.
    FeedFailed(Error),
    Attach {
        seat: u32,
        reply: Sender<Result<(u32, ChildEnds)>>,
    },
    Ready {
        seat: u32,
    },
    Died {
        seat: u32,
        cause: String,
        charged: bool,
        reply: Sender<Toll>,
    },
    Setting {
        name: String,
        value: serde_json::Value,
        detail: String,
    },
    Pause(bool),
    Drain,
    Stop,
}

/// The side that posts; any number of threads hold one.
#[derive(Clone)]
pub struct Post {
    letters: Sender<Command>,
    bell: Arc<UnixStream>,
}

/// The side that reads.
pub struct Mailbox {
    pub letters: Receiver<Command>,
    bell: UnixStream,
}

/// # Errors
/// `Storage` when the bell's socket pair cannot be made.
pub fn open() -> Result<(Post, Mailbox)> {
    let failed = || Error::storage("make", Path::new("a socket pair"));
    let (ring, heard) = UnixStream::pair().map_err(failed())?;
    ring.set_nonblocking(true).map_err(failed())?;
    heard.set_nonblocking(true).map_err(failed())?;
    let (sender, letters) = bounded(LETTERS);
    let post = Post {
        letters: sender,
        bell: Arc::new(ring),
    };
    Ok((
        post,
        Mailbox {
            letters,
            bell: heard,
        },
    ))
}

impl Post {
    /// # Errors
    /// `Channel` when the dispatcher is gone.
    pub fn send(&self, command: Command) -> Result<()> {
        self.letters
            .send(command)
            .map_err(|_| Error::Channel("the core has stopped".into()))?;
        self.ring();
        Ok(())
    }

    /// Wakes the dispatcher. A full socket buffer means that a wake is pending already; a closed one, that nobody sleeps.
    pub fn ring(&self) {
        let _pending_or_gone = (&*self.bell).write(&[1]);
    }
}

impl Mailbox {
    pub fn bell(&self) -> &UnixStream {
        &self.bell
    }

    /// Swallows what has rung so far; letters are looked for after this, never before.
    pub fn hear(&self) {
        let mut bytes = [0u8; 256];
        loop {
            match (&self.bell).read(&mut bytes) {
                Ok(count) if count == bytes.len() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }
}
