use super::*;
use crate::testing::config;
use purlin_api::testing;
use serde_json::json;

const ROWS: &str = r#"[{"n": 1, "s": "a b"}, {"n": 0, "s": ""}, {"n": 3, "s": "c"}]"#;

fn made(form: &str, source: &str) -> PyTransform {
    config(json!({"constructor": form, "kwargs": {"source": source, "by": 2}})).unwrap()
}

fn rows(source: &str) -> Vec<String> {
    testing::run(&made("__callable__", source), &[ROWS], false).unwrap().1.rows(0)
}

#[test]
fn maps_filters_and_flattens() {
    let map =
        "lambda p, by: p | beam.Filter(lambda r: r.n) | beam.Map(lambda r: beam.Row(m=r.n * by, s=r.s))";
    assert_eq!(rows(map), [r#"{"m":2,"s":"a b"}"#, r#"{"m":6,"s":"c"}"#]);
    assert_eq!(rows("lambda p, by: p | beam.Filter(lambda r: r.n > by)"), [r#"{"n":3,"s":"c"}"#]);
    let words = "
def words(p, by):
  def split(row):
    return [(row.n, w) for w in row.s.split()]
  pairs = p | 'Split' >> beam.FlatMap(split)
  return pairs | beam.Filter(lambda kv: kv[1] != 'b') | beam.Map(lambda kv: beam.Row(n=kv[0], w=kv[1]))
";
    assert_eq!(rows(words), [r#"{"n":1,"w":"a"}"#, r#"{"n":3,"w":"c"}"#]);
    let (_, driver) = testing::run(&made("__callable__", words), &[ROWS], false).unwrap();
    assert_eq!((driver.cx.fates.passed, driver.cx.fates.filtered), (2, 1));
}

#[test]
fn a_class_makes_a_transform() {
    let source = "
class Scale(beam.PTransform):
  def __init__(self, by):
    self.by = by
  def expand(self, pcoll):
    return pcoll | beam.Map(lambda r: beam.Row(n=r.n * self.by))
";
    let (_, driver) = testing::run(&made("__constructor__", source), &[ROWS], false).unwrap();
    assert_eq!(driver.rows(0), [r#"{"n":2}"#, r#"{"n":0}"#, r#"{"n":6}"#]);
}

#[test]
fn rows_that_raise_fail_the_run() {
    let fails = |source: &str| testing::run(&made("__callable__", source), &[ROWS], false).unwrap_err();
    let e = fails("lambda p, by: p | beam.Map(lambda r: beam.Row(m=by // r.n))");
    assert!(e.contains("ZeroDivisionError") && e.contains(r#"{"n":0,"s":""}"#), "{e}");
    let e = fails("lambda p, by: p | beam.Map(lambda r: beam.Row(m=1) if r.n else None)");
    assert!(e.contains("returned None, not a Row"), "{e}");
}

#[test]
fn what_is_refused_is_named() {
    let refused = |t: PyTransform| testing::run(&t, &[ROWS], false).unwrap_err();
    let e = refused(made("__callable__", "lambda p, by: p | beam.Map(lambda r: r.n)"));
    assert!(e.contains("python/rows") && e.contains("beam.Row(name=value"), "{e}");
    let e = refused(made("__callable__", "lambda p, by: p | beam.GroupByKey()"));
    assert!(e.contains("python/transform") && e.contains("`beam.GroupByKey` is not compiled"), "{e}");
    let e = refused(made("__callable__", "lambda p, by: p | beam.Map(lambda r: beam.Row(n=r.m))"));
    assert!(e.contains("the input has no field `m`"), "{e}");
    let e = refused(made("my.Own", ""));
    assert!(e.contains("python/transform") && e.contains("my.Own"), "{e}");
    let e = refused(config(json!({"constructor": "__callable__"})).unwrap());
    assert!(e.contains("python/arguments") && e.contains("without a `source`"), "{e}");
}

#[test]
fn reshuffle_passes() {
    let t = config::<PyTransform>(json!({"constructor": "apache_beam.transforms.util.Reshuffle"})).unwrap();
    assert_eq!(testing::run(&t, &[ROWS], false).unwrap().1.rows(0).len(), 3);
}
