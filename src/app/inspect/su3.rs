//! What su3 files say, and whether who signed them is known.

use crate::app::args::InspectKind;
use crate::app::inspect::report::{Report, Signature, date_text, signature_name};
use crate::app::signers::Signers;
use crate::base::time::UnixTime;
use crate::crypto::signature::verify;
use crate::wire::Malformed;
use crate::wire::su3::{Su3, Su3ContentType, Su3FileType};

/// Describes an su3 file.
///
/// # Errors
/// When the bytes are none.
pub fn describe(bytes: &[u8], signers: &Signers) -> Result<Report, Malformed> {
    let file = Su3::parse(bytes)?;
    let signature = signature(&file, signers);
    let mut report = Report::new(InspectKind::Su3, None, signature);
    if signature == Signature::UnknownSigner {
        report.refuse(format!(
            "no certificate of {} is known here: give the directory that has it with --certificates",
            file.signer
        ));
    }
    report.field("content_type", content_type(file.content_type));
    report.field("file_type", file_type(file.file_type));
    report.field("version", file.version);
    // The version of a reseed bundle is the time when it was made.
    let made = file.version.parse::<u32>().ok().map(UnixTime::from_seconds);
    if let (Su3ContentType::Reseed, Some(made)) = (file.content_type, made) {
        report.field("made", date_text(made));
    }
    report.field("signer", file.signer);
    report.field("signature_type", file.signature_type.code());
    report.field("signature_type_name", signature_name(file.signature_type));
    report.field("content_size", file.peek_content().len());
    report.field("size", bytes.len());
    Ok(report)
}

fn signature(file: &Su3<'_>, signers: &Signers) -> Signature {
    let mut keys = signers.of(file.signer).peekable();
    if keys.peek().is_none() {
        return Signature::UnknownSigner;
    }
    let outcomes: Vec<_> = keys
        .map(|certified| match certified.key.kind() == file.signature_type {
            true => Signature::of(verify(&file.check(&certified.key))),
            false => Signature::Invalid,
        })
        .collect();
    // Of several certificates of one signer, one that fits is enough.
    let first = [Signature::Valid, Signature::Unsupported];
    first.into_iter().find(|one| outcomes.contains(one)).unwrap_or(Signature::Invalid)
}

fn content_type(kind: Su3ContentType) -> String {
    match kind {
        Su3ContentType::Unspecified => "unspecified",
        Su3ContentType::RouterUpdate => "router update",
        Su3ContentType::Plugin => "plugin",
        Su3ContentType::Reseed => "reseed",
        Su3ContentType::News => "news",
        Su3ContentType::Blocklist => "blocklist",
        Su3ContentType::Unknown(code) => return format!("unknown ({code})"),
    }
    .to_owned()
}

fn file_type(kind: Su3FileType) -> String {
    match kind {
        Su3FileType::Zip => "zip",
        Su3FileType::Xml => "xml",
        Su3FileType::Html => "html",
        Su3FileType::XmlGzip => "xml.gz",
        Su3FileType::TextGzip => "txt.gz",
        Su3FileType::Dmg => "dmg",
        Su3FileType::Exe => "exe",
        Su3FileType::Unknown(code) => return format!("unknown ({code})"),
    }
    .to_owned()
}
