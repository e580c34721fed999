//! An upstream's answer: read strictly, or not at all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidekey::http1::{Framing, Named, answer_framing, parse_answer};

fuzz_target!(|input: &[u8]| {
    let Some((&kind, input)) = input.split_first() else { return };
    let _ = parse_answer(input, |head, length| {
        assert!(length <= input.len());
        assert!((100..1000).contains(&head.status));
        let named = Named::of(head.fields);
        for field in head.fields {
            let _ = named.has(field.name);
            assert!(!field.value.contains(&b'\r') && !field.value.contains(&b'\n') && !field.value.contains(&0));
        }
        let stated = |name: &str| head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count();
        if answer_framing(head, kind & 1 == 1).is_ok_and(|framing| framing == Framing::Chunked) {
            assert_eq!((stated("transfer-encoding"), stated("content-length")), (1, 0));
        }
    });
});
