//! Long answers: read in pieces of any size, they are scrubbed and led back like short ones.

use super::fixture::{Fixture, KEY, MESSAGES};
use super::spelled::{given_away, spellings};
use crate::support::wire::{After, Exchange};

/// Bytes that are gathered, at most.
const WHOLE: usize = 128 * 1024;

/// The spellings that stand alone, as they are: all but Base64, which needs its neighbours, and UTF-16.
const SPELLED: usize = 8;

/// A page of so many bytes or more, all ASCII: its resources have links where `links`, and hold `echo` where it is given.
fn page(bytes: usize, links: bool, echo: &[u8]) -> Vec<u8> {
    let mut page = b"{\"resources\": [".to_vec();
    let mut turn = 0;
    while page.len() < bytes {
        let host = if links { "api.twilio.com" } else { "example.org" };
        page.extend_from_slice(format!("{{\"url\": \"https://{host}/2010-04-01/x{turn}\", \"text\": \"").as_bytes());
        page.extend_from_slice(&b"never gonna give you up. ".repeat(turn % 50));
        if turn % 9 == 5 {
            page.extend_from_slice(echo);
        }
        page.extend_from_slice(b"\"}, ");
        turn += 1;
    }
    page.extend_from_slice(b"{}]}");
    page
}

/// What a case asks for: bytes, whether with links, bytes of a piece, and the spelling of an echo.
fn read(case: &str) -> (usize, bool, usize, Vec<u8>) {
    let words: Vec<usize> = case.split(' ').map(|word| word.parse().expect("a number")).collect();
    let echo = spellings(KEY.1).into_iter().take(SPELLED).nth(words[3]).unwrap_or_default();
    (words[0], words[1] == 1, words[2], echo)
}

fn long(exchange: &mut Exchange) -> After {
    let case = exchange.heard.value("x-case").to_owned();
    let (bytes, links, piece, echo) = read(&case);
    let body = page(bytes, links, &echo);
    exchange.stream().set_nodelay(true).expect("a socket");
    let length = body.len();
    exchange.say(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"));
    body.chunks(piece).all(|piece| exchange.say(piece));
    After::Keep
}

#[test]
fn a_long_answer_is_read_as_a_short_one() {
    let fixture = Fixture::start(long);
    let mut talk = fixture.talk();
    let mut turn = 0;
    // One after the other on the same connections: a large one, a small one, a large one.
    for bytes in [70_000, 100, 5_000, 17_000, WHOLE - 500, WHOLE + 9_000, 300_000, 1_000, 60_000] {
        for (links, piece) in [(false, 1_500), (true, 16_000), (false, 400_000), (true, 400_000)] {
            for how in [turn % SPELLED, SPELLED] {
                turn += 1;
                let case = format!("{bytes} {} {piece} {how}", u8::from(links));
                talk.send(fixture.request("GET", MESSAGES, &format!("X-Case: {case}\r\n"), b""));
                let answer = talk.answer().unwrap_or_else(|| panic!("no answer: {case}"));
                fixture.note(&answer);
                let (.., echo) = read(&case);
                let masked = String::from_utf8(page(bytes, links, &b"*".repeat(echo.len()))).expect("ASCII");
                let expected = masked.replace("https://api.twilio.com", "http://broker:8080");
                assert_eq!(given_away(&answer.body, KEY.1), None, "{case}");
                let differs = answer.body.iter().zip(expected.as_bytes()).position(|(one, other)| one != other);
                assert_eq!((answer.body.len(), differs), (expected.len(), None), "{case}");
            }
        }
    }
    drop(talk);
    fixture.end();
}
