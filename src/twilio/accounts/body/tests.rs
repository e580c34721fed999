use super::*;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use std::io::Write;

const OURS: &str = "AC0123456789abcdef0123456789abcdef";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=b";

fn reaches(content_type: &str, body: &str) -> Result<Vec<Reach>, Unreadable> {
    inspect_body(Some(content_type), None, body.as_bytes()).map(|found| found.reaches().to_vec())
}

fn ours() -> Reach {
    Reach::Account(AccountSid::parse(OURS).expect("a SID"))
}

fn part(name: &str, value: &str) -> String {
    format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

#[test]
fn forms_are_read_in_every_spelling() {
    for body in [
        format!("FriendlyName=x&AccountSid={OURS}"),
        format!("account_sid={OURS}"),
        format!("%41ccount%53id={OURS}"),
        format!("ACCOUNTSID[]={OURS}"),
        format!("a;AccountSid={OURS}"),
        format!("Account%2553id={OURS}"),
        format!("+AccountSid+={OURS}"),
        format!("AccountSid=%41{}", &OURS[1..]),
    ] {
        assert_eq!(reaches(FORM, &body), Ok(vec![ours()]), "{body}");
    }
    let twice = format!("AccountSid={OURS}&AccountSid=ACx");
    assert_eq!(reaches(FORM, &twice), Ok(vec![ours(), Reach::Others]));
    assert_eq!(reaches(FORM, "IncludeSubAccounts=true"), Ok(vec![Reach::Others]));
    for body in ["IncludeSubAccounts=false", "AccountSid=", "AccountNumber=7", "Body=AccountSid", "x"] {
        assert_eq!(reaches(FORM, body), Ok(vec![]), "{body}");
    }
}

#[test]
fn bodies_do_not_change_the_method() {
    let json = "application/json";
    let refused = Err(Unreadable::MethodOverride);
    for body in ["_method=DELETE", "a=b&_METHOD=delete", "%5fmethod=x", "a;_method", "X-HTTP-Method-Override=PUT"] {
        assert_eq!(reaches(FORM, body), refused, "{body}");
    }
    assert_eq!(reaches(MULTIPART, &format!("{}--b--", part("_method", "DELETE"))), refused);
    assert_eq!(reaches(json, r#"{"a":1,"_method":"DELETE"}"#), refused);
    for body in ["Method=GET", "StatusCallbackMethod=POST", "_=1", "x=_method"] {
        assert_eq!(reaches(FORM, body), Ok(vec![]), "{body}");
    }
    assert_eq!(reaches(json, r#"{"a":{"_method":"x"}}"#), Ok(vec![]));
}

#[test]
fn json_is_read_at_every_depth_and_every_repetition() {
    let json = "application/json; charset=utf-8";
    let nested = format!(r#"{{"a":[{{"account_sid":"{OURS}","account_sid":null}}],"b":{{"accountSid":["{OURS}"]}}}}"#);
    assert_eq!(reaches(json, &nested), Ok(vec![ours(), ours()]));
    assert_eq!(reaches(json, &format!(r#"{{"\u0061ccount_sid":"{OURS}"}}"#)), Ok(vec![ours()]));
    for body in
        [r#"{"account_sid":7}"#, r#"{"account_sid":true}"#, r#"{"account_sid":{}}"#, r#"{"includeSubaccounts":1}"#]
    {
        assert_eq!(reaches(json, body), Ok(vec![Reach::Others]), "{body}");
    }
    let harmless = r#"{"losing_carrier_information":{"account_number":"1","account_telephone_number":"2"},"n":1.5}"#;
    assert_eq!(reaches(json, harmless), Ok(vec![]));
    for body in ["{", "{}x", "\u{feff}{}", "{'a':1}", "{\"a\":1,}"] {
        assert_eq!(reaches(json, body), Err(Unreadable::Syntax), "{body}");
    }
    assert_eq!(reaches(json, &"[".repeat(40)), Err(Unreadable::TooMuch));
    assert_eq!(reaches(json, &format!("[{}0]", "0,".repeat(MAX_FIELDS))), Err(Unreadable::TooMuch));
}

#[test]
fn multipart_is_read_in_one_shape_only() {
    let whole = |parts: &str| format!("{parts}--b--\r\n");
    let body = whole(&(part("FriendlyName", "x") + &part("AccountSid", OURS)));
    assert_eq!(reaches(MULTIPART, &body), Ok(vec![ours()]));
    let file = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.pdf\"\r\nContent-Type: application/pdf\r\n\r\n%PDF\r\n";
    assert_eq!(reaches(MULTIPART, &whole(file)), Ok(vec![]));
    for odd in [
        part("a", "x"),
        format!("preamble\r\n{}--b--", part("a", "x")),
        format!("{}--b--epilogue", part("a", "x")),
        whole("--b\r\nContent-Disposition: form-data; name=\"a\"; name=\"b\"\r\n\r\nx\r\n"),
        whole("--b\r\nContent-Disposition: form-data; name*=utf-8''AccountSid\r\n\r\nx\r\n"),
        whole("--b\r\nContent-Disposition: form-data; name=AccountSid\r\n\r\nx\r\n"),
        whole("--b\r\nContent-Disposition: form-data; name=\"a\\\"b\"\r\n\r\nx\r\n"),
        whole("--b\r\nContent-Disposition: form-data;\r\n name=\"a\"\r\n\r\nx\r\n"),
        whole("--b\r\nContent-Disposition: form-data; name=\"a\"\nX: y\r\n\r\nx\r\n"),
        whole("--b\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n"),
        whole("--b\r\nContent-Disposition: form-data; name=\"a\"\r\nContent-Type: multipart/mixed\r\n\r\nx\r\n"),
        whole("--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"),
        whole("--b\n\n"),
        // As readers do that take a bare CR or LF for the end of a line.
        whole(&part("a", "x\n--b\nContent-Disposition: form-data; name=\"AccountSid\"\n\nACx")),
        whole(&part("a", "x\r--b\rContent-Disposition: form-data; name=\"AccountSid\"\r\rACx")),
    ] {
        assert_eq!(reaches(MULTIPART, &odd), Err(Unreadable::Syntax), "{odd}");
    }
}

#[test]
fn types_that_can_not_be_inspected_are_refused() {
    for kind in [
        "text/plain",
        "application/xml",
        "multipart/mixed; boundary=b",
        "multipart/form-data",
        "multipart/form-data; boundary=\"a b\"",
        "multipart/form-data; boundary=a; boundary=b",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/x-www-form-urlencoded, application/json",
        "application/json; charset=utf-7",
        "",
    ] {
        assert_eq!(reaches(kind, "AccountSid=x"), Err(Unreadable::Type), "{kind}");
    }
    let untyped = |body: &str| inspect_body(None, None, body.as_bytes()).map(|found| found.reaches().to_vec());
    assert_eq!(untyped(&format!("AccountSid={OURS}")), Ok(vec![ours()]));
    for body in ["{\"account_sid\":\"x=\"}", "--b\r\n", "AccountSid", "<a b='c'/>", "a=b\n"] {
        assert_eq!(untyped(body), Err(Unreadable::Type), "{body}");
    }
    assert_eq!(inspect_body(Some("text/plain"), Some("br"), b""), Ok(Selectors::default()));
    assert!(reaches("Application/X-WWW-Form-Urlencoded; Charset=\"UTF-8\"", "a=b").is_ok());
    assert!(reaches("application/vnd.twilio+json", "{}").is_ok());
}

#[test]
fn compressed_bodies_are_read_whole() {
    let body = format!("AccountSid={OURS}");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    let gzip = gzip.write_all(body.as_bytes()).and_then(|()| gzip.finish()).expect("memory");
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    let zlib = zlib.write_all(body.as_bytes()).and_then(|()| zlib.finish()).expect("memory");
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::fast());
    let raw = raw.write_all(body.as_bytes()).and_then(|()| raw.finish()).expect("memory");
    let read = |encoding: &str, body: &[u8]| {
        inspect_body(Some(FORM), Some(encoding), body).map(|found| found.reaches().to_vec())
    };
    for (encoding, body) in [("gzip", &gzip), ("X-GZIP, identity", &gzip), ("deflate", &zlib), ("deflate", &raw)] {
        assert_eq!(read(encoding, body), Ok(vec![ours()]), "{encoding}");
    }
    // A second member would be read by some and not by others.
    assert_eq!(read("gzip", &[&gzip[..], &gzip[..]].concat()).map(|found| found.len()), Ok(1));
    for (encoding, body) in [
        ("br", &gzip[..]),
        ("zstd", &gzip[..]),
        ("gzip", body.as_bytes()),
        ("gzip", &gzip[..gzip.len() - 1]),
        ("gzip", &[&gzip[..], b"x"].concat()),
        ("deflate", &[&zlib[..], b"x"].concat()),
        ("gzip, gzip, gzip", &gzip[..]),
        // Begins as zlib does: who takes it so far reads the same bytes otherwise.
        ("deflate", &[&[0x78, 0x01][..], &raw].concat()),
    ] {
        assert_eq!(read(encoding, body), Err(Unreadable::Encoding), "{encoding}");
    }
}

#[test]
fn little_does_not_become_much() {
    let packed = |body: &[u8]| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(body).and_then(|()| gzip.finish()).expect("memory")
    };
    let read = |encoding: &str, body: &[u8]| inspect_body(Some(FORM), Some(encoding), body);
    let letters = "a".repeat(3 << 20);
    assert_eq!(read("gzip", &packed(letters.as_bytes())), Err(Unreadable::TooMuch));
    assert_eq!(read("gzip, gzip", &packed(&packed(letters.as_bytes()))), Err(Unreadable::TooMuch));
    assert!(read("gzip", &packed(format!("Body={}", &letters[..32_000]).as_bytes())).is_ok(), "a long message");
    // What does not shrink much may be large.
    let hex = |n: u64| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes();
    let mixed: Vec<u8> = (0..100_000).flat_map(hex).collect();
    assert!(mixed.len() > 1 << 20 && read("gzip", &packed(&mixed)).is_ok());
}

proptest! {
    #[test]
    fn arbitrary_bodies_never_panic(
        kind in prop_oneof![Just(FORM), Just(MULTIPART), Just("application/json"), "[ -~]{0,20}".prop_map(|_| "x/y")],
        encoding in prop_oneof![Just(None), Just(Some("gzip")), Just(Some("deflate"))],
        body in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'-'), Just(b'\r'), Just(b'\n'), Just(b'b')], 0..200),
    ) {
        let _ = inspect_body(Some(kind), encoding, &body);
    }

    #[test]
    fn a_selector_is_never_missed(before in "[a-zA-Z0-9=&%+]{0,40}", after in "[a-z=&]{0,40}", upper in any::<u16>()) {
        let name: String = "accountsid"
            .chars()
            .enumerate()
            .map(|(at, c)| if upper >> at & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        let found = reaches(FORM, &format!("{before}&{name}={OURS}&{after}")).expect("a form");
        prop_assert!(found.contains(&ours()));
    }
}
