//! `FillEmptyWindows`: a row for windows in which nothing came.

use crate::common::{described, find, known_field, names, need, only_input, read_columns};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take;
use purlin_api::key::{KeyCodec, encodes};
use purlin_api::literal::{Literal, build};
use purlin_api::operator::LogLevel;
use purlin_api::shape::{nullable_type, physical, type_name};
use purlin_api::state::{Columns, Entries, KeySlots, LaneCell, int_lists, ints, read_int_lists, read_ints};
use purlin_api::time::{parse_date, parse_rfc3339};
use purlin_api::window::{aligned, describe_micros};
use purlin_api::{
    Batch, BindCx, BuildCx, Dict, Distribution, Entry, Error, EventTime, InputShape, Micros, More, OpCx,
    Operator, Output, OutputRole, Pane, PlanNode, Port, Result, Running, Shape, StateShape, StateTable,
    Times, Transform, Window, WindowFn,
};
use purlin_spec::config::{Named, OneOrMany, Spanned};
use purlin_spec::node::Value;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode, Node, suggest};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Windows of a row that may be filled at once.
const GAP_MAX: i64 = 100_000;

purlin_spec::config! {
    /// Adds a row for every fixed window in which nothing came: a sum of nothing, so that a silence can be seen, drawn
    /// and alerted on. Put it behind a `Combine` in fixed windows. Beyond Beam YAML.
    ///
    /// A window counts as empty when the watermark passes its end and no row of it has come. This goes by the watermark
    /// alone, so it also works while the stream is silent, as long as its sources let time go on. A late pane of a window
    /// that was filled follows as a row of its own.
    ///
    /// Windows are filled from the first in which a row came; in a stream that does not end, also from the
    /// first that the watermark is seen in. An input that ends is filled up to the last window in which a row came.
    /// `from` and `until` say otherwise. With `keys`, each group that has come once is filled from then on.
    ///
    /// ```yaml
    /// - type: Combine
    ///   name: Orders
    ///   input: Valid
    ///   windowing: {type: fixed, size: 5m}
    ///   config: {group_by: [], combine: {orders: {value: id, fn: count}, revenue: {value: amount, fn: sum}}}
    /// - type: FillEmptyWindows
    ///   input: Orders
    ///   config: {values: {orders: 0, revenue: 0}}
    /// ```
    pub struct FillEmptyWindows {
        /// What the fields of an added row have. Fields that are neither here nor in `keys` are null.
        pub values: Option<Named<Node>>,
        /// The fields that tell groups apart, as in the `group_by` before it: each is filled by itself.
        pub keys: Option<OneOrMany<Spanned<String>>>,
        /// The first window to be filled is the one with this instant in it: RFC 3339, or seconds since 1970. Not with
        /// `keys`: groups begin with their first row.
        pub from: Option<Spanned<Instant>>,
        /// An input that ends is filled up to here; the window that this instant begins, or is in, is the first that is not filled.
        pub until: Option<Spanned<Instant>>,
        /// More empty windows than this in a row are left out, with a line in the log: 100,000 unless given.
        pub gap_max: Option<Spanned<i64>>,
    }
}

/// A point in time as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant(EventTime);

impl FromNode for Instant {
    fn kind() -> purlin_spec::Kind {
        purlin_spec::Kind::AnyOf(vec![String::kind(), f64::kind()])
    }

    fn from_node(node: &Node, d: &mut purlin_spec::Diagnostics) -> Option<Self> {
        let t = match &node.value {
            Value::Int(seconds) => Some(EventTime::from_seconds(*seconds)),
            Value::Float(seconds) if seconds.is_finite() => {
                Some(EventTime((seconds * 1e6).round() as i64).clamped())
            }
            Value::Text(text) | Value::Date(text) => {
                let date = || parse_date(text).map(|days| EventTime::from_seconds(i64::from(days) * 86_400));
                parse_rfc3339(text).or_else(date)
            }
            _ => None,
        };
        if t.is_none() {
            let text = "this is no instant";
            d.push(
                Diagnostic::error("type/instant", node.span, text)
                    .help("write RFC 3339, such as `2024-03-05T12:00:00Z`, or seconds since 1970"),
            );
        }
        t.map(Instant)
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "FillEmptyWindows",
            doc: FillEmptyWindows::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: FillEmptyWindows::fields,
        },
        decode: |node, d| FillEmptyWindows::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for FillEmptyWindows {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        let windows = fixed(&input.shape, cx);
        let keys = self.key_columns(&input.shape.schema, cx);
        let row = self.row(&input.shape.schema, cx);
        if let Some(from) = self.from.as_ref().filter(|_| self.keys.is_some()) {
            let text =
                "`from` and `keys` exclude each other: which groups there are is only known from their rows";
            cx.diagnostics
                .push(Diagnostic::error("fill/from-with-keys", from.span, text).help("remove one of them"));
            return None;
        }
        let gap_max = self.gap_max.as_ref().map_or(GAP_MAX, |g| g.value);
        if let Some(g) = self.gap_max.as_ref().filter(|_| gap_max < 1) {
            cx.diagnostics.push(Diagnostic::error("fill/gap-max", g.span, "`gap_max` must be at least 1"));
            return None;
        }
        let ((size, offset), keys, row) = (windows?, keys?, row?);
        let given = |name: &str| self.values.iter().flat_map(|v| &v.0).any(|(n, _)| n.value == name);
        let fields = input.shape.schema.fields().iter().enumerate().map(|(i, f)| {
            let stays = keys.contains(&i) || given(f.name());
            if stays { f.as_ref().clone() } else { f.as_ref().clone().with_nullable(true) }
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
        let shape = Shape { schema, ..input.shape.clone() };
        Some(Arc::new(FillNode {
            outputs: vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }],
            keys,
            plan: Plan {
                size,
                offset,
                from: self.from.as_ref().map(|f| f.value.0),
                until: self.until.as_ref().map(|u| u.value.0),
                gap_max,
                bounded: input.shape.bounded,
                keyed: self.keys.is_some(),
            },
            row,
        }))
    }
}

/// The size and offset of the windows; a diagnostic if they are not fixed.
fn fixed(shape: &Shape, cx: &mut BindCx<'_>) -> Option<(Micros, Micros)> {
    match shape.windowing.window_fn {
        WindowFn::Fixed { size, offset } => Some((size, offset)),
        ref other => {
            let text =
                format!("`{}` needs rows in fixed windows; these are in {}", cx.label, other.describe());
            cx.diagnostics.push(
                Diagnostic::error("fill/windows", cx.type_span, text)
                    .help("put `windowing: {type: fixed, size: 5m}` on the `Combine` before it"),
            );
            None
        }
    }
}

impl FillEmptyWindows {
    fn key_columns(&self, schema: &Schema, cx: &mut BindCx<'_>) -> Option<Vec<usize>> {
        let mut columns = Vec::new();
        let mut good = true;
        for name in self.keys.iter().flat_map(|k| &k.0) {
            let Some(i) = known_field(name, schema, cx) else {
                good = false;
                continue;
            };
            let Some(field) = schema.fields().get(i) else { continue };
            if !encodes(&nullable_type(field.data_type())) {
                let text =
                    format!("`{}` is {}, which cannot tell groups apart", field.name(), type_name(field));
                cx.diagnostics.push(Diagnostic::error("fill/key-type", name.span, text));
                good = false;
            }
            columns.push(i);
        }
        good.then_some(columns)
    }

    /// An added row, as columns of one row; keys are null in it.
    fn row(&self, schema: &Schema, cx: &mut BindCx<'_>) -> Option<Vec<ArrayRef>> {
        let mut values = vec![Literal::Null; schema.fields().len()];
        let mut good = true;
        let is_key = |name: &str| self.keys.iter().flat_map(|k| &k.0).any(|k| k.value == name);
        for (name, node) in self.values.iter().flat_map(|v| &v.0) {
            let (Some(i), false) = (find(schema, &name.value), is_key(&name.value)) else {
                let text = if is_key(&name.value) {
                    format!("`{}` is a key: it has the value of its group", name.value)
                } else {
                    format!("unknown field `{}`", name.value)
                };
                cx.diagnostics.push(
                    Diagnostic::error("name/unknown-field", name.span, text)
                        .label(format!("the input has: {}", suggest::listed(names(schema))))
                        .maybe_help(suggest::did_you_mean(&name.value, names(schema))),
                );
                good = false;
                continue;
            };
            if let Some(v) = values.get_mut(i) {
                *v = Literal::from_json(&node.to_json());
            }
        }
        let mut columns = Vec::new();
        for (field, value) in schema.fields().iter().zip(&values) {
            match build(field, &[value]) {
                Ok(column) => columns.push(column),
                Err(e) => {
                    let span = self.values.iter().flat_map(|v| &v.0).find(|(n, _)| n.value == *field.name());
                    let span = span.map_or(cx.span, |(_, node)| node.span);
                    cx.diagnostics.push(Diagnostic::error("fill/value", span, e.message().to_owned()));
                    good = false;
                }
            }
        }
        good.then_some(columns)
    }
}

/// Which windows are filled.
#[derive(Clone, Debug)]
struct Plan {
    size: Micros,
    offset: Micros,
    from: Option<EventTime>,
    until: Option<EventTime>,
    gap_max: i64,
    bounded: bool,
    keyed: bool,
}

impl Plan {
    /// The start of the window that an instant is in.
    fn start(&self, t: EventTime) -> i64 {
        aligned(t.0, self.size, self.offset).0
    }
}

#[derive(Debug)]
struct FillNode {
    outputs: Vec<Output>,
    keys: Vec<usize>,
    plan: Plan,
    row: Vec<ArrayRef>,
}

impl PlanNode for FillNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        let fields = self.outputs.first().map(|o| o.shape.schema.fields().clone()).unwrap_or_default();
        let keys: Vec<&str> =
            self.keys.iter().filter_map(|k| fields.get(*k)).map(|f| f.name().as_str()).collect();
        let by = if keys.is_empty() { String::new() } else { format!(", by {}", keys.join(", ")) };
        format!("a row for each empty window of {}{by}", describe_micros(self.plan.size))
    }

    fn distribution(&self, _: usize) -> Distribution {
        // Where windows end is a matter of all groups.
        Distribution::Single
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        let width = inputs.first().map_or(0, |s| s.schema.fields().len());
        let mut columns = read_columns(outputs, 0, width);
        self.keys.iter().for_each(|k| need(&mut columns, *k));
        vec![columns]
    }

    fn state(&self) -> Option<StateShape> {
        let shape = &self.outputs.first()?.shape;
        let keys = described(self.keys.iter().filter_map(|k| shape.schema.fields().get(*k)));
        let windows = shape.windowing.window_fn.describe();
        Some(StateShape::new(format!("windows with rows by ({keys}); windows {windows}")))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let schema = self.outputs.first().map(|o| physical(&o.shape.schema));
        let schema = schema.ok_or_else(|| Error::internal("no output"))?;
        let types = self.keys.iter().filter_map(|k| schema.fields().get(*k)).map(|f| f.data_type().clone());
        Ok(Running::Operator(Box::new(FillOperator {
            codec: KeyCodec::new(&types.collect::<Vec<_>>())?,
            keys: self.keys.clone(),
            plan: self.plan.clone(),
            row: self.row.clone(),
            schema,
            groups: Entries::new("groups", KeySlots::own(cx)),
            next: BTreeSet::new(),
            settled: EventTime::MIN,
            last: LaneCell::new("last", cx, |a, b| Last(a.0.max(b.0))),
        })))
    }
}

/// A group that is filled.
#[derive(Clone, Debug)]
struct Group {
    /// The start of the first window that is not settled.
    next: i64,
    /// The starts of windows from there on that have rows.
    has: BTreeSet<i64>,
}

impl Columns for Group {
    fn fields() -> Vec<Field> {
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
        vec![Field::new("next", DataType::Int64, true), Field::new("has", list, true)]
    }

    fn write(values: &[Option<&Self>]) -> Result<Vec<ArrayRef>> {
        let next = ints(values.iter().map(|v| v.map(|g| g.next)));
        Ok(vec![next, int_lists(values.iter().map(|v| v.map(|g| g.has.iter().copied())))])
    }

    fn read(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        let both = read_ints(columns, 0)?.zip(read_int_lists(columns, 1)?);
        Ok(both
            .map(|(next, has)| Group { next: next.unwrap_or(0), has: has.into_iter().collect() })
            .collect())
    }
}

/// The end of the last window that is known of: by a row, or because the watermark was in it.
#[derive(Clone, Copy, Debug, Default)]
struct Last(Option<i64>);

impl Columns for Last {
    fn fields() -> Vec<Field> {
        vec![Field::new("end", DataType::Int64, true)]
    }

    fn write(values: &[Option<&Self>]) -> Result<Vec<ArrayRef>> {
        Ok(vec![ints(values.iter().map(|v| v.and_then(|l| l.0)))])
    }

    fn read(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        Ok(read_ints(columns, 0)?.map(Last).collect())
    }
}

struct FillOperator {
    codec: KeyCodec,
    keys: Vec<usize>,
    plan: Plan,
    row: Vec<ArrayRef>,
    schema: SchemaRef,
    groups: Entries<Group>,
    /// The groups by their next window. Follows from `groups`.
    next: BTreeSet<(i64, Arc<[u8]>)>,
    /// Windows that end up to here are settled. Follows from the watermark.
    settled: EventTime,
    last: LaneCell<Last>,
}

impl FillOperator {
    /// Makes a group begin at a window, or earlier than it would have, if that window is not settled. Answers its
    /// first window that is not settled.
    fn begin(&mut self, key: &[u8], start: i64) -> Option<i64> {
        let is_open = start.saturating_add(self.plan.size) > self.settled.0;
        let Some((first, key)) = self.groups.get(key).map(|g| g.next).zip(self.groups.shared_key(key)) else {
            let key: Arc<[u8]> = Arc::from(key);
            let from = self.plan.from.map_or(start, |f| self.plan.start(f));
            self.next.insert((from, key.clone()));
            self.groups.put(key, Group { next: from, has: BTreeSet::new() });
            return Some(from);
        };
        if !is_open || start >= first || self.plan.from.is_some() {
            return Some(first);
        }
        self.next.remove(&(first, key.clone()));
        self.next.insert((start, key.clone()));
        self.groups.change(&key)?.next = start;
        Some(start)
    }

    /// Notes that a window is known of.
    fn knows(&mut self, end: i64) {
        if self.last.0.is_none_or(|last| last < end) {
            self.last.set(Last(Some(end)));
        }
    }

    /// Up to where windows are to be settled now.
    fn limit(&self, watermark: EventTime) -> i64 {
        match (watermark, self.plan.until) {
            (EventTime::MAX, Some(until)) => self.plan.start(until),
            (EventTime::MAX, None) => self.last.0.unwrap_or(i64::MIN),
            (t, Some(until)) => t.0.min(self.plan.start(until)),
            (t, None) => t.0,
        }
    }

    /// Fills what the watermark has passed, about `cx.rows_max` rows of it.
    fn advance(&mut self, cx: &mut OpCx) -> Result<More> {
        let limit = self.limit(cx.watermark);
        let (size, room) = (self.plan.size, cx.rows_max.max(1));
        let mut rows: Vec<(i64, Arc<[u8]>)> = Vec::new();
        let mut more = More::No;
        while let Some((start, key)) =
            self.next.first().cloned().filter(|(s, _)| s.saturating_add(size) <= limit)
        {
            if rows.len() >= room {
                more = More::Yes;
                break;
            }
            let Some(group) = self.groups.change(&key) else { break };
            self.next.pop_first();
            let mut next = start.saturating_add(size);
            if !group.has.remove(&start) {
                // Up to the next window with rows, or the first that the limit is not past.
                let stop = group.has.first().copied().unwrap_or(i64::MAX).min(limit);
                let empty = stop.saturating_sub(start) / size;
                if empty > self.plan.gap_max {
                    next = start.saturating_add(empty.saturating_mul(size));
                    let (a, b) = (EventTime(start), EventTime(next));
                    let text = format!(
                        "{empty} windows from {a} to {b} are empty, more than `gap_max`: they are left out"
                    );
                    cx.log.push((LogLevel::Error, text));
                } else {
                    rows.push((start, key.clone()));
                }
            }
            group.next = next;
            self.next.insert((next, key));
        }
        self.emit(&rows, cx)?;
        if more == More::No {
            self.settled = self.settled.max(EventTime(limit));
        }
        Ok(more)
    }

    fn emit(&self, rows: &[(i64, Arc<[u8]>)], cx: &mut OpCx) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let first = UInt32Array::from(vec![0; rows.len()]);
        let mut columns: Vec<ArrayRef> =
            self.row.iter().map(|c| take(c, &first, None)).collect::<std::result::Result<_, _>>()?;
        let keys = self.codec.decode(rows.iter().map(|(_, k)| k.as_ref()))?;
        for (at, key) in self.keys.iter().zip(keys) {
            if let Some(column) = columns.get_mut(*at) {
                *column = key;
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let window = |start: i64| Window::interval(start, start.saturating_add(self.plan.size));
        let batch = Batch {
            rows: batch,
            times: Times::Each(rows.iter().map(|(s, _)| window(*s).max_timestamp().0).collect()),
            windows: Dict::from_rows(rows.iter().map(|(s, _)| window(*s)), Window::Global),
            panes: Dict::one(Pane::ONLY),
            origins: None,
        };
        cx.emit(0, batch);
        Ok(())
    }
}

impl Operator for FillOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let columns: Option<Vec<ArrayRef>> =
            self.keys.iter().map(|k| batch.rows.columns().get(*k).cloned()).collect();
        let columns = columns.ok_or_else(|| Error::internal("a key of a missing column"))?;
        let keys = self.codec.encode(&columns, batch.len())?;
        for (row, key) in keys.iter().enumerate() {
            let start = batch.windows.get(row).start().0;
            self.knows(start.saturating_add(self.plan.size));
            let next = self.begin(key, start);
            let is_new = |g: &Group| Some(start) >= next && !g.has.contains(&start);
            if self.groups.get(key).is_some_and(is_new)
                && let Some(group) = self.groups.change(key)
            {
                group.has.insert(start);
            }
        }
        cx.fates.passed += batch.len() as u64;
        let rows = RecordBatch::try_new_with_options(
            self.schema.clone(),
            batch.rows.columns().to_vec(),
            &RecordBatchOptions::new().with_row_count(Some(batch.len())),
        )?;
        cx.emit(0, batch.with_rows(rows));
        Ok(More::No)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        let t = cx.watermark;
        let knows_time = t > EventTime::MIN && t < EventTime::MAX;
        let begins = self.plan.from.is_some() || (knows_time && !self.plan.bounded);
        if begins && !self.plan.keyed && self.groups.is_empty() {
            let start = self.plan.start(self.plan.from.unwrap_or(t));
            self.begin(&[], start);
        }
        if knows_time && !self.plan.bounded {
            self.knows(self.plan.start(t));
        }
        self.advance(cx)
    }

    fn resume(&mut self, cx: &mut OpCx) -> Result<More> {
        self.advance(cx)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.groups, &mut self.last]
    }

    fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        self.next = self.groups.iter().map(|(key, g)| (g.next, Arc::clone(key))).collect();
        self.settled = EventTime(self.limit(cx.watermark));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
