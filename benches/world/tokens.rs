//! Tokens that are the same in every run, so that what depends on their bytes repeats.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Characters of id and secret.
const RANDOM: usize = 45;

/// The text of token `number`, checksum included.
pub fn token(number: u64) -> String {
    let mut state = number;
    let mut text = String::from("skt");
    text.extend((0..RANDOM).map(|_| char::from(ALPHABET[(step(&mut state) % 62) as usize])));
    let mut crc = flate2::Crc::new();
    crc.update(text.as_bytes());
    let mut rest = u64::from(crc.sum());
    let mut sum = [0; 6];
    for place in sum.iter_mut().rev() {
        *place = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    text.extend(sum.map(char::from));
    text
}

/// The next of a sequence that looks random: `SplitMix64`.
fn step(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
