//! A file reader that is given back records that it refused.

use super::errors::{ErrorRows, TEXT_BYTES_MAX, bad_record};
use super::{Decoder, Fate, OnBad, ReadNode, Stop};
use crate::shared::records::{Record, Records};
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use purlin_api::shape::physical;
use purlin_api::source::BoxFuture;
use purlin_api::{
    Batch, Budget, BuildCx, Error, ErrorKind, EventTime, Output, PlanNode, Pull, Result, Resume, Running,
    Source, SourceStatus,
};
use std::sync::Arc;

/// A record as its error row has it.
#[derive(Debug)]
struct Unit {
    file: String,
    line: u64,
    text: String,
}

/// A reader of records, instead of files.
#[derive(Clone, Debug)]
struct AgainNode {
    node: ReadNode,
    outputs: Vec<Output>,
    units: Arc<[Unit]>,
}

/// A reader as `node`, which reads these records.
///
/// # Errors
/// If they are no records, or not whole.
pub(super) fn again(node: &ReadNode, units: &RecordBatch) -> Result<Arc<dyn PlanNode>> {
    let odd = || Error::data("what this reader refused has the fields `file`, `line` and `text`");
    let text = |name| units.column_by_name(name).and_then(|c| c.as_string_opt::<i32>()).ok_or_else(odd);
    let line =
        units.column_by_name("line").and_then(|c| c.as_primitive_opt::<Int64Type>()).ok_or_else(odd)?;
    let (files, texts) = (text("file")?, text("text")?);
    let mut all = Vec::with_capacity(units.num_rows());
    for row in 0..units.num_rows() {
        let unit = Unit {
            file: files.value(row).to_owned(),
            line: u64::try_from(line.value(row)).unwrap_or_default(),
            text: texts.value(row).to_owned(),
        };
        // The last character may have been cut, and is three bytes then.
        if (TEXT_BYTES_MAX..=TEXT_BYTES_MAX + 8).contains(&unit.text.len()) {
            let text = format!(
                "{}:{} was kept only to its first {TEXT_BYTES_MAX} bytes: it cannot be read again",
                unit.file, unit.line
            );
            return Err(Error::new(ErrorKind::Config, text));
        }
        all.push(unit);
    }
    let mut outputs = node.outputs.clone();
    outputs.iter_mut().for_each(|o| o.shape.bounded = true);
    Ok(Arc::new(AgainNode { node: node.clone(), outputs, units: all.into() }))
}

impl PlanNode for AgainNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("{}; {} records once more", self.node.format.describe(), self.units.len())
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        let out = self.outputs.first().ok_or_else(|| Error::internal("a reader has no output"))?;
        let decoder = self.node.format.decoder(&physical(&out.shape.schema), &self.node.needed);
        let errors = matches!(self.node.on_bad, OnBad::Output { .. }).then(ErrorRows::default);
        Ok(Running::Source(Box::new(Again { of: self.clone(), decoder, errors, file: None, next: 0 })))
    }
}

struct Again {
    of: AgainNode,
    decoder: Box<dyn Decoder>,
    errors: Option<ErrorRows>,
    /// The file that the decoder is in.
    file: Option<String>,
    next: usize,
}

impl Again {
    fn pull(&mut self, rows_max: usize) -> Result<Pull> {
        let mut pull = Pull { status: SourceStatus::Ready, watermark: EventTime::MIN, ..Pull::done() };
        let units = self.of.units.clone();
        while self.decoder.rows() + self.errors.as_ref().map_or(0, ErrorRows::len) < rows_max.max(1) {
            let Some(unit) = units.get(self.next) else {
                pull.status = SourceStatus::Done;
                pull.watermark = EventTime::MAX;
                break;
            };
            self.next += 1;
            self.enter(&unit.file)?;
            self.take(unit, &mut pull)?;
        }
        if self.decoder.rows() > 0 {
            pull.batches.push((0, Batch::untimed(self.decoder.finish()?)));
        }
        if let Some(errors) = self.errors.as_mut().filter(|e| e.len() > 0) {
            pull.batches.push((1, Batch::untimed(errors.finish()?)));
        }
        pull.resume = Resume::Barrier;
        Ok(pull)
    }

    /// Shows the decoder what stands before the data of a file, such as a header, which tells how to read the rest.
    fn enter(&mut self, file: &str) -> Result<()> {
        if self.file.as_deref() == Some(file) {
            return Ok(());
        }
        self.decoder.open(file)?;
        self.file = Some(file.to_owned());
        if self.decoder.at_data() {
            return Ok(());
        }
        let mut records = Records::open(file, self.of.node.format.framing(), self.of.node.record_bytes_max)?;
        while !self.decoder.at_data() {
            let Some(record) = records.next()? else {
                return Err(Error::data(format!(
                    "`{file}` has no header any more, by which its lines are read"
                )));
            };
            match self.decoder.record(&record) {
                Ok(_) => {}
                Err(Stop::File(e)) => return Err(e),
                Err(Stop::Row(e)) => return Err(bad_record(file, record.line, &e)),
            }
        }
        Ok(())
    }

    fn take(&mut self, unit: &Unit, pull: &mut Pull) -> Result<()> {
        pull.read += 1;
        let record = Record { bytes: unit.text.as_bytes(), line: unit.line, fault: None };
        match self.decoder.record(&record) {
            Ok(Fate::Row) => Ok(()),
            Ok(Fate::Skipped | Fate::Header) => {
                pull.skipped += 1;
                Ok(())
            }
            Err(Stop::File(e)) => Err(e),
            Err(Stop::Row(mut e)) => {
                // The line that was kept is that of the problem already.
                e.line = None;
                match (&mut self.errors, self.of.node.on_bad) {
                    (Some(errors), _) => errors.push(&unit.file, unit.line, unit.text.as_bytes(), &e)?,
                    (None, OnBad::Skip) => {}
                    (None, _) => return Err(bad_record(&unit.file, unit.line, &e)),
                }
                pull.dead += 1;
                Ok(())
            }
        }
    }
}

impl Source for Again {
    fn next(&mut self, budget: Budget) -> BoxFuture<'_, Result<Pull>> {
        Box::pin(std::future::ready(self.pull(budget.rows_max)))
    }
}
