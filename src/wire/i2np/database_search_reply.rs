//! DatabaseSearchReply: not here, ask these. Spec: I2NP, DatabaseSearchReply.

use crate::base::frame::Frame;
use crate::base::id::{RecordKey, RouterHash};
use crate::wire::Malformed;
use crate::wire::reader::Reader;

/// Names routers that are closer to a key, or, after an exploration, routers near it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseSearchReply {
    /// The key that was looked up.
    pub key: RecordKey,
    /// The routers named, at most 255.
    pub peers: Vec<RouterHash>,
    /// Who answers, by its own word: nothing authenticates it.
    pub from: RouterHash,
}

impl DatabaseSearchReply {
    /// Reads the body; bytes behind it are ignored.
    ///
    /// # Errors
    /// `Truncated` when the body is shorter than its count says.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let key = RecordKey(*reader.array::<32>("key of search reply")?);
        let count = usize::from(reader.u8("peers of search reply")?);
        let (peers, _) = reader.take(count * 32, "peers of search reply")?.as_chunks::<32>();
        let from = RouterHash(*reader.array::<32>("sender of search reply")?);
        Ok(Self { key, peers: peers.iter().copied().map(RouterHash).collect(), from })
    }

    /// The body; peers past the 255th are left out.
    #[must_use]
    pub fn write(&self) -> Frame {
        let peers = self.peers.get(..usize::from(u8::MAX)).unwrap_or(&self.peers);
        let mut frame = Frame::with_capacity(65 + 32 * peers.len());
        frame.append(&self.key.0);
        frame.append(&[u8::try_from(peers.len()).unwrap_or(u8::MAX)]);
        for peer in peers {
            frame.append(&peer.0);
        }
        frame.append(&self.from.0);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_by_byte() {
        let reply = DatabaseSearchReply {
            key: RecordKey([1; 32]),
            peers: vec![RouterHash([2; 32]), RouterHash([3; 32])],
            from: RouterHash([4; 32]),
        };
        let expected = [&[1; 32][..], &[2], &[2; 32], &[3; 32], &[4; 32]].concat();
        assert_eq!(&reply.write()[..], &expected);
        assert_eq!(DatabaseSearchReply::parse(&expected), Ok(reply));
        for length in 0..expected.len() {
            assert!(DatabaseSearchReply::parse(&expected[..length]).is_err());
        }
    }

    #[test]
    fn no_more_peers_than_the_count_can_say() {
        let key = RecordKey([1; 32]);
        let from = RouterHash([4; 32]);
        let reply = DatabaseSearchReply { key, peers: vec![RouterHash([2; 32]); 300], from };
        let parsed = DatabaseSearchReply::parse(&reply.write()).unwrap();
        assert_eq!((parsed.peers.len(), parsed.from), (255, from));
    }
}
