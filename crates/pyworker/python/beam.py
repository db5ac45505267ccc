# The part of `apache_beam` that functions of pipelines use: rows and instants. Beam itself is not needed.
import datetime


class Row(object):
    """A row with fields as attributes, in order."""

    def __init__(self, **fields):
        self.__dict__.update(fields)

    def as_dict(self):
        return dict(self.__dict__)

    _asdict = as_dict

    @property
    def _fields(self):
        return tuple(self.__dict__)

    def __iter__(self):
        return iter(tuple(self.__dict__.values()))

    def __len__(self):
        return len(self.__dict__)

    def __getitem__(self, at):
        return tuple(self.__dict__.values())[at]

    def __repr__(self):
        return 'Row(%s)' % ', '.join('%s=%r' % field for field in self.__dict__.items())

    def __hash__(self):
        return hash(tuple(self.__dict__.items()))

    def __eq__(self, other):
        if not isinstance(other, Row):
            return NotImplemented
        return list(self.__dict__.items()) == list(other.__dict__.items())

    def __reduce__(self):
        return _make_row, (dict(self.__dict__),)


def _make_row(fields):
    return Row(**fields)


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_MICRO = datetime.timedelta(microseconds=1)


def _micros(value):
    if isinstance(value, (Timestamp, Duration)):
        return value.micros
    if isinstance(value, datetime.timedelta):
        return value // _MICRO
    if isinstance(value, datetime.datetime):
        return Timestamp.from_utc_datetime(value).micros
    if isinstance(value, (int, float)):
        return int(value * 1000000)
    raise TypeError('cannot take %s for seconds' % type(value).__name__)


class _Micros(object):
    __slots__ = ('micros',)

    def __init__(self, seconds=0, micros=0):
        if not isinstance(seconds, (int, float)):
            raise TypeError('Cannot interpret %s %s as seconds.' % (seconds, type(seconds)))
        self.micros = int(seconds * 1000000) + int(micros)

    @classmethod
    def _of(cls, micros):
        made = cls.__new__(cls)
        made.micros = micros
        return made

    @classmethod
    def of(cls, seconds):
        if isinstance(seconds, cls):
            return seconds
        return cls._of(_micros(seconds))

    def __float__(self):
        return self.micros / 1000000

    def __hash__(self):
        return hash(self.micros)

    def __eq__(self, other):
        try:
            return self.micros == _micros(other)
        except TypeError:
            return NotImplemented

    def __lt__(self, other):
        return self.micros < _micros(other)

    def __le__(self, other):
        return self.micros <= _micros(other)

    def __gt__(self, other):
        return self.micros > _micros(other)

    def __ge__(self, other):
        return self.micros >= _micros(other)

    def __add__(self, other):
        if isinstance(other, Timestamp):
            return Timestamp._of(self.micros + other.micros)
        return type(self)._of(self.micros + _micros(other))

    __radd__ = __add__

    def __mod__(self, other):
        return Duration._of(self.micros % _micros(other))

    def _text(self):
        sign, micros = ('-', -self.micros) if self.micros < 0 else ('', self.micros)
        seconds, rest = divmod(micros, 1000000)
        return '%s%d.%06d' % (sign, seconds, rest) if rest else '%s%d' % (sign, seconds)

    def __repr__(self):
        return '%s(%s)' % (type(self).__name__, self._text())


class Timestamp(_Micros):
    """An instant, in microseconds since 1970."""

    __slots__ = ()

    @classmethod
    def now(cls):
        return cls.from_utc_datetime(datetime.datetime.now(datetime.timezone.utc))

    @classmethod
    def from_utc_datetime(cls, dt):
        if dt.tzinfo is None:
            raise ValueError('dt has no timezone info (%s)' % dt)
        if dt.utcoffset():
            raise ValueError('%s not in UTC' % dt)
        return cls._of((dt - _EPOCH) // _MICRO)

    @classmethod
    def from_rfc3339(cls, text):
        dt = datetime.datetime.fromisoformat(text[:-1] + '+00:00' if text[-1:] in 'zZ' else text)
        if dt.tzinfo is None:
            raise ValueError('%s has no offset' % text)
        return cls._of((dt - _EPOCH) // _MICRO)

    def to_utc_datetime(self, has_tz=False):
        dt = _EPOCH + datetime.timedelta(microseconds=self.micros)
        return dt if has_tz else dt.replace(tzinfo=None)

    def to_rfc3339(self):
        return self.to_utc_datetime().isoformat() + 'Z'

    def seconds(self):
        return self.micros // 1000000

    def __int__(self):
        return self.micros // 1000000

    def __sub__(self, other):
        if isinstance(other, (Timestamp, datetime.datetime)):
            return Duration._of(self.micros - _micros(other))
        return Timestamp._of(self.micros - _micros(other))


class Duration(_Micros):
    """A length of time, in microseconds."""

    __slots__ = ()

    def __neg__(self):
        return Duration._of(-self.micros)

    def __sub__(self, other):
        return Duration._of(self.micros - _micros(other))

    def __rsub__(self, other):
        return Duration._of(_micros(other) - self.micros)

    def __mul__(self, factor):
        return Duration._of(int(self.micros * factor))

    __rmul__ = __mul__


def install(modules, module_type):
    """Makes them importable under Beam's names."""
    beam = module_type('apache_beam')
    utils = module_type('apache_beam.utils')
    timestamp = module_type('apache_beam.utils.timestamp')
    pvalue = module_type('apache_beam.pvalue')
    for package in (beam, utils):
        package.__path__ = []
    beam.Row = pvalue.Row = Row
    Row.__module__ = 'apache_beam.pvalue'
    beam.utils, beam.pvalue, utils.timestamp = utils, pvalue, timestamp
    timestamp.Timestamp, timestamp.Duration = Timestamp, Duration
    Timestamp.__module__ = Duration.__module__ = 'apache_beam.utils.timestamp'
    for module in (beam, utils, timestamp, pvalue):
        modules[module.__name__] = module
    return beam
