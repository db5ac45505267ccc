use super::*;
use serde_json::json;

fn take(form: Form, source: &str, kwargs: Value) -> Result<Elementwise, Vec<Problem>> {
    elementwise(source, form, &[], kwargs.as_object().unwrap_or(&Map::new()))
}

fn callable(source: &str, kwargs: Value) -> Elementwise {
    take(Form::Callable, source, kwargs).unwrap()
}

fn message(result: Result<Elementwise, Vec<Problem>>) -> String {
    result.unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn one(code: &str) -> Option<Mapped> {
    Some(Mapped { code: code.to_owned(), many: false })
}

#[test]
fn one_map_is_its_function() {
    let taken = callable("lambda pcoll: pcoll | beam.Map(lambda r: beam.Row(a=r.b))", json!({}));
    assert_eq!(
        taken,
        Elementwise { filters: vec![], result: one("\n(lambda r: beam.Row(a=r.b))".trim_start()) }
    );
}

#[test]
fn functions_inside_move_out_and_imports_come_if_used() {
    let source = "
        from apache_beam.typehints.row_type import RowTypeConstraint
        def run(rows):
          import math
          import apache_beam as beam

          def half(r):
            text = '''x
                y'''
            return beam.Row(h=math.floor(r.n / 2), t=text)

          return (
              rows
              | 'Halve' >> beam.Map(half).with_output_types(RowTypeConstraint))
    ";
    let want = "import math\nimport apache_beam as beam\n\
                def half(r):\n  text = '''x\n        y'''\n  return beam.Row(h=math.floor(r.n / 2), t=text)\n";
    assert_eq!(callable(source, json!({})).result, one(want));
}

#[test]
fn filters_first_then_one_function() {
    let source = "
def run(pcoll, least, words=('a',)):
  good = pcoll | beam.Filter(lambda r: r.n > least)
  good = good | beam.Reshuffle() | beam.Filter(ok, 3)
  return good | beam.FlatMap(parts) | beam.Filter(bool) | beam.Map(lambda w, n: beam.Row(w=w * n), n=2)
";
    let taken = callable(source, json!({"least": 2}));
    let bound = "least = 2\nwords = ('a',)\n";
    assert_eq!(
        taken.filters,
        [format!("{bound}(lambda r: r.n > least)"), format!("{bound}lambda __e: ok(__e, 3)")]
    );
    let list = "lambda __e: [(lambda w, n: beam.Row(w=w * n))(__x2, n=2) for __x2 in \
                [__x1 for __x1 in [__y0 for __x0 in [__e] for __y0 in parts(__x0)] if bool(__x1)]]";
    assert_eq!(taken.result, Some(Mapped { code: format!("{bound}{list}"), many: true }));
}

#[test]
fn a_class_is_its_fields_and_methods() {
    let source = "
class Scale(beam.PTransform):
  OFFSET = 1

  def __init__(self, by, unit='cm'):
    super().__init__()
    self._by = by * 2

  def one(self, row):
    return beam.Row(n=row.n * self._by + self.OFFSET)

  @staticmethod
  def keep(row):
    return row.n

  def expand(self, pcoll):
    '''Scales.'''
    return pcoll | beam.Filter(self.keep) | beam.Map(self.one)
";
    let taken = take(Form::Constructor, source, json!({"by": 3})).unwrap();
    let head = "by = 3\nunit = 'cm'\n__self_OFFSET = 1\n";
    let (one_text, keep) = (
        "def __self_one(row):\n  return beam.Row(n=row.n * __self__by + __self_OFFSET)\n",
        "def __self_keep(row):\n  return row.n\n",
    );
    let by = "__self__by = by * 2\n";
    assert_eq!(taken.result, one(&format!("{head}{keep}{by}{one_text}")));
    assert_eq!(taken.filters, [format!("{head}{one_text}{by}{keep}")]);
}

#[test]
fn constructors_and_branches_on_the_config() {
    let source = "
@beam.ptransform_fn
def Case(pcoll, upper):
  if upper:
    return pcoll | beam.Map(lambda r: r.a.upper())
  else:
    return pcoll | beam.Map(lambda r: r.a.lower())
";
    let lower = take(Form::Constructor, source, json!({"upper": false})).unwrap();
    assert_eq!(lower.result, one("upper = False\n(lambda r: r.a.lower())"));
    let made =
        take(Form::Constructor, "lambda by: beam.Map(lambda r: r.a * by)", json!({"by": "x'"})).unwrap();
    assert_eq!(made.result, one("by = 'x\\''\n(lambda r: r.a * by)"));
}

#[test]
fn what_needs_beam_is_named() {
    let of = |source: &str| message(take(Form::Callable, source, json!({})));
    let grouped = of("lambda p: p | beam.Map(lambda r: (r.a, r)) | beam.GroupByKey()");
    assert!(
        grouped.contains("`beam.GroupByKey` is not compiled") && grouped.contains("`Combine`"),
        "{grouped}"
    );
    let source = of("lambda p: p | beam.io.ReadFromCsv('x')");
    assert!(source.contains("a transform `ReadFromCsv` of its own"), "{source}");
    assert!(of("def f(p, n):\n  return p").contains("parameter `n` is given no value"));
    assert!(of("def f(p):\n  print(p)\n  return p").contains("`print(p)` uses the collection"));
    assert!(of("def f(p):\n  if p:\n    return p").contains("`if p` does not only depend on the config"));
    assert!(of("x = 1").contains("does not end with a function"));
    assert!(of("def f(p):\n  pass").contains("returns no collection"));
    assert!(of("").contains("empty"));
    assert!(of("def f(p:").contains("invalid Python"));
    let unknown = message(take(Form::Callable, "lambda p: p", json!({"n": 1})));
    assert!(unknown.contains("no parameter `n`"), "{unknown}");
    let twice = of("def g(r): return r\nx = 1\ndef f(p):\n  x = 2\n  return p | beam.Map(g)");
    assert!(twice.contains("`x` is bound in the function and in the module"), "{twice}");
}
