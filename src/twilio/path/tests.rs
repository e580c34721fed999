use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Vec<String>, PathFault> {
    let path = CanonicalPath::parse(text.as_bytes(), None)?;
    Ok(path.segments().map(|segment| segment.decoded().into_owned()).collect())
}

#[test]
fn plain_paths_are_borrowed_whole() {
    let text = "/2010-04-01/Accounts/AC1/Messages.json";
    let path = CanonicalPath::parse(text.as_bytes(), Some(b"PageSize=2&DateSent%3E=2020-01-02")).expect("plain");
    assert_eq!((path.raw(), path.query(), path.len()), (text, Some("PageSize=2&DateSent%3E=2020-01-02"), 4));
    assert_eq!(path.from_segment(2), "/AC1/Messages.json");
    assert!(path.segments().all(|segment| matches!(segment.decoded(), Cow::Borrowed(_))));
    let root = CanonicalPath::parse(b"/", None).expect("the root");
    assert!(root.is_empty() && root.from_segment(0) == "/");
}

#[test]
fn names_with_escapes_are_legal() {
    let text = "/v2/Services/a%7Cb%26c%2Bd%20e%40f%3Ag%3F%23%3B/x%25y/%E3%81%82";
    assert_eq!(parse(text), Ok(["v2", "Services", "a|b&c+d e@f:g?#;", "x%y", "あ"].map(String::from).to_vec()));
    let path = CanonicalPath::parse(text.as_bytes(), None).expect("legal");
    assert_eq!(path.non_ascii(), 1 << 4);
    assert!(parse("/v1/a!$&'()*+,=:@-._~b").is_ok());
}

#[test]
fn what_reads_in_two_ways_is_refused() {
    use PathFault::{
        BadEscape, DotSegment, DoubleEncoding, EmptySegment, EncodedControl, EncodedSlash, NotAbsolute, NotUtf8,
        RawByte,
    };
    for (text, fault) in [
        ("", NotAbsolute),
        ("*", NotAbsolute),
        ("x", NotAbsolute),
        ("http://api.twilio.com/x", NotAbsolute),
        ("//", EmptySegment),
        ("//x", EmptySegment),
        ("/a//b", EmptySegment),
        ("/a/", EmptySegment),
        ("/.", DotSegment),
        ("/a/../b", DotSegment),
        ("/a/.../b", DotSegment),
        ("/a/%2e/b", DotSegment),
        ("/a/%2E%2e/b", DotSegment),
        ("/a/.%2e/b", DotSegment),
        ("/a/..%3Bx/b", DotSegment),
        ("/a/..%3Fx/b", DotSegment),
        ("/a/..%23x/b", DotSegment),
        ("/a/..%20/b", DotSegment),
        ("/a/%20/b", DotSegment),
        ("/a/..;x/b", RawByte),
        ("/a;v=1", RawByte),
        ("/a#b", RawByte),
        ("/a\\b", RawByte),
        ("/a b", RawByte),
        ("/a\0b", RawByte),
        ("/a|b", RawByte),
        ("/a\"b", RawByte),
        ("/é", RawByte),
        ("/a%", BadEscape),
        ("/a%2", BadEscape),
        ("/a%zz", BadEscape),
        ("/a%2/b", BadEscape),
        ("/a%%32", BadEscape),
        ("/a%2Fb", EncodedSlash),
        ("/a%2fb", EncodedSlash),
        ("/a%5Cb", EncodedSlash),
        ("/a%00b", EncodedControl),
        ("/a%0D%0Ab", EncodedControl),
        ("/a%7Fb", EncodedControl),
        ("/a%C2%85b", EncodedControl),
        ("/a%252e", DoubleEncoding),
        ("/a%25%32%65", DoubleEncoding),
        ("/a%2541b", DoubleEncoding),
        ("/a%C0%AE", NotUtf8),
        ("/a%E2%84", NotUtf8),
        ("/a%FF", NotUtf8),
    ] {
        assert_eq!(parse(text), Err(fault), "{text:?}");
    }
    assert_eq!(CanonicalPath::parse(b"/a\xff", None).map(|path| path.len()), Err(RawByte));
}

#[test]
fn queries_are_visible_ascii_with_whole_escapes() {
    for query in ["", "a=b", "DateSent>=2020-01-01", "a=%E3%81%82&b[]={\"x\"}", "a=%250A"] {
        assert!(CanonicalPath::parse(b"/a", Some(query.as_bytes())).is_ok(), "{query}");
    }
    for query in ["a#b", "a b", "a\0", "a\tb", "é", "%", "a=%4", "a=%zz"] {
        let fault = CanonicalPath::parse(b"/a", Some(query.as_bytes())).map(|path| path.len());
        assert_eq!(fault, Err(PathFault::Query), "{query}");
    }
}

#[test]
fn queries_do_not_change_the_method() {
    for query in ["_method=DELETE", "a=b&_METHOD=delete", "%5Fmethod=x", "a;_method", "X-HTTP-Method-Override=PUT"] {
        let fault = CanonicalPath::parse(b"/a", Some(query.as_bytes())).map(|path| path.len());
        assert_eq!(fault, Err(PathFault::MethodOverride), "{query}");
    }
    for query in ["Method=GET", "StatusCallbackMethod=POST", "_=1", "x=_method", "%41=b"] {
        assert!(CanonicalPath::parse(b"/a", Some(query.as_bytes())).is_ok(), "{query}");
    }
}

#[test]
fn ceilings_hold() {
    let most = "/a".repeat(MAX_SEGMENTS);
    assert!(parse(&most).is_ok());
    assert_eq!(parse(&format!("{most}/a")), Err(PathFault::TooLong));
    assert!(parse(&format!("/{}", "a".repeat(MAX_PATH - 1))).is_ok());
    assert_eq!(parse(&format!("/{}", "a".repeat(MAX_PATH))), Err(PathFault::TooLong));
}

/// Bytes of paths that mean something, so that random paths reach the corners.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"/".to_vec()),
        Just(b".".to_vec()),
        Just(b"%2e".to_vec()),
        Just(b"%2F".to_vec()),
        Just(b"%25".to_vec()),
        Just(b"%C3%A9".to_vec()),
        Just(b"%".to_vec()),
        Just(b";".to_vec()),
        Just(b"Keys".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..3),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_a_reading_is_stable(path in hostile(), query in proptest::option::of(hostile())) {
        if let Ok(read) = CanonicalPath::parse(&path, query.as_deref()) {
            prop_assert_eq!(read.raw().as_bytes(), &path[..]);
            let joined: Vec<&str> = read.segments().map(|segment| segment.raw()).collect();
            prop_assert_eq!(format!("/{}", joined.join("/")), read.raw());
            for segment in read.segments() {
                let decoded = segment.decoded();
                prop_assert!(!decoded.contains(['/', '\\', '\0']) && !decoded.is_empty());
                prop_assert!(decoded.chars().any(|c| c != '.'));
                // What is decoded does not decode again.
                prop_assert_eq!(percent_decode_str(&decoded).decode_utf8_lossy(), decoded.as_ref());
            }
        }
    }
}
