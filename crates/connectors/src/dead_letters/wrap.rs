//! From the rows of one input to letters: what each row needs to be kept and given back.

use super::{required, rows};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use purlin_api::shape::physical;
use purlin_api::{
    Batch, BuildCx, Error, InputShape, More, OpCx, Operator, Output, OutputRole, PlanNode, Port, Result,
    Running, json,
};
use std::sync::Arc;

/// Columns of letters on their way to the writer.
pub(super) fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let position = Field::new("position", DataType::Utf8, true);
    let fields =
        vec![text("transform"), text("reason"), text("stack"), position, text("element"), text("row")];
    Arc::new(Schema::new(fields))
}

/// Makes letters of the rows of one input.
#[derive(Clone, Debug)]
pub(super) struct WrapNode {
    outputs: Vec<Output>,
    transform: String,
    /// For rows of no error output.
    reason: Option<String>,
    /// Fields of the rows that are never null.
    required: Vec<String>,
}

impl WrapNode {
    /// For an input; with a reason its rows are no error rows.
    pub(super) fn new(input: &InputShape, reason: Option<String>) -> Self {
        let shape = input.shape.with_schema(schema());
        let outputs = vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }];
        let schema = &input.shape.schema;
        let element = schema.field_with_name("element").ok().map(Field::data_type);
        let fields = match element.filter(|_| reason.is_none()) {
            Some(DataType::Struct(fields)) => fields,
            _ => schema.fields(),
        };
        let required = fields.iter().filter(|f| !f.is_nullable()).map(|f| f.name().clone()).collect();
        WrapNode { outputs, transform: input.producer.clone(), reason, required }
    }
}

impl PlanNode for WrapNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        format!("letters of {}", self.transform)
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        Ok(Running::Operator(Box::new(Wrap(self.clone()))))
    }
}

struct Wrap(WrapNode);

impl Operator for Wrap {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let letters = self.0.letters(&batch)?;
        cx.fates.passed += batch.len() as u64;
        cx.emit(0, batch.with_rows(letters));
        Ok(More::No)
    }
}

impl WrapNode {
    pub(super) fn letters(&self, batch: &Batch) -> Result<RecordBatch> {
        let count = batch.len();
        let (element, reasons, stacks) = match &self.reason {
            Some(reason) => {
                let same = || Arc::new(StringArray::from(vec![reason.as_str(); count])) as ArrayRef;
                let none = Arc::new(StringArray::from(vec![""; count])) as ArrayRef;
                (batch.rows.clone(), same(), none)
            }
            None => {
                let column = |name: &str| {
                    let found = batch.rows.column_by_name(name).cloned();
                    found.ok_or_else(|| Error::internal(format!("an error row has no `{name}`")))
                };
                (element_of(&column("element")?)?, column("msg")?, column("stack")?)
            }
        };
        let (mut shown, mut kept) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut positions = Vec::with_capacity(count);
        let stack = stacks.as_string_opt::<i32>();
        for row in 0..count {
            // Taken, not sliced: only its own bytes are kept.
            let one = arrow_select::take::take_record_batch(&element, &UInt32Array::from(vec![row as u32]))?;
            let mut text = Vec::new();
            json::write_json(&one, 0, &mut text);
            shown.push(String::from_utf8(text).map_err(|_| Error::internal("JSON is not UTF-8"))?);
            kept.push(rows::encode(&required::marked(one.clone(), &self.required)?)?);
            positions.push(position(&one, stack.map_or("", |s| s.value(row))));
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![self.transform.as_str(); count])),
            reasons,
            stacks,
            Arc::new(StringArray::from(positions)),
            Arc::new(StringArray::from(shown)),
            Arc::new(StringArray::from(kept)),
        ];
        Ok(RecordBatch::try_new(physical(&schema()), columns)?)
    }
}

/// The fields of the failed rows; error rows of several kinds hold them as text.
fn element_of(column: &ArrayRef) -> Result<RecordBatch> {
    if let Some(fields) = column.as_struct_opt() {
        let schema = physical(&Schema::new(fields.fields().clone()));
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(fields.len()));
        return Ok(RecordBatch::try_new_with_options(schema, fields.columns().to_vec(), &options)?);
    }
    let field = Field::new("element", column.data_type().clone(), true);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column.clone()])?)
}

/// Where a unit of a reader stood outside: readers of files and of messages say it in `stack`.
fn position(element: &RecordBatch, stack: &str) -> Option<String> {
    is_unit(element).then(|| stack.to_owned())
}

/// True for a line or a message that a reader refused.
pub(super) fn is_unit(element: &RecordBatch) -> bool {
    let has = |names: &[&str]| names.iter().all(|n| element.column_by_name(n).is_some());
    let file = has(&["file", "line", "text"]) && element.num_columns() == 3;
    let message = has(&["payload", "attributes", "message_id", "publish_time"]);
    file || message
}
