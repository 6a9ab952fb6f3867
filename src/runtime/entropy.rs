//! The only reader of system randomness.

use crate::base::rng::ShardRng;
use crate::runtime::sys;

/// The system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no randomness: getrandom failed: {0}")]
pub struct NoEntropy(#[from] std::io::Error);

/// 32 random bytes from the system.
///
/// # Errors
/// When getrandom fails, which no supported kernel does.
pub fn seed() -> Result<[u8; 32], NoEntropy> {
    let mut seed = [0; 32];
    sys::random(&mut seed)?;
    Ok(seed)
}

/// A random source of its own, seeded by the system.
///
/// # Errors
/// As [`seed`].
pub fn rng() -> Result<ShardRng, NoEntropy> {
    Ok(ShardRng::from_seed(seed()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ() {
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
