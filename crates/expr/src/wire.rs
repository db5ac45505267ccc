//! Values in CPython's `marshal` encoding, version 2: what worker processes read and write at the speed of C.
//!
//! Of the encoding only these types are used: None, booleans, integers of any length, floats, text (UTF-8), bytes,
//! tuples, lists, dictionaries, sets and `...`. Other values are tuples that begin with `...` and a number:
//!
//! | tuple | value |
//! |---|---|
//! | `(..., 1, names, values)` | a row |
//! | `(..., 2, micros)`, `(..., 3, micros)` | Beam's Timestamp and Duration |
//! | `(..., 4, days)`, `(..., 5, micros)` | `datetime.date` since 1970, `datetime.time` since midnight |
//! | `(..., 6, micros, offset)` | `datetime.datetime`: local microseconds since 1970, seconds from UTC or None |
//! | `(..., 7, micros)` | `datetime.timedelta` |
//! | `(..., 8, [items])` | a set, in an order of its own (only from workers) |

use std::rc::Rc;
use std::sync::Arc;

use num_bigint::{BigInt, BigUint, Sign};

use crate::value::{
    DateTime, Dict, Key, Raise, Res, Row, Set, Value, Zone, date_from_days, days_from_date, time_micros,
    value_error,
};

/// Values nested deeper are refused; Python's own limit is 2000.
const DEPTH_MAX: usize = 100;
const ROW: i64 = 1;
const TIMESTAMP: i64 = 2;
const DURATION: i64 = 3;
const DATE: i64 = 4;
const TIME: i64 = 5;
const DATETIME: i64 = 6;
const DELTA: i64 = 7;
const SET: i64 = 8;

/// Appends a tuple of values.
pub(crate) fn put_tuple(out: &mut Vec<u8>, values: &[Value]) -> Res<()> {
    begin(out, b'(', values.len())?;
    values.iter().try_for_each(|v| put(out, v, 0))
}

fn begin(out: &mut Vec<u8>, kind: u8, length: usize) -> Res<()> {
    let length =
        i32::try_from(length).map_err(|_| Raise::new("MemoryError", "a value of more than 2 GiB"))?;
    out.push(kind);
    out.extend(length.to_le_bytes());
    Ok(())
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) -> Res<()> {
    begin(out, b'u', text.len())?;
    out.extend(text.as_bytes());
    Ok(())
}

fn put_int(out: &mut Vec<u8>, int: i64) -> Res<()> {
    match i32::try_from(int) {
        Ok(small) => {
            out.push(b'i');
            out.extend(small.to_le_bytes());
            Ok(())
        }
        Err(_) => put_big(out, &BigInt::from(int)),
    }
}

/// Digits of 15 bits, least first; the sign is that of their number.
fn put_big(out: &mut Vec<u8>, int: &BigInt) -> Res<()> {
    let digits = regroup(int.magnitude().to_bytes_le().into_iter().map(u32::from), 8, 15);
    let count = i32::try_from(digits.len()).map_err(|_| Raise::new("MemoryError", "an integer this long"))?;
    out.push(b'l');
    out.extend((if int.sign() == Sign::Minus { -count } else { count }).to_le_bytes());
    for digit in digits {
        out.extend(u16::try_from(digit).unwrap_or(0).to_le_bytes());
    }
    Ok(())
}

/// Digits of `from` bits as digits of `to` bits, least first, without zeros at the end.
fn regroup(digits: impl Iterator<Item = u32>, from: u32, to: u32) -> Vec<u32> {
    let (mut out, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for digit in digits {
        held |= digit << bits;
        bits += from;
        while bits >= to {
            out.push(held & ((1 << to) - 1));
            held >>= to;
            bits -= to;
        }
    }
    out.push(held);
    while out.last() == Some(&0) {
        out.pop();
    }
    out
}

fn put_tagged(out: &mut Vec<u8>, tag: i64, parts: &[i64]) -> Res<()> {
    begin(out, b'(', 2 + parts.len())?;
    out.push(b'.');
    put_int(out, tag)?;
    parts.iter().try_for_each(|p| put_int(out, *p))
}

fn put(out: &mut Vec<u8>, value: &Value, depth: usize) -> Res<()> {
    if depth > DEPTH_MAX {
        return Err(value_error("the value is nested too deep for a python3 worker"));
    }
    match value {
        Value::None => out.push(b'N'),
        Value::Bool(b) => out.push(if *b { b'T' } else { b'F' }),
        Value::Int(i) => put_int(out, *i)?,
        Value::Big(i) => put_big(out, i)?,
        Value::Float(f) => {
            out.push(b'g');
            out.extend(f.to_le_bytes());
        }
        Value::Str(s) => put_text(out, s)?,
        Value::Bytes(b) => {
            begin(out, b's', b.len())?;
            out.extend(b.iter());
        }
        Value::List(l) => {
            let items = l.0.borrow();
            begin(out, b'[', items.len())?;
            items.iter().try_for_each(|v| put(out, v, depth + 1))?;
        }
        Value::Dict(d) => {
            out.push(b'{');
            for (key, item) in d.0.borrow().iter() {
                put(out, key.value(), depth + 1)?;
                put(out, item, depth + 1)?;
            }
            out.push(b'0');
        }
        Value::Row(row) => {
            begin(out, b'(', 4)?;
            out.push(b'.');
            put_int(out, ROW)?;
            begin(out, b'(', row.names.len())?;
            row.names.iter().try_for_each(|n| put_text(out, n))?;
            begin(out, b'(', row.values.len())?;
            row.values.iter().try_for_each(|v| put(out, v, depth + 1))?;
        }
        Value::Timestamp(t) => put_tagged(out, TIMESTAMP, &[*t])?,
        Value::Duration(d) => put_tagged(out, DURATION, &[*d])?,
        Value::Date(d) => put_tagged(out, DATE, &[i64::from(days_from_date(*d))])?,
        Value::Time(t) => put_tagged(out, TIME, &[time_micros(*t)])?,
        // Columns hold datetimes without a zone.
        Value::DateTime(d) => put_tagged(out, DATETIME, &[d.local_micros()])?,
        Value::Delta(d) => put_tagged(out, DELTA, &[*d])?,
        other => {
            let text = format!("a value of type {} cannot be sent to a python3 worker", other.type_name());
            return Err(value_error(text));
        }
    }
    Ok(())
}

/// Reads one value; all of `bytes` must be it.
pub(crate) fn read(bytes: &[u8]) -> Res<Value> {
    let mut reader = Reader { rest: bytes };
    let value = reader.value(0)?;
    if reader.rest.is_empty() { Ok(value) } else { Err(unreadable()) }
}

fn unreadable() -> Raise {
    value_error("the python3 worker sent a value that cannot be read")
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Res<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or_else(unreadable)?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Res<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or_else(unreadable)?;
        self.rest = tail;
        Ok(*head)
    }

    fn length(&mut self) -> Res<usize> {
        let length = usize::try_from(i32::from_le_bytes(self.array()?)).map_err(|_| unreadable())?;
        // Each item has at least a byte: nothing is reserved for what is not there.
        if length > self.rest.len() { Err(unreadable()) } else { Ok(length) }
    }

    fn items(&mut self, depth: usize) -> Res<Vec<Value>> {
        let length = self.length()?;
        (0..length).map(|_| self.value(depth + 1)).collect()
    }

    fn value(&mut self, depth: usize) -> Res<Value> {
        if depth > DEPTH_MAX {
            return Err(value_error("the value of the python3 worker is nested too deep"));
        }
        let [kind] = self.array()?;
        Ok(match kind {
            b'N' => Value::None,
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'.' => Value::Ellipsis,
            b'i' => Value::Int(i64::from(i32::from_le_bytes(self.array()?))),
            b'l' => self.big()?,
            b'g' => Value::Float(f64::from_le_bytes(self.array()?)),
            b'u' => {
                let length = self.length()?;
                let text = std::str::from_utf8(self.take(length)?);
                Value::str(text.map_err(|_| {
                    Raise::new("UnicodeEncodeError", "a text with surrogates, which UTF-8 does not have")
                })?)
            }
            b's' => {
                let length = self.length()?;
                Value::Bytes(self.take(length)?.into())
            }
            b'(' => {
                let items = self.items(depth)?;
                if matches!(items.first(), Some(Value::Ellipsis)) {
                    tagged(&items)?
                } else {
                    Value::tuple(items)
                }
            }
            b'[' => Value::list(self.items(depth)?),
            b'{' => {
                let mut dict = Dict::new();
                while self.rest.first() != Some(&b'0') {
                    let key = Key::new(self.value(depth + 1)?)?;
                    dict.insert(key, self.value(depth + 1)?);
                }
                self.take(1)?;
                Value::dict(dict)
            }
            _ => return Err(unreadable()),
        })
    }

    fn big(&mut self) -> Res<Value> {
        let count = i32::from_le_bytes(self.array()?);
        let digits = self.take((count.unsigned_abs() as usize).saturating_mul(2))?;
        let digits = digits.chunks_exact(2).map(|d| match d {
            [low, high] => u32::from(u16::from_le_bytes([*low, *high])),
            _ => 0,
        });
        let bytes: Vec<u8> =
            regroup(digits, 15, 8).into_iter().map(|b| u8::try_from(b).unwrap_or(0)).collect();
        let sign = if count < 0 { Sign::Minus } else { Sign::Plus };
        Ok(Value::from_big(BigInt::from_biguint(sign, BigUint::from_bytes_le(&bytes))))
    }
}

fn tagged(items: &[Value]) -> Res<Value> {
    let micros = |v: &Value| match v {
        Value::Int(i) => Ok(*i),
        // Longer than any instant that has a place here.
        Value::Big(_) => Err(Raise::new("OverflowError", "date value out of range")),
        _ => Err(unreadable()),
    };
    let out_of_range = || Raise::new("OverflowError", "date value out of range");
    let Some((Value::Int(tag), parts)) = items.get(1..).and_then(<[Value]>::split_first) else {
        return Err(value_error("`...` cannot leave the python3 worker"));
    };
    Ok(match (*tag, parts) {
        (ROW, [Value::Tuple(names), Value::Tuple(values)]) if names.0.len() == values.0.len() => {
            let name = |v: &Value| v.as_str().map(Arc::from).ok_or_else(unreadable);
            let names: Vec<Arc<str>> = names.0.iter().map(name).collect::<Res<_>>()?;
            Value::Row(Rc::new(Row { names: names.into(), values: values.0.clone() }))
        }
        (TIMESTAMP, [at]) => Value::Timestamp(micros(at)?),
        (DURATION, [length]) => Value::Duration(micros(length)?),
        (DATE, [days]) => {
            let days = i32::try_from(micros(days)?).ok().and_then(date_from_days);
            Value::Date(days.ok_or_else(out_of_range)?)
        }
        (TIME, [at]) => {
            let at = DateTime::from_local_micros(micros(at)?, None).ok_or_else(out_of_range)?;
            Value::Time(at.naive.time())
        }
        (DATETIME, [at, offset]) => {
            let zone = match offset {
                Value::None => None,
                Value::Int(o) => {
                    Some(Zone { offset: i32::try_from(*o).map_err(|_| unreadable())?, name: None })
                }
                _ => return Err(unreadable()),
            };
            let at = DateTime::from_local_micros(micros(at)?, zone).ok_or_else(out_of_range)?;
            Value::DateTime(Rc::new(at))
        }
        (DELTA, [length]) => Value::Delta(micros(length)?),
        (SET, [Value::List(items)]) => {
            let items = items.0.borrow().iter().map(|v| Key::new(v.clone())).collect::<Res<Set>>()?;
            Value::set(items, false)
        }
        _ => return Err(unreadable()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::repr;
    use proptest::prelude::*;

    #[track_caller]
    fn there_and_back(value: &Value) -> String {
        let mut out = Vec::new();
        put(&mut out, value, 0).map_err(|r| r.exception.kind).unwrap();
        let back = read(&out).map_err(|r| r.exception.kind).unwrap();
        assert_eq!(repr(&back).ok(), repr(value).ok());
        out.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn the_encoding_is_that_of_cpython() {
        // `marshal.dumps(value, 2).hex()`
        assert_eq!(there_and_back(&Value::Int(7)), "6907000000");
        assert_eq!(there_and_back(&Value::Int(-(1 << 40))), "6cfdffffff000000000004");
        assert_eq!(there_and_back(&Value::Int(i64::MIN)), "6cfbffffff00000000000000000800");
        assert_eq!(there_and_back(&Value::from_big(BigInt::from(1) << 64)), "6c0500000000000000000000001000");
        assert_eq!(there_and_back(&Value::Float(1.5)), "67000000000000f83f");
        assert_eq!(there_and_back(&Value::str("é")), "7502000000c3a9");
        assert_eq!(there_and_back(&Value::list(vec![Value::None])), "5b010000004e");
    }

    #[test]
    fn what_is_not_a_value_is_refused() {
        for bytes in
            [&b""[..], b"x", b"i\0", b"[\xff\xff\xff\x7f", b"NN", b"(\x01\0\0\0.", b"{N", b"u\x01\0\0\0\xff"]
        {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        let deep = [b"[\x01\0\0\0".repeat(100_000), b"N".to_vec()].concat();
        assert!(read(&deep).is_err());
    }

    proptest! {
        #[test]
        fn integers_keep_their_value(int: i64, shift in 0_u32..200) {
            there_and_back(&Value::Int(int));
            there_and_back(&Value::from_big(BigInt::from(int) << shift));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(value) = read(&bytes) {
                prop_assert!(repr(&value).is_ok());
            }
        }
    }
}
