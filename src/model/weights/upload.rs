//! Uploads weights in pieces: all cores read, check and convert one piece while a thread writes the previous piece to
//! the device.

use std::{
    ops::Range,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, channel, sync_channel},
    },
    thread::{Scope, ScopedJoinHandle},
};

use super::{
    convert::{Found, convert},
    quantize::{Target, Weighted},
};
use crate::{
    compute::{dtype::DType, memory::Buffer},
    error::Result,
};

/// Bytes per piece on the device.
const PIECE: usize = 16 << 20;

/// Number of pieces in memory: one in conversion, one in upload.
const PIECES: usize = 2;

/// Sends pieces to a device.
pub(super) struct Uploader<'scope> {
    full: Option<SyncSender<Piece>>,
    empty: Receiver<Vec<u8>>,
    /// A spare buffer.
    spare: Option<Vec<u8>>,
    thread: Option<ScopedJoinHandle<'scope, Result<()>>>,
}

struct Piece {
    buffer: Arc<Buffer>,
    at: u64,
    bytes: Vec<u8>,
}

/// Stored values, and their type on the device.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) from: DType,
    pub(super) to: DType,
    pub(super) data: &'a [u8],
}

impl<'scope> Uploader<'scope> {
    pub(super) fn new(scope: &'scope Scope<'scope, '_>) -> Self {
        let (full, waiting) = sync_channel::<Piece>(PIECES);
        let (back, empty) = channel();
        (0..PIECES).for_each(|_| _ = back.send(Vec::new()));
        let thread = scope.spawn(move || {
            for Piece { buffer, at, bytes } in waiting {
                buffer.write(at, &bytes)?;
                _ = back.send(bytes);
            }
            Ok(())
        });
        Self { full: Some(full), empty, spare: None, thread: Some(thread) }
    }

    /// Uploads values to byte `at` of a buffer. `done` gets the ranges of stored bytes that are no longer needed. Stops
    /// at the first piece with values that do not fit.
    ///
    /// # Errors
    /// Errors of this write or of earlier ones.
    pub(super) fn upload(
        &mut self,
        values: Values<'_>,
        (buffer, mut at): (&Arc<Buffer>, u64),
        done: impl Fn(Range<usize>),
    ) -> Result<Found> {
        let Values { from, to, data } = values;
        let [read, written] = [from, to].map(|dtype| dtype.bytes() as usize);
        let step = PIECE / written * read;
        for (start, part) in (0..).step_by(step).zip(data.chunks(step)) {
            let Some(mut bytes) = self.empty() else { return self.finish().map(|()| Found::Fit) };
            bytes.resize(part.len() / read * written, 0);
            let found = convert(from, to, part, &mut bytes);
            done(start..start + part.len());
            if found != Found::Fit {
                self.spare = Some(bytes);
                return Ok(found);
            }
            let length = bytes.len() as u64;
            let piece = Piece { buffer: buffer.clone(), at, bytes };
            if !self.send(piece) {
                return self.finish().map(|()| Found::Fit);
            }
            at += length;
        }
        Ok(Found::Fit)
    }

    /// Quantizes weights, or copies quantized ones, into rows of `target` from a first row on. `done` gets the ranges
    /// of stored bytes that are no longer needed. Stops at the first piece with weights that do not fit.
    ///
    /// # Errors
    /// Errors of this write or of earlier ones.
    pub(super) fn quantise(
        &mut self,
        weights: Weighted<'_>,
        (target, mut row): (&mut Target, usize),
        done: impl Fn(Range<usize>),
    ) -> Result<Found> {
        let (rows, read, written) = (weights.rows(), weights.row_bytes(), target.planes.row[0]);
        let step = (PIECE / written).max(1);
        for start in (0..rows).step_by(step) {
            let part = start..(start + step).min(rows);
            let Some(mut codes) = self.empty() else { return self.finish().map(|()| Found::Fit) };
            codes.resize(part.len() * written, 0);
            let found = weights.convert(part.clone(), &mut codes, target.scales(row, part.len()));
            done(part.start * read..part.end * read);
            if found != Found::Fit {
                self.spare = Some(codes);
                return Ok(found);
            }
            let at = (row * written) as u64;
            row += part.len();
            if !self.send(Piece { buffer: target.buffer.clone(), at, bytes: codes }) {
                return self.finish().map(|()| Found::Fit);
            }
        }
        Ok(Found::Fit)
    }

    /// Uploads the scales of a target.
    ///
    /// # Errors
    /// Errors of this write or of earlier ones.
    pub(super) fn complete(&mut self, target: Target) -> Result<()> {
        let Target { buffer, planes, words, units } = target;
        for (plane, scales) in [(1, words), (2, units)] {
            for (i, part) in scales.chunks(PIECE).enumerate() {
                let Some(mut bytes) = self.empty() else { return self.finish() };
                bytes.clear();
                bytes.extend_from_slice(part);
                let at = (planes.start[plane] + i * PIECE) as u64;
                if !self.send(Piece { buffer: buffer.clone(), at, bytes }) {
                    return self.finish();
                }
            }
        }
        Ok(())
    }

    /// An empty buffer for a piece. `None` after a failed write.
    fn empty(&mut self) -> Option<Vec<u8>> {
        self.spare.take().or_else(|| self.empty.recv().ok())
    }

    /// Queues a piece. Returns whether the thread still accepts pieces.
    fn send(&self, piece: Piece) -> bool {
        self.full.as_ref().is_some_and(|full| full.send(piece).is_ok())
    }

    /// Waits until the device has all pieces.
    ///
    /// # Errors
    /// Errors of any write.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.full = None;
        let thread = self.thread.take().map(ScopedJoinHandle::join);
        thread.map_or(Ok(()), |outcome| outcome.expect("the upload thread does not panic"))
    }
}
