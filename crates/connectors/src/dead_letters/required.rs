//! Fields that are never null, and rows that lack them all the same: emptied by an edit, or kept before the field was
//! there.

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema};
use purlin_api::Result;
use std::sync::Arc;

/// A row whose fields are marked as never null where another schema says so, unless it lacks them. Only the fields
/// themselves are marked, not what is inside them.
pub(super) fn marked(row: RecordBatch, required: &[String]) -> Result<RecordBatch> {
    let schema = row.schema();
    let fields = schema.fields().iter().zip(row.columns());
    let fields = fields.map(|(field, column)| {
        let is_required = required.contains(field.name()) && column.logical_null_count() == 0;
        Arc::new(field.as_ref().clone().with_nullable(!is_required))
    });
    with_fields(&row, fields.collect())
}

/// A row without such marks.
pub(super) fn unmarked(row: &RecordBatch) -> Result<RecordBatch> {
    let schema = row.schema();
    let fields = schema.fields().iter().map(|f| Arc::new(f.as_ref().clone().with_nullable(true)));
    with_fields(row, fields.collect())
}

fn with_fields(row: &RecordBatch, fields: Vec<Arc<Field>>) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(row.num_rows()));
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(schema, row.columns().to_vec(), &options)?)
}

/// The path of a value that a row lacks though this schema says that it is never null.
pub(super) fn lacking(row: &RecordBatch, schema: &Schema) -> Option<String> {
    let fields = schema.fields().iter();
    fields
        .zip(row.columns())
        .find_map(|(field, column)| (0..row.num_rows()).find_map(|i| below(field, column, i)))
}

/// The same for one value of a column.
pub(super) fn below(field: &Field, column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) || *column.data_type() == DataType::Null {
        return (!field.is_nullable()).then(|| field.name().clone());
    }
    let found = match field.data_type() {
        DataType::Struct(fields) => {
            let columns = column.as_struct_opt()?.columns();
            fields.iter().zip(columns).find_map(|(f, c)| below(f, c, row)).map(|path| format!(".{path}"))
        }
        DataType::List(item) => {
            let items = column.as_list_opt::<i32>()?.value(row);
            let at = |i| below(item, &items, i).map(|path| format!("[{i}]{}", after(item, &path)));
            (0..items.len()).find_map(at)
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(pair) = entries.data_type() else { return None };
            let entries = column.as_map_opt()?.value(row);
            let (value, [keys, values]) = (pair.get(1)?, entries.columns()) else { return None };
            let key = |i| keys.as_string_opt::<i32>().map_or("", |k| k.value(i)).to_owned();
            let at = |i| below(value, values, i).map(|path| format!(".{}{}", key(i), after(value, &path)));
            (0..entries.len()).find_map(at)
        }
        _ => None,
    };
    found.map(|path| format!("{}{path}", field.name()))
}

/// What follows the name of a field in a path that begins with it.
fn after<'p>(field: &Field, path: &'p str) -> &'p str {
    path.strip_prefix(field.name().as_str()).unwrap_or(path)
}
