//! Exceptions: what a row fails with, and how its text reads.

use std::rc::Rc;

use super::Value;

/// An exception object.
pub(crate) struct Exception {
    pub(crate) kind: &'static str,
    pub(crate) args: Vec<Value>,
}

/// An exception on its way up.
pub(crate) struct Raise {
    pub(crate) exception: Rc<Exception>,
    /// Byte offset of the place that raised it, once a node with a place was passed.
    pub(crate) at: Option<u32>,
    /// A limit of the evaluator was hit: no `except` may catch it.
    pub(crate) fatal: bool,
}

pub(crate) type Res<T> = Result<T, Raise>;

impl Raise {
    pub(crate) fn new(kind: &'static str, message: impl AsRef<str>) -> Raise {
        Raise::with_args(kind, vec![Value::str(message)])
    }

    pub(crate) fn with_args(kind: &'static str, args: Vec<Value>) -> Raise {
        Raise { exception: Rc::new(Exception { kind, args }), at: None, fatal: false }
    }

    pub(crate) fn limit(kind: &'static str, message: impl AsRef<str>) -> Raise {
        Raise { fatal: true, ..Raise::new(kind, message) }
    }
}

pub(crate) fn raise<T>(kind: &'static str, message: impl AsRef<str>) -> Res<T> {
    Err(Raise::new(kind, message))
}

pub(crate) fn type_error(message: impl AsRef<str>) -> Raise {
    Raise::new("TypeError", message)
}

pub(crate) fn value_error(message: impl AsRef<str>) -> Raise {
    Raise::new("ValueError", message)
}

/// Exception classes and their bases, as in CPython.
const HIERARCHY: &[(&str, &str)] = &[
    ("Exception", "BaseException"),
    ("ArithmeticError", "Exception"),
    ("DecimalException", "ArithmeticError"),
    ("InvalidOperation", "DecimalException"),
    ("Overflow", "DecimalException"),
    ("DivisionByZero", "DecimalException"),
    ("AssertionError", "Exception"),
    ("AttributeError", "Exception"),
    ("BufferError", "Exception"),
    ("EOFError", "Exception"),
    ("FloatingPointError", "ArithmeticError"),
    ("ImportError", "Exception"),
    ("IndexError", "LookupError"),
    ("JSONDecodeError", "ValueError"),
    ("KeyError", "LookupError"),
    ("LookupError", "Exception"),
    ("MemoryError", "Exception"),
    ("NameError", "Exception"),
    ("NotImplementedError", "RuntimeError"),
    ("OSError", "Exception"),
    ("OverflowError", "ArithmeticError"),
    ("RecursionError", "RuntimeError"),
    ("RuntimeError", "Exception"),
    ("StopIteration", "Exception"),
    ("TimeoutError", "OSError"),
    ("TypeError", "Exception"),
    ("UnboundLocalError", "NameError"),
    ("UnicodeDecodeError", "UnicodeError"),
    ("UnicodeEncodeError", "UnicodeError"),
    ("UnicodeError", "ValueError"),
    ("ValueError", "Exception"),
    ("ZeroDivisionError", "ArithmeticError"),
    ("error", "Exception"),
];

pub(crate) fn is_exception_type(name: &str) -> bool {
    name == "BaseException" || HIERARCHY.iter().any(|(n, _)| *n == name)
}

/// Whether class `name` is `base` or below it (exceptions; bool below int; datetime below date).
pub(crate) fn is_subtype(name: &str, base: &str) -> bool {
    if name == base
        || base == "object"
        || (name, base) == ("bool", "int")
        || (name, base) == ("datetime", "date")
    {
        return true;
    }
    // The one exception with two bases.
    if (name, base) == ("DivisionByZero", "ZeroDivisionError") {
        return true;
    }
    let mut at = name;
    while let Some((_, parent)) = HIERARCHY.iter().find(|(n, _)| *n == at) {
        if *parent == base {
            return true;
        }
        at = parent;
    }
    false
}
