//! The bytes of a pickle, counted and limited.

use std::io::Read;

use super::super::error::Problem;
use super::damaged;

/// The bytes of one pickle, counted.
pub(super) struct Input<'r, R> {
    reader: &'r mut R,
    position: u64,
    limit: u64,
}

impl<'r, R: Read> Input<'r, R> {
    /// The pickle that starts here, of at most `limit` bytes.
    pub(super) fn new(reader: &'r mut R, limit: u64) -> Self {
        Self {
            reader,
            position: 0,
            limit,
        }
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    fn claim(&mut self, count: u64) -> Result<(), Problem> {
        match self.position.checked_add(count) {
            Some(position) if position <= self.limit => {
                self.position = position;
                Ok(())
            }
            _ => Err(Problem::TooLarge {
                what: "bytes of pickle",
                limit: self.limit,
            }),
        }
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        self.claim(N as u64)?;
        let mut array = [0; N];
        self.reader.read_exact(&mut array)?;
        Ok(array)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, Problem> {
        self.array().map(|[byte]| byte)
    }

    /// A length of four bytes.
    pub(super) fn length4(&mut self) -> Result<u64, Problem> {
        Ok(u32::from_le_bytes(self.array()?).into())
    }

    /// The next `count` bytes.
    pub(super) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, Problem> {
        self.claim(count)?;
        // Grows with what is there, not with what a length field promises.
        let mut bytes = Vec::new();
        self.reader.by_ref().take(count).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == count {
            Ok(bytes)
        } else {
            Err(Problem::Truncated)
        }
    }

    /// Text up to the end of the line, without it.
    pub(super) fn line(&mut self) -> Result<String, Problem> {
        const LONGEST: usize = 1000;
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                _ if line.len() == LONGEST => {
                    return Err(damaged("an endless line"));
                }
                byte => line.push(byte),
            }
        }
        String::from_utf8(line).map_err(|_| damaged("a name that is no text"))
    }
}
