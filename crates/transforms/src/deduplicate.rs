//! `Deduplicate`: the first row of each key within a horizon of event time.

use crate::common::{all_columns, described, known_field, need, only_input, read_columns};
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_schema::{DataType, Field};
use purlin_api::key::{KeyCodec, encodes};
use purlin_api::operator::LogLevel;
use purlin_api::shape::{nullable_type, type_name};
use purlin_api::state::{Columns, Entries, KeySlots, int_lists, read_int_lists};
use purlin_api::window::describe_micros;
use purlin_api::{
    Batch, BindCx, BuildCx, Distribution, Entry, Error, ErrorKind, EventTime, InputShape, Micros, More, OpCx,
    Operator, Output, OutputRole, PlanNode, Port, Result, Running, Shape, StateShape, StateTable, Transform,
    Window, WindowFn,
};
use purlin_spec::config::{OneOrMany, Spanned};
use purlin_spec::types::Duration;
use purlin_spec::vocabulary::{Inputs, TransformDef};
use purlin_spec::{Config, Diagnostic, FromNode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Beam's default for its transform of this name.
const HORIZON: Duration = Duration::from_micros(600_000_000);
const KEYS_MAX: i64 = 10_000_000;

purlin_spec::config! {
    /// Drops rows whose key was seen before: of rows with equal keys whose event times are less than `horizon` apart,
    /// the one that came first stays. Beyond Beam YAML; it does what Beam's `Deduplicate` does in its SDKs, by event
    /// time.
    ///
    /// Sources that deliver at least once (brokers) give a row again when its acknowledgement was lost; this is how
    /// such rows are counted once. Rows are dropped as `filtered` in the ledger.
    ///
    /// A key is remembered until the watermark is `horizon` past its row. A duplicate that comes later than that
    /// is not recognised, so the horizon should be longer than duplicates are late. A row that is behind the
    /// watermark is remembered for one horizon from then on. Windows play no part: put it before `WindowInto` or
    /// behind it. (The copies of a row in sliding windows are rows of their own.) Rows with null in all their `keys`
    /// are nobody's duplicates. What is remembered is part of a checkpoint.
    ///
    /// ```yaml
    /// - type: Deduplicate
    ///   input: Orders
    ///   config: {keys: [order_id], horizon: 1h}
    /// ```
    pub struct Deduplicate {
        /// The fields that make a row the same as another; the whole row, if neither this nor `key` is given.
        pub keys: Option<OneOrMany<Spanned<String>>>,
        /// The same for one field.
        pub key: Option<Spanned<String>>,
        /// How far apart in event time rows with equal keys are duplicates. 10 minutes unless given.
        pub horizon: Option<Spanned<Duration>>,
        /// How many keys each lane remembers at most: 10,000,000 unless given; each takes about 150 bytes and the
        /// size of the key. Beyond that, a pipeline that ends by itself fails, as its result would be wrong; one that
        /// does not forgets the keys whose time is up first, and says so in the log.
        pub keys_max: Option<Spanned<i64>>,
    }
}

/// What the catalogue knows of it.
pub(crate) fn entry() -> Entry {
    Entry {
        def: TransformDef {
            name: "Deduplicate",
            doc: Deduplicate::doc(),
            inputs: Inputs::One,
            error_handling: false,
            fields: Deduplicate::fields,
        },
        decode: |node, d| Deduplicate::from_node(node, d).map(|t| Arc::new(t) as Arc<dyn Transform>),
    }
}

impl Transform for Deduplicate {
    fn bind(&self, inputs: &[InputShape], cx: &mut BindCx<'_>) -> Option<Arc<dyn PlanNode>> {
        let input = only_input(inputs, cx)?;
        let keys = self.key_columns(&input.shape, cx);
        let horizon = self.horizon.as_ref().map_or(HORIZON, |h| h.value).micros();
        if let Some(h) = self.horizon.as_ref().filter(|_| horizon <= 0) {
            let text = "`horizon` must be longer than nothing";
            cx.diagnostics
                .push(Diagnostic::error("deduplicate/horizon", h.span, text).help("write for example `10m`"));
        }
        let keys_max = self.keys_max.as_ref().map_or(KEYS_MAX, |k| k.value);
        if let Some(k) = self.keys_max.as_ref().filter(|_| keys_max < 1) {
            cx.diagnostics.push(Diagnostic::error(
                "deduplicate/keys-max",
                k.span,
                "`keys_max` must be at least 1",
            ));
        }
        let keys = keys?;
        (horizon > 0 && keys_max > 0).then(|| {
            let output = Output { tag: "out".to_owned(), shape: input.shape.clone(), role: OutputRole::Main };
            Arc::new(DeduplicateNode {
                outputs: vec![output],
                given: self.keys.is_some() || self.key.is_some(),
                keys,
                horizon,
                keys_max: keys_max as usize,
            }) as Arc<dyn PlanNode>
        })
    }
}

impl Deduplicate {
    fn key_columns(&self, shape: &Shape, cx: &mut BindCx<'_>) -> Option<Vec<usize>> {
        let names: Vec<&Spanned<String>> = match (&self.keys, &self.key) {
            (Some(_), Some(key)) => {
                let text = "`key` and `keys` are given";
                cx.diagnostics
                    .push(Diagnostic::error("deduplicate/two-keys", key.span, text).help("keep one of them"));
                return None;
            }
            (Some(keys), None) => keys.0.iter().collect(),
            (None, Some(key)) => vec![key],
            (None, None) => Vec::new(),
        };
        if self.keys.is_some() && names.is_empty() {
            let text = "`keys` is empty: all rows would be duplicates of the first";
            let d = Diagnostic::error("deduplicate/no-keys", cx.span, text);
            cx.diagnostics.push(d.help("name fields, or leave `keys` out to compare whole rows"));
            return None;
        }
        let columns: Vec<(usize, Option<purlin_spec::Span>)> = if names.is_empty() {
            (0..shape.schema.fields().len()).map(|i| (i, None)).collect()
        } else {
            let found: Vec<_> =
                names.iter().map(|n| Some((known_field(n, &shape.schema, cx)?, Some(n.span)))).collect();
            found.into_iter().collect::<Option<_>>()?
        };
        let mut good = true;
        for (i, span) in &columns {
            let Some(field) = shape.schema.fields().get(*i) else { continue };
            if !encodes(&nullable_type(field.data_type())) {
                good = false;
                let text = format!("`{}` is {}, which cannot be compared", field.name(), type_name(field));
                cx.diagnostics.push(
                    Diagnostic::error("deduplicate/key-type", span.unwrap_or(cx.span), text)
                        .help("name the fields that make a row the same as another, in `keys`"),
                );
            }
        }
        good.then(|| columns.into_iter().map(|(i, _)| i).collect())
    }
}

#[derive(Debug)]
struct DeduplicateNode {
    outputs: Vec<Output>,
    /// The author named keys: else whole rows are compared.
    given: bool,
    keys: Vec<usize>,
    horizon: Micros,
    keys_max: usize,
}

impl DeduplicateNode {
    fn shape(&self) -> Result<&Shape> {
        self.outputs.first().map(|o| &o.shape).ok_or_else(|| Error::internal("no output"))
    }
}

impl PlanNode for DeduplicateNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        let name = |i: &usize| {
            self.outputs.first().and_then(|o| o.shape.schema.fields().get(*i)).map(|f| f.name().as_str())
        };
        let by = match self.given {
            true => self.keys.iter().filter_map(name).collect::<Vec<_>>().join(", "),
            false => "whole rows".to_owned(),
        };
        format!("by {by}; horizon {}", describe_micros(self.horizon))
    }

    fn distribution(&self, _: usize) -> Distribution {
        if self.keys.is_empty() { Distribution::Single } else { Distribution::Keyed(self.keys.clone()) }
    }

    fn columns_needed(&self, outputs: &[Vec<bool>], inputs: &[Shape]) -> Vec<Vec<bool>> {
        let width = inputs.first().map_or(0, |s| s.schema.fields().len());
        if !self.given {
            return vec![all_columns(inputs.first())];
        }
        let mut columns = read_columns(outputs, 0, width);
        self.keys.iter().for_each(|k| need(&mut columns, *k));
        vec![columns]
    }

    fn state(&self) -> Option<StateShape> {
        let shape = &self.outputs.first()?.shape;
        let keys = described(self.keys.iter().filter_map(|k| shape.schema.fields().get(*k)));
        let windows = if by_window(shape) { "; in each window" } else { "" };
        let nulls = if self.given { "" } else { ", null or not" };
        Some(StateShape::new(format!("keys seen: {keys}{nulls}{windows}")))
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let shape = self.shape()?;
        let types = self.keys.iter().filter_map(|k| shape.schema.fields().get(*k));
        let types: Vec<_> = types.map(|f| nullable_type(f.data_type())).collect();
        let slots = match self.distribution(0) {
            Distribution::Keyed(_) if by_window(shape) => KeySlots::OfKey { behind: WINDOW_BYTES },
            Distribution::Keyed(_) => KeySlots::OfKey { behind: 0 },
            _ => KeySlots::own(cx),
        };
        Ok(Running::Operator(Box::new(DeduplicateOperator {
            codec: KeyCodec::new(&types)?,
            keys: self.keys.clone(),
            null_is_none: self.given,
            by_window: by_window(shape),
            bounded: shape.bounded,
            horizon: self.horizon,
            keys_max: self.keys_max,
            label: cx.label.clone(),
            seen: Entries::new("seen", slots),
            until: BTreeSet::new(),
            told_full: false,
        })))
    }
}

/// The copies of a row in several windows are no duplicates.
fn by_window(shape: &Shape) -> bool {
    matches!(shape.windowing.window_fn, WindowFn::Sliding { .. })
}

/// A row that stayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stayed {
    /// Its time.
    time: EventTime,
    /// The watermark at which it is forgotten.
    until: EventTime,
}

/// The rows of a key that stayed.
#[derive(Debug, Default)]
struct Stays(Vec<Stayed>);

impl Columns for Stays {
    fn fields() -> Vec<Field> {
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
        vec![Field::new("times", list.clone(), true), Field::new("until", list, true)]
    }

    fn write(values: &[Option<&Self>]) -> Result<Vec<ArrayRef>> {
        let times = values.iter().map(|v| v.map(|v| v.0.iter().map(|s| s.time.0)));
        let until = values.iter().map(|v| v.map(|v| v.0.iter().map(|s| s.until.0)));
        Ok(vec![int_lists(times), int_lists(until)])
    }

    fn read(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        let both = read_int_lists(columns, 0)?.into_iter().zip(read_int_lists(columns, 1)?);
        let stayed = |(time, until)| Stayed { time: EventTime(time), until: EventTime(until) };
        Ok(both.map(|(times, until)| Stays(times.into_iter().zip(until).map(stayed).collect())).collect())
    }
}

struct DeduplicateOperator {
    codec: KeyCodec,
    keys: Vec<usize>,
    /// Rows whose keys are all null have none.
    null_is_none: bool,
    /// Copies of a row in several windows are not duplicates.
    by_window: bool,
    bounded: bool,
    horizon: Micros,
    keys_max: usize,
    label: String,
    /// By key: the rows that stayed, more than a horizon apart.
    seen: Entries<Stays>,
    /// When each of them is forgotten: the watermark then, the key, the time. Follows from `seen`.
    until: BTreeSet<(EventTime, Arc<[u8]>, EventTime)>,
    told_full: bool,
}

impl DeduplicateOperator {
    /// True if the row is the first of its key.
    fn is_first(&mut self, key: &[u8], t: EventTime, cx: &mut OpCx) -> Result<bool> {
        let near =
            |s: &Stayed| i128::from(t.0).abs_diff(i128::from(s.time.0)) < self.horizon.unsigned_abs().into();
        if self.seen.get(key).is_some_and(|stays| stays.0.iter().any(near)) {
            return Ok(false);
        }
        if self.until.len() >= self.keys_max {
            self.make_room(cx)?;
        }
        let key: Arc<[u8]> = self.seen.shared_key(key).unwrap_or_else(|| Arc::from(key));
        let until = t.max(cx.watermark).plus(self.horizon);
        self.until.insert((until, key.clone(), t));
        self.seen.entry(key, Stays::default).0.push(Stayed { time: t, until });
        Ok(true)
    }

    fn make_room(&mut self, cx: &mut OpCx) -> Result<()> {
        if self.bounded {
            let text = format!(
                "more than {} keys within the horizon of {}: raise `keys_max`, or shorten `horizon`",
                self.keys_max,
                describe_micros(self.horizon)
            );
            return Err(Error::new(ErrorKind::Exhausted, text).in_place(&self.label));
        }
        if !self.told_full {
            self.told_full = true;
            let text = format!(
                "more than {} keys within the horizon of {}: the oldest are forgotten, and their duplicates pass; \
                 raise `keys_max`, or shorten `horizon`",
                self.keys_max,
                describe_micros(self.horizon)
            );
            cx.log.push((LogLevel::Error, text));
        }
        if let Some((_, key, t)) = self.until.pop_first()
            && let Some(Stays(stays)) = self.seen.change(&key)
        {
            stays.retain(|s| s.time != t);
            if stays.is_empty() {
                self.seen.remove(&key);
            }
        }
        Ok(())
    }
}

/// How many bytes stand for a window.
const WINDOW_BYTES: usize = 8;

/// The start of a window, or what stands for it.
fn window_bytes(window: &Window) -> [u8; WINDOW_BYTES] {
    window.start().0.to_be_bytes()
}

impl Operator for DeduplicateOperator {
    fn on_batch(&mut self, _: Port, batch: Batch, cx: &mut OpCx) -> Result<More> {
        let columns: Option<Vec<ArrayRef>> =
            self.keys.iter().map(|k| batch.rows.columns().get(*k).cloned()).collect();
        let columns = columns.ok_or_else(|| Error::internal("a key of a missing column"))?;
        let keys = self.codec.encode(&columns, batch.len())?;
        let mut kept = Vec::with_capacity(batch.len());
        let mut in_window = Vec::new();
        for (row, key) in keys.iter().enumerate() {
            let none = self.null_is_none && columns.iter().all(|c| c.is_null(row));
            let key = if self.by_window {
                in_window.clear();
                in_window.extend(window_bytes(batch.windows.get(row)));
                in_window.extend(key);
                &in_window
            } else {
                key
            };
            kept.push(none || self.is_first(key, batch.times.get(row), cx)?);
        }
        let rows = batch.len() as u64;
        let kept = batch.filter(&BooleanArray::from(kept))?;
        cx.fates.passed += kept.len() as u64;
        cx.fates.filtered += rows - kept.len() as u64;
        cx.emit(0, kept);
        Ok(More::No)
    }

    fn on_watermark(&mut self, cx: &mut OpCx) -> Result<More> {
        while self.until.first().is_some_and(|(until, ..)| *until <= cx.watermark) {
            if let Some((_, key, t)) = self.until.pop_first() {
                self.seen.expire(&key, |Stays(stays)| {
                    stays.retain(|s| s.time != t);
                    !stays.is_empty()
                });
            }
        }
        Ok(More::No)
    }

    fn tables(&mut self) -> Vec<&mut dyn StateTable> {
        vec![&mut self.seen]
    }

    fn restored(&mut self, cx: &mut OpCx) -> Result<()> {
        self.seen.retain(|_, Stays(stays)| {
            stays.retain(|s| s.until > cx.watermark);
            !stays.is_empty()
        });
        let all = self.seen.iter().flat_map(|(key, stays)| stays.0.iter().map(move |s| (key, s)));
        self.until = all.map(|(key, s)| (s.until, Arc::clone(key), s.time)).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::spanned;
    use purlin_api::testing::{self, Driver, batch, bind, input, shape_of};

    const ROWS: &str = r#"[{"id": "a", "n": 1, "time": 0}]"#;

    fn by(keys: &[&str], horizon: i64, keys_max: Option<i64>) -> Deduplicate {
        let span = purlin_spec::Span::default();
        Deduplicate {
            keys: (!keys.is_empty()).then(|| OneOrMany(keys.iter().map(|k| spanned(k)).collect())),
            key: None,
            horizon: Some(Spanned { value: Duration::from_micros(horizon * 1_000_000), span }),
            keys_max: keys_max.map(|value| Spanned { value, span }),
        }
    }

    fn driver(t: &Deduplicate, bounded: bool) -> Driver {
        let shape = Shape { bounded, ..shape_of(ROWS).unwrap() };
        Driver::new(bind(t, &[input(shape)], false).unwrap().as_ref()).unwrap()
    }

    /// The `n` of the rows that came out.
    fn passed(d: &Driver) -> Vec<String> {
        d.rows(0)
            .iter()
            .map(|r| r.split("\"n\":").nth(1).unwrap().split([',', '}']).next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_first_within_the_horizon_stays_whatever_its_time() {
        let mut d = driver(&by(&["id"], 10, None), false);
        d.push_json(r#"[{"id": "a", "n": 1, "time": 5}, {"id": "a", "n": 2, "time": 5}, {"id": "b", "n": 3, "time": 6}]"#).unwrap();
        d.push_json(r#"[{"id": "a", "n": 4, "time": 14}, {"id": "a", "n": 5, "time": 0}, {"id": "a", "n": 6, "time": 15}]"#).unwrap();
        d.push_json(r#"[{"id": "a", "n": 7, "time": 24}, {"id": "a", "n": 8, "time": 25}]"#).unwrap();
        assert_eq!(passed(&d), ["1", "3", "6", "8"]);
        assert_eq!((d.cx.fates.passed, d.cx.fates.filtered), (4, 4));
        d.end().unwrap();
    }

    #[test]
    fn keys_are_forgotten_when_the_watermark_is_a_horizon_past_them() {
        let mut d = driver(&by(&["id"], 10, None), false);
        d.push_json(r#"[{"id": "a", "n": 1, "time": 5}]"#).unwrap();
        d.watermark(EventTime::from_seconds(14)).unwrap();
        d.push_json(r#"[{"id": "a", "n": 2, "time": 5}]"#).unwrap();
        d.watermark(EventTime::from_seconds(15)).unwrap();
        d.push_json(r#"[{"id": "a", "n": 3, "time": 5}]"#).unwrap();
        // Late itself, and remembered from now on.
        d.watermark(EventTime::from_seconds(24)).unwrap();
        d.push_json(r#"[{"id": "a", "n": 4, "time": 5}]"#).unwrap();
        d.watermark(EventTime::from_seconds(25)).unwrap();
        d.push_json(r#"[{"id": "a", "n": 5, "time": 5}]"#).unwrap();
        assert_eq!(passed(&d), ["1", "3", "5"]);
    }

    #[test]
    fn whole_rows_are_compared_without_keys_and_null_keys_are_nobodys() {
        // The first row says what type `id` has.
        let rows = |second: i64| {
            let row = |id: Option<&str>, n: i64| serde_json::json!({"id": id, "n": n, "time": 0});
            serde_json::json!([row(Some("z"), 9), row(None, 1), row(None, second)]).to_string()
        };
        for (keys, second, want) in [
            (&[][..], 1, &["9", "1"][..]),
            (&[][..], 2, &["9", "1", "2"][..]),
            (&["id"][..], 1, &["9", "1", "1"][..]),
            (&["id", "n"][..], 1, &["9", "1"][..]),
        ] {
            let mut d = driver(&by(keys, 10, None), true);
            d.push_json(&rows(second)).unwrap();
            assert_eq!(passed(&d), want, "{keys:?}");
        }
    }

    #[test]
    fn too_many_keys_fail_a_job_that_ends_and_are_forgotten_in_one_that_does_not() {
        let rows = r#"[{"id": "a", "n": 1, "time": 1}, {"id": "b", "n": 2, "time": 0}, {"id": "c", "n": 3, "time": 2},
                       {"id": "d", "n": 4, "time": 3}, {"id": "a", "n": 5, "time": 1}, {"id": "d", "n": 6, "time": 3}]"#;
        let e = driver(&by(&["id"], 10, Some(2)), true).push_json(rows).unwrap_err();
        assert!(e.kind() == ErrorKind::Exhausted && e.message().contains("raise `keys_max`"), "{e}");
        let mut d = driver(&by(&["id"], 10, Some(2)), false);
        d.push_json(rows).unwrap();
        assert_eq!(passed(&d), ["1", "2", "3", "4", "5"], "`a` and `b` are forgotten, `d` is not");
        assert_eq!(d.cx.log.len(), 1, "said once");
    }

    #[test]
    fn copies_in_sliding_windows_are_rows_of_their_own() {
        let window_fn = WindowFn::Sliding { size: 10_000_000, period: 5_000_000, offset: 0 };
        let windowing = Arc::new(purlin_api::Windowing::of(window_fn.clone()));
        let shape = Shape { windowing, ..shape_of(ROWS).unwrap() };
        let node = bind(&by(&["id"], 100, None), &[input(shape)], false).unwrap();
        let mut d = Driver::new(node.as_ref()).unwrap();
        let twice = batch(r#"[{"id": "a", "n": 1, "time": 7}, {"id": "a", "n": 2, "time": 7}]"#).unwrap();
        d.push(0, crate::windows::assign(twice, &window_fn).unwrap().0).unwrap();
        assert_eq!(passed(&d), ["1", "1"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |t: Deduplicate| bind(&t, &[input(shape_of(ROWS).unwrap())], false).unwrap_err();
        assert!(refused(by(&["di"], 1, None)).starts_with("name/unknown-field: unknown field `di`"));
        assert!(refused(by(&["id"], 0, None)).starts_with("deduplicate/horizon"));
        assert!(refused(by(&["id"], 1, Some(0))).starts_with("deduplicate/keys-max"));
        let none = Deduplicate { keys: Some(OneOrMany(vec![])), ..by(&[], 1, None) };
        assert!(refused(none).starts_with("deduplicate/no-keys"));
        let two = Deduplicate { key: Some(spanned("id")), ..by(&["id"], 1, None) };
        assert!(refused(two).starts_with("deduplicate/two-keys"));
        let (node, _) = testing::run(&by(&["id", "n"], 3600, None), &[ROWS], false).unwrap();
        assert_eq!(node.explain(), "by id, n; horizon 1h");
        assert_eq!(node.distribution(0), Distribution::Keyed(vec![0, 1]));
    }
}
