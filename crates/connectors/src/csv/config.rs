//! What `ReadFromCsv` and `WriteToCsv` take.

pub use crate::shared::bind::JsonSchema;
use purlin_spec::config::{FromNode, Kind, Named, OneOrMany, Spanned};
use purlin_spec::types::ErrorHandling;
use purlin_spec::{Diagnostics, Node};

purlin_spec::config! {
    /// Reads the rows of CSV files that begin with a header.
    ///
    /// Types are found by pandas' rules from the first 1000 rows of the first file: integers, floats
    /// (also integers beside empty cells), booleans (only if no cell is empty), otherwise text. Empty
    /// cells and `NA`, `N/A`, `NaN`, `null`, `None` and their like are null. Values with leading zeros
    /// stay text. A cell that contradicts its column's type, or a row with too many fields, is a bad
    /// line; a row with too few fields is filled up with nulls. Quoted fields may hold line ends.
    /// Header names may be any text; a repeated name gets `.1`, an empty one becomes `Unnamed: N`.
    ///
    /// Exactly once: after a crash reading goes on where the last checkpoint says, and refuses to if a file of which a part
    /// was read has changed. What was read of a pipe cannot be read again: at most once.
    pub struct ReadFromCsv {
        /// The files: a path, or a pattern with `*`, `?`, `[ab]` and `**`. All must have the same columns.
        /// A pipe (`/dev/stdin`) needs a `schema`.
        pub path: Spanned<String>,
        /// One character between fields; a comma unless given.
        pub delimiter: Option<Spanned<String>>,
        /// The same as `delimiter`.
        pub sep: Option<Spanned<String>>,
        /// One character that starts a comment, up to the end of the line.
        pub comment: Option<Spanned<String>>,
        /// Adds a column of this name with the path of the file that a row comes from.
        pub filename_column: Option<Spanned<String>>,
        /// The columns to read and their types, as a JSON schema (`docs/guide/types.md` lists the types; a
        /// decimal is `{type: number, format: decimal, scale: 2}`). Nothing is sampled then; columns that a
        /// file lacks are null, further ones are passed over.
        pub schema: Option<JsonSchema>,
        /// Names of the columns. Files then have no header, unless `header: 0` is given too.
        pub names: Option<Vec<String>>,
        /// Which row is the header, counted from 0 without those passed over; rows before it are left out.
        /// `null`: there is none.
        pub header: Option<Header>,
        /// Types of columns instead of sampled ones, for all or by name: `str`, `int`, `float`, `bool`, `date`,
        /// `datetime` or `decimal(PRECISION, SCALE)`.
        pub dtype: Option<Dtype>,
        /// Names of the columns to read, unless all.
        pub usecols: Option<Vec<Spanned<String>>>,
        /// How many lines to pass over at the beginning of each file, or a list of lines, counted from 0.
        pub skiprows: Option<SkipRows>,
        /// Further texts that mean null.
        pub na_values: Option<OneOrMany<String>>,
        /// Whether pandas' own list of texts means null too.
        pub keep_default_na: bool = true,
        /// Further texts that mean true; in a column of truth values `True`, `TRUE` and `true` always do.
        pub true_values: Option<Vec<String>>,
        /// Further texts that mean false.
        pub false_values: Option<Vec<String>>,
        /// The character before decimals; a point unless given.
        pub decimal: Option<Spanned<String>>,
        /// A character between groups of digits, which is left out.
        pub thousands: Option<Spanned<String>>,
        /// Columns of dates and times in ISO 8601, by name or place. Text with a zone or `Z` is an instant,
        /// without one a datetime without a zone; other text is a bad line.
        pub parse_dates: Option<ParseDates>,
        /// How many rows of each file are read, unless all.
        pub nrows: Option<Spanned<i64>>,
        /// The character around fields that hold delimiters or line ends; `"` unless given.
        pub quotechar: Option<Spanned<String>>,
        /// A character that takes the meaning of the one behind it: a delimiter, a quote, a line end.
        pub escapechar: Option<Spanned<String>>,
        /// `3`: quotes have no meaning.
        pub quoting: Option<i64>,
        /// Whether spaces after a delimiter are dropped.
        pub skipinitialspace: bool = false,
        /// Whether blank lines are passed over.
        pub skip_blank_lines: bool = true,
        /// What happens to bad lines: `error` (they fail the run, or go to the error output), `skip` or
        /// `warn` (they are counted and passed over).
        pub on_bad_lines: Option<OnBadLines>,
        /// Files are UTF-8.
        pub encoding: Option<Spanned<String>>,
        /// Without effect: files are always read in one pass.
        pub splittable: bool = true,
        /// Without effect: types do not depend on pieces of files.
        pub low_memory: bool = true,
        /// Without effect: there is one parser.
        pub engine: Option<String>,
        /// Without effect if `false`: rows have no index.
        pub index_col: Option<Spanned<bool>>,
        /// Longest record in bytes, 64 MiB unless given. A longer one is a bad line.
        pub max_line_bytes: Option<Spanned<i64>>,
        /// Where bad lines go. `element` has `file`, `line` and `text`.
        pub error_handling: Option<ErrorHandling>,
    }
}

purlin_spec::config! {
    /// Writes rows as CSV, with a header in every file.
    ///
    /// Booleans are `True` and `False`, null is empty, decimals have all their digits, dates and times are
    /// ISO 8601, fields are quoted where they must be. The files
    /// are named `PATH-SSSSS-of-NNNNN`; windowed rows go to `PATH-START-END-SSSSS-of-NNNNN`. Without rows
    /// nothing is written. Files appear only when they are complete.
    ///
    /// Exactly once: after a crash files go on from the last checkpoint, and each row stands in one file.
    pub struct WriteToCsv {
        /// What the names of the files begin with. Missing folders are made.
        pub path: Spanned<String>,
        /// One character between fields; a comma unless given.
        pub delimiter: Option<Spanned<String>>,
        /// The same as `delimiter`.
        pub sep: Option<Spanned<String>>,
        /// Over how many files the rows (of a window) are spread.
        pub num_shards: Option<Spanned<i64>>,
        /// What null is written as.
        pub na_rep: String = String::new(),
        /// Whether there is a header, or the names to write in it.
        pub header: Option<HeaderOut>,
        /// The columns to write, unless all.
        pub columns: Option<Vec<Spanned<String>>>,
        /// Without effect: rows have no index.
        pub index: bool = false,
        /// `0`: quotes where needed, `1`: all fields, `2`: all but numbers, `3`: none.
        pub quoting: Option<Spanned<i64>>,
        /// The character around quoted fields; `"` unless given.
        pub quotechar: Option<Spanned<String>>,
        /// What ends a line; `\n` unless given.
        pub lineterminator: Option<String>,
        /// Files are UTF-8.
        pub encoding: Option<Spanned<String>>,
        /// `gzip` or `bz2`; the names then end in `.gz` or `.bz2`. Not compressed unless given.
        pub compression: Option<Spanned<String>>,
    }
}

/// Whether files have a header. `null` is seen before this is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The first row is one, or the one after so many.
    Row(u64),
    /// There is none.
    None,
}

impl FromNode for Header {
    fn kind() -> Kind {
        Kind::AnyOf(vec![Kind::Int, Kind::Word(&["infer", "None"])])
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        match node.scalar_text().as_deref() {
            Some("infer") => Some(Header::Row(0)),
            Some("None") => Some(Header::None),
            Some(text) if text.parse::<u64>().is_ok() => text.parse().ok().map(Header::Row),
            _ => {
                purlin_spec::config::wrong_kind(node, "the number of a row, `infer` or `null`", d);
                None
            }
        }
    }
}

/// Lines to pass over.
#[derive(Clone, Debug, PartialEq)]
pub enum SkipRows {
    /// So many at the beginning.
    First(Spanned<i64>),
    /// These, from 0.
    These(Vec<Spanned<i64>>),
}

impl FromNode for SkipRows {
    fn kind() -> Kind {
        Kind::OneOrMany(Box::new(Kind::Int))
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        match node.as_list() {
            Some(_) => Vec::from_node(node, d).map(SkipRows::These),
            None => Spanned::from_node(node, d).map(SkipRows::First),
        }
    }
}

/// The header to write.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderOut {
    /// The names of the fields, or none at all.
    Bool(bool),
    /// These names.
    Names(Vec<String>),
}

impl FromNode for HeaderOut {
    fn kind() -> Kind {
        Kind::AnyOf(vec![Kind::Bool, Kind::List(Box::new(Kind::Text))])
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        match node.as_list() {
            Some(_) => Vec::<String>::from_node(node, d).map(HeaderOut::Names),
            None => bool::from_node(node, d).map(HeaderOut::Bool),
        }
    }
}

/// Columns of dates.
#[derive(Clone, Debug, PartialEq)]
pub enum ParseDates {
    /// None (`true` means pandas' index, which rows do not have).
    None,
    /// These, by name or place.
    Columns(Vec<Spanned<String>>),
}

impl FromNode for ParseDates {
    fn kind() -> Kind {
        Kind::AnyOf(vec![Kind::Bool, Kind::List(Box::new(Kind::Text))])
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        match node.as_list() {
            Some(_) => Vec::from_node(node, d).map(ParseDates::Columns),
            None => bool::from_node(node, d).map(|_| ParseDates::None),
        }
    }
}

/// Types of columns: one for all, or by name.
#[derive(Clone, Debug, PartialEq)]
pub enum Dtype {
    /// All columns.
    All(Spanned<String>),
    /// These columns.
    ByName(Named<Spanned<String>>),
}

impl FromNode for Dtype {
    fn kind() -> Kind {
        Kind::AnyOf(vec![Kind::Text, Kind::Map(Box::new(Kind::Text))])
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        match node.as_map() {
            Some(_) => Named::from_node(node, d).map(Dtype::ByName),
            None => Spanned::from_node(node, d).map(Dtype::All),
        }
    }
}

/// What happens to lines that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBadLines {
    /// They fail the run, or go to the error output.
    Error,
    /// They are counted and passed over.
    Skip,
}

impl FromNode for OnBadLines {
    fn kind() -> Kind {
        Kind::Word(&["error", "skip", "warn"])
    }
    fn from_node(node: &Node, d: &mut Diagnostics) -> Option<Self> {
        match node.as_text() {
            Some("error") => Some(OnBadLines::Error),
            Some("skip" | "warn") => Some(OnBadLines::Skip),
            _ => {
                purlin_spec::config::wrong_kind(node, "`error`, `skip` or `warn`", d);
                None
            }
        }
    }
}
