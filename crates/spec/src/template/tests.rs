//! Rendering, and the way back to the places of the template.

use super::*;
use crate::node::{Node, Value};
use proptest::prelude::*;

struct Files<'a>(&'a [(&'a str, &'a str)]);

impl Loader for Files<'_> {
    fn load(&self, path: &str, _: Option<&str>) -> Result<LoadedText, String> {
        let found = self.0.iter().find(|(n, _)| *n == path);
        found
            .map(|(n, t)| LoadedText { name: (*n).to_owned(), text: (*t).to_owned() })
            .ok_or_else(|| format!("there is no file `{path}`"))
    }
}

/// 2023-11-14 22:13:20 UTC.
const NOW: i64 = 1_700_000_000_000_000;

struct Done {
    rendered: Option<Rendered>,
    sources: Sources,
    d: Diagnostics,
}

fn run(text: &str, files: &[(&str, &str)]) -> Done {
    let vars = r#"{"a": "A", "n": 3, "m": {"a": {"b": "v"}, "c": 1}, "l": [5, 6], "IN": "/in"}"#;
    let cx = TemplateCx { vars: serde_json::from_str(vars).unwrap(), loader: &Files(files), now_micros: NOW };
    let (mut sources, mut d) = (Sources::default(), Diagnostics::default());
    let rendered = render("main.yaml", text, &cx, &mut sources, &mut d);
    Done { rendered, sources, d }
}

fn text(template: &str) -> String {
    let done = run(template, &[]);
    done.rendered.map(|r| r.text).unwrap_or_else(|| panic!("{}", done.d.render(&done.sources)))
}

/// `code file:line:column-end_column message` of the only diagnostic.
fn error(template: &str, files: &[(&str, &str)]) -> String {
    let done = run(template, files);
    assert!(done.rendered.is_none(), "{template} rendered");
    let all: Vec<_> = done.d.iter().collect();
    assert_eq!(all.len(), 1, "{all:?}");
    let span = all[0].span.unwrap();
    let file = &done.sources.get(span.file).unwrap().name;
    format!(
        "{} {file}:{}:{}-{} {}",
        all[0].code, span.start.line, span.start.column, span.end.column, all[0].message
    )
}

/// Every scalar of the rendered YAML, with its file, line, column, and the source text under its span.
fn places(template: &str, files: &[(&str, &str)]) -> Vec<String> {
    let done = run(template, files);
    let mut d = done.d;
    let r = done.rendered.unwrap_or_else(|| panic!("{}", d.render(&done.sources)));
    let node = crate::yaml::parse(r.file, &r.text, &r.map, &done.sources, &mut d)
        .unwrap_or_else(|| panic!("{}\n{}", r.text, d.render(&done.sources)));
    let mut out = Vec::new();
    walk(&node, &done.sources, &mut out);
    out
}

fn walk(node: &Node, sources: &Sources, out: &mut Vec<String>) {
    match &node.value {
        Value::List(l) => l.iter().for_each(|n| walk(n, sources, out)),
        Value::Map(m) => {
            for (key, entry) in m {
                out.push(format!("{key} {}", shown(entry.key, sources)));
                walk(&entry.node, sources, out);
            }
        }
        _ => out.push(format!("{} {}", node.scalar_text().unwrap_or_default(), shown(node.span, sources))),
    }
}

fn shown(span: Span, sources: &Sources) -> String {
    let file = sources.get(span.file).unwrap();
    let line: Vec<char> = sources.line(span.file, span.start.line).unwrap_or("").chars().collect();
    let from = span.start.column as usize - 1;
    let to = if span.end.line == span.start.line { span.end.column as usize - 1 } else { line.len() };
    let under: String = line.iter().skip(from).take(to.saturating_sub(from)).collect();
    let name = file.name.trim_end_matches(".yaml");
    format!("{name}:{}:{} <{under}>", span.start.line, span.start.column)
}

#[test]
fn text_without_tags_maps_to_itself_after_dropped_comments() {
    assert_eq!(places("# {{ no }}\n\n  # x\na: b\n", &[]), ["a main:4:1 <a>", "b main:4:4 <b>"]);
    assert_eq!(text("\u{feff}# {{ undefined_thing }}\r\n\r\na: {{ n }}\r\nb: 1\r\n"), "a: 3\nb: 1");
}

/// Compares lines, so that a failure shows which.
fn same(got: &[String], wanted: &str) {
    assert_eq!(got.join("\n"), wanted.trim().lines().map(str::trim).collect::<Vec<_>>().join("\n"));
}

const MACROS: &str = "# macros\n\n{%- macro scale(field, by) -%}\n- type: MapToFields\n  config:\n    fields:\n      \
                      {{ field }}_x{{ by }}: {{ field }} * {{ by }}\n\n{%- endmacro -%}\n{% macro two() %}\n  - p\n\n  \
                      - q\n{% endmacro %}";

#[test]
fn places_on_a_line_with_tags() {
    same(
        &places("# c\nk: x{{ a }}y\nq: {{ n }} # c\nr: {w: '{{ a }}', v: {{ m.c }}, é: zz}\n", &[]),
        "k main:2:1 <k>
         xAy main:2:4 <x{{ a }}y>
         q main:3:1 <q>
         3 main:3:4 <{{ n }}>
         r main:4:1 <r>
         w main:4:5 <w>
         A main:4:8 <'{{ a }}'>
         v main:4:19 <v>
         1 main:4:22 <{{ m.c }}>
         é main:4:33 <é>
         zz main:4:36 <zz>",
    );
}

#[test]
fn places_in_loops_and_conditions() {
    let t = "{% set limit = 2 %}\ne:\n{% for i in range(limit) %}\n  - {i: {{ i }}, n: \"x-{{ '%02d' | format(i) }}\"}\n\
             {% endfor %}\n{% if limit > 1 %}\nz: last\n{% endif %}\n";
    same(
        &places(t, &[]),
        "e main:2:1 <e>
         i main:4:6 <i>
         0 main:4:9 <{{ i }}>
         n main:4:18 <n>
         x-00 main:4:21 <\"x-{{ '%02d' | format(i) }}\">
         i main:4:6 <i>
         1 main:4:9 <{{ i }}>
         n main:4:18 <n>
         x-01 main:4:21 <\"x-{{ '%02d' | format(i) }}\">
         z main:7:1 <z>
         last main:7:4 <last>",
    );
}

#[test]
fn places_in_imported_macros_with_indent() {
    let t = "{% import 'macros.yaml' as m %}\npipeline:\n  - type: Create\n  {{ m.scale('a', 7) | indent(2) }}\n  \
             - last: {{ a }}\n  - deep:\n{{ m.two() | indent(4, true) }}\n";
    same(
        &places(t, &[("macros.yaml", MACROS)]),
        "pipeline main:2:1 <pipeline>
         type main:3:5 <type>
         Create main:3:11 <Create>
         type macros:4:3 <type>
         MapToFields macros:4:9 <MapToFields>
         config macros:5:3 <config>
         fields macros:6:5 <fields>
         a_x7 macros:7:7 <{{ field }}_x{{ by }}>
         a * 7 macros:7:30 <{{ field }} * {{ by }}>
         last main:5:5 <last>
         A main:5:11 <{{ a }}>
         deep main:6:5 <deep>
         p macros:11:5 <p>
         q macros:13:5 <q>",
    );
}

#[test]
fn places_in_included_and_extended_templates() {
    same(
        &places(
            "list:\n{% include 'part.yaml' %}\nother: y\n",
            &[("part.yaml", "# part\n- one: 1\n  two: {{ a }}\n")],
        ),
        "list main:1:1 <list>
         one part:2:3 <one>
         1 part:2:8 <1>
         two part:3:3 <two>
         A part:3:8 <{{ a }}>
         other main:3:1 <other>
         y main:3:8 <y>",
    );
    same(
        &places(
            "{% extends 'base.yaml' %}\n{% block body %}mine: 2\n  more: 3{% endblock %}",
            &[("base.yaml", "# base\np:\n  {% block body %}x: 1{% endblock %}\n  tail: t\n")],
        ),
        "p base:2:1 <p>
         mine main:2:17 <mine>
         2 main:2:23 <2>
         more main:3:3 <more>
         3 main:3:9 <3>
         tail base:4:3 <tail>
         t base:4:9 <t>",
    );
}

#[test]
fn a_template_that_measures_its_text_still_has_lines() {
    same(
        &places("{% set q %}\na: 1{% endset %}{{ q }}\nlen: {{ q | length }}\n", &[]),
        "a main:2:17 <{{ q }}>
         1 main:2:17 <{{ q }}>
         len main:3:1 <len>
         5 main:3:6 <{{ q | length }}>",
    );
    // The marks themselves are in the text: lines are compared instead.
    same(
        &places("a: \u{F0000}\u{100000}x\nb: {{ n }}\nc: d\n", &[])[1..],
        "\u{F0000}\u{100000}x main:1:4 <\u{F0000}\u{100000}x>
         b main:1:1 <a: \u{F0000}\u{100000}x>
         3 main:1:1 <a: \u{F0000}\u{100000}x>
         c main:3:1 <c>
         d main:3:4 <d>",
    );
}

#[test]
fn places_beside_trimming_comments_and_raw_text() {
    same(
        &places(
            "a: 1\n  {#- c #}  \n\nb: {% raw %}'{{ x }}'{% endraw %}\nc: {{- ' ' }}{{ n }}\nd: {% if n -%}   e{% endif %}\n",
            &[],
        ),
        "a main:1:1 <a>
         1 main:1:4 <1>
         b main:4:1 <b>
         {{ x }} main:4:13 <'{{ x }}'>
         c main:5:1 <c>
         3 main:5:14 <{{ n }}>
         d main:6:1 <d>
         e main:6:18 <e>",
    );
    assert_eq!(text("x {%- if n %}\n y {%- endif -%}  \n\n z"), "x\n yz");
    assert_eq!(text("{% raw %}{{ not }} {% if %}{% endraw %}"), "{{ not }} {% if %}");
    assert_eq!(text("a{# {{ x }} #}b"), "ab");
}

#[test]
fn a_body_points_at_its_place() {
    let cx = TemplateCx { vars: serde_json::Map::new(), loader: &Files(&[]), now_micros: NOW };
    let (mut sources, mut d) = (Sources::default(), Diagnostics::default());
    let place = Span::at(sources.add("p.yaml", "body: |\n"), 1, 7, 1);
    let r = render_body("a: {{ 1 + 1 }}\n", place, &cx, &mut sources, &mut d).unwrap();
    assert_eq!((r.text.as_str(), r.map.span(Default::default(), Default::default())), ("a: 2", place));
    assert!(render_body("a: {{ zz }}\n", place, &cx, &mut sources, &mut d).is_none());
    assert_eq!(d.iter().map(|d| (d.code, d.span)).collect::<Vec<_>>(), [("jinja/undefined", Some(place))]);
}

/// Template and what Jinja 3.1 renders it to with the same variables.
const RENDERED: &[(&str, &str)] = &[
    (
        "{{ a }} {{ n + 1 }} {{ 7 // 2 }} {{ 7 / 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 'x' ~ n ~ true ~ none }} {{ [1,'a',none,true,1.5] }} {{ {'k': 'v'} }}",
        "A 4 3 3.5 -4 2 1024 x3TrueNone [1, 'a', None, True, 1.5] {'k': 'v'}",
    ),
    (
        "{{ '%02d' | format(3) }} {{ '%s-%s' % ('a', n) }} {{ '%05.2f' % 3.14159 }} {{ 'a' * 3 }} {{ [1] * 2 + [3] }} {{ (1,2) + (3,) }}",
        "03 a-3 03.14 aaa [1, 1, 3] (1, 2, 3)",
    ),
    (
        "{% for i in range(3) %}{{ loop.index }}:{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}",
        "1:0, 2:1, 3:2",
    ),
    (
        "{% for k, v in m.items() %}{{ k }}={{ v }};{% endfor %}{{ m.get('zz', 'd') }} {{ m | length }} {{ m.a.b }} {{ m['a']['b'] }}",
        "a={'b': 'v'};c=1;d 2 v v",
    ),
    (
        "{{ 'Hello'.upper() }} {{ 'a,b'.split(',') }} {{ ','.join(['x','y']) }} {{ 'abc'.startswith('a') }} {{ 'a-b'.replace('-', '_') }} {{ '{} {x}'.format(1, x=2) }} {{ '7'.zfill(3) }} {{ 'ab'.center(6) }}| {{ ['p', 'q'].index('q') }}",
        "HELLO ['a', 'b'] x,y True a_b 1 2 007   ab  | 1",
    ),
    (
        "{{ \"a\\n\\nb\\n\" | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(2, blank=true) }}|{{ 'a\nb' | indent(width='> ') }}",
        "a\n\n    b\n|  a\n  b|a\n  \n  b|a\n> b",
    ),
    (
        "{% set ns = namespace(x=0) %}{% for i in range(4) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
        "6",
    ),
    (
        "{% macro f(a, b=2) %}{{ a }}/{{ b }}{% endmacro %}{{ f(1) }} {{ f(1, b=3) }}{% macro g(x) %}[{{ caller() }}{{ x }}]{% endmacro %}{% call g(3) %}c{% endcall %}",
        "1/2 1/3[c3]",
    ),
    (
        "{{ n is number }} {{ n is divisibleby 2 }} {{ not n is even }} {{ zz is defined }} {{ zz | default('dd') }} {{ n if n > 2 else 0 }} {{ 1 < n <= 5 }}",
        "True False True False dd 3 True",
    ),
    (
        "{{ datetime.datetime(2024,1,2,3,4,5) }} {{ datetime.datetime(2024,1,2) - datetime.timedelta(days=1) }} {{ (datetime.date(2024,3,1) - datetime.timedelta(1)).isoformat() }} {{ datetime.timedelta(days=1, hours=2) }} {{ datetime.datetime(2024,3,1) - datetime.datetime(2024,2,1,12) }} {{ (datetime.datetime(2024,3,1) - datetime.datetime(2024,2,1,12)).days }}",
        "2024-01-02 03:04:05 2024-01-01 00:00:00 2024-02-29 1 day, 2:00:00 28 days, 12:00:00 28",
    ),
    (
        "{{ datetime.datetime.strptime('2024-05-06 07:08', '%Y-%m-%d %H:%M').strftime('%A %a %B %b %d/%m/%y %I:%M %p %j %U %W %w %f %% %G-W%V-%u') }} {{ datetime.datetime.fromisoformat('2024-05-06T07:08:09.123+02:00') }} {{ datetime.datetime(2024,1,2,tzinfo=datetime.timezone.utc).isoformat() }} {{ datetime.datetime(2024,1,2,tzinfo=datetime.timezone.utc).timestamp() }}",
        "Monday Mon May May 06/05/24 07:08 AM 127 18 19 1 000000 % 2024-W19-1 2024-05-06 07:08:09.123000+02:00 2024-01-02T00:00:00+00:00 1704153600.0",
    ),
    (
        "{{ datetime.datetime(2024,1,1) < datetime.datetime(2024,1,2) }} {{ datetime.timedelta(hours=1) * 3 }} {{ datetime.timedelta(hours=1).total_seconds() }} {{ -1 + n }} {{ n - -1 }} {{ (n - 1) * 2 - 3 }} {{ 2 - 1 - 1 }} {{ 2 ~ 3 ~ 4 }} {{ n|string ~ 'x' }} {{ m.a.b + 'x' | upper }}",
        "True 3:00:00 3600.0 2 4 1 0 234 3x vX",
    ),
    (
        "{{ -n }} {{ -n + 1 }} {{ [-n, n-1, n -1] }} {{ {'a': -1, 'b': 2-1} }} {{ range(n-1)|list }} {{ 'abc'[1:] }} {{ 'abc'[-1] }} {{ [1,2,3][n-3:] }}",
        "-3 -2 [-3, 2, 2] {'a': -1, 'b': 1} [0, 1] bc c [1, 2, 3]",
    ),
    ("  {%- if n - 1 -%}  yes  {%- endif %}  \n{#- c -#}  x", "yesx"),
    ("{% raw %}{{ not }} {% if %}{% endraw %}", "{{ not }} {% if %}"),
    (
        "{{ [3,1,2] | sort | join('-') }} {{ [1,2,3] | sum }} {{ ['a','b'] | map('upper') | join(' ') }} {{ [{'x':1},{'x':2}] | map(attribute='x') | list }} {{ 'a b' | title }} {{ 3.7 | int }} {{ '3' | int + 1 }} {{ 3.14159 | round(2) }} {{ [1,2,2] | unique | list }} {{ 'x' | tojson }} {{ {'a': [1, none]} | tojson }}",
        "1-2-3 6 A B [1, 2] A B 3 4 3.14 [1, 2] \"x\" {\"a\": [1, null]}",
    ),
    (
        "{% set x %}a{{ n }}b{% endset %}[{{ x }}]{% filter upper %}abc{{ x }}{% endfilter %}{% with q = 3 %}{{ q * 2 }}{% endwith %}",
        "[a3b]ABCA3B6",
    ),
    (
        "{{ 'yes' if a else 'no' }}{{ 1.0 }} {{ 1e3 }} {{ 10 ** 20 }} {{ true and 3 }} {{ '' or 'z' }} {{ 5 in [1,5] }} {{ 'a' not in 'abc' }} {{ 3 * 'ab' }} {{ 1 / 3 }} {{ 1e16 }} {{ 1e-7 }} {{ 123456789.123 }}",
        "yes1.0 1000.0 100000000000000000000 3 z True False ababab 0.3333333333333333 1e+16 1e-07 123456789.123",
    ),
    (
        "{{ 'a' 'b' ~ 'c' }} {{ n ** 2 + 1 }} {{ 7 % 4 + 1 }} {{ n == 3 and n - 3 == 0 }} {{ (n, 1) }} {{ 'tuple %s %s' % (1, 2) }} {{ '%s' % n }} {{ '%(a)s' % {'a': 1} }} {{ '%5s|%-5s|' % ('a','b') }} {{ 'a%%' % () }}",
        "abc 10 4 True (3, 1) tuple 1 2 3 1     a|b    | a%",
    ),
    (
        "{{ m | dictsort }} {{ m.keys() | list }} {{ m | items | list }} {{ 'abc' | first }} {{ [1,2,3,4] | batch(2) | list }} {{ 'x' | center(5) }}| {{ 'foo bar' | truncate(5) }} {{ 'a b c' | wordcount }} {{ 'abc' | reverse }} {{ [1,2] | last }} {{ '<p>' | e }}",
        "[('a', {'b': 'v'}), ('c', 1)] ['a', 'c'] [('a', {'b': 'v'}), ('c', 1)] a [[1, 2], [3, 4]]   x  | foo bar 3 cba 2 &lt;p&gt;",
    ),
    ("line1\n{% if true %}\nline2\n{% endif %}\nline3\n", "line1\n\nline2\n\nline3"),
    ("{{ a }}{{- ' b' -}}   {{ n }}", "A b3"),
    (
        "{% for x in [1,2,3] if x != 2 %}{{ x }}{% else %}none{% endfor %}{% for x in [] %}{% else %}none{% endfor %}",
        "13none",
    ),
    (
        "{{ 'a\tb' }} {{ \"q\\\"q\" }} {{ m.a['b'].upper() }} {{ [[1,2],[3]] | map('first') | list }} {{ cycler('a','b').next() }} {{ dict(a=1) }} {{ l[0] }} {{ l.1 }}",
        "a\tb q\"q V [1, 3] a {'a': 1} 5 6",
    ),
];

#[test]
fn renders_as_jinja_does() {
    for (template, wanted) in RENDERED {
        assert_eq!(text(template), *wanted, "{template}");
    }
}

#[test]
fn the_present_time_is_the_given_one() {
    assert_eq!(
        text(
            "{{ datetime.datetime.now() }}|{{ datetime.datetime.now(datetime.timezone.utc).isoformat() }}|{{ datetime.date.today() }}|\
              {{ (datetime.datetime.utcnow() - datetime.timedelta(days=1)).strftime('%Y-%m-%d') }}|{{ datetime.datetime.today().timestamp() | int }}"
        ),
        "2023-11-14 22:13:20|2023-11-14T22:13:20+00:00|2023-11-14|2023-11-13|1700000000"
    );
}

#[test]
fn errors_name_the_place() {
    let files: &[(&str, &str)] = &[
        ("bad.yaml", "# comment\n\na: 1\nb: {{ oops }}\n"),
        ("macros.yaml", "{% macro f(x) %}\n\n  {{ x }} {{ oops }}{% endmacro %}"),
        ("syntax.yaml", "# c\n{% if %}"),
    ];
    for (template, wanted) in [
        (
            "# c\nx: {{ unknwn }}",
            "jinja/undefined main.yaml:2:7-13 the template variable `unknwn` has no value",
        ),
        ("é: {{ n + nope }}", "jinja/undefined main.yaml:1:11-15 the template variable `nope` has no value"),
        ("{{ nope | upper }}", "jinja/undefined main.yaml:1:4-8 the template variable `nope` has no value"),
        ("{{ nope() }}", "jinja/undefined main.yaml:1:4-10 the template variable `nope` has no value"),
        ("{{ m.nope }}", "jinja/undefined main.yaml:1:4-10 `m.nope` has no value"),
        ("{{ m['x'] }}", "jinja/undefined main.yaml:1:4-5 `m['x']` has no value"),
        ("{% if zz %}{% endif %}", "jinja/undefined main.yaml:1:7-9 the template variable `zz` has no value"),
        (
            "{{ a | nope }}",
            "jinja/error main.yaml:1:8-12 the template uses something unknown: filter nope is unknown",
        ),
        (
            "{% include 'bad.yaml' %}",
            "jinja/undefined bad.yaml:4:7-11 the template variable `oops` has no value",
        ),
        (
            "{% import 'macros.yaml' as q %}\n{{ q.f(1) }}",
            "jinja/undefined macros.yaml:3:14-18 the template variable `oops` has no value",
        ),
        (
            "\n{% include 'nope.yaml' %}",
            "jinja/missing-template main.yaml:2:4-23 the template `nope.yaml` cannot be read",
        ),
        (
            "{% extends 'no/base' %}",
            "jinja/missing-template main.yaml:1:4-21 the template `no/base` cannot be read",
        ),
        ("a: {{ 1 // 0 }}", "jinja/error main.yaml:1:7-13 the template cannot be rendered: division by zero"),
        (
            "{{ n + 'x' }}",
            "jinja/error main.yaml:1:4-11 the template cannot be rendered: `+` does not work between number and string",
        ),
    ] {
        assert_eq!(error(template, files), wanted, "{template}");
    }
    for template in
        ["{% if n %}", "{{ a b }}", "{{ 'abc }}", "{% for %}", "{{ ", "{# ", "{% raw %}", "{% nope %}"]
    {
        assert!(error(template, files).starts_with("jinja/syntax main.yaml:1:"), "{template}");
    }
    assert!(error("{% include 'syntax.yaml' %}", files).starts_with("jinja/syntax syntax.yaml:2:"));
    assert_eq!(text("{% include 'nope.yaml' ignore missing %}ok"), "ok");
    assert_eq!(run("{% include ['x', 'bad2'] %}", &[("bad2", "B")]).rendered.unwrap().text, "B");
}

#[test]
fn an_unknown_variable_gets_the_nearest_name() {
    let done = run("{% set limit = 1 %}{{ limt }}", &[]);
    let d = done.d.iter().next().unwrap();
    assert!(d.help[0].contains("did you mean `limit`?"), "{d:?}");
    assert_eq!(d.label, "known variables: IN, a, datetime, l, limit, m, n");
}

#[test]
fn hostile_templates_end_in_bounds() {
    let ones = "x".repeat(5000);
    let files: &[(&str, &str)] =
        &[("self", "{% include 'self' %}"), ("a", "{% include 'b' %}"), ("b", "{% include 'a' %}")];
    let captured = format!("{{% set s %}}{{% for i in range(100000) %}}{ones}{{% endfor %}}{{% endset %}}");
    for template in [
        "{% include 'self' %}",
        "{% include 'a' %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x' * 1000000000 }}",
        "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{{ [['x' * 1000000] * 1000] * 1000 }}",
        "{{ (['x' * 1000000] * 1000) | join }}",
        "{{ ('a' * 1000000) | replace('a', 'b' * 1000000) }}",
        "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
        "{{ 'b'.join(['x' * 10000000] * 100) }}",
        &captured,
    ] {
        assert!(
            error(template, files).starts_with("jinja/limit "),
            "{}",
            template.get(..60).unwrap_or(template)
        );
    }
    for template in [
        "{{ 'a' | indent(10000000000000000000) }}",
        "{{ '%10000000000d' | format(1) }}",
        "{{ '{:>99999999999999999999}'.format(1) }}",
        "{{ '%*d' % (999999999, 1) }}",
        "{{ 'x'.ljust(99999999999) }}",
        "{{ [1] | batch(99999999999, 0) | list }}",
        "{{ {} | tojson(indent=99999999999) }}",
        "{{ range(10000000) | list }}",
    ] {
        error(template, files);
    }
}

#[test]
fn nothing_of_the_host_can_be_reached() {
    for template in [
        "{{ ''.__class__.__mro__ }}",
        "{{ m.__class__ }}",
        "{{ m['__class__'] }}",
        "{{ a.__init__.__globals__ }}",
        "{{ self.__dict__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ datetime.sys }}",
        "{{ datetime.datetime.__subclasses__() }}",
        "{{ __ops.__globals__ }}",
    ] {
        error(template, &[]);
    }
    assert_eq!(text("{{ 'x' | attr('__class__') is defined }}"), "False");
}

#[test]
fn a_long_line_with_many_tags_is_quick_to_place() {
    let t = format!("a: [{}]\n", vec!["{{ n }}, é"; 50_000].join(", "));
    let done = run(&t, &[]);
    let r = done.rendered.unwrap();
    let mut d = Diagnostics::default();
    let node = crate::yaml::parse(r.file, &r.text, &r.map, &done.sources, &mut d).unwrap();
    let items = node.get("a").unwrap().as_list().unwrap();
    assert_eq!(items.len(), 100_000);
    assert_eq!(items[99_999].span, Span::at(r.file, 1, 5 + 49_999 * 12 + 9, 1));
}

#[test]
fn long_templates_keep_their_places() {
    // The engine counts lines in 16 bits.
    let mut t: String = (0..70_000).map(|i| format!("k{i}: 1\n")).collect();
    t.push_str("z: {{ n }}\ny: {{ nope }}\n");
    assert!(error(&t, &[]).starts_with("jinja/undefined main.yaml:70002:7-11 "));
    let done = run(&t.replace("nope", "n"), &[]);
    let r = done.rendered.unwrap();
    let mut d = Diagnostics::default();
    let node = crate::yaml::parse(r.file, &r.text, &r.map, &done.sources, &mut d).unwrap();
    assert_eq!(node.get("z").unwrap().span, Span::at(r.file, 70_001, 4, 7));
    assert_eq!(node.get("y").unwrap().span, Span::at(r.file, 70_002, 4, 7));
}

proptest! {
    #[test]
    fn any_text_renders_or_says_why(t in r"([ -~\n]|\{\{|\}\}|\{%|%\}|\{#|#\}|-|~|\+|'|é|for |if |endif|set x|in|\u{F0000}|\u{100000}){0,60}") {
        let done = run(&t, &[]);
        prop_assert!(done.rendered.is_some() || done.d.has_errors());
        if let Some(r) = done.rendered {
            let mut d = done.d;
            crate::yaml::parse(r.file, &r.text, &r.map, &done.sources, &mut d);
            d.render(&done.sources);
        }
    }

    #[test]
    fn arithmetic_means_the_same_rewritten(e in "[1-9]( (\\+|-|\\*|//|%) -?[1-9]){1,6}") {
        // Left to right within a rank, products before sums.
        prop_assert_eq!(text(&format!("{{{{ {e} }}}}")), reference(&e).to_string());
    }
}

/// A plain evaluator of `a op b op c` with Python's floor division.
fn reference(e: &str) -> i64 {
    let words: Vec<&str> = e.split(' ').collect();
    let number = |w: &str| w.parse::<i64>().unwrap();
    let (mut sum, mut sign, mut product) = (0, 1, number(words[0]));
    for pair in words[1..].chunks(2) {
        let y = number(pair[1]);
        let floor = |x: i64| x.div_euclid(y) - i64::from(y < 0 && x.rem_euclid(y) != 0);
        match pair[0] {
            "*" => product *= y,
            "//" => product = floor(product),
            "%" => product -= floor(product) * y,
            op => {
                sum += sign * product;
                sign = if op == "+" { 1 } else { -1 };
                product = y;
            }
        }
    }
    sum + sign * product
}
