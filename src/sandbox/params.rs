//! What a request says beyond its path: the query and the body, where it is a form.

use super::refusal::Refusal;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyDataStream, Full};
use std::io::Read;

/// Largest body read, before and after decompression, in bytes: 16 MiB, three times what Twilio takes as media.
pub const MAX_BODY: usize = 16 << 20;

/// Names and values in the order they came; a name may come twice.
#[derive(Clone, Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query or a form body.
    pub fn of_form(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Reads a body by its content type: form (also for none) or multipart. Others say nothing: of the operations that
    /// the sandbox plays, Twilio reads JSON in none (OpenAPI 2.6.7).
    pub async fn of_body(headers: &HeaderMap, body: Bytes) -> Result<Self, Refusal> {
        let body = decompressed(headers, body)?;
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "" | "application/x-www-form-urlencoded" => Ok(Self::of_form(&body)),
            "multipart/form-data" => Self::of_multipart(content_type, body).await,
            _ => Ok(Self::default()),
        }
    }

    async fn of_multipart(content_type: &str, body: Bytes) -> Result<Self, Refusal> {
        let malformed = |_: multer::Error| Refusal::bad(20001, "The multipart body is malformed");
        let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
        let mut parts = multer::Multipart::new(BodyDataStream::new(Full::new(body)), boundary);
        let mut pairs = Vec::new();
        while let Some(part) = parts.next_field().await.map_err(malformed)? {
            let name = part.name().unwrap_or_default().to_owned();
            pairs.push((name, part.text().await.map_err(malformed)?));
        }
        Ok(Self(pairs))
    }

    /// These, then `others` where these are silent.
    pub fn or(mut self, others: &Self) -> Self {
        self.0.extend(others.0.iter().cloned());
        self
    }

    /// The first value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs().find_map(|(given, value)| (given == name).then_some(value))
    }

    /// Every value of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All pairs.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn decompressed(headers: &HeaderMap, body: Bytes) -> Result<Bytes, Refusal> {
    let coding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut plain = Vec::new();
    let ceiling = MAX_BODY as u64 + 1;
    let read = match coding.trim().to_ascii_lowercase().as_str() {
        "gzip" => flate2::read::MultiGzDecoder::new(&*body).take(ceiling).read_to_end(&mut plain),
        "deflate" => flate2::read::ZlibDecoder::new(&*body).take(ceiling).read_to_end(&mut plain),
        "" | "identity" => return Ok(body),
        _ => return Err(Refusal::new(415, 20001, "The body's Content-Encoding is not supported")),
    };
    match read {
        Ok(_) if plain.len() <= MAX_BODY => Ok(plain.into()),
        Ok(_) => Err(Refusal::body_too_large()),
        Err(_) => Err(Refusal::bad(20001, "The compressed body is malformed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use http::HeaderValue;
    use proptest::prelude::*;
    use std::io::Write;

    fn read(content_type: &'static str, body: &'static str) -> Result<Params, Refusal> {
        coded(content_type, "", Bytes::from_static(body.as_bytes()))
    }

    fn coded(content_type: &'static str, coding: &'static str, body: Bytes) -> Result<Params, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
        runtime.block_on(Params::of_body(&headers, body))
    }

    #[test]
    fn compressed_bodies_have_a_ceiling() {
        let zipped = |size: usize| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
            out.write_all(b"Body=").and_then(|()| out.write_all(&vec![b'x'; size])).expect("a Vec takes all");
            Bytes::from(out.finish().expect("a Vec takes all"))
        };
        let small = coded("application/x-www-form-urlencoded", "gzip", zipped(3)).expect("reads");
        assert_eq!(small.get("Body"), Some("xxx"));
        let bomb = coded("application/x-www-form-urlencoded", "gzip", zipped(MAX_BODY)).expect_err("too large");
        assert_eq!(bomb.status, 413);
        assert_eq!(coded("text/plain", "br", Bytes::new()).expect_err("unknown").status, 415);
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(
            kind in prop::sample::select(vec!["application/json", "multipart/form-data; boundary=X", "x"]),
            coding in prop::sample::select(vec!["", "gzip", "deflate"]),
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Err(refusal) = coded(kind, coding, body.into()) {
                prop_assert_eq!(refusal.status, 400);
            }
        }
    }

    #[test]
    fn two_spellings_of_one_body() {
        let form = read("application/x-www-form-urlencoded; charset=utf-8", "Body=a+b%26&MediaUrl=1&MediaUrl=2");
        let multipart = read(
            "multipart/form-data; boundary=X",
            "--X\r\nContent-Disposition: form-data; name=\"Body\"\r\n\r\na b&\r\n--X\r\n\
             Content-Disposition: form-data; name=\"MediaUrl\"\r\n\r\n1\r\n--X\r\n\
             Content-Disposition: form-data; name=\"MediaUrl\"\r\n\r\n2\r\n--X--\r\n",
        );
        for params in [form, read("", "Body=a+b%26&MediaUrl=1&MediaUrl=2"), multipart] {
            let params = params.expect("reads");
            assert_eq!(params.get("Body"), Some("a b&"));
            assert_eq!(params.all("MediaUrl").collect::<Vec<_>>(), ["1", "2"]);
            assert_eq!(params.get("From"), None);
        }
    }

    #[test]
    fn what_is_no_form_says_nothing() {
        for (content_type, body) in
            [("application/json", r#"{"Body": "x"}"#), ("application/json", "{"), ("text/plain", "Body=x")]
        {
            assert_eq!(read(content_type, body).expect("reads").pairs().count(), 0, "{content_type} {body}");
        }
    }

    #[test]
    fn malformed_bodies_are_the_callers_fault() {
        assert_eq!(read("multipart/form-data", "x").map_err(|refusal| refusal.status).err(), Some(400));
    }
}
