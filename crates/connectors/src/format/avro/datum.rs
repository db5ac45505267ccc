//! Single records without a header, as messages carry them ("binary encoding" in the specification).

use super::decode::{Column, Damage, Input};
use super::schema::{Member, fields, parse};
use super::{encode, json_schema};
use arrow_array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{Fields, Schema, SchemaRef};
use purlin_api::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A schema by which single records are read and written.
#[derive(Clone, Debug)]
pub(crate) struct Datum {
    members: Arc<[Member]>,
}

impl Datum {
    /// Understands a schema in Avro's JSON form.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(json: &str) -> Result<Self, String> {
        Ok(Datum { members: parse(json)? })
    }

    /// For rows of these fields, each of which may be null.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn of(schema: &Schema) -> Result<Self, String> {
        if let Some(name) = json_schema::bad_name(schema.fields()) {
            return Err(format!(
                "Avro takes no field called `{name}`: names have letters, digits and `_` and begin with no digit"
            ));
        }
        Datum::new(&json_schema::of(schema)?)
    }

    /// The columns that records are for us.
    pub(crate) fn fields(&self) -> Fields {
        fields(&self.members)
    }

    /// Why rows of these fields cannot be written, if so.
    ///
    /// # Errors
    /// The reason.
    pub(crate) fn check(&self, fields: &Fields) -> Result<(), String> {
        encode::check(&self.members, fields)
    }

    /// Appends one row.
    ///
    /// # Errors
    /// A value that the schema does not take; `out` then ends anywhere.
    pub(crate) fn write(&self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        encode::rows(&self.members, &rows.slice(row, 1), out)
    }

    /// A reader of records into columns of `schema`; those that are not needed are null.
    pub(crate) fn reader(&self, schema: &SchemaRef, needed: &[bool]) -> Datums {
        Datums {
            members: self.members.clone(),
            schema: schema.clone(),
            needed: needed.to_vec(),
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }
}

/// A record that cannot be a row, and why.
pub(crate) type BadRow = (usize, String);

/// Records that wait to be decoded together.
pub(crate) struct Datums {
    members: Arc<[Member]>,
    schema: SchemaRef,
    needed: Vec<bool>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Datums {
    /// Takes a record, or says why it is none.
    ///
    /// # Errors
    /// The reason: bytes that do not follow the schema.
    pub(crate) fn push(&mut self, data: &[u8]) -> Result<(), String> {
        Input::of_one(data).one(&self.members, &mut []).map_err(damaged)?;
        self.bytes.extend_from_slice(data);
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// The columns of all records taken, and which of these records cannot be rows, and why.
    ///
    /// # Errors
    /// Columns that cannot be made.
    pub(crate) fn finish(&mut self) -> Result<(RecordBatch, Vec<BadRow>)> {
        let (columns, bad) = match self.columns(&BTreeMap::new()) {
            Ok(read) => read,
            // What was passed over without being looked at was damaged: look at each alone.
            Err(_) => {
                let damage = self.damage();
                self.columns(&damage).map_err(Error::internal)?
            }
        };
        let rows = self.ends.len();
        self.bytes.clear();
        self.ends.clear();
        let fields = self.schema.fields().iter().zip(columns);
        let arrays = fields
            .map(|(f, column)| column.map_or_else(|| Ok(new_null_array(f.data_type(), rows)), Column::finish))
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok((RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)?, bad))
    }

    fn empty(&self) -> Vec<Option<Column>> {
        let fields = self.schema.fields().iter().zip(&self.needed);
        fields.map(|(f, needed)| needed.then(|| Column::new(f))).collect()
    }

    fn each(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(from, to)| self.bytes.get(from..*to).unwrap_or_default()).enumerate()
    }

    /// Decodes all but those known to be damaged, which are rows of nulls.
    fn columns(
        &self,
        damage: &BTreeMap<usize, String>,
    ) -> Result<(Vec<Option<Column>>, Vec<BadRow>), String> {
        let (mut columns, mut bad) = (self.empty(), Vec::new());
        for (row, bytes) in self.each() {
            if let Some(why) = damage.get(&row) {
                columns.iter_mut().flatten().for_each(Column::push_null);
                bad.push((row, why.clone()));
            } else if let Some(why) = Input::of_one(bytes).one(&self.members, &mut columns)? {
                bad.push((row, why));
            }
        }
        Ok((columns, bad))
    }

    fn damage(&self) -> BTreeMap<usize, String> {
        self.each()
            .filter_map(|(row, bytes)| {
                let read = Input::of_one(bytes).one(&self.members, &mut self.empty());
                read.err().map(|e| (row, damaged(e)))
            })
            .collect()
    }
}

fn damaged(e: Damage) -> String {
    format!("it is no record of the schema: {e}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::json::row_to_json;
    use purlin_api::shape::physical;

    const SCHEMA: &str = r#"{"type": "record", "name": "r", "fields": [
        {"name": "label", "type": "string"}, {"name": "ranks", "type": {"type": "array", "items": "int"}}]}"#;

    fn reader(needed: &[bool]) -> (Datum, Datums) {
        let datum = Datum::new(SCHEMA).unwrap();
        let schema = physical(&Schema::new(datum.fields()));
        let datums = datum.reader(&schema, needed);
        (datum, datums)
    }

    fn texts(rows: &RecordBatch) -> Vec<String> {
        (0..rows.num_rows()).map(|i| row_to_json(rows, i).to_string()).collect()
    }

    #[test]
    fn records_are_read_one_by_one() {
        let (datum, mut datums) = reader(&[true, true]);
        datums.push(&[4, b'a', b'b', 2, 14, 0]).unwrap();
        datums.push(&[0, 0]).unwrap();
        let (rows, bad) = datums.finish().unwrap();
        assert_eq!(texts(&rows), [r#"{"label":"ab","ranks":[7]}"#, r#"{"label":"","ranks":[]}"#]);
        assert!(bad.is_empty());
        let mut out = Vec::new();
        datum.write(&rows, 0, &mut out).unwrap();
        assert_eq!(out, [4, b'a', b'b', 2, 14, 0]);
    }

    #[test]
    fn what_is_no_record_is_said_and_the_others_stay() {
        let (_, mut datums) = reader(&[true, false]);
        assert!(datums.push(&[4, b'a']).unwrap_err().contains("ends inside"));
        assert!(datums.push(&[0, 0, 9]).unwrap_err().contains("1 bytes more"));
        datums.push(&[2, b'x', 0]).unwrap();
        // Text that is no UTF-8 shows only when it is read.
        datums.push(&[2, 0xff, 0]).unwrap();
        datums.push(&[2, b'z', 0]).unwrap();
        let (rows, bad) = datums.finish().unwrap();
        assert_eq!(rows.num_rows(), 3);
        assert_eq!(bad.len(), 1);
        assert_eq!(bad[0].0, 1);
        assert_eq!(texts(&rows)[2], r#"{"label":"z","ranks":null}"#);
    }

    #[test]
    fn damage_inside_what_was_passed_over_is_found() {
        let (_, mut datums) = reader(&[true, true]);
        datums.push(&[2, b'x', 0]).unwrap();
        // A block of one item that claims one byte, in which the item does not end.
        datums.push(&[2, b'y', 1, 2, 0x80, 0]).unwrap();
        datums.push(&[2, b'z', 0]).unwrap();
        let (rows, bad) = datums.finish().unwrap();
        assert_eq!((rows.num_rows(), bad.len()), (3, 1));
        assert_eq!(bad[0].0, 1);
        assert_eq!(texts(&rows)[2], r#"{"label":"z","ranks":[]}"#);
    }
}
