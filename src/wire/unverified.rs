//! Records whose signature has not been checked.

use std::iter;

use crate::crypto::signature::{SignatureCheck, Verdict, verify};

/// A record that somebody signed.
pub trait Signed {
    /// The signature of the record.
    fn check(&self) -> SignatureCheck<'_>;

    /// The signature by which the record's owner made another key sign the record, if there is one.
    fn delegation_check(&self) -> Option<SignatureCheck<'_>>;
}

/// Why a record is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefused {
    /// A signature is not the owner's.
    #[error("signature is not the owner's")]
    Invalid,
    /// A signature is of a type that we cannot check.
    #[error("signature is of a type that is not checked")]
    Unsupported,
    /// There are more signatures than verdicts, or fewer.
    #[error("{signatures} signatures were to be checked, {verdicts} were")]
    Unchecked {
        /// Signatures of the record.
        signatures: usize,
        /// Verdicts that were given.
        verdicts: usize,
    },
}

/// A record of the right form that anybody may have written. The only way to the record itself is to check all of
/// its signatures.
#[derive(Clone, Debug)]
pub struct Unverified<T>(T);

impl<T: Signed> Unverified<T> {
    pub(super) fn new(record: T) -> Self {
        Self(record)
    }

    /// The same record in another form, whose signatures are the same.
    pub(super) fn map<U: Signed>(self, form: impl FnOnce(T) -> U) -> Unverified<U> {
        Unverified(form(self.0))
    }

    /// The record, of which we know because we have just signed it.
    pub(super) fn of_our_own(self) -> T {
        self.0
    }

    /// What the record says: claims, not facts. To decide whether its signatures are worth checking.
    #[must_use]
    pub fn peek(&self) -> &T {
        &self.0
    }

    /// The signature of the record: the only one, unless [`Signed::delegation_check`] has another.
    #[must_use]
    pub fn check(&self) -> SignatureCheck<'_> {
        self.0.check()
    }

    /// All signatures that have to hold, one or two.
    pub fn checks(&self) -> impl Iterator<Item = SignatureCheck<'_>> {
        self.0.delegation_check().into_iter().chain(iter::once(self.0.check()))
    }

    /// Checks all signatures here and now.
    ///
    /// # Errors
    /// When one does not hold or cannot be checked.
    pub fn verify(self) -> Result<T, SignatureRefused> {
        for check in self.checks() {
            held(verify(&check))?;
        }
        Ok(self.0)
    }

    /// Takes the verdict on the only signature, after it was checked in a batch.
    ///
    /// # Errors
    /// When it does not hold or cannot be checked, and when the record has a second signature.
    pub fn settle(self, verdict: Verdict) -> Result<T, SignatureRefused> {
        self.settle_all(&[verdict])
    }

    /// Takes the verdicts on all signatures, in the order of [`Unverified::checks`].
    ///
    /// # Errors
    /// When one does not hold or cannot be checked, and when there is not one verdict for each.
    pub fn settle_all(self, verdicts: &[Verdict]) -> Result<T, SignatureRefused> {
        let signatures = self.checks().count();
        if signatures != verdicts.len() {
            return Err(SignatureRefused::Unchecked { signatures, verdicts: verdicts.len() });
        }
        for verdict in verdicts {
            held(*verdict)?;
        }
        Ok(self.0)
    }
}

fn held(verdict: Verdict) -> Result<(), SignatureRefused> {
    match verdict {
        Verdict::Valid => Ok(()),
        Verdict::Invalid => Err(SignatureRefused::Invalid),
        Verdict::Unsupported => Err(SignatureRefused::Unsupported),
    }
}
