//! JSON, XML and CSV byte by byte, error bodies, paths and headers.

use crate::support::raw::ask;
use crate::support::upstream::{As, Upstream};

#[test]
fn a_key_in_xml_is_the_documents_sample() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    let made = upstream.post(&owner, &upstream.path("/Keys.xml"), "FriendlyName=User+Joey");
    assert_eq!(made.header("content-type"), Some("application/xml"));
    let text = made.text();
    let begin = "<?xml version='1.0' encoding='UTF-8'?>\n<TwilioResponse><Key><Secret>";
    assert!(text.starts_with(begin), "{text}");
    assert!(
        text.contains("</Secret><Sid>SK") && text.contains("</Sid><FriendlyName>User Joey</FriendlyName>"),
        "{text}"
    );
    let date = text.split("<DateCreated>").nth(1).and_then(|rest| rest.split('<').next()).expect("a date");
    assert!(date.len() == 20 && date.ends_with('Z'), "ISO 8601 in XML: {date}");

    let list = upstream.get(&owner, &upstream.path("/Keys"));
    let head = format!(
        "<?xml version='1.0' encoding='UTF-8'?>\n<TwilioResponse><Keys page=\"0\" pagesize=\"50\" uri=\"{0}\" \
         firstpageuri=\"{0}?Page=0&amp;PageSize=50\" previouspageuri=\"\" nextpageuri=\"\"><Key><Sid>SK",
        upstream.path("/Keys")
    );
    assert!(list.text().starts_with(&head), "{}", list.text());
    assert!(list.text().ends_with("</Key></Keys></TwilioResponse>"));
    assert!(!list.text().contains("Secret"));
}

#[test]
fn a_key_in_json_is_the_documents_sample() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    let key = As::created(&upstream.post(&owner, &upstream.path("/Keys.json"), "FriendlyName=foo"));
    let list = upstream.get(&owner, &upstream.path("/Keys.json"));
    assert_eq!(list.header("content-type"), Some("application/json"));
    let text = list.text();
    assert!(
        text.starts_with(&format!(r#"{{"keys": [{{"sid": "{}", "friendly_name": "foo", "date_created": ""#, key.0))
    );
    let tail = format!(
        r#"+0000"}}], "first_page_uri": "{0}?PageSize=50&Page=0", "end": 0, "previous_page_uri": null, "uri": "{0}?PageSize=50&Page=0", "page_size": 50, "start": 0, "next_page_uri": null, "page": 0}}"#,
        upstream.path("/Keys.json")
    );
    assert!(text.ends_with(&tail), "{text}");
}

#[test]
fn messages_in_xml_and_csv() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    let form = "Body=a%2C+%3Cb%3E+%26+%22c%22&From=%2B15017122661&To=%2B15558675310";
    let made = upstream.post(&owner, &upstream.path("/Messages"), form);
    let xml = made.text();
    assert!(xml.contains("<Body>a, &lt;b&gt; &amp; &quot;c&quot;</Body>"), "{xml}");
    assert!(xml.contains("<DateSent/>"), "{xml}");
    let sid = xml.split("<Sid>").nth(1).and_then(|rest| rest.split('<').next()).expect("a name");
    assert!(xml.contains(&format!("<Uri>{}</Uri>", upstream.path(&format!("/Messages/{sid}")))), "{xml}");
    let created = xml.split("<DateCreated>").nth(1).expect("a date");
    assert!(created.split('<').next().is_some_and(|date| date.ends_with(" +0000")), "{created}");

    let csv = upstream.get(&owner, &upstream.path("/Messages.csv"));
    assert_eq!(csv.header("content-type"), Some("text/csv"));
    let mut lines = csv.text().lines();
    assert!(lines.next().is_some_and(|head| head.starts_with("AccountSid,ApiVersion,Body,DateCreated,DateSent,")));
    assert!(lines.next().is_some_and(|row| row.contains("\"a, <b> & \"\"c\"\"\"")), "{}", csv.text());
}

#[test]
fn every_csv_has_as_many_values_as_names() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    upstream.post(&owner, &upstream.path("/Keys.json"), "FriendlyName=a");
    upstream.post(&owner, &upstream.path("/Messages.json"), "Body=x&From=%2B15017122661&To=%2B15558675310");
    for (path, names, rows) in [
        (upstream.path("/AvailablePhoneNumbers.csv"), 5, 1),
        (upstream.path("/AvailablePhoneNumbers/US.csv"), 5, 1),
        (upstream.path("/AvailablePhoneNumbers/US/Local.csv"), 13, 30),
        (upstream.path("/AvailablePhoneNumbers/US/TollFree.csv?PageSize=2"), 13, 2),
        (upstream.path("/AvailablePhoneNumbers/US/Mobile.csv?Contains=777777"), 13, 0),
        ("/2010-04-01/Accounts.csv".to_owned(), 10, 1),
        (upstream.path("/IncomingPhoneNumbers.csv"), 36, 3),
        (upstream.path("/Keys.csv"), 4, 1),
        (upstream.path("/Messages.csv"), 20, 1),
        (upstream.path("/Nothing.csv"), 4, 1),
    ] {
        let answer = upstream.get(&owner, &path);
        assert!(answer.text().ends_with('\n'), "{path}: {}", answer.text());
        let mut table = csv::Reader::from_reader(&*answer.body);
        assert_eq!(table.headers().map(csv::StringRecord::len).ok(), Some(names), "{path}: {}", answer.text());
        let lines: Result<Vec<_>, _> = table.records().collect();
        assert_eq!(lines.expect("lines of one length").len(), rows, "{path}");
    }
}

#[test]
fn reason_phrases_are_in_capitals() {
    let upstream = Upstream::start();
    for (status, phrase) in [
        (200, "OK"),
        (413, "PAYLOAD TOO LARGE"),
        (418, "I'M A TEAPOT"),
        (422, "UNPROCESSABLE ENTITY"),
        (502, "BAD GATEWAY"),
        (504, "GATEWAY TIMEOUT"),
        (599, "UNKNOWN"),
    ] {
        upstream.send(None, "POST", "/_sandbox/fail", &format!("mode=status&status={status}"));
        let answer = upstream.get(&upstream.owner(), "/v1/Sinks");
        assert_eq!((answer.status, answer.reason.as_str()), (status, phrase));
    }
}

#[test]
fn errors_speak_the_format_that_was_asked_for() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    let path = upstream.path("/Messages/SM00000000000000000000000000000000");
    let json = upstream.get(&owner, &format!("{path}.json"));
    assert_eq!(
        json.text(),
        format!(
            r#"{{"code": 20404, "message": "The requested resource {path}.json was not found", "more_info": "https://www.twilio.com/docs/errors/20404", "status": 404}}"#
        )
    );
    assert_eq!((json.reason.as_str(), json.header("x-twilio-error-code")), ("NOT FOUND", Some("20404")));
    let xml = upstream.get(&owner, &path);
    assert_eq!(
        xml.text(),
        format!(
            "<?xml version='1.0' encoding='UTF-8'?>\n<TwilioResponse><RestException><Code>20404</Code><Message>The \
             requested resource {path} was not found</Message><MoreInfo>https://www.twilio.com/docs/errors/20404\
             </MoreInfo><Status>404</Status></RestException></TwilioResponse>"
        )
    );
    let wrong = upstream.get(&As(owner.0.clone(), "x".into()), &format!("{path}.json"));
    assert_eq!(
        wrong.text(),
        r#"{"code": 20003, "detail": "Your AccountSid or AuthToken was incorrect.", "message": "Authenticate", "more_info": "https://www.twilio.com/docs/errors/20003", "status": 401}"#
    );
    let product = upstream.get(&owner, "/chat.twilio.com/v2/Services/IS1");
    assert!(product.text().contains("The requested resource /Services/IS1 was not found"), "{}", product.text());
}

#[test]
fn paths_are_taken_literally() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    for path in [
        "/2010-04-01/Accounts//Messages.json".to_owned(),
        "/2010-04-01/accounts.json".to_owned(),
        upstream.path("/messages.json"),
        upstream.path("/Messages/.json"),
        upstream.path("//Messages.json"),
        upstream.path("/Messages.JSON"),
        "/2008-08-01/Accounts.json".to_owned(),
        "/2010-04-01/Nothing.json".to_owned(),
        "/v1/Services".to_owned(),
        "/lookups.twilio.com/v1/PhoneNumbers/1".to_owned(),
        "/messaging.twilio.com/v1//Services".to_owned(),
        "/messaging.twilio.com/v1/Services.json".to_owned(),
    ] {
        let answer = upstream.get(&owner, &path);
        assert_eq!(answer.status, 404, "{path}");
    }
    let wrong = upstream.get(&owner, "/2010-04-01/Accounts/SK00000000000000000000000000000001/Messages.json");
    assert_eq!(wrong.refusal(), (400, 90002));
}

#[test]
fn headers_are_twilios() {
    let upstream = Upstream::start();
    let owner = upstream.owner();
    let answer = upstream.get(&owner, &upstream.path("/Messages.json"));
    assert_eq!(answer.reason, "OK");
    for (name, value) in [
        ("twilio-concurrent-requests", "1"),
        ("access-control-allow-origin", "*"),
        ("x-powered-by", "AT-5000"),
        ("x-shenanigans", "none"),
        ("x-api-domain", "api.twilio.com"),
        ("strict-transport-security", "max-age=31536000"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let id = answer.header("twilio-request-id").expect("an id");
    assert!(id.len() == 34 && id.starts_with("RQ"), "{id}");
    assert!(answer.header("date").is_some() && answer.header("content-length").is_some());
    let product = upstream.get(&owner, "/messaging.twilio.com/v1/Services");
    assert_eq!((product.header("server"), product.header("x-powered-by")), (Some("envoy"), None));
}

#[test]
fn host_decides_the_product() {
    let upstream = Upstream::start();
    let basic = upstream.owner().basic();
    let sid = upstream.sandbox.account_sid();
    let to = upstream.sandbox.address();
    let status = |host: &str, target: &str| {
        let headers = [("host", host), ("authorization", basic.as_str())];
        ask(to, "GET", target, &headers, b"").expect("an answer").status
    };
    let keys = format!("/v1/Keys?AccountSid={sid}");
    assert_eq!(status("iam.twilio.com", &keys), 200);
    assert_eq!(status("iam.twilio.com:8443", &keys), 200);
    assert_eq!(status("messaging.twilio.com", &keys), 404);
    assert_eq!(status("messaging.twilio.com", "/v1/Services"), 200);
    assert_eq!(status("api.dublin.ie1.twilio.com", &upstream.path("/Messages.json")), 200);
    assert_eq!(status("api.twilio.com", "/iam.twilio.com/v1/Keys"), 404, "a prefix only where no host is named");
    assert_eq!(status("api.twilio.com", "/_sandbox/requests"), 404, "no switches on a host of Twilio's");
}

#[test]
fn a_form_is_the_body_that_counts() {
    let upstream = Upstream::start();
    let basic = upstream.owner().basic();
    let to = upstream.sandbox.address();
    let path = upstream.path("/Messages.json");
    let send = |kind: &str, body: &[u8]| {
        let headers = [("content-type", kind), ("authorization", basic.as_str())];
        ask(to, "POST", &path, &headers, body).expect("an answer")
    };
    let json = send("application/json", br#"{"To": "+15558675310", "From": "+15017122661", "Body": "x"}"#);
    assert_eq!(json.refusal(), (400, 21604));
    let form = b"To=%2B15558675310&From=%2B15017122661&Body=x";
    assert_eq!(send("text/plain", form).refusal(), (400, 21604));
    assert_eq!(send("application/x-www-form-urlencoded; charset=utf-8", form).status, 201);
    let part =
        |name: &str, value: &str| format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let multipart =
        format!("{}{}{}--B--\r\n", part("To", "+15558675310"), part("From", "+15017122661"), part("Body", "x"));
    assert_eq!(send("multipart/form-data; boundary=B", multipart.as_bytes()).status, 201);
}
