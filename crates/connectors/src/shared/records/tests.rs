//! Records at every border of the buffer, and hostile files.

use super::*;
use proptest::prelude::*;
use std::io::Cursor;

const CSV: Framing =
    Framing::Csv { delimiter: b',', quote: Some(b'"'), comment: None, skip_space: false, escape: None };
const COMMENTED: Framing =
    Framing::Csv { delimiter: b',', quote: Some(b'"'), comment: Some(b'#'), skip_space: false, escape: None };

type Seen = (String, u64, Option<Fault>);

fn all(bytes: &[u8], framing: Framing, max: usize, chunk: usize) -> Vec<Seen> {
    let input = Box::new(Cursor::new(bytes.to_vec()));
    let mut records = Records::new(input, "f", framing, max).in_chunks(chunk);
    let mut seen = Vec::new();
    while let Some(r) = records.next().unwrap() {
        seen.push((String::from_utf8_lossy(r.bytes).into_owned(), r.line, r.fault));
    }
    assert_eq!(records.position().0, bytes.len() as u64, "all was read");
    seen
}

fn check(bytes: &str, framing: Framing, want: &[(&str, u64)]) {
    for chunk in [1, 2, 3, 5, 1 << 20] {
        let seen = all(bytes.as_bytes(), framing, 1000, chunk);
        let seen: Vec<(&str, u64)> =
            seen.iter().map(|(t, l, f)| (t.as_str(), if f.is_some() { 0 } else { *l })).collect();
        assert_eq!(seen, want, "in pieces of {chunk}");
    }
}

#[test]
fn lines() {
    check("a\nb\r\n\nc", Framing::Lines, &[("a", 1), ("b", 2), ("", 3), ("c", 4)]);
    check("", Framing::Lines, &[]);
    check("\n", Framing::Lines, &[("", 1)]);
    check("\u{feff}a\n", Framing::Lines, &[("a", 1)]);
    check("a\r", Framing::Lines, &[("a\r", 1)]);
}

#[test]
fn quoted_fields_hold_line_ends() {
    check("a,\"b\nc\"\r\nd\n", CSV, &[("a,\"b\nc\"", 1), ("d", 3)]);
    check("\"x\"\"\n\"\"\"\ny\r", CSV, &[("\"x\"\"\n\"\"\"", 1), ("y", 3)]);
    check("5\" pipe\nnext", CSV, &[("5\" pipe", 1), ("next", 2)]);
    check("# a \"quote\nx#,\"\ny", COMMENTED, &[("# a \"quote", 1), ("x#,\"", 2), ("y", 3)]);
}

#[test]
fn elements_of_an_array() {
    let text = "\n [ {\"a\": \"]}\\\"\"},\n{\"b\":[1,{}]} , 3,\"x,y\"\n,null]\n";
    check(
        text,
        Framing::JsonArray,
        &[("{\"a\": \"]}\\\"\"}", 2), ("{\"b\":[1,{}]}", 3), ("3", 3), ("\"x,y\"", 3), ("null", 4)],
    );
    check("{\"a\":1}\n{\"a\":2}", Framing::JsonArray, &[("{\"a\":1}", 1), ("{\"a\":2}", 2)]);
    let seen = all(b"[{\"a\":1},", Framing::JsonArray, 100, 4);
    assert_eq!(seen.last().unwrap().2, Some(Fault::OpenArray));
}

#[test]
fn a_stray_quote_costs_its_line_only() {
    for chunk in [1, 7, 1 << 20] {
        let seen = all(b"a\nb,\"c\nd\ne\n", CSV, 1000, chunk);
        let fault = Some(Fault::OpenQuote { line: 2, column: Some(3) });
        assert_eq!(
            seen,
            [
                ("a".to_owned(), 1, None),
                ("b,\"c".to_owned(), 2, fault),
                ("d".to_owned(), 3, None),
                ("e".to_owned(), 4, None)
            ],
            "in pieces of {chunk}"
        );
    }
    // The quote stands on the second line of its record.
    let seen = all(b"\"x\ny\",\"z\nlast\n", CSV, 1000, 3);
    assert_eq!(seen[0].2, Some(Fault::OpenQuote { line: 2, column: Some(4) }));
    assert_eq!((seen[1].0.as_str(), seen[1].1), ("last", 3));
}

#[test]
fn many_stray_quotes_do_not_cost_the_square() {
    let text = "\"x\n".repeat(101);
    let seen = all(text.as_bytes(), CSV, 1 << 20, 1 << 20);
    assert!(seen.len() <= 60, "{}", seen.len());
    assert!(seen.iter().any(|s| s.2.is_some()));
}

#[test]
fn a_long_record_is_passed_over() {
    let text = format!("a\n{}\nb\n{}", "x".repeat(5000), "y".repeat(5000));
    for framing in [Framing::Lines, CSV] {
        for chunk in [1, 64, 1 << 20] {
            let seen = all(text.as_bytes(), framing, 1000, chunk);
            let what: Vec<_> = seen.iter().map(|(_, l, f)| (*l, *f)).collect();
            let too_long = Some(Fault::TooLong);
            assert_eq!(what, [(1, None), (2, too_long), (3, None), (4, too_long)], "in pieces of {chunk}");
        }
    }
}

/// A line of a gigabyte, made while it is read.
struct Endless {
    left: u64,
    tail: &'static [u8],
}

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            return self.tail.read(buf);
        }
        let n = buf.len().min(usize::try_from(self.left).unwrap());
        buf[..n].fill(b'x');
        self.left -= n as u64;
        Ok(n)
    }
}

#[test]
fn a_line_of_a_gigabyte_is_never_buffered() {
    for framing in [Framing::Lines, CSV] {
        let input = Box::new(Endless { left: 1 << 30, tail: b"\nnext\n" });
        let mut records = Records::new(input, "f", framing, 1 << 20);
        let first = records.next().unwrap().unwrap();
        assert_eq!((first.line, first.fault, first.bytes.len()), (1, Some(Fault::TooLong), HEAD_BYTES_MAX));
        assert!(!records.at_border());
        let second = records.next().unwrap().unwrap();
        assert_eq!((second.bytes, second.line), (&b"next"[..], 2));
        assert!(records.buf.capacity() <= 4 << 20, "{}", records.buf.capacity());
    }
}

#[test]
fn utf16_is_refused() {
    let mut records = Records::new(Box::new(Cursor::new(b"\xff\xfea\0".to_vec())), "f", Framing::Lines, 10);
    assert!(records.next().unwrap_err().message().contains("UTF-16"));
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        text in "[ab,\"#\\[\\]{}\r\n]{0,60}", chunk in 1usize..9, max in 3usize..70
    ) {
        for framing in [Framing::Lines, CSV, COMMENTED, Framing::JsonArray] {
            let at_once = all(text.as_bytes(), framing, 1000, 1 << 20);
            prop_assert_eq!(&all(text.as_bytes(), framing, 1000, chunk), &at_once);
            // With a small limit there is no panic, and lines only grow.
            let limited = all(text.as_bytes(), framing, max, chunk);
            prop_assert!(limited.windows(2).all(|w| w[0].1 <= w[1].1));
        }
    }

    #[test]
    fn however_a_file_is_cut_every_line_is_read_once(
        mark in any::<bool>(), text in "[ab\r\n]{0,50}", chunk in 1usize..9, max in 1usize..30,
        cuts in prop::collection::btree_set(1u64..53, 0..8),
    ) {
        let text = format!("{}{text}", if mark { "\u{feff}" } else { "" });
        // Of a record that is too long the beginning is kept, up to a border of the buffer.
        let told = |(text, line, fault): Seen| (if fault.is_some() { String::new() } else { text }, line, fault);
        let whole: Vec<Seen> = all(text.as_bytes(), Framing::Lines, max, chunk).into_iter().map(told).collect();
        let (mut seen, mut lines) = (Vec::new(), 0);
        let starts: Vec<u64> = std::iter::once(0).chain(cuts).filter(|c| *c < text.len() as u64).collect();
        for (i, start) in starts.iter().enumerate() {
            let input = Cursor::new(text.as_bytes().to_vec());
            let end = starts.get(i + 1).copied();
            let mut range = Records::range(input, "f", max, *start, end).unwrap().in_chunks(chunk);
            while let Some(r) = range.next().unwrap() {
                let text = String::from_utf8_lossy(r.bytes).into_owned();
                seen.push(told((text, r.line + lines, r.fault)));
            }
            lines += range.position().1 - 1;
        }
        prop_assert_eq!(seen, whole);
    }
}

#[test]
fn a_range_reads_hardly_more_than_itself() {
    /// Counts what is read.
    struct Counted(Cursor<Vec<u8>>, std::sync::Arc<std::sync::atomic::AtomicUsize>);
    impl Read for Counted {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let n = self.0.read(buf)?;
            self.1.fetch_add(n, std::sync::atomic::Ordering::SeqCst);
            Ok(n)
        }
    }
    impl Seek for Counted {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    let text = "0123456\n".repeat(1 << 20).into_bytes();
    let count = std::sync::Arc::default();
    let input = Counted(Cursor::new(text), std::sync::Arc::clone(&count));
    let mut range = Records::range(input, "f", 100, 2 << 20, Some(4 << 20)).unwrap();
    let mut lines = 0;
    while range.next().unwrap().is_some() {
        lines += 1;
    }
    assert_eq!(lines, (2 << 20) / 8);
    let read = count.load(std::sync::atomic::Ordering::SeqCst);
    assert!(((2 << 20)..=(2 << 20) + TAIL_BYTES + 3).contains(&read), "{read}");
}

#[test]
fn a_range_of_utf16_is_refused() {
    let e = Records::range(Cursor::new(b"\xff\xfea\0\n\0b\0".to_vec()), "f", 10, 4, None).err().unwrap();
    assert!(e.message().contains("UTF-16"), "{e}");
}
