# The script of a worker process: computes an author's expressions on rows that come over a pipe.
#
# Frames in both directions: length (4 bytes, little endian), kind (1 byte), body. What values look like in
# bodies: `purlin_expr::outside`; who sends what when: `purlin_pyworker`.
import sys

# Nothing is imported from the working folder.
sys.path[:] = [path for path in sys.path if path]

import ast
import builtins
import datetime
import json
import linecache
import marshal
import os
import signal
import struct
import time
import traceback
import types

SAMPLE = (None, True, 7, -(1 << 40), 1.5, '\xe9', b'b', [1], {'k': (2,)}, ...)
FLUSH_BYTES = 1 << 18
FLUSH_SECONDS = 0.5
STACK_CHARS_MAX = 20000


class RowTimeout(BaseException):
    """Raised in the author's code by the alarm: no `except Exception` of theirs holds it up."""


# When the row began that is being computed; 0 while none is.
started = 0.0
limit = 60.0
parent = os.getppid()


def on_tick(_signal, _frame):
    # The program was killed: nobody waits for this row any more.
    if os.getppid() != parent:
        os._exit(1)
    if started and time.monotonic() - started > limit:
        raise RowTimeout()


# --- values -----------------------------------------------------------------------------------------

def untag(value):
    """Makes the objects that a value stands for."""
    kind = type(value)
    if kind is list:
        return [untag(item) for item in value]
    if kind is dict:
        return {key: untag(item) for key, item in value.items()}
    if kind is tuple:
        return MAKERS[value[1]](*value[2:])
    return value


def make_row(names, values):
    row = beam.Row.__new__(beam.Row)
    row.__dict__.update(zip(names, [untag(value) for value in values]))
    return row


def make_datetime(micros):
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=micros)


MAKERS = {
    1: make_row,
    2: lambda micros: Timestamp._of(micros),
    4: lambda days: datetime.date(1970, 1, 1) + datetime.timedelta(days=days),
    5: lambda micros: make_datetime(micros).time(),
    6: make_datetime,
    7: lambda micros: datetime.timedelta(microseconds=micros),
}

PLAIN = frozenset((int, float, str, bool, type(None), bytes))
MICRO = datetime.timedelta(microseconds=1)


def tag(value):
    """The other way: what can be sent for an object."""
    kind = type(value)
    if kind in PLAIN:
        return value
    tagger = TAGGERS.get(kind)
    return tagger(value) if tagger is not None else tag_other(value)


def tag_row(names, values):
    return (..., 1, tuple(map(str, names)), tuple(map(tag, values)))


def tag_set(value):
    # An order that does not depend on hashes, where there is one.
    try:
        items = sorted(value)
    except TypeError:
        items = sorted(value, key=repr)
    return (..., 8, [tag(item) for item in items])


def tag_datetime(value):
    offset = value.utcoffset()
    micros = (value.replace(tzinfo=None) - datetime.datetime(1970, 1, 1)) // MICRO
    seconds = None if offset is None else offset // datetime.timedelta(seconds=1)
    return (..., 6, micros, seconds)


def tag_time(value):
    seconds = value.hour * 3600 + value.minute * 60 + value.second
    return (..., 5, seconds * 1000000 + value.microsecond)


TAGGERS = {
    list: lambda value: [tag(item) for item in value],
    tuple: lambda value: tuple([tag(item) for item in value]),
    dict: lambda value: {tag(key): tag(item) for key, item in value.items()},
    set: tag_set,
    frozenset: tag_set,
    datetime.date: lambda value: (..., 4, (value - datetime.date(1970, 1, 1)).days),
    datetime.time: tag_time,
    datetime.datetime: tag_datetime,
    datetime.timedelta: lambda value: (..., 7, value // MICRO),
}


def tag_other(value):
    if isinstance(value, type):
        pass
    elif isinstance(value, int):
        return int.__index__(value)
    elif isinstance(value, float):
        return float.__float__(value)
    elif isinstance(value, str):
        return str.__str__(value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    elif isinstance(value, beam.Row):
        return tag_row(value.__dict__, value.__dict__.values())
    elif isinstance(value, tuple) and hasattr(value, '_fields'):
        return tag_row(value._fields, value)
    elif hasattr(value, '__dataclass_fields__'):
        names = list(value.__dataclass_fields__)
        return tag_row(names, [getattr(value, name) for name in names])
    elif isinstance(value, dict) or (hasattr(value, 'keys') and hasattr(value, '__getitem__')):
        return {tag(key): tag(value[key]) for key in value.keys()}
    else:
        for kind in (tuple, set, frozenset, datetime.datetime, datetime.date, datetime.time, datetime.timedelta):
            if isinstance(value, kind):
                return TAGGERS[kind](value)
        if hasattr(value, '__iter__'):
            return [tag(item) for item in value]
    raise TypeError(
        'a value of type %s cannot leave the python3 worker: give a number, a str, a list, a dict or a beam.Row'
        % type(value).__name__)


# --- the author's code ------------------------------------------------------------------------------

def failure(exception):
    """The text of an exception, and where it was raised."""
    try:
        message = repr(exception)
    except BaseException:
        message = type(exception).__name__ + '()'
    try:
        here = exception.__traceback__
        # Frames of this script are of no interest.
        while here is not None and here.tb_frame.f_globals is globals():
            here = here.tb_next
        stack = ''.join(traceback.format_exception(type(exception), exception, here))
    except BaseException:
        stack = message
    return message, stack[-STACK_CHARS_MAX:]


def timed_out():
    message = "TimeoutError('the row took longer than %g s (set PURLIN_PYTHON_TIMEOUT to allow more)')" % limit
    return message, message


def remember(name, text):
    """Lets tracebacks show lines of the author's text."""
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)


def load(job, at):
    """The function of a row's values that a job asks for."""
    text, kind, columns = job['code'], job['kind'], job['columns']
    names = [COLUMNS[column] for column in columns]
    module = types.ModuleType('purlin_code_%d' % at)
    module.beam = beam
    # Where dataclasses and type hints look for the module of a class.
    sys.modules[module.__name__] = module
    scope = module.__dict__
    if kind == 'expression':
        remember('<expression>', text)
        code = compile('lambda %s: (%s\n)' % (', '.join(names), text), '<expression>', 'eval')
        function = eval(code, scope)
        if columns == list(range(len(COLUMNS))):
            return lambda values: function(*values)
        return lambda values: function(*[values[column] for column in columns])
    name = '<callable>'
    remember(name, text)
    tree = ast.parse(text, name)
    last = tree.body[-1]
    if kind == 'file':
        exec(compile(tree, name, 'exec'), scope)
        function = scope[job['name']]
    elif isinstance(last, ast.Expr):
        tree.body.pop()
        exec(compile(tree, name, 'exec'), scope)
        function = eval(compile(ast.Expression(last.value), name, 'eval'), scope)
    else:
        exec(compile(tree, name, 'exec'), scope)
        target = last.targets[0].id if isinstance(last, ast.Assign) else getattr(last, 'target', last)
        function = scope[getattr(target, 'id', getattr(target, 'name', target))]
    new, row_type = beam.Row.__new__, beam.Row

    def call(values):
        row = new(row_type)
        row.__dict__.update(zip(names, values))
        return function(row)

    return call


def failing(result):
    """A job whose code could not be loaded: each row fails with that."""
    class Failed(Exception):
        pass

    def call(_values):
        raise Failed()

    call.failure = result
    return call


# --- the pipe ---------------------------------------------------------------------------------------

def read_frame(pipe):
    head = pipe.read(5)
    if len(head) < 5:
        # The program has ended.
        os._exit(0)
    length, kind = struct.unpack('<Ic', head)
    body = pipe.read(length)
    if len(body) < length:
        os._exit(0)
    return kind, body


def write_frame(pipe, kind, *parts):
    pipe.write(struct.pack('<Ic', sum(map(len, parts)), kind))
    for part in parts:
        pipe.write(part)
    pipe.flush()


def compute(functions, truths, tagged, body, pipe):
    """Computes all jobs on each row of a bundle; results are sent as they come."""
    global started
    loads, dumps, pack, now = marshal.loads, marshal.dumps, struct.Struct('<I').pack, time.monotonic
    view, at, out, rows, flushed = memoryview(body), 4, [], 0, now()
    size = 0
    for _ in range(struct.unpack_from('<I', body)[0]):
        length = struct.unpack_from('<I', body, at)[0]
        values = loads(view[at + 4:at + 4 + length])
        at += 4 + length
        if size > FLUSH_BYTES or now() - flushed > FLUSH_SECONDS:
            write_frame(pipe, b'P', pack(rows), *out)
            out, rows, size, flushed = [], 0, 0, now()
        for function, truth in zip(functions, truths):
            try:
                started = now()
                if type(values) is str:
                    raise ValueError(values)
                row = [untag(value) if mark else value for mark, value in zip(tagged, values)] if tagged else values
                value = function(row)
                result = dumps((bool(value) if truth else tag(value),), 2)
                started = 0.0
            except RowTimeout:
                started = 0.0
                result = dumps(timed_out(), 2)
            except BaseException as e:
                started = 0.0
                result = dumps(getattr(function, 'failure', None) or failure(e), 2)
            size += len(result)
            out.append(pack(len(result)))
            out.append(result)
        rows += 1
    write_frame(pipe, b'D', pack(rows), *out)


def main():
    global started, limit, beam, Timestamp, COLUMNS
    # The pipes move away from the author's reach: what is printed goes to the log.
    source, sink = os.fdopen(os.dup(0), 'rb', 1 << 16), os.fdopen(os.dup(1), 'wb', 1 << 16)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.argv = ['purlin']
    # Ctrl-C is the program's to answer.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    version = '.'.join(map(str, sys.version_info[:3]))
    write_frame(sink, b'H', version.encode() + b'\n', marshal.dumps(SAMPLE, 2))
    kind, body = read_frame(source)
    setup = json.loads(body.decode())
    beam_scope = types.ModuleType('purlin_beam')
    exec(compile(setup['beam'], '<beam>', 'exec'), beam_scope.__dict__)
    beam = beam_scope.install(sys.modules, types.ModuleType)
    Timestamp = beam_scope.Timestamp
    TAGGERS[beam.Row] = lambda value: tag_row(value.__dict__, value.__dict__.values())
    TAGGERS[Timestamp] = lambda value: (..., 2, value.micros)
    TAGGERS[beam_scope.Duration] = lambda value: (..., 3, value.micros)
    limit = setup['timeout']
    if setup['memory']:
        try:
            import resource
            resource.setrlimit(resource.RLIMIT_AS, (setup['memory'], setup['memory']))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        except (ImportError, ValueError, OSError) as e:
            print('purlin: the memory of the python3 worker is not limited: %s' % e, file=sys.stderr)
    if hasattr(signal, 'setitimer'):
        tick = min(1.0, limit / 4)
        signal.signal(signal.SIGALRM, on_tick)
        signal.setitimer(signal.ITIMER_REAL, tick, tick)
    code = setup['code']
    COLUMNS = code['columns']
    functions = []
    for at, job in enumerate(code['jobs']):
        try:
            started = time.monotonic()
            functions.append(load(job, at))
            started = 0.0
        except RowTimeout:
            started = 0.0
            functions.append(failing(timed_out()))
        except BaseException as e:
            started = 0.0
            functions.append(failing(failure(e)))
    truths = [job['truth'] for job in code['jobs']]
    tagged = code['tagged'] if any(code['tagged']) else None
    write_frame(sink, b'R')
    while True:
        kind, body = read_frame(source)
        compute(functions, truths, tagged, body, sink)


main()
