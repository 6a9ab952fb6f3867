//! `floodway inspect`: what files hold, for people or as JSON.

mod keys;
mod lease_set;
pub(in crate::app) mod report;
mod router_info;
mod su3;
mod text;

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value};

use crate::app::args::{InspectArgs, InspectKind};
use crate::app::identity::key_file::SecretFile;
use crate::app::inspect::report::{Report, Signature};
use crate::app::signers::Signers;
use crate::wire::Malformed;
use crate::wire::su3::SU3_MAGIC;

/// Longest file that is read: more than any router update has.
const FILE_MAX: usize = 256 * 1024 * 1024;

/// What became of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All are decoded whole, and their signatures hold.
    AllGood,
    /// At least one is not.
    SomeBad,
}

/// Looks into each file and writes what it holds to standard output.
///
/// # Errors
/// When the directory of certificates cannot be read, and when standard output cannot be written.
pub fn run(args: &InspectArgs) -> anyhow::Result<Outcome> {
    let mut known = Signers::carried();
    if let Some(directory) = &args.certificates {
        known.extend(signers(directory)?);
    }
    let mut out = io::stdout().lock();
    let mut outcome = Outcome::AllGood;
    for path in &args.files {
        let report = inspect(path, args.kind, &known);
        if !report.is_good() {
            outcome = Outcome::SomeBad;
        }
        let fields = report.into_fields(path);
        if args.json {
            let object: Map<_, _> = fields.into_iter().collect();
            writeln!(out, "{}", Value::Object(object))?;
        } else {
            text::write(&mut out, &fields)?;
        }
    }
    Ok(outcome)
}

/// What a router info holds, a field after the other.
#[must_use]
pub fn router_info_fields(bytes: &[u8]) -> Vec<(String, Value)> {
    let kind = InspectKind::RouterInfo;
    let mut fields = described(kind, router_info::describe(bytes)).into_fields(Path::new(""));
    fields.retain(|(name, _)| name != "file");
    fields
}

/// Writes fields as text for people.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_text(out: &mut impl Write, fields: &[(String, Value)]) -> io::Result<()> {
    text::write(out, fields)
}

fn signers(directory: &Path) -> anyhow::Result<Signers> {
    let failed = |error: io::Error| {
        anyhow::anyhow!("cannot read the certificates in {}: {error}", directory.display())
    };
    let (signers, refused) = Signers::load(directory).map_err(failed)?;
    for (path, error) in refused {
        eprintln!("floodway: note: {}: {error}", path.display());
    }
    Ok(signers)
}

fn inspect(path: &Path, kind: Option<InspectKind>, signers: &Signers) -> Report {
    // Any file may turn out to hold keys, so all are read as secrets.
    let file = match SecretFile::read(path, FILE_MAX) {
        Ok(file) => file,
        Err(error) => return Report::broken(kind, format!("cannot be read: {error}")),
    };
    match kind {
        Some(InspectKind::Keys) => keys::describe(path, &file),
        Some(kind) => described(kind, decode(kind, &file.bytes, signers)),
        None if file.bytes.starts_with(SU3_MAGIC) => {
            described(InspectKind::Su3, su3::describe(&file.bytes, signers))
        }
        None => keys::recognise(path, &file).unwrap_or_else(|| record(&file.bytes)),
    }
}

fn decode(kind: InspectKind, bytes: &[u8], signers: &Signers) -> Result<Report, Malformed> {
    match kind {
        InspectKind::RouterInfo => router_info::describe(bytes),
        InspectKind::LeaseSet => lease_set::describe_legacy(bytes),
        InspectKind::LeaseSet2 => lease_set::describe_2(bytes),
        InspectKind::EncryptedLeaseSet => lease_set::describe_encrypted(bytes),
        InspectKind::MetaLeaseSet => lease_set::describe_meta(bytes),
        InspectKind::Su3 => su3::describe(bytes, signers),
        InspectKind::Keys => Ok(Report::broken(kind, "keys are described by their file")),
    }
}

fn described(kind: InspectKind, outcome: Result<Report, Malformed>) -> Report {
    outcome.unwrap_or_else(|error| Report::broken(kind, error.to_string()))
}

/// Describes a record of the netdb. These do not say of what type they are, but hardly ever can one be read as
/// another, and then the signature tells them apart.
fn record(bytes: &[u8]) -> Report {
    let kinds = [
        InspectKind::RouterInfo,
        InspectKind::LeaseSet2,
        InspectKind::MetaLeaseSet,
        InspectKind::EncryptedLeaseSet,
        InspectKind::LeaseSet,
    ];
    let nobody = Signers::default();
    let outcomes = kinds.map(|kind| decode(kind, bytes, &nobody));
    let rank = |report: &Report| match report.signature {
        Signature::Valid => 0,
        Signature::Unsupported => 1,
        Signature::Invalid | Signature::Absent | Signature::UnknownSigner => 2,
    };
    let why = outcomes.iter().find_map(|outcome| outcome.as_ref().err().copied());
    let read = outcomes.into_iter().flatten().min_by_key(rank);
    read.unwrap_or_else(|| {
        let why = why.map_or(String::new(), |error| error.to_string());
        let what = "no record, su3 file or key file can be read from it";
        Report::broken(None, format!("{what}; as a router info: {why}"))
    })
}

#[cfg(test)]
mod tests;
