//! TensorBoard's event file: a training run's numbers as they come.
//!
//! The file is a sequence of TFRecords, each an `Event` of TensorFlow's `event.proto`; of it only what a
//! scalar needs is written, so the few fields are encoded here. A run that goes on after a stop begins
//! another file beside the first: TensorBoard reads all of a folder, and lets the later one win.

use crate::events::{Event, Listener};
use crate::{Error, Result};
use crc_fast::{CrcAlgorithm, checksum};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What the first record of a file says.
const VERSION: &str = "brain.Event:2";

/// Hands every event on, and writes down those of training.
pub struct TensorBoard<'a> {
    inner: &'a dyn Listener,
    path: PathBuf,
    /// Nothing once it could not be written: training goes on without.
    file: Mutex<Option<File>>,
}

impl<'a> TensorBoard<'a> {
    /// A new event file in `folder`.
    ///
    /// # Errors
    /// The folder or the file cannot be made.
    pub fn open(folder: &Path, inner: &'a dyn Listener) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|cause| Error::file("create", folder, cause))?;
        let now = jiff::Timestamp::now();
        let (second, process) = (now.as_second(), std::process::id());
        let path = folder.join(format!(
            "events.out.tfevents.{second:010}.steadfast.{process}.{}",
            now.subsec_nanosecond()
        ));
        let mut file =
            File::create_new(&path).map_err(|cause| Error::file("create", &path, cause))?;
        let first = event(now, 0, &field_bytes(3, VERSION.as_bytes()));
        file.write_all(&record(&first))
            .map_err(|cause| Error::file("write", &path, cause))?;
        Ok(Self {
            inner,
            path,
            file: Mutex::new(Some(file)),
        })
    }

    fn scalars(&self, step: usize, values: &[(&str, f64)]) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = file.as_mut() else {
            return;
        };
        let summary: Vec<u8> = values
            .iter()
            .flat_map(|(tag, value)| field_bytes(1, &scalar(tag, *value)))
            .collect();
        let event = event(jiff::Timestamp::now(), step, &field_bytes(5, &summary));
        if let Err(cause) = open.write_all(&record(&event)) {
            *file = None;
            let message = format!("{}: {cause}; training goes on", self.path.display());
            self.inner.on(Event::Warning { message });
        }
    }
}

impl Listener for TensorBoard<'_> {
    fn on(&self, event: Event) {
        if let Some((step, values)) = event.scalars() {
            self.scalars(step, &values);
        }
        self.inner.on(event);
    }

    fn stopped(&self) -> bool {
        self.inner.stopped()
    }
}

/// `Event { double wall_time = 1; int64 step = 2; … }`, `what` encoded already.
fn event(time: jiff::Timestamp, step: usize, what: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1 << 3 | 1];
    bytes.extend((time.as_millisecond() as f64 / 1e3).to_le_bytes());
    bytes.push(2 << 3);
    bytes.extend(varint(step as u64));
    bytes.extend(what);
    bytes
}

/// `Value { string tag = 1; float simple_value = 2; }`
fn scalar(tag: &str, value: f64) -> Vec<u8> {
    let mut bytes = field_bytes(1, tag.as_bytes());
    bytes.push(2 << 3 | 5);
    bytes.extend((value as f32).to_le_bytes());
    bytes
}

/// A field of bytes, a text or a message.
fn field_bytes(field: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![field << 3 | 2];
    bytes.extend(varint(content.len() as u64));
    bytes.extend(content);
    bytes
}

/// Seven bits a byte, the lowest first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A TFRecord: length, its checksum, data, its checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(masked(&length));
    bytes.extend(data);
    bytes.extend(masked(data));
    bytes
}

/// CRC32C, turned and shifted: a checksum of data that holds checksums is a weak one.
fn masked(data: &[u8]) -> [u8; 4] {
    let sum = checksum(CrcAlgorithm::Crc32Iscsi, data) as u32;
    sum.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Silent;

    #[test]
    fn a_record_is_framed_as_tensorflow_frames_it() {
        // Made by tensorboard 2.21: RecordWriter(file).write(b"abc").
        let expected = [
            3, 0, 0, 0, 0, 0, 0, 0, 0xb0, 0x99, 0x49, 0x0e, b'a', b'b', b'c', 0x6e, 0x57, 0xf1,
            0x21,
        ];
        assert_eq!(record(b"abc"), expected);
        assert_eq!(varint(300), [0xac, 0x02]);
    }

    #[test]
    fn events_are_handed_on_and_a_second_run_has_a_file_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let board = TensorBoard::open(folder.path(), &Silent).unwrap();
            board.on(Event::ValidationLoss { step: 3, loss: 1.5 });
        }
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(files.len(), 2);
        for file in files {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let tag = b"eval/loss";
            assert!(bytes.windows(tag.len()).any(|window| window == tag));
        }
    }
}
