//! The functions of a `Combine`: their names, here and in Beam, and their options.

use super::config;
use super::value::{Rank, Value};
use crate::expressions::{Compiled, Language, compile};
use arrow_schema::Schema;
use purlin_api::BindCx;
use purlin_grouping::accumulate::AggregateFn;
use purlin_spec::config::check_keys;
use purlin_spec::types::Expression;
use purlin_spec::{Diagnostic, Diagnostics, FromNode, Node, suggest};

/// The short names, in the order that messages list them.
pub(crate) const NAMES: [&str; 18] = [
    "sum",
    "max",
    "min",
    "all",
    "any",
    "mean",
    "count",
    "group",
    "concat",
    "top",
    "first",
    "last",
    "arg_max",
    "arg_min",
    "set",
    "approx_distinct",
    "quantiles",
    "sample",
];

/// Beam's classes, which a `fn` may name with or without their module, and the short names.
const CLASSES: [(&str, &str); 10] = [
    ("MeanCombineFn", "mean"),
    ("CountCombineFn", "count"),
    ("ToListCombineFn", "group"),
    ("ConcatListCombineFn", "concat"),
    ("ToSetCombineFn", "set"),
    ("TopCombineFn", "top"),
    ("LatestCombineFn", "last"),
    ("SampleCombineFn", "sample"),
    ("ApproximateUniqueCombineFn", "approx_distinct"),
    ("ApproximateQuantilesCombineFn", "quantiles"),
];

/// How many hashes `approx_distinct` keeps unless it is said: a standard error of 1.6 %.
const SAMPLE_SIZE: i64 = 4096;
/// The most values that a list of chosen ones may have.
const LIST_MAX: i64 = 1_000_000;

/// The short name of a function that is named in full.
fn short(written: &str) -> Option<&'static str> {
    if let Some(name) = NAMES.iter().find(|n| **n == written) {
        return Some(name);
    }
    let class = match written.rsplit_once('.') {
        // Beam's factory of quantiles.
        Some((class, "create")) => class,
        _ => written,
    };
    let class = match class.rsplit_once('.') {
        Some((module, class)) if ["apache_beam", "beam"].contains(&module.split('.').next()?) => class,
        Some(_) => return None,
        None => class,
    };
    CLASSES.iter().find(|(c, _)| *c == class).map(|(_, name)| *name)
}

/// What a function is computed of, and how. Pushes what is wrong with it.
pub(super) fn resolve(
    output: &str,
    aggregate: &config::Aggregate,
    value: Compiled,
    schema: &Schema,
    cx: &mut BindCx<'_>,
) -> Option<(Value, AggregateFn)> {
    let name = known(aggregate, cx.diagnostics)?;
    let mut call = Call { name, aggregate, schema, cx };
    let field = value.field(output);
    let resolved = match name {
        "top" => return call.top(output, value),
        "first" | "last" => return call.ranked(output, Rank::Time, value, None, name == "first", &[]),
        "arg_max" | "arg_min" => {
            let by = call.by(&["by"])?;
            return call.ranked(output, by, value, None, name == "arg_min", &["by"]);
        }
        "sample" => {
            let n = call.int("n", None, 0, &["n"])?;
            return call.ranked(output, Rank::Row, value, Some(n), false, &["n"]);
        }
        "set" => {
            call.options(&[])?;
            AggregateFn::set(&field)
        }
        "approx_distinct" => {
            let known = ["sample_size", "coder"];
            let k = call.int("sample_size", Some(SAMPLE_SIZE), 16, &known)?;
            AggregateFn::approx_distinct(k, &field)
        }
        "quantiles" => {
            let known =
                ["num_quantiles", "reverse", "epsilon", "max_num_elements", "buffer_size", "num_buffers"];
            let count = call.int("num_quantiles", None, 2, &known)?;
            let reverse = call.flag("reverse")?;
            AggregateFn::quantiles(count, reverse, &field)
        }
        _ => {
            call.options(&[])?;
            AggregateFn::resolve(name, &field)
        }
    };
    let function = call.checked(resolved, &value)?;
    Some((Value::Plain(value), function))
}

/// The short name of an aggregate's function; pushes that there is none of its name.
pub(super) fn known(aggregate: &config::Aggregate, d: &mut Diagnostics) -> Option<&'static str> {
    let wanted = aggregate.function.value.as_str();
    let known = short(wanted);
    if known.is_none() {
        let last = wanted.rsplit('.').next().unwrap_or(wanted);
        let classes = CLASSES.iter().map(|(class, _)| *class);
        let near = suggest::did_you_mean(last, NAMES.into_iter().chain(classes));
        let there_are = format!("there are: {}; and Beam's names for them", NAMES.join(", "));
        let message = format!("unknown CombineFn `{wanted}`");
        d.push(
            Diagnostic::error("combine/unknown-fn", aggregate.function.span, message)
                .label(there_are)
                .maybe_help(near)
                .help("any other: `fn: group`, and a function of the list in `MapToFields`"),
        );
    }
    known
}

/// A function that is being resolved.
struct Call<'a, 'b, 'c> {
    name: &'static str,
    aggregate: &'a config::Aggregate,
    schema: &'a Schema,
    cx: &'b mut BindCx<'c>,
}

impl Call<'_, '_, '_> {
    fn option(&self, key: &str) -> Option<&Node> {
        self.aggregate.config.as_ref().and_then(|c| c.get(key)).filter(|n| !n.is_null())
    }

    /// Checks that there are no options but these.
    fn options(&mut self, known: &[&str]) -> Option<()> {
        let Some(config) = &self.aggregate.config else { return Some(()) };
        if known.is_empty() {
            let text = format!("`{}` has no `config`", self.name);
            self.cx.diagnostics.push(Diagnostic::error("combine/fn-config", config.span, text));
            return None;
        }
        let what = format!("the `config` of `{}`", self.name);
        check_keys(config, &what, known, self.cx.diagnostics).then_some(())
    }

    /// A number that counts something; the options are checked with it.
    fn int(&mut self, key: &str, default: Option<i64>, least: i64, known: &[&str]) -> Option<usize> {
        self.options(known)?;
        let Some(node) = self.option(key).cloned() else {
            if default.is_none() {
                self.missing(key, "10");
            }
            return usize::try_from(default?).ok();
        };
        let value = i64::from_node(&node, self.cx.diagnostics)?;
        if !(least..=LIST_MAX).contains(&value) {
            let text = format!("`{key}` must lie between {least} and {LIST_MAX}, and is {value}");
            self.cx.diagnostics.push(Diagnostic::error("combine/fn-config", node.span, text));
            return None;
        }
        usize::try_from(value).ok()
    }

    fn missing(&mut self, key: &str, example: &str) {
        let name = self.name;
        let text = format!("`{name}` needs `{key}`");
        let help = format!("write `fn: {{type: {name}, config: {{{key}: {example}}}}}`");
        let span = self.aggregate.function.span;
        self.cx.diagnostics.push(Diagnostic::error("combine/fn-config", span, text).help(help));
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        let Some(node) = self.option(key).cloned() else { return Some(false) };
        bool::from_node(&node, self.cx.diagnostics)
    }

    /// What `by` says: a field or an expression.
    fn by(&mut self, known: &[&str]) -> Option<Rank> {
        self.options(known)?;
        let Some(node) = self.option("by").cloned() else {
            self.missing("by", "FIELD");
            return None;
        };
        let expression = Expression::from_node(&node, self.cx.diagnostics)?;
        compile(&expression, Language::Python, self.schema, self.cx).map(Rank::By)
    }

    fn top(&mut self, output: &str, value: Compiled) -> Option<(Value, AggregateFn)> {
        let known = ["n", "reverse", "by", "compare", "key"];
        let n = self.int("n", None, 0, &known)?;
        let least = self.flag("reverse")?;
        for key in ["compare", "key"] {
            if let Some(node) = self.option(key) {
                let text = format!("`{key}`, a function of two values, is not run by Purlin");
                let d = Diagnostic::error("combine/fn-config", node.span, text);
                self.cx.diagnostics.push(d.help("say what to order by: `by: FIELD`, or a Python expression"));
                return None;
            }
        }
        if self.option("by").is_some() {
            let by = self.by(&known)?;
            return self.ranked(output, by, value, Some(n), least, &known);
        }
        let function = self.checked(AggregateFn::top(n, least, &value.field(output)), &value)?;
        Some((Value::Plain(value), function))
    }

    fn ranked(
        &mut self,
        output: &str,
        rank: Rank,
        value: Compiled,
        n: Option<usize>,
        least: bool,
        known: &[&str],
    ) -> Option<(Value, AggregateFn)> {
        self.options(known)?;
        let ranked = Value::Ranked(rank, value.clone());
        let function = AggregateFn::ranked(self.name, n, least, &ranked.field(output));
        let function = self.checked(function, &value)?;
        Some((ranked, function))
    }

    fn checked(&mut self, resolved: Result<AggregateFn, String>, value: &Compiled) -> Option<AggregateFn> {
        match resolved {
            Ok(function) => Some(function.failing_on_null(self.cx.beam_compat)),
            Err(why) => {
                let mut d = Diagnostic::error("combine/type", self.aggregate.function.span, why);
                if value.is_any() {
                    d = d.help("declare the type: `value: {expression: …, output_type: number}`");
                }
                self.cx.diagnostics.push(d);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use purlin_grouping::accumulate::NAMES as BUILT_IN;

    #[test]
    fn names_of_beam() {
        assert_eq!(short("apache_beam.transforms.combiners.TopCombineFn"), Some("top"));
        assert_eq!(short("beam.combiners.CountCombineFn"), Some("count"));
        assert_eq!(
            short("apache_beam.transforms.stats.ApproximateQuantilesCombineFn.create"),
            Some("quantiles")
        );
        assert_eq!(short("ToSetCombineFn"), Some("set"));
        assert_eq!(short("mine.TopCombineFn"), None);
        assert_eq!(short("apache_beam.transforms.combiners.Nope"), None);
        assert!(BUILT_IN.iter().all(|n| short(n) == Some(n)), "every built-in function is listed");
    }
}
