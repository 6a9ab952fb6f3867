//! What the tests of all formats do to a structure that is valid.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::wire::Malformed;

/// Gives `parse` what remains of `valid`, a structure that has to take up all its bytes, after transmission errors
/// and tricks: each prefix and each extension has to be an error, changed bits an error or a value. A panic fails
/// the test, as does an error without the name of a field.
#[track_caller]
pub(in crate::wire) fn assert_survives_changes<T>(
    valid: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, Malformed>,
) {
    assert!(parse(valid).is_ok(), "the structure itself is refused");
    for length in 0..valid.len() {
        let error = parse(&valid[..length]).err();
        assert!(error.is_some(), "{length} of {} bytes are taken", valid.len());
        assert_names_a_field(error);
    }
    for at in 0..valid.len() {
        let mut flipped = valid.to_vec();
        for bit in 0..8 {
            flipped[at] = valid[at] ^ (1 << bit);
            assert_names_a_field(parse(&flipped).err());
        }
    }
    let tail = proptest::collection::vec(any::<u8>(), 1..40);
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    let outcome = TestRunner::default().run(&(changes, tail), |(changes, tail)| {
        let longer = [valid, &tail].concat();
        prop_assert!(parse(&longer).is_err(), "{} bytes too many are taken", tail.len());
        let mut changed = longer;
        for (at, value) in changes {
            let at = at.index(changed.len());
            changed[at] = value;
        }
        assert_names_a_field(parse(&changed).err());
        assert_names_a_field(parse(changed.get(..valid.len()).unwrap_or(&[])).err());
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[track_caller]
fn assert_names_a_field(error: Option<Malformed>) {
    let named = error.is_none_or(|error| match error {
        Malformed::Trailing { left } => left > 0,
        Malformed::Truncated { field, needed, left } => !field.is_empty() && left < needed,
        Malformed::Length { field, expected, found } => !field.is_empty() && expected != found,
        Malformed::TooLarge { field, limit, found } => !field.is_empty() && limit < found,
        Malformed::Value { field, .. }
        | Malformed::Unsupported { field, .. }
        | Malformed::ZeroTunnelId { field }
        | Malformed::Repeated { field }
        | Malformed::Text { field }
        | Malformed::Checksum { field }
        | Malformed::Compression { field } => !field.is_empty(),
    });
    assert!(named, "{error:?} explains nothing");
}
