//! The turn's shared work: what actors of one shard need computed is done together, in batches.

use std::sync::Arc;

use crate::actor::message::{
    BuildActorMessage, Candidate, CandidateRecord, DiffieHellman, DiffieHellmanPurpose,
    GarlicMessage, Message, NetdbMessage, Verified,
};
use crate::base::slab::SlabKey;
use crate::crypto::secret::X25519Secret;
use crate::crypto::signature::{SignatureCheck, verify_batch};
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

    /// Signatures in it.
    #[must_use]
    pub fn signatures(&self) -> usize {
        self.checks.len()
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
/// of handshakes.
pub fn run_verifications(
    candidates: Vec<Candidate>,
    handshakes: &mut HandshakeWork<'_>,
    done: &mut HandshakeResults,
    mut send: impl FnMut(Message),
) {
    let mut checks: Vec<SignatureCheck<'_>> = Vec::with_capacity(candidates.len());
    let mut counts = Vec::with_capacity(candidates.len());
    for candidate in &candidates {
        let before = checks.len();
        match &candidate.record {
            CandidateRecord::RouterInfo(info) => checks.extend(info.checks()),
            CandidateRecord::LeaseSet(lease_set) => checks.extend(lease_set.checks()),
        }
        counts.push(checks.len() - before);
    }
    let of_records = checks.len();
    checks.extend(std::mem::take(&mut handshakes.checks));
    let mut verdicts = Vec::with_capacity(checks.len());
    verify_batch(&checks, &mut verdicts);
    drop(checks);
    let of_handshakes = verdicts.split_off(of_records.min(verdicts.len()));
    for (key, verdict) in handshakes.signers.drain(..).zip(of_handshakes) {
        done.push((key, WorkResult::Signature(verdict)));
    }
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
}
