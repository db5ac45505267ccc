//! One letter, as it was kept.

use super::rows;
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use purlin_api::{Error, EventTime, Result, Window};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// A row that failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Letter {
    /// Its name: RUN.EPOCH.NUMBER. It stays the same for ever.
    pub id: String,
    /// When it was kept, in microseconds since 1970.
    pub kept_us: i64,
    /// The same for people.
    pub kept_at: String,
    /// The label of the transform that refused it.
    pub transform: String,
    /// Why.
    pub reason: String,
    /// Where it happened, as the error output said.
    pub stack: String,
    /// Where it stood outside: file and line, or subscription and message.
    pub position: Option<String>,
    /// The message it was made of, if it was made of one and a later transform refused it: `id`, `attributes`, and
    /// `payload`, or `payload_base64` if that is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<RawValue>>,
    /// Its event time, in microseconds since 1970.
    pub time_us: i64,
    /// The same for people; nothing if the row had no time.
    pub time: Option<String>,
    /// Start and end of its window; nothing for the global one.
    pub window: Option<(i64, i64)>,
    /// The failed row, for people.
    pub element: Box<RawValue>,
    /// The failed row with its types: Arrow's IPC format in base 64.
    pub row: String,
    /// The pipeline file of the run that kept it; it stands in the header of its file.
    #[serde(skip)]
    pub file: String,
}

impl Letter {
    /// The failed row with its types.
    ///
    /// # Errors
    /// If it cannot be decoded.
    pub fn row(&self) -> Result<RecordBatch> {
        rows::decode(&self.row).map_err(|e| Error::data(format!("letter {}: {}", self.id, e.message())))
    }

    /// Its event time.
    pub fn event_time(&self) -> EventTime {
        EventTime(self.time_us)
    }

    /// Its window.
    pub fn window(&self) -> Window {
        self.window.map_or(Window::Global, |(start, end)| Window::interval(start, end))
    }
}

/// A row for machines: as people see it, and bytes that are no text once more, in base 64, as `NAME_base64`.
pub fn told(element: &str, row: &str) -> Value {
    let mut value = serde_json::from_str::<Value>(element).unwrap_or_else(|_| Value::from(element));
    // What stands there for bytes that are no text.
    if !element.contains(char::REPLACEMENT_CHARACTER) {
        return value;
    }
    let (Some(fields), Ok(batch)) = (value.as_object_mut(), rows::decode(row)) else { return value };
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let bytes = column.as_binary_opt::<i32>().filter(|b| b.is_valid(0)).map(|b| b.value(0));
        if let Some(bytes) = bytes.filter(|b| std::str::from_utf8(b).is_err()) {
            fields.entry(format!("{}_base64", field.name())).or_insert_with(|| STANDARD.encode(bytes).into());
        }
    }
    value
}

/// An instant for people; nothing for the least, which rows without a time have.
pub(super) fn instant(t: EventTime) -> Option<String> {
    (t > EventTime::MIN).then(|| t.to_rfc3339())
}

/// A short name that no other run has, most likely: 40 bits that differ between processes and calls.
pub fn draw_name() -> String {
    use std::hash::{BuildHasher, Hasher};
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut bits = std::hash::RandomState::new().build_hasher().finish();
    let mut name = String::with_capacity(8);
    for _ in 0..8 {
        name.push(char::from(DIGITS.get((bits & 31) as usize).copied().unwrap_or(b'0')));
        bits >>= 5;
    }
    name
}

/// A line of a file of letters.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// A letter.
    Letter(Box<Letter>),
    /// The last line: how many letters there are. Without it the file was cut off.
    End(u64),
}
