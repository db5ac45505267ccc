//! What CPython knows beyond what is compiled: its builtins, the methods of its classes, its modules.
//!
//! A name of these lists is no slip of the pen: code that uses it can run in a worker.

/// Builtin names of Python 3.13.
const BUILTINS: &str = "\
    ArithmeticError AssertionError AttributeError BaseException BaseExceptionGroup BlockingIOError
    BrokenPipeError BufferError BytesWarning ChildProcessError ConnectionAbortedError ConnectionError
    ConnectionRefusedError ConnectionResetError DeprecationWarning EOFError Ellipsis EncodingWarning
    EnvironmentError Exception ExceptionGroup False FileExistsError FileNotFoundError FloatingPointError
    FutureWarning GeneratorExit IOError ImportError ImportWarning IndentationError IndexError
    InterruptedError IsADirectoryError KeyError KeyboardInterrupt LookupError MemoryError
    ModuleNotFoundError NameError None NotADirectoryError NotImplemented NotImplementedError OSError
    OverflowError PendingDeprecationWarning PermissionError ProcessLookupError PythonFinalizationError
    RecursionError ReferenceError ResourceWarning RuntimeError RuntimeWarning StopAsyncIteration
    StopIteration SyntaxError SyntaxWarning SystemError SystemExit TabError TimeoutError True TypeError
    UnboundLocalError UnicodeDecodeError UnicodeEncodeError UnicodeError UnicodeTranslateError
    UnicodeWarning UserWarning ValueError Warning ZeroDivisionError abs aiter all anext any ascii bin
    bool breakpoint bytearray bytes callable chr classmethod compile complex   delattr
    dict dir divmod enumerate eval exec  filter float format frozenset getattr globals hasattr hash
     hex id input int isinstance issubclass iter len  list locals map max memoryview min next
    object oct open ord pow print property  range repr reversed round set setattr slice sorted
    staticmethod str sum super tuple type vars zip
    __name__ __import__";

/// Modules that some Python from 3.10 to 3.13 has in its standard library.
const MODULES: &str = "\
    __future__ abc aifc antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64
    bdb binascii binhex bisect builtins bz2 cProfile calendar cgi cgitb chunk cmath cmd code codecs
    codeop collections colorsys compileall concurrent configparser contextlib contextvars copy copyreg
    crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils doctest email
    encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib
    functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http
    idlelib imaplib imghdr imp importlib inspect io ipaddress itertools json keyword lib2to3 linecache
    locale logging lzma mailbox mailcap marshal math mimetypes mmap modulefinder msilib msvcrt
    multiprocessing netrc nis nntplib nt ntpath nturl2path numbers opcode operator optparse os
    ossaudiodev pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix posixpath
    pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re
    readline reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex shutil
    signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants
    sre_parse ssl stat statistics string stringprep struct subprocess sunau symtable sys sysconfig
    syslog tabnanny tarfile telnetlib tempfile termios textwrap this threading time timeit tkinter token
    tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types typing unicodedata unittest
    urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc
    zipapp zipfile zipimport zlib zoneinfo";

/// Public methods and attributes of classes, by the name that [`crate::value::Value::type_name`] gives.
const METHODS: &[(&str, &str)] = &[
    (
        "str",
        "\
         __class__ __contains__ __eq__ __getitem__ __len__ capitalize casefold center count encode endswith
         expandtabs find format format_map index isalnum isalpha isascii isdecimal isdigit isidentifier
         islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip maketrans partition
         removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines
         startswith strip swapcase title translate upper zfill",
    ),
    (
        "bytes",
        "\
         __class__ __contains__ __eq__ __getitem__ __len__ capitalize center count decode endswith expandtabs
         find fromhex hex index isalnum isalpha isascii isdigit islower isspace istitle isupper join ljust
         lower lstrip maketrans partition removeprefix removesuffix replace rfind rindex rjust rpartition
         rsplit rstrip split splitlines startswith strip swapcase title translate upper zfill",
    ),
    (
        "list",
        "\
         __class__ __contains__ __eq__ __getitem__ __len__ append clear copy count extend index insert pop
         remove reverse sort",
    ),
    (
        "tuple",
        "\
         __class__ __contains__ __eq__ __getitem__ __len__ count index",
    ),
    (
        "dict",
        "\
         __class__ __contains__ __eq__ __getitem__ __len__ clear copy fromkeys get items keys pop popitem
         setdefault update values",
    ),
    (
        "set",
        "\
         __class__ __contains__ __eq__ __len__ add clear copy difference difference_update discard
         intersection intersection_update isdisjoint issubset issuperset pop remove symmetric_difference
         symmetric_difference_update union update",
    ),
    (
        "frozenset",
        "\
         __class__ __contains__ __eq__ __len__ copy difference intersection isdisjoint issubset issuperset
         symmetric_difference union",
    ),
    (
        "int",
        "\
         __class__ __eq__ as_integer_ratio bit_count bit_length conjugate denominator from_bytes imag
         is_integer numerator real to_bytes",
    ),
    (
        "bool",
        "\
         __class__ __eq__ as_integer_ratio bit_count bit_length conjugate denominator from_bytes imag
         is_integer numerator real to_bytes",
    ),
    (
        "float",
        "\
         __class__ __eq__ as_integer_ratio conjugate fromhex hex imag is_integer real",
    ),
    (
        "datetime.date",
        "\
         __class__ __eq__ ctime day fromisocalendar fromisoformat fromordinal fromtimestamp isocalendar
         isoformat isoweekday max min month replace resolution strftime timetuple today toordinal weekday
         year",
    ),
    (
        "datetime.time",
        "\
         __class__ __eq__ dst fold fromisoformat hour isoformat max microsecond min minute replace resolution
         second strftime tzinfo tzname utcoffset",
    ),
    (
        "datetime.datetime",
        "\
         __class__ __eq__ astimezone combine ctime date day dst fold fromisocalendar fromisoformat
         fromordinal fromtimestamp hour isocalendar isoformat isoweekday max microsecond min minute month now
         replace resolution second strftime strptime time timestamp timetuple timetz today toordinal tzinfo
         tzname utcfromtimestamp utcnow utcoffset utctimetuple weekday year",
    ),
    (
        "datetime.timedelta",
        "\
         __class__ __eq__ days max microseconds min resolution seconds total_seconds",
    ),
    (
        "datetime.timezone",
        "\
         __class__ __eq__ dst fromutc max min tzname utc utcoffset",
    ),
    (
        "re.Pattern",
        "\
         __class__ __eq__ findall finditer flags fullmatch groupindex groups match pattern scanner search
         split sub subn",
    ),
    (
        "re.Match",
        "\
         __class__ __eq__ __getitem__ end endpos expand group groupdict groups lastgroup lastindex pos re
         regs span start string",
    ),
];

fn has(list: &str, name: &str) -> bool {
    list.split_ascii_whitespace().any(|n| n == name)
}

/// Whether Python has a builtin of this name.
pub(crate) fn is_builtin(name: &str) -> bool {
    has(BUILTINS, name)
}

/// Whether a module, by its full name, is in Python's standard library.
pub(crate) fn is_module(name: &str) -> bool {
    has(MODULES, name.split('.').next().unwrap_or(name))
}

/// Whether Python's class has this method or attribute.
pub(crate) fn has_attribute(class: &str, name: &str) -> bool {
    METHODS.iter().any(|(c, names)| *c == class && has(names, name))
}
