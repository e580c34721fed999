//! What arrived: the last requests, for tests. Never a secret: of credentials only the name and the scheme are kept.

use super::auth::Credential;
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Uri};
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// Most requests kept; the oldest goes first. About 300 bytes each.
pub const MAX_SEEN: usize = 100_000;

/// One request that arrived.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Its number since the start, from 1.
    pub number: u64,
    /// The method.
    #[serde(serialize_with = "as_text")]
    pub method: Method,
    /// `Host`, or HTTP/2's `:authority`.
    pub host: Box<str>,
    /// The raw path.
    pub path: Box<str>,
    /// The raw query; empty for none.
    pub query: Box<str>,
    /// The name in the credential: `AC…` or `SK…`.
    pub sid: Option<Box<str>>,
    /// The scheme of `Authorization`, where it is a known one.
    pub authorization: Option<&'static str>,
    /// The names of the headers, in lower case, in the order they came.
    #[serde(serialize_with = "as_names")]
    pub headers: Arc<[HeaderName]>,
}

fn as_text<S: serde::Serializer>(method: &Method, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(method.as_str())
}

fn as_names<S: serde::Serializer>(names: &Arc<[HeaderName]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(HeaderName::as_str))
}

/// The log.
#[derive(Debug, Default)]
pub struct Log(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    count: u64,
    seen: VecDeque<Seen>,
}

impl Log {
    /// Notes a request.
    pub fn note(&self, method: &Method, uri: &Uri, headers: &HeaderMap, credential: Option<&Credential>) {
        let host = host(uri, headers);
        let sid = credential.and_then(Credential::sid).map(|sid| sid.as_str().into());
        let (path, query) = (uri.path().into(), uri.query().unwrap_or_default().into());
        let (method, authorization) = (method.clone(), scheme(headers));
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A caller sends the same headers again and again: their names are kept once.
        let same = kept.seen.back().filter(|last| last.headers.iter().eq(headers.keys()));
        let headers = same.map_or_else(|| headers.keys().cloned().collect(), |last| last.headers.clone());
        kept.count += 1;
        let number = kept.count;
        if kept.seen.len() == MAX_SEEN {
            kept.seen.pop_front();
        }
        kept.seen.push_back(Seen { number, method, host, path, query, sid, authorization, headers });
    }

    /// How many there were since the start or the last clearing, and the newest `most` of them, oldest first.
    pub fn newest(&self, most: usize) -> (u64, Vec<Seen>) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = kept.seen.len().saturating_sub(most);
        (kept.count, kept.seen.iter().skip(skip).cloned().collect())
    }

    /// Forgets all.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }
}

/// The host that a request names.
pub fn host(uri: &Uri, headers: &HeaderMap) -> Box<str> {
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let header = || headers.get(header::HOST).and_then(|value| value.to_str().ok());
    authority.or_else(header).unwrap_or_default().into()
}

/// The scheme by a fixed list: what is not on it may be a secret without a scheme before it.
fn scheme(headers: &HeaderMap) -> Option<&'static str> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let scheme = value.split(|b| *b == b' ').next().unwrap_or_default();
    let known = ["Basic", "Bearer", "Digest"];
    Some(known.into_iter().find(|name| scheme.eq_ignore_ascii_case(name.as_bytes())).unwrap_or("other"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn nothing_secret_is_kept() {
        let log = Log::default();
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("api.twilio.com"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("hunter2-without-a-scheme"));
        headers.insert("x-private", HeaderValue::from_static("hunter2"));
        log.note(&Method::GET, &Uri::from_static("/2010-04-01/Accounts.json?a=b"), &headers, None);
        let (count, seen) = log.newest(10);
        let text = serde_json::to_string(&seen).expect("serialises");
        assert_eq!(count, 1);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains(r#""headers":["host","authorization","x-private"]"#), "{text}");
        assert!(text.contains(r#""authorization":"other""#) && text.contains(r#""query":"a=b""#), "{text}");
        log.clear();
        assert_eq!(log.newest(10).0, 0);
    }

    #[test]
    fn the_log_is_bounded() {
        let log = Log::default();
        for _ in 0..=MAX_SEEN {
            log.note(&Method::GET, &Uri::from_static("/"), &HeaderMap::new(), None);
        }
        let (count, seen) = log.newest(usize::MAX);
        assert_eq!((count, seen.len()), (MAX_SEEN as u64 + 1, MAX_SEEN));
        assert_eq!(log.newest(2).1.iter().map(|seen| seen.number).collect::<Vec<_>>(), [count - 1, count]);
    }
}
