//! The frames that all servers relay: two bytes of length, big-endian, and as many bytes.

/// Bytes of a frame's content.
pub const CONTENT: usize = 1024;
/// Bytes of its length.
const LENGTH: usize = 2;
/// Bytes of a frame.
pub const FRAME: usize = LENGTH + CONTENT;

/// How many bytes whole frames take at the start of `bytes`, found by reading each frame's length.
pub fn whole(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some([high, low]) = bytes.get(at..at + LENGTH).and_then(<[u8]>::first_chunk) {
        let end = at + LENGTH + usize::from(u16::from_be_bytes([*high, *low]));
        if end > bytes.len() {
            break;
        }
        at = end;
    }
    at
}

/// This many frames, one behind the other.
pub fn frames(count: usize) -> Vec<u8> {
    let [high, low] = u16::try_from(CONTENT).expect("it fits its field").to_be_bytes();
    let mut content = (0u8..251).cycle();
    let mut bytes = Vec::with_capacity(count * FRAME);
    for _ in 0..count {
        bytes.extend([high, low]);
        bytes.extend(content.by_ref().take(CONTENT));
        content = (0u8..251).cycle();
    }
    bytes
}
