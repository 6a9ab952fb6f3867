//! Lists of `key=value` options, as identities, addresses and build records carry them.
//!
//! Spec: common structures, Mapping.

use std::cmp::Ordering;

use crate::wire::Malformed;
use crate::wire::reader::Reader;

/// Longest key or value, in bytes of UTF-8: what one length byte can say.
pub const MAPPING_TEXT_MAX: usize = 255;

/// An option list, sorted by key as signatures need it, each key once.
///
/// A floodfill holds hundreds of thousands of them, so that all text lies in one piece: as strings of their own, options of
/// a few letters would take more than twice what the whole record takes on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Keys and values by turns.
    text: Box<str>,
    /// Where each option's key ends in `text`, and where its value does. A list is never longer than two bytes can say.
    ends: Box<[[u16; 2]]>,
}

impl Mapping {
    /// A list without options.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a list, in whatever order its options stand.
    ///
    /// # Errors
    /// When it ends early, when its options do not end where its length says, when a delimiter is missing, when
    /// text is not UTF-8, and when a key stands twice.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let size = usize::from(reader.u16("option list length")?);
        let mut inner = Reader::new(reader.take(size, "option list")?);
        let mut entries = Vec::new();
        while inner.left() > 0 {
            let key = text(&mut inner, "option key")?;
            delimiter(&mut inner, b'=', "option delimiter")?;
            let value = text(&mut inner, "option value")?;
            delimiter(&mut inner, b';', "option end")?;
            entries.push((key, value));
        }
        entries.sort_by(|(left, _), (right, _)| order(left, right));
        if entries.windows(2).any(|pair| matches!(pair, [(one, _), (two, _)] if one == two)) {
            return Err(Malformed::Repeated { field: "option list" });
        }
        Ok(Self::of_sorted(&entries))
    }

    /// The list of these options, which stand in order and are not more than a list can have.
    fn of_sorted(entries: &[(&str, &str)]) -> Self {
        let size = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        let mut text = String::with_capacity(size);
        let mut ends = Vec::with_capacity(entries.len());
        let end = |text: &str| u16::try_from(text.len()).unwrap_or(u16::MAX);
        for (key, value) in entries {
            text.push_str(key);
            let key_end = end(&text);
            text.push_str(value);
            ends.push([key_end, end(&text)]);
        }
        Self { text: text.into_boxed_str(), ends: ends.into_boxed_slice() }
    }

    /// The value of `key`.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// Sets `key` to `value`, whether it was there or not.
    ///
    /// # Errors
    /// [`Malformed::TooLarge`] when one of them is longer than [`MAPPING_TEXT_MAX`], or when the list would
    /// become longer than its two length bytes can say. The list then stays as it was.
    pub fn insert(&mut self, key: &str, value: &str) -> Result<(), Malformed> {
        for (field, text) in [("option key", key), ("option value", value)] {
            if text.len() > MAPPING_TEXT_MAX {
                return Err(Malformed::TooLarge {
                    field,
                    limit: MAPPING_TEXT_MAX,
                    found: text.len(),
                });
            }
        }
        let limit = usize::from(u16::MAX);
        let found = self.body_size() + entry_size(key, value);
        if found > limit {
            return Err(Malformed::TooLarge { field: "option list", limit, found });
        }
        let mut entries: Vec<_> = self.iter().filter(|(other, _)| *other != key).collect();
        let place = entries.partition_point(|(other, _)| order(other, key).is_lt());
        entries.insert(place, (key, value));
        *self = Self::of_sorted(&entries);
        Ok(())
    }

    /// Takes `key` out, and tells whether it was there.
    pub fn remove(&mut self, key: &str) -> bool {
        let entries: Vec<_> = self.iter().filter(|(other, _)| *other != key).collect();
        let is_there = entries.len() < self.len();
        if is_there {
            *self = Self::of_sorted(&entries);
        }
        is_there
    }

    /// All options, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |[key_end, end]| {
            let [key_end, end] = [usize::from(*key_end), usize::from(*end)];
            let key = self.text.get(start..key_end).unwrap_or_default();
            let value = self.text.get(key_end..end).unwrap_or_default();
            start = end;
            (key, value)
        })
    }

    /// How many options there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no options.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Appends the list to `out`, sorted.
    pub fn write(&self, out: &mut Vec<u8>) {
        let size = u16::try_from(self.body_size()).unwrap_or(u16::MAX);
        out.extend_from_slice(&size.to_be_bytes());
        for (key, value) in self.iter() {
            write_text(key, out);
            out.push(b'=');
            write_text(value, out);
            out.push(b';');
        }
    }

    fn body_size(&self) -> usize {
        self.iter().map(|(key, value)| entry_size(key, value)).sum()
    }
}

/// Java's order of strings, by UTF-16 code units; it is the order of bytes as long as no character lies beyond
/// U+FFFF.
fn order(left: &str, right: &str) -> Ordering {
    if left.is_ascii() && right.is_ascii() {
        return left.cmp(right);
    }
    left.encode_utf16().cmp(right.encode_utf16())
}

fn entry_size(key: &str, value: &str) -> usize {
    1 + key.len() + 1 + 1 + value.len() + 1
}

/// Reads a String: one length byte and UTF-8.
///
/// # Errors
/// When it ends early or is not UTF-8.
pub fn text<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a str, Malformed> {
    let size = reader.u8(field)?;
    let bytes = reader.take(usize::from(size), field)?;
    str::from_utf8(bytes).map_err(|_| Malformed::Text { field })
}

/// Appends a String; what a length byte cannot say is cut off.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    let text = text.get(..text.floor_char_boundary(MAPPING_TEXT_MAX)).unwrap_or(text);
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn delimiter(reader: &mut Reader<'_>, expected: u8, field: &'static str) -> Result<(), Malformed> {
    let found = reader.u8(field)?;
    if found != expected {
        return Err(Malformed::Value { field, found: u32::from(found) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Result<Mapping, Malformed> {
        let mut reader = Reader::new(bytes);
        let mapping = Mapping::parse(&mut reader)?;
        reader.finish()?;
        Ok(mapping)
    }

    #[test]
    fn options_are_sorted_when_written() {
        let mapping = parse(b"\x00\x0c\x01b=\x012;\x01a=\x011;").unwrap();
        assert_eq!(mapping.find("a"), Some("1"));
        assert_eq!(mapping.find("b"), Some("2"));
        assert_eq!(mapping.find("c"), None);
        let mut bytes = Vec::new();
        mapping.write(&mut bytes);
        assert_eq!(bytes, b"\x00\x0c\x01a=\x011;\x01b=\x012;");
    }

    #[test]
    fn an_empty_list_is_two_bytes() {
        assert_eq!(parse(&[0, 0]), Ok(Mapping::new()));
        let mut bytes = Vec::new();
        Mapping::new().write(&mut bytes);
        assert_eq!(bytes, [0, 0]);
    }

    #[test]
    fn keys_are_in_the_order_of_utf_16() {
        // U+10000 is written D800 DC00 in UTF-16, so Java puts it before U+FFFD; in UTF-8 it comes after.
        let mut mapping = Mapping::new();
        mapping.insert("\u{fffd}", "second").unwrap();
        mapping.insert("\u{10000}", "first").unwrap();
        mapping.insert("a", "ascii").unwrap();
        let values: Vec<_> = mapping.iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["ascii", "first", "second"]);
        assert_eq!(mapping.find("\u{10000}"), Some("first"));
    }

    #[test]
    fn malformed_lists_are_refused() {
        assert_eq!(
            parse(b"\x00\x0c\x01a=\x011;\x01a=\x012;"),
            Err(Malformed::Repeated { field: "option list" })
        );
        assert_eq!(
            parse(b"\x00\x06\x01a:\x011;"),
            Err(Malformed::Value { field: "option delimiter", found: 0x3a })
        );
        assert_eq!(
            parse(b"\x00\x06\x01a=\x011,"),
            Err(Malformed::Value { field: "option end", found: 0x2c })
        );
        assert_eq!(parse(b"\x00\x06\x01\xff=\x011;"), Err(Malformed::Text { field: "option key" }));
        assert_eq!(
            parse(b"\x00\x06\x01a=\x021;"),
            Err(Malformed::Truncated { field: "option end", needed: 1, left: 0 })
        );
        assert_eq!(
            parse(b"\x00\x07\x01a=\x011;"),
            Err(Malformed::Truncated { field: "option list", needed: 7, left: 6 })
        );
    }

    #[test]
    fn what_cannot_be_written_is_not_taken() {
        let mut mapping = Mapping::new();
        let long = "x".repeat(256);
        let refused = Malformed::TooLarge { field: "option value", limit: 255, found: 256 };
        assert_eq!(mapping.insert("key", &long), Err(refused));
        assert!(mapping.is_empty());
        let value = "x".repeat(255);
        let taken =
            (0..1000).take_while(|n| mapping.insert(&n.to_string(), &value).is_ok()).count();
        let mut bytes = Vec::new();
        mapping.write(&mut bytes);
        assert_eq!(parse(&bytes).unwrap().len(), taken);
        assert!(mapping.remove("0"));
        assert!(!mapping.remove("0"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(options in btree_map(".{0,20}", ".{0,40}", 0..8)) {
            let mut mapping = Mapping::new();
            for (key, value) in &options {
                mapping.insert(key, value).unwrap();
            }
            let mut bytes = Vec::new();
            mapping.write(&mut bytes);
            let read = parse(&bytes).unwrap();
            for (key, value) in &options {
                prop_assert_eq!(read.find(key), Some(&**value));
            }
            prop_assert_eq!(read, mapping);
        }

        #[test]
        fn any_bytes_are_a_list_or_an_error(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
