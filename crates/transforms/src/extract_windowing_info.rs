//! `ExtractWindowingInfo`: time, window and pane as fields.

use crate::common::{find, only_input, read_columns};
use crate::python::window_text;
use arrow_array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, StringArray, StructArray,
    TimestampMicrosecondArray, UInt32Array,
};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use purlin_api::shape::{any_field, physical};
use purlin_api::{
    Batch, BindCx, BuildCx, Dict, Entry, Error, InputShape, More, OpCx, Operator, Output, OutputRole, Pane,
    PlanNode, Port, Result, Running, Shape, Times, Transform, Window, WindowFn,
};
use purlin_spec::config::{Named, Spanned};
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, Diagnostics, FromNode, Kind, Node, suggest};
use std::hash::Hash;
use std::sync::Arc;

purlin_spec::config! {
    /// Adds fields that say when a row happened and in which window and pane it is.
    ///
    /// | value | what it is |
    /// |---|---|
    /// | `timestamp` | the row's event time |
    /// | `window_start`, `window_end` | the bounds of its window, as timestamps |
    /// | `window_string` | the window as text: `[0.0, 10.0)` in seconds, or `GlobalWindow` |
    /// | `window_type` | `IntervalWindow` or `GlobalWindow` |
    /// | `window_object` | the window as a row with `start` and `end`; in the global window the text `GlobalWindow` |
    /// | `pane_info` | a row of `is_first`, `is_last`, `timing` (`EARLY`, `ON_TIME`, `LATE` or `UNKNOWN`), `index` and `nonspeculative_index` |
    ///
    /// In Python, `float(timestamp)` is seconds since 1970; written as JSON a timestamp is RFC 3339 in UTC.
    ///
    /// ```yaml
    /// - type: ExtractWindowingInfo
    ///   input: Totals
    ///   config:
    ///     fields: {from: window_start, to: window_end}
    /// ```
    pub struct ExtractWindowingInfo {
        /// What to add: a list of the values above, or a mapping from new field names to them. The default is
        /// `[timestamp, window_start, window_end]`.
        pub fields: Option<Wanted>,
    }
}

/// New field names and what they hold.
#[derive(Clone, Debug)]
pub(crate) struct Wanted(Vec<(Spanned<String>, Spanned<String>)>);

impl FromNode for Wanted {
    fn kind() -> Kind {
        Kind::AnyOf(vec![Kind::List(Box::new(Kind::Word(&VALUES))), Kind::Map(Box::new(Kind::Word(&VALUES)))])
    }

    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        if node.as_map().is_some() {
            return Named::<Spanned<String>>::from_node(node, d).map(|n| Wanted(n.0));
        }
        let list = Vec::<Spanned<String>>::from_node(node, d)?;
        Some(Wanted(list.into_iter().map(|v| (v.clone(), v)).collect()))
    }
}

const VALUES: [&str; 7] =
    ["timestamp", "window_start", "window_end", "window_string", "window_type", "window_object", "pane_info"];

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "ExtractWindowingInfo",
            doc: ExtractWindowingInfo::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: ExtractWindowingInfo::fields,
        },
        decode: |node, d| ExtractWindowingInfo::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Info {
    Timestamp,
    WindowStart,
    WindowEnd,
    WindowString,
    WindowType,
    /// The window as text, or JSON: where there may be the global one.
    WindowObject,
    /// The window as a row of its bounds.
    WindowRow,
    Pane,
}

impl Info {
    fn parse(name: &str) -> Option<Info> {
        Some(match name {
            "timestamp" => Info::Timestamp,
            "window_start" => Info::WindowStart,
            "window_end" => Info::WindowEnd,
            "window_string" => Info::WindowString,
            "window_type" => Info::WindowType,
            "window_object" => Info::WindowObject,
            "pane_info" => Info::Pane,
            _ => return None,
        })
    }

    fn field(self, name: &str) -> Field {
        match self {
            Info::Timestamp | Info::WindowStart | Info::WindowEnd => {
                Field::new(name, DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false)
            }
            Info::WindowString | Info::WindowType => Field::new(name, DataType::Utf8, false),
            Info::WindowObject => any_field(name).with_nullable(false),
            Info::WindowRow => Field::new(name, DataType::Struct(window_fields(false)), false),
            Info::Pane => Field::new(name, DataType::Struct(pane_fields(false)), false),
        }
    }
}

fn window_fields(nullable: bool) -> Fields {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    ["start", "end"].into_iter().map(|name| Field::new(name, time.clone(), nullable)).collect()
}

fn pane_fields(nullable: bool) -> Fields {
    let field = |name: &str, t| Field::new(name, t, nullable);
    Fields::from(vec![
        field("is_first", DataType::Boolean),
        field("is_last", DataType::Boolean),
        field("timing", DataType::Utf8),
        field("index", DataType::Int64),
        field("nonspeculative_index", DataType::Int64),
    ])
}

impl Transform for ExtractWindowingInfo {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        let mut fields: Vec<_> = input.shape.schema.fields().iter().cloned().collect();
        let mut infos = Vec::new();
        let mut good = true;
        let span = cx.span;
        let default = || {
            let at = |v: &&str| Spanned { value: (*v).to_owned(), span };
            VALUES.iter().take(3).map(|v| (at(v), at(v))).collect()
        };
        let wanted = self.fields.as_ref().map_or_else(default, |w| w.0.clone());
        for (name, value) in &wanted {
            if find(&input.shape.schema, &name.value).is_some()
                || fields.iter().any(|f| *f.name() == name.value)
            {
                good = false;
                let text = format!("the input already has a field `{}`", name.value);
                cx.diagnostics.push(
                    Diagnostic::error("name/field-exists", name.span, text).help(format!(
                        "give it another name: `fields: {{my_{}: {}}}`",
                        name.value, value.value
                    )),
                );
            }
            match Info::parse(&value.value) {
                Some(info) => {
                    let global = matches!(input.shape.windowing.window_fn, WindowFn::Global);
                    let info = if info == Info::WindowObject && !global { Info::WindowRow } else { info };
                    fields.push(Arc::new(info.field(&name.value)));
                    infos.push(info);
                }
                None => {
                    good = false;
                    let text = format!("`{}` is not a valid windowing parameter", value.value);
                    cx.diagnostics.push(
                        Diagnostic::error("windowing-info/unknown", value.span, text)
                            .label(format!("one of: {}", VALUES.join(", ")))
                            .maybe_help(suggest::did_you_mean(&value.value, VALUES)),
                    );
                }
            }
        }
        if !good {
            return None;
        }
        let shape = input.shape.with_schema(Arc::new(Schema::new(fields)));
        let outputs = vec![Output { tag: "out".to_owned(), shape, role: OutputRole::Main }];
        let explain = wanted.iter().map(|(n, v)| match n.value == v.value {
            true => n.value.clone(),
            false => format!("{} = {}", n.value, v.value),
        });
        Some(Arc::new(ExtractNode { outputs, infos, explain: explain.collect::<Vec<_>>().join(", ") }))
    }
}

#[derive(Debug)]
struct ExtractNode {
    outputs: Vec<Output>,
    infos: Vec<Info>,
    explain: String,
}

impl PlanNode for ExtractNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        self.explain.clone()
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        let width = inputs.first().map_or(0, |s| s.schema.fields().len());
        let mut columns = read_columns(outputs, 0, width + self.infos.len());
        columns.truncate(width);
        vec![columns]
    }

    fn build(&self, _: &BuildCx) -> Result<Running> {
        let output = self.outputs.first().ok_or_else(|| Error::internal("no output"))?;
        let schema = physical(&output.shape.schema);
        Ok(Running::Operator(Box::new(Extract { schema, infos: self.infos.clone() })))
    }
}

#[derive(Debug)]
struct Extract {
    schema: SchemaRef,
    infos: Vec<Info>,
}

impl Operator for Extract {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let mut columns = batch.rows.columns().to_vec();
        for info in &self.infos {
            columns.push(column(*info, &batch)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        cx.fates.passed += batch.len() as u64;
        cx.emit(0, batch.with_rows(rows));
        Ok(More::No)
    }
}

fn column(info: Info, batch: &Batch) -> Result<ArrayRef> {
    let bound = |at: fn(&Window) -> i64| {
        spread(&batch.windows, batch.len(), |all| times(all.iter().map(at).collect()))
    };
    let text = |of: fn(&Window) -> String| {
        spread(&batch.windows, batch.len(), |all| {
            Arc::new(all.iter().map(|w| Some(of(w))).collect::<StringArray>())
        })
    };
    match info {
        Info::Timestamp => Ok(times(match &batch.times {
            Times::One(t) => vec![t.0; batch.len()],
            Times::Each(all) => all.to_vec(),
        })),
        Info::WindowStart => bound(|w| w.start().clamped().0),
        Info::WindowEnd => bound(|w| w.end().clamped().0),
        Info::WindowString => text(window_text),
        Info::WindowType => text(|w| match w {
            Window::Global => "GlobalWindow".to_owned(),
            _ => "IntervalWindow".to_owned(),
        }),
        Info::WindowObject => text(|w| match w {
            Window::Global => "\"GlobalWindow\"".to_owned(),
            w => {
                let at = purlin_api::json::timestamp_text;
                serde_json::json!({"start": at(w.start().clamped().0), "end": at(w.end().clamped().0)})
                    .to_string()
            }
        }),
        Info::WindowRow => {
            let bounds = vec![column(Info::WindowStart, batch)?, column(Info::WindowEnd, batch)?];
            Ok(Arc::new(StructArray::try_new(window_fields(true), bounds, None)?))
        }
        Info::Pane => spread(&batch.panes, batch.len(), panes),
    }
}

fn times(micros: Vec<i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
}

fn panes(all: &[Pane]) -> ArrayRef {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(all.iter().map(|p| Some(p.is_first)).collect::<BooleanArray>()),
        Arc::new(all.iter().map(|p| Some(p.is_last)).collect::<BooleanArray>()),
        Arc::new(all.iter().map(|p| Some(p.timing.name())).collect::<StringArray>()),
        Arc::new(all.iter().map(|p| p.index).collect::<Int64Array>()),
        Arc::new(all.iter().map(|p| p.nonspeculative_index).collect::<Int64Array>()),
    ];
    Arc::new(StructArray::new(pane_fields(true), columns, None))
}

/// A column computed once per distinct value, then spread over the rows.
fn spread<T: Clone + Eq + Hash>(
    dict: &Dict<T>,
    rows: usize,
    make: impl Fn(&[T]) -> ArrayRef,
) -> Result<ArrayRef> {
    let values = make(dict.values());
    let keys: UInt32Array = match dict.keys() {
        Some(keys) => keys.iter().copied().collect(),
        None => vec![0; rows].into(),
    };
    Ok(arrow_select::take::take(&values, &keys, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_api::testing::{self, Driver};

    fn extract(fields: Option<&[(&str, &str)]>) -> ExtractWindowingInfo {
        let at = |v: &str| Spanned { value: v.to_owned(), span: Default::default() };
        ExtractWindowingInfo {
            fields: fields.map(|f| Wanted(f.iter().map(|(n, v)| (at(n), at(v))).collect())),
        }
    }

    #[test]
    fn the_default_is_time_and_bounds() {
        let (_, driver) = testing::run(&extract(None), &[r#"[{"time": 3}]"#], false).unwrap();
        assert_eq!(
            driver.rows(0),
            [
                r#"{"time":3,"timestamp":"1970-01-01T00:00:03Z","window_start":"-290308-12-21T19:59:05.225Z","window_end":"+294247-01-09T04:00:54.775Z"}"#
            ]
        );
    }

    #[test]
    fn windows_and_panes_as_beam_prints_them() {
        let t = extract(Some(&[
            ("s", "window_string"),
            ("k", "window_type"),
            ("o", "window_object"),
            ("p", "pane_info"),
        ]));
        let json = r#"[{"time": 3}, {"time": 12}]"#;
        let node = testing::bind(&t, &[testing::input(testing::shape_of(json).unwrap())], false).unwrap();
        let mut batch = testing::batch(json).unwrap();
        batch.windows = Dict::new(vec![Window::interval(0, 10_000_000), Window::Global], vec![0, 1]);
        batch.panes = Dict::one(Pane::ONLY);
        let mut driver = Driver::new(node.as_ref()).unwrap();
        driver.push(0, batch).unwrap();
        driver.check_schemas(node.as_ref()).unwrap();
        let pane =
            r#"{"is_first":true,"is_last":true,"timing":"ON_TIME","index":0,"nonspeculative_index":0}"#;
        assert_eq!(
            driver.rows(0),
            [
                format!(
                    r#"{{"time":3,"s":"[0.0, 10.0)","k":"IntervalWindow","o":{{"start":"1970-01-01T00:00:00Z","end":"1970-01-01T00:00:10Z"}},"p":{pane}}}"#
                ),
                format!(
                    r#"{{"time":12,"s":"GlobalWindow","k":"GlobalWindow","o":"GlobalWindow","p":{pane}}}"#
                ),
            ]
        );
    }

    #[test]
    fn wrong_names_are_refused() {
        let e = testing::run(
            &extract(Some(&[("time", "timestamp"), ("x", "windw_start")])),
            &[r#"[{"time": 3}]"#],
            false,
        );
        let e = e.unwrap_err();
        assert!(e.contains("name/field-exists") && e.contains("did you mean `window_start`?"), "{e}");
    }
}
