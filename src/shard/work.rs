//! The turn's shared work: what actors of one shard need computed is done together, in batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::actor::message::{
    BuildActorMessage, Candidate, CandidateRecord, DiffieHellman, DiffieHellmanPurpose,
    GarlicMessage, Message, NetdbMessage, Verified,
};
use crate::base::slab::SlabKey;
use crate::crypto::secret::X25519Secret;
use crate::crypto::signature::{SignatureCheck, Verdict, verify_batch};
use crate::crypto::x25519::{DhJob, diffie_hellman_batch};
use crate::proto::netdb::store::{Record, RecordKind};
use crate::proto::ntcp2::{Work, WorkResult};

/// What one round of a turn does for handshakes beside the rest, and for which of them.
#[derive(Default)]
pub struct HandshakeWork<'a> {
    keys: Vec<SlabKey>,
    jobs: Vec<DhJob<'a>>,
    signers: Vec<SlabKey>,
    checks: Vec<SignatureCheck<'a>>,
}

impl<'a> HandshakeWork<'a> {
    /// Adds the work that the handshake `key` waits for.
    pub fn push(&mut self, key: SlabKey, work: Work<'a>) {
        match work {
            Work::DiffieHellman(job) => {
                self.keys.push(key);
                self.jobs.push(job);
            }
            Work::Signature(check) => {
                self.signers.push(key);
                self.checks.push(check);
            }
        }
    }

    /// Diffie-Hellmans in it.
    #[must_use]
    pub fn diffie_hellmans(&self) -> usize {
        self.jobs.len()
    }
}

/// Results for handshakes.
pub type HandshakeResults = Vec<(SlabKey, WorkResult)>;

/// Does all Diffie-Hellmans of a round in one batch: those with our encryption key, whose results are messages to who
/// asked, and those of handshakes.
pub fn run_diffie_hellmans(
    requests: Vec<DiffieHellman>,
    secret: &X25519Secret,
    handshakes: &mut HandshakeWork<'_>,
    done: &mut HandshakeResults,
    mut send: impl FnMut(Message),
) {
    let mut jobs: Vec<DhJob<'_>> =
        requests.iter().map(|request| DhJob { secret, public: request.public }).collect();
    jobs.extend(std::mem::take(&mut handshakes.jobs));
    let mut results = Vec::with_capacity(jobs.len());
    diffie_hellman_batch(&jobs, &mut results);
    let of_handshakes = results.split_off(requests.len());
    for (key, shared) in handshakes.keys.drain(..).zip(of_handshakes) {
        done.push((key, WorkResult::DiffieHellman(shared)));
    }
    for (request, shared) in requests.into_iter().zip(results) {
        send(match request.purpose {
            DiffieHellmanPurpose::Build(waiting) => {
                Message::Build(BuildActorMessage::Shared { waiting, shared })
            }
            DiffieHellmanPurpose::Garlic(body) => {
                Message::Garlic(GarlicMessage::Shared { body, shared })
            }
        });
    }
}

/// Checks all signatures of a round in one batch: those of records, whose verdicts are messages to the netdb, and those
/// of handshakes. A record that has come more than once, as a new one does from all its floodfills at once, is checked
/// once. Returns how many signatures were checked.
pub fn run_verifications(
    candidates: Vec<Candidate>,
    handshakes: &mut HandshakeWork<'_>,
    done: &mut HandshakeResults,
    mut send: impl FnMut(Message),
) -> usize {
    let mut checks = Distinct::default();
    let mut counts = Vec::with_capacity(candidates.len());
    for candidate in &candidates {
        counts.push(match &candidate.record {
            CandidateRecord::RouterInfo(info) => checks.extend(info.checks()),
            CandidateRecord::LeaseSet(lease_set) => checks.extend(lease_set.checks()),
        });
    }
    let Distinct { mut checks, places, .. } = checks;
    let of_records = checks.len();
    checks.extend(std::mem::take(&mut handshakes.checks));
    let checked = checks.len();
    let mut verdicts = Vec::with_capacity(checked);
    verify_batch(&checks, &mut verdicts);
    drop(checks);
    let of_handshakes = verdicts.split_off(of_records.min(verdicts.len()));
    for (key, verdict) in handshakes.signers.drain(..).zip(of_handshakes) {
        done.push((key, WorkResult::Signature(verdict)));
    }
    let verdicts: Vec<Verdict> =
        places.iter().filter_map(|place| verdicts.get(*place).copied()).collect();
    let mut verdicts = verdicts.as_slice();
    for (candidate, count) in candidates.into_iter().zip(counts) {
        let (own, rest) = verdicts.split_at(count.min(verdicts.len()));
        verdicts = rest;
        let Candidate { record, from, flood, source, shown_by } = candidate;
        let (kind, record) = match record {
            CandidateRecord::RouterInfo(info) => {
                let record = info.settle_all(own).map(|info| Record::RouterInfo(Arc::new(info)));
                (RecordKind::RouterInfo, record)
            }
            CandidateRecord::LeaseSet(lease_set) => {
                let kind = RecordKind::LeaseSet(lease_set.peek().kind());
                (kind, lease_set.settle_all(own).map(|set| Record::LeaseSet(Arc::new(set))))
            }
        };
        let verified = Verified { kind, record, from, flood, source, shown_by };
        send(Message::Netdb(NetdbMessage::Verified(Box::new(verified))));
    }
    checked
}

/// Signatures to check, each once.
#[derive(Default)]
struct Distinct<'a> {
    checks: Vec<SignatureCheck<'a>>,
    /// For each one that was asked for, where in `checks` it is.
    places: Vec<usize>,
    /// Where in `checks` the first one with this signature is.
    by_signature: BTreeMap<&'a [u8], usize>,
}

impl<'a> Distinct<'a> {
    /// Adds what is not there yet; returns how many were asked for.
    fn extend(&mut self, asked: impl Iterator<Item = SignatureCheck<'a>>) -> usize {
        let before = self.places.len();
        for check in asked {
            let next = self.checks.len();
            let first = *self.by_signature.entry(check.signature).or_insert(next);
            // Who copies a signature under something else is checked by himself.
            let is_known = self.checks.get(first).is_some_and(|known| {
                (known.key, known.prefix, known.message) == (check.key, check.prefix, check.message)
            });
            self.places.push(if is_known { first } else { next });
            if !is_known {
                self.checks.push(check);
            }
        }
        self.places.len() - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::Ed25519Seed;
    use crate::crypto::signature::Signer;

    #[test]
    fn what_is_asked_for_twice_is_checked_once() {
        let signer = |seed| Signer::from_seed(&Ed25519Seed::from_bytes([seed; 32]));
        let (key, other) = (signer(1).public_key(), signer(2).public_key());
        let signature = signer(1).sign(b"text");
        let check =
            |key, prefix, message| SignatureCheck { key, prefix, message, signature: &signature };
        let asked: [SignatureCheck<'_>; 6] = [
            check(&key, b"", b"text"),
            check(&key, b"", b"next"),
            check(&key, b"", b"text"),
            check(&other, b"", b"text"),
            check(&key, b"t", b"ext"),
            check(&key, b"", b"text"),
        ];
        let mut distinct = Distinct::default();
        assert_eq!(distinct.extend(asked[..2].iter().copied()), 2);
        assert_eq!(distinct.extend(asked[2..].iter().copied()), 4);
        assert_eq!(distinct.places, [0, 1, 0, 2, 3, 0]);
        let mut verdicts = Vec::new();
        verify_batch(&distinct.checks, &mut verdicts);
        let found: Vec<bool> =
            distinct.places.iter().map(|place| verdicts[*place] == Verdict::Valid).collect();
        assert_eq!(found, [true, false, true, false, true, true]);
    }
}
