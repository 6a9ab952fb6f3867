//! Log wrappers for what says who is who: addresses, hashes, and texts that may hold either.
//!
//! Above the level `debug` no log line may tell with whom this router talks. What stands here instead of an address or a
//! hash still says what an operator needs: which kind of thing it is, and whether two lines can be about the same one
//! within a /16, a /32 or a first byte.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::id::{RecordKey, RouterHash};

/// Characters of a run that may be a hash in base64 or base32: 32 bytes are 43 or 52 of them.
const HASH_TEXT_MIN: usize = 43;

/// Something that prints without telling who it is. Made by [`redact`] and [`redact_text`].
#[derive(Clone, Copy)]
pub struct Redacted<T>(T);

/// `thing` for a log line of any level.
#[must_use]
pub fn redact<T>(thing: T) -> Redacted<T>
where
    Redacted<T>: fmt::Display,
{
    Redacted(thing)
}

/// `text` for a log line of any level: a run of characters in which a hash may stand is replaced, as in the names of
/// files of router infos. Addresses in it are not looked for.
#[must_use]
pub fn redact_text(text: &str) -> Redacted<&str> {
    Redacted(text)
}

impl fmt::Display for Redacted<SocketAddr> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Redacted(self.0.ip()))
    }
}

/// The network that an address is in, as others see it anyway: /16 of IPv4, /32 of IPv6.
impl fmt::Display for Redacted<IpAddr> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, ..] = address.octets();
                write!(f, "{a}.{b}.x.x")
            }
            IpAddr::V6(address) => {
                let [a, b, ..] = address.segments();
                write!(f, "{a:x}:{b:x}:x")
            }
        }
    }
}

impl fmt::Display for Redacted<RouterHash> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, ..] = self.0.0;
        write!(f, "router {first:02x}…")
    }
}

impl fmt::Display for Redacted<RecordKey> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, ..] = self.0.0;
        write!(f, "record {first:02x}…")
    }
}

impl fmt::Display for Redacted<&str> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while !rest.is_empty() {
            let run = rest.find(|c| !may_be_of_hash(c)).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(run);
            if run >= HASH_TEXT_MIN {
                f.write_str("…")?
            } else {
                f.write_str(word)?
            }
            let other = behind.find(may_be_of_hash).unwrap_or(behind.len());
            let (between, behind) = behind.split_at(other);
            f.write_str(between)?;
            rest = behind;
        }
        Ok(())
    }
}

/// The alphabets of I2P base64, common base64, base32 and hexadecimal; not the slash, which stands in paths.
fn may_be_of_hash(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '~' | '=' | '+')
}

// The same for `?` as for `%` in a log line.
impl<T> fmt::Debug for Redacted<T>
where
    Redacted<T>: fmt::Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_network_only() {
        let text = |address: &str| redact(address.parse::<SocketAddr>().unwrap()).to_string();
        assert_eq!(text("203.0.113.77:15000"), "203.0.x.x");
        assert_eq!(text("[2001:db8:1:2::77]:15000"), "2001:db8:x");
        assert_eq!(text("[::ffff:203.0.113.77]:1"), "203.0.x.x");
        assert_eq!(format!("{:?}", redact(IpAddr::from([203, 0, 113, 77]))), "203.0.x.x");
    }

    #[test]
    fn hashes_keep_a_byte() {
        let hash = RouterHash([0xab; 32]);
        assert_eq!(redact(hash).to_string(), "router ab…");
        assert_eq!(redact(RecordKey::from(hash)).to_string(), "record ab…");
    }

    #[test]
    fn texts_lose_what_may_be_a_hash() {
        let hash = "nYHAqmKj6pyXhZ~9y1k3rV5tq-2bL0wEo7cUuSdGfI0=";
        let name = format!("/seeds/r8/routerInfo-{hash}.dat of 3.zip");
        assert_eq!(redact_text(&name).to_string(), "/seeds/r8/….dat of 3.zip");
        let b32 = "q".repeat(52);
        assert_eq!(redact_text(&format!("{b32}.b32.i2p")).to_string(), "….b32.i2p");
        for harmless in
            ["", "router.info", "größer/als sonst", "no-hash-is-shorter-than-43-characters-ever"]
        {
            assert_eq!(redact_text(harmless).to_string(), harmless);
        }
    }
}
