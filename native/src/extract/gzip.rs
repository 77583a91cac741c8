//! What a gzip stream inflates to, all its members behind one another.
//!
//! A reader, so that a packed archive needs no memory of its own size. Zero bytes behind the last member are padding of tapes
//! and disks; anything else there is damage, because it may be text that nobody would see. Called by `read` and `archive`.

use std::io::{self, BufRead, ErrorKind, Read};

use flate2::bufread::GzDecoder;

pub struct Gunzip<R: BufRead> {
    state: State<R>,
}

enum State<R: BufRead> {
    Inside(Box<GzDecoder<R>>),
    /// Behind the last member.
    Ended,
}

impl<R: BufRead> Gunzip<R> {
    pub fn new(packed: R) -> Gunzip<R> {
        Gunzip {
            state: State::Inside(Box::new(GzDecoder::new(packed))),
        }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        if piece.is_empty() {
            return Ok(0);
        }
        loop {
            let State::Inside(member) = &mut self.state else {
                return Ok(0);
            };
            let read = member.read(piece)?;
            if read > 0 {
                return Ok(read);
            }
            let State::Inside(member) = std::mem::replace(&mut self.state, State::Ended) else {
                return Ok(0);
            };
            let mut rest = member.into_inner();
            match rest.fill_buf()?.first() {
                None => {}
                Some(0) => only_zeros(&mut rest)?,
                Some(0x1f) => self.state = State::Inside(Box::new(GzDecoder::new(rest))),
                Some(_) => return Err(trailing()),
            }
        }
    }
}

fn only_zeros<R: BufRead>(rest: &mut R) -> io::Result<()> {
    loop {
        let buffer = rest.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        if buffer.iter().any(|byte| *byte != 0) {
            return Err(trailing());
        }
        let length = buffer.len();
        rest.consume(length);
    }
}

fn trailing() -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        "bytes behind its end that are no gzip",
    )
}
