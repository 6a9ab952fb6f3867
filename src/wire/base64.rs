//! Base64 in I2P's alphabet: `-` and `~` for the last two digits, padded with `=`.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-~";

/// Text for `bytes`: four characters for every three bytes or part of them.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        for (to, from) in padded.iter_mut().skip(1).zip(group) {
            *to = *from;
        }
        let bits = u32::from_be_bytes(padded);
        for place in 0..4 {
            let used = place <= group.len();
            text.push(if used { digit(bits >> (18 - 6 * place)) } else { '=' });
        }
    }
    text
}

/// The bytes that `text` stands for. `None` when it is not what [`encode`] writes for any bytes.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (groups, odd) = text.as_bytes().as_chunks::<4>();
    if !odd.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(groups.len() * 3);
    let mut groups = groups.iter().peekable();
    while let Some(group) = groups.next() {
        let padding = group.iter().rev().take_while(|character| **character == b'=').count();
        if padding > 2 || (padding > 0 && groups.peek().is_some()) {
            return None;
        }
        let mut bits = 0;
        for character in group.iter().take(4 - padding) {
            bits = bits << 6 | value(*character)?;
        }
        let [_, decoded @ ..] = (bits << (6 * padding)).to_be_bytes();
        let (kept, cut) = decoded.split_at_checked(3 - padding)?;
        if cut.iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(kept);
    }
    Some(bytes)
}

fn digit(bits: u32) -> char {
    DIGITS.get((bits & 63) as usize).copied().map_or('=', char::from)
}

fn value(character: u8) -> Option<u32> {
    Some(match character {
        b'A'..=b'Z' => u32::from(character - b'A'),
        b'a'..=b'z' => u32::from(character - b'a') + 26,
        b'0'..=b'9' => u32::from(character - b'0') + 52,
        b'-' => 62,
        b'~' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_texts() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (&[0xfb, 0xff, 0xfe], "-~~-"),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).as_deref(), Some(bytes));
        }
        assert_eq!(encode(&[0; 32]).len(), 44);
        assert_eq!(encode(&[0; 16]).len(), 24);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["Z", "Zg", "Zg=", "Zg==Zg==", "Z===", "====", "+///", "Zh==", "Zm9=", "Zm 9", "Zé="]
        {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }

        #[test]
        fn what_is_decoded_is_encoded(text in "[A-Za-z0-9~=-]{0,12}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
