//! RouterInfos on their way: compressed as one gzip member. Spec: RFC 1951 and 1952; I2NP, DatabaseStore.
//!
//! The members are taken apart and put together here, because the library can set a compressor back to its beginning only
//! without their headers, and making one anew costs more than a RouterInfo does.

use std::fmt;

use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use super::Malformed;
use super::reader::Reader;

/// Up to this many bytes a record goes out as it is, in the form of a member: it fits a tunnel message then with what goes
/// around it, and compressing takes longer than all else that an answer takes. i2pd does the same.
const STORED_MAX: usize = 878;
/// What a member begins with: no time, no name, best compression, unknown system, as other routers write it.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff];
const FLAG_HEADER_CHECKSUM: u8 = 0x02;
const FLAG_EXTRA: u8 = 0x04;
const FLAG_NAME: u8 = 0x08;
const FLAG_COMMENT: u8 = 0x10;
const FLAGS_RESERVED: u8 = 0xe0;
/// The checksum and the size behind the compressed bytes.
const TRAILER_SIZE: usize = 8;
const FIELD: &str = "compressed record";

/// Compresses and decompresses records, with tables that are made once.
pub struct Gzip {
    compress: Compress,
    decompress: Decompress,
}

impl Gzip {
    /// Its tables, about 300 KiB.
    #[must_use]
    pub fn new() -> Self {
        let compress = Compress::new(Compression::best(), false);
        Self { compress, decompress: Decompress::new(false) }
    }

    /// Decompresses one gzip member into at most `limit` bytes.
    ///
    /// Its checksum and size have to be right; bytes behind it are ignored, as others do. Memory is `limit` and what
    /// inflating takes, whatever the sender says.
    ///
    /// # Errors
    /// `TooLarge` when more than `limit` bytes would come out, `Compression` for anything but a whole gzip member.
    pub fn inflate(&mut self, gzip: &[u8], limit: usize) -> Result<Vec<u8>, Malformed> {
        let malformed = Malformed::Compression { field: FIELD };
        let compressed = behind_header(gzip).ok_or(malformed)?;
        let mut out = Vec::with_capacity(limit.saturating_add(1));
        self.decompress.reset(false);
        let status = self
            .decompress
            .decompress_vec(compressed, &mut out, FlushDecompress::Finish)
            .map_err(|_| malformed)?;
        if out.len() > limit {
            return Err(Malformed::TooLarge { field: FIELD, limit, found: out.len() });
        }
        match status {
            Status::StreamEnd => {}
            Status::Ok | Status::BufError => return Err(malformed),
        }
        let end = usize::try_from(self.decompress.total_in()).unwrap_or(usize::MAX);
        let trailer = compressed.get(end..).and_then(|rest| rest.first_chunk::<TRAILER_SIZE>());
        if trailer == Some(&trailer_of(&out)) { Ok(out) } else { Err(malformed) }
    }

    /// One gzip member that holds `bytes`; a short record is not compressed in it.
    #[must_use]
    pub fn member(&mut self, bytes: &[u8]) -> Vec<u8> {
        if bytes.len() > STORED_MAX { self.deflate(bytes) } else { stored(bytes) }
    }

    /// The gzip member that `bytes` are compressed to.
    #[must_use]
    pub fn deflate(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.compress.reset();
        // What does not compress grows by five bytes in 16 KiB, and by less than 64 at the ends.
        let room = bytes.len() + bytes.len() / 1024 + 64;
        let mut out = Vec::with_capacity(HEADER.len() + room + TRAILER_SIZE);
        out.extend_from_slice(&HEADER);
        let status = self.compress.compress_vec(bytes, &mut out, FlushCompress::Finish);
        debug_assert!(matches!(status, Ok(Status::StreamEnd)), "{status:?}");
        if !matches!(status, Ok(Status::StreamEnd)) {
            return stored(bytes);
        }
        out.extend_from_slice(&trailer_of(bytes));
        out
    }
}

impl Default for Gzip {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gzip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gzip")
    }
}

/// A member in which `bytes` stand as they are.
fn stored(bytes: &[u8]) -> Vec<u8> {
    const BLOCK_MAX: usize = 0xffff;
    let mut out = Vec::with_capacity(HEADER.len() + 5 + bytes.len() + TRAILER_SIZE);
    out.extend_from_slice(&HEADER);
    let mut left = bytes;
    loop {
        let (block, rest) = left.split_at(left.len().min(BLOCK_MAX));
        let size = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(rest.is_empty()));
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&(!size).to_le_bytes());
        out.extend_from_slice(block);
        left = rest;
        if left.is_empty() {
            break;
        }
    }
    out.extend_from_slice(&trailer_of(bytes));
    out
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn trailer_of(bytes: &[u8]) -> [u8; TRAILER_SIZE] {
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut trailer = [0; TRAILER_SIZE];
    let (first, last) = trailer.split_at_mut(4);
    first.copy_from_slice(&checksum(bytes).to_le_bytes());
    last.copy_from_slice(&size.to_le_bytes());
    trailer
}

/// The compressed bytes of a member and what is behind them; none where it does not begin as a member does.
fn behind_header(gzip: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(gzip);
    let [first, second, method, flags, ..] = *reader.array::<10>(FIELD).ok()?;
    let [wanted_first, wanted_second, wanted_method, ..] = HEADER;
    if [first, second, method] != [wanted_first, wanted_second, wanted_method]
        || flags & FLAGS_RESERVED != 0
    {
        return None;
    }
    if flags & FLAG_EXTRA != 0 {
        let size = u16::from_le_bytes(*reader.array::<2>(FIELD).ok()?);
        reader.take(usize::from(size), FIELD).ok()?;
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            let length = gzip.get(reader.position()..)?.iter().position(|byte| *byte == 0)?;
            reader.take(length + 1, FIELD).ok()?;
        }
    }
    if flags & FLAG_HEADER_CHECKSUM != 0 {
        let header = gzip.get(..reader.position())?;
        let [low, high, ..] = checksum(header).to_le_bytes();
        if *reader.array::<2>(FIELD).ok()? != [low, high] {
            return None;
        }
    }
    Some(reader.rest())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::GzBuilder;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 3072;

    fn finish(mut encoder: GzEncoder<Vec<u8>>, bytes: &[u8]) -> Vec<u8> {
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn members_with_every_part_of_a_header_are_read() {
        let mut gzip = Gzip::new();
        let plain = || GzBuilder::new();
        let builders = [
            plain(),
            plain().filename("name").comment("comment"),
            plain().extra([7; 300].to_vec()).mtime(5),
            plain().extra([0; 3].to_vec()).filename("").comment("x"),
        ];
        for builder in builders {
            let mut member = finish(builder.write(Vec::new(), Compression::best()), &[5; 2000]);
            member.extend_from_slice(b"behind");
            assert_eq!(gzip.inflate(&member, LIMIT).unwrap(), [5; 2000]);
        }
        // A checksum of the header, which nobody writes.
        let mut member = HEADER.to_vec();
        member[3] = FLAG_HEADER_CHECKSUM;
        let sum = checksum(&member).to_le_bytes();
        member.extend_from_slice(&sum[..2]);
        member.extend_from_slice(&stored(b"text")[HEADER.len()..]);
        assert_eq!(gzip.inflate(&member, LIMIT).unwrap(), b"text");
        member[10] ^= 1;
        assert!(gzip.inflate(&member, LIMIT).is_err());
    }

    #[test]
    fn what_is_cut_or_changed_is_refused_and_the_next_is_read() {
        let mut gzip = Gzip::new();
        let text: Vec<u8> = (0..=255).cycle().take(700).collect();
        for member in [stored(&text), gzip.deflate(&text)] {
            for place in 0..member.len() {
                assert!(gzip.inflate(&member[..place], LIMIT).is_err(), "cut at {place}");
                let mut changed = member.clone();
                changed[place] ^= 0x41;
                // Time, hint and system of the header mean nothing.
                let read = gzip.inflate(&changed, LIMIT);
                assert!((4..10).contains(&place) || read.is_err(), "changed at {place}");
            }
            assert_eq!(gzip.inflate(&member, LIMIT).unwrap(), text);
            assert_eq!(gzip.inflate(&member, text.len()).unwrap(), text);
            let error = gzip.inflate(&member, text.len() - 1).unwrap_err();
            assert!(matches!(error, Malformed::TooLarge { .. }), "{error}");
        }
    }

    #[test]
    fn a_bomb_is_as_small_as_the_limit() {
        let bomb = finish(GzBuilder::new().write(Vec::new(), Compression::best()), &[0; 1 << 22]);
        let error = Gzip::new().inflate(&bomb, LIMIT).unwrap_err();
        assert!(matches!(error, Malformed::TooLarge { found: 3073, .. }), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_by_others_and_by_us(
            bytes in proptest::collection::vec(any::<u8>(), 0..3000),
            repeated in any::<bool>(),
        ) {
            use std::io::Read;
            let bytes = if repeated { bytes[..bytes.len().min(20)].repeat(100) } else { bytes };
            let mut gzip = Gzip::new();
            for member in [gzip.member(&bytes), gzip.deflate(&bytes), stored(&bytes)] {
                let mut theirs = Vec::new();
                flate2::read::GzDecoder::new(&member[..]).read_to_end(&mut theirs).unwrap();
                prop_assert_eq!(&theirs, &bytes);
                prop_assert_eq!(gzip.inflate(&member, LIMIT).unwrap(), bytes.clone());
            }
        }
    }
}
