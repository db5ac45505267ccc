//! What binding a reader or writer of files checks, whatever the format.

use super::compression::Compression;
use super::read::{Files, OnBad, RECORD_BYTES_MAX, error_schema};
use super::{path, write};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use purlin_api::transform::Probe;
use purlin_api::{
    BindCx, Error, ErrorKind, FileInfo, InputShape, Output, OutputRole, Result, Shape, WindowFn, Windowing,
};
use purlin_spec::config::{FromNode, Kind, Spanned, wrong_kind};
use purlin_spec::types::ErrorHandling;
use purlin_spec::{Diagnostic, Diagnostics, Node, Span};
use std::sync::Arc;

/// Longest record that may be allowed, in bytes: columns of text hold 2 GiB at most.
const LINE_BYTES_LIMIT: i64 = 1 << 30;
/// Sizes of a file's beginning that are looked at, one after the other, until they show enough rows.
const HEAD_BYTES: [usize; 3] = [1 << 20, 8 << 20, 64 << 20];

/// A JSON schema in a config.
#[derive(Clone, Debug)]
pub struct JsonSchema(pub Node);

impl FromNode for JsonSchema {
    fn kind() -> Kind {
        Kind::JsonSchema
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        if node.as_map().is_none() {
            wrong_kind(node, "a JSON schema (a mapping)", d);
            return None;
        }
        Some(JsonSchema(node.clone()))
    }
}

/// The pattern of a reader that takes it under two names. Diagnoses none, and both.
#[cfg(any(feature = "parquet", feature = "avro"))]
pub(crate) fn pattern<'a>(
    cx: &mut BindCx<'_>,
    path: Option<&'a Spanned<String>>,
    file_pattern: Option<&'a Spanned<String>>,
) -> Option<&'a Spanned<String>> {
    match (path, file_pattern) {
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => {
            let what = "a reader of files needs the field `path`";
            let problem = Diagnostic::error("config/missing-field", cx.span, what);
            cx.diagnostics.push(problem.help("add `path:` to its `config`"));
            None
        }
        (Some(_), Some(second)) => {
            let what = "`path` and `file_pattern` are the same: give one of them";
            cx.diagnostics.push(Diagnostic::error("config/both-given", second.span, what));
            None
        }
    }
}

/// Finds the files of a reader. Diagnoses a pattern without files, folders, missing rights, compressions
/// that cannot be read.
pub(crate) fn files(cx: &mut BindCx<'_>, pattern: &Spanned<String>) -> Option<Files> {
    let found = match cx.probe.glob(&pattern.value) {
        Ok(found) => found,
        Err(e) => return refuse(cx, "file/cannot-read", pattern.span, e.message().to_owned()),
    };
    let Some(first) = found.first() else {
        cx.diagnostics.push(
            Diagnostic::error(
                "file/no-match",
                pattern.span,
                format!("found no files that match `{}`", pattern.value),
            )
            .help("paths are relative to the folder in which the program was started"),
        );
        return None;
    };
    for f in &found {
        if let Err(e) = Compression::of(&f.path) {
            return refuse(cx, "file/cannot-read", pattern.span, format!("`{}`: {e}", f.path));
        }
    }
    let stream = found.iter().any(|f| cx.probe.is_stream(&f.path));
    if !cx.probe.is_stream(&first.path)
        && let Err(e) = cx.probe.head(&first.path, 1)
    {
        return refuse(cx, "file/cannot-read", pattern.span, e.message().to_owned());
    }
    Some(Files { pattern: pattern.value.clone(), list: found.into(), stream })
}

fn refuse<T>(cx: &mut BindCx<'_>, code: &'static str, span: Span, message: String) -> Option<T> {
    cx.diagnostics.push(Diagnostic::error(code, span, message));
    None
}

/// Looks at ever longer beginnings of the first file that is not empty until `look` (given the bytes and
/// whether they are the whole file) says that it has seen enough.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn sampled<T>(
    probe: &dyn Probe,
    files: &[FileInfo],
    mut look: impl FnMut(&Bytes, bool) -> Result<(T, bool)>,
) -> Result<Option<T>> {
    if let Some(stream) = files.iter().find(|f| probe.is_stream(&f.path)) {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "`{}` is a pipe, which cannot be read ahead: give a `schema` with its fields",
                stream.path
            ),
        ));
    }
    let Some(file) = files.iter().find(|f| f.bytes > 0) else { return Ok(None) };
    let mut seen = None;
    for bytes_max in HEAD_BYTES {
        let head = probe.head(&file.path, bytes_max)?;
        let whole = head.len() < bytes_max;
        let (found, enough) = look(&head, whole)?;
        seen = Some(found);
        if enough || whole {
            break;
        }
    }
    Ok(seen)
}

/// The outputs of a reader: its rows, and the records that failed if they have an output.
pub(crate) fn outputs(schema: SchemaRef, errors: Option<&ErrorHandling>) -> Vec<Output> {
    let shape = |schema| Shape { schema, windowing: Arc::new(Windowing::global()), bounded: true };
    let tag = if errors.is_some() { "good" } else { "out" };
    let mut outputs = vec![Output { tag: tag.to_owned(), shape: shape(schema), role: OutputRole::Main }];
    if let Some(e) = errors {
        let tag = e.output.value.clone();
        outputs.push(Output { tag, shape: shape(error_schema()), role: OutputRole::Error });
    }
    outputs
}

/// What the reader does with records that cannot be read, and the longest record: the checked config.
pub(crate) fn limits(
    cx: &mut BindCx<'_>,
    errors: Option<&ErrorHandling>,
    max_line_bytes: Option<&Spanned<i64>>,
) -> Option<(OnBad, usize)> {
    let mut good = true;
    let bytes = max_line_bytes.map_or(RECORD_BYTES_MAX, |m| m.value);
    if !(1..=LINE_BYTES_LIMIT).contains(&bytes) {
        let span = max_line_bytes.map_or(cx.span, |m| m.span);
        let what = format!("`max_line_bytes` lies between 1 and {LINE_BYTES_LIMIT}, it is not {bytes}");
        cx.diagnostics.push(Diagnostic::error("config/out-of-range", span, what));
        good = false;
    }
    let on_bad = match errors {
        None => OnBad::Fail,
        Some(e) => {
            if let Some(t) = e.threshold.filter(|t| !(0.0..=1.0).contains(t)) {
                let what = format!("`threshold` is a fraction from 0 to 1, not {t}");
                cx.diagnostics.push(Diagnostic::error("error-handling/threshold", e.output.span, what));
                good = false;
            }
            OnBad::Output { threshold: e.threshold }
        }
    };
    good.then_some((on_bad, usize::try_from(bytes).unwrap_or(usize::MAX)))
}

/// Where a writer writes: the checked config.
pub(crate) fn target(
    cx: &mut BindCx<'_>,
    input: &InputShape,
    path: &Spanned<String>,
    shards: Option<&Spanned<i64>>,
    compression: Option<&Spanned<String>>,
) -> Option<write::Target> {
    let mut good = true;
    let mut refuse = |code, span, what: String| {
        cx.diagnostics.push(Diagnostic::error(code, span, what));
        good = false;
    };
    let prefix = path::local(&path.value).map(str::to_owned).unwrap_or_default();
    if let Err(e) = cx.probe.can_create(&path.value).and(path::local(&path.value).map(|_| ())) {
        refuse("file/cannot-write", path.span, e.message().to_owned());
    }
    // Beam takes 0 for "as many as it likes".
    let wanted = shards.map_or(1, |s| if s.value == 0 { 1 } else { s.value });
    if !(1..=10_000).contains(&wanted) {
        let span = shards.map_or(path.span, |s| s.span);
        refuse(
            "config/out-of-range",
            span,
            format!("`num_shards` lies between 1 and 10000, it is not {wanted}"),
        );
    }
    let compression = match compression.map(|c| (c.value.as_str(), c.span)) {
        None | Some(("none" | "None" | "infer" | "uncompressed" | "auto", _)) => Compression::None,
        Some(("gzip" | "gz", _)) => Compression::Gzip,
        Some(("bz2" | "bzip2", _)) => Compression::Bzip2,
        Some((other, span)) => {
            refuse(
                "config/unknown-word",
                span,
                format!("cannot write files compressed as `{other}`; compressions written: none, gzip, bz2"),
            );
            Compression::None
        }
    };
    good.then(|| write::Target {
        prefix,
        shards: usize::try_from(wanted).unwrap_or(1),
        compression,
        windowed: input.shape.windowing.window_fn != WindowFn::Global,
        bounded: input.shape.bounded,
        file_if_empty: false,
        beam_compat: cx.beam_compat,
        replay: None,
    })
}

/// Where a writer of files that have an end writes. Beam's batch writers of these disregard windows, and
/// without rows they leave one file that has only its schema.
#[cfg(any(feature = "parquet", feature = "avro"))]
pub(crate) fn piece_target(
    cx: &mut BindCx<'_>,
    input: &InputShape,
    path: &Spanned<String>,
    shards: Option<&Spanned<i64>>,
    suffix: Option<&str>,
) -> Option<write::Target> {
    if suffix.is_some_and(|s| s.contains('/')) {
        let what = "`file_name_suffix` is the end of a name, it holds no `/`";
        cx.diagnostics.push(Diagnostic::error("config/out-of-range", path.span, what));
    }
    let target = target(cx, input, path, shards, None)?;
    let windowed = target.windowed && !(cx.beam_compat && input.shape.bounded);
    Some(write::Target { windowed, file_if_empty: true, ..target })
}

/// The only input of a writer.
pub(crate) fn only_input<'a>(inputs: &'a [InputShape], cx: &mut BindCx<'_>) -> Option<&'a InputShape> {
    if let [one] = inputs {
        return Some(one);
    }
    let what = format!("a writer takes one input, not {}", inputs.len());
    cx.diagnostics.push(Diagnostic::error("input/count", cx.span, what));
    None
}

/// One character that is one byte, such as a delimiter; `\t` may also be written as two characters.
pub(crate) fn one_byte(what: &str, value: &Spanned<String>, d: &mut Diagnostics) -> Option<u8> {
    let text = if value.value == "\\t" { "\t" } else { value.value.as_str() };
    match text.as_bytes() {
        [b] if b.is_ascii() && !matches!(b, b'\n' | b'\r' | 0) => Some(*b),
        _ => {
            d.push(
                Diagnostic::error(
                    "config/not-one-character",
                    value.span,
                    format!("`{what}` is one ASCII character, not {:?}", value.value),
                )
                .help("patterns of several characters, which pandas takes, are not supported"),
            );
            None
        }
    }
}

/// Diagnoses an encoding other than UTF-8.
pub(crate) fn check_encoding(encoding: Option<&Spanned<String>>, d: &mut Diagnostics) {
    let Some(e) = encoding else { return };
    if !matches!(e.value.to_ascii_lowercase().as_str(), "utf-8" | "utf8" | "utf-8-sig" | "utf_8" | "ascii") {
        d.push(
            Diagnostic::error(
                "config/unknown-word",
                e.span,
                format!("files in `{}` are not supported", e.value),
            )
            .help("files are UTF-8"),
        );
    }
}
