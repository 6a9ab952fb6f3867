//! The turn's shared work: what actors of one shard need computed is done together, in batches.

use std::sync::Arc;

use crate::actor::message::{
    BuildActorMessage, Candidate, CandidateRecord, DiffieHellman, DiffieHellmanPurpose,
    GarlicMessage, Message, NetdbMessage, Verified,
};
use crate::crypto::secret::X25519Secret;
use crate::crypto::signature::{SignatureCheck, verify_batch};
use crate::crypto::x25519::{DhJob, diffie_hellman_batch};
use crate::proto::netdb::store::{Record, RecordKind};

/// Does all Diffie-Hellmans of a turn with our encryption key; the results are messages to those who asked.
pub fn run_diffie_hellmans(
    requests: Vec<DiffieHellman>,
    secret: &X25519Secret,
    mut send: impl FnMut(Message),
) {
    let jobs: Vec<DhJob<'_>> =
        requests.iter().map(|request| DhJob { secret, public: request.public }).collect();
    let mut results = Vec::with_capacity(jobs.len());
    diffie_hellman_batch(&jobs, &mut results);
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

/// Checks all signatures of a turn; the verdicts are messages to the netdb.
pub fn run_verifications(candidates: Vec<Candidate>, mut send: impl FnMut(Message)) {
    let mut checks: Vec<SignatureCheck<'_>> = Vec::with_capacity(candidates.len());
    let mut counts = Vec::with_capacity(candidates.len());
    for candidate in &candidates {
        let before = checks.len();
        match &candidate.record {
            CandidateRecord::RouterInfo(info) => checks.extend(info.checks()),
            CandidateRecord::LeaseSet2(lease_set) => checks.extend(lease_set.checks()),
        }
        counts.push(checks.len() - before);
    }
    let mut verdicts = Vec::with_capacity(checks.len());
    verify_batch(&checks, &mut verdicts);
    drop(checks);
    let mut verdicts = verdicts.as_slice();
    for (candidate, count) in candidates.into_iter().zip(counts) {
        let (own, rest) = verdicts.split_at(count.min(verdicts.len()));
        verdicts = rest;
        let Candidate { record, from, flood, provenance } = candidate;
        let (kind, record) = match record {
            CandidateRecord::RouterInfo(info) => {
                let record = info.settle_all(own).map(|info| Record::RouterInfo(Arc::new(info)));
                (RecordKind::RouterInfo, record)
            }
            CandidateRecord::LeaseSet2(lease_set) => {
                let record = lease_set.settle_all(own).map(|l| Record::LeaseSet2(Arc::new(l)));
                (RecordKind::LeaseSet, record)
            }
        };
        let verified = Verified { kind, record, from, flood, provenance };
        send(Message::Netdb(NetdbMessage::Verified(Box::new(verified))));
    }
}
