//! The rows of one input in one window, and what finds them by key.

use super::probe::NONE;
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use purlin_api::key::{self, KeyCodec, KeyRows};
use purlin_api::unite::as_decimals;
use purlin_api::{Error, ErrorKind, Result};
use std::collections::HashMap;

/// Small batches are put together until they have so many rows or bytes: what is looked up in few pieces is
/// looked up faster, and one piece of everything could be more than a text column can hold.
const BLOCK_ROWS: usize = 1 << 16;
const BLOCK_BYTES: usize = 64 << 20;

/// The rows of one input in one window, numbered from 0 in the order they came.
#[derive(Debug)]
pub(super) struct Side {
    schema: SchemaRef,
    blocks: Vec<RecordBatch>,
    /// The number of each block's first row.
    starts: Vec<u32>,
    rows: u32,
}

/// Rows to take, prepared once for all columns.
pub(super) enum Picks {
    /// Of the only block.
    Take(UInt32Array),
    /// Block and row; the block after the last one is a null.
    Interleave(Vec<(usize, usize)>),
}

impl Side {
    pub(super) fn new(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<Self> {
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let too_many = || Error::new(ErrorKind::Exhausted, format!("a join of {rows} rows in one window"));
        let rows = u32::try_from(rows).ok().filter(|r| *r < NONE).ok_or_else(too_many)?;
        let blocks = blocks(schema, batches)?;
        let mut next = 0_u32;
        let starts = blocks.iter().map(|b| {
            let start = next;
            next += b.num_rows() as u32;
            start
        });
        Ok(Side { schema: schema.clone(), starts: starts.collect(), blocks, rows })
    }

    pub(super) fn len(&self) -> usize {
        self.rows as usize
    }

    /// Where a row is; it must exist.
    fn place(&self, row: u32) -> (usize, usize) {
        let block = self.starts.partition_point(|s| *s <= row).saturating_sub(1);
        (block, (row - self.starts.get(block).copied().unwrap_or(0)) as usize)
    }

    /// Prepares taking these rows; [`NONE`] takes nulls.
    pub(super) fn picks(&self, ids: &[u32]) -> Picks {
        if self.blocks.len() <= 1 {
            return Picks::Take(match ids.contains(&NONE) {
                true => ids.iter().map(|i| (*i != NONE).then_some(*i)).collect(),
                false => ids.to_vec().into(),
            });
        }
        let null = (self.blocks.len(), 0);
        Picks::Interleave(ids.iter().map(|i| if *i == NONE { null } else { self.place(*i) }).collect())
    }

    /// One column of the rows picked.
    pub(super) fn column(&self, column: usize, picks: &Picks) -> Result<ArrayRef> {
        let field = self.schema.fields().get(column);
        let t = field.map(|f| f.data_type()).ok_or_else(|| Error::internal("a join of a missing column"))?;
        let rows = match picks {
            Picks::Take(ids) => ids.len(),
            Picks::Interleave(places) => places.len(),
        };
        if self.blocks.is_empty() || *t == DataType::Null {
            return Ok(new_null_array(t, rows));
        }
        match picks {
            Picks::Take(ids) => match self.blocks.first().and_then(|b| b.columns().get(column)) {
                Some(column) => Ok(take(column, ids, None)?),
                None => Ok(new_null_array(t, rows)),
            },
            Picks::Interleave(places) => {
                let null = new_null_array(t, 1);
                let parts: Vec<&dyn Array> = self
                    .blocks
                    .iter()
                    .filter_map(|b| b.columns().get(column).map(|c| c.as_ref()))
                    .chain(std::iter::once(null.as_ref()))
                    .collect();
                Ok(interleave(&parts, places)?)
            }
        }
    }
}

/// The same rows in fewer batches.
fn blocks(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let mut blocks = Vec::new();
    let (mut group, mut rows, mut bytes) = (Vec::new(), 0, 0);
    let close = |group: &mut Vec<RecordBatch>, blocks: &mut Vec<RecordBatch>| -> Result<()> {
        match group.len() {
            0 => {}
            1 => blocks.append(group),
            _ => {
                blocks.push(concat_batches(schema, group.iter())?);
                group.clear();
            }
        }
        Ok(())
    };
    for batch in batches.into_iter().filter(|b| b.num_rows() > 0) {
        let (more_rows, more_bytes) = (batch.num_rows(), batch.get_array_memory_size());
        if rows + more_rows > BLOCK_ROWS || bytes + more_bytes > BLOCK_BYTES {
            close(&mut group, &mut blocks)?;
            (rows, bytes) = (0, 0);
        }
        (rows, bytes) = (rows + more_rows, bytes + more_bytes);
        group.push(batch);
    }
    close(&mut group, &mut blocks)?;
    Ok(blocks)
}

/// The keys of some rows.
#[derive(Debug, Default)]
pub(super) struct Keys {
    bytes: KeyRows,
    /// Which rows have a null in their key, and so equal nothing.
    nulls: Option<Vec<bool>>,
}

impl Keys {
    /// From columns, each in the type in which it is compared.
    pub(super) fn new(codec: &KeyCodec, columns: &[ArrayRef], rows: usize) -> Result<Self> {
        let mut keys = Vec::with_capacity(columns.len());
        let mut nulls: Option<Vec<bool>> = None;
        for (column, t) in columns.iter().zip(codec.types()) {
            if let Some(own) = column.logical_nulls().filter(|n| n.null_count() > 0) {
                let all = nulls.get_or_insert_with(|| vec![false; rows]);
                all.iter_mut().zip(own.iter()).for_each(|(null, valid)| *null |= !valid);
            }
            keys.push(compared_as(column, t)?);
        }
        Ok(Keys { bytes: codec.encode(&keys, rows)?, nulls })
    }

    /// The key of a row, unless it equals nothing.
    pub(super) fn get(&self, row: usize) -> Option<&[u8]> {
        match &self.nulls {
            Some(nulls) if nulls.get(row).copied().unwrap_or(true) => None,
            _ => Some(self.bytes.get(row)),
        }
    }
}

fn compared_as(column: &ArrayRef, t: &DataType) -> Result<ArrayRef> {
    match (column.data_type(), t) {
        (DataType::Null, t) => Ok(new_null_array(t, column.len())),
        (DataType::Int64, DataType::Decimal128(..)) => as_decimals(column, t),
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) if from != to => as_decimals(column, t),
        (DataType::Int64, DataType::Float64) => Ok(arrow_cast::cast(column, t)?),
        _ => Ok(column.clone()),
    }
}

/// Finds the rows of a side by key, in the order of the rows.
#[derive(Debug)]
pub(super) struct KeyIndex {
    /// By block of the side.
    keys: Vec<Keys>,
    /// The first row of each hash.
    heads: HashMap<u64, u32>,
    /// The next row of the same hash.
    next: Vec<u32>,
}

impl KeyIndex {
    /// Of the key in these columns.
    pub(super) fn new(side: &Side, codec: &KeyCodec, columns: &[usize]) -> Result<Self> {
        let keys = side.blocks.iter().map(|b| {
            let columns: Option<Vec<ArrayRef>> =
                columns.iter().map(|c| b.columns().get(*c).cloned()).collect();
            let columns = columns.ok_or_else(|| Error::internal("a join on a missing column"))?;
            Keys::new(codec, &columns, b.num_rows())
        });
        let keys: Vec<Keys> = keys.collect::<Result<_>>()?;
        let mut heads = HashMap::with_capacity(side.len());
        let mut next = vec![NONE; side.len()];
        // From the back, so that the chains run forward.
        for ((keys, block), start) in keys.iter().zip(&side.blocks).zip(&side.starts).rev() {
            for row in (0..block.num_rows()).rev() {
                let Some(key) = keys.get(row) else { continue };
                let number = *start + row as u32;
                if let (Some(after), Some(slot)) =
                    (heads.insert(key::hash(key), number), next.get_mut(number as usize))
                {
                    *slot = after;
                }
            }
        }
        Ok(KeyIndex { keys, heads, next })
    }

    /// The first row that may have the key of this row of `keys`.
    pub(super) fn head(&self, keys: &Keys, row: usize) -> u32 {
        let head = keys.get(row).and_then(|key| self.heads.get(&key::hash(key)));
        head.copied().unwrap_or(NONE)
    }

    /// The row after this one that may have the same key.
    pub(super) fn after(&self, row: u32) -> u32 {
        self.next.get(row as usize).copied().unwrap_or(NONE)
    }

    /// True if a row of the side has the key of this row of `keys`.
    pub(super) fn equal(&self, side: &Side, found: u32, keys: &Keys, row: usize) -> bool {
        let (block, at) = side.place(found);
        let own = self.keys.get(block).and_then(|k| k.get(at));
        own.is_some() && own == keys.get(row)
    }
}
