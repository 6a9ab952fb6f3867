//! Wrappers that keep addresses and hashes out of ordinary logs.

use std::fmt;

/// Shows its value at debug level of the log only; elsewhere it reads `<redacted>`.
///
/// Whether the process logs at debug level is decided once, at start, by whoever formats: the alternate form
/// (`{:#}`) shows the value, the plain form does not.
pub struct Redacted<T>(pub T);

impl<T: fmt::Display> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { self.0.fmt(f) } else { f.write_str("<redacted>") }
    }
}
