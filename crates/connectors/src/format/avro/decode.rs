//! The rows of a block, as columns.

use super::container::unzigzag;
use super::schema::{Member, Type, Unit};
use crate::shared::tables::Chunk;
use arrow_array::builder::BooleanBufferBuilder;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    ListArray, MapArray, NullArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
};
use arrow_buffer::{Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, SchemaRef};
use arrow_select::filter::filter_record_batch;
use purlin_api::json::write_value;
use purlin_api::{Error, Result};
use std::sync::Arc;

/// How many values of a block may have no bytes (nulls of the type `null`, empty records): so many more than
/// anyone writes, and few enough to count through.
const EMPTY_VALUES_MAX: u64 = 1 << 22;
/// Most digits of a decimal.
const DECIMAL_BYTES_MAX: usize = 16;

/// A damaged block: what is wrong with it.
pub(super) type Damage = String;

/// Decodes the rows of a block. `wanted` says of each member whether it is a column of `schema`; the others
/// are passed over. Values that our types cannot hold make bad rows.
///
/// # Errors
/// Damage inside the block. Then nothing of it can be trusted.
pub(super) fn rows(
    bytes: &[u8],
    count: u64,
    members: &[Member],
    wanted: &[bool],
    schema: &SchemaRef,
) -> Result<Result<Chunk, Damage>> {
    let mut fields = schema.fields().iter();
    let mut columns: Vec<Option<Column>> = Vec::with_capacity(members.len());
    for w in wanted {
        columns.push(if *w { fields.next().map(|f| Column::new(f)) } else { None });
    }
    let mut input = Input { bytes, at: 0, empty: 0, bad: None };
    match decode(&mut input, count, members, &mut columns) {
        Ok((bad, taken)) => chunk(columns, schema, bad, taken).map(Ok),
        Err(damage) => Ok(Err(damage)),
    }
}

type BadRows = Vec<(usize, String)>;

fn decode(
    input: &mut Input<'_>,
    count: u64,
    members: &[Member],
    columns: &mut [Option<Column>],
) -> Result<(BadRows, usize), Damage> {
    let mut bad = Vec::new();
    let mut taken = 0;
    for _ in 0..count {
        let before = input.at;
        for (member, column) in members.iter().zip(columns.iter_mut()) {
            match column {
                Some(column) => column.push(&member.of, input)?,
                None => input.pass_over(&member.of)?,
            }
            if let Some(reason) = input.bad.take()
                && bad.last().is_none_or(|(row, _)| *row != taken)
            {
                bad.push((taken, format!("`{}`: {reason}", member.name)));
            }
        }
        input.check_moved(before)?;
        taken += 1;
    }
    match input.bytes.len() - input.at {
        0 => Ok((bad, taken)),
        left => Err(format!("it has {left} bytes more than its {count} rows")),
    }
}

fn chunk(columns: Vec<Option<Column>>, schema: &SchemaRef, bad: BadRows, taken: usize) -> Result<Chunk> {
    let arrays = columns.into_iter().flatten().map(Column::finish).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(taken));
    let mut rows = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)?;
    if !bad.is_empty() {
        let mut good = vec![true; taken];
        bad.iter().filter_map(|(row, _)| good.get_mut(*row).map(|g| *g = false)).for_each(drop);
        rows = filter_record_batch(&rows, &BooleanArray::from(good))?;
    }
    Ok(Chunk { rows, bad, taken })
}

/// Encoded values.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Values so far that had no bytes.
    empty: u64,
    /// Why the row that is being read is no good, if so.
    bad: Option<String>,
}

#[cfg(feature = "pubsub")]
impl<'a> Input<'a> {
    /// For one record without a header.
    pub(super) fn of_one(bytes: &'a [u8]) -> Self {
        Input { bytes, at: 0, empty: 0, bad: None }
    }

    /// Reads one record, which is all there is, into columns or past them. Answers why it is no good, if so.
    pub(super) fn one(
        mut self,
        members: &[Member],
        columns: &mut [Option<Column>],
    ) -> Result<Option<String>, Damage> {
        let mut bad = None;
        for (i, member) in members.iter().enumerate() {
            match columns.get_mut(i) {
                Some(Some(column)) => column.push(&member.of, &mut self)?,
                _ => self.pass_over(&member.of)?,
            }
            if let Some(reason) = self.bad.take() {
                bad.get_or_insert_with(|| format!("`{}`: {reason}", member.name));
            }
        }
        match self.bytes.len() - self.at {
            0 => Ok(bad),
            left => Err(format!("it has {left} bytes more than the record")),
        }
    }
}

fn ends() -> Damage {
    "it ends inside a row".to_owned()
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Damage> {
        let end = self.at.checked_add(len).ok_or_else(ends)?;
        let bytes = self.bytes.get(self.at..end).ok_or_else(ends)?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        self.take(N)?.try_into().map_err(|_| ends())
    }

    fn long(&mut self) -> Result<i64, Damage> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or_else(ends)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(unzigzag(value));
            }
        }
        Err("an integer in it has no end".to_owned())
    }

    fn int(&mut self) -> Result<i64, Damage> {
        let value = self.long()?;
        match i32::try_from(value) {
            Ok(int) => Ok(i64::from(int)),
            Err(_) => Err(format!("{value} stands in it for an `int`, which has 32 bits")),
        }
    }

    fn run(&mut self) -> Result<&'a [u8], Damage> {
        let len = self.long()?;
        let len = usize::try_from(len).map_err(|_| format!("it has a value of {len} bytes"))?;
        self.take(len)
    }

    /// The number of one of so many.
    fn index(&mut self, of: usize) -> Result<usize, Damage> {
        let index = self.long()?;
        usize::try_from(index)
            .ok()
            .filter(|i| *i < of)
            .ok_or_else(|| format!("it asks for number {index} of {of} types or words"))
    }

    /// The number of items that come next in an array or map, and their bytes if they are told; 0 at its end.
    fn items(&mut self) -> Result<(u64, Option<usize>), Damage> {
        let count = self.long()?;
        if count >= 0 {
            return Ok((count.unsigned_abs(), None));
        }
        let bytes = self.long()?;
        let bytes = usize::try_from(bytes).map_err(|_| format!("it has items of {bytes} bytes"))?;
        Ok((count.unsigned_abs(), Some(bytes)))
    }

    /// Values without bytes have a bound, or a damaged number of them would keep us busy for ever.
    fn check_moved(&mut self, before: usize) -> Result<(), Damage> {
        if self.at == before {
            self.empty += 1;
            if self.empty > EMPTY_VALUES_MAX {
                return Err(format!("it claims to have more than {EMPTY_VALUES_MAX} values without bytes"));
            }
        }
        Ok(())
    }

    fn refuse(&mut self, reason: impl FnOnce() -> String) {
        self.bad.get_or_insert_with(reason);
    }

    fn pass_over(&mut self, of: &Type) -> Result<(), Damage> {
        match of {
            Type::Null => {}
            Type::Boolean => drop(self.take(1)?),
            Type::Int
            | Type::Long
            | Type::Date
            | Type::TimeMillis
            | Type::TimeMicros
            | Type::Timestamp(_) => {
                self.long()?;
            }
            Type::Float => drop(self.take(4)?),
            Type::Double => drop(self.take(8)?),
            Type::Bytes | Type::Text | Type::Decimal { fixed: None, .. } => drop(self.run()?),
            Type::Fixed(size) | Type::Decimal { fixed: Some(size), .. } => drop(self.take(*size)?),
            Type::Uuid => drop(self.take(16)?),
            Type::Enum(symbols) => drop(self.index(symbols.len())?),
            Type::Union(branches) => {
                let i = self.index(branches.len())?;
                if let Some(branch) = branches.get(i) {
                    self.pass_over(branch)?;
                }
            }
            Type::Record(members) => members.iter().try_for_each(|m| self.pass_over(&m.of))?,
            Type::Array(items) => self.pass_over_items(items, false)?,
            Type::Map(values) => self.pass_over_items(values, true)?,
        }
        Ok(())
    }

    fn pass_over_items(&mut self, of: &Type, keyed: bool) -> Result<(), Damage> {
        loop {
            match self.items()? {
                (0, _) => return Ok(()),
                (_, Some(bytes)) => drop(self.take(bytes)?),
                (count, None) => {
                    for _ in 0..count {
                        let before = self.at;
                        if keyed {
                            self.run()?;
                        }
                        self.pass_over(of)?;
                        self.check_moved(before)?;
                    }
                }
            }
        }
    }
}

/// A column that is being filled.
pub(super) struct Column {
    of: DataType,
    valid: NullBufferBuilder,
    values: Values,
}

enum Values {
    None,
    Bool(BooleanBufferBuilder),
    /// Integers, timestamps, times of day.
    Int(Vec<i64>),
    Date(Vec<i32>),
    Float(Vec<f64>),
    Decimal(Vec<i128>),
    Bytes(Runs),
    List {
        offsets: Vec<i32>,
        items: Box<Column>,
    },
    Map {
        offsets: Vec<i32>,
        keys: Box<Column>,
        values: Box<Column>,
    },
    Row(Vec<Column>),
    /// Values without a common type: a column for each of a union's types, and where the value of a row is.
    /// They are made when the types are known.
    Any {
        branches: Vec<(Field, Column)>,
        picks: Vec<(usize, usize)>,
    },
}

/// Texts or bytes.
struct Runs {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

fn too_much() -> Damage {
    "a column of it has more than 2 GiB".to_owned()
}

impl Runs {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Damage> {
        self.bytes.extend_from_slice(bytes);
        self.offsets.push(i32::try_from(self.bytes.len()).map_err(|_| too_much())?);
        Ok(())
    }
}

impl Column {
    pub(super) fn new(field: &Field) -> Self {
        let runs = || Runs { offsets: vec![0], bytes: Vec::new() };
        let values = match field.data_type() {
            DataType::Boolean => Values::Bool(BooleanBufferBuilder::new(0)),
            DataType::Int64 | DataType::Time64(_) | DataType::Timestamp(..) => Values::Int(Vec::new()),
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Float64 => Values::Float(Vec::new()),
            DataType::Decimal128(..) => Values::Decimal(Vec::new()),
            DataType::Utf8 if purlin_api::shape::is_any(field) => {
                Values::Any { branches: Vec::new(), picks: Vec::new() }
            }
            DataType::Utf8 | DataType::Binary => Values::Bytes(runs()),
            DataType::List(item) => Values::List { offsets: vec![0], items: Box::new(Column::new(item)) },
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(kv) if kv.len() == 2 => {
                    let mut kv = kv.iter().map(|f| Box::new(Column::new(f)));
                    match (kv.next(), kv.next()) {
                        (Some(keys), Some(values)) => Values::Map { offsets: vec![0], keys, values },
                        _ => Values::None,
                    }
                }
                _ => Values::None,
            },
            DataType::Struct(fields) => Values::Row(fields.iter().map(|f| Column::new(f)).collect()),
            _ => Values::None,
        };
        Column { of: field.data_type().clone(), valid: NullBufferBuilder::new(0), values }
    }

    pub(super) fn push_null(&mut self) {
        self.valid.append_null();
        match &mut self.values {
            Values::None => {}
            Values::Bool(values) => values.append(false),
            Values::Int(values) => values.push(0),
            Values::Date(values) => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Decimal(values) => values.push(0),
            Values::Bytes(runs) => runs.offsets.push(runs.bytes.len() as i32),
            Values::List { offsets, .. } | Values::Map { offsets, .. } => {
                offsets.push(offsets.last().copied().unwrap_or_default());
            }
            Values::Row(columns) => columns.iter_mut().for_each(Column::push_null),
            Values::Any { picks, .. } => picks.push((usize::MAX, 0)),
        }
    }

    fn push(&mut self, of: &Type, input: &mut Input<'_>) -> Result<(), Damage> {
        match of {
            Type::Union(branches) => {
                let i = input.index(branches.len())?;
                let Some(branch) = branches.get(i) else { return Err(ends()) };
                return self.push_branch(branches, i, branch, input);
            }
            Type::Null => self.push_null(),
            Type::Boolean => {
                let [byte] = input.array()?;
                if byte > 1 {
                    return Err(format!("{byte} stands in it for a `boolean`"));
                }
                self.push_bool(byte == 1);
            }
            Type::Int | Type::Date => {
                let int = input.int()?;
                self.push_int(int);
            }
            Type::Long | Type::TimeMicros | Type::Timestamp(Unit::Micros) => {
                let long = input.long()?;
                self.push_int(long);
            }
            Type::TimeMillis => {
                let int = input.int()?;
                self.push_int(int * 1000);
            }
            Type::Timestamp(Unit::Millis) => {
                let millis = input.long()?;
                self.push_millis(millis, input);
            }
            Type::Timestamp(Unit::Nanos) => {
                let nanos = input.long()?;
                self.push_int(nanos.div_euclid(1000));
            }
            Type::Float => self.push_float(f64::from(f32::from_le_bytes(input.array()?))),
            Type::Double => self.push_float(f64::from_le_bytes(input.array()?)),
            Type::Bytes => self.push_bytes(input.run()?)?,
            Type::Text => self.push_text(input)?,
            Type::Fixed(size) => self.push_bytes(input.take(*size)?)?,
            Type::Enum(symbols) => {
                let i = input.index(symbols.len())?;
                self.push_bytes(symbols.get(i).map_or(&[][..], |s| s.as_bytes()))?;
            }
            Type::Uuid => {
                let bytes = input.take(16)?;
                self.push_bytes(crate::shared::tables::uuid_text(bytes).as_bytes())?;
            }
            Type::Decimal { fixed, digits, .. } => {
                let bytes = match fixed {
                    Some(size) => input.take(*size)?,
                    None => input.run()?,
                };
                self.push_decimal(bytes, *digits, input);
            }
            Type::Record(members) => self.push_row(members, input)?,
            Type::Array(items) => self.push_list(items, input)?,
            Type::Map(values) => self.push_map(values, input)?,
        }
        Ok(())
    }

    fn push_branch(
        &mut self,
        all: &[Type],
        i: usize,
        branch: &Type,
        input: &mut Input<'_>,
    ) -> Result<(), Damage> {
        let Values::Any { branches, picks } = &mut self.values else { return self.push(branch, input) };
        if *branch == Type::Null {
            self.push_null();
            return Ok(());
        }
        if branches.is_empty() {
            branches.extend(all.iter().map(|b| {
                let field = b.field("");
                let column = Column::new(&field);
                (field, column)
            }));
        }
        let Some((_, column)) = branches.get_mut(i) else { return Err(ends()) };
        picks.push((i, column.valid.len()));
        self.valid.append_non_null();
        column.push(branch, input)
    }

    fn push_bool(&mut self, value: bool) {
        if let Values::Bool(values) = &mut self.values {
            values.append(value);
            self.valid.append_non_null();
        }
    }

    fn push_int(&mut self, value: i64) {
        match &mut self.values {
            Values::Int(values) => values.push(value),
            // The caller has seen that it fits.
            Values::Date(values) => values.push(value as i32),
            // Beside floats.
            Values::Float(values) => values.push(value as f64),
            _ => return,
        }
        self.valid.append_non_null();
    }

    fn push_millis(&mut self, millis: i64, input: &mut Input<'_>) {
        match millis.checked_mul(1000) {
            Some(micros) => self.push_int(micros),
            None => {
                input.refuse(|| format!("{millis} milliseconds are no time that can be kept"));
                self.push_null();
            }
        }
    }

    fn push_float(&mut self, value: f64) {
        if let Values::Float(values) = &mut self.values {
            values.push(value);
            self.valid.append_non_null();
        }
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), Damage> {
        if let Values::Bytes(runs) = &mut self.values {
            runs.push(bytes)?;
            self.valid.append_non_null();
        }
        Ok(())
    }

    fn push_text(&mut self, input: &mut Input<'_>) -> Result<(), Damage> {
        let bytes = input.run()?;
        if std::str::from_utf8(bytes).is_ok() {
            return self.push_bytes(bytes);
        }
        input.refuse(|| "the text is not UTF-8".to_owned());
        self.push_null();
        Ok(())
    }

    fn push_decimal(&mut self, bytes: &[u8], digits: u8, input: &mut Input<'_>) {
        let value = decimal(bytes).filter(|v| v.unsigned_abs() < 10u128.pow(u32::from(digits)));
        match (value, &mut self.values) {
            (Some(value), Values::Decimal(values)) => {
                values.push(value);
                self.valid.append_non_null();
            }
            _ => {
                input.refuse(|| format!("the decimal has more than {digits} digits"));
                self.push_null();
            }
        }
    }

    fn push_row(&mut self, members: &[Member], input: &mut Input<'_>) -> Result<(), Damage> {
        if let Values::Row(columns) = &mut self.values {
            for (member, column) in members.iter().zip(columns) {
                column.push(&member.of, input)?;
            }
            self.valid.append_non_null();
        }
        Ok(())
    }

    fn push_list(&mut self, of: &Type, input: &mut Input<'_>) -> Result<(), Damage> {
        let Values::List { offsets, items } = &mut self.values else { return Ok(()) };
        loop {
            let (count, _) = input.items()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                let before = input.at;
                items.push(of, input)?;
                input.check_moved(before)?;
            }
        }
        offsets.push(i32::try_from(items.valid.len()).map_err(|_| too_much())?);
        self.valid.append_non_null();
        Ok(())
    }

    fn push_map(&mut self, of: &Type, input: &mut Input<'_>) -> Result<(), Damage> {
        let Values::Map { offsets, keys, values } = &mut self.values else { return Ok(()) };
        loop {
            let (count, _) = input.items()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                let key = input.run()?;
                if std::str::from_utf8(key).is_ok() {
                    keys.push_bytes(key)?;
                } else {
                    input.refuse(|| "a key of a map is not UTF-8".to_owned());
                    keys.push_bytes(&[])?;
                }
                values.push(of, input)?;
            }
        }
        offsets.push(i32::try_from(keys.valid.len()).map_err(|_| too_much())?);
        self.valid.append_non_null();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<ArrayRef> {
        let len = self.valid.len();
        let nulls: Option<NullBuffer> = self.valid.finish();
        let of = self.of;
        Ok(match self.values {
            Values::None => Arc::new(NullArray::new(len)),
            Values::Bool(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int(values) => {
                let values = ScalarBuffer::from(values);
                match of {
                    DataType::Time64(_) => Arc::new(Time64MicrosecondArray::try_new(values, nulls)?),
                    DataType::Timestamp(_, zone) => {
                        Arc::new(TimestampMicrosecondArray::try_new(values, nulls)?.with_timezone_opt(zone))
                    }
                    _ => Arc::new(Int64Array::try_new(values, nulls)?),
                }
            }
            Values::Date(values) => Arc::new(Date32Array::try_new(values.into(), nulls)?),
            Values::Float(values) => Arc::new(Float64Array::try_new(values.into(), nulls)?),
            Values::Decimal(values) => {
                Arc::new(Decimal128Array::try_new(values.into(), nulls)?.with_data_type(of))
            }
            Values::Bytes(Runs { offsets: ends, bytes }) => {
                let (offsets, bytes) = (offsets(ends), Buffer::from_vec(bytes));
                match of {
                    DataType::Utf8 => Arc::new(StringArray::try_new(offsets, bytes, nulls)?),
                    _ => Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?),
                }
            }
            Values::List { offsets: ends, items } => match of {
                DataType::List(item) => {
                    Arc::new(ListArray::try_new(item, offsets(ends), items.finish()?, nulls)?)
                }
                other => return Err(lost(&other)),
            },
            Values::Map { offsets: ends, keys, values } => match of {
                DataType::Map(entries, sorted) => {
                    let DataType::Struct(kv) = entries.data_type() else {
                        return Err(lost(entries.data_type()));
                    };
                    let pairs =
                        StructArray::try_new(kv.clone(), vec![keys.finish()?, values.finish()?], None)?;
                    Arc::new(MapArray::try_new(entries, offsets(ends), pairs, nulls, sorted)?)
                }
                other => return Err(lost(&other)),
            },
            Values::Row(columns) => match of {
                DataType::Struct(fields) => {
                    let columns = columns.into_iter().map(Column::finish).collect::<Result<Vec<_>>>()?;
                    Arc::new(StructArray::try_new_with_length(fields, columns, nulls, len)?)
                }
                other => return Err(lost(&other)),
            },
            Values::Any { branches, picks } => {
                let branches = branches
                    .into_iter()
                    .map(|(field, column)| Ok((field, column.finish()?)))
                    .collect::<Result<Vec<_>>>()?;
                let text = |(branch, row): (usize, usize)| {
                    let (field, values) = branches.get(branch)?;
                    let mut out = Vec::new();
                    write_value(field, values, row, &mut out);
                    values.is_valid(row).then(|| String::from_utf8_lossy(&out).into_owned())
                };
                Arc::new(picks.into_iter().map(text).collect::<StringArray>())
            }
        })
    }
}

fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(ends))
}

fn lost(of: &DataType) -> Error {
    Error::internal(format!("a column of Avro lost its type, {of}"))
}

/// A big-endian number in two's complement; `None` if it has more than 128 bits.
fn decimal(bytes: &[u8]) -> Option<i128> {
    let sign = match bytes.first() {
        Some(first) if first & 0x80 != 0 => 0xff,
        _ => 0,
    };
    let extra = bytes.len().saturating_sub(DECIMAL_BYTES_MAX);
    let (padding, digits) = bytes.split_at_checked(extra)?;
    // What is cut off must be nothing but sign.
    let cut_fits = padding.iter().all(|b| *b == sign);
    let sign_fits = extra == 0 || digits.first().is_some_and(|d| (d & 0x80 != 0) == (sign == 0xff));
    if !cut_fits || !sign_fits {
        return None;
    }
    let mut number = [sign; DECIMAL_BYTES_MAX];
    number.iter_mut().rev().zip(digits.iter().rev()).for_each(|(to, from)| *to = *from);
    Some(i128::from_be_bytes(number))
}
