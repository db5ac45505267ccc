use super::*;
use arrow_array::RecordBatch;
use arrow_schema::Schema;
use proptest::prelude::*;
use purlin_api::json::row_to_json;
use purlin_api::shape::{physical, type_name};

const ORDER: &str = r#"
// An order.
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";

enum State { option allow_alias = false; NEW = 0; PAID = 1 [deprecated = true]; }
message Item { string sku = 1; uint32 count = 2; reserved 3 to 9; }
/* What comes
   in. */
message Order {
  int64 id = 1;
  sint32 delta = 2;
  double amount = 3;
  float rate = 4;
  bool paid = 5;
  string name = 6;
  bytes raw = 7;
  State state = 8;
  repeated Item items = 9;
  repeated int32 codes = 10 [packed = true];
  optional string note = 11;
  google.protobuf.Timestamp at = 12;
  sfixed64 fixed = 13;
  .shop.Item best = 14;
  map<string, int32> labels = 15;
}
"#;

/// What Google's Python library writes of the order in [`ROW`], and of one whose state has no name.
const BYTES: &str = "08f9ffffffffffffffff01100519000000000000f83f250000803e280132046bc3b6743a0200ff40014a050a0161100\
                     24a00520d01feffffffffffffffff01ac025a00620b0880e2cfaa0610959aef3a69ffffffffffffffff72030a01627a\
                     050a01781005";
const ODD_STATE: &str = "4009";

const ROW: &str = concat!(
    r#"{"id":-7,"delta":-3,"amount":1.5,"rate":0.25,"paid":true,"name":"köt","raw":"\u0000�","state":"PAID","#,
    r#""items":[{"sku":"a","count":2},{"sku":"","count":0}],"codes":[1,-2,300],"note":"","#,
    r#""at":"2023-11-14T22:13:20.123456Z","fixed":-1,"best":{"sku":"b","count":0},"labels":{"x":5}}"#
);

fn hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn reader(text: &str) -> Reader {
    let message = Message::parse(text).unwrap();
    let schema = physical(&Schema::new(message.fields()));
    let needed = vec![true; schema.fields().len()];
    Reader::new(&message, &schema, &needed)
}

fn texts(rows: &RecordBatch) -> Vec<String> {
    (0..rows.num_rows()).map(|i| row_to_json(rows, i).to_string()).collect()
}

#[test]
fn columns_of_a_message() {
    let fields = Message::parse(ORDER).unwrap().fields();
    let types: Vec<String> = fields.iter().map(|f| format!("{} {}", f.name(), type_name(f))).collect();
    assert_eq!(
        types[8..].join("; "),
        "items list<row<sku: str, count: int>>; codes list<int>; note str; at timestamp; fixed int; best row<sku: str, \
         count: int>; labels map<str, int>"
    );
    let nullable: Vec<&str> = fields.iter().filter(|f| f.is_nullable()).map(|f| f.name().as_str()).collect();
    assert_eq!(nullable, ["note", "at", "best"]);
}

#[test]
fn what_others_write_is_read_and_written_alike() {
    let mut r = reader(ORDER);
    r.push(&hex(BYTES)).unwrap();
    r.push(&[]).unwrap();
    r.push(&hex(ODD_STATE)).unwrap();
    let rows = r.finish().unwrap();
    let got = texts(&rows);
    assert_eq!(got[0], ROW);
    assert_eq!(
        got[1],
        r#"{"id":0,"delta":0,"amount":0.0,"rate":0.0,"paid":false,"name":"","raw":"","state":"NEW","items":[],"codes":[],"note":null,"at":null,"fixed":0,"best":null,"labels":{}}"#
    );
    assert!(got[2].contains(r#""state":"9""#));
    let message = Message::parse(ORDER).unwrap();
    let writer = Writer::new(message, rows.schema_ref().fields()).unwrap();
    let written = |row| {
        let mut out = Vec::new();
        writer.write(&rows, row, &mut out).unwrap();
        out
    };
    assert!(written(1).is_empty());
    assert_eq!(written(2), hex(ODD_STATE));
    // Numbers are not packed, nanoseconds are cut: read again it is the same row.
    r.push(&written(0)).unwrap();
    assert_eq!(texts(&r.finish().unwrap()), [ROW]);
}

#[test]
fn the_last_value_counts_and_parts_are_joined() {
    let mut r = reader(
        "message A { int32 a = 1; B b = 2; oneof c { string d = 3; int32 e = 4; } } message B { int32 x = 1; int32 y = 2; }",
    );
    // a = 1, b.x = 5, unknown field 9, a = 2, b.y = 6
    r.push(&[8, 1, 18, 2, 8, 5, 72, 0, 8, 2, 18, 2, 16, 6]).unwrap();
    assert_eq!(texts(&r.finish().unwrap()), [r#"{"a":2,"b":{"x":5,"y":6},"d":null,"e":null}"#]);
}

#[test]
fn what_is_no_message_is_said_and_leaves_no_trace() {
    let mut r = reader("message A { string a = 1; repeated int32 b = 2; uint64 c = 3; }");
    let said = |r: &mut Reader, bytes: &[u8]| r.push(bytes).unwrap_err();
    assert!(said(&mut r, &[10, 5, b'x']).contains("ends inside a field"));
    assert!(said(&mut r, &[10, 1, 0xff]).contains("`a`: the text is not UTF-8"));
    assert!(said(&mut r, &[8, 1]).contains("`a`: what stands there is not a string"));
    assert!(said(&mut r, &[18, 2, 1, 0x80]).contains("`b`"));
    assert!(
        said(&mut r, &[24, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])
            .contains("more than an int holds")
    );
    assert!(said(&mut r, &[0xff; 12]).contains("has no end"));
    assert!(said(&mut r, &[11]).contains("group"));
    r.push(&[10, 1, b'x', 16, 7]).unwrap();
    assert_eq!(texts(&r.finish().unwrap()), [r#"{"a":"x","b":[7],"c":0}"#]);
}

#[test]
fn rows_that_cannot_be_messages() {
    let rows = purlin_api::testing::rows(r#"[{"a": 5000000000, "b": "x"}]"#).unwrap();
    let writer = |text: &str| Writer::new(Message::parse(text).unwrap(), rows.schema_ref().fields());
    assert!(writer("message A { int32 a = 1; }").unwrap_err().contains("has no field `b`"));
    assert!(
        writer("message A { string a = 1; string b = 2; }")
            .unwrap_err()
            .contains("`a` cannot be written as a string")
    );
    let narrow = writer("message A { int32 a = 1; string b = 2; }").unwrap();
    assert!(narrow.write(&rows, 0, &mut Vec::new()).unwrap_err().contains("5000000000 is no int32"));
    let odd = writer("message A { int64 a = 1; E b = 2; } enum E { X = 0; }").unwrap();
    assert!(odd.write(&rows, 0, &mut Vec::new()).unwrap_err().contains("`x` is no value of the enum"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60), flips in prop::collection::vec((0_usize..130, any::<u8>()), 0..4)) {
        let mut damaged = hex(BYTES);
        for (at, byte) in flips {
            if let Some(b) = damaged.get_mut(at) {
                *b = byte;
            }
        }
        let mut r = reader(ORDER);
        let taken = [bytes.as_slice(), &damaged].iter().filter(|b| r.push(b).is_ok()).count();
        prop_assert_eq!(r.finish().unwrap().num_rows(), taken);
    }

    #[test]
    fn any_text_is_a_message_or_refused(text in "[a-z0-9 ={};<>,\\.\"/*\\n]{0,80}|message A \\{( (int32|string|B|map<string, A>) [ab] = [0-3];){0,3} \\}") {
        let _known = Message::parse(&text).is_ok();
    }
}
