//! Readers of files of columns (Parquet, Avro), whatever their format.
//!
//! A file that cannot be read is one bad unit: with an `error_handling` its name and the reason go to the
//! error output, and the rows that were read before the damage stay. So is a row with a value that our
//! types cannot hold.

mod source;

pub(crate) use source::TablesSource;

use crate::format::schema::from_json_schema;
use crate::shared::bind::{JsonSchema, limits};
use crate::shared::read::pieces::Cut;
use crate::shared::read::work::{Shared, Work};
use crate::shared::read::{Files, OnBad, explained};
use crate::shared::scan::Framing;
use arrow_array::RecordBatch;
use arrow_schema::{Fields, SchemaRef};
use purlin_api::shape::type_name;
use purlin_api::transform::{BuildCx, Probe};
use purlin_api::unite::{schema_of, unite, unite_fields};
use purlin_api::{
    BindCx, Budget, Error, ErrorKind, FileInfo, Guarantee, Output, OutputRole, PlanNode, Result, Running,
    Shape, StateShape, Windowing,
};
use purlin_spec::config::Spanned;
use purlin_spec::types::ErrorHandling;
use purlin_spec::{Diagnostic, suggest};
use std::sync::Arc;

/// How many files are looked at to find the fields. What comes later must fit.
const SAMPLE_FILES: usize = 100;

/// A format of columns.
pub(crate) trait TableFormat: std::fmt::Debug + Send + Sync {
    /// The schema of a file, in our types, from a look at one of its ends.
    fn schema(&self, probe: &dyn Probe, file: &FileInfo) -> Result<SchemaRef>;
    /// Opens a file; only columns for which `wanted` holds need be read.
    fn open(&self, path: &str, wanted: &dyn Fn(&str) -> bool, budget: Budget)
    -> Result<Box<dyn TableReader>>;
    /// For `explain` and messages.
    fn name(&self) -> &'static str;
}

/// An open file.
pub(crate) trait TableReader: Send {
    /// The schema of the whole file, in our types.
    fn schema(&self) -> &SchemaRef;
    /// The next rows, at most this many; `None` at the end of a file that is whole.
    fn next(&mut self, rows_max: usize) -> Result<Option<Chunk>>;
}

/// Some rows of a file, one after the other.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The good ones: the wanted columns, in our types.
    pub(crate) rows: RecordBatch,
    /// The others: which of the rows taken (from 0), and why.
    pub(crate) bad: Vec<(usize, String)>,
    /// How many rows there were, good and bad.
    pub(crate) taken: usize,
}

/// What readers of files of columns take, apart from their paths.
pub(crate) struct Options<'a> {
    /// The columns to read, unless all.
    pub(crate) columns: Option<&'a [Spanned<String>]>,
    pub(crate) schema: Option<&'a JsonSchema>,
    pub(crate) errors: Option<&'a ErrorHandling>,
}

/// A bound reader.
#[derive(Clone, Debug)]
pub(crate) struct TableNode {
    format: Arc<dyn TableFormat>,
    files: Files,
    outputs: Vec<Output>,
    needed: Vec<bool>,
    /// Whether files may have more columns than the rows: the author chose some.
    chosen: bool,
    /// Whether the types are the author's.
    declared: bool,
    on_bad: OnBad,
}

/// Binds a reader: unites the schemas of the files, or takes the author's.
pub(crate) fn bind(
    format: Arc<dyn TableFormat>,
    cx: &mut BindCx<'_>,
    files: Option<Files>,
    options: &Options<'_>,
    path: &Spanned<String>,
) -> Option<Arc<dyn PlanNode>> {
    let limits = limits(cx, options.errors, None);
    let mut fields = match options.schema {
        Some(schema) => from_json_schema(&schema.0, cx.diagnostics)?.fields().clone(),
        None => sampled(format.as_ref(), cx, files.as_ref()?, options.errors.is_some(), path)?,
    };
    if let Some(columns) = options.columns {
        fields = chosen(&fields, columns, cx)?;
    }
    if fields.is_empty() {
        let what = format!("the {} files of `{}` have no columns", format.name(), path.value);
        cx.diagnostics.push(Diagnostic::error("file/no-columns", path.span, what));
        return None;
    }
    let shape = |schema| Shape { schema, windowing: Arc::new(Windowing::global()), bounded: true };
    let tag = if options.errors.is_some() { "good" } else { "out" };
    let needed = vec![true; fields.len()];
    let mut outputs =
        vec![Output { tag: tag.to_owned(), shape: shape(schema_of(fields)), role: OutputRole::Main }];
    if let Some(e) = options.errors {
        let tag = e.output.value.clone();
        outputs.push(Output { tag, shape: shape(source::error_schema()), role: OutputRole::Error });
    }
    let declared = options.schema.is_some();
    let chosen = options.columns.is_some() || declared;
    let (on_bad, _) = limits?;
    Some(Arc::new(TableNode { format, files: files?, outputs, needed, chosen, declared, on_bad }))
}

/// The fields of all files together. With error handling, files that cannot be read are left for the run.
fn sampled(
    format: &dyn TableFormat,
    cx: &mut BindCx<'_>,
    files: &[FileInfo],
    lenient: bool,
    path: &Spanned<String>,
) -> Option<Fields> {
    let mut united: Option<(Fields, String)> = None;
    let mut refused: Option<Error> = None;
    for file in files.iter().take(SAMPLE_FILES) {
        let fields = match format.schema(cx.probe, file) {
            Ok(s) => s.fields().clone(),
            Err(e) if lenient && e.kind() == ErrorKind::Data => {
                refused.get_or_insert(e);
                continue;
            }
            Err(e) => {
                cx.diagnostics.push(Diagnostic::error("file/cannot-read", path.span, e.message()));
                return None;
            }
        };
        united = Some(match united {
            None => (fields, file.path.clone()),
            Some((all, first)) => match unite_fields(&all, &fields, false) {
                Ok(all) => (all, first),
                Err(_) if lenient => (all, first),
                Err(name) => {
                    let what = differ(&name, (&all, &format!("`{first}`")), (&fields, &file.path));
                    cx.diagnostics.push(
                        Diagnostic::error("schema/files-differ", path.span, what)
                            .help("read the files apart, or give the transform an `error_handling`"),
                    );
                    return None;
                }
            },
        });
    }
    if united.is_none() {
        let why = refused.map_or_else(|| "there are no files".to_owned(), |e| e.message().to_owned());
        cx.diagnostics.push(Diagnostic::error("file/cannot-read", path.span, why));
    }
    united.map(|(fields, _)| fields)
}

/// How a column differs between two files.
fn differ(name: &str, (a, first): (&Fields, &str), (b, second): (&Fields, &str)) -> String {
    let kind = |fields: &Fields| {
        fields.iter().find(|f| f.name() == name).map_or_else(|| "missing".to_owned(), |f| type_name(f))
    };
    format!("column `{name}` is {} in {first} and {} in `{second}`", kind(a), kind(b))
}

fn chosen(fields: &Fields, columns: &[Spanned<String>], cx: &mut BindCx<'_>) -> Option<Fields> {
    let find = |c: &Spanned<String>| match fields.iter().find(|f| *f.name() == c.value) {
        Some(f) => Some(f.clone()),
        None => {
            let names = suggest::listed(fields.iter().map(|f| f.name().as_str()));
            let what = format!("the files have no column `{}`", c.value);
            cx.diagnostics.push(
                Diagnostic::error("schema/unknown-field", c.span, what).help(format!("they have {names}")),
            );
            None
        }
    };
    let found: Vec<_> = columns.iter().map(find).collect();
    let found: Vec<_> = found.into_iter().collect::<Option<_>>()?;
    for (i, c) in columns.iter().enumerate() {
        if columns.iter().take(i).any(|other| other.value == c.value) {
            let what = format!("`columns` names `{}` twice", c.value);
            cx.diagnostics.push(Diagnostic::error("schema/duplicate-field", c.span, what));
            return None;
        }
    }
    Some(found.into())
}

/// Runs a decoder that is not ours: whatever it does with damaged bytes, it is an error of the file.
///
/// # Errors
/// That it broke down.
#[cfg(feature = "parquet")]
pub(crate) fn guard<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    quiet::without_a_word(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)))
        .map_err(|_| "its content breaks the rules of the format".to_owned())
}

/// 16 bytes as a UUID is written.
pub(crate) fn uuid_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (i, b) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.extend(char::from_digit(u32::from(b >> 4), 16));
        text.extend(char::from_digit(u32::from(b & 15), 16));
    }
    text
}

/// Keeps the default report of a panic from the user's terminal: it becomes an error with a place.
#[cfg(feature = "parquet")]
mod quiet {
    use std::cell::Cell;
    use std::sync::Once;

    thread_local! {
        static QUIET: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();

    pub(super) fn without_a_word<T>(f: impl FnOnce() -> T) -> T {
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                if !QUIET.get() {
                    usual(info);
                }
            }));
        });
        let before = QUIET.replace(true);
        let result = f();
        QUIET.set(before);
        result
    }
}

impl TableNode {
    /// A file must have no fields that the rows have not, unless the author chose some, and none of
    /// another type.
    fn check_fits(&self, path: &str, all: &Fields) -> Result<()> {
        let Some(out) = self.outputs.first() else { return Err(Error::internal("a reader has no output")) };
        let rows = out.shape.schema.fields();
        let first = match self.files.first() {
            Some(f) if !self.declared => format!("`{}`", f.path),
            _ => "the `schema`".to_owned(),
        };
        for f in all {
            let Some((_, row)) = rows.find(f.name()) else {
                if self.chosen {
                    continue;
                }
                let what = format!(
                    "`{path}` has a column `{}` that the files looked at before the run have not; give a `schema` to pass over it",
                    f.name()
                );
                return Err(Error::data(what));
            };
            let fits = unite(row, f, false).is_some_and(|u| u.data_type() == row.data_type());
            if !fits && !purlin_api::shape::is_any(row) {
                let fields = Fields::from(vec![row.clone()]);
                return Err(Error::data(differ(f.name(), (&fields, &first), (all, path))));
            }
        }
        Ok(())
    }
}

impl PlanNode for TableNode {
    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn explain(&self) -> String {
        explained(&self.format.name().to_lowercase(), &self.files, &self.needed, &self.outputs)
    }

    fn prune(&self, needed: &[bool]) -> Option<Arc<dyn PlanNode>> {
        if needed.len() != self.needed.len() || needed == self.needed {
            return None;
        }
        Some(Arc::new(TableNode { needed: needed.to_vec(), ..self.clone() }))
    }

    fn state(&self) -> Option<StateShape> {
        Some(self.files.state(&self.format.name().to_lowercase()))
    }

    fn guarantee(&self) -> Option<Guarantee> {
        Some(self.files.guarantee())
    }

    fn build(&self, cx: &BuildCx) -> Result<Running> {
        let work = || Shared::new(Work::new(self.files.list.clone(), Framing::Lines, Cut::Apart));
        let shared = cx.shared.get_or_make(work)?;
        Ok(Running::Source(Box::new(TablesSource::new(self.clone(), shared)?)))
    }
}
