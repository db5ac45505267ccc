//! One row, with its types, as bytes: a stream of Arrow's IPC format.

use arrow_array::RecordBatch;
use arrow_ipc::MetadataVersion;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use purlin_api::{Error, Result};

/// A row as text.
pub(super) fn encode(row: &RecordBatch) -> Result<String> {
    // Padded to 8 bytes, not to 64: it is one row.
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?;
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), row.schema_ref(), options)?;
    writer.write(row)?;
    writer.finish()?;
    Ok(STANDARD.encode(writer.into_inner()?))
}

/// The row of a text that [`encode`] made.
///
/// # Errors
/// If it was not.
pub(super) fn decode(text: &str) -> Result<RecordBatch> {
    let odd = |e: &dyn std::fmt::Display| Error::data(format!("its `row` cannot be decoded: {e}"));
    let bytes = STANDARD.decode(text).map_err(|e| odd(&e))?;
    let mut reader = StreamReader::try_new(bytes.as_slice(), None).map_err(|e| odd(&e))?;
    match reader.next() {
        Some(Ok(batch)) if batch.num_rows() == 1 => Ok(batch),
        Some(Ok(batch)) => Err(odd(&format!("it holds {} rows", batch.num_rows()))),
        Some(Err(e)) => Err(odd(&e)),
        None => Err(odd(&"it is empty")),
    }
}
