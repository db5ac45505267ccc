//! Which key slot something belongs to.

use crate::error::{Error, Result};
use crate::key::{self, KEY_SLOTS, KeyCodec};
use crate::state::own_slot;
use crate::transform::{BuildCx, Distribution};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema};

/// The slots of entries by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySlots {
    /// All are in one.
    One(u16),
    /// That of the key bytes by which rows are spread, which stand behind this many other bytes.
    OfKey {
        /// How many bytes stand before them.
        behind: usize,
    },
}

impl KeySlots {
    /// Of keys that belong to a lane as a whole.
    pub fn own(cx: &BuildCx) -> Self {
        KeySlots::One(own_slot(cx.lane, cx.lanes))
    }

    /// The slot of a key.
    pub fn of(self, key: &[u8]) -> u16 {
        match self {
            KeySlots::One(slot) => slot.min(KEY_SLOTS - 1),
            KeySlots::OfKey { behind } => key::slot(key::hash(key.get(behind..).unwrap_or(&[]))),
        }
    }
}

/// The slots of rows.
#[derive(Clone, Debug)]
pub enum RowSlots {
    /// All are in one.
    One(u16),
    /// That of the values in these columns, as rows are spread by them.
    Keyed {
        /// The columns.
        columns: Vec<usize>,
        /// Of their types.
        codec: KeyCodec,
    },
}

impl RowSlots {
    /// Of rows of this schema that are spread in this way; its columns are those of the schema.
    ///
    /// # Errors
    /// If they are spread by columns that there are none of, or that cannot be keys.
    pub fn new(distribution: &Distribution, schema: &Schema, cx: &BuildCx) -> Result<Self> {
        let columns = match distribution {
            Distribution::Keyed(columns) if !columns.is_empty() => columns.clone(),
            _ => return Ok(RowSlots::One(own_slot(cx.lane, cx.lanes))),
        };
        let types: Option<Vec<DataType>> =
            columns.iter().map(|c| Some(schema.fields().get(*c)?.data_type().clone())).collect();
        let types = types.ok_or_else(|| Error::internal("state is spread by a column that is not kept"))?;
        Ok(RowSlots::Keyed { codec: KeyCodec::new(&types)?, columns })
    }

    /// The slots of some rows.
    ///
    /// # Errors
    /// If they are of another schema.
    pub fn of(&self, rows: &RecordBatch) -> Result<Vec<u16>> {
        match self {
            RowSlots::One(slot) => Ok(vec![(*slot).min(KEY_SLOTS - 1); rows.num_rows()]),
            RowSlots::Keyed { columns, codec } => {
                let columns: Option<Vec<ArrayRef>> =
                    columns.iter().map(|c| rows.columns().get(*c).cloned()).collect();
                let columns = columns.ok_or_else(|| Error::internal("state without its key"))?;
                let keys = codec.encode(&columns, rows.num_rows())?;
                Ok(keys.iter().map(|k| key::slot(key::hash(k))).collect())
            }
        }
    }
}
