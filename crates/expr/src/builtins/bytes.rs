//! Bytes: encoding, decoding, methods.

use std::sync::Arc;

use crate::interp::{Args, Machine};
use crate::value::{Raise, Res, Value, raise, repr, type_error, value_error};

const NAMES: &[&str] = &[
    "count",
    "decode",
    "endswith",
    "find",
    "hex",
    "join",
    "lower",
    "replace",
    "split",
    "startswith",
    "strip",
    "upper",
];

pub(super) fn names() -> Vec<&'static str> {
    NAMES.to_vec()
}

fn codec(encoding: Option<&Value>) -> Res<String> {
    match encoding {
        None | Some(Value::None) => Ok("utf8".to_owned()),
        Some(Value::Str(name)) => Ok(name.to_lowercase().replace(['-', '_', ' '], "")),
        Some(other) => Err(type_error(format!("encoding must be str, not {}", other.type_name()))),
    }
}

/// `text.encode(encoding, errors)`.
pub(super) fn encode(s: &str, encoding: Option<&Value>, errors: Option<&Value>) -> Res<Value> {
    let limit = match codec(encoding)?.as_str() {
        "utf8" | "utf" | "u8" => return Ok(Value::Bytes(s.as_bytes().into())),
        "utf16le" => return Ok(Value::Bytes(s.encode_utf16().flat_map(u16::to_le_bytes).collect())),
        "utf16be" => return Ok(Value::Bytes(s.encode_utf16().flat_map(u16::to_be_bytes).collect())),
        "ascii" | "usascii" => 0x80,
        "latin1" | "iso88591" | "l1" => 0x100,
        other => return raise("LookupError", format!("unknown encoding: {other}")),
    };
    let codec = if limit == 0x80 { "ascii" } else { "latin-1" };
    let mut out = Vec::with_capacity(s.len());
    for (at, c) in s.chars().enumerate() {
        let code = u32::from(c);
        match u8::try_from(code) {
            Ok(byte) if code < limit => out.push(byte),
            _ => match errors.and_then(Value::as_str) {
                Some("ignore") => {}
                Some("replace") => out.push(b'?'),
                _ => {
                    let reason = format!("ordinal not in range({limit})");
                    let args = vec![
                        Value::str(codec),
                        Value::str(s),
                        Value::from_usize(at),
                        Value::from_usize(at + 1),
                        Value::str(reason),
                    ];
                    return Err(Raise::with_args("UnicodeEncodeError", args));
                }
            },
        }
    }
    Ok(Value::Bytes(out.into()))
}

/// `bytes.decode(encoding, errors)`.
pub(super) fn decode(b: &[u8], encoding: Option<&Value>, errors: Option<&Value>) -> Res<Value> {
    let errors = errors.and_then(Value::as_str).unwrap_or("strict");
    match codec(encoding)?.as_str() {
        "latin1" | "iso88591" | "l1" => Ok(Value::str(b.iter().map(|b| char::from(*b)).collect::<String>())),
        "ascii" | "usascii" => match b.iter().position(|b| !b.is_ascii()) {
            Some(at) if errors == "strict" => {
                Err(undecodable("ascii", b, at, at + 1, "ordinal not in range(128)"))
            }
            _ => {
                let plain = |b: &u8| {
                    if b.is_ascii() {
                        Some(char::from(*b))
                    } else {
                        (errors == "replace").then_some('\u{fffd}')
                    }
                };
                Ok(Value::str(b.iter().filter_map(plain).collect::<String>()))
            }
        },
        "utf8" | "utf" | "u8" | "utf8sig" => match (std::str::from_utf8(b), errors) {
            (Ok(s), _) => Ok(Value::str(s)),
            (Err(_), "replace") => Ok(Value::str(String::from_utf8_lossy(b))),
            (Err(_), "ignore") => {
                Ok(Value::str(b.utf8_chunks().map(|chunk| chunk.valid()).collect::<String>()))
            }
            (Err(e), _) => {
                let at = e.valid_up_to();
                let first = b.get(at).copied().unwrap_or(0);
                let reason = match e.error_len() {
                    None => "unexpected end of data",
                    Some(_) if (0x80..0xc2).contains(&first) || first > 0xf4 => "invalid start byte",
                    Some(_) => "invalid continuation byte",
                };
                let end = e.error_len().map_or(b.len(), |n| at + n);
                Err(undecodable("utf-8", b, at, end, reason))
            }
        },
        other => raise("LookupError", format!("unknown encoding: {other}")),
    }
}

fn undecodable(codec: &str, b: &[u8], at: usize, end: usize, reason: &str) -> Raise {
    let args = vec![
        Value::str(codec),
        Value::Bytes(b.into()),
        Value::from_usize(at),
        Value::from_usize(end),
        Value::str(reason),
    ];
    Raise::with_args("UnicodeDecodeError", args)
}

pub(super) fn from_hex(digits: &str) -> Res<Value> {
    let plain: Vec<u8> = digits.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let pair = |p: &[u8]| {
        let text = std::str::from_utf8(p).ok().filter(|t| t.len() == 2 && !t.starts_with('+'))?;
        u8::from_str_radix(text, 16).ok()
    };
    let out: Option<Vec<u8>> = plain.chunks(2).map(pair).collect();
    match out {
        Some(out) => Ok(Value::Bytes(out.into())),
        None => Err(value_error("non-hexadecimal number found in fromhex() arg")),
    }
}

/// `bytes.name(args)`. What works on characters works on bytes: each stands for itself.
pub(super) fn call(machine: &mut Machine<'_>, b: &Arc<[u8]>, name: &str, args: Args) -> Res<Value> {
    match name {
        "decode" => {
            let [encoding, errors] = args.bind("decode", ["encoding", "errors"], 0)?;
            decode(b, encoding.as_ref(), errors.as_ref())
        }
        "hex" => {
            args.none("hex")?;
            machine.text(b.iter().map(|b| format!("{b:02x}")).collect())
        }
        "upper" => args.none("upper").map(|()| Value::Bytes(b.to_ascii_uppercase().into())),
        "lower" => args.none("lower").map(|()| Value::Bytes(b.to_ascii_lowercase().into())),
        name if NAMES.contains(&name) => {
            let text = as_text(&Value::Bytes(Arc::clone(b)))?;
            let args = Args {
                positional: args.positional.iter().map(as_text).collect::<Res<_>>()?,
                keywords: args.keywords,
            };
            let out = super::call_method(machine, &text, name, args)?;
            as_bytes(&out)
        }
        _ => Err(super::no_attribute(&Value::Bytes(Arc::clone(b)), name)),
    }
}

fn as_text(value: &Value) -> Res<Value> {
    Ok(match value {
        Value::Bytes(b) => Value::str(b.iter().map(|b| char::from(*b)).collect::<String>()),
        Value::Str(_) => return Err(type_error("a bytes-like object is required, not 'str'")),
        Value::List(l) => Value::list(l.0.borrow().iter().map(as_text).collect::<Res<_>>()?),
        Value::Tuple(t) => Value::tuple(t.0.iter().map(as_text).collect::<Res<_>>()?),
        other => other.clone(),
    })
}

fn as_bytes(value: &Value) -> Res<Value> {
    Ok(match value {
        Value::Str(s) => {
            let narrow =
                |c: char| u8::try_from(u32::from(c)).map_err(|_| value_error(format!("bytes of {c:?}")));
            Value::Bytes(s.chars().map(narrow).collect::<Res<Vec<u8>>>()?.into())
        }
        Value::List(l) => Value::list(l.0.borrow().iter().map(as_bytes).collect::<Res<_>>()?),
        other => other.clone(),
    })
}

/// An integer from its bytes: `int.from_bytes` in its unsigned form.
pub(super) fn int_from(b: &Value, order: &Value) -> Res<Value> {
    let Value::Bytes(b) = b else {
        return Err(type_error(format!("cannot convert '{}' object to bytes", b.type_name())));
    };
    let sign = num_bigint::Sign::Plus;
    if b.len() as u64 > crate::interp::BITS_MAX / 8 {
        let message = format!("an integer of more than {} bits", crate::interp::BITS_MAX);
        return raise("MemoryError", message);
    }
    match order.as_str() {
        Some("big") => Ok(Value::from_big(num_bigint::BigInt::from_bytes_be(sign, b))),
        Some("little") => Ok(Value::from_big(num_bigint::BigInt::from_bytes_le(sign, b))),
        _ => {
            let shown = repr(order)?;
            Err(value_error(format!("byteorder must be either 'little' or 'big', not {shown}")))
        }
    }
}
