//! The functions there are.

use crate::{arithmetic, temporal};
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, cast::AsArray};
use arrow_schema::{DataType, FieldRef};
use datafusion_common::{Result, ScalarValue, exec_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ScalarUDF, Signature, WindowUDF,
};
use datafusion_functions_aggregate::sum::Sum;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Functions of DataFusion that are left out: they draw randomness, read a clock or the program, or can be had
/// as casts.
const LEFT_OUT: [&str; 9] = [
    "random",
    "uuid",
    "now",
    "current_date",
    "current_time",
    "current_timestamp",
    "today",
    "version",
    "arrow_typeof",
];

/// All functions, by name and alias.
#[derive(Debug)]
pub(crate) struct Functions {
    pub(crate) scalar: BTreeMap<String, Arc<ScalarUDF>>,
    pub(crate) aggregate: BTreeMap<String, Arc<AggregateUDF>>,
    pub(crate) window: BTreeMap<String, Arc<WindowUDF>>,
}

/// All functions.
pub(crate) fn all() -> &'static Functions {
    static ALL: LazyLock<Functions> = LazyLock::new(listed);
    &ALL
}

fn listed() -> Functions {
    let mut scalar = BTreeMap::new();
    let theirs = datafusion_functions::all_default_functions()
        .into_iter()
        .chain(datafusion_functions_nested::all_default_nested_functions())
        .filter(|f| !LEFT_OUT.contains(&f.name()));
    let ours = [temporal::now(), temporal::diff(), temporal::add(), arithmetic::negate()].map(Arc::new);
    for f in theirs.chain(ours) {
        let names =
            f.aliases().iter().chain(std::iter::once(&f.name().to_owned())).cloned().collect::<Vec<_>>();
        for name in names.into_iter().filter(|n| !LEFT_OUT.contains(&n.as_str()) || f.name() == temporal::NOW)
        {
            scalar.insert(name, f.clone());
        }
    }
    let mut aggregate = BTreeMap::new();
    for f in datafusion_functions_aggregate::all_default_aggregate_functions() {
        for alias in f.aliases() {
            aggregate.insert(alias.clone(), f.clone());
        }
        aggregate.insert(f.name().to_owned(), f);
    }
    aggregate.insert("sum".to_owned(), Arc::new(AggregateUDF::from(CheckedSum { inner: Sum::new() })));
    let mut window = BTreeMap::new();
    for f in datafusion_functions_window::all_default_window_functions() {
        window.insert(f.name().to_owned(), f);
    }
    Functions { scalar, aggregate, window }
}

/// The names that messages may suggest.
pub(crate) fn names() -> Vec<String> {
    let all = all();
    let names = all.scalar.keys().chain(all.aggregate.keys()).chain(all.window.keys());
    names.filter(|n| n.starts_with(|c: char| c.is_ascii_alphabetic())).cloned().collect()
}

/// DataFusion's sum, which notices when a sum of integers does not fit.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedSum {
    inner: Sum,
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        self.inner.return_type(args)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if *args.return_field.data_type() == DataType::Int64 && !args.is_distinct {
            return Ok(Box::new(IntegerSum::default()));
        }
        self.inner.accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if *args.return_field.data_type() == DataType::Int64 && !args.is_distinct {
            return Ok(Box::new(IntegerSum::default()));
        }
        self.inner.create_sliding_accumulator(args)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        *args.return_field.data_type() != DataType::Int64 && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }
}

/// A sum of 64-bit integers, with room for 2^63 of them.
#[derive(Debug, Default)]
struct IntegerSum {
    sum: i128,
    count: u64,
}

impl IntegerSum {
    fn each(values: &[ArrayRef], mut f: impl FnMut(i64)) -> Result<()> {
        let Some(values) = values.first().and_then(|v| v.as_primitive_opt::<Int64Type>()) else {
            return exec_err!("a sum of integers was given something else");
        };
        values.iter().flatten().for_each(&mut f);
        Ok(())
    }
}

impl Accumulator for IntegerSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        IntegerSum::each(values, |v| {
            self.sum += i128::from(v);
            self.count += 1;
        })
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return Ok(ScalarValue::Int64(None));
        }
        match i64::try_from(self.sum) {
            Ok(sum) => Ok(ScalarValue::Int64(Some(sum))),
            Err(_) => exec_err!("integer overflow: the sum is {}", self.sum),
        }
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.update_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        IntegerSum::each(values, |v| {
            self.sum -= i128::from(v);
            self.count = self.count.saturating_sub(1);
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}
