//! How rows of an edge are spread over the lanes of the stage that takes them.

use crate::message::Message;
use arrow_array::UInt32Array;
use arrow_schema::DataType;
use purlin_api::key::{self, KeyCodec};
use purlin_api::{Batch, Result};
use purlin_plan::Exchange;

/// Spreads the messages of one edge that leave one lane.
pub(crate) struct Spreader {
    kind: Kind,
    lanes: usize,
}

enum Kind {
    /// To the lane of the same number.
    Same(usize),
    /// To lane 0.
    First,
    /// By key.
    Keyed { columns: Vec<usize>, codec: KeyCodec },
    /// In turns.
    Turns(usize),
}

impl Spreader {
    /// For an edge whose producer is `lane`, with `types` the column types of its rows.
    pub(crate) fn new(exchange: &Exchange, lane: usize, lanes: usize, types: &[DataType]) -> Result<Self> {
        let kind = match exchange {
            Exchange::Forward => Kind::Same(lane),
            Exchange::Gather => Kind::First,
            Exchange::Spread => Kind::Turns(lane),
            Exchange::Shuffle(columns) => {
                let types: Vec<DataType> = columns.iter().filter_map(|c| types.get(*c).cloned()).collect();
                Kind::Keyed { columns: columns.clone(), codec: KeyCodec::new(&types)? }
            }
        };
        Ok(Spreader { kind, lanes })
    }

    /// Calls `to` with each lane and what it gets. Control messages go to every lane the edge reaches.
    pub(crate) fn spread(&mut self, message: Message, mut to: impl FnMut(usize, Message)) -> Result<()> {
        let Message::Batch(batch) = message else {
            match self.kind {
                Kind::Same(lane) => to(lane, message),
                Kind::First => to(0, message),
                Kind::Keyed { .. } | Kind::Turns(_) => (0..self.lanes).for_each(|l| to(l, message.clone())),
            }
            return Ok(());
        };
        match &mut self.kind {
            Kind::Same(lane) => to(*lane, Message::Batch(batch)),
            Kind::First => to(0, Message::Batch(batch)),
            Kind::Turns(next) => {
                to(*next % self.lanes, Message::Batch(batch));
                *next = (*next + 1) % self.lanes;
            }
            Kind::Keyed { .. } if self.lanes == 1 => to(0, Message::Batch(batch)),
            Kind::Keyed { columns, codec } => {
                for (lane, part) in by_key(&batch, columns, codec, self.lanes)? {
                    to(lane, Message::Batch(part));
                }
            }
        }
        Ok(())
    }
}

fn by_key(batch: &Batch, columns: &[usize], codec: &KeyCodec, lanes: usize) -> Result<Vec<(usize, Batch)>> {
    let keys: Vec<_> = columns.iter().map(|c| batch.rows.column(*c).clone()).collect();
    let keys = codec.encode(&keys, batch.len())?;
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); lanes];
    for (row, bytes) in keys.iter().enumerate() {
        let lane = key::lane(key::slot(key::hash(bytes)), lanes);
        if let Some(r) = rows.get_mut(lane) {
            r.push(row as u32);
        }
    }
    let mut parts = Vec::with_capacity(lanes);
    for (lane, rows) in rows.into_iter().enumerate().filter(|(_, r)| !r.is_empty()) {
        parts.push((lane, batch.take(&UInt32Array::from(rows))?));
    }
    Ok(parts)
}
