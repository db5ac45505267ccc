//! Format specifications, and `str.format`.

use num_bigint::{BigInt, Sign};

use super::strftime::strftime;
use crate::interp::{Args, Machine, get_item};
use crate::value::{
    Dict, Key, Raise, Res, Value, ascii, float_digits, float_fixed, float_repr, raise, repr, text, to_big,
    value_error,
};

/// `[[fill]align][sign][#][0][width][grouping][.precision][type]`.
#[derive(Clone, Default)]
pub(super) struct Spec {
    fill: Option<char>,
    align: Option<char>,
    pub(super) sign: Option<char>,
    pub(super) no_negative_zero: bool,
    pub(super) alternate: bool,
    /// An alignment and a zero before the width, or two zeros: decimals refuse what floats take.
    pub(super) aligned_twice: bool,
    width: usize,
    pub(super) grouping: Option<char>,
    pub(super) precision: Option<usize>,
    pub(super) kind: Option<char>,
}

/// More digits or columns than this are refused.
const SIZE_MAX: usize = 1 << 20;

fn parse(spec: &str, type_name: &str) -> Res<Spec> {
    let chars: Vec<char> = spec.chars().collect();
    let at = |i: usize| chars.get(i).copied();
    let is_align = |c: Option<char>| matches!(c, Some('<' | '>' | '=' | '^'));
    let mut out = Spec::default();
    let mut i = 0;
    if is_align(at(1)) {
        (out.fill, out.align, i) = (at(0), at(1), 2);
    } else if is_align(at(0)) {
        (out.align, i) = (at(0), 1);
    }
    if matches!(at(i), Some('+' | '-' | ' ')) {
        (out.sign, i) = (at(i), i + 1);
    }
    if at(i) == Some('z') {
        (out.no_negative_zero, i) = (true, i + 1);
    }
    if at(i) == Some('#') {
        (out.alternate, i) = (true, i + 1);
    }
    out.aligned_twice = out.align.is_some() && at(i) == Some('0');
    if at(i) == Some('0') && out.fill.is_none() {
        out.fill = Some('0');
        out.align = out.align.or(Some('='));
        i += 1;
        out.aligned_twice |= at(i) == Some('0');
    }
    let number = |i: &mut usize| -> Res<Option<usize>> {
        let start = *i;
        while at(*i).is_some_and(|c| c.is_ascii_digit()) {
            *i += 1;
        }
        let digits: String = chars.get(start..*i).unwrap_or(&[]).iter().collect();
        if digits.is_empty() {
            return Ok(None);
        }
        match digits.parse::<usize>().ok().filter(|n| *n <= SIZE_MAX) {
            Some(n) => Ok(Some(n)),
            None => Err(value_error("Too many decimal digits in format string")),
        }
    };
    out.width = number(&mut i)?.unwrap_or(0);
    if matches!(at(i), Some(',' | '_')) {
        (out.grouping, i) = (at(i), i + 1);
    }
    if at(i) == Some('.') {
        i += 1;
        out.precision = number(&mut i)?;
        if out.precision.is_none() {
            return Err(value_error("Format specifier missing precision"));
        }
    }
    out.kind = at(i);
    if at(i).is_some() && i + 1 < chars.len() {
        return Err(value_error(format!(
            "Invalid format specifier '{spec}' for object of type '{type_name}'"
        )));
    }
    Ok(out)
}

/// `format(value, spec)`.
pub(crate) fn format_value(machine: &mut Machine<'_>, value: &Value, spec: &str) -> Res<String> {
    if spec.is_empty() {
        return text(value);
    }
    let type_name = value.type_name();
    let out = match value {
        Value::Date(_) | Value::DateTime(_) | Value::Time(_) => return strftime(value, spec),
        Value::Str(s) => format_str(s, &parse(spec, type_name)?)?,
        Value::Float(f) => format_float(*f, &parse(spec, type_name)?, "float")?,
        Value::Decimal(d) => {
            let spec = parse(spec, type_name).map_err(|_| value_error("invalid format string"))?;
            super::decimal::format(d, &spec)?
        }
        Value::Int(_) | Value::Big(_) | Value::Bool(_) => {
            format_int(&to_big(value).unwrap_or_default(), &parse(spec, type_name)?, type_name)?
        }
        _ => {
            let kind = type_name.strip_prefix("datetime.").unwrap_or(type_name);
            let message = format!("unsupported format string passed to {kind}.__format__");
            return raise("TypeError", message);
        }
    };
    machine.charge(out.len())?;
    Ok(out)
}

fn unknown_code(kind: char, type_name: &str) -> Raise {
    value_error(format!("Unknown format code '{kind}' for object of type '{type_name}'"))
}

fn format_str(s: &str, spec: &Spec) -> Res<String> {
    match spec.kind {
        None | Some('s') => {}
        Some(kind) => return Err(unknown_code(kind, "str")),
    }
    if spec.sign.is_some() {
        return Err(value_error("Sign not allowed in string format specifier"));
    }
    if let Some(grouping) = spec.grouping {
        return Err(value_error(format!("Cannot specify '{grouping}' with 's'.")));
    }
    if spec.align == Some('=') && spec.fill != Some('0') {
        return Err(value_error("'=' alignment not allowed in string format specifier"));
    }
    let cut: String = match spec.precision {
        Some(n) => s.chars().take(n).collect(),
        None => s.to_owned(),
    };
    let align = spec.align.filter(|a| *a != '=').unwrap_or('<');
    Ok(pad(&cut, spec, align))
}

fn pad(body: &str, spec: &Spec, align: char) -> String {
    let missing = spec.width.saturating_sub(body.chars().count());
    let fill = spec.fill.unwrap_or(' ');
    let run = |n: usize| std::iter::repeat_n(fill, n).collect::<String>();
    match align {
        '<' => format!("{body}{}", run(missing)),
        '^' => format!("{}{body}{}", run(missing / 2), run(missing - missing / 2)),
        _ => format!("{}{body}", run(missing)),
    }
}

/// Sign, prefix and digits put together: grouped, then padded.
pub(super) fn pad_number(
    negative: bool,
    prefix: &str,
    whole: &str,
    rest: &str,
    spec: &Spec,
    group: usize,
) -> String {
    let sign = match (negative, spec.sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    };
    let head = format!("{sign}{prefix}");
    let align = spec.align.unwrap_or('>');
    let mut whole = whole.to_owned();
    if let Some(comma) = spec.grouping {
        // Padding zeros are grouped too.
        let room = spec.width.saturating_sub(head.len() + rest.chars().count());
        if align == '=' && spec.fill == Some('0') {
            // The fewest digits that fill the width together with their commas.
            let mut digits = room - room / (group + 1);
            while digits + digits.saturating_sub(1) / group < room {
                digits += 1;
            }
            whole = format!("{}{whole}", "0".repeat(digits.saturating_sub(whole.len())));
        }
        whole = grouped(&whole, comma, group);
    }
    let body = format!("{whole}{rest}");
    if align == '=' {
        let missing = spec.width.saturating_sub(head.chars().count() + body.chars().count());
        let fill = spec.fill.unwrap_or(' ');
        return format!("{head}{}{body}", std::iter::repeat_n(fill, missing).collect::<String>());
    }
    pad(&format!("{head}{body}"), spec, align)
}

fn grouped(digits: &str, comma: char, group: usize) -> String {
    let count = digits.chars().count();
    let mut out = String::with_capacity(count * 4 / 3 + 1);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (count - i).is_multiple_of(group) {
            out.push(comma);
        }
        out.push(c);
    }
    out
}

fn format_int(value: &BigInt, spec: &Spec, type_name: &str) -> Res<String> {
    let kind = spec.kind.unwrap_or('d');
    if matches!(kind, 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') {
        let float = num_traits::ToPrimitive::to_f64(value).unwrap_or(f64::INFINITY);
        if float.is_infinite() {
            return raise("OverflowError", "int too large to convert to float");
        }
        return format_float(float, spec, type_name);
    }
    if spec.precision.is_some() {
        return Err(value_error("Precision not allowed in integer format specifier"));
    }
    let (radix, prefix) = match kind {
        'd' | 'n' => (10, ""),
        'b' => (2, "0b"),
        'o' => (8, "0o"),
        'x' => (16, "0x"),
        'X' => (16, "0X"),
        'c' => {
            let code = u32::try_from(value).ok().and_then(char::from_u32);
            let c = code.ok_or_else(|| Raise::new("OverflowError", "%c arg not in range(0x110000)"))?;
            return Ok(pad(&c.to_string(), spec, spec.align.unwrap_or('<')));
        }
        other => return Err(unknown_code(other, type_name)),
    };
    if radix != 10 && spec.grouping == Some(',') {
        return Err(value_error(format!("Cannot specify ',' with '{kind}'.")));
    }
    if value.bits() > 14_300 && radix == 10 {
        return Err(value_error("Exceeds the limit (4300 digits) for integer string conversion"));
    }
    let mut digits = value.magnitude().to_str_radix(radix);
    if kind == 'X' {
        digits.make_ascii_uppercase();
    }
    let prefix = if spec.alternate { prefix } else { "" };
    let group = if radix == 10 { 3 } else { 4 };
    Ok(pad_number(value.sign() == Sign::Minus, prefix, &digits, "", spec, group))
}

fn format_float(x: f64, spec: &Spec, type_name: &str) -> Res<String> {
    let kind = spec.kind;
    let mut body = match kind {
        None if spec.precision.is_none() => float_repr(x.abs()),
        None => general(x, spec.precision.unwrap_or(6).max(1), spec.alternate, true),
        Some('n') => general(x, spec.precision.unwrap_or(6).max(1), spec.alternate, false),
        Some(kind) => float_body(x, kind, spec.precision, spec.alternate)
            .ok_or_else(|| unknown_code(kind, type_name))?,
    };
    if !x.is_finite() {
        body = if x.is_nan() { "nan".to_owned() } else { "inf".to_owned() };
        if kind.is_some_and(|k| k.is_ascii_uppercase()) {
            body.make_ascii_uppercase();
        }
        if kind == Some('%') {
            body.push('%');
        }
    }
    let digits = body.find(|c: char| !c.is_ascii_digit()).unwrap_or(body.len());
    let (whole, rest) = body.split_at(digits);
    let zero = body.chars().all(|c| !c.is_ascii_digit() || c == '0');
    let negative = x.is_sign_negative() && !x.is_nan() && !(spec.no_negative_zero && zero);
    if whole.is_empty() {
        return Ok(pad_number(negative, "", "", rest, &Spec { grouping: None, ..spec.clone() }, 3));
    }
    Ok(pad_number(negative, "", whole, rest, spec, 3))
}

/// The digits of `|x|` in one of the float formats, without a sign.
pub(super) fn float_body(x: f64, kind: char, precision: Option<usize>, alternate: bool) -> Option<String> {
    let p = precision.unwrap_or(6);
    let dot = |s: String| if alternate && !s.contains('.') { format!("{s}.") } else { s };
    Some(match kind {
        'f' | 'F' => dot(float_fixed(x, p)),
        '%' => format!("{}%", dot(float_fixed(x * 100.0, p))),
        'e' | 'E' => {
            let (digits, exponent) = float_digits(x, p + 1);
            let out = exponential(&digits, exponent, alternate);
            if kind == 'E' { out.to_uppercase() } else { out }
        }
        'g' => general(x, p.max(1), alternate, false),
        'G' => general(x, p.max(1), alternate, false).to_uppercase(),
        _ => return None,
    })
}

fn exponential(digits: &str, exponent: i32, alternate: bool) -> String {
    let (first, rest) = digits.split_at(1.min(digits.len()));
    let dot = if rest.is_empty() && !alternate { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{first}{dot}{rest}e{sign}{:02}", exponent.abs())
}

/// Format `g` with `p` significant digits; `plain` is the form without a type, which keeps one decimal.
fn general(x: f64, p: usize, alternate: bool, plain: bool) -> String {
    if !x.is_finite() {
        return String::new();
    }
    let (mut digits, exponent) = float_digits(x, p);
    let width = i32::try_from(p).unwrap_or(i32::MAX);
    if !alternate {
        digits = digits.trim_end_matches('0').to_owned();
        if digits.is_empty() {
            digits.push('0');
        }
    }
    if exponent < -4 || exponent >= width - i32::from(plain) {
        return exponential(&digits, exponent, alternate);
    }
    let count = usize::try_from(exponent + 1).unwrap_or(0);
    if exponent < 0 {
        let zeros = "0".repeat(usize::try_from(-exponent - 1).unwrap_or(0));
        return format!("0.{zeros}{digits}");
    }
    while digits.len() < count {
        digits.push('0');
    }
    let (whole, rest) = digits.split_at(count);
    match (rest.is_empty(), plain, alternate) {
        (true, true, _) => format!("{whole}.0"),
        (true, false, true) => format!("{whole}."),
        (true, false, false) => whole.to_owned(),
        _ => format!("{whole}.{rest}"),
    }
}

/// `template.format(args)`.
pub(super) fn str_format(machine: &mut Machine<'_>, template: &str, args: Args) -> Res<Value> {
    let keywords: Dict = args.keywords.into_iter().map(|(k, v)| (Key::str(&k), v)).collect();
    let fields = Fields { positional: args.positional, keywords: Value::dict(keywords) };
    let mut automatic = Some(0);
    let out = fill(machine, template, &fields, &mut automatic, 0)?;
    machine.text(out)
}

/// `template.format_map(mapping)`.
pub(super) fn str_format_map(machine: &mut Machine<'_>, template: &str, mapping: &Value) -> Res<Value> {
    let fields = Fields { positional: Vec::new(), keywords: mapping.clone() };
    let mut automatic = Some(0);
    let out = fill(machine, template, &fields, &mut automatic, 0)?;
    machine.text(out)
}

struct Fields {
    positional: Vec<Value>,
    keywords: Value,
}

/// `automatic`: the next number for `{}`; `None` once numbers were given by hand.
fn fill(
    machine: &mut Machine<'_>,
    template: &str,
    fields: &Fields,
    automatic: &mut Option<usize>,
    depth: usize,
) -> Res<String> {
    if depth > 1 {
        return Err(value_error("Max string recursion exceeded"));
    }
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(rest.get(..at).unwrap_or(""));
        let brace = rest.get(at..=at).unwrap_or("");
        let after = rest.get(at + 1..).unwrap_or("");
        if let Some(next) = after.strip_prefix(brace) {
            out.push_str(brace);
            rest = next;
            continue;
        }
        if brace == "}" {
            return Err(value_error("Single '}' encountered in format string"));
        }
        let end = closing(after)?;
        let field = after.get(..end).unwrap_or("");
        let piece = one_field(machine, field, fields, automatic, depth)?;
        machine.charge(piece.len())?;
        out.push_str(&piece);
        rest = after.get(end + 1..).unwrap_or("");
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the `}` of a field is, past fields inside its specification.
fn closing(text: &str) -> Res<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return Ok(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    Err(value_error(if text.is_empty() {
        "Single '{' encountered in format string"
    } else {
        "expected '}' before end of string"
    }))
}

fn one_field(
    machine: &mut Machine<'_>,
    field: &str,
    fields: &Fields,
    automatic: &mut Option<usize>,
    depth: usize,
) -> Res<String> {
    let (name, spec) = match field.find([':', '[']) {
        Some(at) if field.get(at..).is_some_and(|t| t.starts_with('[')) => {
            let close = field.find(']').unwrap_or(at);
            match field.get(close..).and_then(|t| t.find(':')) {
                Some(colon) => {
                    (field.get(..close + colon).unwrap_or(""), field.get(close + colon + 1..).unwrap_or(""))
                }
                None => (field, ""),
            }
        }
        Some(at) => (field.get(..at).unwrap_or(""), field.get(at + 1..).unwrap_or("")),
        None => (field, ""),
    };
    let (name, conversion) = match name.rsplit_once('!') {
        Some((name, conversion)) => (name, Some(conversion)),
        None => (name, None),
    };
    let value = lookup(name, fields, automatic)?;
    let value = match conversion {
        None => value,
        Some("r") => Value::str(repr(&value)?),
        Some("s") => Value::str(text(&value)?),
        Some("a") => Value::str(ascii(&value)?),
        Some(other) => return Err(value_error(format!("Unknown conversion specifier '{other}'"))),
    };
    let spec =
        if spec.contains('{') { fill(machine, spec, fields, automatic, depth + 1)? } else { spec.to_owned() };
    format_value(machine, &value, &spec)
}

fn lookup(name: &str, fields: &Fields, automatic: &mut Option<usize>) -> Res<Value> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut path) = name.split_at(end);
    let position = |i: usize| {
        fields.positional.get(i).cloned().ok_or_else(|| {
            Raise::new("IndexError", format!("Replacement index {i} out of range for positional args tuple"))
        })
    };
    let mut value = if first.is_empty() {
        let Some(next) = automatic else {
            return Err(value_error(
                "cannot switch from manual field specification to automatic field numbering",
            ));
        };
        *next += 1;
        position(*next - 1)?
    } else if let Ok(i) = first.parse::<usize>() {
        if automatic.is_some_and(|n| n > 0) {
            return Err(value_error(
                "cannot switch from automatic field numbering to manual field specification",
            ));
        }
        *automatic = None;
        position(i)?
    } else {
        get_item(&fields.keywords, &Value::str(first))?
    };
    while !path.is_empty() {
        if let Some(rest) = path.strip_prefix('.') {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (attribute, next) = rest.split_at(end);
            value = super::attribute(&value, attribute)?;
            path = next;
        } else {
            let inside = path.strip_prefix('[').unwrap_or(path);
            let Some((key, next)) = inside.split_once(']') else {
                return Err(value_error("Missing ']' in format string"));
            };
            let index = key.parse::<i64>().map_or_else(|_| Value::str(key), Value::Int);
            value = get_item(&value, &index)?;
            path = next;
        }
    }
    Ok(value)
}

/// Number formatting for `%`-templates, which share the rules but spell them differently.
pub(super) fn number_spec(flags: &str, width: usize, precision: Option<usize>, kind: char) -> Spec {
    let left = flags.contains('-');
    let zero = flags.contains('0') && !left;
    let sign = if flags.contains('+') { Some('+') } else { flags.contains(' ').then_some(' ') };
    Spec {
        fill: zero.then_some('0'),
        align: Some(if left {
            '<'
        } else if zero {
            '='
        } else {
            '>'
        }),
        sign,
        alternate: flags.contains('#'),
        width: width.min(SIZE_MAX),
        precision: precision.map(|p| p.min(SIZE_MAX)),
        kind: Some(kind),
        ..Spec::default()
    }
}

pub(super) fn apply_float(x: f64, spec: &Spec) -> Res<String> {
    format_float(x, spec, "float")
}

/// An integer, with a least number of digits where a precision is given.
pub(super) fn apply_int(value: &BigInt, spec: &Spec) -> Res<String> {
    let radix = match spec.kind {
        Some('x' | 'X') => 16,
        Some('o') => 8,
        _ => 10,
    };
    if value.bits() > 14_300 && radix == 10 {
        return Err(value_error("Exceeds the limit (4300 digits) for integer string conversion"));
    }
    let mut digits = value.magnitude().to_str_radix(radix);
    if spec.kind == Some('X') {
        digits.make_ascii_uppercase();
    }
    if let Some(least) = spec.precision {
        digits = format!("{}{digits}", "0".repeat(least.saturating_sub(digits.len())));
    }
    let prefix = match (spec.alternate, spec.kind) {
        (true, Some('x')) => "0x",
        (true, Some('X')) => "0X",
        (true, Some('o')) => "0o",
        _ => "",
    };
    Ok(pad_number(value.sign() == Sign::Minus, prefix, &digits, "", spec, 3))
}

pub(super) fn apply_text(s: &str, spec: &Spec) -> String {
    let cut: String = match spec.precision {
        Some(n) => s.chars().take(n).collect(),
        None => s.to_owned(),
    };
    let align = if spec.align == Some('<') { '<' } else { '>' };
    pad(&cut, &Spec { fill: None, ..spec.clone() }, align)
}
