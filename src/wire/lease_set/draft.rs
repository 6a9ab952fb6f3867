//! Lease sets of our own.

use crate::base::time::UnixTime;
use crate::crypto::signature::Signer;
use crate::crypto::x25519::X25519Public;
use crate::wire::Malformed;
use crate::wire::identity::{Destination, EncryptionType};
use crate::wire::lease_set::header::HeaderDraft;
use crate::wire::lease_set::{Lease2, LeaseSet2, LeaseSetKind};
use crate::wire::mapping::Mapping;
use crate::wire::offline_signature::OfflineSignature;
use crate::wire::unverified::Unverified;

/// A lease set to be signed.
#[derive(Clone, Debug)]
pub struct LeaseSet2Draft {
    /// Whose it is.
    pub destination: Destination,
    /// When it is signed. What is below a second is cut off, and two in one second are the same to others.
    pub published: UnixTime,
    /// How long it is valid, in seconds; usually 660 at most.
    pub expires_after_s: u16,
    /// The key that messages are encrypted to.
    pub encryption: X25519Public,
    /// The tunnels.
    pub leases: Vec<Lease2>,
}

impl LeaseSet2Draft {
    /// The lease set, signed by the destination and read back by the rules that we hold others to.
    ///
    /// # Errors
    /// When it has too many leases.
    ///
    /// # Panics
    /// When `signer` is not the destination's.
    pub fn sign(self, signer: &Signer) -> Result<LeaseSet2, Malformed> {
        self.assert_owner(signer);
        self.finish(signer, None)
    }

    /// The lease set, signed by `transient`, which `owner` makes sign in its place until `expires`.
    ///
    /// # Errors
    /// When it has too many leases.
    ///
    /// # Panics
    /// When `owner` is not the destination's.
    pub fn sign_offline(
        self,
        owner: &Signer,
        transient: &Signer,
        expires: UnixTime,
    ) -> Result<LeaseSet2, Malformed> {
        self.assert_owner(owner);
        let sign = |message: &[u8]| owner.sign(message).to_vec();
        let offline = OfflineSignature::write(expires, &transient.public_key(), sign);
        self.finish(transient, Some(&offline))
    }

    fn finish(self, signer: &Signer, offline: Option<&[u8]>) -> Result<LeaseSet2, Malformed> {
        let mut signed = vec![LeaseSetKind::LeaseSet2.code()];
        self.write(offline, &mut signed);
        let signature = signer.sign(&signed);
        signed.extend_from_slice(&signature);
        let bytes = signed.get(1..).unwrap_or(&[]);
        LeaseSet2::parse(bytes).map(Unverified::of_our_own)
    }

    fn write(&self, offline: Option<&[u8]>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.destination.bytes());
        let (published, expires_after_s) = (self.published, self.expires_after_s);
        HeaderDraft { published, expires_after_s, flags: 0, offline }.write(out);
        Mapping::new().write(out);
        out.push(1);
        out.extend_from_slice(&EncryptionType::X25519.code().to_be_bytes());
        out.extend_from_slice(&32u16.to_be_bytes());
        out.extend_from_slice(&self.encryption.0);
        out.push(u8::try_from(self.leases.len()).unwrap_or(u8::MAX));
        for lease in &self.leases {
            lease.write(out);
        }
    }

    fn assert_owner(&self, signer: &Signer) {
        assert!(
            signer.public_key() == *self.destination.signing_key(),
            "signer is not the destination's"
        );
    }
}
